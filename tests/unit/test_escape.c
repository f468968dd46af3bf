/*
 * escape: each class of character that must not reach a terminal, those that
 * must, widths, and where a stream may be cut.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "term/escape.h"

static void check(const char *in, size_t len, int flags, const char *want)
{
	struct buf b = BUF_INIT;

	escape_to(&b, in, len, flags);
	assert_string_equal(b.data, want);
	assert_int_equal(b.len, strlen(want));
	buf_release(&b);
}

#define ESC(in, want) check(in, sizeof in - 1, 0, want)
#define ESC_LINES(in, want) check(in, sizeof in - 1, ESCAPE_LINES, want)

static void passes_text(void **state)
{
	(void)state;
	ESC("", "");
	ESC("flights::UAL123 ~!\\", "flights::UAL123 ~!\\");
	ESC("gr\xc3\xbc\xc3\x9f \xe6\x97\xa5\xe6\x9c\xac",
	    "gr\xc3\xbc\xc3\x9f \xe6\x97\xa5\xe6\x9c\xac");
	ESC("e\xcc\x81 \xf0\x9f\x98\x80", "e\xcc\x81 \xf0\x9f\x98\x80");
	ESC("\xe2\x9a\xa0\xef\xb8\x8f", "\xe2\x9a\xa0\xef\xb8\x8f");
}

static void escapes_controls(void **state)
{
	(void)state;
	ESC("\x1b[31m\x07", "\\x1b[31m\\x07");
	ESC("\0a\x7f", "\\x00a\\x7f");
	ESC("\x1b]52;c;YQ==\x07", "\\x1b]52;c;YQ==\\x07");
	ESC("\xc2\x9b" "31m", "\\u{9b}31m");	/* C1: CSI in one character */
	ESC("\x9b", "\\x9b");
}

static void lines_and_tabs(void **state)
{
	(void)state;
	ESC("a\nb\tc\rd", "a\\nb\\tc\\rd");
	ESC_LINES("a\nb\tc\rd\x1b", "a\nb\tc\\rd\\x1b");
}

static void escapes_what_hides(void **state)
{
	(void)state;
	ESC("\xe2\x80\xae" "gpj.exe", "\\u{202e}gpj.exe");	/* bidi */
	ESC("\xe2\x81\xa6\xe2\x81\xa9", "\\u{2066}\\u{2069}");
	ESC("a\xe2\x80\x8b" "b", "a\\u{200b}b");	/* zero width space */
	ESC("\xef\xbb\xbf", "\\u{feff}");
	ESC("\xe2\x80\xa8\xe2\x80\xa9", "\\u{2028}\\u{2029}");
	ESC("\xe3\x85\xa4", "\\u{3164}");		/* Hangul filler */
	ESC("\xf3\xa0\x81\x81", "\\u{e0041}");		/* tag letter */
	ESC("\xee\x80\x80", "\\u{e000}");		/* private use */
	ESC("\xcd\xb8", "\\u{378}");			/* unassigned */
}

static void escapes_what_is_not_utf8(void **state)
{
	(void)state;
	ESC("\xff\xfe", "\\xff\\xfe");
	ESC("\xc0\x80", "\\xc0\\x80");			/* overlong */
	ESC("\xed\xa0\x80", "\\xed\\xa0\\x80");		/* surrogate */
	ESC("\xe2\x82", "\\xe2\\x82");			/* cut off */
	ESC("a\x80z", "a\\x80z");
	ESC("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");	/* > 10ffff */
}

static void widths(void **state)
{
	size_t used;

	(void)state;
	assert_int_equal(escape_width("abc", 3, -1, NULL), 3);
	assert_int_equal(escape_width("\xe6\x97\xa5", 3, -1, NULL), 2);
	assert_int_equal(escape_width("e\xcc\x81", 3, -1, NULL), 1);
	assert_int_equal(escape_width("\x1b\n", 2, -1, NULL), 6);
	assert_int_equal(escape_width("\xe2\x80\xae", 3, -1, NULL), 8);
	/* two columns don't fit in one */
	assert_int_equal(escape_width("a\xe6\x97\xa5", 4, 2, &used), 1);
	assert_int_equal(used, 1);
	assert_int_equal(escape_width("a\xe6\x97\xa5", 4, 3, &used), 3);
	assert_int_equal(used, 4);
	/* the accent comes along with its letter */
	assert_int_equal(escape_width("e\xcc\x81x", 4, 1, &used), 1);
	assert_int_equal(used, 3);
	assert_int_equal(escape_width("abc", 3, 0, &used), 0);
	assert_int_equal(used, 0);
	/* an escape is whole or not there */
	assert_int_equal(escape_width("a\x1b", 2, 4, &used), 1);
	assert_int_equal(used, 1);
}

static void cut_off(void **state)
{
	(void)state;
	assert_int_equal(escape_cut_off("", 0), 0);
	assert_int_equal(escape_cut_off("abc", 3), 0);
	assert_int_equal(escape_cut_off("a\xe2", 2), 1);
	assert_int_equal(escape_cut_off("a\xe2\x82", 3), 2);
	assert_int_equal(escape_cut_off("a\xe2\x82\xac", 4), 0);
	assert_int_equal(escape_cut_off("\xf0\x9f\x98", 3), 3);
	assert_int_equal(escape_cut_off("\x98", 1), 0);
	assert_int_equal(escape_cut_off("\xff", 1), 0);
	assert_int_equal(escape_cut_off("\xc0", 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passes_text),
		cmocka_unit_test(escapes_controls),
		cmocka_unit_test(lines_and_tabs),
		cmocka_unit_test(escapes_what_hides),
		cmocka_unit_test(escapes_what_is_not_utf8),
		cmocka_unit_test(widths),
		cmocka_unit_test(cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
