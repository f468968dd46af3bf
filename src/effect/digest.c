/*
 * digest: the one user of libmd.
 */
#include "effect/digest.h"

#include <sha2.h>
#include <stdio.h>

void digest_hex(const void *data, size_t len, char hex[65])
{
	SHA2_CTX ctx;
	uint8_t sum[SHA256_DIGEST_LENGTH];
	static const char digits[] = "0123456789abcdef";
	size_t i;

	SHA256Init(&ctx);
	SHA256Update(&ctx, data, len);
	SHA256Final(sum, &ctx);
	for (i = 0; i < sizeof sum; i++) {
		hex[2 * i] = digits[sum[i] >> 4];
		hex[2 * i + 1] = digits[sum[i] & 15];
	}
	hex[64] = '\0';
}

void digest_genesis(const char *run, char hex[65])
{
	char text[128];
	int n = snprintf(text, sizeof text, "opsh journal v1 %s", run);

	digest_hex(text, n > 0 ? (size_t)n : 0, hex);
}
