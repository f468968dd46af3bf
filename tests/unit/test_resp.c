/*
 * resp: scanner (every cut, every limit), cursor, encoder, redis-cli's quoting
 * and the decoder to the Lua stack.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>

#include "bind/resp.h"
#include "core/mem.h"

#define LIT(s) (s), sizeof(s) - 1

/* Scans with the bytes arriving `step` at a time, from memory that ends where
 * they end, so that the sanitizer sees each read outside. */
static long long scan_steps(const char *data, size_t len, size_t step,
			    struct resp_scan *s, struct err *e)
{
	long long total = 0, n;
	size_t have = 0;

	while (have < len) {
		char *copy;

		have = have + step > len ? len : have + step;
		copy = mem_alloc(have);
		assert_non_null(copy);
		memcpy(copy, data, have);
		n = resp_scan(s, copy, have, INT64_MAX, e);
		mem_free(copy);
		if (n < 0)
			return -1;
		total += n;
	}
	return total;
}

static long long scan_all(const char *data, size_t len, size_t step)
{
	struct resp_scan s;
	struct err e;

	resp_scan_init(&s, RESP_MAX_REPLY, RESP_MAX_ELEMENTS);
	return scan_steps(data, len, step, &s, &e);
}

static void test_every_cut(void **state)
{
	static const char data[] =
		"+OK\r\n-ERR no\r\n:-12\r\n$5\r\nab\r\nc\r\n$0\r\n\r\n$-1\r\n*-1\r\n"
		"*0\r\n*3\r\n$1\r\nx\r\n*2\r\n:1\r\n:2\r\n+s\r\n+\r\n";
	size_t step;

	(void)state;
	for (step = 1; step < sizeof data; step++)
		assert_int_equal(scan_all(LIT(data), step), 10);
}

static void test_stops_after_max(void **state)
{
	static const char data[] = ":1\r\n:2\r\n:3\r\n";
	struct resp_scan s;
	struct err e;

	(void)state;
	resp_scan_init(&s, RESP_MAX_REPLY, RESP_MAX_ELEMENTS);
	assert_int_equal(resp_scan(&s, LIT(data), 2, &e), 2);
	assert_int_equal(s.pos, 8);
	resp_scan_shift(&s, 8);
	assert_int_equal(resp_scan(&s, data + 8, 4, 2, &e), 1);
}

static void test_counts_errors(void **state)
{
	static const char data[] = ":1\r\n*1\r\n-ERR in\r\n-ERR a\r\n-ERR b\r\n";
	struct resp_scan s;
	struct err e;

	(void)state;
	resp_scan_init(&s, RESP_MAX_REPLY, RESP_MAX_ELEMENTS);
	assert_int_equal(scan_steps(LIT(data), 3, &s, &e), 4);
	assert_int_equal(s.errors, 2);
	assert_int_equal(s.first_error, 17);
}

static void refuses(const char *data, size_t len, enum err_kind kind)
{
	struct resp_scan s;
	struct err e;
	size_t step;

	for (step = 1; step <= len; step++) {
		resp_scan_init(&s, 1000, 100);
		assert_int_equal(scan_steps(data, len, step, &s, &e), -1);
		assert_int_equal(e.kind, kind);
		assert_true(e.message[0] != '\0');
	}
}

static void test_limits(void **state)
{
	char deep[200];
	int i;

	(void)state;
	refuses(LIT("*4294967295\r\n"), ERR_LIMIT);
	refuses(LIT("*101\r\n"), ERR_LIMIT);
	refuses(LIT("*60\r\n*60\r\n"), ERR_LIMIT);
	refuses(LIT("$536870912\r\n"), ERR_LIMIT);
	refuses(LIT("$9223372036854775807\r\n"), ERR_LIMIT);
	refuses(LIT("*2\r\n$9\r\n123456789\r\n$990\r\n"), ERR_LIMIT);
	for (i = 0; i < 33; i++)
		memcpy(deep + 4 * i, "*1\r\n", 4);
	refuses(deep, 33 * 4, ERR_LIMIT);
}

static void test_depth_32_passes(void **state)
{
	char deep[32 * 4 + 4];
	int i;

	(void)state;
	for (i = 0; i < 32; i++)
		memcpy(deep + 4 * i, "*1\r\n", 4);
	memcpy(deep + 128, ":1\r\n", 4);
	assert_int_equal(scan_all(deep, sizeof deep, 7), 1);
}

static void test_line_limit(void **state)
{
	size_t len = RESP_MAX_LINE + 10;
	char *data = mem_alloc(len);
	struct resp_scan s;
	struct err e;

	(void)state;
	assert_non_null(data);
	memset(data, 'x', len);
	data[0] = '-';
	resp_scan_init(&s, RESP_MAX_REPLY, RESP_MAX_ELEMENTS);
	assert_int_equal(resp_scan(&s, data, len, 1, &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
	mem_free(data);
}

static void test_garbage(void **state)
{
	(void)state;
	refuses(LIT("x"), ERR_PROTOCOL);
	refuses(LIT("HTTP/1.1 400\r\n"), ERR_PROTOCOL);
	refuses(LIT("%2\r\n"), ERR_PROTOCOL);
	refuses(LIT("$-2\r\n"), ERR_PROTOCOL);
	refuses(LIT("$a\r\n"), ERR_PROTOCOL);
	refuses(LIT("$3\r\nabcd\r\n"), ERR_PROTOCOL);
	refuses(LIT(":1 \r\n"), ERR_PROTOCOL);
	refuses(LIT(":\r\n"), ERR_PROTOCOL);
	refuses(LIT(":99999999999999999999\r\n"), ERR_PROTOCOL);
	refuses(LIT("+OK\n"), ERR_PROTOCOL);
}

static void test_encoder(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	resp_add_array(&b, 3);
	resp_add_str(&b, "SET");
	resp_add_bulk(&b, "a\0b", 3);
	resp_add_int(&b, INT64_MIN);
	assert_int_equal(b.len, 4 + 9 + 9 + 5 + 20 + 2);
	assert_memory_equal(b.data, "*3\r\n$3\r\nSET\r\n$3\r\na\0b\r\n"
			    "$20\r\n-9223372036854775808\r\n", b.len + 1);
	assert_int_equal(scan_all(b.data, b.len, 1), 1);
	assert_ptr_equal(resp_skip(b.data, b.data + b.len), b.data + b.len);
	assert_null(resp_skip(b.data, b.data + b.len - 1));
	buf_release(&b);
}

static void check_quote(const char *in, size_t len, const char *want)
{
	struct buf b;

	buf_init(&b);
	resp_quote(&b, in, len);
	assert_string_equal(b.data, want);
	buf_release(&b);
}

static void test_quote(void **state)
{
	(void)state;
	check_quote(LIT("flights::UAL123"), "flights::UAL123");
	check_quote(LIT(""), "\"\"");
	check_quote(LIT("a b"), "\"a b\"");
	check_quote(LIT("\"\\\n\x1b\0"), "\"\\\"\\\\\\n\\x1b\\x00\"");
	check_quote(LIT("z\xc3\xbc\xff"), "\"z\xc3\xbc\\xff\"");
	check_quote(LIT("\xe2\x80\xae"), "\"\\xe2\\x80\\xae\"");
}

static void test_split(void **state)
{
	static const char want[] = "$3\r\nSET\r\n$3\r\na b\r\n$2\r\nA\n\r\n"
				   "$0\r\n\r\n";
	struct buf b;

	(void)state;
	buf_init(&b);
	assert_int_equal(resp_split(&b, LIT("SET 'a b' \"\\x41\\n\"  '' ")), 4);
	assert_memory_equal(b.data, want, b.len);
	buf_clear(&b);
	assert_int_equal(resp_split(&b, LIT("")), 0);
	assert_int_equal(resp_split(&b, LIT("GET \"x")), -1);
	assert_int_equal(resp_split(&b, LIT("GET \"x\"y")), -1);
	assert_int_equal(resp_split(&b, LIT("GET 'x\\")), -1);
	buf_clear(&b);
	assert_int_equal(resp_split(&b, LIT("'it\\'s'")), 1);
	assert_string_equal(b.data, "$4\r\nit's\r\n");
	buf_release(&b);
}

static void test_push(void **state)
{
	static const char data[] = "*4\r\n$1\r\na\r\n:7\r\n$-1\r\n*1\r\n+s\r\n$-1\r\n";
	const char *p = data, *end = data + sizeof data - 1;
	lua_State *L = luaL_newstate();

	(void)state;
	assert_int_equal(resp_push(L, &p, end, 0), '*');
	assert_int_equal(lua_rawlen(L, -1), 4);
	lua_rawgeti(L, -1, 2);
	assert_int_equal(lua_tointeger(L, -1), 7);
	lua_rawgeti(L, -2, 3);
	assert_true(lua_islightuserdata(L, -1));
	assert_null(lua_touserdata(L, -1));
	assert_int_equal(resp_push(L, &p, end, 0), '_');
	assert_true(lua_isnil(L, -1));
	assert_ptr_equal(p, end);
	lua_close(L);
}

static void test_push_map(void **state)
{
	static const char data[] = "*4\r\n$1\r\na\r\n:7\r\n$1\r\nb\r\n*2\r\n+x\r\n+y\r\n";
	const char *p = data;
	lua_State *L = luaL_newstate();

	(void)state;
	resp_push(L, &p, data + sizeof data - 1, RESP_MAP);
	lua_getfield(L, -1, "a");
	assert_int_equal(lua_tointeger(L, -1), 7);
	lua_getfield(L, -2, "b");
	assert_int_equal(lua_rawlen(L, -1), 2);
	lua_close(L);
}

static void check_error(const char *line, enum err_kind kind, const char *code)
{
	struct err e;

	resp_error(&e, line, strlen(line));
	assert_int_equal(e.kind, kind);
	assert_string_equal(e.code, code);
	assert_string_equal(e.message, line);
}

static void test_errors(void **state)
{
	struct err e;

	(void)state;
	check_error("WRONGTYPE Operation against", ERR_SERVER, "WRONGTYPE");
	check_error("NOAUTH Authentication required.", ERR_AUTH, "NOAUTH");
	check_error("ERR unknown command", ERR_SERVER, "ERR");
	check_error("Something odd", ERR_SERVER, "ERR");
	check_error("", ERR_SERVER, "ERR");
	resp_error(&e, LIT("MOVED 3999 127.0.0.1:6381"));
	assert_non_null(strstr(e.hint, "127.0.0.1:6381"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_stops_after_max),
		cmocka_unit_test(test_counts_errors),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_depth_32_passes),
		cmocka_unit_test(test_line_limit),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_encoder),
		cmocka_unit_test(test_quote),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_push),
		cmocka_unit_test(test_push_map),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
