/*
 * resp: scanner, cursor and encoder. The scanner walks newly received bytes
 * only: bodies are skipped by their length, a line that is not whole is looked
 * at again from where the search stopped. Knows no Lua.
 */
#include "bind/resp.h"

#include <stdint.h>
#include <string.h>

#include "core/utf8.h"

#define NUMBER_LINE 32	/* a longer header line is not a number */

void resp_scan_init(struct resp_scan *s, size_t max_reply,
		    long long max_elements)
{
	memset(s, 0, sizeof *s);
	s->max_reply = max_reply;
	s->max_elements = max_elements;
}

void resp_scan_shift(struct resp_scan *s, size_t n)
{
	s->pos -= n;
	s->start = s->start > n ? s->start - n : 0;
	s->look = s->look > n ? s->look - n : 0;
	s->first_error = s->first_error > n ? s->first_error - n : 0;
}

/*
 * The number between p and CRLF: the position after CRLF; NULL when not whole
 * (*bad 0) or wrong (*bad 1).
 */
static const char *read_number(const char *p, const char *end, long long *out,
			       int *bad)
{
	const char *first = p;
	uint64_t v = 0, max = INT64_MAX;
	int minus = 0, digits = 0;

	*bad = 0;
	if (p < end && (*p == '-' || *p == '+')) {
		minus = *p == '-';
		max += (uint64_t)minus;
		p++;
	}
	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		uint64_t d = (uint64_t)(*p - '0');

		if (p - first > NUMBER_LINE || v > (max - d) / 10) {
			*bad = 1;
			return NULL;
		}
		v = v * 10 + d;
		digits = 1;
	}
	if (p == end || (*p == '\r' && p + 1 == end)) {
		*bad = p < end && !digits;
		return NULL;
	}
	if (!digits || p[0] != '\r' || p[1] != '\n') {
		*bad = 1;
		return NULL;
	}
	*out = minus ? (long long)(0 - v) : (long long)v;
	return p + 2;
}

static int fail_bytes(struct err *e, const char *what, const char *p,
		      const char *end)
{
	struct buf seen;
	size_t n = (size_t)(end - p);

	buf_init(&seen);
	resp_quote(&seen, p, n > 16 ? 16 : n);
	err_set(e, ERR_PROTOCOL, "RESP", "reply is not RESP: %s at %s", what,
		buf_ok(&seen) ? seen.data : "?");
	buf_release(&seen);
	return -1;
}

static int fail_limit(struct err *e, const char *what, long long got,
		      long long max)
{
	err_set(e, ERR_LIMIT, "REPLY", "reply has %s: %lld, limit %lld", what,
		got, max);
	return -1;
}

/* One value ended: closes the arrays that it fills. 1: the reply is whole. */
static int value_end(struct resp_scan *s)
{
	while (s->depth > 0) {
		if (--s->left[s->depth - 1] > 0)
			return 0;
		s->depth--;
	}
	return 1;
}

/* A bulk header was read; its body follows. -1: over the limit. */
static int begin_bulk(struct resp_scan *s, long long n, struct err *e)
{
	size_t so_far = s->pos - s->start;

	if (so_far > s->max_reply ||
	    (unsigned long long)n > s->max_reply - so_far)
		return fail_limit(e, "too long a string", n,
				  (long long)s->max_reply);
	s->body = (size_t)n + 2;
	return 0;
}

/* 1: the array is empty and thus whole. -1: over a limit. */
static int begin_array(struct resp_scan *s, long long n, struct err *e)
{
	if (n == 0)
		return 1;
	if (s->depth == RESP_MAX_DEPTH)
		return fail_limit(e, "arrays too deep", s->depth + 1LL,
				  RESP_MAX_DEPTH);
	if (n > s->max_elements - s->elements)
		return fail_limit(e, "too many elements", n,
				  s->max_elements);
	s->elements += n;
	s->left[s->depth++] = n;
	return 0;
}

/* A '+' or '-' line. 1: whole, 0: more, -1: bad. */
static int scan_line(struct resp_scan *s, const char *data, size_t len,
		     struct err *e)
{
	size_t from = s->look > s->pos ? s->look : s->pos + 1;
	const char *nl;

	nl = from < len ? memchr(data + from, '\n', len - from) : NULL;
	s->look = nl ? (size_t)(nl - data) : (len > from ? len : from);
	if (s->look - s->pos > RESP_MAX_LINE)
		return fail_limit(e, "a line too long",
				  (long long)(s->look - s->pos),
				  RESP_MAX_LINE);
	if (!nl)
		return 0;
	if (nl - data < 2 || nl[-1] != '\r' || nl - 1 <= data + s->pos)
		return fail_bytes(e, "line feed alone", data + s->pos,
				  data + len);
	if (data[s->pos] == '-' && s->depth == 0) {
		if (s->errors++ == 0)
			s->first_error = s->pos;
	}
	s->pos = (size_t)(nl - data) + 1;
	return 1;
}

/* The rest of a bulk's body. 1: whole, 0: more, -1: bad. */
static int scan_body(struct resp_scan *s, const char *data, size_t len,
		     struct err *e)
{
	size_t have = len - s->pos;

	if (have < s->body) {
		/* keep CRLF together, so that its check sees both bytes */
		size_t take = s->body > 2 ? s->body - 2 : 0;

		take = take < have ? take : have;
		s->pos += take;
		s->body -= take;
		return 0;
	}
	s->pos += s->body;
	s->body = 0;
	if (data[s->pos - 2] != '\r' || data[s->pos - 1] != '\n')
		return fail_bytes(e, "no line end after a string",
				  data + s->pos - 2, data + s->pos);
	return 1;
}

/* One value's header (and body). 1: a value ended, 0: more, -1: bad,
 * 2: go on with the same reply. */
static int scan_value(struct resp_scan *s, const char *data, size_t len,
		      struct err *e)
{
	const char *p = data + s->pos, *end = data + len, *next;
	long long n = 0;
	char type = *p;
	int bad, r;

	if (type == '+' || type == '-')
		return scan_line(s, data, len, e);
	if (type != '$' && type != '*' && type != ':')
		return fail_bytes(e, "unknown type", p, end);
	next = read_number(p + 1, end, &n, &bad);
	if (!next)
		return bad ? fail_bytes(e, "bad number", p, end) : 0;
	if (type != ':' && n < -1)
		return fail_bytes(e, "negative length", p, end);
	s->pos = (size_t)(next - data);
	if (type == ':' || n == -1)
		return 1;
	if (type == '*') {
		r = begin_array(s, n, e);
		return r == 0 ? 2 : r;
	}
	if (begin_bulk(s, n, e) < 0)
		return -1;
	return scan_body(s, data, len, e);
}

long long resp_scan(struct resp_scan *s, const char *data, size_t len,
		    long long max, struct err *e)
{
	long long n = 0;
	int r;

	while (n < max && s->pos < len) {
		if (s->body)
			r = scan_body(s, data, len, e);
		else
			r = scan_value(s, data, len, e);
		if (r < 0)
			return -1;
		if (s->pos - s->start > s->max_reply)
			return fail_limit(e, "too many bytes",
					  (long long)(s->pos - s->start),
					  (long long)s->max_reply);
		if (r == 0)
			break;
		if (r == 1 && value_end(s)) {
			n++;
			s->start = s->pos;
			s->elements = 0;
		}
	}
	return n;
}

/* --- cursor ------------------------------------------------------------- */
const char *resp_item(const char *p, const char *end, struct resp_item *it)
{
	const char *nl;
	int bad;

	if (p >= end)
		return NULL;
	it->type = *p;
	it->str = NULL;
	it->len = 0;
	it->num = 0;
	if (*p == '+' || *p == '-') {
		nl = memchr(p, '\n', (size_t)(end - p));
		if (!nl || nl - p < 2 || nl[-1] != '\r')
			return NULL;
		it->str = p + 1;
		it->len = (size_t)(nl - 2 - p);
		return nl + 1;
	}
	if (*p != '$' && *p != '*' && *p != ':')
		return NULL;
	p = read_number(p + 1, end, &it->num, &bad);
	if (!p || it->type == ':')
		return p;
	if (it->num < 0) {
		it->type = '_';
		return it->num == -1 ? p : NULL;
	}
	if (it->type == '*')
		return p;
	if (it->num > end - p - 2 || end - p < 2)
		return NULL;
	it->str = p;
	it->len = (size_t)it->num;
	return p + it->num + 2;
}

const char *resp_skip(const char *p, const char *end)
{
	struct resp_item it;
	long long left = 1;

	while (p && left > 0) {
		p = resp_item(p, end, &it);
		left--;
		if (p && it.type == '*') {
			if (it.num > end - p)
				return NULL;
			left += it.num;
		}
	}
	return p;
}

/* --- encoder -------------------------------------------------------------- */
/* Writes prefix, number and CRLF to `at` (room for 24): the bytes written. */
static size_t put_header(char *at, char prefix, unsigned long long n)
{
	char tmp[24];
	size_t k = 0, len = 0;

	do {
		tmp[k++] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	at[len++] = prefix;
	while (k)
		at[len++] = tmp[--k];
	at[len++] = '\r';
	at[len++] = '\n';
	return len;
}

void resp_add_array(struct buf *out, long long n)
{
	char *at = buf_reserve(out, 24);

	if (!at)
		return;
	out->len += put_header(at, '*', (unsigned long long)n);
	out->data[out->len] = '\0';
}

void resp_add_bulk(struct buf *out, const char *s, size_t len)
{
	char *at = buf_reserve(out, len + 26);
	size_t n;

	if (!at)
		return;
	n = put_header(at, '$', len);
	if (len)
		memcpy(at + n, s, len);
	n += len;
	at[n++] = '\r';
	at[n++] = '\n';
	at[n] = '\0';
	out->len += n;
}

void resp_add_str(struct buf *out, const char *s)
{
	resp_add_bulk(out, s, strlen(s));
}

void resp_add_int(struct buf *out, long long v)
{
	char tmp[24];
	size_t k = sizeof tmp;
	unsigned long long u = v < 0 ? 0ULL - (unsigned long long)v
				     : (unsigned long long)v;

	do {
		tmp[--k] = (char)('0' + u % 10);
		u /= 10;
	} while (u);
	if (v < 0)
		tmp[--k] = '-';
	resp_add_bulk(out, tmp + k, sizeof tmp - k);
}

/* --- redis-cli's quoting --------------------------------------------------- */
static void quote_byte(struct buf *out, unsigned char c)
{
	static const char from[] = "\n\r\t\a\b\\\"", to[] = "nrtab\\\"";
	const char *at = c ? strchr(from, c) : NULL;

	if (at)
		buf_addf(out, "\\%c", to[at - from]);
	else if (c >= 0x20 && c < 0x7f)
		buf_addc(out, (char)c);
	else
		buf_addf(out, "\\x%02x", c);
}

void resp_quote(struct buf *out, const char *s, size_t len)
{
	size_t i;
	uint32_t cp;
	int n, plain = len > 0;

	for (i = 0; i < len && plain; i++)
		plain = s[i] > 0x20 && s[i] < 0x7f && s[i] != '"' &&
			s[i] != '\'' && s[i] != '\\' && s[i] != ';';
	if (plain) {
		buf_add(out, s, len);
		return;
	}
	buf_addc(out, '"');
	for (i = 0; i < len; i += (size_t)n) {
		n = (unsigned char)s[i] < 0x80 ? 0 :
			utf8_next(s + i, len - i, &cp);
		if (n > 1 && utf8_shows(cp)) {
			buf_add(out, s + i, (size_t)n);
			continue;
		}
		n = 1;
		quote_byte(out, (unsigned char)s[i]);
	}
	buf_addc(out, '"');
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* An escape after the backslash at p: the bytes used. */
static size_t unescape(struct buf *word, const char *p, const char *end)
{
	static const char from[] = "nrtab", to[] = "\n\r\t\a\b";
	const char *at;

	if (*p == 'x' && end - p > 2 && hex_digit(p[1]) >= 0 &&
	    hex_digit(p[2]) >= 0) {
		buf_addc(word, (char)(hex_digit(p[1]) * 16 + hex_digit(p[2])));
		return 3;
	}
	at = *p ? strchr(from, *p) : NULL;
	buf_addc(word, at ? to[at - from] : *p);
	return 1;
}

static int is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* One word from p; the position after it, NULL: unbalanced. */
static const char *split_word(struct buf *word, const char *p, const char *end)
{
	char quote = 0;

	for (; p < end; p++) {
		if (quote == 0) {
			if (is_blank(*p))
				return p;
			if (*p == '"' || *p == '\'')
				quote = *p;
			else
				buf_addc(word, *p);
		} else if (*p == quote) {
			if (p + 1 < end && !is_blank(p[1]))
				return NULL;
			quote = 0;
		} else if (quote == '"' && *p == '\\' && p + 1 < end) {
			p += unescape(word, p + 1, end);
		} else if (quote == '\'' && *p == '\\' && p + 1 < end &&
			   p[1] == '\'') {
			buf_addc(word, *++p);
		} else {
			buf_addc(word, *p);
		}
	}
	return quote ? NULL : p;
}

int resp_split(struct buf *out, const char *line, size_t len)
{
	const char *p = line, *end = line + len;
	struct buf word;
	int n = 0;

	buf_init(&word);
	while (p) {
		while (p < end && is_blank(*p))
			p++;
		if (p == end)
			break;
		buf_clear(&word);
		p = split_word(&word, p, end);
		if (p) {
			resp_add_bulk(out, word.data, word.len);
			n++;
		}
	}
	if (!buf_ok(&word))
		out->bad = 1;
	buf_release(&word);
	return p ? n : -1;
}
