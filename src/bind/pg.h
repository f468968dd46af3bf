/*
 * pg: what the pg_*.c files share and nobody else sees. A client (one a target)
 * has a pool of connections; a call leases one for as long as it takes, a
 * transaction, a cursor and a listener for as long as they live. A connection
 * does one job at a time. The only file that includes libpq's header.
 */
#ifndef OPSH_BIND_PG_H
#define OPSH_BIND_PG_H

#include <libpq-fe.h>
#include <lua.h>

#include "bind/pg_sql.h"
#include "core/buf.h"
#include "core/loop.h"
#include "core/op.h"
#include "effect/effect.h"
#include "effect/keywords.h"

#define PG_CLIENT "opsh.pg.client"
#define PG_ROWS "opsh.pg.rows"
#define PG_ROW "opsh.pg.row"
#define PG_TX "opsh.pg.tx"
#define PG_CURSOR "opsh.pg.cursor"
#define PG_COPY "opsh.pg.copy"
#define PG_LISTENER "opsh.pg.listener"

#define PG_FRESH 2.0		/* seconds that an identity counts as read */
#define PG_CONNS 32		/* connections of one target, at most */
#define PG_STMTS 64		/* prepared statements kept by a connection */
#define PG_MAX_BYTES (64LL << 20)	/* of one result, unless `max` says */
#define PG_NOTICES (64u << 10)	/* bytes of notices kept of one call */

struct pg_client;
struct pg_conn;
struct pg_call;

/* --- options: as given, owned by the client ------------------------------ */
struct pg_host {
	char *host, *port;	/* owned; host of a socket's folder begins with
				   '/' or '@'; port may be "" */
};

struct pg_options {
	struct keywords words;	/* owned */
	struct pg_host *hosts;	/* owned; none: libpq's default */
	int n_hosts;
	double timeout, connect_timeout;
	long long max;		/* bytes of a result */
	int pool;		/* connections at most */
	int unnamed;		/* no prepared statements are kept */
};

/* [-0, +0, v] reads the table at arg. */
void pg_options_read(lua_State *L, int arg, struct pg_options *o);
void pg_options_release(struct pg_options *o);

/* --- errors (pg_error.c) ----------------------------------------------------- */
struct pg_error {
	struct err e;
	char severity[16];
	char detail[512], context[256], object[128];
	int position;		/* in characters of the text, 1 first; 0 none */
	int retryable;
};

/* What an error result says. */
void pg_error_read(struct pg_error *e, const PGresult *res);
/* An error of libpq's, which is text only: "FATAL:  28P01: ..". */
void pg_error_text(struct err *e, enum err_phase phase, const char *where,
		   const char *text);
/* [-0, +0, v] raises it; sql: the text that position counts in. */
_Noreturn void pg_error_raise(lua_State *L, const struct pg_error *e,
			      const char *sql, size_t len);

/* --- a connection (pg_conn.c, pg_open.c) ------------------------------------ */
enum pg_state { PG_DOWN, PG_FINDING, PG_OPENING, PG_GREETING, PG_IDLE,
		PG_LEASED, PG_CLEANING };

/* What a connection is busy with. Callbacks run on the loop. */
struct pg_job {
	int syncs;		/* pipeline: Syncs to come; 0: no pipeline */
	int at;			/* commands answered */
	int row_step;		/* the command whose rows come one by one; -1 */
	/* A result, to be cleared by the callee. */
	void (*result)(struct pg_job *job, struct pg_conn *c, PGresult *res);
	/* NULL, or: while COPY is on, the socket is ready. 1: COPY has ended */
	int (*copy)(struct pg_job *job, struct pg_conn *c);
	/* Last. lost NULL: all was answered, the connection is free. */
	void (*done)(struct pg_job *job, struct pg_conn *c,
		     const struct err *lost);
};

struct pg_stmt {		/* a prepared statement, found by its text */
	char *sql;		/* owned; NULL: a free place */
	size_t len;
	char name[24];		/* "" unnamed */
	unsigned long long used;
	int params, columns;
	Oid *types;		/* owned: of parameters, then of columns */
};

struct pg_find;
struct pg_cancel;

struct pg_sink {		/* who listens on a connection */
	void (*notify)(struct pg_sink *sink, const PGnotify *n);
	void (*lost)(struct pg_sink *sink, const struct err *e);
};

struct pg_owner {		/* who is told of a connection: its pool */
	void (*up)(struct pg_conn *c);		/* it is open, and idle */
	void (*down)(struct pg_conn *c, const struct err *e,
		     enum pg_state was);
	void (*cancelled)(struct pg_conn *c);	/* what was given back, is */
};

struct pg_conn {
	struct pg_client *pc;	/* borrowed; NULL: the client is closed */
	const struct pg_owner *owner;
	struct pg_conn *next;
	enum pg_state state;
	PGconn *pg;		/* owned */
	struct loop_watch *watch;	/* owned */
	struct loop_timer *deadline;	/* owned: of opening, of cleaning */
	struct loop_timer *step;	/* owned: of one of several hosts */
	struct loop_timer *kill;	/* owned: after a cancel */
	struct pg_find *find;	/* owned: while opening */
	struct pg_cancel *cancel;	/* borrowed: its work owns it */
	struct pg_job *job;	/* borrowed */
	struct pg_job *cancelled;	/* borrowed: the job to be cancelled */
	struct op *idle;	/* borrowed: who waits for its end */
	struct pg_job own;	/* greeting, cleaning */
	double began, until, asked_at, ident_at;
	int pooled;		/* a pooler is between: sessions are not ours */
	int console;		/* pgbouncer's own: no SQL */
	int plain_ident;	/* the role may not read the system identifier */
	int standby, was_standby;
	int tainted;		/* its session was changed: not to be shared */
	int copying;
	int paused;		/* what comes is not read for now */
	int again;		/* the greeting is asked once more */
	int single;		/* libpq still hands over row by row, which a
				   statement sent alone puts right */
	struct pg_stmt stmts[PG_STMTS];
	struct pg_stmt scratch;	/* the one prepared without a name */
	unsigned long long clock;
	struct buf notices;	/* owned */
	int n_notices, notices_cut;
	struct pg_sink *sink;	/* borrowed: who listens */
	char peer[192];
	int busy, dead, held;	/* freed when not busy and not held */
	char ident[128];	/* system id and timeline as last read */
	char crash[40];		/* when it last crashed, or its counters were
				   reset */
};

struct pg_conn *pg_conn_new(struct pg_client *pc, const struct pg_owner *owner);
/* Begins to open it; its owner's up or down follows, from the loop. -1: *e. */
int pg_conn_open(struct pg_conn *c, struct err *e);
void pg_conn_stop(struct pg_conn *c);	/* closes, keeps the struct */
void pg_conn_free(struct pg_conn *c);
/* Ends it: its job is lost, the client hears of it. */
void pg_conn_down(struct pg_conn *c, const struct err *e);
/* Watches the socket for the job's life. -1: *e. */
int pg_conn_watch(struct pg_conn *c);
/* Makes `job` the connection's: PQsend* calls follow, then pg_conn_go. */
void pg_conn_begin(struct pg_conn *c, struct pg_job *job, int syncs);
/* Everything is queued: off it goes. -1: it failed, *e; the job is off. */
int pg_conn_go(struct pg_conn *c, int ok, struct err *e);
/* Asks the server to cancel; the connection is closed when the job has not
 * ended after `grace` seconds. */
void pg_conn_cancel(struct pg_conn *c, double grace);
/* Closes it when the job has not ended after `grace` seconds. */
void pg_conn_bound(struct pg_conn *c, double grace);
enum err_phase pg_conn_phase(const struct pg_conn *c);
const char *pg_where(const struct pg_conn *c);
/* Did the server end it while idle? */
int pg_conn_gone(struct pg_conn *c);
/* Who is it? Ends in its owner's up. -1: it failed, the connection is down. */
int pg_greet_send(struct pg_conn *c);
const char *pg_greet_text(const struct pg_conn *c);
/* Reads the answer to that text; 0, or -1 and *e. */
int pg_greet_read(struct pg_conn *c, PGresult *res, struct err *e);
void pg_conn_flush(struct pg_conn *c);
void pg_conn_drain(struct pg_conn *c);
void pg_conn_pause(struct pg_conn *c, int paused);	/* then drain it */
void pg_conn_enter(struct pg_conn *c);
void pg_conn_leave(struct pg_conn *c);

/* --- prepared statements (pg_stmt.c) ------------------------------------------ */
struct pg_stmt *pg_stmt_find(struct pg_conn *c, const char *sql, size_t len);
/* A place for it, the oldest's when all are taken: *old is that one's name. */
struct pg_stmt *pg_stmt_make(struct pg_conn *c, const char *sql, size_t len,
			     char old[24]);
int pg_stmt_described(struct pg_stmt *s, const PGresult *res);
void pg_stmt_drop(struct pg_stmt *s);
void pg_stmt_drop_all(struct pg_conn *c);

/* --- the client (pg_client.c) --------------------------------------------------- */
struct pg_wait {		/* a task that waits for a connection */
	struct op op;
	struct pg_wait *next;
	struct pg_client *pc;	/* borrowed: on the waiting frame */
	struct pg_conn **out;	/* borrowed: where it goes */
	struct err *failed;	/* borrowed: where a failure goes; NULL: it is
				   raised */
	struct effect *effect;	/* borrowed or NULL: ended by a cancel */
	struct err why;
	double began;
	int linked;
};

struct pg_known {		/* a function of the server's: volatile? */
	char *name;		/* owned: f, o or r, then the name */
	int effect;
};

struct pg_client {
	struct target *target;	/* borrowed: user value 1 */
	struct pg_options o;	/* owned */
	struct pg_conn *conns;	/* owned list */
	int n_conns, n_opening;
	struct pg_wait *waits;
	struct pg_known *known;	/* owned */
	int n_known;
	double known_at;
	int pumping, again, closed;
	int console;		/* of pgbouncer: its database says so */
};

/* [-0, +0, v] the client at arg (or of the transaction there), open. */
struct pg_client *pg_check(lua_State *L, int arg, struct pg_conn **c);

/* --- its pool (pg_pool.c) --------------------------------------------------------- */
void pg_pump(struct pg_client *pc);
/* Ends all of it: who waits is told. */
void pg_pool_close(struct pg_client *pc, const struct err *e);
void pg_wait_join(struct pg_wait *w);
void pg_wait_leave(struct pg_wait *w);
void pg_wait_end(struct pg_wait *w, const struct err *e);	/* e: or NULL */
/* An idle connection, or NULL: await one. */
struct pg_conn *pg_lease(struct pg_client *pc);
/* Whoever waited for its job is gone: what comes is thrown away. */
void pg_conn_orphan(struct pg_conn *c);
/* Gives it back; what is open on it is rolled back first. */
void pg_unlease(struct pg_conn *c);

/* --- waiting (pg_wait.c) ------------------------------------------------------------ */
/* [-0, +0, v] Waits for one into *out. The last thing of a C function with
 * continuation k. failed, effect: as in pg_wait, or NULL. */
void pg_await_lease(lua_State *L, struct pg_client *pc, struct pg_conn **out,
		    double until, struct err *failed, struct effect *effect,
		    lua_KContext ctx, lua_KFunction k);
/* [-0, +0, v] Waits until c has no job; the same. */
void pg_await_idle(lua_State *L, struct pg_conn *c, double until,
		   lua_KContext ctx, lua_KFunction k);
/* [-0, +0, v] Waits some seconds; the same. */
void pg_await_time(lua_State *L, struct effect *effect, double seconds,
		   lua_KContext ctx, lua_KFunction k);

/* --- asking: one exchange, awaited (pg_ask.c) ----------------------------------- */
#define PG_RESULTS 6
struct pg_store;

struct pg_reply {		/* zero it; release it */
	PGresult *res[PG_RESULTS];	/* owned: by command */
	struct pg_store *store;	/* borrowed: rows of job.row_step; NULL */
	int lost;		/* the connection was lost (retry was set) */
	int failed;		/* the server refused (keep was set) */
	struct pg_error error;
};
void pg_reply_clear(struct pg_reply *r);

struct pg_ask {			/* what pg_await asks; copied */
	struct pg_conn *c;	/* borrowed */
	struct pg_reply *reply;	/* borrowed: lives on the frame */
	struct effect *effect;	/* borrowed or NULL: ended on failure */
	/* Queues the commands: PQsend*. 1, or 0 when one failed. */
	int (*send)(struct pg_conn *c, void *arg);
	void *arg;
	int syncs, row_step;
	double until, timeout;
	const char *verb;
	const char *sql;	/* borrowed: for the place of an error */
	size_t len;
	unsigned retry : 1;	/* lost: reply->lost, nothing is raised */
	unsigned keep : 1;	/* refused: reply->failed, the same */
	unsigned writes : 1;	/* effective when sent: a loss is unknown */
	unsigned commit : 1;	/* not to be cancelled on the server */
};

/* [-0, +0, v] Waits until it is answered. As pg_await_lease. Raises what the
 * server said, the loss, the cancel; ends the effect then. */
void pg_await(lua_State *L, const struct pg_ask *ask, lua_KContext ctx,
	      lua_KFunction k);

/* --- results (pg_result.c) -------------------------------------------------------- */
struct pg_column {
	Oid type;
	int format;
	int modifier;
	const char *name;	/* borrowed: Lua's, of the rows' columns */
};

struct pg_store {		/* rows: as they came, in one piece of memory */
	struct buf data;	/* owned: 4 bytes of length, then the value */
	struct buf at;		/* owned: size_t, where each row begins */
	PGresult *res;		/* owned: instead */
	long long rows;
	int columns;
	struct pg_column *col;	/* owned */
	struct buf names;	/* owned: NUL-ended, one a column */
	long long max;
	int full;		/* it had more than max bytes */
	int bad;		/* memory ran out */
};
void pg_store_init(struct pg_store *s, long long max);
void pg_store_release(struct pg_store *s);
int pg_store_header(struct pg_store *s, const PGresult *res);
void pg_store_add(struct pg_store *s, const PGresult *res);
/* NULL: it is NULL. row and column from 0. */
const char *pg_store_get(const struct pg_store *s, long long row, int column,
			 size_t *len);
/* [-0, +1, m] An empty rows userdata; it owns the store returned. */
struct pg_store *pg_rows_new(lua_State *L);
/* [-0, +0, m] Its store is complete: names and the like. */
void pg_rows_ready(lua_State *L, int idx);
void pg_rows_share(lua_State *L, int idx, int from);
void pg_row_push(lua_State *L, long long n, int meta);
void pg_row_fill(lua_State *L, const struct pg_store *s, long long n);
void pg_store_drop(struct pg_store *s);	/* its rows; not its columns */
void pg_open_result(lua_State *L);

/* --- types (pg_type.c, pg_value.c, pg_param.c, pg_json.c) ------------------------ */
/* Element type of an array type, 0 for none. */
Oid pg_type_element(Oid type);
int pg_type_delimiter(Oid element);
const char *pg_type_name(Oid type);	/* NULL: not a built-in */
int pg_type_binary(Oid type);		/* is binary as good or better? */
int pg_type_is_bytea(Oid type);
int pg_type_is_json(Oid type);
int pg_type_is_time(Oid type);
int pg_type_is_integer(Oid type);
/* [-0, +1, m] */
void pg_push_value(lua_State *L, Oid type, int format, const char *p,
		   size_t len);
/* [-0, +(0|1), m] 0: it is none that is known here, it may be an array's text. */
int pg_push_scalar(lua_State *L, Oid type, int format, const char *p,
		   size_t len);

struct pg_params {
	int n;
	int own;		/* room in the arrays */
	const char **value;	/* owned; what they point to is in data */
	int *len, *format;	/* owned */
	Oid *type;		/* owned */
	struct buf data;	/* owned */
};
void pg_params_release(struct pg_params *p);
/* [-0, +0, v] The n values from stack index `first`, for types (NULL: not
 * known). */
void pg_params_read(lua_State *L, struct pg_params *p, int first, int n,
		    const Oid *types);
/* [-0, +1, m] json decode and encode, given by opsh.postgres */
void pg_push_json(lua_State *L, int encode);
void pg_open_json(lua_State *L);

/* --- judging (pg_judge.c) --------------------------------------------------------- */
/* [-0, +0, v] Judges; raises kind usage for what can't be sent on its own; copy: it
 * is for copy_in or copy_out. */
void pg_judge(lua_State *L, struct pg_sql_verdict *v, const char *sql,
	      size_t len, int copy);
/* Is there a name among them that the server has to be asked about? Then the
 * parameters of the question are in *arrays, NUL-ended. */
int pg_judge_asks(struct pg_client *pc, struct pg_sql_verdict *v,
		  struct buf *arrays);
int pg_judge_send(struct pg_conn *c, void *arrays);
/* Takes the answer in. 0, -1 no memory. */
int pg_judge_learn(struct pg_client *pc, const PGresult *res);
void pg_judge_forget(struct pg_client *pc);
void pg_open_judge(lua_State *L);

/* --- calls (pg_call.c, pg_stage.c and its stages) --------------------------------- */
enum pg_how { PG_QUERY, PG_EXEC, PG_AUTO, PG_ROWS_OF, PG_COPY_OF, PG_END };
enum pg_stage { PG_S_LEASE, PG_S_IDENT, PG_S_LOOKUP, PG_S_BEGIN, PG_S_PREPARE,
		PG_S_RUN, PG_S_COMMIT, PG_S_PROBE, PG_S_END };

struct pg_call {
	struct op op;
	struct effect effect;
	struct pg_client *pc;	/* borrowed: on the waiting frame */
	struct pg_conn *c;	/* leased, or the transaction's */
	int lent;		/* c is a transaction's */
	enum pg_how how;
	/* NULL, or: what is pushed as its result, by who began it */
	int (*push)(lua_State *L, struct pg_call *call);
	int automatic;		/* how follows the class */
	enum pg_stage stage;
	int asked;		/* its exchange is over: the reply is there */
	struct pg_sql_verdict verdict;	/* owned */
	const char *sql;	/* borrowed: stack index 2 */
	size_t len;
	int first, opts;	/* stack indices of parameters, options; 0 */
	struct pg_params params;	/* owned */
	struct pg_stmt *stmt;	/* borrowed: from c */
	struct pg_reply reply;	/* owned */
	struct pg_store *store;	/* borrowed: from the rows at index `rows` */
	int rows;
	char verb[48];
	double until, timeout;
	long long max;
	int in_tx;		/* BEGIN of ours was sent */
	int bare;		/* no transaction of ours around it */
	int unsaved;		/* a read in a transaction, without a savepoint */
	int tries;
	int cached;		/* stmt was there already */
	int at;			/* of its commands, the statement */
	char xid[24];		/* its transaction, for the probe */
	char ident[128];	/* the server it was sent to */
	char crash[40];		/* and when that had last crashed */
	PGresult *result;	/* owned: the statement's, while it commits */
	struct err lost;	/* why the reply to COMMIT didn't come */
	struct err unreachable;	/* why it can't be probed */
	struct err attempt;	/* the last failure to connect for it */
	double probe_until;
	struct buf query;	/* owned: a statement of ours */
	struct buf notices;	/* owned: NUL-ended */
	int n_notices, notices_cut;
	struct pg_tx *tx;	/* borrowed: at 1, or NULL */
	int reuse;		/* rows: one table for all */
	int stream;		/* rows of what is no SELECT */
	int opens;		/* its transaction's snapshot is taken before it */
	char cursor[24];	/* its name */
	char drop[24];		/* a prepared statement to be dropped */
};

struct pg_tx {			/* userdata PG_TX; user value 1: the client */
	struct pg_conn *c;	/* held; NULL once it ended */
	int wrote;		/* something was sent that may have changed */
	int readonly;
	int begun;		/* its snapshot was taken */
	double timeout;
};

/* --- a call's life (pg_call.c) */
struct pg_call *pg_call_make(lua_State *L, struct pg_client *pc,
			     enum pg_how how);
/* Fills in what all asks of a call have in common. */
void pg_call_ask(struct pg_call *call, struct pg_ask *a,
		 int (*send)(struct pg_conn *, void *), int syncs);
/* Its connection was lost before anything was applied: another one. */
void pg_call_again(lua_State *L, struct pg_call *call);
/* Ends the effect and raises. */
_Noreturn void pg_call_fail(lua_State *L, struct pg_call *call,
			    struct pg_error *e);
void pg_call_give_back(struct pg_call *call);	/* its connection */

/* --- its way (pg_args.c; pg_ready.c, pg_send.c, pg_commit.c: stages, 1: done,
 * 0: the stage was set anew or asks again) */
struct pg_call *pg_call_read(lua_State *L, enum pg_how how);
_Noreturn void pg_refuse_write(lua_State *L, struct pg_call *call);
/* The boundary. 0: withheld, and its stand-in is pushed. */
int pg_begin(lua_State *L, struct pg_call *call);
int pg_lease_one(lua_State *L, struct pg_call *call, lua_KFunction k);
int pg_identity(lua_State *L, struct pg_call *call, lua_KFunction k);
int pg_lookup(lua_State *L, struct pg_call *call, lua_KFunction k);
int pg_prepare(lua_State *L, struct pg_call *call, lua_KFunction k);
int pg_run(lua_State *L, struct pg_call *call, lua_KFunction k);
int pg_commit(lua_State *L, struct pg_call *call, lua_KFunction k);
int pg_probe(lua_State *L, struct pg_call *call, lua_KFunction k);
int pg_format_of(const struct pg_stmt *s);
/* pg_stage.c: all of it, to the result. */
int pg_call_go(lua_State *L, struct pg_call *call);
#define PG_FIRST 64		/* rows of the first FETCH */

/* --- the parts of the module ------------------------------------------------------ */
void pg_open_client(lua_State *L);
void pg_open_stage(lua_State *L);
void pg_open_tx(lua_State *L);
void pg_open_cursor(lua_State *L);
void pg_open_copy(lua_State *L);
void pg_open_listen(lua_State *L);

#endif
