/*
 * pg_ask: one exchange on a leased connection, awaited: commands are queued,
 * their results gathered, a refusal or loss is raised with what became of the
 * call. A cancel is sent to the server and its answer waited for. Knows nothing
 * of what the commands mean.
 */
#include "bind/pg.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#define GRACE_DEADLINE 2.0	/* seconds for the answer to a cancel */
#define GRACE_CANCEL 0.6

struct ask_op {
	struct op op;
	struct pg_job job;
	struct pg_ask ask;
	struct pg_conn *c;	/* borrowed: leased by the frame */
	struct pg_reply *reply;	/* borrowed: NULL once Lua let go */
	int refused;		/* an error result came */
	int lost;
	struct pg_error error;	/* of the first refusal, or the loss */
	int over;		/* more rows than allowed: was cancelled */
};

static struct ask_op *of_job(struct pg_job *job)
{
	return (struct ask_op *)(void *)((char *)job -
				offsetof(struct ask_op, job));
}

void pg_reply_clear(struct pg_reply *r)
{
	struct pg_store *store = r->store;
	int i;

	for (i = 0; i < PG_RESULTS; i++)
		PQclear(r->res[i]);
	memset(r, 0, sizeof *r);
	r->store = store;
}

/* --- results ------------------------------------------------------------------- */
static void too_much(struct ask_op *a)
{
	struct pg_store *s = a->reply->store;

	a->over = 1;
	if (s->bad)
		err_set(&a->error.e, ERR_LIMIT, "ENOMEM",
			"out of memory for the rows");
	else
		err_set(&a->error.e, ERR_LIMIT, "", "the result is larger than "
			"%lld bytes (%lld rows so far)", s->max, s->rows);
	snprintf(a->error.e.hint, sizeof a->error.e.hint, "rows() streams, in "
		 "constant memory; max = BYTES allows more");
	a->error.e.phase = PHASE_READ;
	if (a->c->cancel == NULL)
		pg_conn_cancel(a->c, GRACE_DEADLINE);
}

static void take_row(struct ask_op *a, PGresult *res)
{
	struct pg_store *s = a->reply ? a->reply->store : NULL;

	if (s && !a->over) {
		pg_store_add(s, res);
		if (s->full || s->bad)
			too_much(a);
	}
	PQclear(res);
}

static void on_result(struct pg_job *job, struct pg_conn *c, PGresult *res)
{
	struct ask_op *a = of_job(job);
	ExecStatusType status = PQresultStatus(res);

	(void)c;
	if (status == PGRES_SINGLE_TUPLE) {
		take_row(a, res);
		return;
	}
	if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) {
		if (!a->refused && !a->over)
			pg_error_read(&a->error, res);
		a->refused = 1;
		PQclear(res);
		return;
	}
	if (a->reply && job->at < PG_RESULTS && status !=
	    PGRES_PIPELINE_ABORTED && !a->reply->res[job->at])
		a->reply->res[job->at] = res;
	else
		PQclear(res);
}

/* --- the end ---------------------------------------------------------------------- */
/* What a loss or a cancel means for the call. */
static enum outcome outcome_of(const struct ask_op *a)
{
	int write = a->ask.effect && a->ask.effect->cls != EFFECT_READ;

	return write && (a->ask.writes || a->ask.commit) ? OUTCOME_UNKNOWN :
		OUTCOME_FAILED;
}

static void end_effect(struct ask_op *a, struct err *e)
{
	snprintf(e->target, sizeof e->target, "%s", a->c->pc ?
		 a->c->pc->target->name : a->ask.effect ?
		 a->ask.effect->target->name : "");
	if (a->ask.verb)
		snprintf(e->op, sizeof e->op, "%s", a->ask.verb);
	if (a->ask.effect)
		effect_end(a->ask.effect, e->outcome, -1, -1, e->outcome ==
			   OUTCOME_DONE ? NULL : e);
}

/* The server has answered, or the connection is gone, after a cancel. */
static void end_cancelled(struct ask_op *a, int answered)
{
	struct err *e = &a->op.err;
	const char *verb = a->ask.verb ? a->ask.verb : "the statement";
	enum err_kind kind = e->kind;
	enum outcome out = outcome_of(a);

	if (answered && a->refused)
		out = OUTCOME_FAILED;	/* it was cancelled there */
	else if (answered && out == OUTCOME_UNKNOWN)
		out = OUTCOME_DONE;	/* it was too late for that */
	if (kind == ERR_TIMEOUT)
		err_set(e, kind, "", "'%s' did not end on '%s' within %g s%s",
			verb, pg_where(a->c), a->ask.timeout, answered ?
			": it was cancelled" : ": the connection was closed");
	else
		err_set(e, kind, "", "'%s' on '%s' was cancelled%s", verb,
			pg_where(a->c), answered ? "" :
			", its connection closed");
	e->phase = PHASE_WAIT;
	e->outcome = out;
	end_effect(a, e);
}

static void end_lost(struct ask_op *a, const struct err *lost)
{
	struct err *e = &a->error.e;

	memset(&a->error, 0, sizeof a->error);
	*e = *lost;
	e->outcome = outcome_of(a);
	if (e->phase == PHASE_NONE)
		e->phase = PHASE_WAIT;
	if (e->outcome == OUTCOME_UNKNOWN && !a->ask.retry) {
		err_set(e, ERR_UNKNOWN, lost->code, "connection to '%s' was "
			"lost before the reply to '%s' came: it may have been "
			"applied (%s)", pg_where(a->c), a->ask.verb ?
			a->ask.verb : "?", lost->message);
		e->phase = PHASE_WAIT;
		e->outcome = OUTCOME_UNKNOWN;
	}
	a->lost = 1;
	if (a->ask.retry && a->reply) {
		a->reply->lost = 1;
		a->reply->error = a->error;
	} else {
		end_effect(a, e);
	}
}

static void end_refused(struct ask_op *a)
{
	struct err *e = &a->error.e;

	e->outcome = OUTCOME_FAILED;
	if (a->ask.keep && a->reply && !a->over) {
		a->reply->failed = 1;
		a->reply->error = a->error;
	} else {
		end_effect(a, e);
	}
}

static void on_done(struct pg_job *job, struct pg_conn *c,
		    const struct err *lost)
{
	struct ask_op *a = of_job(job);

	(void)c;
	if (a->op.asked && !(a->ask.commit && !lost && !a->refused &&
			     a->op.err.kind == ERR_TIMEOUT)) {
		end_cancelled(a, !lost);
	} else if (lost && !a->over) {
		a->op.err.kind = ERR_NONE;
		end_lost(a, lost);
	} else if (a->refused || a->over) {
		end_refused(a);
	} else {
		a->op.err.kind = ERR_NONE;	/* a commit that made it */
	}
	op_done(&a->op);
}

static enum op_answer ask_cancel(struct op *op)
{
	struct ask_op *a = (struct ask_op *)op;
	double grace = op->err.kind == ERR_TIMEOUT ? GRACE_DEADLINE :
		GRACE_CANCEL;

	if (!a->c->job || a->c->job != &a->job) {
		end_cancelled(a, 0);
		return OP_NOW;
	}
	/* a commit that waits for a standby must not be told to stop waiting:
	 * it would be called done */
	if (a->ask.commit)
		pg_conn_bound(a->c, grace);
	else
		pg_conn_cancel(a->c, grace);
	if (op->detached) {
		/* the frame is gone, and what is borrowed from it */
		if (!op->done)
			end_cancelled(a, 0);
		a->ask.effect = NULL;
		a->reply = NULL;
		pg_conn_orphan(a->c);
		return OP_NOW;
	}
	return OP_LATER;
}

static int ask_push(lua_State *L, struct op *op)
{
	struct ask_op *a = (struct ask_op *)op;
	struct pg_error e = a->error;
	int raise = (a->lost && !a->ask.retry) || a->over ||
		    (a->refused && !a->lost && !a->ask.keep);

	if (raise)
		pg_error_raise(L, &e, a->ask.sql, a->ask.len);
	return 0;
}

static const struct op_class ask_class = {
	"postgres call", ask_cancel, ask_push, NULL
};

/* (ask) Sends it and parks. */
static int l_ask(lua_State *L)
{
	struct pg_ask ask = *(struct pg_ask *)lua_touserdata(L, 1);
	struct ask_op *a = (struct ask_op *)op_new(L, &ask_class, sizeof *a);
	double left = ask.until - loop_now();
	struct err e;

	a->ask = ask;
	a->c = ask.c;
	a->reply = ask.reply;
	a->job.row_step = ask.row_step;
	a->job.result = on_result;
	a->job.done = on_done;
	if (ask.c->job)
		err_raisef(L, ERR_USAGE, "", "two tasks use one transaction at "
			   "the same time");
	pg_reply_clear(a->reply);
	if (ask.c->state == PG_DOWN || !ask.c->pg) {
		err_set(&e, ERR_CONNECT, "", "the connection to '%s' was lost",
			pg_where(ask.c));
		e.phase = PHASE_SEND;
		a->ask.writes = a->ask.commit = 0;
		end_lost(a, &e);
		a->op.done = 1;
		return op_park(L, &a->op);
	}
	op_start(&a->op);
	pg_conn_begin(ask.c, &a->job, ask.syncs);
	if (pg_conn_go(ask.c, ask.send(ask.c, ask.arg), &e) < 0) {
		/* not a byte of it was flushed */
		a->ask.writes = a->ask.commit = 0;
		end_lost(a, &e);
		op_done(&a->op);
		return op_park(L, &a->op);
	}
	op_deadline(&a->op, left > 0 ? left : 0);
	a->op.timeout = ask.timeout;
	return op_park(L, &a->op);
}

void pg_await(lua_State *L, const struct pg_ask *ask, lua_KContext ctx,
	      lua_KFunction k)
{
	luaL_checkstack(L, 4, NULL);
	lua_pushcfunction(L, l_ask);
	lua_pushlightuserdata(L, (void *)ask);
	lua_callk(L, 1, 0, ctx, k);
}
