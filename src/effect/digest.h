/*
 * digest: checksums in hex, by libcrypto (only digest.c includes its checksums).
 * Of text in one call, or of what comes in pieces. Knows no Lua.
 */
#ifndef OPSH_EFFECT_DIGEST_H
#define OPSH_EFFECT_DIGEST_H

#include <stddef.h>

#define DIGEST_HEX_MAX 129	/* of the longest, and its NUL */

/* SHA-256. */
void digest_hex(const void *data, size_t len, char hex[65]);
/* What stands before the first record of a run. */
void digest_genesis(const char *run, char hex[65]);

/* By an algorithm of digest_find, in one call. */
void digest_all(int algorithm, const void *data, size_t len,
		char hex[DIGEST_HEX_MAX]);

/* In pieces: "sha256", "sha512", "sha1", "md5". */
struct digest;
int digest_find(const char *name);	/* an algorithm, -1 unknown */
struct digest *digest_new(int algorithm);	/* NULL: out of memory */
void digest_add(struct digest *d, const void *data, size_t len);
void digest_end(struct digest *d, char hex[DIGEST_HEX_MAX]);
void digest_free(struct digest *d);	/* NULL allowed */

#endif
