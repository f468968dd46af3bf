/*
 * redis_dial: how a connection is opened: Sentinel asked where the server is,
 * the stream, TLS, the greeting; all within one deadline. Owns nothing: what is
 * opened is the connection's. Does not wait, and tries nothing twice but what
 * Sentinel says.
 */
#include "bind/redis.h"

#include <stdio.h>
#include <string.h>

#include "core/loop.h"

static void on_deadline(void *arg)
{
	struct redis_conn *c = arg;
	enum err_phase phase = redis_conn_phase(c);
	struct err e;

	err_set(&e, ERR_CONNECT, "ETIMEDOUT", "cannot connect to '%s': no "
		"answer within %g s (phase %s)", c->peer,
		c->rc->o.connect_timeout, err_phase_name(phase));
	e.phase = phase;
	redis_conn_down(c, &e);
}

static void on_opened(void *arg)
{
	struct redis_conn *c = arg;
	struct err e;

	c->state = REDIS_GREETING;
	if (redis_greet(c, 1) == 0)
		return;
	err_set(&e, ERR_LIMIT, "ENOMEM", "out of memory to connect");
	redis_conn_down(c, &e);
}

static void on_closed(void *arg, const struct err *e)
{
	struct redis_conn *c = arg;
	struct err why = *e, said;
	struct resp_item it;

	/* the server's last word explains more than the end of file */
	if (c->state == REDIS_GREETING && c->scan.errors &&
	    resp_item(c->in.data + c->scan.first_error,
		      c->in.data + c->in.len, &it)) {
		resp_error(&said, it.str, it.len);
		err_set(&why, said.kind, said.code, "'%s' closed the "
			"connection: %s", c->peer, said.message);
		snprintf(why.hint, sizeof why.hint, "%s", said.hint);
		why.phase = PHASE_AUTH;
	}
	if (c->state == REDIS_OPENING && c->find && redis_find_again(c))
		return;
	redis_conn_down(c, &why);
}

/* Opens the stream to host:port, or the unix socket when host is NULL. */
static int open_net(struct redis_conn *c, const char *host, const char *port)
{
	static const struct net_events events = {
		on_opened, redis_conn_readable, redis_conn_writable, on_closed
	};
	struct redis_options *o = &c->rc->o;
	struct net_options n;

	memset(&n, 0, sizeof n);
	n.host = host;
	n.port = port;
	n.path = host ? NULL : o->path;
	n.tls = c->rc->tls;
	n.server_name = o->server_name;
	n.timeout = c->until - loop_now();
	if (n.timeout < 0.001)
		n.timeout = 0.001;
	c->state = REDIS_OPENING;
	c->net = net_open(&n, &events, c, &c->in);
	if (!c->net)
		return -1;
	snprintf(c->peer, sizeof c->peer, "%s", net_peer(c->net));
	return 0;
}

/* Sentinel says where the server is. */
static void on_found(struct redis_conn *c, const char *host, const char *port)
{
	struct err e;

	net_close(c->net);
	c->net = NULL;
	buf_clear(&c->in);
	buf_clear(&c->out);
	c->in_at = c->out_at = 0;
	c->written = 0;
	resp_scan_init(&c->scan, c->rc->o.max_reply, c->rc->o.max_elements);
	if (open_net(c, host, port) < 0) {
		err_set(&e, ERR_LIMIT, "ENOMEM", "out of memory to connect");
		redis_conn_down(c, &e);
	}
}

static int start_tls(struct redis_client *rc, struct err *e)
{
	struct tls_options t = { rc->o.ca, rc->o.cert, rc->o.key };

	if (!rc->o.use_tls || rc->tls)
		return 0;
	rc->tls = tls_ctx_new(&t, e);
	if (!rc->tls)
		e->phase = PHASE_TLS;
	return rc->tls ? 0 : -1;
}

int redis_dial(struct redis_conn *c, struct err *e)
{
	static const struct redis_found told = { on_found, redis_conn_down };
	struct redis_options *o = &c->rc->o;
	int r;

	if (start_tls(c->rc, e) < 0)
		return -1;
	resp_scan_init(&c->scan, o->max_reply, o->max_elements);
	c->written = 0;
	c->until = loop_now() + o->connect_timeout;
	/* a little later than the transport's own, whose message says more */
	c->deadline = loop_timer_new(o->connect_timeout + 0.02, 0,
				     on_deadline, c);
	if (o->n_sentinels) {
		c->state = REDIS_FINDING;
		snprintf(c->peer, sizeof c->peer, "master '%s'",
			 o->master_name);
		r = redis_find_start(c, &told);
	} else {
		r = open_net(c, o->path ? NULL : o->addr.host, o->addr.port);
	}
	if (c->deadline && r == 0)
		return 0;
	redis_conn_stop(c);
	err_set(e, ERR_LIMIT, "ENOMEM", "out of memory to connect");
	return -1;
}
