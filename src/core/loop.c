/*
 * loop: libuv behind the six verbs of loop.h. Every handle is a struct of
 * ours that embeds the uv one; it is freed in uv's close callback, never
 * before. The only file that includes uv.h.
 */
#include "core/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <uv.h>

#include "core/mem.h"

static uv_loop_t the_loop;
static uv_poll_t wake_poll;
static int wake_pipe[2] = { -1, -1 };
static void (*wake_cb)(void);
static int ready;
static int handles;

double loop_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int loop_handles(void)
{
	return handles;
}

/* --- waking ------------------------------------------------------------ */

static void on_wake(uv_poll_t *poll, int status, int events)
{
	char drop[64];

	(void)poll;
	(void)status;
	(void)events;
	while (read(wake_pipe[0], drop, sizeof drop) > 0)
		;
	if (wake_cb)
		wake_cb();
}

void loop_wake(void)
{
	int saved = errno;

	if (wake_pipe[1] >= 0 && write(wake_pipe[1], "w", 1) < 0) {
		/* a full pipe wakes as well */
	}
	errno = saved;
}

void loop_on_wake(void (*cb)(void))
{
	wake_cb = cb;
}

int loop_init(void)
{
	int code;

	if (ready)
		return 0;
	code = uv_loop_init(&the_loop);
	if (code) {
		errno = -code;
		return -1;
	}
	if (pipe2(wake_pipe, O_NONBLOCK | O_CLOEXEC))
		goto fail;
	code = uv_poll_init(&the_loop, &wake_poll, wake_pipe[0]);
	errno = code ? -code : errno;
	if (code)
		goto fail;
	uv_poll_start(&wake_poll, UV_READABLE, on_wake);
	uv_unref((uv_handle_t *)&wake_poll);
	ready = 1;
	return 0;
fail:
	code = errno;
	uv_loop_close(&the_loop);
	errno = code;
	return -1;
}

static void watch_closed(uv_handle_t *h)
{
	mem_free(h->data);
}

static void close_left(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, h == (uv_handle_t *)&wake_poll ? NULL
							   : watch_closed);
}

int loop_release(void)
{
	int i, busy;

	if (!ready)
		return 0;
	/* after a failure some are left: their owners are gone by now */
	uv_walk(&the_loop, close_left, NULL);
	/* abandoned pool work may still be out: give it a moment only */
	for (i = 0; (busy = uv_loop_close(&the_loop) == UV_EBUSY) && i < 200;
	     i++) {
		uv_run(&the_loop, UV_RUN_NOWAIT);
		if (uv_loop_alive(&the_loop))
			usleep(500);
	}
	close(wake_pipe[0]);
	close(wake_pipe[1]);
	wake_pipe[0] = wake_pipe[1] = -1;
	ready = 0;
	return busy ? -1 : 0;
}

static void (*before_sleep)(void);

void loop_before_sleep(void (*cb)(void))
{
	before_sleep = cb;
}

void loop_turn(int block)
{
	if (!ready) {
		/* first use: a signal may have come before the pipe */
		loop_init();
		return;
	}
	if (block && before_sleep)
		before_sleep();
	/* with nothing but the wake pipe to wait for, uv would not block */
	if (block && !uv_loop_alive(&the_loop)) {
		uv_ref((uv_handle_t *)&wake_poll);
		uv_run(&the_loop, UV_RUN_ONCE);
		uv_unref((uv_handle_t *)&wake_poll);
		return;
	}
	uv_run(&the_loop, block ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

/* --- file descriptors -------------------------------------------------- */

struct loop_watch {
	uv_poll_t poll;
	loop_watch_cb *cb;
	void *arg;
	int events;
};

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct loop_watch *w = poll->data;
	int ev = 0;

	if (events & (UV_READABLE | UV_DISCONNECT))
		ev |= LOOP_READ;
	if (events & UV_WRITABLE)
		ev |= LOOP_WRITE;
	if (status < 0)
		ev = w->events;		/* let read or write tell the error */
	w->cb(w->arg, ev, status);
}

struct loop_watch *loop_watch_new(int fd, loop_watch_cb *cb, void *arg)
{
	struct loop_watch *w;

	if (loop_init() || !(w = mem_zalloc(sizeof *w)))
		return NULL;
	if (uv_poll_init(&the_loop, &w->poll, fd)) {
		mem_free(w);
		return NULL;
	}
	w->poll.data = w;
	w->cb = cb;
	w->arg = arg;
	handles++;
	return w;
}

int loop_watch_set(struct loop_watch *w, int events)
{
	int uv = 0;

	if (events == w->events)
		return 0;
	w->events = events;
	if (!events)
		return uv_poll_stop(&w->poll);
	if (events & LOOP_READ)
		uv |= UV_READABLE;
	if (events & LOOP_WRITE)
		uv |= UV_WRITABLE;
	return uv_poll_start(&w->poll, uv, on_poll);
}

void loop_watch_idle(struct loop_watch *w, int idle)
{
	if (idle)
		uv_unref((uv_handle_t *)&w->poll);
	else
		uv_ref((uv_handle_t *)&w->poll);
	handles += idle ? -1 : 1;
}

void loop_watch_free(struct loop_watch *w)
{
	if (!w)
		return;
	handles--;
	uv_poll_stop(&w->poll);
	uv_close((uv_handle_t *)&w->poll, watch_closed);
}

/* --- timers ------------------------------------------------------------ */

struct loop_timer {
	uv_timer_t timer;
	loop_timer_cb *cb;
	void *arg;
};

static void on_timer(uv_timer_t *timer)
{
	struct loop_timer *t = timer->data;

	t->cb(t->arg);
}

struct loop_timer *loop_timer_new(double seconds, double repeat,
				  loop_timer_cb *cb, void *arg)
{
	struct loop_timer *t;
	uint64_t due;

	if (loop_init() || !(t = mem_zalloc(sizeof *t)))
		return NULL;
	uv_timer_init(&the_loop, &t->timer);
	t->timer.data = t;
	t->cb = cb;
	t->arg = arg;
	/* uv counts from the start of its turn: Lua may have run since */
	uv_update_time(&the_loop);
	if (seconds > 1e9)
		seconds = 1e9;
	/* never early: uv counts whole ms from the start of the current one */
	due = seconds > 0 ? (uv_hrtime() + (uint64_t)(seconds * 1e9) + 999999)
			    / 1000000 : 0;
	uv_timer_start(&t->timer, on_timer,
		       due > uv_now(&the_loop) ? due - uv_now(&the_loop) : 0,
		       (uint64_t)(repeat * 1000.0));
	handles++;
	return t;
}

void loop_timer_free(struct loop_timer *t)
{
	if (!t)
		return;
	handles--;
	uv_timer_stop(&t->timer);
	uv_close((uv_handle_t *)&t->timer, watch_closed);
}

/* --- the pool ---------------------------------------------------------- */

struct loop_work {
	uv_work_t work;
	void (*run)(void *arg);
	void (*done)(void *arg, int abandoned);
	void *arg;
	int abandoned;
};

static void work_run(uv_work_t *work)
{
	struct loop_work *w = work->data;

	w->run(w->arg);
}

static void work_done(uv_work_t *work, int status)
{
	struct loop_work *w = work->data;

	w->done(w->arg, w->abandoned || status == UV_ECANCELED);
	mem_free(w);
}

struct loop_work *loop_work_new(void (*run)(void *arg),
				void (*done)(void *arg, int abandoned),
				void *arg)
{
	struct loop_work *w;

	if (loop_init() || !(w = mem_zalloc(sizeof *w)))
		return NULL;
	w->work.data = w;
	w->run = run;
	w->done = done;
	w->arg = arg;
	if (uv_queue_work(&the_loop, &w->work, work_run, work_done)) {
		mem_free(w);
		return NULL;
	}
	return w;
}

void loop_work_abandon(struct loop_work *w)
{
	w->abandoned = 1;
	uv_cancel((uv_req_t *)&w->work);
}

/* --- names ------------------------------------------------------------- */

struct loop_resolve {
	uv_getaddrinfo_t req;
	loop_resolve_cb *cb;
	void *arg;
	char host[256];
};

static void resolve_fail(struct loop_resolve *r, int status)
{
	struct err e;

	if (status == UV_ENOMEM || status == UV_EAI_MEMORY)
		err_set(&e, ERR_LIMIT, "ENOMEM",
			"cannot resolve '%s': out of memory", r->host);
	else
		err_set(&e, ERR_CONNECT, "", "cannot resolve '%s': %s",
			r->host, uv_strerror(status));
	e.phase = PHASE_DNS;
	r->cb(r->arg, NULL, 0, &e);
}

static void on_resolved(uv_getaddrinfo_t *req, int status,
			struct addrinfo *res)
{
	struct loop_resolve *r = req->data;
	struct loop_addr *addrs = NULL;
	struct addrinfo *ai;
	int n = 0, i = 0;

	if (!r->cb)
		goto out;
	for (ai = res; ai; ai = ai->ai_next)
		n += ai->ai_addrlen <= sizeof addrs->addr;
	if (status || !n) {
		resolve_fail(r, status ? status : UV_EAI_NODATA);
		goto out;
	}
	addrs = mem_zalloc((size_t)n * sizeof *addrs);
	if (!addrs) {
		resolve_fail(r, UV_ENOMEM);
		goto out;
	}
	for (ai = res; ai && i < n; ai = ai->ai_next) {
		if (ai->ai_addrlen > sizeof addrs->addr)
			continue;
		memcpy(&addrs[i].addr, ai->ai_addr, ai->ai_addrlen);
		addrs[i].len = ai->ai_addrlen;
		addrs[i++].family = ai->ai_family;
	}
	r->cb(r->arg, addrs, i, NULL);
out:
	mem_free(addrs);
	uv_freeaddrinfo(res);
	mem_free(r);
}

struct loop_resolve *loop_resolve_new(const char *host, const char *port,
				      loop_resolve_cb *cb, void *arg)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_ADDRCONFIG };
	struct loop_resolve *r;

	if (loop_init() || !(r = mem_zalloc(sizeof *r)))
		return NULL;
	/* a numeric address must not depend on configured interfaces */
	if (strspn(host, "0123456789.") == strlen(host) || strchr(host, ':'))
		hints.ai_flags = AI_NUMERICHOST;
	r->req.data = r;
	r->cb = cb;
	r->arg = arg;
	snprintf(r->host, sizeof r->host, "%s", host);
	if (uv_getaddrinfo(&the_loop, &r->req, on_resolved, host, port,
			   &hints)) {
		mem_free(r);
		return NULL;
	}
	return r;
}

void loop_resolve_abandon(struct loop_resolve *r)
{
	r->cb = NULL;
	uv_cancel((uv_req_t *)&r->req);
}
