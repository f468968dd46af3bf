/*
 * pg_json: the JSON functions that values and parameters need, as opsh.postgres
 * gave them: a binding includes no other. Knows no JSON itself.
 */
#include "bind/pg.h"

#include <lauxlib.h>

#include "core/lx.h"

static const char json_key[2];

void pg_push_json(lua_State *L, int encode)
{
	lua_rawgetp(L, LUA_REGISTRYINDEX, &json_key[encode != 0]);
}

/* json(decode, encode): what values of json and jsonb are read and written by */
static int l_json(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_settop(L, 2);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &json_key[1]);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &json_key[0]);
	return 0;
}

void pg_open_json(lua_State *L)
{
	static const luaL_Reg funcs[] = { { "json", l_json }, { NULL, NULL } };

	lx_setfuncs(L, funcs);
}
