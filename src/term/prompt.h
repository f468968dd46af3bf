/*
 * prompt: asks the person at the terminal, as an op: other tasks go on.
 */
#ifndef OPSH_TERM_PROMPT_H
#define OPSH_TERM_PROMPT_H

#include <lua.h>

/* prompt(text, opts) -> string, or nil: end of input, Ctrl-C, or nobody to
 * ask (stdin or stderr is no terminal, or CI is set). [-0, +1, v] */
int prompt_lua(lua_State *L);

/* The terminal is ours again: asks what was to be asked meanwhile. */
void prompt_go_on(void);

/* Gives the terminal its settings back, for a process that leaves at once.
 * Async-signal-safe; nothing to do when no prompt is open. */
void prompt_restore(void);

#endif
