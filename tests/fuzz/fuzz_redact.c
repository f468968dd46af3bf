/*
 * fuzz_redact: the first bytes choose the secrets and how the text is cut; the
 * rest is text into which the secrets are spliced in their encodings. The
 * output must be what a naive masker writes, no form of a secret may occur in
 * it, and a stream fed in random cuts must say what the whole says. Linked
 * with redact, encodings and core.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "effect/encodings.h"
#include "effect/redact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_FORMS 2000

static struct buf forms[MAX_FORMS];
static size_t n_forms;
static int lines;	/* a secret has lines, masked alone too: no model here */

static int keep_form(const struct buf *form)
{
	if (n_forms < MAX_FORMS && form->len >= 6) {
		buf_init(&forms[n_forms]);
		buf_add(&forms[n_forms++], form->data, form->len);
	}
	return 0;
}

static void drop_forms(void)
{
	while (n_forms)
		buf_release(&forms[--n_forms]);
}

/* A secret that holds the mark's brackets may be made by a mark and its
 * neighbours: nothing can be promised for it. */
static void add_secret(const uint8_t *s, size_t len)
{
	while (len && strchr(" \t\r\n", *s) && *s)
		s++, len--;
	while (len && s[len - 1] && strchr(" \t\r\n", s[len - 1]))
		len--;
	if (memchr(s, '[', len) || memchr(s, ']', len))
		return;
	lines |= !!memchr(s, '\n', len);
	if (!redact_add((const char *)s, len) &&
	    encodings_each((const char *)s, len, keep_form))
		abort();
}

static void fill_text(struct buf *text, const uint8_t *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (p[i] >= 0xc0 && n_forms) {	/* a form, maybe cut short */
			const struct buf *f =
				&forms[((p[i] & 0x1f) * 37u +
					(i + 1 < len ? p[i + 1] : 0)) % n_forms];

			buf_add(text, f->data,
				p[i] & 0x20 ? f->len : f->len / 2);
			i++;
		} else {
			buf_addc(text, (char)p[i]);
		}
	}
}

/* The model: a flag for each masked byte, one for where a mark begins. */
static void check_model(const struct buf *text, const struct buf *whole)
{
	struct buf want = BUF_INIT;
	char *masked = calloc(1, text->len + 1);
	char *joined = calloc(1, text->len + 1);
	size_t i, k, at;
	const char *hit;

	for (i = 0; i < n_forms; i++) {
		for (at = 0; at < text->len; at++) {
			hit = memmem(text->data + at, text->len - at,
				     forms[i].data, forms[i].len);
			if (!hit)
				break;
			at = (size_t)(hit - text->data);
			memset(masked + at, 1, forms[i].len);
			for (k = 1; k < forms[i].len; k++)
				joined[at + k] = 1;	/* with the one before */
		}
	}
	for (i = 0; i < text->len; i++) {
		if (!masked[i])
			buf_addc(&want, text->data[i]);
		else if (!joined[i])
			buf_adds(&want, REDACT_MARK);
	}
	if (want.len != whole->len || memcmp(want.data, whole->data, want.len))
		abort();
	free(masked);
	free(joined);
	buf_release(&want);
}

static void check_cuts(const struct buf *text, const struct buf *whole,
		       uint32_t seed)
{
	struct redact_stream s;
	struct buf out = BUF_INIT;
	size_t at = 0, n;

	redact_stream_init(&s);
	while (at < text->len) {
		seed = seed * 1664525u + 1013904223u;
		n = (seed >> 16) % 23;
		if (n > text->len - at)
			n = text->len - at;
		redact_stream_feed(&s, &out, text->data + at, n);
		at += n;
		if (out.len + s.held.len > text->len * 9 + 64)
			abort();
	}
	redact_stream_flush(&s, &out);
	if (out.len != whole->len || memcmp(out.data, whole->data, out.len))
		abort();
	redact_stream_release(&s);
	buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf text = BUF_INIT, out = BUF_INIT;
	size_t i, n, secrets;
	uint32_t seed;

	if (size < 8)
		return 0;
	lines = 0;
	seed = (uint32_t)data[0] << 8 | data[1];
	secrets = data[2] % 4;
	data += 3;
	size -= 3;
	while (secrets-- && size > 9) {
		n = 8 + data[0] % 24;
		if (n > size - 1)
			n = size - 1;
		add_secret(data + 1, n);
		data += n + 1;
		size -= n + 1;
	}
	fill_text(&text, data, size);
	redact_to(&out, text.data, text.len);
	for (i = 0; i < n_forms; i++)
		if (memmem(out.data, out.len, forms[i].data, forms[i].len))
			abort();
	if (!redact_any() && (out.len != text.len ||
			      memcmp(out.data, text.data, out.len)))
		abort();
	if (!lines)
		check_model(&text, &out);
	check_cuts(&text, &out, seed);
	buf_release(&text);
	buf_release(&out);
	drop_forms();
	redact_release();
	return 0;
}
