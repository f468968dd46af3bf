/*
 * pg_sql_caret: the line of a text that a place is in, with a caret under the
 * place. Counts columns as a terminal shows them; long lines are cut round the
 * place, what can't be shown is a "?". Knows no SQL.
 */
#include "bind/pg_sql.h"
#include "core/utf8.h"

#define BEFORE 50			/* columns kept on either side */
#define AFTER 30
#define CUT "..."

/* One character's bytes and columns. A tab is shown as a space. */
static size_t step(const char *text, size_t len, size_t at, int *width)
{
	uint32_t cp;
	int n = utf8_next(text + at, len - at, &cp);

	*width = n && cp != '\t' && utf8_shows(cp) ? utf8_width(cp) : 1;
	return n ? (size_t)n : 1;
}

/* Where to begin so that at most BEFORE columns stand before the place. */
static size_t begin(const char *text, size_t from, size_t at)
{
	int columns = 0, width;
	size_t p;

	for (p = from; p < at; ) {
		p += step(text, at, p, &width);
		columns += width;
	}
	for (p = from; p < at && columns > BEFORE; columns -= width)
		p += step(text, at, p, &width);
	return p;
}

static void add_shown(struct buf *out, const char *text, size_t len, size_t at,
		      size_t n)
{
	uint32_t cp;

	if (text[at] == '\t')
		buf_addc(out, ' ');
	else if (utf8_next(text + at, len - at, &cp) && utf8_shows(cp))
		buf_add(out, text + at, n);
	else
		buf_addc(out, '?');
}

void pg_sql_caret(const char *text, size_t len, long place, struct buf *out)
{
	size_t at = place < 0 ? 0 : (size_t)place, from = 0, p, n, head;
	int line = 1, width, column = 0, after = 0;

	if (at > len)
		at = len;
	for (p = 0; p < at; p++) {
		if (text[p] == '\n') {
			line++;
			from = p + 1;
		}
	}
	head = out->len;
	buf_addf(out, "line %d: ", line);
	p = begin(text, from, at);
	if (p > from)
		buf_adds(out, CUT);
	column = (int)(out->len - head);
	for (; p < len && text[p] != '\n' && after < AFTER; p += n) {
		n = step(text, len, p, &width);
		if (text[p] == '\r' && (p + 1 == len || text[p + 1] == '\n'))
			break;
		add_shown(out, text, len, p, n);
		if (p < at)
			column += width;
		else
			after += width;
	}
	if (after >= AFTER && p < len && text[p] != '\n' && text[p] != '\r')
		buf_adds(out, CUT);
	buf_addc(out, '\n');
	while (column-- > 0)
		buf_addc(out, ' ');
	buf_addc(out, '^');
}
