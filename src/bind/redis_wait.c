/*
 * redis_wait: calls that need a connection, a class or a fresh identity wait
 * here until the pump has got it. Sends only what it needs for that.
 */
#include "bind/redis.h"

#include <stdio.h>
#include <string.h>

#include "core/loop.h"
#include "core/lx.h"

/* --- what is missing ------------------------------------------------------ */
static int class_known(struct redis_client *rc, const char *name)
{
	struct redis_known *k = redis_known(&rc->classes, name);

	return k && (k->flags & ~(unsigned)REDIS_F_ASKED);
}

int redis_usable(struct redis_conn *c, const char *name, double after)
{
	return c->state == REDIS_READY && !redis_conn_stuck(c) &&
	       (!name[0] || class_known(c->rc, name)) &&
	       (after <= 0 || c->rc->ident_at >= after);
}

static void unlink_wait(struct redis_wait *w)
{
	struct redis_wait **at = &w->rc->waits;

	if (!w->linked)
		return;
	while (*at && *at != w)
		at = &(*at)->next;
	if (*at)
		*at = w->next;
	w->linked = 0;
}

static void end_wait(struct redis_wait *w, const struct err *e)
{
	unlink_wait(w);
	if (e)
		w->why = *e;
	op_done(&w->op);
}

/* Asks for what w misses on its connection, which is up or greeting. */
static int ask(struct redis_wait *w)
{
	struct redis_conn *c = w->c;
	struct redis_known *k;

	if (w->name[0] && !class_known(w->rc, w->name)) {
		k = redis_known(&w->rc->classes, w->name);
		if (!(k && (k->flags & REDIS_F_ASKED)) &&
		    redis_learn(c, w->name) < 0)
			return -1;
	}
	if (c->state == REDIS_READY && w->ident_after > 0 &&
	    w->rc->ident_at < w->ident_after && !c->asking)
		return redis_greet(c, 0);
	return 0;
}

/* Moves one wait on; 1 when it ended (the list has changed). */
static int pump_wait(struct redis_wait *w)
{
	struct redis_conn *c = w->c;
	struct err e;

	if (redis_usable(c, w->name, w->ident_after)) {
		end_wait(w, NULL);
		return 1;
	}
	if (c->state == REDIS_READY && redis_conn_stuck(c)) {
		err_set(&e, ERR_CONNECT, "ETIMEDOUT", "connection to '%s' is "
			"stuck: its last reply is overdue", redis_where(c));
		redis_conn_down(c, &e);
		return 1;
	}
	if (c->state == REDIS_DOWN && redis_dial(c, &e) < 0) {
		end_wait(w, &e);
		return 1;
	}
	if ((c->state == REDIS_READY || c->state == REDIS_GREETING) &&
	    ask(w) < 0) {
		err_set(&e, ERR_LIMIT, "ENOMEM", "out of memory");
		end_wait(w, &e);
		return 1;
	}
	return 0;
}

void redis_pump(struct redis_client *rc)
{
	struct redis_wait *w, *next;
	struct err e;

	rc->again = 1;
	if (rc->pumping || rc->closed)
		return;
	rc->pumping = 1;
	while (rc->again) {
		rc->again = 0;
		for (w = rc->waits; w && !rc->again; w = next) {
			next = w->next;
			if (pump_wait(w))
				rc->again = 1;
		}
		if (!rc->again && rc->resend &&
		    rc->shared.state == REDIS_DOWN &&
		    redis_dial(&rc->shared, &e) < 0)
			redis_resend_fail(rc, &e);
	}
	rc->pumping = 0;
}

/* Waits on a connection that could not be opened fail; one that was lost is
 * opened again, once for each wait. */
void redis_fail_waits(struct redis_conn *c, const struct err *e,
		       int was_ready)
{
	struct redis_wait *w = c->rc->waits, *next;

	for (; w; w = next) {
		next = w->next;
		if (w->c == c && (!was_ready || w->tries++ > 0))
			end_wait(w, e);
	}
}

/* --- waiting ------------------------------------------------------------------ */
static enum op_answer wait_cancel(struct op *op)
{
	struct redis_wait *w = (struct redis_wait *)op;
	struct target *t = w->rc->target;
	enum err_phase phase = redis_conn_phase(w->c);

	unlink_wait(w);
	if (op->err.kind == ERR_TIMEOUT) {
		err_set(&op->err, ERR_TIMEOUT, "", "no connection to '%s' "
			"within %.3g s (phase %s)", redis_where(w->c),
			op->timeout, err_phase_name(phase));
		op->err.outcome = OUTCOME_FAILED;
	}
	op->err.phase = phase;
	snprintf(op->err.target, sizeof op->err.target, "%s", t->name);
	return OP_NOW;
}

/* The attempt left the process: it gets a record. */
static int wait_push(lua_State *L, struct op *op)
{
	struct redis_wait *w = (struct redis_wait *)op;
	struct effect_call call;
	struct effect f;
	struct err e = w->why;

	if (e.kind == ERR_NONE)
		return 0;
	memset(&call, 0, sizeof call);
	call.target = w->rc->target;
	call.cls = EFFECT_READ;
	call.verb = "CONNECT";
	call.request = redis_where(w->c);
	call.request_len = strlen(call.request);
	call.timeout = w->rc->o.connect_timeout;
	e.outcome = OUTCOME_FAILED;
	snprintf(e.target, sizeof e.target, "%s", call.target->name);
	if (effect_begin(L, &f, &call) == EFFECT_GO)
		effect_end(&f, OUTCOME_FAILED, -1, -1, &e);
	err_raise(L, &e);
}

static void wait_release(struct op *op)
{
	unlink_wait((struct redis_wait *)op);
}

static const struct op_class wait_class = {
	"redis connection", wait_cancel, wait_push, wait_release
};

/* --- one turn of the loop: lets it see what came while Lua ran ------------- */
struct turn_op {
	struct op op;
	struct loop_timer *timer;	/* owned */
};

static void on_turn(void *arg)
{
	struct turn_op *turn = arg;

	op_done(&turn->op);
}

static void turn_release(struct op *op)
{
	loop_timer_free(((struct turn_op *)op)->timer);
}

static const struct op_class turn_class = {
	"redis turn", NULL, NULL, turn_release
};

/* turn(): waits until the loop has turned once; raises when it is cancelled */
static int l_turn(lua_State *L)
{
	struct turn_op *turn = (struct turn_op *)op_new(L, &turn_class,
							sizeof *turn);

	turn->timer = loop_timer_new(0, 0, on_turn, turn);
	if (!turn->timer)
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory for a timer");
	op_start(&turn->op);
	return op_park(L, &turn->op);
}

void redis_turn(lua_State *L, lua_KContext ctx, lua_KFunction k)
{
	luaL_checkstack(L, 4, NULL);
	lua_pushcfunction(L, l_turn);
	lua_callk(L, 0, 0, ctx, k);
}

struct await {
	struct redis_conn *c;
	const char *name;
	double after, until;
};

/* (await) Parks until the connection is usable. */
static int l_await(lua_State *L)
{
	struct await a = *(struct await *)lua_touserdata(L, 1);
	struct redis_wait *w = (struct redis_wait *)op_new(L, &wait_class,
							   sizeof *w);
	double left = a.until - loop_now();

	w->rc = a.c->rc;
	w->c = a.c;
	snprintf(w->name, sizeof w->name, "%s", a.name);
	w->ident_after = a.after;
	w->next = w->rc->waits;
	w->rc->waits = w;
	w->linked = 1;
	op_start(&w->op);
	op_deadline(&w->op, left > 0 ? left : 0);
	redis_pump(w->rc);
	return op_park(L, &w->op);
}

void redis_await(lua_State *L, struct redis_conn *c, const char *name,
		 double after, double until, lua_KContext ctx, lua_KFunction k)
{
	struct await a = { c, name, after, until };

	luaL_checkstack(L, 4, NULL);
	lua_pushcfunction(L, l_await);
	lua_pushlightuserdata(L, &a);
	lua_callk(L, 1, 0, ctx, k);
}

void redis_end_waits(struct redis_client *rc, const struct err *e)
{
	while (rc->waits)
		end_wait(rc->waits, e);
}
