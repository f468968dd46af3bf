/*
 * keys: bytes from a terminal cut into pieces that an editor can take without
 * waiting for more: a character, a key's whole sequence, a paste. Pure: reads
 * nothing, and takes any bytes.
 */
#ifndef OPSH_REPL_KEYS_H
#define OPSH_REPL_KEYS_H

#include <stddef.h>

#include "core/buf.h"

struct keys {
	struct buf input;	/* owned */
	size_t taken;		/* of input */
	struct buf paste;	/* owned: the text of one that is under way */
	int pasting;
	int after_cr;		/* within the paste */
};
#define KEYS_INIT { BUF_INIT, 0, BUF_INIT, 0, 0 }

enum keys_piece { KEYS_NONE, KEYS_TYPED, KEYS_PASTE };

void keys_release(struct keys *k);
void keys_clear(struct keys *k);
void keys_add(struct keys *k, const char *data, size_t len);
/* The next whole piece; `data` is valid until the next call of any of these. A
 * paste has its lines ended by \n, and no NUL. A byte that is part of no
 * character is a piece of its own. */
enum keys_piece keys_next(struct keys *k, const char **data, size_t *len);
/* After KEYS_NONE: is there the start of a key? Escape alone is one too, so it
 * is waited for only KEYS_WAIT seconds; then the rest is taken as it is. */
#define KEYS_WAIT 0.05
int keys_cut(const struct keys *k);
size_t keys_rest(struct keys *k, const char **data);

#endif
