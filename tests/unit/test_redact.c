/*
 * redact: each encoding, each alignment, overlaps, streams cut anywhere, what
 * is held back, what is refused, and that lack of memory never unmasks.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "effect/redact.h"

#define SECRET "p@ss w\xc3\xb6rd/\"1'\\<&"

static int teardown(void **state)
{
	(void)state;
	redact_release();
	return 0;
}

static void add(const char *s)
{
	assert_int_equal(redact_add(s, strlen(s)), 0);
}

static void check(const char *in, const char *want)
{
	struct buf b = BUF_INIT;

	redact_to(&b, in, strlen(in));
	assert_string_equal(b.data, want);
	buf_release(&b);
}

static void nothing_set(void **state)
{
	struct redact_stream s;
	struct buf b = BUF_INIT;

	(void)state;
	assert_false(redact_any());
	check("anything", "anything");
	redact_stream_init(&s);
	redact_stream_feed(&s, &b, "any", 3);
	assert_string_equal(b.data, "any");
	assert_int_equal(s.held.len, 0);
	redact_stream_flush(&s, &b);
	redact_stream_release(&s);
	buf_release(&b);
}

static void plain(void **state)
{
	(void)state;
	add("hunter2hunter2");
	assert_true(redact_any());
	check("hunter2hunter2", "[secret]");
	check("a hunter2hunter2 b", "a [secret] b");
	check("hunter2hunter", "hunter2hunter");
	check("hunter2hunter2hunter2hunter2", "[secret]");
	check("xhunter2hunter2yhunter2hunter2z", "x[secret]y[secret]z");
}

static void each_encoding(void **state)
{
	static const struct { const char *in, *want; } cases[] = {
		{ "-" SECRET "-", "-[secret]-" },
		/* base64 of the secret alone, behind one byte, behind two */
		{ "cEBzcyB3w7ZyZC8iMSdcPCY=", "[secret]Y=" },
		{ "eHBAc3Mgd8O2cmQvIjEnXDwm", "eH[secret]" },
		{ "eHhwQHNzIHfDtnJkLyIxJ1w8Jg==", "eHh[secret]g==" },
		/* percent: strict, with the slash, lower case, plus, all */
		{ "p%40ss%20w%C3%B6rd%2F%221%27%5C%3C%26", "[secret]" },
		{ "p%40ss%20w%C3%B6rd/%221%27%5C%3C%26", "[secret]" },
		{ "p%40ss%20w%c3%b6rd%2f%221%27%5c%3c%26", "[secret]" },
		{ "p%40ss+w%C3%B6rd%2F%221%27%5C%3C%26", "[secret]" },
		{ "%70%40%73%73%20%77%C3%B6%72%64%2F%22%31%27%5C%3C%26",
		  "[secret]" },
		/* JSON: ours, ASCII only, with the slash, safe in HTML */
		{ "p@ss w\xc3\xb6rd/\\\"1'\\\\<&", "[secret]" },
		{ "p@ss w\\u00f6rd/\\\"1'\\\\<&", "[secret]" },
		{ "p@ss w\\u00F6rd/\\\"1'\\\\<&", "[secret]" },
		{ "p@ss w\xc3\xb6rd\\/\\\"1'\\\\<&", "[secret]" },
		{ "p@ss w\xc3\xb6rd/\\\"1'\\\\\\u003c\\u0026", "[secret]" },
		/* SQL literal; as Redis shows a string */
		{ "p@ss w\xc3\xb6rd/\"1''\\<&", "[secret]" },
		{ "p@ss w\\xc3\\xb6rd/\\\"1'\\\\<&", "[secret]" },
		/* hex, as of a bytea */
		{ "\\x704073732077c3b672642f2231275c3c26", "\\x[secret]" },
		{ "704073732077C3B672642F2231275C3C26", "[secret]" },
	};
	size_t i;

	(void)state;
	add(SECRET);
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		check(cases[i].in, cases[i].want);
}

static void base64_alphabets(void **state)
{
	(void)state;
	add("\xfb\xff\xbe\xfb\xff\xbe\xfb\xff\xbe");
	check("+/+++/+++/++", "[secret]");
	check("-_---_---_--", "[secret]");
}

static void binary_in_json(void **state)
{
	(void)state;
	/* bytes that are no UTF-8, as buf_add_json writes them */
	add("key\xff\xfekey!");
	check("\"key\\udcff\\udcfekey!\"", "\"[secret]\"");
	assert_int_equal(redact_add("nul\0nul\0nul", 11), 0);
	check("\"nul\\u0000nul\\u0000nul\"", "\"[secret]\"");
}

static void overlaps(void **state)
{
	(void)state;
	add("abcdefghij");
	add("ghijklmnop");
	add("bcdefghi");
	check("abcdefghijklmnop", "[secret]");
	check("abcdefghijabcdefghij", "[secret][secret]");
	check("xbcdefghix", "x[secret]x");
	check("abcdefghiX", "a[secret]X");
	check("abcdefghabcdefghij", "abcdefgh[secret]");
}

static void blanks_and_lines(void **state)
{
	(void)state;
	add("  from-a-file\n");
	check("got from-a-file.", "got [secret].");
	add("-----BEGIN KEY-----\nMIIEvQIBADAN\nshort\nBgkqhkiG9w0B\n");
	check("  MIIEvQIBADAN", "  [secret]");
	check("> BgkqhkiG9w0B", "> [secret]");
	check("-----BEGIN KEY-----", "-----BEGIN KEY-----");
	check("short", "short");
}

static void refused(void **state)
{
	static const char *const no[] = {
		"", "a", "true", "1234567", "password", "PASSWORD",
		"localhost", "--------", "       x   ", "[secret]",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof no / sizeof no[0]; i++)
		assert_int_equal(redact_add(no[i], strlen(no[i])), 1);
	assert_false(redact_any());
	check("password true 1234567", "password true 1234567");
}

/* Feeds in pieces of `step`; returns what came out. */
static void stream(struct buf *b, const char *in, size_t step)
{
	struct redact_stream s;
	size_t i, n, len = strlen(in);

	redact_stream_init(&s);
	for (i = 0; i < len; i += n) {
		n = len - i < step ? len - i : step;
		redact_stream_feed(&s, b, in + i, n);
	}
	redact_stream_flush(&s, b);
	assert_int_equal(s.held.len, 0);
	redact_stream_release(&s);
}

static void any_cut(void **state)
{
	static const char in[] = "abcdefghi abcdefghijklmnop ghijklm "
		"YWJjZGVmZ2hpag== abcdefghijabcdefghij 61626364656667686970 x";
	struct buf whole = BUF_INIT, b = BUF_INIT;
	size_t step;

	(void)state;
	add("abcdefghij");
	add("ghijklmnop");
	redact_to(&whole, in, strlen(in));
	assert_null(strstr(whole.data, "abcdefghij"));
	for (step = 1; step < sizeof in; step++) {
		buf_clear(&b);
		stream(&b, in, step);
		assert_string_equal(b.data, whole.data);
	}
	buf_release(&whole);
	buf_release(&b);
}

static void holds_no_more_than_it_must(void **state)
{
	struct redact_stream s;
	struct buf b = BUF_INIT;

	(void)state;
	add("secret-token-1");
	redact_stream_init(&s);
	redact_stream_feed(&s, &b, "done.\n", 6);
	assert_string_equal(b.data, "done.\n");
	redact_stream_feed(&s, &b, "is", 2);
	assert_string_equal(b.data, "done.\ni");
	redact_stream_feed(&s, &b, "ecret-", 6);
	assert_string_equal(b.data, "done.\ni");
	redact_stream_feed(&s, &b, "X", 1);
	assert_string_equal(b.data, "done.\nisecret-X");
	/* whole: the mark comes at once, nothing is held */
	redact_stream_feed(&s, &b, " secret-token-1", 15);
	assert_string_equal(b.data, "done.\nisecret-X [secret]");
	assert_int_equal(s.held.len, 0);
	redact_stream_flush(&s, &b);
	assert_string_equal(b.data, "done.\nisecret-X [secret]");
	redact_stream_release(&s);
	buf_release(&b);
}

static void added_while_streaming(void **state)
{
	struct redact_stream s;
	struct buf b = BUF_INIT;

	(void)state;
	add("first-secret");
	redact_stream_init(&s);
	redact_stream_feed(&s, &b, "first-sec", 9);
	add("first-sector-9");
	redact_stream_feed(&s, &b, "tor-9 first-secret", 18);
	redact_stream_flush(&s, &b);
	assert_string_equal(b.data, "[secret] [secret]");
	redact_stream_feed(&s, &b, " first", 6);
	redact_release();
	redact_stream_feed(&s, &b, "-x", 2);
	assert_string_equal(b.data, "[secret] [secret] first-x");
	redact_stream_release(&s);
	buf_release(&b);
}

static void many_secrets(void **state)
{
	struct buf in = BUF_INIT, out = BUF_INIT;
	char value[40];
	int i;

	(void)state;
	for (i = 0; i < 200; i++) {
		snprintf(value, sizeof value, "token-%08x-%08x", i * 7919,
			 i * 104729);
		add(value);
		buf_addf(&in, "%s ", value);
	}
	redact_to(&out, in.data, in.len);
	assert_int_equal(out.len, 200 * strlen(REDACT_MARK " "));
	buf_release(&in);
	buf_release(&out);
}

static void long_secret(void **state)
{
	struct buf key = BUF_INIT, out = BUF_INIT;
	int i;

	(void)state;
	for (i = 0; i < 4000; i++)
		buf_addc(&key, (char)(33 + (i * i + i / 7) % 90));
	assert_int_equal(redact_add(key.data, key.len), 0);
	redact_to(&out, key.data, key.len);
	assert_string_equal(out.data, REDACT_MARK);
	buf_clear(&out);
	redact_to(&out, key.data, key.len - 1);
	assert_int_equal(out.len, key.len - 1);
	buf_release(&key);
	buf_release(&out);
}

#ifdef OPSH_TEST
/* Every allocation fails once: text may be lost, not unmasked. */
static void lack_of_memory_never_unmasks(void **state)
{
	static const char in[] = "x secret-token-1 y secret-token-1";
	struct redact_stream s;
	struct buf b = BUF_INIT;
	long n;
	int step, lost;

	(void)state;
	for (n = 1; n < 20; n++) {
		mem_fail_at(n);
		lost = redact_add("secret-token-1", 14);
		mem_fail_at(0);
		assert_true(lost <= 0);
		redact_release();
	}
	add("secret-token-1");
	for (n = 1; n < 40; n++) {
		for (step = 1; step < 12; step++) {
			size_t i;

			buf_init(&b);
			redact_stream_init(&s);
			mem_fail_at(n);
			for (i = 0; i < sizeof in - 1; i += (size_t)step)
				redact_stream_feed(&s, &b, in + i,
					sizeof in - 1 - i < (size_t)step ?
					sizeof in - 1 - i : (size_t)step);
			redact_stream_flush(&s, &b);
			mem_fail_at(0);
			assert_null(memmem(b.data, b.len, "token", 5));
			redact_stream_release(&s);
			buf_release(&b);
		}
	}
}
#endif

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, teardown)
	const struct CMUnitTest tests[] = {
		T(nothing_set), T(plain), T(each_encoding),
		T(base64_alphabets), T(binary_in_json), T(overlaps),
		T(blanks_and_lines), T(refused), T(any_cut),
		T(holds_no_more_than_it_must), T(added_while_streaming),
		T(many_secrets), T(long_secret),
#ifdef OPSH_TEST
		T(lack_of_memory_never_unmasks),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
