/*
 * pg_conn: one connection at work: its socket's watch, the job that it is busy
 * with, cancelling, closing. A job's commands are queued by others (PQsend*);
 * here their results are read and handed to it. Opens nothing (pg_open.c) and
 * decides nothing about what a loss means.
 */
#include "bind/pg.h"

#include <stdio.h>
#include <string.h>

#include "bind/pg_find.h"
#include "core/mem.h"

#define CANCEL_EVERY 0.1	/* seconds */

struct pg_cancel {
	PGcancel *handle;	/* owned */
	struct pg_conn *c;	/* borrowed; NULL once it is gone */
	struct loop_work *work;
	char why[256];
	int ok;
};

static void on_watch(void *arg, int events, int status);

struct pg_conn *pg_conn_new(struct pg_client *pc, const struct pg_owner *owner)
{
	struct pg_conn *c = mem_zalloc(sizeof *c);

	if (!c)
		return NULL;
	c->pc = pc;
	c->owner = owner;
	buf_init(&c->notices);
	return c;
}

const char *pg_where(const struct pg_conn *c)
{
	if (c->peer[0])
		return c->peer;
	return c->pc ? c->pc->target->name : "?";
}

void pg_conn_enter(struct pg_conn *c)
{
	c->busy++;
}

static void free_now(struct pg_conn *c)
{
	pg_conn_stop(c);
	buf_release(&c->notices);
	mem_free(c);
}

void pg_conn_leave(struct pg_conn *c)
{
	if (--c->busy == 0 && c->dead && !c->held)
		free_now(c);
}

static void tell_idle(struct pg_conn *c)
{
	struct op *op = c->idle;

	c->idle = NULL;
	if (op)
		op_done(op);
}

/* --- closing ---------------------------------------------------------------- */
static void forget_cancel(struct pg_conn *c)
{
	if (!c->cancel)
		return;
	c->cancel->c = NULL;
	loop_work_abandon(c->cancel->work);
	c->cancel = NULL;
}

static void free_timers(struct pg_conn *c)
{
	loop_timer_free(c->deadline);
	loop_timer_free(c->step);
	loop_timer_free(c->kill);
	c->deadline = c->step = c->kill = NULL;
}

void pg_conn_stop(struct pg_conn *c)
{
	forget_cancel(c);
	free_timers(c);
	pg_find_free(c->find);
	c->find = NULL;
	loop_watch_free(c->watch);
	c->watch = NULL;
	if (c->pg)
		PQfinish(c->pg);
	c->pg = NULL;
	pg_stmt_drop_all(c);
	c->state = PG_DOWN;
	c->copying = 0;
}

void pg_conn_free(struct pg_conn *c)
{
	c->dead = 1;
	if (!c->busy && !c->held)
		free_now(c);
}

void pg_conn_down(struct pg_conn *c, const struct err *e)
{
	enum pg_state was = c->state;
	struct pg_job *job = c->job;
	struct pg_sink *sink = c->sink;
	struct err why = *e;

	if (was == PG_DOWN)
		return;
	pg_conn_enter(c);
	c->job = NULL;
	pg_conn_stop(c);
	if (job && job->done)
		job->done(job, c, &why);
	c->sink = NULL;
	if (sink)
		sink->lost(sink, &why);
	tell_idle(c);
	if (c->pc)
		c->owner->down(c, &why, was);
	pg_conn_leave(c);
}

/* The server or the network has ended it: says how. */
static void lost(struct pg_conn *c)
{
	struct err e;

	pg_error_text(&e, PHASE_WAIT, pg_where(c),
		      c->pg ? PQerrorMessage(c->pg) : "");
	pg_conn_down(c, &e);
}

int pg_conn_gone(struct pg_conn *c)
{
	if (!PQconsumeInput(c->pg) || PQstatus(c->pg) == CONNECTION_BAD) {
		lost(c);
		return 1;
	}
	return 0;
}

/* --- the watch ------------------------------------------------------------------ */
int pg_conn_watch(struct pg_conn *c)
{
	loop_watch_free(c->watch);
	c->watch = loop_watch_new(PQsocket(c->pg), on_watch, c);
	if (c->watch && loop_watch_set(c->watch, LOOP_READ) == 0)
		return 0;
	return -1;
}

/* 0: all is written. */
void pg_conn_flush(struct pg_conn *c)
{
	int left = PQflush(c->pg);

	if (c->watch && !c->paused)
		loop_watch_set(c->watch, left > 0 ? LOOP_READ | LOOP_WRITE :
			       LOOP_READ);
}

void pg_conn_pause(struct pg_conn *c, int paused)
{
	if (c->paused == paused)
		return;
	c->paused = paused;
	if (c->watch)
		loop_watch_set(c->watch, paused ? 0 : LOOP_READ);
}

/* --- jobs -------------------------------------------------------------------------- */
void pg_conn_begin(struct pg_conn *c, struct pg_job *job, int syncs)
{
	job->syncs = syncs;
	job->at = 0;
	c->job = job;
	c->copying = 0;
	pg_conn_pause(c, 0);
	if (syncs)
		PQenterPipelineMode(c->pg);
	else
		PQexitPipelineMode(c->pg);
	buf_clear(&c->notices);
	c->n_notices = c->notices_cut = 0;
}

int pg_conn_go(struct pg_conn *c, int ok, struct err *e)
{
	if (ok && c->job->row_step == 0) {
		PQsetSingleRowMode(c->pg);
		c->single |= !c->job->syncs;
	}
	if (ok) {
		pg_conn_flush(c);
		return 0;
	}
	c->job = NULL;
	pg_error_text(e, PHASE_SEND, pg_where(c), PQerrorMessage(c->pg));
	pg_conn_down(c, e);
	return -1;
}

static void job_done(struct pg_conn *c)
{
	struct pg_job *job = c->job;

	c->job = c->cancelled = NULL;
	c->copying = 0;
	loop_timer_free(c->kill);
	loop_timer_free(c->step);
	c->kill = c->step = NULL;
	job->done(job, c, NULL);
	if (!c->job)
		tell_idle(c);
}

/* A NULL from PQgetResult: a command's results have ended. 1: the job too. */
static int command_ended(struct pg_conn *c, int *nulls)
{
	struct pg_job *job = c->job;

	if (!job->syncs) {
		job_done(c);
		return 1;
	}
	job->at++;
	if (job->row_step == job->at)
		PQsetSingleRowMode(c->pg);
	return ++*nulls > 2;
}

/* 1: no more now. */
static int take_result(struct pg_conn *c, PGresult *res)
{
	struct pg_job *job = c->job;
	ExecStatusType status = PQresultStatus(res);

	if (status == PGRES_PIPELINE_SYNC) {
		PQclear(res);
		if (--job->syncs > 0)
			return 0;
		job_done(c);
		return 1;
	}
	if ((status == PGRES_COPY_OUT || status == PGRES_COPY_IN) &&
	    job->copy) {
		c->copying = 1 + (status == PGRES_COPY_IN);
		job->result(job, c, res);
		return 0;
	}
	job->result(job, c, res);
	return 0;
}

/* Hands over what has come. */
void pg_conn_drain(struct pg_conn *c)
{
	PGresult *res;
	int nulls = 0;

	while (c->job && c->pg && !c->paused) {
		if (c->copying) {
			if (!c->job->copy(c->job, c))
				break;
			c->copying = 0;
			continue;
		}
		if (PQisBusy(c->pg))
			return;
		res = PQgetResult(c->pg);
		if (!res) {
			if (PQstatus(c->pg) == CONNECTION_BAD)
				return;
			if (command_ended(c, &nulls))
				return;
			continue;
		}
		nulls = 0;
		/* libpq's own word on a loss is no answer of the server's */
		if (PQresultStatus(res) == PGRES_FATAL_ERROR &&
		    PQstatus(c->pg) == CONNECTION_BAD &&
		    !PQresultErrorField(res, PG_DIAG_SQLSTATE)) {
			PQclear(res);
			return;
		}
		if (take_result(c, res))
			return;
	}
}

static void take_notifications(struct pg_conn *c)
{
	PGnotify *n;

	while (c->sink && (n = PQnotifies(c->pg))) {
		c->sink->notify(c->sink, n);
		PQfreemem(n);
	}
}

/* A socket with an error is watched no longer by the loop; what came before the
 * error is read first, the error itself by the next turn. */
static int rewatch(struct pg_conn *c)
{
	return c->paused ? 0 : pg_conn_watch(c);
}

static void on_watch(void *arg, int events, int status)
{
	struct pg_conn *c = arg;

	pg_conn_enter(c);
	if ((events & LOOP_WRITE) && c->pg)
		pg_conn_flush(c);
	if ((events & LOOP_READ) || status < 0) {
		int ok = PQconsumeInput(c->pg);

		pg_conn_drain(c);
		if (c->pg && c->sink)
			take_notifications(c);
		if (c->pg && (!ok || PQstatus(c->pg) == CONNECTION_BAD))
			lost(c);
		else if (c->pg && status < 0 && rewatch(c) < 0)
			lost(c);
	} else if (c->copying && c->pg) {
		pg_conn_drain(c);
	}
	pg_conn_leave(c);
}

/* --- cancelling ------------------------------------------------------------------------ */
static void cancel_run(void *arg)
{
	struct pg_cancel *x = arg;

	x->ok = PQcancel(x->handle, x->why, sizeof x->why);
}

static void send_cancel(struct pg_conn *c);

static void on_again(void *arg)
{
	struct pg_conn *c = arg;

	loop_timer_free(c->step);
	c->step = NULL;
	if (c->job && c->job == c->cancelled)
		send_cancel(c);
}

static void cancel_done(void *arg, int abandoned)
{
	struct pg_cancel *x = arg;
	struct pg_conn *c = x->c;

	(void)abandoned;
	PQfreeCancel(x->handle);
	mem_free(x);
	if (!c)
		return;
	c->cancel = NULL;
	/* one that was given back meanwhile waits for this */
	if (c->state == PG_CLEANING && !c->job)
		c->owner->cancelled(c);
	else if (c->job && c->job == c->cancelled && !c->step)
		c->step = loop_timer_new(CANCEL_EVERY, 0, on_again, c);
}

static void on_kill(void *arg)
{
	struct pg_conn *c = arg;
	struct err e;

	err_set(&e, ERR_CONNECT, "ETIMEDOUT", "'%s' did not answer a cancel: "
		"the connection was closed", pg_where(c));
	e.phase = PHASE_WAIT;
	pg_conn_down(c, &e);
}

void pg_conn_bound(struct pg_conn *c, double grace)
{
	loop_timer_free(c->kill);
	c->kill = loop_timer_new(grace, 0, on_kill, c);
	if (!c->kill)
		on_kill(c);
}

/* The server ignores one that comes between two statements of a pipeline: it is
 * sent again until the job has ended. */
static void send_cancel(struct pg_conn *c)
{
	struct pg_cancel *x;

	if (!c->cancel && (x = mem_zalloc(sizeof *x))) {
		x->c = c;
		x->handle = PQgetCancel(c->pg);
		x->work = x->handle ? loop_work_new(cancel_run, cancel_done, x)
				    : NULL;
		if (x->work) {
			c->cancel = x;
		} else {
			PQfreeCancel(x->handle);
			mem_free(x);
		}
	}
}

void pg_conn_cancel(struct pg_conn *c, double grace)
{
	c->cancelled = c->job;
	send_cancel(c);
	pg_conn_bound(c, grace);
}

enum err_phase pg_conn_phase(const struct pg_conn *c)
{
	switch (c->state) {
	case PG_FINDING:
		return PHASE_DNS;
	case PG_GREETING:
		return PHASE_AUTH;
	case PG_OPENING:
		break;
	default:
		return PHASE_WAIT;
	}
	switch (c->pg ? PQstatus(c->pg) : CONNECTION_NEEDED) {
	case CONNECTION_SSL_STARTUP:
	case CONNECTION_GSS_STARTUP:
		return PHASE_TLS;
	case CONNECTION_AWAITING_RESPONSE:
	case CONNECTION_AUTH_OK:
	case CONNECTION_SETENV:
	case CONNECTION_CONSUME:
	case CONNECTION_CHECK_WRITABLE:
	case CONNECTION_CHECK_TARGET:
	case CONNECTION_CHECK_STANDBY:
		return PHASE_AUTH;
	default:
		return PHASE_CONNECT;
	}
}
