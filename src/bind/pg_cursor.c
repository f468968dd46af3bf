/*
 * pg_cursor: rows that are streamed: a cursor in a transaction, read in chunks;
 * the next FETCH is on its way before a chunk's first row is handed over. Chunks
 * follow the size of the rows, so memory stays bounded. Owns the connection,
 * unless it is a transaction's, until the loop ends.
 */
#include "bind/pg.h"

#include <stdio.h>
#include <string.h>

#include "core/lx.h"

#define ROWS_MAX 10000		/* of one FETCH */
#define CHUNK_BYTES (2 << 20)	/* that one should have */
#define GROWTH 8		/* from one to the next, at most */

struct cursor {			/* user values: 1 client or transaction, 2 the
				   chunk's rows, 3 the reused table */
	struct pg_conn *c;	/* held, or the transaction's; NULL: closed */
	struct pg_job job;	/* FETCH on its way */
	struct effect effect;
	struct op *waiter;	/* borrowed */
	PGresult *ready;	/* owned: came, not yet handed over */
	struct pg_error error;
	int lent, running, failed, lost;
	int last;		/* no more FETCH is needed */
	int reuse, format;
	long long at, rows;	/* of the chunk; all handed over */
	long long chunk;	/* rows of the chunk */
	int size;		/* rows asked for */
	double timeout;
	struct pg_store *store;	/* borrowed: of user value 2 */
	char name[24], verb[24];
};

static struct cursor *of_job(struct pg_job *job)
{
	return (struct cursor *)(void *)((char *)job -
				offsetof(struct cursor, job));
}

/* --- closing --------------------------------------------------------------------- */
static void drop(struct pg_job *job, struct pg_conn *c, PGresult *res)
{
	(void)job;
	(void)c;
	PQclear(res);
}

static void dropped(struct pg_job *job, struct pg_conn *c,
		    const struct err *lost)
{
	(void)job;
	(void)c;
	(void)lost;
}

/* A transaction's connection goes on without the cursor. */
static void leave_lent(struct cursor *cur, struct pg_conn *c)
{
	char text[48];
	struct err e;

	if (c->job == &cur->job) {
		pg_conn_orphan(c);
		return;
	}
	if (!c->pg || c->job || PQtransactionStatus(c->pg) != PQTRANS_INTRANS)
		return;
	snprintf(text, sizeof text, "close %s", cur->name);
	c->own.row_step = -1;
	c->own.result = drop;
	c->own.copy = NULL;
	c->own.done = dropped;
	pg_conn_begin(c, &c->own, 0);
	pg_conn_go(c, PQsendQuery(c->pg, text), &e);
}

static void cursor_close(struct cursor *cur, enum outcome outcome,
			 const struct err *e)
{
	struct pg_conn *c = cur->c;

	effect_end(&cur->effect, outcome, cur->rows, -1, e);
	PQclear(cur->ready);
	cur->ready = NULL;
	cur->last = 1;
	cur->c = NULL;
	if (c && cur->lent)
		leave_lent(cur, c);
	else if (c)
		pg_unlease(c);
}

static int l_cursor_close(lua_State *L)
{
	cursor_close(luaL_checkudata(L, 1, PG_CURSOR), OUTCOME_DONE, NULL);
	return 0;
}

/* --- FETCH ------------------------------------------------------------------------- */
static void on_result(struct pg_job *job, struct pg_conn *c, PGresult *res)
{
	struct cursor *cur = of_job(job);

	(void)c;
	if (PQresultStatus(res) == PGRES_TUPLES_OK && !cur->ready) {
		cur->ready = res;
		return;
	}
	if (PQresultStatus(res) == PGRES_FATAL_ERROR && !cur->failed) {
		pg_error_read(&cur->error, res);
		cur->failed = 1;
	}
	PQclear(res);
}

static void on_done(struct pg_job *job, struct pg_conn *c,
		    const struct err *lost)
{
	struct cursor *cur = of_job(job);
	struct op *op = cur->waiter;

	(void)c;
	cur->running = 0;
	if (lost && !cur->failed) {
		memset(&cur->error, 0, sizeof cur->error);
		cur->error.e = *lost;
		cur->error.e.phase = PHASE_READ;
		cur->failed = 1;
	}
	cur->waiter = NULL;
	if (op)
		op_done(op);
}

/* Sends the next FETCH, as large as the last rows let it be. */
static void fetch(struct cursor *cur, const PGresult *last)
{
	int n = last ? PQntuples(last) : 0, size = cur->size * GROWTH;
	char text[80];
	struct err e;

	if (n) {
		long long one = (long long)(PQresultMemorySize(last) /
					    (size_t)n) + 1;

		if (size > CHUNK_BYTES / one)
			size = (int)(CHUNK_BYTES / one);
	}
	cur->size = size < 1 ? 1 : size > ROWS_MAX ? ROWS_MAX : size;
	snprintf(text, sizeof text, "fetch forward %d from %s", cur->size,
		 cur->name);
	cur->job.row_step = -1;
	cur->job.result = on_result;
	cur->job.copy = NULL;
	cur->job.done = on_done;
	cur->running = 1;
	pg_conn_begin(cur->c, &cur->job, 0);
	if (pg_conn_go(cur->c, PQsendQueryParams(cur->c->pg, text, 0, NULL,
						 NULL, NULL, NULL,
						 cur->format), &e) == 0)
		return;
	cur->running = 0;
	memset(&cur->error, 0, sizeof cur->error);
	cur->error.e = e;
	cur->failed = 1;
}

/* --- the rows ------------------------------------------------------------------------- */
/* The chunk that came becomes the current one; the next is asked for. */
static void take_chunk(lua_State *L, struct cursor *cur, int idx)
{
	struct pg_store *store;
	int n = PQntuples(cur->ready);

	store = pg_rows_new(L);			/* -- rows */
	if (pg_store_header(store, cur->ready) < 0)
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	if (n < cur->size)
		cur->last = 1;
	if (!cur->last)
		fetch(cur, cur->ready);
	store->res = cur->ready;
	store->rows = cur->chunk = n;
	cur->at = 0;
	cur->ready = NULL;
	pg_rows_share(L, -1, idx);
	cur->store = store;
	lua_setiuservalue(L, idx, 2);
}

static enum op_answer wait_cancel(struct op *op);

struct wait_op {
	struct op op;
	struct cursor *cur;	/* borrowed: on the frame */
};

static void wait_release(struct op *op)
{
	struct wait_op *w = (struct wait_op *)op;

	if (w->cur && w->cur->waiter == op)
		w->cur->waiter = NULL;
}

static const struct op_class wait_class = {
	"postgres rows", wait_cancel, NULL, wait_release
};

static enum op_answer wait_cancel(struct op *op)
{
	struct cursor *cur = ((struct wait_op *)op)->cur;
	struct err *e = &op->err;

	if (e->kind == ERR_TIMEOUT)
		err_set(e, ERR_TIMEOUT, "", "the next rows of '%s' did not "
			"come from '%s' within %g s", cur->verb,
			pg_where(cur->c), cur->timeout);
	e->outcome = OUTCOME_FAILED;
	e->phase = PHASE_READ;
	snprintf(e->target, sizeof e->target, "%s",
		 cur->effect.target ? cur->effect.target->name : "");
	cur->waiter = NULL;
	/* the lease ends: the statement is cancelled beside us */
	if (cur->lent && cur->c->job)
		pg_conn_cancel(cur->c, 2);
	cursor_close(cur, OUTCOME_FAILED, e);
	return OP_NOW;
}

/* (cursor) Parks until the FETCH is answered. */
static int l_wait(lua_State *L)
{
	struct cursor *cur = luaL_checkudata(L, 1, PG_CURSOR);
	struct wait_op *w = (struct wait_op *)op_new(L, &wait_class,
						     sizeof *w);

	w->cur = cur;
	cur->waiter = &w->op;
	op_start(&w->op);
	op_deadline(&w->op, cur->timeout);
	return op_park(L, &w->op);
}

static _Noreturn void fail(lua_State *L, struct cursor *cur)
{
	struct pg_error e = cur->error;

	e.e.outcome = OUTCOME_FAILED;
	snprintf(e.e.target, sizeof e.e.target, "%s", cur->effect.target ?
		 cur->effect.target->name : "");
	snprintf(e.e.op, sizeof e.e.op, "%s", cur->verb);
	cursor_close(cur, OUTCOME_FAILED, &e.e);
	pg_error_raise(L, &e, NULL, 0);
}

static int push_next(lua_State *L, struct cursor *cur)
{
	cur->rows++;
	if (cur->reuse) {
		lua_getiuservalue(L, 1, 3);
		pg_row_fill(L, cur->store, cur->at++);
		return 1;
	}
	lua_getiuservalue(L, 1, 2);
	pg_row_push(L, cur->at++, 2);
	return 1;
}

static int next_k(lua_State *L, int status, lua_KContext ctx)
{
	struct cursor *cur = (struct cursor *)ctx;

	(void)status;
	for (;;) {
		if (cur->at < cur->chunk)
			return push_next(L, cur);
		/* the connection is still there when there is more to come */
		if (cur->store && cur->reuse)
			pg_store_drop(cur->store);
		if (cur->ready && !cur->running) {
			take_chunk(L, cur, 1);
		} else if (cur->failed) {
			fail(L, cur);
		} else if (!cur->running || !cur->c) {
			cursor_close(cur, OUTCOME_DONE, NULL);
			return 0;
		} else if (cur->waiter) {
			err_raisef(L, ERR_USAGE, "", "two tasks read from one "
				   "cursor");
		} else {
			lua_pushcfunction(L, l_wait);
			lua_pushvalue(L, 1);
			lua_callk(L, 1, 0, ctx, next_k);
		}
	}
}

/* next() -> the next row, or nil; upvalues: the cursor, the rows' metatable */
static int l_cursor_next(lua_State *L)
{
	struct cursor *cur = lua_touserdata(L, lua_upvalueindex(1));

	lua_settop(L, 0);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushvalue(L, lua_upvalueindex(2));	/* -- cursor metatable */
	return next_k(L, LUA_OK, (lua_KContext)cur);
}

/* In place of a call's result: the iterator, nil, nil, the cursor. */
static int push_cursor(lua_State *L, struct pg_call *call)
{
	PGresult *first = call->stream ? NULL : call->reply.res[call->at];
	struct cursor *cur;

	lua_settop(L, call->rows);
	cur = lua_newuserdatauv(L, sizeof *cur, 3);
	memset(cur, 0, sizeof *cur);
	luaL_setmetatable(L, PG_CURSOR);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	lua_newtable(L);
	lua_setiuservalue(L, -2, 3);
	lua_pushvalue(L, -1);
	luaL_getmetatable(L, PG_ROW);
	lua_pushcclosure(L, l_cursor_next, 2);	/* -- cursor next */
	lua_pushnil(L);
	lua_pushnil(L);
	lua_pushvalue(L, -4);
	if (call->stream) {
		lua_pushvalue(L, call->rows);
		lua_setiuservalue(L, -6, 2);
		cur->store = call->store;
		cur->chunk = call->store->rows;
		cur->reuse = call->reuse;
		return 4;
	}
	cur->c = call->c;
	cur->lent = call->lent;
	cur->effect = call->effect;
	cur->timeout = call->timeout;
	cur->reuse = call->reuse;
	cur->format = call->stmt ? pg_format_of(call->stmt) : 0;
	cur->size = PG_FIRST;
	cur->ready = first;
	snprintf(cur->name, sizeof cur->name, "%s", call->cursor);
	snprintf(cur->verb, sizeof cur->verb, "%.23s", call->verb);
	memset(&call->effect, 0, sizeof call->effect);
	call->reply.res[call->at] = NULL;
	call->c = NULL;
	return 4;
}

/* rows(db, sql, ...) -> next, nil, nil, cursor */
static int l_rows(lua_State *L)
{
	struct pg_call *call = pg_call_read(L, PG_ROWS_OF);

	call->stream = call->verdict.cls != EFFECT_READ ? 0 :
		!(call->verdict.flags & PG_SQL_CURSOR);
	if (call->stream)
		call->how = PG_QUERY;
	call->push = push_cursor;
	return pg_call_go(L, call);
}

void pg_open_cursor(lua_State *L)
{
	static const luaL_Reg cursor[] = {
		{ "__gc", l_cursor_close }, { "__close", l_cursor_close },
		{ NULL, NULL }
	};
	static const luaL_Reg funcs[] = { { "rows", l_rows }, { NULL, NULL } };

	lx_metatable(L, PG_CURSOR, NULL, cursor);
	lx_setfuncs(L, funcs);
}
