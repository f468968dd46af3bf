/*
 * err, exit, lx, mem, fail: what the other rooms stand on. Each error kind has its exit
 * code; error objects survive the way through Lua; options are strict; memory fails
 * when it is told to. The loop has test_loop.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "core/err.h"
#include "core/exit.h"
#include "core/fail.h"
#include "core/lx.h"
#include "core/mem.h"
#include "core/op.h"

static lua_State *L;

static int setup(void **state)
{
	(void)state;
	L = luaL_newstate();
	if (!L)
		return -1;
	memset(lua_getextraspace(L), 0, LUA_EXTRASPACE);
	luaL_openlibs(L);
	luaL_requiref(L, "opsh.c.err", luaopen_opsh_c_err, 0);
	lua_pop(L, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	lua_close(L);
	return 0;
}

/* --- err, exit ---------------------------------------------------------------- */

static void every_kind_has_its_exit_code(void **state)
{
	static const struct {
		const char *kind;
		int code;
	} want[] = {
		{ "usage", 2 }, { "config", 2 }, { "connect", 4 }, { "tls", 4 },
		{ "auth", 3 }, { "timeout", 124 }, { "cancelled", 1 },
		{ "refused", 3 }, { "guard", 14 }, { "changed", 12 },
		{ "busy", 11 }, { "unknown", 13 }, { "withheld", 20 },
		{ "server", 1 }, { "protocol", 1 }, { "limit", 1 }, { "io", 1 },
		{ "journal", 74 }, { "verify", 15 }, { "check", 3 },
		{ "lua", 1 },
	};
	struct err e;
	size_t i;
	int kind, p;

	(void)state;
	assert_int_equal(sizeof want / sizeof *want, ERR_N_KINDS - 1);
	for (i = 0; i < sizeof want / sizeof *want; i++) {
		kind = err_kind_find(want[i].kind);
		assert_int_not_equal(kind, ERR_NONE);
		assert_string_equal(err_kind_name((enum err_kind)kind),
				    want[i].kind);
		err_set(&e, (enum err_kind)kind, NULL, "x");
		if (exit_code_of(&e) != want[i].code)
			fail_msg("kind %s leaves with %d", want[i].kind,
				 exit_code_of(&e));
		e.exit_code = 77;
		assert_int_equal(exit_code_of(&e), 77);
		e.exit_code = 0;
		e.outcome = OUTCOME_UNKNOWN;
		assert_int_equal(exit_code_of(&e), kind == ERR_CANCELLED
				 ? EXIT_FAILED : EXIT_IN_DOUBT);
	}
	for (p = PHASE_NONE; p < PHASE_N; p++) {
		err_set(&e, ERR_TIMEOUT, "", "x");
		e.phase = (enum err_phase)p;
		assert_int_equal(exit_code_of(&e), p >= PHASE_DNS &&
				 p <= PHASE_AUTH ? 4 : 124);
	}
	assert_int_equal(err_kind_find("none"), ERR_NONE);
	assert_int_equal(err_kind_find(""), ERR_NONE);
	assert_int_equal(err_kind_find("nosuch"), ERR_NONE);
}

static void long_parts_are_cut(void **state)
{
	static char big[5000];
	struct err e;

	(void)state;
	memset(big, 'b', sizeof big - 1);
	err_set(&e, ERR_SERVER, big, "%s", big);
	assert_int_equal(strlen(e.code), sizeof e.code - 1);
	assert_int_equal(strlen(e.message), sizeof e.message - 1);
	assert_string_equal(e.hint, "");
}

static void errors_survive_lua(void **state)
{
	struct err e, back;
	int phase, outcome, kind;

	(void)state;
	for (kind = 1; kind < ERR_N_KINDS; kind++) {
		for (phase = 0; phase < PHASE_N; phase++) {
			outcome = (kind + phase) % OUTCOME_N;
			err_set(&e, (enum err_kind)kind, "CODE", "message %d",
				kind);
			e.phase = (enum err_phase)phase;
			e.outcome = (enum outcome)outcome;
			e.exit_code = kind;
			snprintf(e.target, sizeof e.target, "cache");
			snprintf(e.op, sizeof e.op, "GET");
			snprintf(e.hint, sizeof e.hint, "look");
			err_push(L, &e);
			assert_true(err_is(L, -1));
			memset(&back, 0x55, sizeof back);
			err_from_lua(L, -1, &back);
			lua_pop(L, 1);
			assert_int_equal(back.kind, kind);
			assert_int_equal(back.phase, phase);
			assert_int_equal(back.outcome, outcome);
			assert_int_equal(back.exit_code, kind);
			assert_string_equal(back.code, e.code);
			assert_string_equal(back.target, e.target);
			assert_string_equal(back.op, e.op);
			assert_string_equal(back.hint, e.hint);
			assert_string_equal(back.message, e.message);
		}
	}
	assert_int_equal(lua_gettop(L), 0);
}

static void any_value_is_an_error(void **state)
{
	static const char *const values[] = {
		"nil", "true", "12", "1.5", "'text'", "{}", "print",
		"coroutine.create(print)", "io.stdout",
		"setmetatable({}, {__tostring = error})",
		"setmetatable({}, {__index = error, __name = 'x'})",
		"e{kind = 'io', message = {}}", "e{kind = 'io', code = 5}",
		"e{kind = 'io', exit_code = 256}", "e{kind = 'io', phase = 'x'}",
		"e{kind = 'io', exit_code = 'x', outcome = print}",
		"unkind()", "('x'):rep(1e6)", "'a\\0b'",
	};
	char code[400];
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof values / sizeof *values; i++) {
		snprintf(code, sizeof code, "local e = require 'opsh.c.err'.new\n"
			 "local function unkind() local v = e{kind = 'io'}\n"
			 "v.kind = {} return v end return %s", values[i]);
		assert_int_equal(luaL_dostring(L, code), LUA_OK);
		err_from_lua(L, -1, &e);
		assert_int_equal(lua_gettop(L), 1);
		assert_true(e.kind == ERR_LUA || e.kind == ERR_IO);
		assert_int_equal(exit_code_of(&e), 1);
		/* and the handler of tasks takes it */
		lua_pushcfunction(L, err_msgh);
		lua_insert(L, 1);
		assert_int_equal(lua_pcall(L, 1, 1, 0), LUA_OK);
		assert_false(lua_isnil(L, -1) || lua_isboolean(L, -1) ||
			     lua_isnumber(L, -1));
		lua_settop(L, 0);
	}
}

static int l_raise(lua_State *S)
{
	return err_raisef(S, ERR_CHECK, "C", "%s %d", "no", 7);
}

static void raising_says_where(void **state)
{
	(void)state;
	lua_register(L, "raise", l_raise);
	assert_int_equal(luaL_loadbuffer(L, "\n\nraise()", 9, "@f.lua"), LUA_OK);
	assert_int_equal(lua_pcall(L, 0, 0, 0), LUA_ERRRUN);
	lua_getfield(L, -1, "where");
	assert_string_equal(lua_tostring(L, -1), "f.lua:3");
	lua_pop(L, 1);
	assert_string_equal(luaL_tolstring(L, -1, NULL), "check: no 7 (C)");
}

static void new_checks_its_kind(void **state)
{
	static const char *const bad[] = {
		"new()", "new(1)", "new{}", "new{kind = 'nosuch'}",
		"new{kind = 1}", "new{kind = {}}", "new{kind = 'none'}", "is()",
	};
	char code[100];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(code, sizeof code, "require 'opsh.c.err'.%s", bad[i]);
		assert_int_not_equal(luaL_dostring(L, code), LUA_OK);
	}
}

/* --- lx ------------------------------------------------------------------------- */

static int l_checkstr(lua_State *S)
{
	lx_checkstr(S, 1, NULL);
	return 0;
}

static int l_checkcstr(lua_State *S)
{
	lx_checkcstr(S, 1);
	return 0;
}

static int l_seconds(lua_State *S)
{
	lua_pushnumber(S, lx_optseconds(S, 1, 42));
	return 1;
}

static int l_options(lua_State *S)
{
	static const char *const names[] = { "b", "i", "n", "s", NULL };
	size_t len = 0;
	const char *s;

	lua_settop(S, 1);
	lx_opt_begin(S, 1, names);
	lua_pushboolean(S, lx_opt_bool(S, 1, "b", 1));
	lua_pushinteger(S, lx_opt_int(S, 1, "i", 5));
	lua_pushnumber(S, lx_opt_num(S, 1, "n", 2.5));
	s = lx_opt_str(S, 1, "s", &len);
	lua_pushlstring(S, s ? s : "none", s ? len : 4);
	return lua_gettop(S) > 4 ? 5 : 4;
}

/* Runs code; NULL when it ended well, else the error's text. */
static const char *says(const char *code)
{
	static char said[1000];

	lua_settop(L, 0);
	if (luaL_dostring(L, code) == LUA_OK)
		return NULL;
	snprintf(said, sizeof said, "%s", luaL_tolstring(L, -1, NULL));
	return said;
}

static void assert_says(const char *code, const char *what)
{
	const char *said = says(code);

	if (!said || !strstr(said, what))
		fail_msg("%s: %s instead of %s", code, said ? said : "nothing",
			 what);
}

static void arguments_are_strict(void **state)
{
	(void)state;
	lua_register(L, "str", l_checkstr);
	lua_register(L, "cstr", l_checkcstr);
	lua_register(L, "seconds", l_seconds);
	assert_null(says("str 'a\\0b' str '' cstr '' cstr 'x'"));
	assert_says("str(5)", "string expected, got number");
	assert_says("str()", "string expected, got no value");
	assert_says("cstr 'a\\0b'", "NUL");
	assert_null(says("assert(seconds() == 42 and seconds(nil) == 42)"));
	assert_null(says("assert(seconds(0) == 0 and seconds(1.5) == 1.5)"));
	assert_says("seconds '1'", "number expected");
	assert_says("seconds(-1)", "finite");
	assert_says("seconds(0/0)", "finite");
	assert_says("seconds(1/0)", "finite");
}

static void options_are_strict(void **state)
{
	(void)state;
	lua_register(L, "o", l_options);
	assert_null(says("o() o(nil) o{} o{b = false, i = 1, n = 1, s = 'x'}"));
	assert_null(says("o{i = 2.0, n = 3}"));
	assert_says("o{x = 1}", "unknown option 'x' (known: b, i, n, s)");
	assert_says("o{1}", "unknown option '1'");
	assert_says("o{[true] = 1}", "unknown option 'true'");
	assert_says("o{b = 1}", "option 'b' must be a boolean, not a number");
	assert_says("o{i = 1.5}", "option 'i' must be an integer");
	assert_says("o{i = '1'}", "option 'i' must be a number, not a string");
	assert_says("o{s = 1}", "option 's' must be a string, not a number");
	assert_says("o(1)", "table expected, got number");
}

/* --- mem, fail -------------------------------------------------------------------- */

static void memory_fails_when_told(void **state)
{
	void *a;

	(void)state;
	mem_fail_at(2);
	a = mem_alloc(1);
	assert_non_null(a);
	assert_null(mem_strdup("x"));
	assert_null(mem_zalloc(10));		/* the one after it, too */
	mem_fail_at(0);
	a = mem_realloc(a, 100);
	assert_non_null(a);
	mem_free(a);
	mem_free(NULL);
	a = mem_memdup("a\0b", 3);
	assert_memory_equal(a, "a\0b", 4);
	mem_free(a);
	a = mem_alloc(0);
	assert_non_null(a);
	mem_free(a);
}

static void failpoints_count_calls(void **state)
{
	(void)state;
	unsetenv("OPSH_FAIL");
	assert_int_equal(fail_point("one"), 0);
	setenv("OPSH_FAIL", "one=5@2,two=28", 1);
	assert_int_equal(fail_point("one"), 0);
	assert_int_equal(fail_point("one"), 5);
	assert_int_equal(fail_point("one"), 0);
	assert_int_equal(fail_point("two"), 28);
	assert_int_equal(fail_point("two"), 28);
	assert_int_equal(fail_point("on"), 0);
	assert_int_equal(fail_point("three"), 0);
	setenv("OPSH_FAIL", "one=7@1", 1);
	assert_int_equal(fail_point("one"), 7);
	assert_int_equal(fail_point("one"), 0);
	setenv("OPSH_FAIL", "one=7@2+", 1);
	assert_int_equal(fail_point("one"), 0);
	assert_int_equal(fail_point("one"), 7);
	assert_int_equal(fail_point("one"), 7);
	setenv("OPSH_FAIL", "nonsense,=,one", 1);
	assert_int_equal(fail_point("one"), 0);
	unsetenv("OPSH_FAIL");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(every_kind_has_its_exit_code), T(long_parts_are_cut),
		T(errors_survive_lua), T(any_value_is_an_error),
		T(raising_says_where), T(new_checks_its_kind),
		T(arguments_are_strict), T(options_are_strict),
		T(memory_fails_when_told), T(failpoints_count_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
