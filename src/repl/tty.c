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

#define PASTE_ON "\x1b[?2004h"
#define PASTE_OFF "\x1b[?2004l"

static volatile int fd = -1;		/* owned */
static struct termios found;
static volatile int raw;
static volatile int quiet;		/* nothing is echoed; not raw */
static struct keys keys = KEYS_INIT;	/* typed, and not yet edited */

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
	return 0;
}

void tty_close(void)
{
	int old = fd;

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

/* --- settings ------------------------------------------------------------- */

/* From the background it would stop us instead. */
static void set(const struct termios *t)
{
	sigset_t ttou, old;
	int saved = errno;

	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	sigprocmask(SIG_BLOCK, &ttou, &old);
	tcsetattr(fd, TCSANOW, t);
	sigprocmask(SIG_SETMASK, &old, NULL);
	errno = saved;
}

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
	set(&t);
	raw = 1;
	if (marks_pastes())
		out_edit(PASTE_ON, sizeof PASTE_ON - 1);
}

void tty_restore(void)
{
	if (fd >= 0 && (raw || quiet))
		set(&found);
}

void tty_quiet(int on)
{
	struct termios t;

	if (fd < 0 || raw || on == quiet || tcgetattr(fd, &t))
		return;
	if (on && !(t.c_lflag & ECHO))
		return;
	t.c_lflag = on ? t.c_lflag & ~(tcflag_t)ECHO : t.c_lflag | ECHO;
	set(&t);
	quiet = on;
}

void tty_cooked(void)
{
	if (fd < 0 || !raw)
		return;
	if (marks_pastes())
		out_edit(PASTE_OFF, sizeof PASTE_OFF - 1);
	set(&found);
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
