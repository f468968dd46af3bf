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

#include "core/buf.h"
#include "term/out.h"

#define PASTE_BEGIN "\x1b[200~"
#define PASTE_END "\x1b[201~"
#define MARK 6			/* bytes of either */
#define PASTE_ON "\x1b[?2004h"
#define PASTE_OFF "\x1b[?2004l"
#define KEY_MAX 32		/* no key's sequence is longer */

static volatile int fd = -1;		/* owned */
static struct termios found;
static volatile int raw;
static struct buf input = BUF_INIT;
static size_t taken;			/* of input */
static struct buf paste = BUF_INIT;	/* its text; also: one is under way */
static int pasting;
static int after_cr;			/* in the paste */

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
	fd = -1;
	if (old >= 0)
		close(old);
	buf_release(&input);
	buf_release(&paste);
	taken = 0;
	pasting = 0;
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
	if (fd >= 0 && raw)
		set(&found);
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
			buf_add(&input, data, (size_t)n);
		else if (n < 0 && errno == EINTR)
			continue;
		else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		else
			return -1;
	}
}

void tty_drop(void)
{
	buf_clear(&input);
	buf_clear(&paste);
	taken = 0;
	pasting = 0;
	if (fd >= 0)
		tcflush(fd, TCIFLUSH);
}

/* The length of the key at s; 0: more must come. */
static size_t key_length(const unsigned char *s, size_t len)
{
	size_t n, i;

	if (s[0] >= 0xc2 && s[0] <= 0xf4) {
		n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
		for (i = 1; i < n && i < len; i++)
			if ((s[i] & 0xc0) != 0x80)
				return 1;	/* no UTF-8: byte by byte */
		return len < n ? 0 : n;
	}
	if (s[0] != 0x1b)
		return 1;
	if (len < 2)
		return 0;
	if (s[1] == 'O')
		return len < 3 ? 0 : 3;
	if (s[1] != '[')
		return 1;
	for (i = 2; i < len && i < KEY_MAX; i++)
		if (s[i] >= 0x40 && s[i] <= 0x7e)
			return i + 1;
	return i < KEY_MAX ? 0 : 1;
}

/* Adds to the paste as one text: \r and \r\n are ends of lines. */
static void paste_add(const char *data, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (data[i] != '\0' && !(data[i] == '\n' && after_cr))
			buf_addc(&paste, data[i] == '\r' ? '\n' : data[i]);
		after_cr = data[i] == '\r';
	}
}

/* Takes from the input what belongs to the paste; 1 when it has ended. */
static int paste_take(void)
{
	const char *s = input.data + taken;
	size_t len = input.len - taken, keep;
	const char *end = len ? memmem(s, len, PASTE_END, MARK) : NULL;

	if (end) {
		paste_add(s, (size_t)(end - s));
		taken += (size_t)(end - s) + MARK;
		return 1;
	}
	/* the start of its end may be at the end */
	keep = len < MARK ? len : MARK;
	paste_add(s, len - keep);
	taken += len - keep;
	return 0;
}

int tty_cut(void)
{
	return !pasting && taken < input.len;
}

size_t tty_rest(const char **data)
{
	size_t n = pasting ? 0 : input.len - taken;

	*data = input.data + taken;
	taken += n;
	return n;
}

enum tty_piece tty_next(const char **data, size_t *len)
{
	size_t n;

	if (!pasting && taken == input.len) {
		buf_clear(&input);
		taken = 0;
		return TTY_NONE;
	}
	if (!pasting) {
		n = key_length((unsigned char *)input.data + taken,
			       input.len - taken);
		*data = input.data + taken;
		*len = n;
		taken += n;
		if (n != MARK || memcmp(*data, PASTE_BEGIN, MARK))
			return n ? TTY_KEYS : TTY_NONE;
		pasting = 1;
		after_cr = 0;
		buf_clear(&paste);
	}
	if (!paste_take())
		return TTY_NONE;
	pasting = 0;
	*data = paste.data;
	*len = paste.len;
	return TTY_PASTE;
}
