/*
 * Checksums against the examples of FIPS 180-4 and RFC 1321, and of pieces
 * against the whole, for every length around the ends of blocks. Must not test
 * the library beyond that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "effect/digest.h"

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

/* What comes in pieces has the sum of the whole, wherever it is cut. */
static void test_pieces(void **state)
{
	char data[300], whole[65], hex[DIGEST_HEX_MAX];
	struct digest *d;
	size_t i, len, cut;

	(void)state;
	for (i = 0; i < sizeof data; i++)
		data[i] = (char)(i * 131 + (i >> 3) * 29);
	for (len = 0; len <= sizeof data; len += 7) {
		digest_hex(data, len, whole);
		for (cut = 0; cut <= len; cut += 5) {
			d = digest_new(digest_find("sha256"));
			assert_non_null(d);
			digest_add(d, data, cut);
			digest_add(d, data + cut, len - cut);
			digest_end(d, hex);
			assert_string_equal(hex, whole);
			digest_free(d);
		}
	}
}

/* "abc" by the others: RFC 1321, FIPS 180-4. */
static void test_others(void **state)
{
	static const struct {
		const char *name, *hex;
	} rows[] = {
		{ "md5", "900150983cd24fb0d6963f7d28e17f72" },
		{ "sha1", "a9993e364706816aba3e25717850c26c9cd0d89d" },
		{ "sha512", "ddaf35a193617abacc417349ae204131"
			"12e6fa4e89a97ea20a9eeee64b55d39a"
			"2192992a274fc1a836ba3c23a3feebbd"
			"454d4423643ce80e2a9ac94fa54ca49f" },
	};
	char hex[DIGEST_HEX_MAX];
	struct digest *d;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof rows / sizeof *rows; i++) {
		d = digest_new(digest_find(rows[i].name));
		assert_non_null(d);
		digest_add(d, "abc", 3);
		digest_end(d, hex);
		assert_string_equal(hex, rows[i].hex);
		digest_free(d);
	}
	assert_int_equal(digest_find("crc32"), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
