/*
 * lx: strict argument and option helpers over the Lua C API.
 */
#include "core/lx.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *lx_checkstr(lua_State *L, int arg, size_t *len)
{
	luaL_checktype(L, arg, LUA_TSTRING);
	return lua_tolstring(L, arg, len);
}

const char *lx_checkcstr(lua_State *L, int arg)
{
	size_t len;
	const char *s = lx_checkstr(L, arg, &len);

	luaL_argcheck(L, strlen(s) == len, arg, "string holds a NUL byte");
	return s;
}

double lx_optseconds(lua_State *L, int arg, double def)
{
	double v;

	if (lua_isnoneornil(L, arg))
		return def;
	luaL_checktype(L, arg, LUA_TNUMBER);
	v = lua_tonumber(L, arg);
	luaL_argcheck(L, isfinite(v) && v >= 0, arg,
		      "seconds must be a finite number, 0 or more");
	return v;
}

static void unknown_option(lua_State *L, int arg, const char *const *names)
{
	luaL_Buffer b;
	int i;

	luaL_buffinit(L, &b);
	for (i = 0; names[i]; i++) {
		if (i)
			luaL_addstring(&b, ", ");
		luaL_addstring(&b, names[i]);
	}
	luaL_pushresult(&b);		/* -- key value names */
	luaL_tolstring(L, -3, NULL);	/* -- key value names text */
	luaL_argerror(L, arg, lua_pushfstring(L,
		"unknown option '%s' (known: %s)",
		lua_tostring(L, -1), lua_tostring(L, -2)));
}

void lx_opt_begin(lua_State *L, int arg, const char *const *names)
{
	int i;

	if (lua_isnoneornil(L, arg))
		return;
	luaL_checktype(L, arg, LUA_TTABLE);
	lua_pushnil(L);
	while (lua_next(L, arg)) {
		const char *key = NULL;

		if (lua_type(L, -2) == LUA_TSTRING)
			key = lua_tostring(L, -2);
		for (i = 0; key && names[i]; i++)
			if (!strcmp(names[i], key))
				break;
		if (!key || !names[i])
			unknown_option(L, arg, names);
		lua_pop(L, 1);
	}
}

/* Pushes the field, or nil; raises when its type is not `type`. */
static int opt_get(lua_State *L, int arg, const char *name, int type)
{
	int got;

	if (lua_isnoneornil(L, arg)) {
		lua_pushnil(L);
		return 0;
	}
	got = lua_getfield(L, arg, name);
	if (got == LUA_TNIL)
		return 0;
	if (got != type)
		luaL_argerror(L, arg, lua_pushfstring(L,
			"option '%s' must be a %s, not a %s", name,
			lua_typename(L, type), lua_typename(L, got)));
	return 1;
}

int lx_opt_bool(lua_State *L, int arg, const char *name, int def)
{
	int v = def;

	if (opt_get(L, arg, name, LUA_TBOOLEAN))
		v = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return v;
}

lua_Integer lx_opt_int(lua_State *L, int arg, const char *name,
		       lua_Integer def)
{
	lua_Integer v = def;
	int exact;

	if (opt_get(L, arg, name, LUA_TNUMBER)) {
		v = lua_tointegerx(L, -1, &exact);
		if (!exact)
			luaL_argerror(L, arg, lua_pushfstring(L,
				"option '%s' must be an integer", name));
	}
	lua_pop(L, 1);
	return v;
}

double lx_opt_num(lua_State *L, int arg, const char *name, double def)
{
	double v = def;

	if (opt_get(L, arg, name, LUA_TNUMBER))
		v = lua_tonumber(L, -1);
	lua_pop(L, 1);
	return v;
}

const char *lx_opt_str(lua_State *L, int arg, const char *name, size_t *len)
{
	if (!opt_get(L, arg, name, LUA_TSTRING))
		return NULL;
	return lua_tolstring(L, -1, len);
}

void lx_setfuncs(lua_State *L, const luaL_Reg *funcs)
{
	luaL_setfuncs(L, funcs, 0);
}

void lx_metatable(lua_State *L, const char *name, const luaL_Reg *methods,
		  const luaL_Reg *meta)
{
	if (!luaL_newmetatable(L, name)) {
		lua_pop(L, 1);
		return;
	}
	if (meta)
		luaL_setfuncs(L, meta, 0);
	if (methods) {
		lua_newtable(L);
		luaL_setfuncs(L, methods, 0);
		lua_setfield(L, -2, "__index");
	}
	lua_pushliteral(L, "protected");
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 1);
}

/* "FILE:LINE", the file's name cut; snprintf is slow, and each call asks. */
static void put_place(char *out, size_t size, const char *file, int line)
{
	size_t len = strlen(file), n = 0;
	char digits[12];

	do
		digits[n++] = (char)('0' + line % 10);
	while ((line /= 10) > 0);
	if (len > size - n - 2)
		len = size - n - 2;
	memcpy(out, file, len);
	out[len++] = ':';
	while (n)
		out[len++] = digits[--n];
	out[len] = '\0';
}

void lx_where(lua_State *L, int level, char *out, size_t size)
{
	lua_Debug ar;

	out[0] = '\0';
	for (; lua_getstack(L, level, &ar); level++) {
		if (!lua_getinfo(L, "Sl", &ar) || ar.currentline <= 0)
			continue;
		/* embedded modules are ours: say where the user called */
		if (ar.source[0] == '=' && !strncmp(ar.source, "=opsh:", 6))
			continue;
		put_place(out, size, ar.short_src, ar.currentline);
		return;
	}
}
