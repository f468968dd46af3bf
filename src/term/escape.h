/*
 * escape: the one escaper between foreign bytes and a terminal. C0, C1, DEL,
 * ESC, bidirectional and invisible format characters, unassigned or invalid
 * UTF-8 come out as \x1b, \u{202e}, \n; newline and tab pass when asked.
 */
#ifndef OPSH_TERM_ESCAPE_H
#define OPSH_TERM_ESCAPE_H

#include <stddef.h>

#include "core/buf.h"

#define ESCAPE_LINES 1	/* keep \n and \t */

void escape_to(struct buf *out, const char *data, size_t len, int flags);
/* Columns that the escaped form takes (utf8proc widths); stops at `max`
 * columns when max >= 0 and says in *used how many bytes fit. */
int escape_width(const char *data, size_t len, int max, size_t *used);
/* Bytes at the end that are the start of a character cut off (0..3): keep them
 * for the next piece of a stream. */
size_t escape_cut_off(const char *data, size_t len);

#endif
