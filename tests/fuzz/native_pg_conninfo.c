/*
 * native_pg_conninfo: the module `native` of fuzz_pg_conninfo.lua: libpq's own parser
 * of connection strings, which ours is held against. Opens no connection. Linked into
 * that target alone.
 */
#include <libpq-fe.h>

#include <lauxlib.h>
#include <lua.h>

int luaopen_native(lua_State *L);

/* parse(text) -> {keyword = value} or nil */
static int l_native_parse(lua_State *L)
{
	const char *text = luaL_checkstring(L, 1);
	char *why = NULL;
	PQconninfoOption *all, *o;

	lua_newtable(L);
	all = PQconninfoParse(text, &why);
	PQfreemem(why);
	if (!all)
		return 0;
	for (o = all; o->keyword; o++) {
		if (!o->val)
			continue;
		lua_pushstring(L, o->val);
		lua_setfield(L, -2, o->keyword);
	}
	PQconninfoFree(all);
	return 1;
}

int luaopen_native(lua_State *L)
{
	lua_newtable(L);
	lua_pushcfunction(L, l_native_parse);
	lua_setfield(L, -2, "parse");
	return 1;
}
