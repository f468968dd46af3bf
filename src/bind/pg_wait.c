/*
 * pg_wait: what a call waits for before it can be sent: a connection of the
 * pool, the end of the job that its connection is busy with, a moment. Sends
 * nothing; the pool is pg_pool.c's.
 */
#include "bind/pg.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

/* --- waiting for one --------------------------------------------------------------- */
static enum op_answer wait_cancel(struct op *op)
{
	struct pg_wait *w = (struct pg_wait *)op;
	struct pg_client *pc = w->pc;
	enum err_phase phase = PHASE_WAIT;
	const char *where = pc->target->name;
	struct pg_conn *c;

	for (c = pc->conns; c; c = c->next) {
		if (c->state == PG_OPENING || c->state == PG_FINDING ||
		    c->state == PG_GREETING) {
			phase = pg_conn_phase(c);
			where = pg_where(c);
		}
	}
	pg_wait_leave(w);
	if (w->effect && !(w->failed && op->err.kind == ERR_TIMEOUT))
		effect_end(w->effect, OUTCOME_UNKNOWN, -1, -1, &op->err);
	if (op->err.kind == ERR_TIMEOUT)
		err_set(&op->err, ERR_TIMEOUT, "", "no connection to '%s' "
			"within %.3g s (phase %s)", where, op->timeout,
			err_phase_name(phase));
	op->err.outcome = OUTCOME_FAILED;
	op->err.phase = phase;
	snprintf(op->err.target, sizeof op->err.target, "%s",
		 pc->target->name);
	if (w->failed && op->err.kind == ERR_TIMEOUT) {
		w->why = op->err;
		op->err.kind = ERR_NONE;
	}
	return OP_NOW;
}

/* The attempt left the process: it gets a record. */
static int wait_push(lua_State *L, struct op *op)
{
	struct pg_wait *w = (struct pg_wait *)op;
	struct effect_call call;
	struct effect f;
	struct err e = w->why;

	if (e.kind == ERR_NONE)
		return 0;
	if (w->failed) {
		*w->failed = e;
		return 0;
	}
	memset(&call, 0, sizeof call);
	call.target = w->pc->target;
	call.cls = EFFECT_READ;
	call.verb = "CONNECT";
	call.request = call.target->name;
	call.request_len = strlen(call.request);
	call.timeout = w->pc->o.connect_timeout;
	e.outcome = OUTCOME_FAILED;
	snprintf(e.target, sizeof e.target, "%s", call.target->name);
	snprintf(e.op, sizeof e.op, "%s", "CONNECT");
	if (effect_begin(L, &f, &call) == EFFECT_GO)
		effect_end(&f, OUTCOME_FAILED, -1, -1, &e);
	err_raise(L, &e);
}

static void wait_release(struct op *op)
{
	pg_wait_leave((struct pg_wait *)op);
}

static const struct op_class wait_class = {
	"postgres connection", wait_cancel, wait_push, wait_release
};

struct await {
	struct pg_client *pc;
	struct pg_conn **out;
	double until;
	struct err *failed;
	struct effect *effect;
};

/* A call that has failed keeps its connection until it is collected: when all are
 * taken it is time for that. */
static void collect(lua_State *L, const struct pg_client *pc)
{
	const struct pg_conn *c;

	if (pc->waits || pc->n_conns < pc->o.pool)
		return;
	for (c = pc->conns; c; c = c->next)
		if (c->state == PG_IDLE)
			return;
	lua_gc(L, LUA_GCCOLLECT, 0);
}

/* (await) Parks until there is a connection. */
static int l_await(lua_State *L)
{
	struct await a = *(struct await *)lua_touserdata(L, 1);
	struct pg_wait *w = (struct pg_wait *)op_new(L, &wait_class,
						     sizeof *w);
	double left = a.until - loop_now();

	collect(L, a.pc);
	w->pc = a.pc;
	w->out = a.out;
	w->failed = a.failed;
	w->effect = a.effect;
	w->began = loop_now();
	pg_wait_join(w);
	op_start(&w->op);
	op_deadline(&w->op, left > 0 ? left : 0);
	if (w->linked)
		pg_pump(a.pc);
	return op_park(L, &w->op);
}

void pg_await_lease(lua_State *L, struct pg_client *pc, struct pg_conn **out,
		    double until, struct err *failed, struct effect *effect,
		    lua_KContext ctx, lua_KFunction k)
{
	struct await a = { pc, out, until, failed, effect };

	luaL_checkstack(L, 4, NULL);
	lua_pushcfunction(L, l_await);
	lua_pushlightuserdata(L, &a);
	lua_callk(L, 1, 0, ctx, k);
}

/* --- the end of a job ------------------------------------------------------------- */
struct idle_op {
	struct op op;
	struct pg_conn *c;	/* borrowed: held by the frame */
};

static enum op_answer idle_cancel(struct op *op)
{
	struct idle_op *w = (struct idle_op *)op;

	if (w->c->idle == op)
		w->c->idle = NULL;
	op->err.outcome = OUTCOME_FAILED;
	return OP_NOW;
}

static void idle_release(struct op *op)
{
	struct idle_op *w = (struct idle_op *)op;

	if (w->c && w->c->idle == op)
		w->c->idle = NULL;
}

static const struct op_class idle_class = {
	"postgres turn", idle_cancel, NULL, idle_release
};

/* (conn, seconds) Parks until its job has ended. */
static int l_idle(lua_State *L)
{
	struct pg_conn *c = lua_touserdata(L, 1);
	double left = lua_tonumber(L, 2);
	struct idle_op *w;

	if (c->idle)
		err_raisef(L, ERR_USAGE, "", "two tasks use one transaction at "
			   "the same time");
	w = (struct idle_op *)op_new(L, &idle_class, sizeof *w);
	if (!c->job)
		return 0;
	w->c = c;
	c->idle = &w->op;
	op_start(&w->op);
	op_deadline(&w->op, left > 0 ? left : 0);
	return op_park(L, &w->op);
}

void pg_await_idle(lua_State *L, struct pg_conn *c, double until,
		   lua_KContext ctx, lua_KFunction k)
{
	luaL_checkstack(L, 4, NULL);
	lua_pushcfunction(L, l_idle);
	lua_pushlightuserdata(L, c);
	lua_pushnumber(L, until - loop_now());
	lua_callk(L, 2, 0, ctx, k);
}

/* --- a moment ------------------------------------------------------------------------ */
struct time_op {
	struct op op;
	struct loop_timer *timer;	/* owned */
	struct effect *effect;	/* borrowed: ended by a cancel */
};

static void on_time(void *arg)
{
	op_done(&((struct time_op *)arg)->op);
}

static enum op_answer time_cancel(struct op *op)
{
	struct time_op *t = (struct time_op *)op;

	if (t->effect)
		effect_end(t->effect, OUTCOME_UNKNOWN, -1, -1, &op->err);
	op->err.outcome = OUTCOME_UNKNOWN;
	return OP_NOW;
}

static void time_release(struct op *op)
{
	loop_timer_free(((struct time_op *)op)->timer);
}

static const struct op_class time_class = {
	"postgres pause", time_cancel, NULL, time_release
};

/* (effect, seconds) */
static int l_time(lua_State *L)
{
	struct time_op *t = (struct time_op *)op_new(L, &time_class,
						     sizeof *t);

	t->effect = lua_touserdata(L, 1);
	t->timer = loop_timer_new(lua_tonumber(L, 2), 0, on_time, t);
	if (!t->timer)
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory for a timer");
	op_start(&t->op);
	return op_park(L, &t->op);
}

void pg_await_time(lua_State *L, struct effect *effect, double seconds,
		   lua_KContext ctx, lua_KFunction k)
{
	luaL_checkstack(L, 4, NULL);
	lua_pushcfunction(L, l_time);
	lua_pushlightuserdata(L, effect);
	lua_pushnumber(L, seconds);
	lua_callk(L, 2, 0, ctx, k);
}
