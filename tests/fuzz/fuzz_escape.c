/*
 * fuzz_escape: whatever comes in, what comes out is valid UTF-8 that holds no
 * control byte, no C1, no bidirectional or invisible format character; its
 * width is what was said; escaping it again changes nothing; a piecewise
 * stream says what the whole says. Linked with escape and core.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"
#include "term/escape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_clean(const struct buf *b, int flags)
{
	size_t i = 0;
	uint32_t cp;
	int n;

	while (i < b->len) {
		n = utf8_next(b->data + i, b->len - i, &cp);
		if (!n)
			abort();
		if (cp < 0x20 && !(flags && (cp == '\n' || cp == '\t')))
			abort();
		if (cp == 0x7f || (cp >= 0x80 && cp < 0xa0))
			abort();
		if (cp == 0x61c || cp == 0x200e || cp == 0x200f ||
		    (cp >= 0x202a && cp <= 0x202e) ||
		    (cp >= 0x2066 && cp <= 0x2069) || cp == 0xfeff ||
		    cp == 0x2028 || cp == 0x2029)
			abort();
		i += (size_t)n;
	}
}

static void check_width(const char *s, size_t len, const struct buf *whole,
			int max)
{
	struct buf part = BUF_INIT;
	size_t used;
	int w = escape_width(s, len, max, &used);

	if (w > max || used > len)
		abort();
	escape_to(&part, s, used, 0);
	if (part.len > whole->len || memcmp(part.data, whole->data, part.len))
		abort();
	if (escape_width(part.data, part.len, -1, NULL) != w)
		abort();
	buf_release(&part);
}

static void check_pieces(const char *s, size_t len, const struct buf *whole)
{
	struct buf out = BUF_INIT, in = BUF_INIT;
	size_t at, n, cut;

	for (at = 0; at < len; at += n) {
		n = 1 + (unsigned char)s[at] % 5;
		if (n > len - at)
			n = len - at;
		buf_add(&in, s + at, n);
		cut = at + n < len ? escape_cut_off(in.data, in.len) : 0;
		escape_to(&out, in.data, in.len - cut, ESCAPE_LINES);
		buf_consume(&in, in.len - cut);
	}
	if (out.len != whole->len || memcmp(out.data, whole->data, out.len))
		abort();
	buf_release(&out);
	buf_release(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *s = (const char *)data;
	struct buf one = BUF_INIT, two = BUF_INIT;
	int flags;

	for (flags = 0; flags <= ESCAPE_LINES; flags++) {
		buf_clear(&one);
		buf_clear(&two);
		escape_to(&one, s, size, flags);
		check_clean(&one, flags);
		escape_to(&two, one.data, one.len, flags);
		if (one.len != two.len || memcmp(one.data, two.data, one.len))
			abort();
		if (flags)
			check_pieces(s, size, &one);
		else
			check_width(s, size, &one, size ? data[0] % 40 : 3);
	}
	buf_release(&one);
	buf_release(&two);
	return 0;
}
