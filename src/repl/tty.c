/*
 * tty: settings and input of the terminal. Owns its descriptor, the settings
 * that it was found with, and the bytes that were read and not yet edited. Must
 * not know readline.
 */
#include "repl/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "term/out.h"
#include "term/settings.h"

#define PASTE_ON "\x1b[?2004h"
#define PASTE_OFF "\x1b[?2004l"

static volatile int fd = -1;		/* owned */
static struct termios found;
static volatile int raw;
static volatile int quiet;		/* nothing is echoed; not raw */
static struct keys keys = KEYS_INIT;	/* typed, and not yet edited */
static volatile int stops;		/* Ctrl-Z comes to on_stop */

/* --- Ctrl-Z ---------------------------------------------------------------- */

/* By the kernel, so that it stops a busy task too; not every shell puts right
 * what a stopped program has left. Async-signal-safe all of it. */
static void on_stop(int sig)
{
	int saved = errno;
	struct termios mine;
	int changed = fd >= 0 && (raw || quiet) && !tcgetattr(fd, &mine);
	struct sigaction act = { .sa_handler = SIG_DFL }, ours;
	sigset_t set, old;

	if (changed)
		tty_restore();
	sigaction(sig, &act, &ours);
	raise(sig);
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_UNBLOCK, &set, &old);	/* here it stops */
	sigprocmask(SIG_SETMASK, &old, NULL);
	sigaction(sig, &ours, NULL);
	if (changed && tcgetpgrp(fd) == getpgrp())
		settings_set(fd, TCSANOW, &mine);
	errno = saved;
}

static void watch_stops(void)
{
	struct sigaction act = { .sa_handler = on_stop,
				 .sa_flags = SA_RESTART }, old;

	if (stops || sigaction(SIGTSTP, NULL, &old) ||
	    old.sa_handler != SIG_DFL)
		return;		/* ignored: nobody could wake us */
	stops = !sigaction(SIGTSTP, &act, NULL);
}

static void leave_stops(void)
{
	if (stops)
		signal(SIGTSTP, SIG_DFL);
	stops = 0;
}

/* --- life ------------------------------------------------------------------ */

int tty_open(void)
{
	int new;

	if (fd >= 0)
		return 0;
	new = open("/dev/tty", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (new < 0)
		return -1;
	if (tcgetattr(new, &found)) {
		close(new);
		return -1;
	}
	fd = new;
	watch_stops();
	return 0;
}

void tty_close(void)
{
	int old = fd;

	leave_stops();
	tty_cooked();
	tty_quiet(0);
	fd = -1;
	if (old >= 0)
		close(old);
	keys_release(&keys);
}

int tty_fd(void)
{
	return fd;
}

/* --- as a line is edited, or not ------------------------------------------- */

static int marks_pastes(void)
{
	const char *term = getenv("TERM");

	return term && *term && strcmp(term, "dumb");
}

/* Ctrl-C stays a signal: it must reach a busy task too. Ctrl-Z and Ctrl-\ are
 * keys, so that the terminal is given back first. */
void tty_raw(void)
{
	struct termios t;

	if (fd < 0 || raw)
		return;
	tty_quiet(0);
	tcgetattr(fd, &found);	/* what a program of ours has left */
	t = found;
	t.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN);
	t.c_lflag |= ISIG;
	t.c_iflag &= ~(tcflag_t)(ICRNL | INLCR | ISTRIP);
	t.c_oflag |= OPOST | ONLCR;
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	t.c_cc[VQUIT] = _POSIX_VDISABLE;
	t.c_cc[VSUSP] = _POSIX_VDISABLE;
	settings_set(fd, TCSANOW, &t);
	raw = 1;
	if (marks_pastes())
		out_edit(PASTE_ON, sizeof PASTE_ON - 1);
}

void tty_restore(void)
{
	if (fd >= 0 && (raw || quiet))
		settings_set(fd, TCSANOW, &found);
}

void tty_quiet(int on)
{
	struct termios t;

	if (fd < 0 || raw || on == quiet || tcgetattr(fd, &t))
		return;
	if (on && !(t.c_lflag & ECHO))
		return;
	t.c_lflag = on ? t.c_lflag & ~(tcflag_t)ECHO : t.c_lflag | ECHO;
	settings_set(fd, TCSANOW, &t);
	quiet = on;
}

void tty_cooked(void)
{
	if (fd < 0 || !raw)
		return;
	if (marks_pastes())
		out_edit(PASTE_OFF, sizeof PASTE_OFF - 1);
	settings_set(fd, TCSANOW, &found);
	raw = 0;
}

/* --- input ---------------------------------------------------------------- */

int tty_fill(void)
{
	char data[4096];
	ssize_t n;

	for (;;) {
		n = read(fd, data, sizeof data);
		if (n > 0)
			keys_add(&keys, data, (size_t)n);
		else if (n < 0 && errno == EINTR)
			continue;
		else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		else
			return -1;
	}
}

struct keys *tty_keys(void)
{
	return &keys;
}

void tty_drop(void)
{
	keys_clear(&keys);
	if (fd >= 0)
		tcflush(fd, TCIFLUSH);
}
