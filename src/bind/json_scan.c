/*
 * json_scan: passes over JSON text before the library sees it: nesting, and
 * the escapes that stand for single bytes. Trusts nothing about the text;
 * owns nothing; knows no Lua.
 */
#include "bind/json.h"

#include <string.h>

void json_where(const char *text, size_t at, size_t *line, size_t *column)
{
	size_t i;

	*line = *column = 1;
	for (i = 0; i < at; i++) {
		(*column)++;
		if (text[i] == '\n') {
			(*line)++;
			*column = 1;
		}
	}
}

size_t json_too_deep(const char *text, size_t len, int max)
{
	int depth = 0, in_string = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		char c = text[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = 0;
		} else if (c == '"') {
			in_string = 1;
		} else if (c == '[' || c == '{') {
			if (++depth > max)
				return i;
		} else if ((c == ']' || c == '}') && depth > 0) {
			depth--;
		}
	}
	return len;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The value of \uXXXX at s, or -1. */
static int escape_at(const char *s, size_t len)
{
	int value = 0, i;

	if (len < 6 || s[0] != '\\' || s[1] != 'u')
		return -1;
	for (i = 2; i < 6; i++) {
		int digit = hex_digit(s[i]);

		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

static int is_high(int unit)
{
	return unit >= 0xd800 && unit <= 0xdbff;
}

static int is_low(int unit)
{
	return unit >= 0xdc00 && unit <= 0xdfff;
}

/* Candidates for the marker: U+10FF00..U+10FFFF, which no text should hold. */
#define FIRST 0x10ff00u

static void note_raw(const char *s, size_t len, unsigned char *seen)
{
	const unsigned char *p = (const unsigned char *)s;
	unsigned cp;

	if (len < 4 || p[0] != 0xf4 || p[1] != 0x8f)
		return;
	cp = 0x100000u | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 |
	     (p[3] & 0x3fu);
	if (cp >= FIRST)
		seen[cp & 0xff] = 1;
}

/*
 * One walk for both passes: notes candidates that occur (seen), and, when a
 * marker is given, overwrites the lone escapes. Returns how many there are.
 */
static size_t walk(char *text, size_t len, unsigned char *seen,
		   const struct json_marker *marker)
{
	size_t i = 0, count = 0;

	while (i < len) {
		int unit = escape_at(text + i, len - i);
		int next = is_high(unit) ? escape_at(text + i + 6, len - i - 6)
					 : -1;

		if (unit < 0) {
			note_raw(text + i, len - i, seen);
			i += text[i] == '\\' ? 2 : 1;
		} else if (is_high(unit) && is_low(next)) {
			unsigned cp = 0x10000u +
				((unsigned)(unit - 0xd800) << 10) +
				(unsigned)(next - 0xdc00);

			if (cp >= FIRST)
				seen[cp & 0xff] = 1;
			i += 12;
		} else {
			if (unit >= 0xdc80 && unit <= 0xdcff) {
				count++;
				if (marker)
					memcpy(text + i, marker->bytes, 4);
			}
			i += 6;
		}
	}
	return count;
}

int json_mark_bytes(char *text, size_t len, struct json_marker *marker)
{
	unsigned char seen[256] = { 0 };
	unsigned i = 0, cp;

	marker->used = 0;
	if (!walk(text, len, seen, NULL))
		return 1;
	while (i < 256 && seen[i])
		i++;
	if (i == 256)
		return 0;
	cp = FIRST | i;
	marker->bytes[0] = (char)0xf4;
	marker->bytes[1] = (char)(0x80 | (cp >> 12 & 0x3f));
	marker->bytes[2] = (char)(0x80 | (cp >> 6 & 0x3f));
	marker->bytes[3] = (char)(0x80 | (cp & 0x3f));
	marker->used = 1;
	walk(text, len, seen, marker);
	return 1;
}

void json_unmark(struct buf *out, const char *s, size_t len,
		 const struct json_marker *marker)
{
	size_t i = 0, run = 0;

	while (i + 6 <= len) {
		if (memcmp(s + i, marker->bytes, 4)) {
			i++;
			continue;
		}
		buf_add(out, s + run, i - run);
		buf_addc(out, (char)(hex_digit(s[i + 4]) << 4 |
				     hex_digit(s[i + 5])));
		i += 6;
		run = i;
	}
	buf_add(out, s + run, len - run);
}
