/*
 * pg_pool: a target's connections: leased, given back, opened on demand and
 * again after a loss, and the queue of who waits for one. What is given back
 * with something open on it is rolled back first. Decides nothing about calls.
 */
#include "bind/pg.h"

#include <string.h>

#define CLEAN_TIME 2.0		/* seconds for a rollback beside the program */

/* --- who waits ------------------------------------------------------------------ */
void pg_wait_join(struct pg_wait *w)
{
	struct pg_wait **at;

	for (at = &w->pc->waits; *at; )
		at = &(*at)->next;
	*at = w;
	w->linked = 1;
}

void pg_wait_leave(struct pg_wait *w)
{
	struct pg_wait **at = &w->pc->waits;

	if (!w->linked)
		return;
	while (*at && *at != w)
		at = &(*at)->next;
	if (*at)
		*at = w->next;
	w->linked = 0;
}

void pg_wait_end(struct pg_wait *w, const struct err *e)
{
	pg_wait_leave(w);
	if (e)
		w->why = *e;
	op_done(&w->op);
}

/* --- the pool ---------------------------------------------------------------- */
static void unlink_conn(struct pg_client *pc, struct pg_conn *c)
{
	struct pg_conn **at = &pc->conns;

	while (*at && *at != c)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = c->next;
	c->next = NULL;
	pc->n_conns--;
}

static void conn_up(struct pg_conn *c)
{
	c->pc->n_opening--;
	pg_pump(c->pc);
}

static void conn_down(struct pg_conn *c, const struct err *e, enum pg_state was)
{
	struct pg_client *pc = c->pc;
	int opening = was == PG_FINDING || was == PG_OPENING ||
		      was == PG_GREETING;

	if (opening)
		pc->n_opening--;
	else if (!pc->closed)
		target_lost(pc->target, e);
	unlink_conn(pc, c);
	c->pc = NULL;
	/* an open one has told whoever holds it; a new one its waiter, but not
	 * one that came after it had begun: it gets an attempt of its own */
	if (opening && pc->waits && !pc->closed &&
	    c->began >= pc->waits->began)
		pg_wait_end(pc->waits, e);
	pg_conn_free(c);
	pg_pump(pc);
}

static const struct pg_owner owner = { conn_up, conn_down, pg_unlease };

static int start_one(struct pg_client *pc, struct err *e)
{
	struct pg_conn *c = pg_conn_new(pc, &owner);

	if (!c) {
		err_set(e, ERR_LIMIT, "ENOMEM", "out of memory to connect");
		return -1;
	}
	c->next = pc->conns;
	pc->conns = c;
	pc->n_conns++;
	if (pg_conn_open(c, e) == 0) {
		pc->n_opening++;
		return 0;
	}
	unlink_conn(pc, c);
	c->pc = NULL;
	pg_conn_free(c);
	return -1;
}

struct pg_conn *pg_lease(struct pg_client *pc)
{
	struct pg_conn *c, *next;

	for (c = pc->conns; c; c = next) {
		next = c->next;
		if (c->state != PG_IDLE)
			continue;
		c->held = 1;
		c->state = PG_LEASED;
		if (!pg_conn_gone(c))
			return c;
		/* gone while idle: conn_down has unlinked it */
		c->held = 0;
		if (c->dead)
			pg_conn_free(c);
		next = pc->conns;
	}
	return NULL;
}

static int count_waits(const struct pg_client *pc)
{
	const struct pg_wait *w;
	int n = 0;

	for (w = pc->waits; w; w = w->next)
		n++;
	return n;
}

static void pump_once(struct pg_client *pc)
{
	struct pg_conn *c;
	struct err e;

	while (pc->waits && (c = pg_lease(pc))) {
		*pc->waits->out = c;
		pg_wait_end(pc->waits, NULL);
		pc->again = 1;
	}
	while (pc->waits && pc->n_opening < count_waits(pc) &&
	       pc->n_conns < pc->o.pool) {
		if (start_one(pc, &e) == 0)
			continue;
		pg_wait_end(pc->waits, &e);
		pc->again = 1;
	}
}

void pg_pump(struct pg_client *pc)
{
	pc->again = 1;
	if (pc->pumping)
		return;
	pc->pumping = 1;
	while (pc->again && !pc->closed) {
		pc->again = 0;
		pump_once(pc);
	}
	pc->pumping = 0;
}

/* --- giving back ---------------------------------------------------------------- */
static void drop_result(struct pg_job *job, struct pg_conn *c, PGresult *res)
{
	(void)job;
	(void)c;
	PQclear(res);
}

static void cleaned(struct pg_job *job, struct pg_conn *c,
		    const struct err *lost)
{
	(void)job;
	if (!lost)
		pg_unlease(c);
}

static void clean(struct pg_conn *c)
{
	struct err e;

	c->own.row_step = -1;
	c->own.result = drop_result;
	c->own.copy = NULL;
	c->own.done = cleaned;
	pg_conn_begin(c, &c->own, 0);
	pg_conn_bound(c, CLEAN_TIME);
	c->single = 0;
	if (c->state != PG_DOWN)
		pg_conn_go(c, PQsendQuery(c->pg, PQtransactionStatus(c->pg) ==
					  PQTRANS_IDLE ? "" : "rollback"), &e);
}

/* Its job has lost whoever waited for it: what comes is thrown away; what was
 * to be sent is given up. */
static int copy_drop(struct pg_job *job, struct pg_conn *c)
{
	char *row;
	int n;

	(void)job;
	if (c->copying == 2)
		return PQputCopyEnd(c->pg, "given up") != 0;
	while ((n = PQgetCopyData(c->pg, &row, 1)) > 0)
		PQfreemem(row);
	return n < 0;
}

static void nobody(struct pg_job *job, struct pg_conn *c,
		   const struct err *lost)
{
	(void)job;
	(void)c;
	(void)lost;
}

void pg_conn_orphan(struct pg_conn *c)
{
	if (!c->job)
		return;
	if (c->job != &c->own)
		c->own = *c->job;
	c->own.result = drop_result;
	c->own.copy = copy_drop;
	c->own.done = nobody;
	c->job = &c->own;
	pg_conn_pause(c, 0);
}

void pg_unlease(struct pg_conn *c)
{
	struct err e;

	c->held = 0;
	c->sink = NULL;
	if (c->state == PG_DOWN) {
		if (c->dead || !c->pc)
			pg_conn_free(c);
		return;
	}
	if (!c->pc) {
		pg_conn_stop(c);
		pg_conn_free(c);
		return;
	}
	pg_conn_enter(c);
	c->state = PG_CLEANING;
	if (c->job) {
		pg_conn_orphan(c);
		c->own.done = cleaned;
		pg_conn_cancel(c, CLEAN_TIME);
		/* what is here already makes no event */
		if (c->pg)
			pg_conn_drain(c);
	} else if (c->cancel) {
		/* it must not meet the next one's statement */
	} else if (c->tainted) {
		err_set(&e, ERR_CANCELLED, "", "the session was changed");
		pg_conn_down(c, &e);
	} else if (PQtransactionStatus(c->pg) == PQTRANS_IDLE && !c->single) {
		loop_timer_free(c->kill);
		c->kill = NULL;
		c->state = PG_IDLE;
		pg_pump(c->pc);
	} else if (PQtransactionStatus(c->pg) == PQTRANS_UNKNOWN) {
		err_set(&e, ERR_CONNECT, "", "the connection was lost");
		pg_conn_down(c, &e);
	} else {
		clean(c);
	}
	pg_conn_leave(c);
}

/* --- the end ----------------------------------------------------------------------- */
void pg_pool_close(struct pg_client *pc, const struct err *e)
{
	struct pg_conn *c;

	while (pc->waits)
		pg_wait_end(pc->waits, e);
	while ((c = pc->conns)) {
		pg_conn_enter(c);
		if (c->job && c->state != PG_GREETING)
			pg_conn_cancel(c, 0.1);
		if (c->state != PG_DOWN)
			pg_conn_down(c, e);
		if (pc->conns == c) {
			unlink_conn(pc, c);
			c->pc = NULL;
			pg_conn_free(c);
		}
		pg_conn_leave(c);
	}
}
