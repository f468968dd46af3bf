/*
 * prompt: one question at a time; tasks that ask meanwhile queue up. Owns the
 * terminal's settings while a question is open, and gives them back however it
 * ends. Ctrl-C is read as a character and means "no answer" (fault 56), so
 * that it does not stop the run at a guard that then refuses. What was typed
 * before the question was shown is thrown away. Must not log the answer.
 */
#include "term/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/loop.h"
#include "core/lx.h"
#include "core/mem.h"
#include "core/op.h"
#include "term/out.h"
#include "term/settings.h"

#define TIMEOUT 3600.0		/* a person may have gone for help */
#define ANSWER_MAX (64 * 1024)
#define CTRL_C 0x03
#define CTRL_BACKSLASH 0x1c

struct prompt_op {
	struct op op;
	char *text;		/* owned */
	size_t len;
	int secret;
	int answered;
	int queued;		/* in the list, or the current one */
	struct buf answer;	/* owned; wiped */
};

static struct op *asking;		/* borrowed: the current one, first
					   of those that wait */
static struct loop_watch *watch;	/* owned */
static volatile sig_atomic_t tty = -1;	/* owned: settings are ours */
static struct termios before;

static void ask_next(void);

/* --- the terminal --------------------------------------------------------- */

void prompt_restore(void)
{
	if (tty >= 0)
		settings_set(tty, TCSANOW, &before);
}

/* Line by line, edited by the kernel; Ctrl-C and Ctrl-\ end the line. */
static int tty_open(int secret)
{
	struct termios t;
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (tcgetattr(fd, &before)) {
		close(fd);
		return -1;
	}
	t = before;
	t.c_lflag |= ICANON | ECHONL;
	t.c_lflag &= ~(tcflag_t)ISIG;
	t.c_iflag |= ICRNL;
	if (secret)
		t.c_lflag &= ~(tcflag_t)ECHO;
	t.c_cc[VEOL] = CTRL_C;
	t.c_cc[VEOL2] = CTRL_BACKSLASH;
	tty = fd;
	if (tcsetattr(fd, TCSAFLUSH, &t)) {
		tty = -1;
		close(fd);
		return -1;
	}
	return 0;
}

static void tty_close(void)
{
	int fd = tty;

	loop_watch_free(watch);
	watch = NULL;
	prompt_restore();
	tty = -1;
	if (fd >= 0)
		close(fd);
}

/* --- questions ------------------------------------------------------------ */

static void unlink_op(struct prompt_op *p)
{
	struct op **at;

	for (at = &asking; *at; at = &(*at)->next) {
		if (*at == &p->op) {
			*at = p->op.next;
			break;
		}
	}
	p->queued = 0;
}

/* The question is over; `echoed`: the terminal has gone to a new line. */
static void leave(struct prompt_op *p, int echoed)
{
	int current = asking == &p->op;

	unlink_op(p);
	if (!current)
		return;
	if (tty >= 0) {
		tty_close();
		if (echoed)
			out_line_done();
		else
			out_ours(OUT_STDERR, "\n", 1);
		out_resume_line();
	}
	ask_next();
}

static void end(struct prompt_op *p, int answered)
{
	p->answered = answered;
	leave(p, answered);
	op_done(&p->op);
}

/* Takes what has come; 1 when the question is over. */
static int take(struct prompt_op *p, const char *data, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (data[i] == '\n') {
			end(p, 1);
			return 1;
		}
		if (data[i] == CTRL_C || data[i] == CTRL_BACKSLASH)
			break;
		buf_addc(&p->answer, data[i]);
	}
	if (i < len || p->answer.len > ANSWER_MAX || p->answer.bad) {
		end(p, 0);
		return 1;
	}
	return 0;
}

static void on_readable(void *arg, int events, int status)
{
	struct prompt_op *p = (struct prompt_op *)asking;
	char data[512];
	ssize_t n;
	int over = 0;

	(void)arg;
	(void)events;
	(void)status;
	while (p && !over) {
		n = read(tty, data, sizeof data);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n <= 0) {		/* Ctrl-D, or the terminal is gone */
			end(p, 0);
			break;
		}
		over = take(p, data, (size_t)n);
	}
	mem_wipe(data, sizeof data);
}

/* Opens the first question that can be asked; others end without answer. */
static void ask_next(void)
{
	struct prompt_op *p;

	while (asking && tty < 0 && !out_held()) {
		p = (struct prompt_op *)asking;
		out_pause_line();	/* what is edited waits */
		if (!tty_open(p->secret)) {
			watch = loop_watch_new(tty, on_readable, NULL);
			if (watch && !loop_watch_set(watch, LOOP_READ)) {
				out_text(OUT_STDERR, p->text, p->len);
				out_settle(OUT_STDERR);
				return;
			}
			tty_close();
		}
		unlink_op(p);
		op_done(&p->op);
		out_resume_line();
	}
}

void prompt_go_on(void)
{
	ask_next();
}

/* --- the op --------------------------------------------------------------- */

static enum op_answer prompt_cancel(struct op *op)
{
	leave((struct prompt_op *)op, 0);
	return OP_NOW;
}

static int prompt_push(lua_State *L, struct op *op)
{
	struct prompt_op *p = (struct prompt_op *)op;

	if (p->answered)
		lua_pushlstring(L, p->answer.data, p->answer.len);
	else
		lua_pushnil(L);
	return 1;
}

static void prompt_release(struct op *op)
{
	struct prompt_op *p = (struct prompt_op *)op;

	if (p->queued)
		leave(p, 0);
	mem_free(p->text);
	if (p->answer.cap)
		mem_wipe(p->answer.data, p->answer.cap);
	buf_release(&p->answer);
}

static const struct op_class prompt_class = {
	"prompt", prompt_cancel, prompt_push, prompt_release
};

static int somebody_there(void)
{
	const char *ci = getenv("CI");

	return !(ci && *ci) && isatty(0) && out_is_tty(OUT_STDERR);
}

int prompt_lua(lua_State *L)
{
	static const char *const names[] = { "secret", "timeout", NULL };
	struct prompt_op *p;
	struct op **at;
	const char *text;
	double timeout;
	size_t len;
	int secret;

	text = lx_checkstr(L, 1, &len);
	lx_opt_begin(L, 2, names);
	secret = lx_opt_bool(L, 2, "secret", 0);
	timeout = lx_opt_num(L, 2, "timeout", TIMEOUT);
	luaL_argcheck(L, timeout > 0, 2, "option 'timeout' must be above 0");
	if (!somebody_there()) {
		lua_pushnil(L);
		return 1;
	}
	p = (struct prompt_op *)op_new(L, &prompt_class, sizeof *p);
	buf_init(&p->answer);
	if (!buf_reserve(&p->answer, 4096) || !(p->text = mem_memdup(text, len)))
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory for a prompt");
	p->len = len;
	p->secret = secret;
	op_start(&p->op);
	for (at = &asking; *at; at = &(*at)->next)
		;
	*at = &p->op;
	p->queued = 1;
	ask_next();
	if (!p->op.done)
		op_deadline(&p->op, timeout);
	return op_park(L, &p->op);
}
