/*
 * redis_find: asks Sentinels, one after the other, where the master is. Each
 * gets its share of the connection's deadline. An address that turns out to
 * be dead or a replica sends us back here, until the deadline: a failover may
 * be under way. Does not open the connection: it tells who asked.
 */
#include "bind/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/loop.h"
#include "core/mem.h"

#define PAUSE 0.2	/* before all are asked again */

struct redis_find {
	struct redis_conn *c;	/* borrowed: owns us */
	const struct redis_found *told;	/* borrowed: static */
	struct net *net;	/* owned: to the Sentinel being asked */
	struct loop_timer *timer;	/* owned: its share, or the pause */
	struct buf in, out;	/* owned */
	struct resp_scan scan;
	int at;			/* the Sentinel being asked */
	int auth;		/* replies to AUTH expected */
	int got;		/* replies so far */
	int answered;		/* did any of them answer in this round? */
	char why[300];		/* what the last of them said */
};

static void ask(struct redis_find *f);

static void hang_up(struct redis_find *f)
{
	net_close(f->net);
	f->net = NULL;
	loop_timer_free(f->timer);
	f->timer = NULL;
}

void redis_find_free(struct redis_find *f)
{
	if (!f)
		return;
	hang_up(f);
	buf_release(&f->in);
	if (f->out.cap)
		mem_wipe(f->out.data, f->out.len);
	buf_release(&f->out);
	mem_free(f);
}

static void give_up(struct redis_find *f)
{
	struct redis_conn *c = f->c;
	struct redis_options *o = &c->rc->o;
	struct err e;

	err_set(&e, ERR_CONNECT, "SENTINEL", "no Sentinel of %d says where "
		"the master '%s' is: %s", o->n_sentinels, o->master_name,
		f->why);
	e.phase = PHASE_CONNECT;
	f->told->none(c, &e);		/* frees f */
}

static void on_pause(void *arg)
{
	struct redis_find *f = arg;

	hang_up(f);
	f->at = 0;
	f->answered = 0;
	ask(f);
}

/* This Sentinel is of no use: the next, or all again after a pause. */
static void next(struct redis_find *f)
{
	hang_up(f);
	if (++f->at < f->c->rc->o.n_sentinels) {
		ask(f);
		return;
	}
	if (f->answered && loop_now() + PAUSE < f->c->until)
		f->timer = loop_timer_new(PAUSE, 0, on_pause, f);
	if (!f->timer)
		give_up(f);
}

static void on_share(void *arg)
{
	struct redis_find *f = arg;
	struct redis_addr *a = &f->c->rc->o.sentinels[f->at];

	snprintf(f->why, sizeof f->why, "'%.100s:%.8s' does not answer",
		 a->host, a->port);
	next(f);
}

static void on_opened(void *arg)
{
	struct redis_find *f = arg;
	struct redis_options *o = &f->c->rc->o;

	buf_clear(&f->out);
	if (f->auth) {
		resp_add_array(&f->out, o->sentinel_user ? 3 : 2);
		resp_add_str(&f->out, "AUTH");
		if (o->sentinel_user)
			resp_add_str(&f->out, o->sentinel_user);
		resp_add_bulk(&f->out, o->sentinel_pass,
			      o->sentinel_pass_len);
	}
	resp_add_array(&f->out, 3);
	resp_add_str(&f->out, "SENTINEL");
	resp_add_str(&f->out, "GET-MASTER-ADDR-BY-NAME");
	resp_add_str(&f->out, o->master_name);
	/* some hundred bytes on a new connection: they fit */
	if (!buf_ok(&f->out) ||
	    net_write(f->net, f->out.data, f->out.len) < f->out.len)
		next(f);
}

static void on_closed(void *arg, const struct err *e)
{
	struct redis_find *f = arg;

	snprintf(f->why, sizeof f->why, "%.299s", e->message);
	next(f);
}

static void on_writable(void *arg)
{
	(void)arg;
}

/* The answer: two strings. Copies them out. */
static int read_address(struct redis_find *f, const char *p, const char *end,
			char host[256], char port[16])
{
	struct resp_item it;

	if (f->auth)
		p = resp_skip(p, end);
	p = p ? resp_item(p, end, &it) : NULL;
	if (!p)
		return 0;
	if (it.type == '-') {
		snprintf(f->why, sizeof f->why, "'%.100s' says: %.*s",
			 net_peer(f->net), (int)(it.len > 150 ? 150 : it.len),
			 it.str);
		return 0;
	}
	if (it.type != '*' || it.num != 2) {
		snprintf(f->why, sizeof f->why, "'%.100s' knows no master of "
			 "that name", net_peer(f->net));
		return 0;
	}
	p = resp_item(p, end, &it);
	if (!p || it.type != '$' || it.len >= 256)
		return 0;
	snprintf(host, 256, "%.*s", (int)it.len, it.str);
	p = resp_item(p, end, &it);
	if (!p || it.type != '$' || it.len >= 16)
		return 0;
	snprintf(port, 16, "%.*s", (int)it.len, it.str);
	return 1;
}

static void on_readable(void *arg)
{
	struct redis_find *f = arg;
	char host[256], port[16];
	long long n;
	struct err e;

	/* at most the two replies that were asked for: not more is kept */
	n = resp_scan(&f->scan, f->in.data, f->in.len,
		      1 + f->auth - f->got, &e);
	if (n < 0) {
		snprintf(f->why, sizeof f->why, "%.299s", e.message);
		next(f);
		return;
	}
	f->got += (int)n;
	if (f->got < 1 + f->auth)
		return;
	if (!read_address(f, f->in.data, f->in.data + f->in.len, host, port)) {
		next(f);
		return;
	}
	f->answered = 1;
	hang_up(f);
	f->told->found(f->c, host, port);
}

static void ask(struct redis_find *f)
{
	static const struct net_events events = {
		on_opened, on_readable, on_writable, on_closed
	};
	struct redis_client *rc = f->c->rc;
	struct redis_addr *a = &rc->o.sentinels[f->at];
	struct net_options n;
	double left = f->c->until - loop_now();

	memset(&n, 0, sizeof n);
	buf_clear(&f->in);
	resp_scan_init(&f->scan, 64 * 1024, 16);
	f->auth = rc->o.sentinel_pass != NULL;
	f->got = 0;
	n.host = a->host;
	n.port = a->port;
	n.tls = rc->tls;
	n.timeout = left / (rc->o.n_sentinels - f->at + 1);
	if (n.timeout < 0.05)
		n.timeout = 0.05;
	f->timer = loop_timer_new(n.timeout + 0.01, 0, on_share, f);
	f->net = f->timer ? net_open(&n, &events, f, &f->in) : NULL;
	if (!f->net) {
		snprintf(f->why, sizeof f->why, "out of memory");
		give_up(f);
	}
}

static void on_first(void *arg)
{
	struct redis_find *f = arg;

	hang_up(f);
	ask(f);
}

int redis_find_start(struct redis_conn *c, const struct redis_found *told)
{
	struct redis_find *f = mem_zalloc(sizeof *f);

	if (!f)
		return -1;
	f->c = c;
	f->told = told;
	buf_init(&f->in);
	buf_init(&f->out);
	snprintf(f->why, sizeof f->why, "none answered");
	f->timer = loop_timer_new(0, 0, on_first, f);
	c->find = f;
	return f->timer ? 0 : -1;
}

int redis_find_again(struct redis_conn *c)
{
	struct redis_find *f = c->find;
	struct redis_req *req;
	struct err e;

	if (!f || loop_now() + PAUSE >= c->until)
		return 0;
	hang_up(f);
	net_close(c->net);
	c->net = NULL;
	c->state = REDIS_FINDING;
	c->asking = 0;
	err_set(&e, ERR_CONNECT, "ROLE", "'%s' is not the master", c->peer);
	while ((req = c->head)) {
		c->head = req->next;
		if (req->lost)
			req->lost(req, c, &e, 0);
	}
	c->tail = NULL;
	f->timer = loop_timer_new(PAUSE, 0, on_pause, f);
	return f->timer != NULL;
}
