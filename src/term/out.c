/*
 * out: what is written, and how: the filter, the escaper, the order of the two
 * sinks. Owns what is kept back of a text. What the descriptors are is
 * out_fd.c's, what stands below the text out_row.c's, whether and when bytes
 * can be written sink.c's. Must not know Lua.
 */
#include "term/out.h"

#include <string.h>

#include "core/loop.h"
#include "term/escape.h"
#include "term/out_impl.h"

#define LAZY (16 * 1024)	/* stdout that is no terminal: gather this much */

/* What the filter and the escaper still keep of a sink's text. */
static struct text {
	struct sink *sink;	/* borrowed */
	int ours;		/* the filter last saw our own text */
	char cut[4];		/* start of a character cut off */
	size_t ncut;
} texts[2] = {
	{ .sink = &out_sinks[OUT_STDOUT] }, { .sink = &out_sinks[OUT_STDERR] }
};

static struct buf scratch = BUF_INIT;
static const struct out_filter *filter;

void out_set_filter(const struct out_filter *f)
{
	filter = f;
}

/* --- text ---------------------------------------------------------------- */

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
		filter->feed(t->sink->fd - 1, to, data, len);
	else
		buf_add(to, data, len);
}

/* Escapes scratch into the queue. A character cut off at the end stays back
 * for the rest of it, unless this is the end. */
static void queue_escaped(struct text *t, int end)
{
	size_t cut = end ? 0 : escape_cut_off(scratch.data, scratch.len);

	escape_to(&t->sink->queue, scratch.data, scratch.len - cut,
		  ESCAPE_LINES);
	memcpy(t->cut, scratch.data + scratch.len - cut, cut);
	t->ncut = cut;
}

static void settle(struct text *t)
{
	if (t->sink->tty && !t->ours) {
		buf_clear(&scratch);
		buf_add(&scratch, t->cut, t->ncut);
		if (filter)
			filter->flush(t->sink->fd - 1, &scratch);
		queue_escaped(t, 1);
	} else if (filter) {
		filter->flush(t->sink->fd - 1, &t->sink->queue);
	}
}

/* On a terminal the filter sees foreign text before it is escaped, and never
 * across a piece of ours; elsewhere all is one stream. */
static void add(struct text *t, int ours, const char *data, size_t len)
{
	if (t->sink->tty && t->ours != ours) {
		settle(t);
		t->ours = ours;
	}
	if (!t->sink->tty || ours) {
		feed(t, &t->sink->queue, data, len);
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
	struct sink *err = &out_sinks[OUT_STDERR];
	struct buf *q = &t->sink->queue;

	if (!t->sink->tty || !err->tty || !sink_pending(err) || q->len <= before)
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
	struct buf *q = &t->sink->queue;

	if (q->bad || scratch.bad) {
		q->bad = 0;
		buf_release(&scratch);
		buf_add(q, lost, sizeof lost - 1);
		q->bad = 0;
	}
	if (t->sink->tty && q->len > before)
		out_row_at(q->data[q->len - 1] == '\n');
	if (t == &texts[OUT_STDOUT])
		stand_behind(t, before);
}

static void put(enum out_fd fd, int ours, const char *data, size_t len)
{
	struct text *t = &texts[fd];
	size_t before;

	if (t->sink->dead || !len)
		return;
	if (fd == OUT_STDERR)		/* in the order they were written */
		sink_flush(&out_sinks[OUT_STDOUT]);
	if (t->sink->tty)
		out_row_hide();
	before = t->sink->queue.len;
	add(t, ours, data, len);
	added(t, before);
	if (t->sink->tty || fd == OUT_STDERR || sink_pending(t->sink) >= LAZY)
		sink_flush(t->sink);
	else
		sink_flush_soon(t->sink);
	if (out_row_hidden())
		sink_flush_soon(&out_sinks[OUT_STDERR]);
	out_tell_room();
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
	size_t before = t->sink->queue.len;

	if (t->sink->dead)
		return;
	settle(t);
	added(t, before);
	sink_flush(t->sink);
}

void out_status(const char *line)
{
	if (!out_is_tty(OUT_STDERR))
		return;
	buf_clear(&scratch);
	if (line)
		out_mask(&scratch, line, strlen(line));
	out_row_status(line ? &scratch : NULL);
}

/* --- when ---------------------------------------------------------------- */

/* The loop wrote something: draw again what text had erased. */
static void after_flush(void)
{
	out_row_show();
	out_tell_room();
}

void out_hold(int on)
{
	out_hold_sinks(on);
	if (!on)
		after_flush();
}

void out_flush(void)
{
	sink_flush(&out_sinks[OUT_STDOUT]);
	sink_flush(&out_sinks[OUT_STDERR]);
	after_flush();
}

void out_finish(double seconds)
{
	double until = loop_now() + seconds;
	size_t before;
	int i;

	out_row_drop();
	for (i = 0; i < 2; i++) {
		before = out_sinks[i].queue.len;
		if (!out_sinks[i].dead) {
			settle(&texts[i]);
			added(&texts[i], before);
		}
		sink_finish(&out_sinks[i], until);
	}
	out_tell_room();
}

void out_init(void)
{
	out_fd_init(after_flush);
}

void out_release(void)
{
	out_finish(1e9);
	out_fd_release();
	buf_release(&scratch);
}
