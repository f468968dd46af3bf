/*
 * sig: signal handlers, and handing what they saw to the root task.
 */
#include "core/sig.h"

#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/spawn.h"
#include "core/task_impl.h"

static volatile sig_atomic_t first;	/* signal number */
static volatile sig_atomic_t times;	/* how often we were told to stop */
static volatile sig_atomic_t pending;	/* not yet handed on */
static int ticks;			/* deadlines and graces that run */
static void (*volatile on_leave)(void);

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

void sig_arm_hook(void)
{
	lua_State *L = task_running;

	if (L)
		lua_sethook(L, task_hook,
			    LUA_MASKCOUNT | LUA_MASKCALL | LUA_MASKRET, 1);
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
	task_attention = 1;
	sig_arm_hook();
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
	task_attention = 1;
	sig_arm_hook();
}

static void wake(void)
{
	sig_poll();
}

void sig_init(void)
{
	struct sigaction sa;

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
	loop_on_wake(wake);
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

static enum cancel_why why_of(int sig)
{
	switch (sig) {
	case SIGTERM:
		return CANCEL_TERM;
	case SIGHUP:
		return CANCEL_HUP;
	default:
		return CANCEL_INT;
	}
}

void sig_poll(void)
{
	struct task *task = task_current();
	int sig = pending;

	task_attention = 0;
	pending = 0;
	if (sig && task_root())
		task_cancel(task_root(), why_of(sig));
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
	/* a busy loop keeps the loop's timers from firing */
	for (; task; task = task->parent) {
		if (task->deadline_at && loop_now() >= task->deadline_at)
			task_cancel(task, CANCEL_TIMEOUT);
		if (task->grace_at && loop_now() >= task->grace_at)
			task_grace_over(task);
	}
}
