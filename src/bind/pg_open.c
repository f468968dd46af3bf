/*
 * pg_open: opening a connection: the hosts' addresses (pg_find.c), libpq's own
 * state machine, one host after the other, then who the server is (pg_greet.c).
 * Has the connection until it is idle.
 */
#include "bind/pg.h"

#include <stdio.h>
#include <string.h>

#include "bind/pg_find.h"

#define STEP_MIN 0.5		/* seconds for one of several hosts */

static void connect_now(struct pg_conn *c);
static void on_poll(void *arg, int events, int status);

static void no_memory(struct pg_conn *c)
{
	struct err e;

	err_set(&e, ERR_LIMIT, "ENOMEM", "out of memory to connect to '%s'",
		pg_where(c));
	pg_conn_down(c, &e);
}

/* --- libpq's part -------------------------------------------------------------------- */
static int all_empty(const struct buf *b)
{
	return strspn(b->data, ",") == b->len;
}

static PGconn *start(struct pg_conn *c, const struct pg_lists *l)
{
	const char *key[KEYWORDS_MAX + 8], *value[KEYWORDS_MAX + 8];
	struct pg_options *o = &c->pc->o;
	int i, n = 0;

	for (i = 0; i < o->words.n; i++, n++) {
		key[n] = o->words.key[i];
		value[n] = o->words.value[i];
	}
	if (l->n) {
		key[n] = "host", value[n++] = l->host.data;
		if (!all_empty(&l->addr))
			key[n] = "hostaddr", value[n++] = l->addr.data;
		if (!all_empty(&l->port))
			key[n] = "port", value[n++] = l->port.data;
	}
	key[n] = "client_encoding", value[n++] = "UTF8";
	key[n] = value[n] = NULL;
	return PQconnectStartParams(key, value, 0);
}

static void note_peer(struct pg_conn *c)
{
	const char *host = PQhost(c->pg), *port = PQport(c->pg);

	if (!host || !*host)
		return;
	if (host[0] == '/' || host[0] == '@')
		snprintf(c->peer, sizeof c->peer, "%s/.s.PGSQL.%s", host,
			 port);
	else
		snprintf(c->peer, sizeof c->peer, strchr(host, ':') ?
			 "[%s]:%s" : "%s:%s", host, port);
}

/* The host at hand is not tried again. How many are left? */
static int mark_tried(struct pg_conn *c)
{
	return pg_find_tried(c->find, PQhost(c->pg), PQhostaddr(c->pg),
			     PQport(c->pg));
}

static void try_others(struct pg_conn *c)
{
	loop_timer_free(c->step);
	c->step = NULL;
	loop_watch_free(c->watch);
	c->watch = NULL;
	PQfinish(c->pg);
	c->pg = NULL;
	connect_now(c);
}

/* One of several hosts does not answer: the others have their turn. */
static void on_step(void *arg)
{
	struct pg_conn *c = arg;

	pg_conn_enter(c);
	mark_tried(c);
	try_others(c);
	pg_conn_leave(c);
}

/* libpq goes on to the next host when one can't be reached, not when one takes the
 * connection and drops it, as what stands before a dead server does. */
static void open_failed(struct pg_conn *c)
{
	enum err_phase phase = pg_conn_phase(c);
	struct err e;

	pg_error_text(&e, phase, c->peer[0] ? c->peer : pg_where(c),
		      PQerrorMessage(c->pg));
	if ((!strcmp(e.code, "EOF") || !strcmp(e.code, "ECONNRESET")) &&
	    mark_tried(c) > 0) {
		c->find->why = e;
		try_others(c);
	} else {
		pg_conn_down(c, &e);
	}
}

static void arm_step(struct pg_conn *c, int left)
{
	double time = (c->until - loop_now()) / (left > 0 ? left : 1);

	loop_timer_free(c->step);
	c->step = NULL;
	if (left > 1)
		c->step = loop_timer_new(time > STEP_MIN ? time : STEP_MIN, 0,
					 on_step, c);
}

static void note_notice(void *arg, const PGresult *res);

static void connect_now(struct pg_conn *c)
{
	struct pg_lists l;
	int n;

	pg_find_lists(c->find, &l);
	n = l.n;
	c->state = PG_OPENING;
	if (!n && c->find->n) {
		pg_lists_release(&l);
		if (c->find->why.kind == ERR_NONE) {
			err_set(&c->find->why, ERR_CONNECT, "ETIMEDOUT",
				"none of the hosts of '%s' answers",
				c->pc->target->name);
			c->find->why.phase = PHASE_CONNECT;
		}
		pg_conn_down(c, &c->find->why);
		return;
	}
	if (buf_ok(&l.host) && buf_ok(&l.addr) && buf_ok(&l.port))
		c->pg = start(c, &l);
	pg_lists_release(&l);
	if (!c->pg) {
		no_memory(c);
		return;
	}
	PQsetErrorVerbosity(c->pg, PQERRORS_VERBOSE);
	PQsetErrorContextVisibility(c->pg, PQSHOW_CONTEXT_NEVER);
	PQsetNoticeReceiver(c->pg, note_notice, c);
	note_peer(c);
	if (PQstatus(c->pg) == CONNECTION_BAD) {
		open_failed(c);
		return;
	}
	arm_step(c, n);
	c->watch = loop_watch_new(PQsocket(c->pg), on_poll, c);
	if (!c->watch || loop_watch_set(c->watch, LOOP_WRITE))
		no_memory(c);
}

static void opened(struct pg_conn *c)
{
	const char *version = PQparameterStatus(c->pg, "server_version");

	loop_timer_free(c->step);
	c->step = NULL;
	PQsetErrorVerbosity(c->pg, PQERRORS_DEFAULT);
	note_peer(c);
	c->console = version && strstr(version, "bouncer");
	c->state = PG_GREETING;
	if (PQsetnonblocking(c->pg, 1) || pg_conn_watch(c) < 0) {
		no_memory(c);
		return;
	}
	pg_greet_send(c);
}

/* The socket may be another one after each step, with the same number: the
 * watch goes before. */
static void on_poll(void *arg, int events, int status)
{
	struct pg_conn *c = arg;
	PostgresPollingStatusType r;

	(void)events;
	(void)status;
	pg_conn_enter(c);
	loop_watch_free(c->watch);
	c->watch = NULL;
	r = PQconnectPoll(c->pg);
	note_peer(c);
	if (r == PGRES_POLLING_OK) {
		opened(c);
	} else if (r == PGRES_POLLING_FAILED) {
		open_failed(c);
	} else {
		c->watch = loop_watch_new(PQsocket(c->pg), on_poll, c);
		if (!c->watch || loop_watch_set(c->watch,
				r == PGRES_POLLING_READING ? LOOP_READ :
				LOOP_WRITE))
			no_memory(c);
	}
	pg_conn_leave(c);
}

static void on_deadline(void *arg)
{
	struct pg_conn *c = arg;
	enum err_phase phase = pg_conn_phase(c);
	struct err e;

	err_set(&e, ERR_CONNECT, "ETIMEDOUT", "cannot connect to '%s': no "
		"answer within %g s (phase %s)", pg_where(c),
		c->pc->o.connect_timeout, err_phase_name(phase));
	e.phase = phase;
	pg_conn_down(c, &e);
}

static void on_begin(void *arg)
{
	struct pg_conn *c = arg;

	pg_conn_enter(c);
	loop_timer_free(c->step);
	c->step = NULL;
	connect_now(c);
	pg_conn_leave(c);
}

int pg_conn_open(struct pg_conn *c, struct err *e)
{
	struct pg_options *o = &c->pc->o;

	c->began = loop_now();
	c->until = c->began + o->connect_timeout;
	c->state = PG_FINDING;
	c->single = 0;
	c->peer[0] = '\0';
	if (o->n_hosts)
		snprintf(c->peer, sizeof c->peer, "%s%s%s", o->hosts[0].host,
			 *o->hosts[0].port ? ":" : "", o->hosts[0].port);
	c->deadline = loop_timer_new(o->connect_timeout, 0, on_deadline, c);
	c->find = pg_find_new(o, on_begin, c);
	if (!c->deadline || !c->find) {
		pg_conn_stop(c);
		err_set(e, ERR_LIMIT, "ENOMEM", "out of memory to connect");
		return -1;
	}
	/* nothing to resolve: a timer keeps callbacks out of this call */
	if (c->find->pending)
		return 0;
	c->step = loop_timer_new(0, 0, on_begin, c);
	if (c->step)
		return 0;
	pg_conn_stop(c);
	err_set(e, ERR_LIMIT, "ENOMEM", "out of memory to connect");
	return -1;
}

/* --- notices -------------------------------------------------------------------------- */
static void note_notice(void *arg, const PGresult *res)
{
	struct pg_conn *c = arg;
	const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY);
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	size_t room = PG_NOTICES - (c->notices.len < PG_NOTICES ?
				    c->notices.len : PG_NOTICES);
	size_t len = text ? strlen(text) : 0;

	if (!text)
		return;
	if (room < len + 32) {
		c->notices_cut++;
		return;
	}
	buf_addf(&c->notices, "%s: %s", severity ? severity : "NOTICE", text);
	buf_addc(&c->notices, '\0');
	c->n_notices++;
}
