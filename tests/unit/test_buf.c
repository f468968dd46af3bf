/*
 * buf: growth, formatting, what is left after an allocation failed, and the
 * JSON strings of arbitrary bytes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"

static void empty_is_a_string(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	assert_string_equal(b.data, "");
	assert_int_equal(b.len, 0);
	assert_true(buf_ok(&b));
	buf_add(&b, NULL, 0);
	assert_string_equal(b.data, "");
	buf_release(&b);
	buf_release(&b);
	assert_string_equal(b.data, "");
}

static void grows(void **state)
{
	struct buf b = BUF_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < 100000; i++)
		buf_addc(&b, (char)('a' + i % 26));
	assert_int_equal(b.len, 100000);
	assert_int_equal(strlen(b.data), 100000);
	for (i = 0; i < b.len; i += 997)
		assert_int_equal(b.data[i], 'a' + (int)(i % 26));
	buf_clear(&b);
	assert_int_equal(b.len, 0);
	assert_true(b.cap > 100000);
	assert_string_equal(b.data, "");
	buf_release(&b);
}

static void holds_nul(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	buf_add(&b, "a\0b", 3);
	buf_adds(&b, "c");
	assert_int_equal(b.len, 4);
	assert_memory_equal(b.data, "a\0bc", 5);
	buf_release(&b);
}

static void formats(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	buf_addf(&b, "%s=%d", "n", 5);
	buf_addf(&b, "%0500d", 1);
	assert_int_equal(b.len, 503);
	assert_memory_equal(b.data, "n=500000", 8);
	assert_int_equal(b.data[502], '1');
	buf_release(&b);
}

static void consumes(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	buf_consume(&b, 0);
	buf_adds(&b, "abcdef");
	buf_consume(&b, 2);
	assert_string_equal(b.data, "cdef");
	buf_consume(&b, 4);
	assert_string_equal(b.data, "");
	buf_release(&b);
}

static void swaps(void **state)
{
	struct buf a = BUF_INIT, b = BUF_INIT;

	(void)state;
	buf_adds(&a, "one");
	buf_swap(&a, &b);
	assert_string_equal(a.data, "");
	assert_string_equal(b.data, "one");
	buf_release(&a);
	buf_release(&b);
}

static void refuses_the_impossible(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	buf_adds(&b, "kept");
	assert_null(buf_reserve(&b, SIZE_MAX - 2));
	assert_false(buf_ok(&b));
	buf_adds(&b, "ignored");
	assert_string_equal(b.data, "kept");
	buf_clear(&b);
	assert_true(buf_ok(&b));
	buf_release(&b);
}

#ifdef OPSH_TEST
static void survives_lack_of_memory(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	buf_adds(&b, "kept");
	mem_fail_at(1);
	buf_addf(&b, "%0200d", 1);
	mem_fail_at(0);
	assert_false(buf_ok(&b));
	buf_adds(&b, "ignored");
	assert_string_equal(b.data, "kept");
	buf_release(&b);
}
#endif

static void json(const char *in, size_t len, const char *want)
{
	struct buf b = BUF_INIT;

	buf_add_json(&b, in, len);
	assert_string_equal(b.data, want);
	buf_release(&b);
}

#define JSON(in, want) json(in, sizeof in - 1, want)

static void json_strings(void **state)
{
	(void)state;
	JSON("", "\"\"");
	JSON("plain", "\"plain\"");
	JSON("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
	JSON("\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"");
	JSON("\0\x1b\x7f", "\"\\u0000\\u001b\\u007f\"");
	JSON("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
	     "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\"");
	/* invalid: alone, cut off, overlong, surrogate */
	JSON("\xff" "a", "\"\\udcffa\"");
	JSON("\xe2\x82", "\"\\udce2\\udc82\"");
	JSON("\xc0\x80", "\"\\udcc0\\udc80\"");
	JSON("\xed\xa0\x80", "\"\\udced\\udca0\\udc80\"");
}

/* As printf writes them. */
static void numbers(void **state)
{
	static const long long ints[] = { 0, 7, -7, 10, 1000000, -90,
					  9223372036854775807LL,
					  -9223372036854775807LL - 1 };
	static const double micros[] = { 0, 1, -1.5, 0.000001, 13178.058722,
					 1e-9, 0.1234564, 999999.999999, 59.9999999,
					 123456789.25, -0.25, 2e12, -1e300 };
	struct buf b = BUF_INIT;
	char text[400];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof ints / sizeof *ints; i++) {
		buf_clear(&b);
		buf_add_int(&b, ints[i]);
		snprintf(text, sizeof text, "%lld", ints[i]);
		assert_string_equal(b.data, text);
	}
	for (i = 0; i < sizeof micros / sizeof *micros; i++) {
		buf_clear(&b);
		buf_add_micros(&b, micros[i]);
		snprintf(text, sizeof text, "%.6f", micros[i]);
		assert_string_equal(b.data, text);
	}
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_is_a_string),
		cmocka_unit_test(grows),
		cmocka_unit_test(holds_nul),
		cmocka_unit_test(formats),
		cmocka_unit_test(numbers),
		cmocka_unit_test(consumes),
		cmocka_unit_test(swaps),
		cmocka_unit_test(refuses_the_impossible),
#ifdef OPSH_TEST
		cmocka_unit_test(survives_lack_of_memory),
#endif
		cmocka_unit_test(json_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
