/*
 * redis_conn: one connection: its opening, the queue of requests that wait for
 * replies, the gathering of writes. Replies come in order, so the request at
 * the head takes what arrives. Decides nothing about classes or resending.
 */
#include "bind/redis.h"

#include <stdio.h>
#include <string.h>

#include "core/loop.h"
#include "core/mem.h"

#define KEEP_BUFFER (256 * 1024)	/* larger ones are given back */

static void on_opened(void *arg);
static void on_readable(void *arg);
static void on_writable(void *arg);
static void on_closed(void *arg, const struct err *e);

static const struct net_events events = {
	on_opened, on_readable, on_writable, on_closed
};

static void enter(struct redis_conn *c)
{
	c->busy++;
}

static void leave(struct redis_conn *c)
{
	if (--c->busy == 0 && c->dead)
		mem_free(c);
}

void redis_conn_init(struct redis_conn *c, struct redis_client *rc)
{
	memset(c, 0, sizeof *c);
	c->rc = rc;
	buf_init(&c->in);
	buf_init(&c->out);
}

const char *redis_conn_reply(const struct redis_conn *c)
{
	return c->in.data + c->in_at;
}

enum err_phase redis_conn_phase(const struct redis_conn *c)
{
	if (c->state == REDIS_GREETING)
		return PHASE_AUTH;
	if (c->state == REDIS_OPENING && c->net)
		return net_phase(c->net);
	return c->state == REDIS_FINDING ? PHASE_CONNECT : PHASE_WAIT;
}

/* --- closing --------------------------------------------------------------- */
void redis_conn_stop(struct redis_conn *c)
{
	net_close(c->net);
	c->net = NULL;
	redis_find_free(c->find);
	c->find = NULL;
	loop_timer_free(c->deadline);
	loop_timer_free(c->flush);
	c->deadline = c->flush = NULL;
	if (!c->pushing) {		/* unread messages stay readable */
		buf_release(&c->in);
		c->in_at = 0;
	}
	buf_release(&c->out);
	c->out_at = 0;
	c->state = REDIS_DOWN;
	c->asking = 0;
}

int redis_conn_maybe(const struct redis_conn *c, const struct redis_req *req)
{
	unsigned long long out = c->written;

	if (c->net)
		out += net_sealed(c->net);
	return out >= req->commit;
}

void redis_conn_down(struct redis_conn *c, const struct err *e)
{
	int was_ready = c->state == REDIS_READY, first = 1, maybe;
	struct redis_req *list = c->head, *req;
	struct err why = *e, rest;

	/* only the request at the head is to blame for a bad reply */
	rest = why;
	if (why.kind == ERR_LIMIT || why.kind == ERR_PROTOCOL)
		err_set(&rest, ERR_CONNECT, "", "connection to '%s' was "
			"closed: %s", c->peer, why.message);
	enter(c);
	c->head = c->tail = NULL;
	while (list) {
		req = list;
		list = req->next;
		req->next = NULL;
		maybe = redis_conn_maybe(c, req);
		if (req->lost)
			req->lost(req, c, first ? &why : &rest, maybe);
		first = 0;
	}
	redis_conn_stop(c);
	if (c->pushing) {
		c->gone = why;
		if (c->reader)
			op_done(c->reader);
		c->reader = NULL;
	}
	redis_client_down(c, &why, was_ready);
	leave(c);
}

void redis_conn_free(struct redis_conn *c)
{
	struct err e;

	if (!c || c->dead)
		return;
	enter(c);
	c->dead = 1;
	if (c->head) {
		err_set(&e, ERR_CONNECT, "", "the connection was closed");
		redis_conn_down(c, &e);
	}
	c->pushing = 0;
	redis_conn_stop(c);
	leave(c);
}

/* --- opening ----------------------------------------------------------------- */
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

/* Opens the stream to host:port, or the unix socket when host is NULL. */
static int open_net(struct redis_conn *c, const char *host, const char *port)
{
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

int redis_conn_start(struct redis_conn *c, struct err *e)
{
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
		r = redis_find_start(c);
	} else {
		r = open_net(c, o->path ? NULL : o->addr.host, o->addr.port);
	}
	if (c->deadline && r == 0)
		return 0;
	redis_conn_stop(c);
	err_set(e, ERR_LIMIT, "ENOMEM", "out of memory to connect");
	return -1;
}

void redis_conn_found(struct redis_conn *c, const char *host,
		      const char *port)
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

void redis_conn_open(struct redis_conn *c)
{
	loop_timer_free(c->deadline);
	c->deadline = NULL;
	redis_find_free(c->find);
	c->find = NULL;
	c->state = REDIS_READY;
	c->used = 1;
	redis_client_up(c);
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

/* --- writing -------------------------------------------------------------------- */
static void flush(struct redis_conn *c)
{
	size_t left = c->out.len - c->out_at, n;

	if (!left || !c->net)
		return;
	n = net_write(c->net, c->out.data + c->out_at, left);
	c->out_at += n;
	c->written += n;
	if (c->out_at < c->out.len)
		return;
	c->out_at = 0;
	if (c->out.cap > KEEP_BUFFER)
		buf_release(&c->out);
	else
		buf_clear(&c->out);
}

static void on_flush(void *arg)
{
	struct redis_conn *c = arg;

	loop_timer_free(c->flush);
	c->flush = NULL;
	flush(c);
}

static void on_writable(void *arg)
{
	flush(arg);
}

int redis_conn_send(struct redis_conn *c, struct redis_req *req,
		    const char *data, size_t len, size_t commit)
{
	if (c->out_at && c->out_at == c->out.len)
		c->out_at = 0, buf_clear(&c->out);
	if (!buf_reserve(&c->out, len)) {
		c->out.bad = 0;
		return -1;
	}
	req->from = c->written + (c->out.len - c->out_at);
	req->commit = req->from + commit;
	req->end = req->from + len;
	req->left = req->want;
	req->next = NULL;
	buf_add(&c->out, data, len);
	if (c->tail)
		c->tail->next = req;
	else
		c->head = req;
	c->tail = req;
	if (c->flush)
		return 0;
	/* the first goes at once; what follows before a reply is gathered */
	if (c->head != req)
		c->flush = loop_timer_new(0, 0, on_flush, c);
	if (!c->flush)
		flush(c);
	return 0;
}

static struct redis_req *unlink_req(struct redis_conn *c,
				    struct redis_req *req)
{
	struct redis_req *prev = NULL, *at = c->head;

	for (; at && at != req; at = at->next)
		prev = at;
	if (!at)
		return NULL;
	if (prev)
		prev->next = req->next;
	else
		c->head = req->next;
	if (c->tail == req)
		c->tail = prev;
	return req;
}

int redis_conn_unsend(struct redis_conn *c, struct redis_req *req)
{
	unsigned long long gone = c->written + net_sealed(c->net);
	size_t len = (size_t)(req->end - req->from), at;
	struct redis_req *r;

	if (req->from < gone || !unlink_req(c, req))
		return 0;
	at = c->out_at + (size_t)(req->from - c->written);
	memmove(c->out.data + at, c->out.data + at + len,
		c->out.len - at - len + 1);
	c->out.len -= len;
	for (r = req->next; r; r = r->next) {
		r->from -= len;
		r->end -= len;
		r->commit -= len;
	}
	req->next = NULL;
	return 1;
}

/* --- reading --------------------------------------------------------------------- */
void redis_conn_take(struct redis_conn *c, size_t len, struct buf *out)
{
	if (c->in_at == 0 && len == c->in.len) {
		buf_swap(out, &c->in);
		if (c->rc->spare.cap > c->in.cap)
			buf_swap(&c->in, &c->rc->spare);
		buf_clear(&c->in);
		return;
	}
	buf_clear(out);
	buf_add(out, c->in.data + c->in_at, len);
}

/* Replies up to scan.pos are handed out: makes room when it is cheap. */
static void consume(struct redis_conn *c)
{
	c->in_at = c->scan.pos;
	if (c->in_at >= c->in.len) {
		resp_scan_shift(&c->scan, c->in_at);
		c->in_at = 0;
		if (c->in.cap > KEEP_BUFFER)
			buf_release(&c->in);
		else
			buf_clear(&c->in);
	} else if (c->in_at > c->in.len / 2) {
		resp_scan_shift(&c->scan, c->in_at);
		buf_consume(&c->in, c->in_at);
		c->in_at = 0;
	}
}

/* The head's replies are whole: hands them over. */
static void deliver(struct redis_conn *c)
{
	struct redis_req *req = c->head;
	size_t len = c->scan.pos - c->in_at;

	c->head = req->next;
	if (!c->head)
		c->tail = NULL;
	req->next = NULL;
	req->done(req, c, len);
	if (c->state == REDIS_DOWN)
		return;
	/* a swapped buffer leaves an empty one */
	if (c->in.len == 0)
		c->scan.pos = c->scan.start = c->scan.look = c->in_at = 0;
	else
		consume(c);
	c->scan.errors = 0;
}

size_t redis_conn_early(const struct redis_conn *c)
{
	return c->scan.errors ? 0 : c->scan.start - c->in_at;
}

void redis_conn_early_taken(struct redis_conn *c, size_t len)
{
	c->in_at += len;
}

static void bad_reply(struct redis_conn *c, struct err *e)
{
	e->phase = PHASE_READ;
	if (c->state == REDIS_GREETING && e->kind == ERR_PROTOCOL)
		snprintf(e->hint, sizeof e->hint, "is it a Redis server? a "
			 "port that wants TLS needs rediss://");
	redis_conn_down(c, e);
}

static void on_readable(void *arg)
{
	struct redis_conn *c = arg;
	long long n;
	struct err e;

	if (c->pushing) {
		redis_conn_read_pushed(c);
		return;
	}
	enter(c);
	while (c->head) {
		n = resp_scan(&c->scan, c->in.data, c->in.len, c->head->left,
			      &e);
		if (n < 0) {
			bad_reply(c, &e);
			goto out;
		}
		c->head->left -= n;
		if (c->head->left > 0) {
			if (c->head->progress && n > 0)
				c->head->progress(c->head, c);
			goto out;
		}
		deliver(c);
		if (c->state == REDIS_DOWN || c->pushing)
			goto out;
	}
	if (c->in.len > c->in_at) {
		err_set(&e, ERR_PROTOCOL, "RESP", "'%s' sent a reply that "
			"nothing was asked for", c->peer);
		bad_reply(c, &e);
	}
out:
	leave(c);
}

int redis_conn_stuck(const struct redis_conn *c)
{
	return c->head && c->head->dropped && c->head->deadline > 0 &&
	       loop_now() > c->head->deadline;
}
