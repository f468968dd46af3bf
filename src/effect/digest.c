/*
 * digest: checksums, by the low level of OpenSSL's libcrypto, linked statically:
 * it uses the processor's SHA instructions and costs a start nothing, where the
 * shared library costs its load time. A table of algorithms, so that one more is
 * one row; owns the state of a checksum that is being made.
 */
#define OPENSSL_SUPPRESS_DEPRECATED	/* the low level is what is small */
#include "effect/digest.h"

#include <openssl/md5.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"

union context {
	SHA256_CTX sha256;
	SHA512_CTX sha512;
	SHA_CTX sha1;
	MD5_CTX md5;
};

struct digest {
	int algorithm;
	union context ctx;
};

static void to_hex(const uint8_t *sum, size_t len, char *hex)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < len; i++) {
		hex[2 * i] = digits[sum[i] >> 4];
		hex[2 * i + 1] = digits[sum[i] & 15];
	}
	hex[2 * len] = '\0';
}

#define ALGORITHM(name, Prefix) \
static void name##_init(union context *c) { Prefix##_Init(&c->name); } \
static void name##_add(union context *c, const void *data, size_t len) \
{ \
	Prefix##_Update(&c->name, data, len); \
} \
static void name##_end(union context *c, uint8_t *sum) \
{ \
	Prefix##_Final(sum, &c->name); \
}
ALGORITHM(sha256, SHA256)
ALGORITHM(sha512, SHA512)
ALGORITHM(sha1, SHA1)
ALGORITHM(md5, MD5)

static const struct {
	const char *name;
	size_t len;
	void (*init)(union context *c);
	void (*add)(union context *c, const void *data, size_t len);
	void (*end)(union context *c, uint8_t *sum);
} algorithms[] = {
	{ "sha256", SHA256_DIGEST_LENGTH, sha256_init, sha256_add, sha256_end },
	{ "sha512", SHA512_DIGEST_LENGTH, sha512_init, sha512_add, sha512_end },
	{ "sha1", SHA_DIGEST_LENGTH, sha1_init, sha1_add, sha1_end },
	{ "md5", MD5_DIGEST_LENGTH, md5_init, md5_add, md5_end },
};

void digest_hex(const void *data, size_t len, char hex[65])
{
	char text[DIGEST_HEX_MAX];

	digest_all(0, data, len, text);		/* the first row: SHA-256 */
	memcpy(hex, text, 65);
}

void digest_genesis(const char *run, char hex[65])
{
	char text[128];
	int n = snprintf(text, sizeof text, "opsh journal v1 %s", run);

	digest_hex(text, n > 0 ? (size_t)n : 0, hex);
}

int digest_find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
		if (!strcmp(algorithms[i].name, name))
			return (int)i;
	return -1;
}

struct digest *digest_new(int algorithm)
{
	struct digest *d = mem_zalloc(sizeof *d);

	if (!d)
		return NULL;
	d->algorithm = algorithm;
	algorithms[algorithm].init(&d->ctx);
	return d;
}

void digest_add(struct digest *d, const void *data, size_t len)
{
	algorithms[d->algorithm].add(&d->ctx, data, len);
}

void digest_end(struct digest *d, char hex[DIGEST_HEX_MAX])
{
	uint8_t sum[SHA512_DIGEST_LENGTH];

	algorithms[d->algorithm].end(&d->ctx, sum);
	to_hex(sum, algorithms[d->algorithm].len, hex);
}

void digest_free(struct digest *d)
{
	mem_free(d);
}

void digest_all(int algorithm, const void *data, size_t len,
		char hex[DIGEST_HEX_MAX])
{
	struct digest d = { .algorithm = algorithm };

	algorithms[algorithm].init(&d.ctx);
	digest_add(&d, data, len);
	digest_end(&d, hex);
}
