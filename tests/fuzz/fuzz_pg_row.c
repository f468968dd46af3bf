/*
 * fuzz_pg_row: rows of a server that says what it likes: the first bytes choose
 * types and formats of columns, the rest is cut into values. What the store gives
 * back is what came; each value decodes to something or raises an error object,
 * and what decodes from text can be bound again. Linked with core and the binding.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "bind/pg.h"
#include "core/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int luaopen_opsh_c_pg(lua_State *L);
int luaopen_opsh_c_json(lua_State *L);

#define COLUMNS 4
#define ROWS 3

static const Oid types[] = { 16, 17, 20, 21, 23, 25, 26, 28, 114, 603, 700, 701,
	1005, 1007, 1009, 1001, 1016, 1020, 1021, 1022, 1114, 1184, 1231, 1700,
	199, 3802, 3807, 1000, 2950, 99999 };

static lua_State *L;
static struct pg_params params;	/* outlives what raises */

struct input {
	const uint8_t *p, *end;
};

static unsigned take(struct input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

static PGresult *make(struct input *in)
{
	static char names[COLUMNS][8] = { "a", "b", "a", "long" };
	PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PGresAttDesc attrs[COLUMNS];
	int i;

	memset(attrs, 0, sizeof attrs);
	for (i = 0; i < COLUMNS; i++) {
		unsigned b = take(in);

		attrs[i].name = names[i];
		attrs[i].typid = types[b % (sizeof types / sizeof *types)];
		attrs[i].format = b >= 128;
	}
	if (!PQsetResultAttrs(res, COLUMNS, attrs))
		abort();
	return res;
}

static void fill(PGresult *res, struct input *in)
{
	int i;

	for (i = 0; i < COLUMNS; i++) {
		size_t left, len = take(in);
		char *value = (char *)(uintptr_t)in->p;

		if (len == 255) {
			PQsetvalue(res, 0, i, NULL, -1);
			continue;
		}
		left = (size_t)(in->end - in->p);
		if (len > left)
			len = left;
		if (!PQsetvalue(res, 0, i, value, (int)len))
			abort();
		in->p += len;
	}
}

static void check(const struct pg_store *s, const PGresult *res, long long row)
{
	const char *p;
	size_t len;
	int i;

	for (i = 0; i < COLUMNS; i++) {
		p = pg_store_get(s, row, i, &len);
		if ((p == NULL) != PQgetisnull(res, 0, i))
			abort();
		if (p && (len != (size_t)PQgetlength(res, 0, i) ||
			  memcmp(p, PQgetvalue(res, 0, i), len)))
			abort();
	}
}

/* (store, row, column): decodes it, and binds it again. */
static int l_decode(lua_State *l)
{
	struct pg_store *s = lua_touserdata(l, 1);
	int column = (int)lua_tointeger(l, 3), top;
	size_t len;
	const char *v = pg_store_get(s, lua_tointeger(l, 2), column, &len);

	if (!v)
		return 0;
	pg_push_value(l, s->col[column].type, s->col[column].format, v, len);
	top = lua_gettop(l);
	if (top != 4 || lua_isnil(l, top))
		abort();
	pg_params_read(l, &params, top, 1, &s->col[column].type);
	return 0;
}

static void decode(struct pg_store *s, long long row, int column)
{
	lua_settop(L, 0);
	lua_pushcfunction(L, l_decode);
	lua_pushlightuserdata(L, s);
	lua_pushinteger(L, row);
	lua_pushinteger(L, column);
	if (lua_pcall(L, 3, 0, 0) != LUA_OK && !err_is(L, -1) &&
	    !lua_isstring(L, -1))
		abort();
	pg_params_release(&params);
	lua_settop(L, 0);
}

static void open_lua(void)
{
	L = luaL_newstate();
	luaL_requiref(L, "opsh.c.err", luaopen_opsh_c_err, 0);
	luaL_requiref(L, "opsh.c.json", luaopen_opsh_c_json, 0);
	luaL_requiref(L, "opsh.c.pg", luaopen_opsh_c_pg, 0);
	lua_getfield(L, -1, "json");
	lua_getfield(L, -3, "decode");
	lua_getfield(L, -4, "encode");
	lua_call(L, 2, 0);
	buf_init(&params.data);
	lua_settop(L, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	struct pg_store s;
	PGresult *res;
	long long row;
	int i;

	if (!L)
		open_lua();
	pg_store_init(&s, size > 20 ? 0 : 8);
	res = make(&in);
	for (row = 0; row < ROWS; row++) {
		fill(res, &in);
		pg_store_add(&s, res);
		if (s.full)
			break;
		check(&s, res, row);
	}
	for (row = 0; row < s.rows; row++)
		for (i = 0; i < COLUMNS; i++)
			decode(&s, row, i);
	PQclear(res);
	pg_store_release(&s);
	return 0;
}
