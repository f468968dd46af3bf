/*
 * place: rows by the width of characters, as the terminal wraps them. Owns
 * nothing; must not ask the terminal.
 */
#include "repl/place.h"

#include <string.h>

#include "term/escape.h"

#define TAB 8

struct place {
	int row, column, columns;
};

static void go(struct place *p, int width)
{
	if (p->column + width > p->columns) {
		p->row++;
		p->column = 0;
	}
	p->column += width;
}

/* The bytes of the character at s. */
static size_t length(const char *s, size_t len)
{
	size_t n = 1;

	while (n < len && ((unsigned char)s[n] & 0xc0) == 0x80)
		n++;
	return n;
}

static void go_over(struct place *p, const char *s, size_t len)
{
	size_t at, n;

	for (at = 0; at < len; at += n) {
		n = length(s + at, len - at);
		if (s[at] == '\n') {
			p->row++;
			p->column = 0;
		} else if (s[at] == '\t') {
			go(p, TAB - p->column % TAB);
		} else if ((unsigned char)s[at] < ' ') {
			go(p, 2);	/* ^A */
		} else {
			go(p, escape_width(s + at, n, -1, NULL));
		}
	}
}

int place_row(const char *prompt, const char *text, size_t at, int columns)
{
	struct place p = { 0, 0, columns > 0 ? columns : 80 };
	const char *end;

	while (*prompt) {
		end = strchr(prompt, '\1');
		go_over(&p, prompt, end ? (size_t)(end - prompt)
					: strlen(prompt));
		end = end ? strchr(end, '\2') : NULL;
		if (!end)
			break;
		prompt = end + 1;
	}
	go_over(&p, text, at);
	return p.column == p.columns ? p.row + 1 : p.row;
}
