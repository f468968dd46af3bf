/*
 * fuzz: what is typed and pasted at a terminal. The first byte chooses the cuts.
 * Properties: any cuts give the same keys and pastes as the whole; every byte
 * that is no mark of a paste comes out once; nothing is read outside.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "repl/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
	if (!ok)
		__builtin_trap();
}

/* Appends each piece, with its kind and length before it. */
static void take(struct keys *k, struct buf *out, size_t *typed)
{
	enum keys_piece piece;
	const char *data;
	size_t n;

	while ((piece = keys_next(k, &data, &n)) != KEYS_NONE) {
		check(piece == KEYS_PASTE || (n > 0 && n <= 32));
		check(piece != KEYS_PASTE || !memchr(data, '\0', n));
		buf_addf(out, "%d:%zu:", piece, n);
		buf_add(out, data, n);
		if (piece == KEYS_TYPED)
			*typed += n;
	}
}

static void run(const char *data, size_t len, size_t step, struct buf *out)
{
	struct keys k = KEYS_INIT;
	size_t at, n, typed = 0;
	const char *rest;

	for (at = 0; at < len; at += step) {
		n = step < len - at ? step : len - at;
		/* a block of just that size: the sanitizer looks */
		rest = memcpy(malloc(n), data + at, n);
		keys_add(&k, rest, n);
		free((void *)rest);
		take(&k, out, &typed);
	}
	n = keys_rest(&k, &rest);
	buf_add(out, rest, n);
	check(typed + n <= len);
	check(!keys_cut(&k));
	keys_release(&k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = BUF_INIT, cut = BUF_INIT;

	if (!size)
		return 0;
	run((const char *)data + 1, size - 1, size, &whole);
	run((const char *)data + 1, size - 1, 1 + data[0] % 16, &cut);
	check(whole.len == cut.len && !memcmp(whole.data, cut.data, cut.len));
	buf_release(&whole);
	buf_release(&cut);
	return 0;
}
