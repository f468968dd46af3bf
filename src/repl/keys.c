/*
 * keys: where a character, a key's sequence and a paste end. Owns what it was
 * given until it was taken. Must not wait.
 */
#include "repl/keys.h"

#include <stdint.h>
#include <string.h>

#include "core/utf8.h"

#define PASTE_BEGIN "\x1b[200~"
#define PASTE_END "\x1b[201~"
#define MARK 6			/* bytes of either */
#define KEY_MAX 32		/* no key's sequence is longer */

void keys_release(struct keys *k)
{
	keys_clear(k);
	buf_release(&k->input);
	buf_release(&k->paste);
}

void keys_clear(struct keys *k)
{
	buf_clear(&k->input);
	buf_clear(&k->paste);
	k->taken = 0;
	k->pasting = 0;
}

void keys_add(struct keys *k, const char *data, size_t len)
{
	if (k->taken) {
		buf_consume(&k->input, k->taken);
		k->taken = 0;
	}
	buf_add(&k->input, data, len);
	if (!buf_ok(&k->input))
		keys_clear(k);		/* no memory: what was typed is lost */
}

/* The length of the key at s; 0: more must come. */
static size_t key_length(const unsigned char *s, size_t len)
{
	size_t n, i;
	uint32_t cp;

	if (s[0] >= 0xc2 && s[0] <= 0xf4) {
		n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
		for (i = 1; i < n && i < len; i++)
			if ((s[i] & 0xc0) != 0x80)
				return 1;	/* no UTF-8: byte by byte */
		if (len < n)
			return 0;
		return utf8_next((const char *)s, n, &cp) ? n : 1;
	}
	if (s[0] != 0x1b)
		return 1;
	if (len < 2)
		return 0;
	if (s[1] == 'O')
		return len < 3 ? 0 : 3;
	if (s[1] != '[')
		return 1;
	for (i = 2; i < len && i < KEY_MAX; i++)
		if (s[i] >= 0x40 && s[i] <= 0x7e)
			return i + 1;
	return i < KEY_MAX ? 0 : 1;
}

/* Adds to the paste as one text: \r and \r\n are ends of lines. */
static void paste_add(struct keys *k, const char *data, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (data[i] != '\0' && !(data[i] == '\n' && k->after_cr))
			buf_addc(&k->paste, data[i] == '\r' ? '\n' : data[i]);
		k->after_cr = data[i] == '\r';
	}
}

/* Takes from the input what belongs to the paste; 1 when it has ended. */
static int paste_take(struct keys *k)
{
	const char *s = k->input.data + k->taken;
	size_t len = k->input.len - k->taken, keep;
	const char *end = len ? memmem(s, len, PASTE_END, MARK) : NULL;

	if (end) {
		paste_add(k, s, (size_t)(end - s));
		k->taken += (size_t)(end - s) + MARK;
		return 1;
	}
	/* the start of its end may be at the end */
	keep = len < MARK ? len : MARK;
	paste_add(k, s, len - keep);
	k->taken += len - keep;
	return 0;
}

int keys_cut(const struct keys *k)
{
	return !k->pasting && k->taken < k->input.len;
}

size_t keys_rest(struct keys *k, const char **data)
{
	size_t n = k->pasting ? 0 : k->input.len - k->taken;

	*data = k->input.data + k->taken;
	k->taken += n;
	return n;
}

enum keys_piece keys_next(struct keys *k, const char **data, size_t *len)
{
	size_t n;

	if (!k->pasting && k->taken == k->input.len) {
		buf_clear(&k->input);
		k->taken = 0;
		return KEYS_NONE;
	}
	if (!k->pasting) {
		n = key_length((unsigned char *)k->input.data + k->taken,
			       k->input.len - k->taken);
		*data = k->input.data + k->taken;
		*len = n;
		k->taken += n;
		if (n != MARK || memcmp(*data, PASTE_BEGIN, MARK))
			return n ? KEYS_TYPED : KEYS_NONE;
		k->pasting = 1;
		k->after_cr = 0;
		buf_clear(&k->paste);
	}
	if (!paste_take(k))
		return KEYS_NONE;
	k->pasting = 0;
	*data = k->paste.data;
	*len = buf_ok(&k->paste) ? k->paste.len : 0;
	return KEYS_PASTE;
}
