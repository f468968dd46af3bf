/*
 * sha256: FIPS 180-4 with the SHA extensions of x86. Owns nothing but what it
 * found out about the processor. Must give what libmd gives, byte for byte:
 * tests/unit/test_digest.c compares them.
 */
#include "effect/sha256.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>
#include <immintrin.h>
#include <string.h>

#define BLOCK 64

static const uint32_t rounds[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5,
	0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
	0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
	0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5,
	0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* The state as the instructions want it: words a b e f, and c d g h. */
struct state {
	__m128i abef, cdgh;
};

__attribute__((target("sha,sse4.1")))
static void blocks(struct state *s, const uint8_t *p, size_t n)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL,
					    0x0405060700010203LL);
	__m128i w[16], abef, cdgh, k;
	int i;

	for (; n; n--, p += BLOCK) {
		abef = s->abef;
		cdgh = s->cdgh;
		for (i = 0; i < 16; i++) {	/* four rounds each */
			if (i < 4)
				w[i] = _mm_shuffle_epi8(_mm_loadu_si128(
					(const void *)(p + 16 * i)), swap);
			else
				w[i] = _mm_sha256msg2_epu32(_mm_add_epi32(
					_mm_sha256msg1_epu32(w[i - 4],
							     w[i - 3]),
					_mm_alignr_epi8(w[i - 1], w[i - 2], 4)),
					w[i - 1]);
			k = _mm_add_epi32(w[i], _mm_loadu_si128(
				(const void *)(rounds + 4 * i)));
			cdgh = _mm_sha256rnds2_epu32(cdgh, abef, k);
			k = _mm_shuffle_epi32(k, 0x0e);
			abef = _mm_sha256rnds2_epu32(abef, cdgh, k);
		}
		s->abef = _mm_add_epi32(s->abef, abef);
		s->cdgh = _mm_add_epi32(s->cdgh, cdgh);
	}
}

static int able(void)
{
	static int known = -1;
	unsigned a, b, c, d;

	if (known < 0)
		known = __builtin_cpu_supports("sse4.1") &&
			__get_cpuid_count(7, 0, &a, &b, &c, &d) &&
			(b & bit_SHA) != 0;
	return known;
}

static void put_word(uint8_t *out, uint32_t w)
{
	out[0] = (uint8_t)(w >> 24);
	out[1] = (uint8_t)(w >> 16);
	out[2] = (uint8_t)(w >> 8);
	out[3] = (uint8_t)w;
}

int sha256_fast(const void *data, size_t len, uint8_t sum[32])
{
	uint8_t tail[2 * BLOCK] = { 0 };
	uint32_t x[4], y[4];	/* f e b a, h g d c */
	size_t whole = len / BLOCK, rest = len % BLOCK;
	size_t end = rest + 9 > BLOCK ? 2 : 1;
	struct state s;

	if (!able())
		return 0;
	s.abef = _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f,
			       (int)0x9b05688c);
	s.cdgh = _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab,
			       0x5be0cd19);
	blocks(&s, data, whole);
	if (rest)
		memcpy(tail, (const uint8_t *)data + len - rest, rest);
	tail[rest] = 0x80;
	put_word(tail + end * BLOCK - 8, (uint32_t)((uint64_t)len >> 29));
	put_word(tail + end * BLOCK - 4, (uint32_t)(len << 3));
	blocks(&s, tail, end);
	memcpy(x, &s.abef, sizeof x);
	memcpy(y, &s.cdgh, sizeof y);
	put_word(sum, x[3]);
	put_word(sum + 4, x[2]);
	put_word(sum + 8, y[3]);
	put_word(sum + 12, y[2]);
	put_word(sum + 16, x[1]);
	put_word(sum + 20, x[0]);
	put_word(sum + 24, y[1]);
	put_word(sum + 28, y[0]);
	return 1;
}

#else

int sha256_fast(const void *data, size_t len, uint8_t sum[32])
{
	(void)data;
	(void)len;
	(void)sum;
	return 0;
}

#endif
