/*
 * edit: readline's callback interface: keys that have arrived go in, what it
 * draws goes through out_edit. The only file that includes readline. Owns the
 * edited text. Must not wait, nor let readline handle signals, settings of the
 * terminal or completion.
 */
#include "repl/edit.h"

#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <readline/history.h>
#include <readline/readline.h>

#include "core/mem.h"
#include "repl/place.h"
#include "repl/tty.h"
#include "term/out.h"

#define ABORT 0x07		/* what a key that asks for more is told */
#define CTRL_Z 0x1a

static struct {
	int ready;
	int locale;		/* it is one of UTF-8 */
	int open;		/* the library edits a line */
	int columns;		/* of the terminal when it was drawn */
	int again;
	enum line_event came;
	const char *prompt;	/* borrowed, while it begins; NULL */
	char *text;		/* owned, from readline: the accepted line */
	FILE *in, *out;		/* owned */
	const char *keys;	/* borrowed: what the library reads now */
	size_t nkeys;
} line;

/* --- its streams --------------------------------------------------------- */

static ssize_t draw(void *cookie, const char *data, size_t len)
{
	(void)cookie;
	out_edit(data, len);
	return (ssize_t)len;
}

static int next_key(FILE *in)
{
	(void)in;
	if (!line.nkeys)
		return ABORT;
	line.nkeys--;
	return (unsigned char)*line.keys++;
}

static int has_key(void)
{
	return line.nkeys > 0;
}

/* --- what keys come to --------------------------------------------------- */

/* The library lets go of the line; the cursor is at the start of a line. */
static void close_line(void)
{
	line.open = 0;
	rl_callback_handler_remove();
	fflush(line.out);
	tty_cooked();
	out_set_line(NULL);
}

static void on_line(char *text)
{
	free(line.text);
	line.text = text;
	if (!text)
		fputs("\n", line.out);
	close_line();
	line.came = text ? LINE_TEXT : LINE_EOF;
}

static int on_tab(int count, int key)
{
	(void)count;
	(void)key;
	line.again = rl_last_func == on_tab;
	line.came = LINE_COMPLETE;
	return 0;
}

static void suspended(void)
{
	out_show_line();
	tty_cooked();
	fflush(line.out);
	out_flush();
	kill(0, SIGTSTP);	/* ignored where nobody could wake us */
	tty_raw();
	rl_reset_screen_size();
	rl_forced_update_display();
	fflush(line.out);
}

static int on_suspend(int count, int key)
{
	(void)count;
	(void)key;
	suspended();
	return 0;
}

/* --- showing it ---------------------------------------------------------- */

void edit_hide(void)
{
	rl_clear_visible_line();
	fflush(line.out);
}

void edit_show(void)
{
	rl_on_new_line();
	rl_redisplay();
	fflush(line.out);
}

void edit_resize(void)
{
	char up[32];

	if (!line.ready || !line.open) {
		if (line.ready)
			rl_reset_screen_size();
		return;
	}
	out_show_line();
	rl_reset_screen_size();
	line.columns = out_columns();
	snprintf(up, sizeof up, "\x1b[%dA", place_row(rl_display_prompt,
		 rl_line_buffer, (size_t)rl_point, out_columns()));
	fputs(strcmp(up, "\x1b[0A") ? up : "", line.out);
	fputs("\r\x1b[J", line.out);
	rl_on_new_line();
	rl_redisplay();
	fflush(line.out);
}

void edit_set_prompt(const char *prompt)
{
	if (out_line_paused()) {
		rl_set_prompt(prompt);
		return;
	}
	out_show_line();
	rl_clear_visible_line();
	rl_set_prompt(prompt);
	edit_show();
}

/* --- keys ---------------------------------------------------------------- */

void edit_keys(const char *data, size_t len)
{
	line.keys = data;
	line.nkeys = len;
	while (line.nkeys && line.open && !line.came)
		rl_callback_read_char();
	line.nkeys = 0;
}

void edit_byte(char c)
{
	char text[2] = { c, '\0' };

	rl_insert_text(text);
	rl_redisplay();
}

void edit_paste(const char *data, size_t len)
{
	char *text;

	while (len && data[len - 1] == '\n')
		len--;		/* Enter is for the person to press */
	text = mem_memdup(data, len);
	if (!text || !len) {
		mem_free(text);
		return;
	}
	if (rl_readline_state & (RL_STATE_ISEARCH | RL_STATE_NSEARCH |
				 RL_STATE_NUMERICARG)) {
		/* one line of text, typed by hand */
		edit_keys(text, strcspn(text, "\n\t\x1b"));
	} else {
		rl_begin_undo_group();
		rl_insert_text(text);
		rl_end_undo_group();
		rl_redisplay();
	}
	mem_free(text);
}

/* --- the text ------------------------------------------------------------ */

int edit_is_open(void)
{
	return line.open;
}

enum line_event edit_came(void)
{
	return line.came;
}

void edit_go_on(void)
{
	line.came = LINE_NONE;
}

int edit_columns(void)
{
	return line.columns;
}

void edit_flush(void)
{
	fflush(line.out);
}

const char *edit_text(size_t *len)
{
	const char *text = line.open ? rl_line_buffer : line.text;

	*len = text ? strlen(text) : 0;
	return text ? text : "";
}

size_t edit_cursor(void)
{
	return (size_t)rl_point;
}

int edit_again(void)
{
	return line.again;
}

void edit_replace(size_t from, size_t to, const char *text)
{
	size_t end = (size_t)rl_end;

	if (!line.open || from > to || to > end)
		return;
	out_show_line();
	rl_begin_undo_group();
	rl_delete_text((int)from, (int)to);
	rl_point = (int)from;
	rl_insert_text(text);
	rl_end_undo_group();
	rl_redisplay();
	fflush(line.out);
}

void edit_remember(const char *text)
{
	add_history(text);
}

void edit_forget(void)
{
	clear_history();
}

/* --- start and end ------------------------------------------------------- */

/* The library looks at the locale with each line; it measures characters by it,
 * and ours are UTF-8 everywhere. */
static void in_utf8(void (*f)(void))
{
	char *before;

	if (line.locale) {
		f();
		return;
	}
	before = getenv("LC_ALL");
	before = before ? strdup(before) : NULL;
	setenv("LC_ALL", "C.UTF-8", 1);
	f();
	if (before)
		setenv("LC_ALL", before, 1);
	else
		unsetenv("LC_ALL");
	free(before);
}

static void install(void)
{
	rl_callback_handler_install(line.prompt, on_line);
}

static void initialize(void)
{
	rl_initialize();
}

void edit_begin(const char *prompt, const char *text)
{
	line.prompt = prompt;
	line.again = 0;
	rl_reset_screen_size();
	line.columns = out_columns();
	in_utf8(install);
	line.prompt = NULL;
	line.open = 1;
	if (*text) {
		rl_insert_text(text);
		rl_redisplay();
	}
	fflush(line.out);
}

void edit_drop(const char *after)
{
	out_show_line();
	rl_callback_sigcleanup();
	rl_free_line_state();
	if (!out_line_paused()) {
		rl_point = rl_end;	/* the last row of a long line */
		rl_redisplay();
		fputs(after, line.out);
	}
	rl_replace_line("", 1);
	close_line();
}

static char **no_matches(const char *text, int start, int end)
{
	(void)text;
	(void)start;
	(void)end;
	rl_attempted_completion_over = 1;
	return NULL;
}

static void raw(int meta)
{
	(void)meta;
	tty_raw();
	rl_tty_set_echoing(1);
}

static void configure(void)
{
	static const char *const fixed[][2] = {
		{ "enable-bracketed-paste", "off" },	/* tty.c does it */
		{ "blink-matching-paren", "off" },	/* it would wait */
		{ "revert-all-at-newline", "on" },
		{ "convert-meta", "off" }, { "input-meta", "on" },
		{ "output-meta", "on" }, { "enable-meta-key", "off" },
	};
	static const char *const maps[] = { "emacs", "vi-insert" };
	size_t i;

	for (i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
		rl_variable_bind(fixed[i][0], fixed[i][1]);
	for (i = 0; i < sizeof maps / sizeof maps[0]; i++) {
		Keymap map = rl_get_keymap_by_name(maps[i]);

		rl_bind_key_in_map('\t', on_tab, map);
		rl_bind_key_in_map(CTRL_Z, on_suspend, map);
	}
}

const char *edit_init(void)
{
	static const cookie_io_functions_t io = { .write = draw };

	if (line.ready)
		return NULL;
	line.in = fopen("/dev/tty", "re");	/* for its size; never read */
	line.out = fopencookie(NULL, "w", io);
	if (!line.in || !line.out)
		return "cannot open the terminal";
	setvbuf(line.out, NULL, _IOFBF, 1 << 16);
	rl_instream = line.in;
	rl_outstream = line.out;
	rl_readline_name = "opsh";
	rl_catch_signals = 0;
	rl_catch_sigwinch = 0;
	rl_change_environment = 0;
	rl_getc_function = next_key;
	rl_input_available_hook = has_key;
	rl_prep_term_function = raw;
	rl_deprep_term_function = NULL;
	rl_attempted_completion_function = no_matches;
	line.locale = setlocale(LC_CTYPE, "") &&
		!strcmp(nl_langinfo(CODESET), "UTF-8");
	in_utf8(initialize);
	configure();
	using_history();
	line.ready = 1;
	return NULL;
}

void edit_release(void)
{
	free(line.text);
	line.text = NULL;
}
