/*
 * buf: the growable byte buffer. Doubles its room; a failed allocation marks
 * it bad and leaves the old contents in place.
 */
#include "core/buf.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/utf8.h"

char buf_empty[1];

void buf_init(struct buf *b)
{
	*b = (struct buf)BUF_INIT;
}

void buf_release(struct buf *b)
{
	if (b->cap)
		mem_resize(b->data, b->cap, 0);
	buf_init(b);
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->bad = 0;
	if (b->cap)
		b->data[0] = '\0';
}

int buf_ok(const struct buf *b)
{
	return !b->bad;
}

char *buf_reserve(struct buf *b, size_t extra)
{
	size_t need, cap;
	char *data;

	if (b->bad)
		return NULL;
	need = b->len + extra + 1;
	if (need <= extra) {		/* wrapped round */
		b->bad = 1;
		return NULL;
	}
	if (need <= b->cap)
		return b->data + b->len;
	cap = b->cap ? b->cap : 64;
	while (cap < need)
		cap = cap > need / 2 ? cap * 2 : need;
	data = mem_resize(b->cap ? b->data : NULL, b->cap, cap);
	if (!data) {
		b->bad = 1;
		return NULL;
	}
	if (!b->cap)
		data[0] = '\0';
	b->data = data;
	b->cap = cap;
	return b->data + b->len;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	char *at = buf_reserve(b, len);

	if (!at)
		return;
	if (len)
		memcpy(at, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0 || !buf_reserve(b, (size_t)n)) {
		b->bad = 1;
		return;
	}
	vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	b->len += (size_t)n;
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(b, fmt, ap);
	va_end(ap);
}

/* printf is most of what a record costs, so numbers are written here. */
static void add_digits(struct buf *b, unsigned long long n, int least)
{
	char digits[24];
	int at = sizeof digits;

	while (n || least > 0) {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
		least--;
	}
	buf_add(b, digits + at, sizeof digits - (size_t)at);
}

void buf_add_int(struct buf *b, long long n)
{
	if (n < 0)
		buf_addc(b, '-');
	add_digits(b, n < 0 ? 0 - (unsigned long long)n
			    : (unsigned long long)n, 1);
}

void buf_add_micros(struct buf *b, double seconds)
{
	unsigned long long n;

	if (!(seconds > -1e12 && seconds < 1e12)) {
		buf_addf(b, "%.6f", seconds);
		return;
	}
	if (seconds < 0)
		buf_addc(b, '-');
	n = (unsigned long long)((seconds < 0 ? -seconds : seconds) * 1e6 + .5);
	add_digits(b, n / 1000000, 1);
	buf_addc(b, '.');
	add_digits(b, n % 1000000, 6);
}

void buf_consume(struct buf *b, size_t n)
{
	if (!n)
		return;
	memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
	b->data[b->len] = '\0';
}

void buf_swap(struct buf *a, struct buf *b)
{
	struct buf t = *a;

	*a = *b;
	*b = t;
}

/* Escapes for U+0000..U+001F with a short form. */
static char json_short(unsigned char c)
{
	switch (c) {
	case '"': return '"';
	case '\\': return '\\';
	case '\b': return 'b';
	case '\f': return 'f';
	case '\n': return 'n';
	case '\r': return 'r';
	case '\t': return 't';
	default: return 0;
	}
}

void buf_add_json(struct buf *b, const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t i = 0, run = 0;
	uint32_t cp;
	int n;

	buf_addc(b, '"');
	while (i < len) {
		char esc = json_short(p[i]);

		if (p[i] >= 0x20 && p[i] < 0x7f && !esc) {
			i++;
			continue;
		}
		if (p[i] >= 0x80) {
			n = utf8_next(s + i, len - i, &cp);
			if (n > 0) {
				i += (size_t)n;
				continue;
			}
		}
		buf_add(b, p + run, i - run);
		if (esc)
			buf_addf(b, "\\%c", esc);
		else if (p[i] >= 0x80)
			buf_addf(b, "\\udc%02x", p[i]);
		else
			buf_addf(b, "\\u%04x", p[i]);
		run = ++i;
	}
	buf_add(b, p + run, len - run);
	buf_addc(b, '"');
}
