/*
 * line: the line that is edited, by readline, without waiting: what happens on
 * the terminal becomes events. Calls no Lua. One line at a time.
 */
#ifndef OPSH_REPL_LINE_H
#define OPSH_REPL_LINE_H

#include <stddef.h>

enum line_event {
	LINE_NONE,
	LINE_TEXT,		/* accepted: Enter */
	LINE_EOF,		/* Ctrl-D on an empty line */
	LINE_INT,		/* Ctrl-C: the line is dropped */
	LINE_GONE,		/* the terminal is */
	LINE_COMPLETE		/* TAB: the line stays, line_start goes on */
};

/* Once: the library, its keys, our streams. NULL, or what failed. */
const char *line_init(void);
void line_release(void);

/* Shows the prompt and edits a line that begins as `text`, or goes on with the
 * one that LINE_COMPLETE left. `event` is called once, on the loop, or before
 * line_start returns. Prompts: styles stand between \1 and \2. */
void line_start(const char *prompt, const char *text,
		void (*event)(enum line_event ev));
/* Ends it without an event: the terminal is as it was found. */
void line_stop(void);
/* Another prompt for the line that is edited; none is: nothing. */
void line_set_prompt(const char *prompt);
int line_edited(void);		/* is one open? */

/* What LINE_TEXT has brought; else what is edited, and where the cursor is. */
const char *line_text(size_t *len);
size_t line_cursor(void);
int line_again(void);		/* TAB after TAB */
/* Replaces bytes [from, to) of what is edited. */
void line_replace(size_t from, size_t to, const char *text);

/* Ctrl-C: the line is dropped, when one is waited for. */
void line_interrupt(void);
void line_resize(void);

void line_remember(const char *text);	/* the newest of the history */
void line_forget(void);			/* all of it */

#endif
