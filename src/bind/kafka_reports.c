/*
 * kafka_reports: waiting until a call's messages have their delivery reports. A
 * deadline or Ctrl-C gives up what is left: it is purged, and what has no report
 * then is unknown. Owns the wait; sends nothing.
 */
#include "bind/kafka_producer.h"

#include <lauxlib.h>
#include <stdio.h>

#define GRACE 0.3		/* seconds for the reports of what was given up */

void kafka_produce_end(struct kafka_produce *c)
{
	if (c->rkt)
		rd_kafka_topic_destroy(c->rkt);
	c->rkt = NULL;
	if (c->p && (c->p->out || c->over))
		c->p->spoiled = 1;
	if (c->p && c->tx)
		kafka_producer_free(c->p);
	else if (c->p)
		kafka_producer_give(c->kc, c->p);
	c->p = NULL;
}

/* --- waiting for reports --------------------------------------------------------------- */
struct wait {
	struct op op;
	struct kafka_produce *c;		/* borrowed: on the waiting frame */
	struct kafka_producer *p;	/* held */
	struct loop_timer *grace;	/* owned */
	struct err why;			/* of a cancel; kind NONE: a deadline */
	int stopped;
};

/* Counts what is left without a word. */
static void close_counts(struct kafka_produce *c)
{
	struct kafka_tally *t = &c->p->tally;

	c->over = 1;
	t->unknown += c->p->out;
	if (c->p->out && t->first.kind == ERR_NONE)
		kafka_error_set(&t->first, RD_KAFKA_RESP_ERR__MSG_TIMED_OUT,
				NULL);
	c->p->out = 0;
	c->p->bytes = 0;
	c->p->spoiled = 1;
	c->p->h->event = NULL;
	if (c->next <= c->n)
		kafka_tally_fail(t, RD_KAFKA_RESP_ERR__MSG_TIMED_OUT,
				 c->n - c->next + 1);
	c->next = c->n + 1;
}

/* Of a transaction nothing counts that is not committed. */
enum outcome kafka_produce_outcome(const struct kafka_produce *c)
{
	const struct kafka_tally *t = &c->p->tally;

	return t->unknown && !c->tx ? OUTCOME_UNKNOWN :
		t->failed || t->unknown ? OUTCOME_FAILED :
		OUTCOME_DONE;
}

void kafka_produce_name(const struct kafka_produce *c, struct err *e)
{
	e->outcome = kafka_produce_outcome(c);
	snprintf(e->target, sizeof e->target, "%s", c->kc->target->name);
	snprintf(e->op, sizeof e->op, "%s", "produce");
}

/* What was given up is counted now. */
static void wait_finish(struct wait *w)
{
	struct kafka_produce *c = w->c;
	const struct kafka_tally *t;
	struct op *op = &w->op;

	if (!op->slot || !c->p)
		return;		/* Lua has dropped the call */
	t = &c->p->tally;
	close_counts(c);
	if (c->tx)
		c->tx->failed = 1;
	if (w->why.kind != ERR_NONE) {
		op->err = w->why;
		snprintf(op->err.message, sizeof op->err.message, "produce to "
			 "'%.200s' was stopped: %lld done, %lld failed, %lld "
			 "unknown", c->topic.name, t->done, t->failed,
			 t->unknown);
		kafka_produce_name(c, &op->err);
		effect_end(&c->effect, op->err.outcome, t->done, -1, &op->err);
		kafka_produce_end(c);
	}
}

static void wait_told(struct op *op)
{
	struct wait *w = (struct wait *)op;

	if (w->stopped)
		wait_finish(w);
	op_done(op);
}

static void on_grace(void *arg)
{
	wait_told(arg);
}

static enum op_answer wait_cancel(struct op *op)
{
	struct wait *w = (struct wait *)op;

	if (!op->slot) {		/* dropped by Lua, the call as well */
		if (w->p->wait == op)
			w->p->wait = NULL;
		return OP_NOW;
	}
	w->stopped = 1;
	if (op->cancelled || op->err.kind != ERR_TIMEOUT)
		w->why = op->err;
	else
		op->err.kind = ERR_NONE;	/* the call tells, with counts */
	kafka_producer_purge(w->p);
	w->grace = loop_timer_new(w->p->out ? GRACE : 0, 0, on_grace, w);
	if (w->grace)
		return OP_LATER;
	wait_finish(w);
	return OP_NOW;
}

static void wait_release(struct op *op)
{
	struct wait *w = (struct wait *)op;

	if (w->p && w->p->wait == op)
		w->p->wait = NULL;
	kafka_producer_free(w->p);
	loop_timer_free(w->grace);
}

static const struct op_class wait_class = {
	"kafka delivery reports", wait_cancel, NULL, wait_release
};

/* (produce, low, low bytes) Parks until no more than that is in flight. */
static int l_wait(lua_State *L)
{
	struct kafka_produce *c = lua_touserdata(L, 1);
	struct wait *w = (struct wait *)op_new(L, &wait_class, sizeof *w);
	double left = c->until - loop_now();

	w->c = c;
	c->p->low = lua_tointeger(L, 2);
	c->p->low_bytes = lua_tointeger(L, 3);
	if (c->p->out <= c->p->low && c->p->bytes <= c->p->low_bytes)
		return 0;
	w->p = c->p;
	w->p->held++;
	c->p->wait = &w->op;
	c->p->told = wait_told;
	op_start(&w->op);
	op_deadline(&w->op, left > 0 ? left : 0);
	return op_park(L, &w->op);
}

void kafka_produce_await(lua_State *L, struct kafka_produce *c, long long low,
			 long long low_bytes, lua_KFunction k)
{
	luaL_checkstack(L, 6, NULL);
	lua_pushcfunction(L, l_wait);
	lua_pushlightuserdata(L, c);
	lua_pushinteger(L, low);
	lua_pushinteger(L, low_bytes);
	lua_callk(L, 3, 0, (lua_KContext)c, k);
}
