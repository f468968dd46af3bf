/*
 * json: module opsh.c.json: decode, encode, and arrays, which a table alone can't
 * tell from objects. Makes no effects: text in, values out. Owns nothing.
 */
#include "bind/json.h"

#include <lauxlib.h>

#include "core/lx.h"

/*
 * array([table]) -> the table, marked: it is encoded as an array, also when it
 * is empty. Raises when it has another metatable.
 */
static int l_json_array(lua_State *L)
{
	if (lua_isnoneornil(L, 1)) {
		lua_settop(L, 0);
		lua_newtable(L);
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	luaL_getmetatable(L, JSON_ARRAY_META);
	if (lua_getmetatable(L, 1)) {
		luaL_argcheck(L, lua_rawequal(L, -1, -2), 1,
			      "the table has another metatable");
		lua_pop(L, 1);
	}
	lua_setmetatable(L, 1);
	return 1;
}

__attribute__((visibility("default"))) int luaopen_opsh_c_json(lua_State *L);

int luaopen_opsh_c_json(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "array", l_json_array }, { NULL, NULL }
	};

	lx_metatable(L, JSON_ARRAY_META, NULL, NULL);
	luaL_newlib(L, funcs);
	json_open_decode(L);
	json_open_encode(L);
	lua_pushlightuserdata(L, NULL);
	lua_setfield(L, -2, "null");
	return 1;
}
