/*
 * http_sock: libcurl's sockets on the loop's watches, by descriptor. The watch of
 * a connection that has served a call stays while the connection lives, so that
 * the next call on it asks the kernel for nothing. Knows neither libcurl nor Lua;
 * must not close a descriptor.
 */
#include "bind/http_sock.h"

#include <stdint.h>
#include <string.h>

#include "core/loop.h"
#include "core/mem.h"

#define GROW 64

struct sock {
	struct loop_watch *watch;	/* owned */
	void (*ready)(int fd, int events, int status);
	int events;			/* that the watch has */
	int wanted;			/* libcurl waits for it */
	int keeps;			/* its end is told by http_sock_gone */
};

static struct sock *socks;	/* owned; by descriptor */
static int n_socks;

static int grow(int fd)
{
	int n = fd / GROW * GROW + GROW;
	struct sock *more;

	if (fd < n_socks)
		return 0;
	more = mem_realloc(socks, (size_t)n * sizeof *more);
	if (!more)
		return -1;
	memset(more + n_socks, 0, (size_t)(n - n_socks) * sizeof *more);
	socks = more;
	n_socks = n;
	return 0;
}

static void on_event(void *arg, int events, int status)
{
	int fd = (int)(intptr_t)arg;
	struct sock *s = &socks[fd];

	if (s->wanted) {
		s->ready(fd, events, status);
		return;
	}
	/* nobody's: the server has closed it, or talks out of turn. libcurl finds
	 * out before it uses it again */
	s->events = 0;
	loop_watch_set(s->watch, 0);
}

static void drop(struct sock *s)
{
	if (s->watch && !s->wanted)
		loop_watch_idle(s->watch, 0);
	loop_watch_free(s->watch);
	s->watch = NULL;
	s->events = s->wanted = 0;
}

int http_sock_want(int fd, int events,
		   void (*ready)(int fd, int events, int status))
{
	struct sock *s;

	if (grow(fd))
		return -1;
	s = &socks[fd];
	if (!s->watch) {
		s->watch = loop_watch_new(fd, on_event, (void *)(intptr_t)fd);
		if (!s->watch)
			return -1;
	} else if (!s->wanted) {
		loop_watch_idle(s->watch, 0);
	}
	s->ready = ready;
	s->wanted = 1;
	s->events = events;
	return loop_watch_set(s->watch, events) ? -1 : 0;
}

void http_sock_leave(int fd)
{
	struct sock *s = fd < n_socks ? &socks[fd] : NULL;

	if (!s || !s->watch || !s->wanted)
		return;
	/* room to write is always there */
	if (!s->keeps || (s->events != LOOP_READ &&
			  loop_watch_set(s->watch, LOOP_READ))) {
		drop(s);
		return;
	}
	s->events = LOOP_READ;
	s->wanted = 0;
	loop_watch_idle(s->watch, 1);
}

void http_sock_keep(int fd)
{
	if (fd >= 0 && fd < n_socks)
		socks[fd].keeps = 1;
}

void http_sock_gone(int fd)
{
	if (fd >= n_socks)
		return;
	drop(&socks[fd]);
	socks[fd].keeps = 0;
}

void http_sock_release(void)
{
	int fd;

	for (fd = 0; fd < n_socks; fd++)
		drop(&socks[fd]);
	mem_free(socks);
	socks = NULL;
	n_socks = 0;
}
