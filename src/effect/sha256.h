/*
 * sha256: SHA-256 by the processor's own instructions, where it has them. Each
 * read leaves a record in the chain, so this stands on the path of every call.
 */
#ifndef OPSH_EFFECT_SHA256_H
#define OPSH_EFFECT_SHA256_H

#include <stddef.h>
#include <stdint.h>

/* 1 and the sum, or 0: this processor can't. */
int sha256_fast(const void *data, size_t len, uint8_t sum[32]);

#endif
