/*
 * sink: writing to descriptors that others share. O_NONBLOCK is never set on
 * fd 1 and 2, as the shell and children have them too; a pipe that polls
 * writable takes 4096 bytes, and a terminal is opened again. Owns the gate: an
 * epoll descriptor that holds the full sinks and is what the loop watches, as
 * a watch of the loop on fd 1 itself would make it non-blocking for all.
 */
#include "term/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/sig.h"

#define CHUNK 4096	/* PIPE_BUF: what a writable pipe is sure to take */
#define CHUNK_TTY 256	/* a shared terminal may take less than a page */
#define COMPACT (64 * 1024)
#define AFTER_SIGNAL 0.5	/* seconds that a reader gets when we must go */

enum waits { WAITS_NO, WAITS_GATE, WAITS_TIMER };

static int gate = -1;
static struct loop_watch *gate_watch;	/* owned */
static struct loop_timer *timer;	/* owned: the next turn's flush */
static struct sink *known[2];		/* borrowed */
static int held;			/* the terminal is somebody else's */

static void sink_try(struct sink *s);

/* A terminal that is opened again has flags of its own. */
static void open_tty(struct sink *s)
{
	char name[128];
	int fd = -1;

	s->kind = SINK_TTY_SHARED;
	if (!ttyname_r(s->fd, name, sizeof name))
		fd = open(name, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0) {
		s->wfd = fd;
		s->kind = SINK_TTY;
	}
}

void sink_init(struct sink *s, int fd)
{
	struct stat st;

	s->fd = s->wfd = fd;
	s->kind = SINK_FILE;
	s->dead = 0;
	s->waits = WAITS_NO;
	s->head = 0;
	buf_init(&s->queue);
	known[fd == 2] = s;
	s->tty = isatty(fd);
	if (s->tty)
		open_tty(s);
	else if (!fstat(fd, &st) && S_ISFIFO(st.st_mode))
		s->kind = SINK_PIPE;
	else if (!fstat(fd, &st) && S_ISSOCK(st.st_mode))
		s->kind = SINK_SOCKET;
}

size_t sink_pending(const struct sink *s)
{
	return s->queue.len - s->head;
}

/* --- writing -------------------------------------------------------------- */

static int is_ready(const struct sink *s)
{
	struct pollfd p = { s->wfd, POLLOUT, 0 };

	if (s->kind != SINK_PIPE && s->kind != SINK_TTY_SHARED)
		return 1;
	return poll(&p, 1, 0) > 0;	/* an error shows in write */
}

static ssize_t write_once(struct sink *s)
{
	const char *data = s->queue.data + s->head;
	size_t len = sink_pending(s);

	switch (s->kind) {
	case SINK_SOCKET:
		return send(s->wfd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	case SINK_PIPE:
		return write(s->wfd, data, len < CHUNK ? len : CHUNK);
	case SINK_TTY_SHARED:
		return write(s->wfd, data, len < CHUNK_TTY ? len : CHUNK_TTY);
	case SINK_FILE:
	case SINK_TTY:
		break;
	}
	return write(s->wfd, data, len);
}

static void drop(struct sink *s)
{
	buf_clear(&s->queue);
	s->head = 0;
}

/* 0 when all is written or the sink is dead, -1 when it is full. */
static int write_all(struct sink *s)
{
	ssize_t n;
	int e;

	while (sink_pending(s)) {
		if (!is_ready(s))
			return -1;
		n = write_once(s);
		e = errno;
		if (n >= 0) {
			s->head += (size_t)n;
		} else if (e == EAGAIN || e == EWOULDBLOCK) {
			return -1;
		} else if (e != EINTR) {
			drop(s);
			if (!s->dead) {
				s->dead = e;
				if (s->on_dead)
					s->on_dead(s);
			}
		}
	}
	drop(s);
	return 0;
}

/* Both on a terminal: what was written first comes first, the prompt too. */
static int must_wait(const struct sink *s)
{
	return s->tty && (held || (s == known[1] && known[0] && known[0]->tty &&
				   sink_pending(known[0])));
}

/* --- waiting for room ----------------------------------------------------- */

static void on_gate(void *arg, int events, int err)
{
	void (*after)(void) = known[1] ? known[1]->on_flush : NULL;
	int i;

	(void)arg;
	(void)events;
	(void)err;
	for (i = 0; i < 2; i++)
		if (known[i] && known[i]->waits == WAITS_GATE)
			sink_try(known[i]);
	if (known[1])
		sink_flush(known[1]);
	if (after)
		after();
}

static void on_timer(void *arg)
{
	void (*after)(void) = known[1] ? known[1]->on_flush : NULL;
	int i;

	(void)arg;
	loop_timer_free(timer);
	timer = NULL;
	for (i = 0; i < 2; i++)
		if (known[i] && known[i]->waits != WAITS_GATE)
			sink_try(known[i]);
	if (known[1])
		sink_flush(known[1]);
	if (after)
		after();
}

static void timer_start(double seconds)
{
	if (!timer)
		timer = loop_timer_new(seconds, 0, on_timer, NULL);
}

static void wait_for_room(struct sink *s)
{
	struct epoll_event ev = { .events = EPOLLOUT };

	if (s->waits == WAITS_GATE)
		return;
	if (gate < 0)
		gate = epoll_create1(EPOLL_CLOEXEC);
	if (gate >= 0 && !gate_watch)
		gate_watch = loop_watch_new(gate, on_gate, NULL);
	if (gate_watch && !loop_watch_set(gate_watch, LOOP_READ) &&
	    !epoll_ctl(gate, EPOLL_CTL_ADD, s->wfd, &ev)) {
		s->waits = WAITS_GATE;
	} else {
		s->waits = WAITS_TIMER;		/* look again, then */
		timer_start(0.02);
	}
}

static void wait_no_more(struct sink *s)
{
	int other = known[0] && known[0] != s && known[0]->waits == WAITS_GATE;

	other |= known[1] && known[1] != s && known[1]->waits == WAITS_GATE;
	if (s->waits == WAITS_GATE)
		epoll_ctl(gate, EPOLL_CTL_DEL, s->wfd, NULL);
	s->waits = WAITS_NO;
	if (gate >= 0 && !other) {
		loop_watch_free(gate_watch);
		gate_watch = NULL;
		close(gate);
		gate = -1;
	}
}

static void sink_try(struct sink *s)
{
	if (must_wait(s))
		wait_no_more(s);
	else if (write_all(s) < 0)
		wait_for_room(s);
	else
		wait_no_more(s);
	if (s->head > COMPACT) {
		buf_consume(&s->queue, s->head);
		s->head = 0;
	}
}

void sink_flush(struct sink *s)
{
	if (s->waits == WAITS_NO)
		sink_try(s);
}

void sink_hold(int on)
{
	int i;

	held = on;
	for (i = 0; i < 2 && !on; i++)
		if (known[i])
			sink_flush(known[i]);
}

void sink_flush_soon(struct sink *s)
{
	if (s->waits == WAITS_NO)
		timer_start(0);
}

void sink_finish(struct sink *s, double until)
{
	struct pollfd p = { s->wfd, POLLOUT, 0 };
	static double leave;	/* once for all descriptors and calls */
	double left;

	while (write_all(s) < 0) {
		if (sig_caught() && !leave)
			leave = loop_now() + AFTER_SIGNAL;
		if (sig_caught() && leave < until)
			until = leave;
		left = until - loop_now();
		if (left <= 0 || (poll(&p, 1, left > 60 ? 60000 :
				       (int)(left * 1000) + 1) < 0 &&
				  errno != EINTR))
			return;
	}
	wait_no_more(s);
}

void sink_release(struct sink *s)
{
	wait_no_more(s);
	loop_timer_free(timer);
	timer = NULL;
	known[s->fd == 2] = NULL;
	buf_release(&s->queue);
	s->head = 0;
	if (s->wfd != s->fd)
		close(s->wfd);
	s->wfd = s->fd;
}
