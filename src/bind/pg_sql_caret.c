/*
 * pg_sql_caret: the line of a text that a place is in, with a caret under the
 * place. Counts columns as a terminal shows them; long lines are cut round the
 * place, what can't be shown is a "?". Knows no SQL.
 */
#include "bind/pg_sql.h"

#include <stdio.h>
#include <string.h>

#include "core/utf8.h"

#define BEFORE 50			/* characters kept on either side */
#define AFTER 30
#define CUT "..."

struct line {
	char *text;			/* borrowed */
	size_t len, columns;
};

/* One character's bytes. */
static size_t step(const char *text, size_t len, size_t at)
{
	uint32_t cp;
	int n = utf8_next(text + at, len - at, &cp);

	return n ? (size_t)n : 1;
}

/* What can't be shown is a "?", a tab a space. */
static void add_char(struct line *out, const char *text, size_t len, size_t at,
		     size_t n)
{
	uint32_t cp;
	int shows = utf8_next(text + at, len - at, &cp) && utf8_shows(cp);

	if (shows) {
		memcpy(out->text + out->len, text + at, n);
		out->len += n;
		out->columns += (size_t)utf8_width(cp);
	} else {
		out->text[out->len++] = text[at] == '\t' ? ' ' : '?';
		out->columns++;
	}
}

static void add_text(struct line *out, const char *text)
{
	size_t n = strlen(text);

	memcpy(out->text + out->len, text, n);
	out->len += n;
	out->columns += n;
}

/* Where to begin so that at most BEFORE characters stand before the place. */
static size_t begin(const char *text, size_t from, size_t at)
{
	size_t p, n = 0;

	for (p = from; p < at; p += step(text, at, p))
		n++;
	for (p = from; n > BEFORE; n--)
		p += step(text, at, p);
	return p;
}

static int ends(const char *text, size_t len, size_t p)
{
	return p == len || text[p] == '\n' ||
		(text[p] == '\r' && (p + 1 == len || text[p + 1] == '\n'));
}

size_t pg_sql_caret(const char *text, size_t len, long place,
		    char out[PG_SQL_CARET])
{
	size_t at = place < 0 ? 0 : (size_t)place, from = 0, p, n, column;
	struct line line = { out, 0, 0 };
	char head[32];
	int number = 1, after = 0;

	if (at > len)
		at = len;
	for (p = 0; p < at; p++) {
		if (text[p] == '\n') {
			number++;
			from = p + 1;
		}
	}
	snprintf(head, sizeof head, "line %d: ", number);
	add_text(&line, head);
	p = begin(text, from, at);
	if (p > from)
		add_text(&line, CUT);
	column = line.columns;
	for (; !ends(text, len, p) && after < AFTER; p += n) {
		n = step(text, len, p);
		after += p >= at;
		add_char(&line, text, len, p, n);
		if (p < at)
			column = line.columns;
	}
	if (!ends(text, len, p))
		add_text(&line, CUT);
	add_text(&line, "\n");
	memset(out + line.len, ' ', column);
	line.len += column;
	out[line.len++] = '^';
	out[line.len] = 0;
	return line.len;
}
