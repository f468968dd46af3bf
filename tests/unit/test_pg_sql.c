/*
 * pg_sql: classes, names, parameters and places of a few texts; depth, size
 * and text that is no text; each allocation failing. The corpus of spellings
 * is tests/spec/sql_corpus.lua.
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

#include "bind/pg_sql.h"
#include "bind/pg_sql_func.h"
#include "bind/pg_sql_tree.h"
#include "core/buf.h"
#include "core/mem.h"

static int judge(const char *text, struct pg_sql_verdict *v)
{
	return pg_sql_judge(text, strlen(text), v);
}

static void join(const struct pg_sql_names *names, char *out, size_t size)
{
	int k;

	*out = 0;
	for (k = 0; k < names->count; k++)
		snprintf(out + strlen(out), size - strlen(out), "%s%s",
			 k ? " " : "", names->name[k]);
}

static void names_are(const struct pg_sql_names *names, const char *expected)
{
	char text[512];

	join(names, text, sizeof text);
	assert_string_equal(text, expected);
}

static void class_is(const char *text, enum effect_class cls)
{
	struct pg_sql_verdict v;

	if (judge(text, &v) < 0 || v.cls != cls)
		fail_msg("%s: class %d (%s), not %d", text, v.cls, v.why, cls);
	if (cls && !*v.why)
		fail_msg("%s: no reason", text);
	pg_sql_free(&v);
}

static void test_classes(void **state)
{
	(void)state;
	class_is("select 1", EFFECT_READ);
	class_is("-- nothing", EFFECT_READ);
	class_is("insert into t values (1)", EFFECT_WRITE);
	class_is("delete from t where id = 1", EFFECT_WRITE);
	class_is("delete from t", EFFECT_DESTRUCTIVE);
	class_is("with d as (delete from t returning *) select * from d",
		 EFFECT_DESTRUCTIVE);
	class_is("select 1; drop table t", EFFECT_DESTRUCTIVE);
	class_is("select U&\"\\0070g_promote\"()", EFFECT_DESTRUCTIVE);
	class_is("select frobnicate from from", EFFECT_WRITE);
	class_is("drop frobnicator x", EFFECT_DESTRUCTIVE);
}

/* tests/spec/sql_corpus.lua, from the root of the tree. */
static void class_of_list(lua_State *L, const char *list, const char *name,
			  int least)
{
	struct pg_sql_verdict v;
	size_t len;
	int k, bad = 0, n;

	lua_getfield(L, -1, list);
	n = (int)lua_rawlen(L, -1);
	assert_true(n >= least);
	for (k = 1; k <= n; k++) {
		const char *text, *expected = name;

		if (lua_rawgeti(L, -1, k) == LUA_TTABLE) {
			lua_getfield(L, -1, "class");
			expected = lua_tostring(L, -1);
			lua_rawgeti(L, -2, 1);
			lua_replace(L, -3);
			lua_pop(L, 1);
		}
		text = lua_tolstring(L, -1, &len);
		if (pg_sql_judge(text, len, &v) ||
		    strcmp(effect_class_name(v.cls), expected) ||
		    v.functions.count || v.operators.count) {
			fprintf(stderr, "%s: %s (%s), not %s%s%s\n", text,
				effect_class_name(v.cls), v.why, expected,
				v.error ? "; " : "", v.error ? v.error : "");
			bad++;
		}
		pg_sql_free(&v);
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	assert_int_equal(bad, 0);
}

static void test_corpus(void **state)
{
	lua_State *L = luaL_newstate();
	struct pg_sql_verdict v;
	int k;

	(void)state;
	assert_non_null(L);
	luaL_openlibs(L);
	if (luaL_dofile(L, "tests/spec/sql_corpus.lua"))
		fail_msg("%s", lua_tostring(L, -1));
	class_of_list(L, "read", "read", 60);
	class_of_list(L, "first", "read", 3);
	class_of_list(L, "write", "write", 60);
	class_of_list(L, "destructive", "destructive", 60);
	class_of_list(L, "leaks", NULL, 45);
	lua_getfield(L, -1, "transaction");
	for (k = 1; k <= (int)lua_rawlen(L, -1); k++) {
		lua_rawgeti(L, -1, k);
		assert_int_equal(judge(lua_tostring(L, -1), &v), 0);
		assert_true(v.flags & PG_SQL_TRANSACTION);
		assert_int_equal(v.cls, EFFECT_WRITE);
		pg_sql_free(&v);
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	lua_getfield(L, -1, "ask");
	for (k = 1; k <= (int)lua_rawlen(L, -1); k++) {
		lua_rawgeti(L, -1, k);
		lua_rawgeti(L, -1, 1);
		lua_rawgeti(L, -2, 2);
		assert_int_equal(judge(lua_tostring(L, -2), &v), 0);
		assert_int_equal(v.cls, EFFECT_READ);
		names_are(&v.functions, lua_tostring(L, -1));
		pg_sql_free(&v);
		lua_pop(L, 3);
	}
	lua_close(L);
}

static void test_where(void **state)
{
	(void)state;
	class_is("update t set a = 1 where id = $1", EFFECT_WRITE);
	class_is("update t set a = 1 where id = 1 and true", EFFECT_WRITE);
	class_is("delete from t where not done", EFFECT_WRITE);
	class_is("delete from t where current of c", EFFECT_WRITE);
	class_is("delete from t using u where u.id = t.id", EFFECT_WRITE);
	class_is("delete from t where true", EFFECT_DESTRUCTIVE);
	class_is("delete from t where 1 = 1", EFFECT_DESTRUCTIVE);
	class_is("delete from t where id = id", EFFECT_DESTRUCTIVE);
	class_is("delete from t where id = 1 or true", EFFECT_DESTRUCTIVE);
	class_is("delete from t where $1", EFFECT_DESTRUCTIVE);
}

static void test_names(void **state)
{
	struct pg_sql_verdict v;

	(void)state;
	assert_int_equal(judge("with c as (select * from c), d as (select f(1)) "
		"select s.g(a), count(*), \"Odd\"(), pg_catalog.lower(x) "
		"from c, d, s.t, \"T\", only t where a === $7 and b <-> c < 1 "
		"and a operator(s.+) 1", &v), 0);
	names_are(&v.tags, "SELECT");
	names_are(&v.relations, "c s.t \"T\" t");
	names_are(&v.functions, "f s.g \"Odd\"");
	names_are(&v.operators, "=== s.+");
	assert_int_equal(v.parameters, 7);
	assert_int_equal(v.statements, 1);
	assert_int_equal(v.flags, PG_SQL_CURSOR);
	pg_sql_free(&v);

	assert_int_equal(judge("with recursive c as (select 1 union all select 1 "
		"from c) insert into c select * from c", &v), 0);
	names_are(&v.relations, "c");
	pg_sql_free(&v);

	assert_int_equal(judge("prepare p as select $3", &v), 0);
	assert_int_equal(v.parameters, 0);
	pg_sql_free(&v);
}

static void test_secrets(void **state)
{
	struct pg_sql_verdict v;

	(void)state;
	assert_int_equal(judge("alter role r login password 'hunter2 hunter2'",
			       &v), 0);
	names_are(&v.secrets, "hunter2 hunter2");
	pg_sql_free(&v);
	assert_int_equal(judge("create user mapping for u server s options "
		"(user 'u', password 'it''s secret')", &v), 0);
	names_are(&v.secrets, "it's secret");
	pg_sql_free(&v);
	assert_int_equal(judge("create subscription s connection "
		"'host=x password=swordfish' publication p", &v), 0);
	names_are(&v.secrets, "host=x password=swordfish");
	pg_sql_free(&v);
	assert_int_equal(judge("alter role r password null; select 'x'", &v), 0);
	assert_int_equal(v.secrets.count, 0);
	pg_sql_free(&v);
}

static void error_is(const char *text, const char *message, long at)
{
	struct pg_sql_verdict v;

	assert_int_equal(judge(text, &v), 1);
	assert_string_equal(v.error, message);
	assert_int_equal(v.error_at, at);
	assert_true(v.cls > EFFECT_READ);
	pg_sql_free(&v);
}

static void test_errors(void **state)
{
	struct pg_sql_verdict v;

	(void)state;
	error_is("select 1 fro m x", "syntax error at or near \"m\"", 13);
	error_is("select '\xc3\xa9' x y", "syntax error at or near \"y\"", 14);
	error_is("select 'x", "unterminated quoted string at or near \"'x\"", 7);
	error_is("select (", "syntax error at end of input", 8);
	error_is("select '\xff'", "the text is not UTF-8", 8);
	assert_int_equal(pg_sql_judge("select\0 1", 9, &v), 1);
	assert_string_equal(v.error, "the text has a NUL byte");
	assert_int_equal(v.error_at, 6);
	pg_sql_free(&v);
}

static void caret_is(const char *text, long at, const char *expected)
{
	char out[PG_SQL_CARET];
	size_t n = pg_sql_caret(text, strlen(text), at, out);

	assert_int_equal(n, strlen(out));
	assert_string_equal(out, expected);
}

static void test_caret(void **state)
{
	char wide[300];

	(void)state;
	caret_is("select x fro m y", 13,
		 "line 1: select x fro m y\n                     ^");
	caret_is("select\r\n\tx y\r\nz", 11, "line 2:  x y\n           ^");
	caret_is("select (", 8, "line 1: select (\n                ^");
	caret_is("a\n", 2, "line 2: \n        ^");
	caret_is("", 0, "line 1: \n        ^");
	caret_is("x", 99, "line 1: x\n         ^");
	/* U+65E5 takes two columns, U+0301 none. */
	caret_is("'\xe6\x97\xa5' e\xcc\x81 x", 10,
		 "line 1: '\xe6\x97\xa5' e\xcc\x81 x\n               ^");
	caret_is("a\x1b[2J\xff b", 7, "line 1: a?[2J? b\n               ^");
	memset(wide, 'a', sizeof wide);
	memcpy(wide + 200, " b ", 3);
	wide[sizeof wide - 1] = 0;
	caret_is(wide, 201, "line 1: ...aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 "aaaaaaaaa b aaaaaaaaaaaaaaaaaaaaaaaaaaaa...\n"
		 "                                                             ^");
}

/* HEAD, n times PART, TAIL. */
static char *repeat(const char *head, const char *part, int n, const char *tail)
{
	struct buf b = BUF_INIT;

	buf_adds(&b, head);
	while (n-- > 0)
		buf_adds(&b, part);
	buf_adds(&b, tail);
	assert_true(buf_ok(&b));
	return b.data;
}

static void long_text(const char *head, const char *part, int n, int rc,
		      enum effect_class cls)
{
	char *text = repeat(head, part, n, strchr(head, '(') ? ")" : "");
	struct pg_sql_verdict v;

	if (judge(text, &v) != rc || v.cls != cls)
		fail_msg("%s%s...: %s, class %d", head, part,
			 v.error ? v.error : "judged", v.cls);
	pg_sql_free(&v);
	mem_free(text);
}

/* What made the library run over its stack, and what is long but flat. */
static void test_long(void **state)
{
	(void)state;
	long_text("select 1", "+1", 5000, 0, EFFECT_READ);
	long_text("select 1", "+1", 300000, 1, EFFECT_WRITE);
	long_text("select 1", "::int", 200000, 1, EFFECT_WRITE);
	long_text("select 1", " union select 1", 100000, 1, EFFECT_WRITE);
	long_text("select 1, 2", " union select 1, 2", 100000, 1, EFFECT_WRITE);
	long_text("select 1 from a", " join a on f(1, 2)", 100000, 1,
		  EFFECT_WRITE);
	long_text("select ", "(", 300000, 1, EFFECT_WRITE);
	long_text("select a", "[1]", 300000, 1, EFFECT_WRITE);
	long_text("insert into t values (1, 'a'", "), (1, 'a'", 100000, 0,
		  EFFECT_WRITE);
	long_text("delete from t where id in (1", ", 1", 300000, 0, EFFECT_WRITE);
	long_text("", "select 1;", 100000, 0, EFFECT_READ);
	long_text("select 1", " ", PG_SQL_MAX, 1, EFFECT_DESTRUCTIVE);
}

static void test_many_names(void **state)
{
	struct buf b = BUF_INIT;
	struct pg_sql_verdict v;
	int k;

	(void)state;
	buf_adds(&b, "select 1");
	for (k = 0; k < PG_SQL_NAMES + 1; k++)
		buf_addf(&b, ", f%d()", k);
	assert_int_equal(pg_sql_judge(b.data, b.len, &v), 0);
	assert_int_equal(v.cls, EFFECT_WRITE);
	assert_int_equal(v.functions.count, PG_SQL_NAMES);
	pg_sql_free(&v);
	buf_release(&b);
}

static void test_tables(void **state)
{
	(void)state;
	assert_true(pg_sql_func_harmless("abs"));
	assert_true(pg_sql_func_harmless("xmlagg"));
	assert_false(pg_sql_func_harmless("nextval"));
	assert_non_null(pg_sql_func_effect("ts_stat"));
	assert_null(pg_sql_func_effect("count"));
	assert_true(pg_sql_operator_known("!!"));
	assert_false(pg_sql_operator_known("==="));
	assert_true(pg_sql_setting_escapes("role"));
}

static void test_tree(void **state)
{
	static const char *const broken[] = { "", "[", "{", "{\"a\"", "{\"a\":",
		"{\"a\":}", "{\"a\":\"x}", "{\"a\":1}}", "{1:2}", "{\"a\":[1}" };
	static const char good[] = "{\"a\":{\"B\":[1, {}, \"x\\ty\\u00e9\"]},"
		"\"location\":3, \"b\":true}";
	struct pg_sql_tree t;
	struct buf text = BUF_INIT;
	uint32_t node;
	size_t k;

	(void)state;
	for (k = 0; k < sizeof broken / sizeof *broken; k++) {
		assert_int_equal(pg_sql_tree_read(&t, broken[k],
						  strlen(broken[k])), 1);
		pg_sql_tree_release(&t);
	}
	assert_int_equal(pg_sql_tree_read(&t, good, sizeof good - 1), 0);
	assert_int_equal(pg_sql_tree_get(&t, 1, "location"), 0);
	assert_true(pg_sql_tree_true(&t, 1, "b"));
	node = pg_sql_tree_get(&t, pg_sql_tree_get(&t, 1, "a"), "B");
	node = pg_sql_tree_first(&t, node);
	node = pg_sql_tree_next(&t, pg_sql_tree_next(&t, node));
	pg_sql_tree_text(&t, node, &text);
	assert_string_equal(text.data, "x\ty\xc3\xa9");
	buf_release(&text);
	pg_sql_tree_release(&t);
}

/* Each allocation of ours failing: memory, or the same verdict. */
static void sweep(const char *text)
{
	struct pg_sql_verdict v, w;
	long n;
	int rc = -1;

	assert_true(judge(text, &v) >= 0);
	for (n = 1; rc < 0; n++) {
		mem_fail_at(n);
		rc = judge(text, &w);
		mem_fail_at(0);
		assert_true(rc < 0 || w.cls == v.cls);
		assert_true(rc >= 0 || w.cls > EFFECT_READ || !v.cls);
		pg_sql_free(&w);
		assert_true(n < 1000);
	}
	assert_true(n > 3);
	pg_sql_free(&v);
}

static void test_memory(void **state)
{
	(void)state;
	sweep("select f(1), g(2) from a, b, c where x === y");
	sweep("with a as (delete from t where id = 1) select ts_stat('drop x')");
	sweep("do 'begin drop table x; end'");
	sweep("select 1 fro m");
	sweep("select set_config('role', 'x', true)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_corpus),
		cmocka_unit_test(test_where),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_caret),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_many_names),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
