/*
 * edit: the text of a line as keys change it, by readline. Draws; never waits:
 * it is given whole keys. Calls no Lua. One line at a time.
 */
#ifndef OPSH_REPL_EDIT_H
#define OPSH_REPL_EDIT_H

#include <stddef.h>

/* What an edited line comes to: TEXT, EOF and COMPLETE by its keys. */
enum line_event {
	LINE_NONE,
	LINE_TEXT,		/* accepted: Enter */
	LINE_EOF,		/* Ctrl-D on an empty line */
	LINE_INT,		/* Ctrl-C: the line is dropped */
	LINE_GONE,		/* the terminal is */
	LINE_COMPLETE		/* TAB: the line stays, line_start goes on */
};

/* Once: the library, its keys, our streams. NULL, or what failed. */
const char *edit_init(void);
void edit_release(void);

/* From here the library edits a line that begins as `text`; the terminal is raw. */
void edit_begin(const char *prompt, const char *text);
/* What was typed is not wanted; a question may have the terminal. */
void edit_drop(const char *after);
int edit_is_open(void);

/* Whole keys; those after an event are dropped. */
void edit_keys(const char *data, size_t len);
/* A byte that is no character: the library would wait for the rest of one. */
void edit_byte(char c);
void edit_paste(const char *data, size_t len);
enum line_event edit_came(void);	/* by keys; LINE_NONE: it goes on */
void edit_go_on(void);			/* forgets what came */

/* For out (struct out_line), and what else draws. */
void edit_hide(void);
void edit_show(void);
void edit_flush(void);
void edit_set_prompt(const char *prompt);
/* Terminals wrap what is on them anew for another width, and the cursor goes
 * with it. */
void edit_resize(void);
int edit_columns(void);		/* of the terminal when the line was drawn */

/* What LINE_TEXT has brought; else what is edited, and where the cursor is. */
const char *edit_text(size_t *len);
size_t edit_cursor(void);
int edit_again(void);		/* TAB after TAB */
/* Replaces bytes [from, to) of what is edited. */
void edit_replace(size_t from, size_t to, const char *text);

void edit_remember(const char *text);	/* the newest of the history */
void edit_forget(void);			/* all of it */

#endif
