/*
 * SHA-256 by the processor against FIPS 180-4's examples and against libmd, for
 * every length around the ends of blocks. On a processor without the
 * instructions the examples go through libmd, and that is all there is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sha2.h>

#include "effect/digest.h"
#include "effect/sha256.h"

static void test_examples(void **state)
{
	static char million[1000000];
	char hex[65];

	(void)state;
	digest_hex("", 0, hex);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb924"
			    "27ae41e4649b934ca495991b7852b855");
	digest_hex("abc", 3, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223"
			    "b00361a396177a9cb410ff61f20015ad");
	digest_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		   56, hex);
	assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039"
			    "a33ce45964ff2167f6ecedd419db06c1");
	memset(million, 'a', sizeof million);
	digest_hex(million, sizeof million, hex);
	assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67"
			    "f1809a48a497200e046d39ccc7112cd0");
}

static void test_like_libmd(void **state)
{
	uint8_t data[700], fast[32], plain[32];
	SHA2_CTX ctx;
	size_t i, len, from;

	(void)state;
	for (i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 131 + (i >> 3) * 29);
	if (!sha256_fast(data, 0, fast)) {
		printf("no SHA instructions here\n");
		return;
	}
	for (from = 0; from < 3; from++)
		for (len = 0; len + from <= sizeof data; len++) {
			SHA256Init(&ctx);
			SHA256Update(&ctx, data + from, len);
			SHA256Final(plain, &ctx);
			assert_int_equal(sha256_fast(data + from, len, fast), 1);
			assert_memory_equal(fast, plain, sizeof fast);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_like_libmd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
