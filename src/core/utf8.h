/*
 * utf8: UTF-8 as far as opsh needs it: strict decoding, column widths and the
 * general category, over utf8proc (the only file that includes it).
 */
#ifndef OPSH_CORE_UTF8_H
#define OPSH_CORE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Decodes one code point: its length in bytes (1..4), or 0 when the bytes at s
 * are not valid UTF-8 (overlong forms and surrogates included). len >= 1. */
int utf8_next(const char *s, size_t len, uint32_t *cp);
int utf8_width(uint32_t cp);		/* columns: 0, 1 or 2 */
/* Safe to show: assigned, not a control, format, surrogate or private-use
 * character, not a line or paragraph separator. */
int utf8_shows(uint32_t cp);
int utf8_valid(const char *s, size_t len);

#endif
