/*
 * sig: signal handlers, and what they saw until somebody takes it.
 */
#include "core/sig.h"

#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/spawn.h"

static volatile sig_atomic_t first;	/* signal number */
static volatile sig_atomic_t times;	/* how often we were told to stop */
static volatile sig_atomic_t pending;	/* not yet handed on */
static int ticks;			/* deadlines and graces that run */
static void (*volatile on_leave)(void);
static void (*on_attend)(void);

static struct {				/* SIGINT of a session */
	void (*volatile cb)(void);
	volatile sig_atomic_t waiting;	/* came, not yet taken */
	volatile sig_atomic_t times;
	double since;			/* written by the handler only */
} ints;
static void (*resize_cb)(void);
static volatile sig_atomic_t resized;

void sig_on_leave(void (*cb)(void))
{
	on_leave = cb;
}

/* Stuck in a C function: leave. */
static _Noreturn void leave(int sig)
{
	spawn_kill_all();
	if (on_leave)
		on_leave();
	_exit(128 + sig);
}

static void attend(void)
{
	on_attend();
	loop_wake();
}

/* A person hammers: only what nobody has taken for a while counts. */
static void on_session_int(void)
{
	double now = loop_now();

	if (!ints.waiting) {
		ints.times = 0;
		ints.since = now;
	}
	if (++ints.times >= 3 && now - ints.since >= SIG_STUCK)
		leave(SIGINT);
	ints.waiting = 1;
	attend();
}

static void on_signal(int sig)
{
	if (sig == SIGINT && ints.cb) {
		on_session_int();
		return;
	}
	if (++times >= 3)
		leave(sig);
	if (!first)
		first = sig;
	pending = sig;
	attend();
}

static void on_resize(int sig)
{
	(void)sig;
	resized = 1;
	loop_wake();
}

static void on_tick(int sig)
{
	(void)sig;
	on_attend();
}

void sig_init(void (*cb)(void))
{
	struct sigaction sa;

	on_attend = cb;
	memset(&sa, 0, sizeof sa);
	sigemptyset(&sa.sa_mask);
	/* a read of standard input ends too: no SA_RESTART */
	sa.sa_handler = on_signal;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	sa.sa_flags = SA_RESTART;
	sa.sa_handler = on_tick;
	sigaction(SIGALRM, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, NULL);
	sigaction(SIGXFSZ, &sa, NULL);	/* a file too large is an error: EFBIG */
}

int sig_caught(void)
{
	return first;
}

void sig_on_int(void (*cb)(void))
{
	ints.waiting = 0;
	ints.cb = cb;
}

void sig_on_resize(void (*cb)(void))
{
	struct sigaction sa;

	resize_cb = cb;
	memset(&sa, 0, sizeof sa);
	sigemptyset(&sa.sa_mask);
	sa.sa_flags = SA_RESTART;
	sa.sa_handler = cb ? on_resize : SIG_DFL;
	sigaction(SIGWINCH, &sa, NULL);
}

void sig_tick(int on)
{
	struct itimerval every = { { 0, 50000 }, { 0, 50000 } };
	int before = ticks;

	ticks += on ? 1 : -1;
	if (!before == !ticks)
		return;
	if (!ticks)
		memset(&every, 0, sizeof every);
	setitimer(ITIMER_REAL, &every, NULL);
}

int sig_take(void)
{
	int sig = pending;

	pending = 0;
	return sig;
}

void sig_tell(void)
{
	if (ints.waiting) {
		ints.waiting = 0;
		if (ints.cb)
			ints.cb();
	}
	if (resized) {
		resized = 0;
		if (resize_cb)
			resize_cb();
	}
}
