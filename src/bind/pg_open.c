/*
 * pg_open: opening a connection: host names by the loop's resolver (libpq would
 * block on them), libpq's own state machine, then who the server is: system
 * identifier, timeline, in recovery or not. The last is asked again whenever
 * the identity has to be fresh.
 */
#include "bind/pg.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

#define ADDRS 6			/* of one name, at most */
#define STEP_MIN 0.5		/* seconds for one of several hosts */

struct pg_find_host {
	struct pg_find *f;
	struct loop_resolve *resolve;
	int n, tried[ADDRS];
	char addr[ADDRS][INET6_ADDRSTRLEN];
};

struct pg_find {
	struct pg_conn *c;
	struct err why;		/* of the last name that has no address */
	int n, pending;
	struct pg_find_host host[];
};

static void connect_now(struct pg_conn *c);
static void on_poll(void *arg, int events, int status);

void pg_find_free(struct pg_find *f)
{
	int i;

	if (!f)
		return;
	for (i = 0; i < f->n; i++)
		if (f->host[i].resolve)
			loop_resolve_abandon(f->host[i].resolve);
	mem_free(f);
}

static void no_memory(struct pg_conn *c)
{
	struct err e;

	err_set(&e, ERR_LIMIT, "ENOMEM", "out of memory to connect to '%s'",
		pg_where(c));
	pg_conn_down(c, &e);
}

/* --- names ---------------------------------------------------------------------- */
static int is_folder(const char *host)
{
	return host[0] == '/' || host[0] == '@' || !host[0];
}

static int is_numeric(const char *host)
{
	struct in6_addr a;

	return inet_pton(AF_INET, host, &a) == 1 ||
	       inet_pton(AF_INET6, host, &a) == 1;
}

static void add_addr(struct pg_find_host *h, const struct loop_addr *a)
{
	const void *in = a->family == AF_INET ?
		(const void *)&((const struct sockaddr_in *)&a->addr)->sin_addr
		: (const void *)&((const struct sockaddr_in6 *)
				  &a->addr)->sin6_addr;

	if (h->n < ADDRS && inet_ntop(a->family, in, h->addr[h->n],
				      sizeof h->addr[0]))
		h->n++;
}

static void on_resolved(void *arg, const struct loop_addr *addrs, int n,
			const struct err *e)
{
	struct pg_find_host *h = arg;
	struct pg_find *f = h->f;
	struct pg_conn *c = f->c;
	int i;

	pg_conn_enter(c);
	h->resolve = NULL;
	for (i = 0; i < n; i++)
		add_addr(h, &addrs[i]);
	if (!n)
		f->why = *e;
	if (--f->pending == 0)
		connect_now(c);
	pg_conn_leave(c);
}

static int start_find(struct pg_conn *c)
{
	struct pg_options *o = &c->pc->o;
	struct pg_find *f;
	int i;

	f = mem_zalloc(sizeof *f + (size_t)o->n_hosts * sizeof f->host[0]);
	if (!f)
		return -1;
	f->c = c;
	f->n = o->n_hosts;
	c->find = f;
	for (i = 0; i < f->n; i++) {
		struct pg_find_host *h = &f->host[i];
		const char *host = o->hosts[i].host;

		h->f = f;
		if (is_folder(host) || is_numeric(host)) {
			snprintf(h->addr[0], sizeof h->addr[0], "%s",
				 is_folder(host) ? "" : host);
			h->n = 1;
			continue;
		}
		h->resolve = loop_resolve_new(host, NULL, on_resolved, h);
		if (!h->resolve)
			return -1;
		f->pending++;
	}
	return 0;
}

/* --- libpq's part -------------------------------------------------------------------- */
struct lists {
	struct buf host, addr, port;
	int n;
};

static void add_entry(struct lists *l, const struct pg_host *h,
		      const char *addr)
{
	if (l->n++) {
		buf_addc(&l->host, ',');
		buf_addc(&l->addr, ',');
		buf_addc(&l->port, ',');
	}
	buf_adds(&l->host, h->host);
	buf_adds(&l->addr, addr);
	buf_adds(&l->port, h->port);
}

static int all_empty(const struct buf *b)
{
	return strspn(b->data, ",") == b->len;
}

/* Those that are left to try. */
static void make_lists(struct pg_conn *c, struct lists *l)
{
	struct pg_options *o = &c->pc->o;
	int i, k;

	memset(l, 0, sizeof *l);
	buf_init(&l->host);
	buf_init(&l->addr);
	buf_init(&l->port);
	for (i = 0; i < c->find->n; i++)
		for (k = 0; k < c->find->host[i].n; k++)
			if (!c->find->host[i].tried[k])
				add_entry(l, &o->hosts[i],
					  c->find->host[i].addr[k]);
}

static PGconn *start(struct pg_conn *c, struct lists *l)
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
	const char *addr = PQhostaddr(c->pg), *host = PQhost(c->pg);
	struct pg_options *o = &c->pc->o;
	int i, k, left = 0;

	for (i = 0; i < c->find->n; i++) {
		struct pg_find_host *h = &c->find->host[i];

		for (k = 0; k < h->n; k++) {
			if (!strcmp(h->addr[k], addr ? addr : "") &&
			    !strcmp(o->hosts[i].host, host ? host : "") &&
			    (!*o->hosts[i].port ||
			     !strcmp(o->hosts[i].port, PQport(c->pg))))
				h->tried[k] = 1;
			left += !h->tried[k];
		}
	}
	return left;
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
	struct lists l;
	int n;

	make_lists(c, &l);
	n = l.n;
	c->state = PG_OPENING;
	if (!n && c->find->n) {
		buf_release(&l.host);
		buf_release(&l.addr);
		buf_release(&l.port);
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
	buf_release(&l.host);
	buf_release(&l.addr);
	buf_release(&l.port);
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
	if (!c->deadline || start_find(c) < 0) {
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
