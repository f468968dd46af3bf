/*
 * line: the line that is waited for: what is typed comes from tty.c in pieces,
 * goes to edit.c, and ends in an event. Owns the wait, and who has the
 * terminal meanwhile. Must not know what a key does.
 */
#include "repl/line.h"

#include <stdlib.h>
#include <string.h>

#include "core/loop.h"
#include "repl/tty.h"
#include "term/out.h"

static struct {
	int ready;
	void (*event)(enum line_event ev);	/* NULL: nobody waits */
	char *prompt;		/* owned */
	char *initial;		/* owned; set while the start waits */
	struct loop_watch *watch;	/* owned */
	struct loop_timer *timer;	/* owned: for the rest of a key */
} line;

static void feed(void);

static void tell(enum line_event ev)
{
	void (*event)(enum line_event) = line.event;

	line.event = NULL;
	if (line.watch)
		loop_watch_set(line.watch, 0);
	loop_timer_free(line.timer);
	line.timer = NULL;
	if (event)
		event(ev);
}

/* --- what out asks for --------------------------------------------------- */

static void let_go(void)
{
	if (line.watch)
		loop_watch_set(line.watch, 0);
	tty_cooked();
}

static void begin(void)
{
	edit_begin(line.prompt, line.initial ? line.initial : "");
	free(line.initial);
	line.initial = NULL;
}

static void take_again(void)
{
	tty_raw();
	if (!edit_is_open()) {
		begin();
		edit_hide();	/* show comes next */
	}
	if (line.event && line.watch)
		loop_watch_set(line.watch, LOOP_READ);
}

static const struct out_line hooks = { edit_hide, edit_show, let_go, take_again };

/* --- input --------------------------------------------------------------- */

static void on_cut(void *arg)
{
	const char *data;
	size_t len;

	(void)arg;
	loop_timer_free(line.timer);
	line.timer = NULL;
	if (!line.event || !edit_is_open())
		return;
	len = keys_rest(tty_keys(), &data);
	edit_go_on();
	edit_keys(data, len);
	feed();
}

/* Gives the library what was typed, until an event. */
static void feed(void)
{
	const char *data;
	size_t len;
	enum keys_piece piece;

	while (edit_is_open() && !edit_came() &&
	       (piece = keys_next(tty_keys(), &data, &len)) != KEYS_NONE) {
		out_show_line();	/* an event of before may have hidden it */
		if (piece == KEYS_TYPED && len == 1 && *data & 0x80)
			edit_byte(*data);
		else if (piece == KEYS_TYPED)
			edit_keys(data, len);
		else
			edit_paste(data, len);
	}
	edit_flush();
	if (edit_came())
		tell(edit_came());
	else if (keys_cut(tty_keys()) && !line.timer)
		line.timer = loop_timer_new(KEYS_WAIT, 0, on_cut, NULL);
}

static void on_readable(void *arg, int events, int status)
{
	(void)arg;
	(void)events;
	(void)status;
	loop_timer_free(line.timer);
	line.timer = NULL;
	out_show_line();
	if (out_columns() != edit_columns())
		edit_resize();		/* the signal may come after the key */
	if (tty_fill() < 0) {
		line_stop();
		tell(LINE_GONE);
		return;
	}
	feed();
}

void line_interrupt(void)
{
	if (!line.event)
		return;
	if (edit_is_open())
		edit_drop("^C\n");
	tell(LINE_INT);
}

/* --- start and end ------------------------------------------------------- */

const char *line_init(void)
{
	const char *why;

	if (tty_open())
		return "cannot open the terminal";
	out_on_status(tty_quiet);
	why = edit_init();
	line.ready = !why;
	return why;
}

void line_stop(void)
{
	line.event = NULL;
	if (edit_is_open())
		edit_drop("\n");
	else if (line.ready)
		out_set_line(NULL);
	loop_watch_free(line.watch);
	line.watch = NULL;
	loop_timer_free(line.timer);
	line.timer = NULL;
}

void line_release(void)
{
	line_stop();
	out_on_status(NULL);
	tty_close();
	edit_release();
	free(line.prompt);
	free(line.initial);
	line.prompt = line.initial = NULL;
}

void line_start(const char *prompt, const char *text,
		void (*event)(enum line_event ev))
{
	line.event = event;
	edit_go_on();
	if (!line.watch)
		line.watch = loop_watch_new(tty_fd(), on_readable, NULL);
	if (!line.watch) {
		tell(LINE_GONE);
		return;
	}
	if (!edit_is_open()) {
		free(line.prompt);
		free(line.initial);
		line.prompt = strdup(prompt);
		line.initial = strdup(text);
		out_settle(OUT_STDOUT);
		out_settle(OUT_STDERR);
		out_set_line(&hooks);
		if (out_line_paused())
			return;
		begin();
	}
	loop_watch_set(line.watch, LOOP_READ);
	feed();
}

void line_set_prompt(const char *prompt)
{
	char *copy = edit_is_open() || line.initial ? strdup(prompt) : NULL;

	if (!copy)
		return;
	free(line.prompt);
	line.prompt = copy;
	if (edit_is_open())
		edit_set_prompt(copy);	/* else it begins with this one */
}
