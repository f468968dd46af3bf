/*
 * out_fd: the two descriptors: whether each is a terminal, its size, colours,
 * how full it is and who is told of room. Owns the sinks. Must not know what
 * is written.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "term/out_impl.h"

struct sink out_sinks[2] = {
	{ .fd = 1, .wfd = 1, .queue = BUF_INIT },
	{ .fd = 2, .wfd = 2, .queue = BUF_INIT },
};
static int colours[2];
static int was_full[2];		/* writers park until there is room */
static void (*dead_cb)(void);
static void (*room_cb)(enum out_fd fd);
static int held;

void out_on_dead(void (*cb)(void))
{
	dead_cb = cb;
}

void out_on_room(void (*cb)(enum out_fd fd))
{
	room_cb = cb;
}

int out_is_tty(enum out_fd fd)
{
	return out_sinks[fd].tty;
}

int out_colour(enum out_fd fd)
{
	return colours[fd];
}

int out_dead(enum out_fd fd)
{
	return out_sinks[fd].dead;
}

static int get_size(struct winsize *ws)
{
	int i;

	for (i = 0; i < 2; i++)
		if (out_sinks[i].tty &&
		    !ioctl(out_sinks[i].fd, TIOCGWINSZ, ws))
			return 1;
	return 0;
}

static int size_from(const char *env, int otherwise)
{
	long n = env ? strtol(env, NULL, 10) : 0;

	return n > 0 && n <= 10000 ? (int)n : otherwise;
}

int out_columns(void)
{
	struct winsize ws;

	return get_size(&ws) && ws.ws_col ? ws.ws_col
					  : size_from(getenv("COLUMNS"), 80);
}

int out_lines(void)
{
	struct winsize ws;

	return get_size(&ws) && ws.ws_row ? ws.ws_row
					  : size_from(getenv("LINES"), 24);
}

size_t out_pending(void)
{
	return sink_pending(&out_sinks[0]) + sink_pending(&out_sinks[1]);
}

void out_hold_sinks(int on)
{
	held = on;
	sink_hold(on);
}

int out_held(void)
{
	return held;
}

/* --- room ---------------------------------------------------------------- */

static size_t full_at(const struct sink *s)
{
	return s->tty ? OUT_FULL_TTY : OUT_FULL;
}

/* Stdout on a terminal that stderr keeps busy stands behind that. */
static size_t ahead_of(int fd)
{
	size_t n = sink_pending(&out_sinks[fd]);

	if (fd == OUT_STDOUT && out_sinks[OUT_STDOUT].tty &&
	    out_sinks[OUT_STDERR].tty)
		n += sink_pending(&out_sinks[OUT_STDERR]);
	return n;
}

int out_full(enum out_fd fd)
{
	if (ahead_of(fd) > full_at(&out_sinks[fd]))
		was_full[fd] = 1;
	return was_full[fd];
}

void out_tell_room(void)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (!was_full[i] ||
		    ahead_of(i) > full_at(&out_sinks[i]) / 2)
			continue;
		was_full[i] = 0;
		if (room_cb)
			room_cb((enum out_fd)i);
	}
}

/* --- start and end ------------------------------------------------------- */

static void on_stdout_dead(struct sink *s)
{
	(void)s;
	if (dead_cb)
		dead_cb();
}

static int wants_colour(int tty)
{
	const char *no = getenv("NO_COLOR");
	const char *force = getenv("CLICOLOR_FORCE");
	const char *term = getenv("TERM");

	if (no && *no)
		return 0;
	if (force && *force && strcmp(force, "0"))
		return 1;
	return tty && term && *term && strcmp(term, "dumb");
}

/* A closed 0, 1 or 2 would be the number of the next file that is opened. The
 * stand-in can't be written to: results that go nowhere are an error. */
static void hold_std_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

void out_fd_init(void (*on_flush)(void))
{
	int i;

	hold_std_fds();
	signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < 2; i++) {
		sink_init(&out_sinks[i], i + 1);
		colours[i] = wants_colour(out_sinks[i].tty);
		out_sinks[i].on_flush = on_flush;
	}
	out_sinks[OUT_STDOUT].on_dead = on_stdout_dead;
}

void out_fd_release(void)
{
	sink_release(&out_sinks[OUT_STDOUT]);
	sink_release(&out_sinks[OUT_STDERR]);
}
