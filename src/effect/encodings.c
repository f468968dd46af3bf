/*
 * encodings: the forms in which a secret is likely to appear. What differs
 * from one encoder to the next (which characters stay, the case of hex digits,
 * the alignment) gives one form each; the same form may come twice. The
 * scratch is wiped. Must not know what the forms are for.
 */
#include "effect/encodings.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "core/mem.h"
#include "core/utf8.h"

struct value {
	const unsigned char *s;
	size_t len;
	struct buf *b;		/* scratch: one encoding after another */
	encodings_cb *add;
};

/* Clears without handing the room back: it was sized for the longest. */
static int commit(struct value *v)
{
	int rc = v->b->bad ? -1 : v->add(v->b);

	v->b->len = 0;
	return rc;
}

/* Only the characters that the secret determines alone, when `before` bytes
 * stand before it in its group of three. */
static int add_base64(struct value *v, unsigned before, const char *last)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	size_t j, bit, at, end = (before + v->len) * 8 / 6;
	unsigned two, six;

	for (j = (before * 8 + 5) / 6; j < end; j++) {
		bit = j * 6 - before * 8;
		at = bit / 8;
		two = (unsigned)v->s[at] << 8;
		if (at + 1 < v->len)
			two |= v->s[at + 1];
		six = two >> (10 - bit % 8) & 63;
		buf_addc(v->b, six < 62 ? alphabet[six] : last[six - 62]);
	}
	return commit(v);
}

/* keep: the punctuation left as it is; NULL: not even letters are. */
static int add_percent(struct value *v, const char *keep, int upper, int plus)
{
	size_t i;

	for (i = 0; i < v->len; i++) {
		unsigned char c = v->s[i];

		if (plus && c == ' ')
			buf_addc(v->b, '+');
		else if (keep && c < 0x80 && c &&
			 (isalnum(c) || strchr(keep, c)))
			buf_addc(v->b, (char)c);
		else
			buf_addf(v->b, upper ? "%%%02X" : "%%%02x", c);
	}
	return commit(v);
}

static int add_hex(struct value *v, int upper)
{
	size_t i;

	for (i = 0; i < v->len; i++)
		buf_addf(v->b, upper ? "%02X" : "%02x", v->s[i]);
	return commit(v);
}

/* How an encoder of JSON differs from the next one. */
struct json_style {
	int wide;		/* beyond ASCII: 0 raw, 1 ours, 2 all escaped */
	int upper;		/* hex digits */
	int slash;		/* "\/" */
	int brief;		/* \b and \f, not \u0008 and \u000c */
	const char *html;	/* ASCII escaped for the sake of HTML */
};

static void json_u(struct buf *b, const struct json_style *st, uint32_t cp)
{
	const char *fmt = st->upper ? "\\u%04X" : "\\u%04x";

	if (cp > 0xffff) {
		cp -= 0x10000;
		buf_addf(b, fmt, 0xd800 + (cp >> 10));
		cp = 0xdc00 + (cp & 0x3ff);
	}
	buf_addf(b, fmt, cp);
}

static void json_ascii(struct buf *b, const struct json_style *st,
		       unsigned char c)
{
	static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
	const char *at = c ? strchr(from, c) : NULL;

	if (at && (st->brief || at - from < 5))
		buf_addf(b, "\\%c", to[at - from]);
	else if (c < 0x20 || (c == 0x7f && st->wide) || strchr(st->html, c))
		json_u(b, st, c);
	else if (c == '/' && st->slash)
		buf_adds(b, "\\/");
	else
		buf_addc(b, (char)c);
}

static int add_json(struct value *v, const struct json_style *st)
{
	const char *s = (const char *)v->s;
	size_t i = 0;
	uint32_t cp;
	int n;

	while (i < v->len) {
		if (v->s[i] < 0x80) {
			json_ascii(v->b, st, v->s[i++]);
			continue;
		}
		n = utf8_next(s + i, v->len - i, &cp);
		if (!n && st->wide)
			json_u(v->b, st, 0xdc00u + v->s[i]);
		else if (n && st->wide == 2)
			json_u(v->b, st, cp);
		else
			buf_add(v->b, s + i, n ? (size_t)n : 1);
		i += n ? (size_t)n : 1;
	}
	return commit(v);
}

static int add_json_styles(struct value *v)
{
	static const char *const html[] = { "", "<>&", "<>&='" };
	struct json_style st;
	unsigned i;
	int rc = 0;

	for (i = 0; i < 3 * 3 * 8 && !rc; i++) {
		st.wide = (int)(i % 3);
		st.html = html[i / 3 % 3];
		st.upper = (int)(i / 9 & 1);
		st.slash = (int)(i / 9 >> 1 & 1);
		st.brief = (int)(i / 9 >> 2 & 1);
		rc = add_json(v, &st);
	}
	return rc;
}

static int add_percent_styles(struct value *v)
{
	/* RFC 3986; with the slash; PHP; Java; JavaScript's two; all bytes */
	static const char *const keep[] = {
		"-._~", "-._~/", "-._", "-._*", "-._~!'()*",
		"-._~!'()*;/?:@&=+$,#", "", NULL
	};
	unsigned i, style;
	int rc = 0;

	for (i = 0; i < sizeof keep / sizeof keep[0]; i++)
		for (style = 0; style < 4 && !rc; style++)
			rc = add_percent(v, keep[i], style & 1, style >> 1);
	return rc;
}

/* As inside an SQL literal, and as Redis and C show a string. */
static int add_quoted(struct value *v)
{
	size_t i;
	int rc;

	for (i = 0; i < v->len; i++) {
		if (v->s[i] == '\'')
			buf_addc(v->b, '\'');
		buf_addc(v->b, (char)v->s[i]);
	}
	rc = commit(v);
	for (i = 0; i < v->len; i++) {
		unsigned char c = v->s[i];
		static const char from[] = "\\\"\n\r\t\a\b", to[] = "\\\"nrtab";
		const char *at = c ? strchr(from, c) : NULL;

		if (at)
			buf_addf(v->b, "\\%c", to[at - from]);
		else if (c < 0x20 || c >= 0x7f)
			buf_addf(v->b, "\\x%02x", c);
		else
			buf_addc(v->b, (char)c);
	}
	return rc ? rc : commit(v);
}

int encodings_each(const char *s, size_t len, encodings_cb *add)
{
	struct buf b = BUF_INIT;
	struct value v = { (const unsigned char *)s, len, &b, add };
	unsigned i;
	int rc;

	if (!buf_reserve(&b, len * 6 + 16))	/* one block, wiped below */
		return -1;
	buf_add(&b, s, len);
	rc = commit(&v);
	for (i = 0; i < 6 && !rc; i++)
		rc = add_base64(&v, i % 3, i < 3 ? "+/" : "-_");
	if (!rc)
		rc = add_percent_styles(&v);
	if (!rc)
		rc = add_json_styles(&v);
	if (!rc)
		rc = add_quoted(&v);
	for (i = 0; i < 2 && !rc; i++)
		rc = add_hex(&v, (int)i);
	mem_wipe(b.data, b.cap);
	buf_release(&b);
	return rc;
}
