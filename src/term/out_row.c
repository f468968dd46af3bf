/*
 * out_row: what stands below all that is written on the terminal: the status
 * line, or the line that a person edits. Owns both, when they are taken away
 * and drawn again. Must not know what is written above them.
 */
#include "term/escape.h"
#include "term/out_impl.h"

#define ERASE "\r\x1b[K"

static void (*status_cb)(int drawn);

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

/* --- the status line ----------------------------------------------------- */

void out_on_status(void (*cb)(int drawn))
{
	status_cb = cb;
}

static void tell_status(int drawn)
{
	if (status_cb)
		status_cb(drawn && !edited.paused && !out_held());
}

static void status_erase(void)
{
	if (!status.drawn)
		return;
	buf_adds(&out_sinks[OUT_STDERR].queue, ERASE);
	status.drawn = 0;
	tell_status(0);
}

/* Drawn over itself, so that it doesn't flicker. */
static void status_draw(void)
{
	struct sink *s = &out_sinks[OUT_STDERR];
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

void out_row_status(const struct buf *line)
{
	buf_clear(&status.line);
	if (line) {
		escape_to(&status.line, line->data, line->len, 0);
		status_draw();
	} else {
		status_erase();
	}
	sink_flush(&out_sinks[OUT_STDERR]);
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
		buf_addc(&out_sinks[OUT_STDERR].queue, '\n');
		out_sinks[OUT_STDERR].queue.bad = 0;
	}
	status.bol = 1;
	sink_flush(&out_sinks[OUT_STDERR]);
}

/* --- the edited line ----------------------------------------------------- */

void out_edit(const char *data, size_t len)
{
	struct sink *s = &out_sinks[OUT_STDERR];

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
	sink_flush(&out_sinks[OUT_STDERR]);
}

void out_show_line(void)
{
	if (!edited.editor || edited.shown || edited.paused)
		return;
	sink_flush(&out_sinks[OUT_STDOUT]);
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
		sink_flush(&out_sinks[OUT_STDERR]);
	}
	edited.editor = line;
	edited.shown = line && !edited.paused;
	if (edited.shown || !line)
		status.bol = 1;
	if (!line && status.line.len)
		sink_flush_soon(&out_sinks[OUT_STDERR]);
}

/* --- both ---------------------------------------------------------------- */

void out_row_hide(void)
{
	if (status.drawn) {
		status_erase();
		sink_flush(&out_sinks[OUT_STDERR]);
	}
	hide_line();
}

void out_row_show(void)
{
	if (!status.drawn && status.line.len) {
		status_draw();
		sink_flush(&out_sinks[OUT_STDERR]);
	}
	if (!out_pending())
		out_show_line();
}

int out_row_hidden(void)
{
	return (status.line.len && !status.drawn) ||
		(edited.editor && !edited.shown);
}

void out_row_at(int start)
{
	status.bol = start;
}

void out_row_drop(void)
{
	status_erase();
	buf_release(&status.line);
}
