/*
 * out: what is written, and how: the filter, the escaper, the order of the two
 * sinks, the status line. Owns the sinks. Whether and when bytes can be
 * written is sink.c's. Must not know Lua.
 */
#include "term/out.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/loop.h"
#include "term/escape.h"
#include "term/sink.h"

#define LAZY (16 * 1024)	/* stdout that is no terminal: gather this much */
#define ERASE "\r\x1b[K"

/* What the filter and the escaper still keep of a sink's text. */
struct text {
	struct sink sink;
	int colour;
	int ours;		/* the filter last saw our own text */
	int was_full;		/* writers park until there is room */
	char cut[4];		/* start of a character cut off */
	size_t ncut;
};

static struct text texts[2] = {
	{ .sink = { .fd = 1, .wfd = 1, .queue = BUF_INIT } },
	{ .sink = { .fd = 2, .wfd = 2, .queue = BUF_INIT } },
};
static struct buf scratch = BUF_INIT;
static const struct out_filter *filter;
static void (*dead_cb)(void);
static void (*room_cb)(enum out_fd fd);
static void (*status_cb)(int drawn);
static int held;

static struct {
	struct buf line;	/* masked and escaped; empty: none */
	int drawn;
	int bol;		/* the terminal's cursor is at a line's start */
} status = { BUF_INIT, 0, 1 };

static struct {
	const struct out_line *editor;	/* borrowed; NULL: none is edited */
	int shown;
	int paused;
} edited;

/* --- what the descriptors are -------------------------------------------------------- */

void out_set_filter(const struct out_filter *f)
{
	filter = f;
}

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
	return texts[fd].sink.tty;
}

int out_colour(enum out_fd fd)
{
	return texts[fd].colour;
}

int out_dead(enum out_fd fd)
{
	return texts[fd].sink.dead;
}

static int get_size(struct winsize *ws)
{
	int i;

	for (i = 0; i < 2; i++)
		if (texts[i].sink.tty &&
		    !ioctl(texts[i].sink.fd, TIOCGWINSZ, ws))
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
	return sink_pending(&texts[0].sink) + sink_pending(&texts[1].sink);
}

static size_t full_at(const struct sink *s)
{
	return s->tty ? OUT_FULL_TTY : OUT_FULL;
}

/* Stdout on a terminal that stderr keeps busy stands behind that. */
static size_t ahead_of(int fd)
{
	size_t n = sink_pending(&texts[fd].sink);

	if (fd == OUT_STDOUT && texts[OUT_STDOUT].sink.tty &&
	    texts[OUT_STDERR].sink.tty)
		n += sink_pending(&texts[OUT_STDERR].sink);
	return n;
}

int out_full(enum out_fd fd)
{
	if (ahead_of(fd) > full_at(&texts[fd].sink))
		texts[fd].was_full = 1;
	return texts[fd].was_full;
}

static void tell_room(void)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (!texts[i].was_full ||
		    ahead_of(i) > full_at(&texts[i].sink) / 2)
			continue;
		texts[i].was_full = 0;
		if (room_cb)
			room_cb((enum out_fd)i);
	}
}

/* --- the status line ------------------------------------------------------ */

void out_on_status(void (*cb)(int drawn))
{
	status_cb = cb;
}

static void tell_status(int drawn)
{
	if (status_cb)
		status_cb(drawn && !edited.paused && !held);
}

static void status_erase(void)
{
	if (!status.drawn)
		return;
	buf_adds(&texts[OUT_STDERR].sink.queue, ERASE);
	status.drawn = 0;
	tell_status(0);
}

/* Drawn over itself, so that it doesn't flicker. */
static void status_draw(void)
{
	struct sink *s = &texts[OUT_STDERR].sink;
	size_t used;

	if (!status.line.len || !status.bol || s->dead || sink_pending(s) ||
	    edited.editor)
		return;
	escape_width(status.line.data, status.line.len, out_columns() - 1,
		     &used);
	buf_addc(&s->queue, '\r');
	buf_add(&s->queue, status.line.data, used);
	buf_adds(&s->queue, "\x1b[K");
	status.drawn = 1;
	tell_status(1);
}

void out_status(const char *line)
{
	if (!texts[OUT_STDERR].sink.tty)
		return;
	buf_clear(&status.line);
	buf_clear(&scratch);
	if (line) {
		out_mask(&scratch, line, strlen(line));
		escape_to(&status.line, scratch.data, scratch.len, 0);
		status_draw();
	} else {
		status_erase();
	}
	sink_flush(&texts[OUT_STDERR].sink);
}

void out_line_done(void)
{
	status.bol = 1;
}

void out_echoed(void)
{
	if (status.drawn) {
		status_erase();
	} else {
		buf_addc(&texts[OUT_STDERR].sink.queue, '\n');
		texts[OUT_STDERR].sink.queue.bad = 0;
	}
	status.bol = 1;
	sink_flush(&texts[OUT_STDERR].sink);
}

/* --- the edited line ------------------------------------------------------ */

void out_edit(const char *data, size_t len)
{
	struct sink *s = &texts[OUT_STDERR].sink;

	buf_add(&s->queue, data, len);
	s->queue.bad = 0;
	sink_flush(s);
}

static void hide_line(void)
{
	if (!edited.editor || !edited.shown)
		return;
	edited.editor->hide();
	edited.shown = 0;
	status.bol = 1;
	sink_flush(&texts[OUT_STDERR].sink);
}

void out_show_line(void)
{
	if (!edited.editor || edited.shown || edited.paused)
		return;
	sink_flush(&texts[OUT_STDOUT].sink);
	if (!status.bol)
		out_edit("\n", 1);
	edited.shown = 1;
	edited.editor->show();
}

void out_pause_line(void)
{
	tell_status(0);
	if (edited.paused++ || !edited.editor)
		return;
	hide_line();
	edited.editor->pause();
}

void out_resume_line(void)
{
	if (--edited.paused || !edited.editor)
		return;
	edited.editor->resume();
	out_show_line();
}

int out_line_paused(void)
{
	return edited.paused > 0;
}

void out_set_line(const struct out_line *line)
{
	if (line && status.drawn) {
		status_erase();
		sink_flush(&texts[OUT_STDERR].sink);
	}
	edited.editor = line;
	edited.shown = line && !edited.paused;
	if (edited.shown || !line)
		status.bol = 1;
	if (!line && status.line.len)
		sink_flush_soon(&texts[OUT_STDERR].sink);
}

/* The loop wrote something: draw again what text had erased. */
static void after_flush(void)
{
	if (!status.drawn && status.line.len) {
		status_draw();
		sink_flush(&texts[OUT_STDERR].sink);
	}
	if (!out_pending())
		out_show_line();
	tell_room();
}

void out_hold(int on)
{
	held = on;
	sink_hold(on);
	if (!on)
		after_flush();
}

int out_held(void)
{
	return held;
}

void out_flush(void)
{
	sink_flush(&texts[OUT_STDOUT].sink);
	sink_flush(&texts[OUT_STDERR].sink);
	after_flush();
}

/* --- text ----------------------------------------------------------------- */

void out_mask(struct buf *to, const char *data, size_t len)
{
	if (filter)
		filter->mask(to, data, len);
	else
		buf_add(to, data, len);
}

static void feed(struct text *t, struct buf *to, const char *data, size_t len)
{
	if (filter)
		filter->feed(t->sink.fd - 1, to, data, len);
	else
		buf_add(to, data, len);
}

/* Escapes scratch into the queue. A character cut off at the end stays back
 * for the rest of it, unless this is the end. */
static void queue_escaped(struct text *t, int end)
{
	size_t cut = end ? 0 : escape_cut_off(scratch.data, scratch.len);

	escape_to(&t->sink.queue, scratch.data, scratch.len - cut,
		  ESCAPE_LINES);
	memcpy(t->cut, scratch.data + scratch.len - cut, cut);
	t->ncut = cut;
}

static void settle(struct text *t)
{
	if (t->sink.tty && !t->ours) {
		buf_clear(&scratch);
		buf_add(&scratch, t->cut, t->ncut);
		if (filter)
			filter->flush(t->sink.fd - 1, &scratch);
		queue_escaped(t, 1);
	} else if (filter) {
		filter->flush(t->sink.fd - 1, &t->sink.queue);
	}
}

/* On a terminal the filter sees foreign text before it is escaped, and never
 * across a piece of ours; elsewhere all is one stream. */
static void add(struct text *t, int ours, const char *data, size_t len)
{
	if (t->sink.tty && t->ours != ours) {
		settle(t);
		t->ours = ours;
	}
	if (!t->sink.tty || ours) {
		feed(t, &t->sink.queue, data, len);
		return;
	}
	buf_clear(&scratch);
	buf_add(&scratch, t->cut, t->ncut);
	feed(t, &scratch, data, len);
	queue_escaped(t, 0);
}

/* Both on a terminal, and it has not taken yet what stderr wrote before: what is
 * new goes behind that. */
static void stand_behind(struct text *t, size_t before)
{
	struct sink *err = &texts[OUT_STDERR].sink;
	struct buf *q = &t->sink.queue;

	if (!t->sink.tty || !err->tty || !sink_pending(err) || q->len <= before)
		return;
	buf_add(&err->queue, q->data + before, q->len - before);
	if (err->queue.bad)
		err->queue.bad = 0;	/* no memory: it comes, too early */
	else
		q->len = before;
}

/* After adding to a queue. Memory is gone: what was queued before is kept, and
 * the loss is said. Else: where does the cursor stand now? */
static void added(struct text *t, size_t before)
{
	static const char lost[] = "\nopsh: out of memory: output lost\n";
	struct buf *q = &t->sink.queue;

	if (q->bad || scratch.bad) {
		q->bad = 0;
		buf_release(&scratch);
		buf_add(q, lost, sizeof lost - 1);
		q->bad = 0;
	}
	if (t->sink.tty && q->len > before)
		status.bol = q->data[q->len - 1] == '\n';
	if (t == &texts[OUT_STDOUT])
		stand_behind(t, before);
}

static void put(enum out_fd fd, int ours, const char *data, size_t len)
{
	struct text *t = &texts[fd];
	struct sink *err = &texts[OUT_STDERR].sink;
	size_t before;

	if (t->sink.dead || !len)
		return;
	if (fd == OUT_STDERR)		/* in the order they were written */
		sink_flush(&texts[OUT_STDOUT].sink);
	if (t->sink.tty && status.drawn) {
		status_erase();
		sink_flush(err);
	}
	if (t->sink.tty)
		hide_line();
	before = t->sink.queue.len;
	add(t, ours, data, len);
	added(t, before);
	if (t->sink.tty || fd == OUT_STDERR || sink_pending(&t->sink) >= LAZY)
		sink_flush(&t->sink);
	else
		sink_flush_soon(&t->sink);
	if ((status.line.len && !status.drawn) ||
	    (edited.editor && !edited.shown))
		sink_flush_soon(err);
	tell_room();
}

void out_text(enum out_fd fd, const char *data, size_t len)
{
	put(fd, 0, data, len);
}

void out_ours(enum out_fd fd, const char *data, size_t len)
{
	put(fd, 1, data, len);
}

void out_printf(enum out_fd fd, const char *fmt, ...)
{
	struct buf b = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	out_text(fd, b.data, b.len);
	buf_release(&b);
}

void out_settle(enum out_fd fd)
{
	struct text *t = &texts[fd];
	size_t before = t->sink.queue.len;

	if (t->sink.dead)
		return;
	settle(t);
	added(t, before);
	sink_flush(&t->sink);
}

/* --- start and end -------------------------------------------------------- */

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

void out_init(void)
{
	int i;

	hold_std_fds();
	signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < 2; i++) {
		sink_init(&texts[i].sink, i + 1);
		texts[i].colour = wants_colour(texts[i].sink.tty);
		texts[i].sink.on_flush = after_flush;
	}
	texts[OUT_STDOUT].sink.on_dead = on_stdout_dead;
}

void out_finish(double seconds)
{
	double until = loop_now() + seconds;
	size_t before;
	int i;

	buf_clear(&status.line);
	status_erase();
	for (i = 0; i < 2; i++) {
		before = texts[i].sink.queue.len;
		if (!texts[i].sink.dead) {
			settle(&texts[i]);
			added(&texts[i], before);
		}
		sink_finish(&texts[i].sink, until);
	}
	tell_room();
}

void out_release(void)
{
	out_finish(1e9);
	sink_release(&texts[OUT_STDOUT].sink);
	sink_release(&texts[OUT_STDERR].sink);
	buf_release(&scratch);
	buf_release(&status.line);
}
