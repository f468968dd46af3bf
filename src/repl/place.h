/*
 * place: where the cursor of an edited line is, on a terminal of that width.
 * Pure.
 */
#ifndef OPSH_REPL_PLACE_H
#define OPSH_REPL_PLACE_H

#include <stddef.h>

/* Rows between the start of the prompt and byte `at` of the text. What stands
 * between \1 and \2 in the prompt takes no room. */
int place_row(const char *prompt, const char *text, size_t at, int columns);

#endif
