/*
 * pg_call: a statement from its arguments to its result: judge, lease, identity,
 * boundary, prepare, run, commit. A read runs in a READ ONLY transaction, a
 * write in one of its own whose commit can be probed (pg_commit.c), or in the
 * one of the caller. What is sent is in pg_send.c.
 */
#include "bind/pg.h"

#include <stdio.h>
#include <string.h>

#include "bind/pg_sql_func.h"
#include "core/lx.h"
#include "core/mem.h"
#include "effect/lock.h"
#include "effect/policy.h"
#include "effect/withheld.h"

#define MAX_TRIES 3

static int call_k(lua_State *L, int status, lua_KContext ctx);

static void no_memory(lua_State *L)
{
	err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
}

/* --- its life ----------------------------------------------------------------- */
static void give_back(struct pg_call *call)
{
	struct pg_conn *c = call->c;

	call->c = NULL;
	call->stmt = NULL;
	if (c && !call->lent)
		pg_unlease(c);
}

static void call_release(struct op *op)
{
	struct pg_call *call = (struct pg_call *)op;

	pg_reply_clear(&call->reply);
	PQclear(call->result);
	give_back(call);
	effect_abandon(&call->effect);
	pg_sql_free(&call->verdict);
	pg_params_release(&call->params);
	buf_release(&call->query);
	buf_release(&call->notices);
}

static const struct op_class call_class = {
	"postgres statement", NULL, NULL, call_release
};

void pg_call_fail(lua_State *L, struct pg_call *call, struct pg_error *e)
{
	struct pg_error copy = *e;

	if (copy.e.outcome == OUTCOME_NONE)
		copy.e.outcome = OUTCOME_FAILED;
	snprintf(copy.e.target, sizeof copy.e.target, "%s",
		 call->pc->target->name);
	snprintf(copy.e.op, sizeof copy.e.op, "%s", call->verb);
	effect_end(&call->effect, copy.e.outcome, -1, -1, &copy.e);
	give_back(call);
	pg_error_raise(L, &copy, call->sql, call->len);
}

/* --- arguments ------------------------------------------------------------------- */
static void read_options(lua_State *L, struct pg_call *call, int opts)
{
	static const char *const names[] = { "timeout", "max", "expect",
					     "class", "savepoint", NULL };
	static const char *const rows[] = { "timeout", "reuse", "max", NULL };
	const char *cls;

	lx_opt_begin(L, opts, call->how == PG_ROWS_OF ? rows : names);
	call->reuse = lx_opt_bool(L, opts, "reuse", 0);
	lua_getfield(L, opts, "timeout");
	call->timeout = lx_optseconds(L, lua_gettop(L), call->timeout);
	lua_pop(L, 1);
	call->max = lx_opt_int(L, opts, "max", call->max);
	call->unsaved = !lx_opt_bool(L, opts, "savepoint", 1);
	if (call->unsaved && !(call->tx && call->tx->readonly))
		err_raisef(L, ERR_USAGE, "", "option 'savepoint' is for reads "
			   "of a transaction with readonly = true");
	cls = lx_opt_str(L, opts, "class", NULL);
	if (cls && !strcmp(cls, "destructive"))
		call->verdict.cls = EFFECT_DESTRUCTIVE;
	else if (cls && !strcmp(cls, "write") &&
		 call->verdict.cls == EFFECT_READ)
		call->verdict.cls = EFFECT_WRITE;
	else if (cls && strcmp(cls, "write"))
		err_raisef(L, ERR_USAGE, "", "option 'class' is 'write' or "
			   "'destructive', not '%s'", cls);
	lua_pop(L, 1);
}

/* A table of named options, as the last argument. */
static int is_options(lua_State *L, int idx)
{
	return lua_istable(L, idx) && lua_rawlen(L, idx) == 0 &&
	       !luaL_getmetafield(L, idx, "__name");
}

/* Parameters, then options: how many there are, the statement says. */
static void read_arguments(lua_State *L, struct pg_call *call, int top)
{
	int n = call->verdict.parameters, given = top - 2;

	call->first = 3;
	if (call->verdict.error)	/* not known: a newer grammar */
		n = given - (given > 0 && is_options(L, top));
	if (given < n)
		err_raisef(L, ERR_USAGE, "", "the statement has %d parameter%s,"
			   " %d given", n, n == 1 ? "" : "s", given);
	if (given > n + 1 || (given == n + 1 && !lua_istable(L, top) &&
			      !lua_isnil(L, top)))
		err_raisef(L, ERR_USAGE, "", "the statement has %d parameter%s,"
			   " %d given: after them comes a table of options, "
			   "nothing else", n, n == 1 ? "" : "s", given);
	call->params.n = n;
	if (given == n + 1 && lua_istable(L, top)) {
		call->opts = top;
		read_options(L, call, top);
	}
}

static void unreadable(lua_State *L, struct pg_call *call)
{
	struct pg_error e;
	long i;

	memset(&e, 0, sizeof e);
	err_set(&e.e, ERR_USAGE, "42601", "%s", call->verdict.error);
	e.position = 1;
	for (i = 0; i < call->verdict.error_at && (size_t)i < call->len; i++)
		e.position += ((unsigned char)call->sql[i] & 0xc0) != 0x80;
	pg_error_raise(L, &e, call->sql, call->len);
}

/* What would stay in a session that other calls get next. */
static void refuse_session(lua_State *L, struct pg_call *call)
{
	struct err e;

	err_set(&e, ERR_USAGE, "", "'%s' acts on its session, and calls share "
		"those", call->verdict.tags.count ? call->verdict.tags.name[0] :
		"the statement");
	snprintf(e.hint, sizeof e.hint, "within transaction(): SET LOCAL, "
		 "pg_advisory_xact_lock; listen() for LISTEN; for all sessions: "
		 "options=-c%%20NAME=VALUE in the URL");
	err_raise(L, &e);
}

/* A guard for SELECT would say nothing: the function that makes it destructive is
 * named, which the verdict's reason begins with. */
static int set_verb_function(struct pg_call *call)
{
	const struct pg_sql_verdict *v = &call->verdict;
	char name[sizeof call->verb];

	if (v->cls != EFFECT_DESTRUCTIVE || !v->tags.count ||
	    strcmp(v->tags.name[0], "SELECT"))
		return 0;
	snprintf(name, sizeof name, "%.*s", (int)strcspn(v->why, " "), v->why);
	if (!pg_sql_func_effect(name))
		return 0;
	memcpy(call->verb, name, sizeof name);
	return 1;
}

static void set_verb(struct pg_call *call)
{
	if (set_verb_function(call))
		return;
	snprintf(call->verb, sizeof call->verb, "%.47s",
		 call->verdict.tags.count ? call->verdict.tags.name[0] :
		 call->how == PG_EXEC ? "exec" : "query");
}

static int console_reads(const char *sql, size_t len)
{
	return len >= 5 && !strncasecmp(sql, "show ", 5);
}

struct pg_call *pg_call_make(lua_State *L, struct pg_client *pc,
			     enum pg_how how)
{
	struct pg_call *call = (struct pg_call *)op_new(L, &call_class,
							sizeof *call);

	buf_init(&call->query);
	buf_init(&call->notices);
	buf_init(&call->params.data);
	call->pc = pc;
	call->how = how;
	call->timeout = pc->o.timeout;
	call->max = pc->o.max;
	return call;
}

struct pg_call *pg_call_read(lua_State *L, enum pg_how how)
{
	struct pg_conn *lent;
	struct pg_client *pc = pg_check(L, 1, &lent);
	struct pg_tx *tx = lent ? pg_tx_check(L, 1) : NULL;
	int top = lua_gettop(L);
	struct pg_call *call;
	const char *sql;
	size_t len;

	sql = lx_checkstr(L, 2, &len);
	call = pg_call_make(L, pc, how);
	call->c = lent;
	call->lent = lent != NULL;
	call->tx = tx;
	call->sql = sql;
	call->len = len;
	if (tx && tx->timeout > 0)
		call->timeout = tx->timeout;
	if (pc->console) {
		call->verdict.cls = console_reads(sql, len) ? EFFECT_READ :
			EFFECT_WRITE;
		call->bare = 1;
	} else {
		pg_judge(L, &call->verdict, sql, len, how == PG_COPY_OF);
		if (call->verdict.error && how != PG_EXEC)
			unreadable(L, call);
	}
	read_arguments(L, call, top);
	call->automatic = how == PG_AUTO;
	if (how == PG_AUTO)
		call->how = call->verdict.cls == EFFECT_READ ? PG_QUERY :
			PG_EXEC;
	set_verb(call);
	call->until = loop_now() + call->timeout;
	call->store = pg_rows_new(L);
	call->store->max = call->max;
	call->rows = lua_gettop(L);
	call->reply.store = call->store;
	if (!call->bare && !call->lent && call->verdict.cls != EFFECT_READ)
		call->bare = call->verdict.block != PG_SQL_ANY;
	return call;
}

/* --- before it is sent ---------------------------------------------------------------- */
static int is_write(const struct pg_call *call)
{
	return call->verdict.cls != EFFECT_READ;
}

static int send_lookup(struct pg_conn *c, void *arg)
{
	return pg_judge_send(c, &((struct pg_call *)arg)->query);
}

static int send_identity(struct pg_conn *c, void *arg)
{
	(void)arg;
	c->asked_at = loop_now();
	return PQsendQuery(c->pg, pg_greet_text(c));
}

void pg_call_ask(struct pg_call *call, struct pg_ask *a,
		 int (*send)(struct pg_conn *, void *), int syncs)
{
	memset(a, 0, sizeof *a);
	a->c = call->c;
	a->reply = &call->reply;
	a->effect = call->effect.open ? &call->effect : NULL;
	a->send = send;
	a->arg = call;
	a->syncs = syncs;
	a->row_step = -1;
	a->until = call->until;
	a->timeout = call->timeout;
	a->verb = call->verb;
	a->sql = call->sql;
	a->len = call->len;
	call->asked = 1;
}

static void ask(lua_State *L, struct pg_call *call,
		int (*send)(struct pg_conn *, void *))
{
	struct pg_ask a;

	pg_call_ask(call, &a, send, 0);
	a.sql = NULL;
	a.retry = 1;
	pg_await(L, &a, (lua_KContext)call, call_k);
}

/* The connection was lost before anything of the call was sent: another one,
 * some times. */
void pg_call_again(lua_State *L, struct pg_call *call)
{
	struct pg_error e = call->reply.error;

	if (call->lent || ++call->tries >= MAX_TRIES) {
		e.e.outcome = OUTCOME_FAILED;
		pg_call_fail(L, call, &e);
	}
	give_back(call);
	call->in_tx = 0;
	call->asked = 0;
	call->stage = PG_S_LEASE;
}

/* 1: has it. */
static int do_lease(lua_State *L, struct pg_call *call)
{
	if (!call->c) {
		pg_await_lease(L, call->pc, &call->c, call->until, NULL,
			       NULL, (lua_KContext)call, call_k);
		return 0;
	}
	if (call->c->job) {
		pg_await_idle(L, call->c, call->until, (lua_KContext)call,
			      call_k);
		return 0;
	}
	return 1;
}

static int stale(const struct pg_call *call)
{
	return is_write(call) && !call->lent && !call->c->console &&
	       loop_now() - call->c->ident_at > PG_FRESH;
}

/* 1: the server is who it was, or it is not asked. */
static int do_identity(lua_State *L, struct pg_call *call)
{
	struct err e;

	if (!call->asked) {
		if (is_write(call))
			lock_ready(L);	/* it may turn the loop: not below */
		if (!stale(call))
			return 1;
		ask(L, call, send_identity);
	}
	call->asked = 0;
	if (call->reply.lost) {
		pg_call_again(L, call);
		return 0;
	}
	if (pg_greet_read(call->c, call->reply.res[0], &e) < 0)
		err_raise(L, &e);
	return 1;
}

static int do_lookup(lua_State *L, struct pg_call *call)
{
	if (!call->asked) {
		if (!pg_judge_asks(call->pc, &call->verdict, &call->query))
			return 1;
		if (!buf_ok(&call->query))
			no_memory(L);
		ask(L, call, send_lookup);
	}
	call->asked = 0;
	if (call->reply.lost) {
		pg_call_again(L, call);
		return 0;
	}
	if (pg_judge_learn(call->pc, call->reply.res[0]) < 0)
		no_memory(L);
	pg_judge_asks(call->pc, &call->verdict, &call->query);
	if (!is_write(call))
		return 1;
	call->stage = PG_S_IDENT;	/* it was not known before */
	if (call->automatic)
		call->how = PG_EXEC;
	return 0;
}

static void refuse_write(lua_State *L, struct pg_call *call)
{
	struct err e;

	err_set(&e, ERR_USAGE, "", "'%s' is %s%s%s: query is for reads, use "
		"exec", call->verb, call->verdict.cls == EFFECT_WRITE ?
		"a write" : "destructive", call->verdict.why[0] ? ", " : "",
		call->verdict.why);
	e.outcome = OUTCOME_REFUSED;
	snprintf(e.target, sizeof e.target, "%s", call->pc->target->name);
	snprintf(e.op, sizeof e.op, "%s", call->verb);
	err_raise(L, &e);
}

/* What a standby takes although it is no read. */
static int standby_takes(const char *tag)
{
	static const char *const tags[] = { "SELECT", "ALTER SYSTEM",
		"CHECKPOINT", "SET", "RESET", "LOAD", "DISCARD", "CALL", "DO",
		"DEALLOCATE", "LISTEN", NULL };
	int i;

	for (i = 0; tags[i]; i++)
		if (!strncmp(tag, tags[i], strlen(tags[i])))
			return 1;
	return 0;
}

/* Connected to a standby by mistake: said before anything is sent. */
static void check_standby(lua_State *L, struct pg_call *call)
{
	struct err e;

	if (!call->c->standby || call->c->console || !is_write(call) ||
	    call->pc->target->role_wanted[0] ||
	    standby_takes(call->verdict.tags.count ?
			  call->verdict.tags.name[0] : call->verb))
		return;
	err_set(&e, ERR_REFUSED, "ROLE", "'%s' is a standby: '%s' was not "
		"sent", pg_where(call->c), call->verb);
	snprintf(e.hint, sizeof e.hint, "target_session_attrs=read-write finds "
		 "the primary among several hosts; role = \"primary\" in the "
		 "targets file keeps it so");
	e.outcome = OUTCOME_REFUSED;
	snprintf(e.target, sizeof e.target, "%s", call->pc->target->name);
	err_raise(L, &e);
}

/* It was begun on a connection that was lost before anything was sent; the new
 * one may lead elsewhere. */
static int check_same(lua_State *L, struct pg_call *call)
{
	const struct target *t = call->pc->target;
	struct pg_error e;

	if (!is_write(call) || !t->changed_from[0])
		return 1;
	memset(&e, 0, sizeof e);
	err_set(&e.e, ERR_CHANGED, "", "'%s' is not what it was: was %s, is %s "
		"role=%s; '%s' was not sent", t->name, t->changed_from,
		t->identity, t->role, call->verb);
	pg_call_fail(L, call, &e);
}

/* The judge read the text with these: it holds for no other session. */
static void check_reading(lua_State *L, struct pg_call *call)
{
	static const char *const needed[][2] = {
		{ "standard_conforming_strings", "on" },
		{ "client_encoding", "UTF8" },
	};
	const char *value;
	struct err e;
	size_t k;

	for (k = 0; k < 2 && !call->c->console; k++) {
		value = PQparameterStatus(call->c->pg, needed[k][0]);
		if (!value || !strcmp(value, needed[k][1]))
			continue;
		err_set(&e, ERR_REFUSED, "", "'%s' is %.20s in the session, so "
			"'%s' can't be judged: expected %s", needed[k][0], value,
			call->verb, needed[k][1]);
		e.outcome = OUTCOME_REFUSED;
		snprintf(e.target, sizeof e.target, "%s",
			 call->pc->target->name);
		err_raise(L, &e);
	}
}

/* Asks the boundary. 0: withheld, and its stand-in is pushed. */
static int do_begin(lua_State *L, struct pg_call *call)
{
	struct effect_call what;

	if (call->effect.open)
		return check_same(L, call);
	if ((call->how == PG_QUERY || call->how == PG_ROWS_OF) &&
	    is_write(call))
		refuse_write(L, call);
	check_standby(L, call);
	check_reading(L, call);
	/* modes come first: a plan withholds it, read mode refuses a write */
	if (!call->lent && (call->verdict.flags & PG_SQL_SESSION) &&
	    (!is_write(call) || policy_mode() == MODE_WRITE))
		refuse_session(L, call);
	memset(&what, 0, sizeof what);
	what.target = call->pc->target;
	what.cls = call->verdict.cls;
	what.verb = call->verb;
	what.request = call->sql;
	what.request_len = call->len;
	what.timeout = call->timeout;
	if (effect_begin(L, &call->effect, &what) == EFFECT_WITHHELD) {
		effect_push_withheld(L, &call->effect, call->opts);
		return 0;
	}
	return 1;
}

/* begin(call, options) -> call when it is to be sent, or the stand-in */
static int l_begin(lua_State *L)
{
	struct pg_call *call = lua_touserdata(L, 1);

	if (do_begin(L, call))
		lua_pushlightuserdata(L, call);
	return 1;
}

/* As do_begin, and a refusal gives the connection back at once. */
static int begin(lua_State *L, struct pg_call *call)
{
	int opts = call->opts, rc;

	luaL_checkstack(L, 4, NULL);
	lua_pushcfunction(L, l_begin);
	lua_pushlightuserdata(L, call);
	if (opts)
		lua_pushvalue(L, opts);
	call->opts = opts ? 2 : 0;
	rc = lua_pcall(L, opts ? 2 : 1, 1, 0);
	call->opts = opts;
	if (rc) {
		give_back(call);
		lua_error(L);
	}
	if (lua_touserdata(L, -1) != (void *)call)
		return 0;
	lua_pop(L, 1);
	return 1;
}

/* --- the result --------------------------------------------------------------------------- */
static void push_notices(lua_State *L, const struct pg_call *c)
{
	const char *p = c->notices.data, *end = p + c->notices.len;
	int n = 0;

	lua_createtable(L, c->n_notices, 0);
	for (; p < end; p += strlen(p) + 1) {
		lua_pushstring(L, p);
		lua_rawseti(L, -2, ++n);
	}
	if (c->notices_cut) {
		lua_pushfstring(L, "(%d more are not kept)", c->notices_cut);
		lua_rawseti(L, -2, ++n);
	}
}

static long long affected(const PGresult *res)
{
	const char *s = PQcmdTuples((PGresult *)res);
	long long n = -1;

	return *s && sscanf(s, "%lld", &n) == 1 ? n : -1;
}

/* Completes rows; leaves {command, notices, count} on top. */
static long long finish_rows(lua_State *L, struct pg_call *call)
{
	PGresult *res = call->result ? call->result :
		call->reply.res[call->at];
	long long n = res ? affected(res) : -1;

	luaL_checkstack(L, 8, NULL);
	if (res && PQnfields(res) && pg_store_header(call->store, res) < 0)
		no_memory(L);
	if (res && res != call->result && PQntuples(res) > 0) {
		call->store->res = res;	/* whole: of the console */
		call->store->rows = PQntuples(res);
		call->reply.res[call->at] = NULL;
	}
	pg_rows_ready(L, call->rows);
	lua_createtable(L, 0, 6);
	lua_pushstring(L, res ? PQcmdStatus(res) : call->verb);
	lua_setfield(L, -2, "command");
	push_notices(L, call);
	lua_setfield(L, -2, "notices");
	return n;
}

static int push_result(lua_State *L, struct pg_call *call)
{
	long long n, size;
	int columns;

	if (call->how == PG_END) {
		effect_end(&call->effect, OUTCOME_DONE, -1, -1, NULL);
		give_back(call);
		return 0;
	}
	if (call->how == PG_ROWS_OF)
		return pg_cursor_push(L, call);
	if (call->how == PG_COPY_OF)
		return pg_copy_push(L, call);
	n = finish_rows(L, call);
	columns = call->store->columns;
	size = (long long)call->store->data.len;
	effect_end(&call->effect, OUTCOME_DONE, n >= 0 ? n :
		   call->store->rows, columns ? size : -1, NULL);
	give_back(call);
	if (call->how == PG_QUERY) {
		lua_setiuservalue(L, call->rows, 3);
		lua_pushvalue(L, call->rows);
		return call->stream ? pg_cursor_push(L, call) : 1;
	}
	if (n >= 0 || columns) {
		lua_pushinteger(L, n >= 0 ? n : call->store->rows);
		lua_setfield(L, -2, "count");
	}
	if (columns) {
		lua_pushvalue(L, call->rows);
		lua_setfield(L, -2, "rows");
	}
	lua_pushboolean(L, 1);
	lua_setfield(L, -2, "ok");
	return effect_push_result(L, -1, 1);
}

/* --- the stages ------------------------------------------------------------------------------ */
/* 1: go on; 0: the stage was set anew or asks again. */
static int step(lua_State *L, struct pg_call *call)
{
	switch (call->stage) {
	case PG_S_LEASE:
		return do_lease(L, call);
	case PG_S_IDENT:
		return do_identity(L, call);
	case PG_S_LOOKUP:
		return do_lookup(L, call);
	case PG_S_PREPARE:
		return pg_prepare(L, call, call_k);
	case PG_S_RUN:
		return pg_run(L, call, call_k);
	case PG_S_COMMIT:
		return pg_commit(L, call, call_k);
	case PG_S_PROBE:
		return pg_probe(L, call, call_k);
	default:
		return 1;
	}
}

static int call_k(lua_State *L, int status, lua_KContext ctx)
{
	struct pg_call *call = (struct pg_call *)ctx;

	(void)status;
	while (call->stage != PG_S_END) {
		if (call->stage == PG_S_BEGIN) {
			if (!begin(L, call)) {
				give_back(call);
				return 1;
			}
			call->stage = PG_S_PREPARE;
			continue;
		}
		if (step(L, call))
			call->stage++;
	}
	return push_result(L, call);
}

int pg_call_go(lua_State *L, struct pg_call *call)
{
	if (call->how == PG_QUERY && is_write(call))
		refuse_write(L, call);
	return call_k(L, LUA_OK, (lua_KContext)call);
}

/* query(db, sql, ...) -> rows */
static int l_query(lua_State *L)
{
	return pg_call_go(L, pg_call_read(L, PG_QUERY));
}

/* exec(db, sql, ...) -> result */
static int l_exec(lua_State *L)
{
	return pg_call_go(L, pg_call_read(L, PG_EXEC));
}

/* auto(db, sql, ...) -> rows of a read, result of a write */
static int l_auto(lua_State *L)
{
	return pg_call_go(L, pg_call_read(L, PG_AUTO));
}

void pg_open_call(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "query", l_query }, { "exec", l_exec }, { "auto", l_auto },
		{ NULL, NULL }
	};

	lx_setfuncs(L, funcs);
}
