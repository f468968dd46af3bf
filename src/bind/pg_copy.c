/*
 * pg_copy: COPY to and from us, on a transaction's connection: pieces of data as
 * they come, and pieces that are sent while the socket takes them. Memory stays
 * bounded both ways. opsh.postgres puts transaction, file and function around it.
 */
#include "bind/pg.h"

#include <stdio.h>
#include <string.h>

#include "core/lx.h"

#define PIECE (1 << 20)		/* bytes that are handed over at once, about */

struct copy {			/* user value 1: the transaction */
	struct pg_conn *c;	/* borrowed: the transaction's; NULL: over */
	struct pg_job job;
	struct effect effect;
	struct op *waiter;	/* borrowed */
	struct buf in;		/* owned: came, not yet handed over */
	struct pg_error error;
	int out;		/* data comes to us */
	int begun;		/* the server is ready for data, or sends it */
	int ended;		/* we have sent the last piece */
	int over, failed;
	long long rows, bytes;
	double timeout;
	char verb[24];
};

static struct copy *of_job(struct pg_job *job)
{
	return (struct copy *)(void *)((char *)job - offsetof(struct copy, job));
}

static struct copy *check(lua_State *L)
{
	return luaL_checkudata(L, 1, PG_COPY);
}

static void wake(struct copy *x)
{
	struct op *op = x->waiter;

	x->waiter = NULL;
	if (op)
		op_done(op);
}

/* --- the job ------------------------------------------------------------------ */
static void on_result(struct pg_job *job, struct pg_conn *c, PGresult *res)
{
	struct copy *x = of_job(job);
	const char *s;

	(void)c;
	switch (PQresultStatus(res)) {
	case PGRES_COPY_OUT:
	case PGRES_COPY_IN:
		x->begun = 1;
		wake(x);
		break;
	case PGRES_COMMAND_OK:
		s = PQcmdTuples(res);
		if (sscanf(s, "%lld", &x->rows) != 1)
			x->rows = 0;
		break;
	case PGRES_FATAL_ERROR:
		if (!x->failed)
			pg_error_read(&x->error, res);
		x->failed = 1;
		break;
	default:
		break;
	}
	PQclear(res);
}

/* 1: the copying is over. */
static int take_data(struct copy *x, struct pg_conn *c)
{
	char *row;
	int n;

	while ((n = PQgetCopyData(c->pg, &row, 1)) > 0) {
		buf_add(&x->in, row, (size_t)n);
		PQfreemem(row);
		if (!buf_ok(&x->in))
			break;
		if (x->in.len >= PIECE) {
			pg_conn_pause(c, 1);
			break;
		}
	}
	if (x->in.len)
		wake(x);
	return n < 0;
}

static int on_copy(struct pg_job *job, struct pg_conn *c)
{
	struct copy *x = of_job(job);

	if (x->out)
		return take_data(x, c);
	if (x->ended)
		return 1;
	/* the server may have refused what it got */
	if (PQputCopyData(c->pg, "", 0) < 0) {
		x->ended = 1;
		return 1;
	}
	if (PQflush(c->pg) == 0)
		wake(x);
	return 0;
}

static void on_done(struct pg_job *job, struct pg_conn *c,
		    const struct err *lost)
{
	struct copy *x = of_job(job);

	(void)c;
	x->over = 1;
	if (lost && !x->failed) {
		memset(&x->error, 0, sizeof x->error);
		x->error.e = *lost;
		x->failed = 1;
	}
	wake(x);
}

/* --- its end -------------------------------------------------------------------- */
static void copy_close(struct copy *x, const struct err *e)
{
	struct pg_conn *c = x->c;
	struct err gone;

	x->c = NULL;
	if (!e) {
		err_set(&gone, ERR_CANCELLED, "", "the copy was given up");
		gone.outcome = OUTCOME_FAILED;
		e = &gone;
	}
	effect_end(&x->effect, OUTCOME_FAILED, -1, -1, e);
	buf_release(&x->in);
	if (!c || c->job != &x->job)
		return;
	pg_conn_orphan(c);
	if (x->out || !x->begun)
		pg_conn_cancel(c, 2);
	if (c->pg)
		pg_conn_drain(c);
	if (c->pg)
		pg_conn_flush(c);
}

static int l_copy_close(lua_State *L)
{
	copy_close(check(L), NULL);
	return 0;
}

static _Noreturn void fail(lua_State *L, struct copy *x)
{
	struct pg_error e = x->error;

	e.e.outcome = OUTCOME_FAILED;
	snprintf(e.e.target, sizeof e.e.target, "%s", x->effect.target ?
		 x->effect.target->name : "");
	snprintf(e.e.op, sizeof e.e.op, "%s", x->verb);
	copy_close(x, &e.e);
	pg_error_raise(L, &e, NULL, 0);
}

/* --- waiting ----------------------------------------------------------------------- */
struct wait_op {
	struct op op;
	struct copy *x;		/* borrowed: on the frame */
};

static enum op_answer wait_cancel(struct op *op)
{
	struct copy *x = ((struct wait_op *)op)->x;
	struct err *e = &op->err;

	if (e->kind == ERR_TIMEOUT)
		err_set(e, ERR_TIMEOUT, "", "'%s' on '%s' made no progress "
			"within %g s", x->verb, x->c ? pg_where(x->c) : "?",
			x->timeout);
	e->outcome = OUTCOME_FAILED;
	e->phase = x->out ? PHASE_READ : PHASE_SEND;
	snprintf(e->target, sizeof e->target, "%s", x->effect.target ?
		 x->effect.target->name : "");
	x->waiter = NULL;
	copy_close(x, e);
	return OP_NOW;
}

static void wait_release(struct op *op)
{
	struct copy *x = ((struct wait_op *)op)->x;

	if (x && x->waiter == op)
		x->waiter = NULL;
}

static const struct op_class wait_class = {
	"postgres copy", wait_cancel, NULL, wait_release
};

/* (copy) Parks until something has happened. */
static int l_wait(lua_State *L)
{
	struct copy *x = check(L);
	struct wait_op *w;

	if (x->waiter)
		err_raisef(L, ERR_USAGE, "", "two tasks use one copy");
	w = (struct wait_op *)op_new(L, &wait_class, sizeof *w);
	w->x = x;
	x->waiter = &w->op;
	op_start(&w->op);
	op_deadline(&w->op, x->timeout);
	return op_park(L, &w->op);
}

static void await(lua_State *L, struct copy *x, lua_KFunction k)
{
	luaL_checkstack(L, 4, NULL);
	lua_pushcfunction(L, l_wait);
	lua_pushvalue(L, 1);
	lua_callk(L, 1, 0, (lua_KContext)x, k);
}

/* --- to us --------------------------------------------------------------------------- */
/* {count, bytes} of a copy that is over. */
static int push_end(lua_State *L, struct copy *x)
{
	effect_end(&x->effect, OUTCOME_DONE, x->rows, x->bytes, NULL);
	x->c = NULL;
	lua_createtable(L, 0, 3);
	lua_pushinteger(L, x->rows);
	lua_setfield(L, -2, "count");
	lua_pushinteger(L, x->bytes);
	lua_setfield(L, -2, "bytes");
	lua_pushboolean(L, 1);
	lua_setfield(L, -2, "ok");
	return 1;
}

static int next_k(lua_State *L, int status, lua_KContext ctx)
{
	struct copy *x = (struct copy *)ctx;

	(void)status;
	for (;;) {
		if (!buf_ok(&x->in))
			err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory for "
				   "the data");
		if (x->in.len) {
			lua_pushlstring(L, x->in.data, x->in.len);
			x->bytes += (long long)x->in.len;
			buf_release(&x->in);
			if (x->c && x->c->paused) {
				pg_conn_pause(x->c, 0);
				pg_conn_drain(x->c);
			}
			return 1;
		}
		if (x->failed)
			fail(L, x);
		if (x->over || !x->c) {
			lua_pushnil(L);
			return 1 + push_end(L, x);
		}
		await(L, x, next_k);
	}
}

/* copy_next(copy) -> a piece; at the end nil, {count, bytes} */
static int l_copy_next(lua_State *L)
{
	struct copy *x = check(L);

	lua_settop(L, 1);
	return next_k(L, LUA_OK, (lua_KContext)x);
}

/* --- from us --------------------------------------------------------------------------- */
static int put_k(lua_State *L, int status, lua_KContext ctx)
{
	struct copy *x = (struct copy *)ctx;
	const char *data;
	size_t len;
	int r;

	(void)status;
	while (!x->begun && !x->over && x->c)
		await(L, x, put_k);
	if (x->failed)
		fail(L, x);
	if (!x->c || x->over)
		err_raisef(L, ERR_USAGE, "", "this copy has ended");
	if (lua_toboolean(L, 3)) {		/* sent; is it away? */
		if (PQflush(x->c->pg) > 0) {
			pg_conn_flush(x->c);
			await(L, x, put_k);
		}
		return 0;
	}
	data = lua_tolstring(L, 2, &len);
	r = PQputCopyData(x->c->pg, data, (int)len);
	if (r < 0) {
		/* refused: its result says why */
		x->ended = 1;
		pg_conn_drain(x->c);
		while (!x->over)
			await(L, x, put_k);
		fail(L, x);
	}
	if (r > 0) {
		x->bytes += (long long)len;
		lua_pushboolean(L, 1);
		lua_replace(L, 3);
	}
	pg_conn_flush(x->c);
	if (r > 0 && PQflush(x->c->pg) == 0)
		return 0;
	await(L, x, put_k);
	return put_k(L, LUA_OK, ctx);
}

/* copy_put(copy, data): sends a piece, once the last one is away */
static int l_copy_put(lua_State *L)
{
	struct copy *x = check(L);
	size_t len;

	lx_checkstr(L, 2, &len);
	luaL_argcheck(L, len < (size_t)1 << 30, 2, "a piece is too large");
	lua_settop(L, 2);
	lua_pushboolean(L, 0);
	return put_k(L, LUA_OK, (lua_KContext)x);
}

static int end_k(lua_State *L, int status, lua_KContext ctx)
{
	struct copy *x = (struct copy *)ctx;

	(void)status;
	while (!x->begun && !x->over && x->c)
		await(L, x, end_k);
	if (x->c && !x->ended) {
		x->ended = 1;
		if (PQputCopyEnd(x->c->pg, NULL) >= 0) {
			pg_conn_flush(x->c);
			pg_conn_drain(x->c);
		}
	}
	while (!x->over && x->c)
		await(L, x, end_k);
	if (x->failed)
		fail(L, x);
	return push_end(L, x);
}

/* copy_end(copy) -> {count, bytes} */
static int l_copy_end(lua_State *L)
{
	struct copy *x = check(L);

	lua_settop(L, 1);
	return end_k(L, LUA_OK, (lua_KContext)x);
}

/* In place of a call's result: the copy, whose COPY is on its way. */
static int push_copy(lua_State *L, struct pg_call *call)
{
	struct pg_conn *c = call->c;
	struct copy *x;
	struct err e;

	x = lua_newuserdatauv(L, sizeof *x, 1);
	memset(x, 0, sizeof *x);
	buf_init(&x->in);
	luaL_setmetatable(L, PG_COPY);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	x->c = c;
	x->out = (call->verdict.flags & PG_SQL_COPY_IN) == 0;
	x->timeout = call->timeout;
	snprintf(x->verb, sizeof x->verb, "%.23s", call->verb);
	x->effect = call->effect;
	memset(&call->effect, 0, sizeof call->effect);
	call->c = NULL;
	x->job.row_step = -1;
	x->job.result = on_result;
	x->job.copy = on_copy;
	x->job.done = on_done;
	pg_conn_begin(c, &x->job, 0);
	if (pg_conn_go(c, PQsendQuery(c->pg, call->sql), &e) < 0) {
		memset(&x->error, 0, sizeof x->error);
		x->error.e = e;
		x->failed = x->over = 1;
	}
	return 1;
}

/* copy(tx, sql, opts) -> copy, or what stands for a withheld one */
static int l_copy(lua_State *L)
{
	struct pg_call *call;

	luaL_checkudata(L, 1, PG_TX);
	call = pg_call_read(L, PG_COPY_OF);
	if (!(call->verdict.flags & (PG_SQL_COPY_IN | PG_SQL_COPY_OUT)))
		err_raisef(L, ERR_USAGE, "", "'%s' is no COPY from STDIN or to "
			   "STDOUT", call->verb);
	if (call->tx && call->verdict.cls != EFFECT_READ)
		call->tx->wrote = 1;
	call->push = push_copy;
	return pg_call_go(L, call);
}

/* is_copy(value) -> is it a copy, or what stands for a withheld one? */
static int l_is_copy(lua_State *L)
{
	lua_pushboolean(L, luaL_testudata(L, 1, PG_COPY) != NULL);
	return 1;
}

void pg_open_copy(lua_State *L)
{
	static const luaL_Reg copy[] = {
		{ "__gc", l_copy_close }, { "__close", l_copy_close },
		{ NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "copy", l_copy }, { "copy_next", l_copy_next },
		{ "copy_put", l_copy_put }, { "copy_end", l_copy_end },
		{ "is_copy", l_is_copy }, { NULL, NULL }
	};

	lx_metatable(L, PG_COPY, NULL, copy);
	lx_setfuncs(L, funcs);
}
