/*
 * escape: decides for each character whether it may reach a terminal as it
 * is. Owns nothing. What it writes is printable UTF-8, so escaping twice
 * changes nothing. Must not know where the text goes.
 */
#include "term/escape.h"

#include <stdint.h>
#include <stdio.h>

#include "core/utf8.h"

/* Characters of "visible" categories that show nothing: what can hide text in
 * text, or make two names look the same. Emoji selectors (fe0e, fe0f) pass. */
static const struct {
	uint32_t first, last;
} blank[] = {
	{ 0x034f, 0x034f }, { 0x115f, 0x1160 }, { 0x17b4, 0x17b5 },
	{ 0x180b, 0x180f }, { 0x2800, 0x2800 }, { 0x3164, 0x3164 },
	{ 0xfe00, 0xfe0d }, { 0xffa0, 0xffa0 }, { 0xfffc, 0xfffc },
	{ 0xe0000, 0xe0fff },
};

static int shows(uint32_t cp)
{
	size_t i;

	if (!utf8_shows(cp))
		return 0;
	for (i = 0; i < sizeof blank / sizeof blank[0]; i++)
		if (cp >= blank[i].first && cp <= blank[i].last)
			return 0;
	return 1;
}

struct unit {
	int bytes;		/* of the input, >= 1 */
	int width;		/* columns of what comes out */
	char text[16];		/* the escape; "" when it passes as it is */
};

static void take_ascii(struct unit *u, unsigned char c, int flags)
{
	u->bytes = 1;
	u->text[0] = '\0';
	u->width = 1;
	if (c >= 0x20 && c < 0x7f)
		return;
	if (c == '\n' || c == '\t' || c == '\r') {
		u->width = 0;
		if ((flags & ESCAPE_LINES) && c != '\r')
			return;
		u->width = snprintf(u->text, sizeof u->text, "\\%c",
				    c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
		return;
	}
	u->width = snprintf(u->text, sizeof u->text, "\\x%02x", c);
}

/* The next character; len >= 1. */
static void take(struct unit *u, const char *s, size_t len, int flags)
{
	uint32_t cp;

	if ((unsigned char)*s < 0x80) {
		take_ascii(u, (unsigned char)*s, flags);
		return;
	}
	u->bytes = utf8_next(s, len, &cp);
	u->text[0] = '\0';
	if (!u->bytes) {
		u->bytes = 1;
		u->width = snprintf(u->text, sizeof u->text, "\\x%02x",
				    (unsigned char)*s);
	} else if (!shows(cp)) {
		u->width = snprintf(u->text, sizeof u->text, "\\u{%x}",
				    (unsigned)cp);
	} else {
		u->width = utf8_width(cp);
	}
}

static size_t plain_run(const char *s, size_t len)
{
	size_t i = 0;

	while (i < len && s[i] >= 0x20 && s[i] < 0x7f)
		i++;
	return i;
}

void escape_to(struct buf *out, const char *data, size_t len, int flags)
{
	struct unit u;
	size_t i = 0, run = 0;

	while (i < len) {
		i += plain_run(data + i, len - i);
		if (i == len)
			break;
		take(&u, data + i, len - i, flags);
		if (u.text[0]) {
			buf_add(out, data + run, i - run);
			buf_adds(out, u.text);
			run = i + (size_t)u.bytes;
		}
		i += (size_t)u.bytes;
	}
	buf_add(out, data + run, len - run);
}

int escape_width(const char *data, size_t len, int max, size_t *used)
{
	struct unit u;
	size_t i = 0;
	int width = 0;

	while (i < len) {
		take(&u, data + i, len - i, 0);
		if (max >= 0 && u.width > max - width)
			break;
		width += u.width;
		i += (size_t)u.bytes;
	}
	if (used)
		*used = i;
	return width;
}

size_t escape_cut_off(const char *data, size_t len)
{
	size_t back, need;
	unsigned char c;

	for (back = 1; back <= 3 && back <= len; back++) {
		c = (unsigned char)data[len - back];
		if ((c & 0xc0) == 0x80)
			continue;
		need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
		return c >= 0xc2 && c <= 0xf4 && need > back ? back : 0;
	}
	return 0;
}
