/*
 * withheld: what a write returns in a plan. Without `expect` it is a value that
 * nothing can be done with but to print it: using it stops the step, and names
 * the call whose result is needed. Owns the metatables opsh.unknown and
 * opsh.result.
 */
#include "effect/withheld.h"

#include <stdio.h>
#include <string.h>

#include "core/err.h"
#include "core/lx.h"

#define UNKNOWN_META "opsh.unknown"
#define RESULT_META "opsh.result"

struct unknown {
	char verb[48];
	char target[64];
	char where[96];
};

int effect_push_withheld(lua_State *L, const struct effect *f, int opts_arg)
{
	struct unknown *u;

	if (opts_arg && lua_istable(L, opts_arg) &&
	    lua_getfield(L, opts_arg, "expect") != LUA_TNIL) {
		if (lua_istable(L, -1))	/* -- expect result */
			return effect_push_result(L, -1, 1);
		return effect_push_result(L, -1, 0);
	}
	u = lua_newuserdatauv(L, sizeof *u, 0);
	memset(u, 0, sizeof *u);
	snprintf(u->verb, sizeof u->verb, "%s", f->verb);
	snprintf(u->target, sizeof u->target, "%s", f->target->name);
	snprintf(u->where, sizeof u->where, "%s", f->where);
	luaL_setmetatable(L, UNKNOWN_META);
	return 1;
}

int effect_push_result(lua_State *L, int idx, int fields)
{
	idx = lua_absindex(L, idx);
	lua_createtable(L, 0, 3);
	if (fields) {
		lua_pushnil(L);
		while (lua_next(L, idx)) {
			lua_pushvalue(L, -2);
			lua_insert(L, -2);	/* -- result key key value */
			lua_settable(L, -4);
		}
	} else {
		lua_pushvalue(L, idx);
		lua_setfield(L, -2, "value");
		if (lua_isinteger(L, idx)) {
			lua_pushvalue(L, idx);
			lua_setfield(L, -2, "count");
		}
		lua_pushboolean(L, 1);
		lua_setfield(L, -2, "ok");
	}
	luaL_setmetatable(L, RESULT_META);
	return 1;
}

static struct unknown *find_unknown(lua_State *L)
{
	int i, n = lua_gettop(L);

	for (i = 1; i <= n; i++) {
		struct unknown *u = luaL_testudata(L, i, UNKNOWN_META);

		if (u)
			return u;
	}
	return NULL;
}

/* Any use of it: raises kind withheld. */
static int l_unknown_used(lua_State *L)
{
	struct unknown *u = find_unknown(L);
	char here[96];
	struct err e;

	if (!u)
		return luaL_error(L, "a withheld result was used");
	lx_where(L, 1, here, sizeof here);
	err_set(&e, ERR_WITHHELD, "", "unknown at %s: needs the result of "
		"'%s' on '%s' (%s)", *here ? here : "?", u->verb, u->target,
		u->where);
	snprintf(e.hint, sizeof e.hint, "give the call expect = VALUE, for the "
		 "plan to go on with");
	e.outcome = OUTCOME_WITHHELD;
	err_raise(L, &e);
}

/* tostring(unknown) -> "<withheld: VERB on TARGET>" */
static int l_unknown_tostring(lua_State *L)
{
	struct unknown *u = luaL_checkudata(L, 1, UNKNOWN_META);

	lua_pushfstring(L, "<withheld: %s on %s>", u->verb, u->target);
	return 1;
}

/* tostring(result): its value, its count, or what it says: the output of a
 * program, the body of a reply */
static int l_result_tostring(lua_State *L)
{
	static const char *const names[] = {
		"value", "count", "stdout", "body", "ok", NULL
	};
	const char *s;
	size_t len;
	int i;

	luaL_checktype(L, 1, LUA_TTABLE);
	for (i = 0; names[i]; i++) {
		if (lua_getfield(L, 1, names[i]) != LUA_TNIL)
			break;
		lua_pop(L, 1);
	}
	if (!names[i])
		lua_pushnil(L);
	s = luaL_tolstring(L, -1, &len);
	if (len && s[len - 1] == '\n' && i > 1)
		lua_pushlstring(L, s, len - 1);
	return 1;
}

void effect_open_results(lua_State *L)
{
	static const char *const used[] = {
		"__index", "__newindex", "__call", "__add", "__sub", "__mul",
		"__div", "__mod", "__pow", "__unm", "__idiv", "__band",
		"__bor", "__bxor", "__shl", "__shr", "__bnot", "__concat",
		"__len", "__lt", "__le", "__pairs", "__tojson", NULL
	};
	static const luaL_Reg meta[] = {
		{ "__tostring", l_unknown_tostring }, { NULL, NULL }
	};
	static const luaL_Reg result[] = {
		{ "__tostring", l_result_tostring }, { NULL, NULL }
	};
	int i;

	lx_metatable(L, UNKNOWN_META, NULL, meta);
	luaL_getmetatable(L, UNKNOWN_META);
	for (i = 0; used[i]; i++) {
		lua_pushcfunction(L, l_unknown_used);
		lua_setfield(L, -2, used[i]);
	}
	lua_pop(L, 1);
	lx_metatable(L, RESULT_META, NULL, result);
}
