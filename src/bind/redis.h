/*
 * redis: what the redis_*.c files share and nobody else sees. A client (one a
 * target) has one shared connection, on which the calls of all tasks are
 * pipelined, and dedicated ones for what would hold it up: blocking commands,
 * WATCH, subscriptions.
 */
#ifndef OPSH_BIND_REDIS_H
#define OPSH_BIND_REDIS_H

#include <lua.h>

#include "bind/net.h"
#include "bind/resp.h"
#include "bind/tls.h"
#include "core/op.h"
#include "effect/effect.h"

#define REDIS_CLIENT "opsh.redis.client"
#define REDIS_LEASE "opsh.redis.lease"
#define REDIS_SUB "opsh.redis.sub"

#define REDIS_NAME 64		/* a command, with its subcommand */
#define REDIS_IDLE 4		/* dedicated connections kept for later */
#define REDIS_DEDICATED 1000	/* at once */
#define REDIS_FRESH 1.0		/* seconds that an identity counts as read */

struct redis_client;
struct redis_conn;
struct redis_find;
struct loop_timer;

/* --- options: as given, owned by the client ------------------------------ */
struct redis_addr {
	char *host, *port;
};

struct redis_options {
	struct redis_addr addr;		/* of the server, unless unix or
					   Sentinel */
	char *path;
	char *user, *pass;		/* pass is wiped */
	size_t pass_len;
	int db;
	int use_tls;
	char *ca, *cert, *key, *server_name;
	struct redis_addr *sentinels;
	int n_sentinels;
	char *master_name, *sentinel_user, *sentinel_pass;
	size_t sentinel_pass_len;
	double timeout, connect_timeout;
	size_t max_reply;
	long long max_elements;
};

/* --- a request on a connection -------------------------------------------- */
struct redis_req {
	struct redis_req *next;
	long long want, left;		/* replies */
	unsigned long long from, end;	/* its bytes in the stream */
	unsigned long long commit;	/* handed out up to here: may be applied */
	double deadline;		/* loop_now(); 0 none */
	int dropped;			/* nobody waits any more */
	/* NULL, or: some more replies are whole; they may be taken early. */
	void (*progress)(struct redis_req *req, struct redis_conn *c);
	/* Off the queue already. The replies are the first len bytes at
	 * redis_conn_reply(); they go when this returns. */
	void (*done)(struct redis_req *req, struct redis_conn *c, size_t len);
	/* The connection is gone. maybe: it may have been applied. */
	void (*lost)(struct redis_req *req, struct redis_conn *c,
		     const struct err *e, int maybe);
};

/* --- a connection ------------------------------------------------------------ */
enum redis_state { REDIS_DOWN, REDIS_FINDING, REDIS_OPENING, REDIS_GREETING,
		   REDIS_READY };

struct redis_conn {
	struct redis_client *rc;	/* borrowed */
	struct redis_conn *next;	/* of the client's dedicated ones */
	enum redis_state state;
	struct net *net;		/* owned */
	struct redis_find *find;	/* owned: Sentinel at work */
	struct loop_timer *deadline;	/* owned: of the opening */
	struct loop_timer *flush;	/* owned: writes what has gathered */
	struct buf in, out;		/* owned */
	size_t in_at;			/* replies before it are handed out */
	size_t out_at;			/* bytes before it are written */
	unsigned long long written;	/* stream offset of out_at */
	struct resp_scan scan;
	struct redis_req *head, *tail;
	struct redis_req greet;		/* handshake, or identity again */
	int greet_auth, greet_db;	/* replies that the handshake expects */
	int asking;			/* greet is on its way */
	double asked_at, until;
	char peer[288];
	int dedicated, idle, used;	/* used: was ready once */
	int busy, dead;			/* freed when not busy */
	/* subscription: replies belong to no request, this reads them; or NULL */
	void (*pushed)(struct redis_conn *c);
	long long whole;		/* replies in `in`, not handed out */
	struct op *reader;		/* borrowed: who waits for one */
	struct err gone;		/* why a subscription ended */
};

/* What a client hears of its connections, on the loop. */
struct redis_news {
	void (*up)(struct redis_conn *c);
	void (*down)(struct redis_conn *c, const struct err *e, int was_ready);
	/* an identity, a command's class: what waits for it can go on */
	void (*learned)(struct redis_client *rc);
};

void redis_conn_init(struct redis_conn *c, struct redis_client *rc);
void redis_conn_ready(struct redis_conn *c);	/* handshake answered */
void redis_conn_readable(void *c);	/* of net_events, as the next */
void redis_conn_writable(void *c);
/* Queues encoded commands. `commit`: bytes after which they may be applied.
 * -1: out of memory, nothing queued. */
int redis_conn_send(struct redis_conn *c, struct redis_req *req,
		    const char *data, size_t len, size_t commit);
const char *redis_conn_reply(const struct redis_conn *c);
/* Moves the replies of a done() to *out: swaps buffers when they are all that
 * is there, copies otherwise. */
void redis_conn_take(struct redis_conn *c, size_t len, struct buf *out);
/* The head's replies that are whole but not handed over: their bytes, from
 * redis_conn_reply(); 0 when one of them is an error. */
size_t redis_conn_early(const struct redis_conn *c);
void redis_conn_early_taken(struct redis_conn *c, size_t len);
/* Takes a request back if no byte of it went out: 1, else 0. */
int redis_conn_unsend(struct redis_conn *c, struct redis_req *req);
int redis_conn_maybe(const struct redis_conn *c, const struct redis_req *req);
/* Is its oldest reply overdue? Then it is not to be used again. */
int redis_conn_stuck(const struct redis_conn *c);
/* Ends it: each request is lost, the client hears of it. */
void redis_conn_down(struct redis_conn *c, const struct err *e);
void redis_conn_free(struct redis_conn *c);	/* a dedicated one; NULL ok */
void redis_conn_stop(struct redis_conn *c);	/* closes, keeps the struct */
enum err_phase redis_conn_phase(const struct redis_conn *c);
const char *redis_where(const struct redis_conn *c);	/* "host:port" */

/* --- opening it (redis_dial.c) --------------------------------------------------- */
/* Begins to; the client hears how it ends. -1: *e. */
int redis_dial(struct redis_conn *c, struct err *e);

/* --- handshake and identity (redis_greet.c) -------------------------------------- */
int redis_greet(struct redis_conn *c, int handshake);	/* -1: no memory */

/* --- Sentinel (redis_find.c) ------------------------------------------------------- */
struct redis_found {
	void (*found)(struct redis_conn *c, const char *host,
		      const char *port);
	void (*none)(struct redis_conn *c, const struct err *e);
};
/* Asks the Sentinels in turn; one of *told follows. -1: no memory */
int redis_find_start(struct redis_conn *c, const struct redis_found *told);
/* What was found is no master: asks again a little later. 0 when there is no
 * time left. */
int redis_find_again(struct redis_conn *c);
void redis_find_free(struct redis_find *f);		/* NULL ok */

/* --- classes (redis_class.c) --------------------------------------------------------- */
#define REDIS_F_LISTED 1	/* the server lists it */
#define REDIS_F_REFUSED 2	/* the server won't say: ACL */
#define REDIS_F_READONLY 4
#define REDIS_F_WRITE 8
#define REDIS_F_BLOCKING 16
#define REDIS_F_ABSENT 32	/* it doesn't list it */
#define REDIS_F_ASKED 64	/* on its way */

struct redis_known {
	char name[REDIS_NAME];	/* "GET", "CONFIG|GET"; "" a free place */
	unsigned flags;
};
struct redis_classes {		/* open addressing */
	struct redis_known *at;	/* owned */
	size_t cap, used;
	char run_id[64];	/* of the server that said it */
};

/* The table (redis_table.c): what the flags don't say. */
#define REDIS_T_READ 1
#define REDIS_T_KNOWN 2
#define REDIS_T_LOSES 4
#define REDIS_T_BLOCKS 8
#define REDIS_T_NOT 16
struct redis_row {
	const char *name;
	unsigned flags;
	const char *advice;	/* of T_NOT: what to use instead */
};
const struct redis_row *redis_row(const char *name);	/* NULL: not there */
/* Is the second word of such a command part of its name? */
int redis_is_container(const char *name);

/* What a command does, from its words. */
struct redis_verdict {
	enum effect_class cls;
	int blocking;		/* may hold the connection */
	double block;		/* for so many seconds; -1 without end */
	const char *advice;	/* not NULL: not by this way; what to use */
};

/* The name under which the class is known: upper case, "NAME" or "NAME|SUB";
 * -1 when it can't be a command. */
int redis_command_name(char out[REDIS_NAME], const char *name, size_t len,
		       const char *sub, size_t sub_len);
struct redis_known *redis_known(struct redis_classes *k, const char *name);
/* Asks the server about `name` on c; the client hears when it answers. */
int redis_learn(struct redis_conn *c, const char *name);	/* -1: no memory */
void redis_forget(struct redis_classes *k);
/* Judges one encoded command at p. 1 done; 0: name[] must be learned first. */
int redis_judge(struct redis_client *rc, const char *p, const char *end,
		char name[REDIS_NAME], struct redis_verdict *v);

/* --- the client (redis_client.c) ------------------------------------------------------- */
struct redis_call;

/* A task that waits until a connection can take its call. */
struct redis_wait {
	struct op op;
	struct redis_wait *next;
	struct redis_client *rc;	/* borrowed: on the waiting frame */
	struct redis_conn *c;		/* borrowed */
	char name[REDIS_NAME];		/* class to learn; "" none */
	double ident_after;		/* identity read after this; 0 any */
	int tries;
	struct err why;			/* raised by push, after its record */
	int linked;
};

struct redis_client {
	struct target *target;		/* borrowed: user value 1 */
	const struct redis_news *news;	/* borrowed: static */
	struct redis_options o;		/* owned */
	struct tls_ctx *tls;		/* owned; made when first needed */
	struct redis_conn shared;
	struct redis_conn *dedicated;	/* owned list */
	int n_dedicated;
	struct redis_classes classes;
	struct redis_wait *waits;
	struct redis_call *resend;	/* reads that wait for a connection */
	struct buf spare;		/* owned: a receive buffer to reuse */
	double ident_at;		/* when the last identity was asked */
	int pumping, again;
	int closed;
};

/* redis_options.c: [-0, +0, v] reads the table at arg. */
void redis_options_read(lua_State *L, int arg, struct redis_options *o);
void redis_options_release(struct redis_options *o);

/* [-0, +0, v] the client at arg, open; a lease's too (then *c is its). */
struct redis_client *redis_check(lua_State *L, int arg,
				 struct redis_conn **c);
/* redis_lease.c */
/* A dedicated connection, idle or new (state DOWN). NULL: no memory or too
 * many (*e). */
struct redis_conn *redis_lease(struct redis_client *rc, struct err *e);
void redis_unlease(struct redis_conn *c, int clean);
/* redis_wait.c */
void redis_pump(struct redis_client *rc);	/* lets waiting calls go on */
/* Waits on c fail; those of one that was lost stay, once. */
void redis_fail_waits(struct redis_conn *c, const struct err *e,
		      int was_ready);
void redis_end_waits(struct redis_client *rc, const struct err *e);
/* Can c take a call now? name, after: as in redis_wait. */
int redis_usable(struct redis_conn *c, const char *name, double after);
/* [-0, +0, v] Waits until it can. As the last thing of a C function with
 * continuation k, which asks again. */
void redis_await(lua_State *L, struct redis_conn *c, const char *name,
		 double after, double until, lua_KContext ctx,
		 lua_KFunction k);
/* [-0, +0, v] Lets the loop turn once; as redis_await. */
void redis_turn(lua_State *L, lua_KContext ctx, lua_KFunction k);

/* --- calls (redis_call.c, redis_end.c, redis_args.c, redis_push.c) ------- */
enum redis_shape { REDIS_ONE, REDIS_FLAT, REDIS_LIST, REDIS_ATOMIC };

struct redis_call {
	struct op op;
	struct redis_req req;
	struct effect effect;
	struct redis_client *rc;	/* borrowed: on the waiting frame */
	struct redis_conn *c;		/* borrowed; NULL once it is done */
	struct redis_call *next;	/* in rc->resend */
	enum redis_shape shape;
	long long n;			/* commands */
	int words;			/* FLAT: that each begins with */
	struct buf enc;			/* owned: what is sent */
	struct buf text;		/* owned: the request, for the record */
	size_t first;			/* length of its first command */
	enum effect_class cls;
	unsigned char *writes;		/* owned: LIST, ATOMIC: each a write? */
	char verb[REDIS_NAME];
	char name[REDIS_NAME];		/* class that must be learned */
	double until, timeout;		/* loop_now(); seconds as given */
	int timeout_given;
	int opts;			/* stack index of the options, 0 none */
	int map;			/* RESP_MAP */
	int keep_errors;
	int leased;			/* we lease c for this call */
	int lent;			/* c is a lease of Lua's */
	long long handed;		/* replies decoded before the last came */
	int table;			/* stack index of the results, then */
	struct op *part;		/* borrowed: who waits for more replies */
	int looked;			/* for the peer's end, before a write */
	int judged, blocking, resent;
	int waiting;			/* in rc->resend */
	int tries;
	struct buf reply;		/* owned */
	char small[160];		/* .. or here */
	const char *data;		/* the replies: one of the two */
	size_t len;
};

/* redis_args.c: [-0, +0, v] encode arguments into call->enc and set call->n. */
/* words, then the values first..last. */
void redis_encode_one(lua_State *L, struct redis_call *call, int first,
		      int last, const char *const *words);
/* One command (words of the string at `name`) for each element of `list`. */
void redis_encode_flat(lua_State *L, struct redis_call *call, int name,
		       int list, lua_Integer from, lua_Integer to);
void redis_encode_list(lua_State *L, struct redis_call *call, int list);
void redis_encode_line(lua_State *L, struct redis_call *call, int arg);
/* Is the value a table of named options (no list)? */
int redis_is_options(lua_State *L, int idx);
/* The request's text into call->text, at most what a record holds. */
void redis_describe(struct redis_call *call);

/* redis_push.c */
/* [-0, +0, m] Decodes replies that are there already into call->table. */
void redis_push_early(lua_State *L, struct redis_call *call);
int redis_push(lua_State *L, struct op *op);
/* Looks at a call's replies, of which `errors` are errors: ends its effect,
 * fills op->err. */
void redis_settle(struct redis_call *call, long long errors);

/* redis_end.c */
extern const struct op_class redis_call_class;
void redis_call_init(struct redis_call *call);
/* Parks; decodes replies while the rest is on its way. In place of op_park. */
int redis_stream(lua_State *L, struct redis_call *call);
void redis_resend(struct redis_client *rc);	/* shared is ready: send them */
void redis_resend_fail(struct redis_client *rc, const struct err *e);
void redis_open_sub(lua_State *L);	/* into the module on top */
void redis_open_client(lua_State *L);
void redis_open_call(lua_State *L);

#endif
