/*
 * line: the line that is waited for: what happens on the terminal while it is
 * edited becomes events. Calls no Lua. One line at a time.
 */
#ifndef OPSH_REPL_LINE_H
#define OPSH_REPL_LINE_H

#include "repl/edit.h"

/* The terminal and the editor. NULL, or what failed. */
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
/* Ctrl-C: the line is dropped, when one is waited for. */
void line_interrupt(void);

#endif
