/*
 * redis_conn: one connection: the queue of requests that wait for replies, the
 * gathering of writes, its end. Replies come in order, so the request at the
 * head takes what arrives. redis_dial opens it. Tells its client what becomes
 * of it; decides nothing about classes or resending.
 */
#include "bind/redis.h"

#include <stdio.h>
#include <string.h>

#include "core/loop.h"
#include "core/mem.h"

#define KEEP_BUFFER (256 * 1024)	/* larger ones are given back */

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

const char *redis_where(const struct redis_conn *c)
{
	return c->peer[0] ? c->peer : c->rc->target->name;
}

void redis_conn_ready(struct redis_conn *c)
{
	loop_timer_free(c->deadline);
	c->deadline = NULL;
	redis_find_free(c->find);
	c->find = NULL;
	c->state = REDIS_READY;
	c->used = 1;
	c->rc->news->up(c);
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
	if (!c->pushed) {		/* unread messages stay readable */
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
	if (c->pushed) {
		c->gone = why;
		if (c->reader)
			op_done(c->reader);
		c->reader = NULL;
	}
	c->rc->news->down(c, &why, was_ready);
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
	c->pushed = NULL;
	redis_conn_stop(c);
	leave(c);
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

void redis_conn_writable(void *arg)
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

void redis_conn_readable(void *arg)
{
	struct redis_conn *c = arg;
	long long n;
	struct err e;

	if (c->pushed) {
		c->pushed(c);
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
		if (c->state == REDIS_DOWN || c->pushed)
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
