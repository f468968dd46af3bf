/*
 * digest: SHA-256 in hex, over libmd (the only file that includes it).
 */
#ifndef OPSH_EFFECT_DIGEST_H
#define OPSH_EFFECT_DIGEST_H

#include <stddef.h>

void digest_hex(const void *data, size_t len, char hex[65]);
/* What stands before the first record of a run. */
void digest_genesis(const char *run, char hex[65]);

#endif
