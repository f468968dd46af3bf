/*
 * pg: the C module `opsh.c.pg`; opsh.postgres stands in front of it. Opens the
 * parts, hands out the tables that methods of clients and transactions are
 * looked up in, and keeps the JSON functions that values need.
 */
#include "bind/pg.h"

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

static void set_methods(lua_State *L, const char *meta, int idx)
{
	luaL_getmetatable(L, meta);
	lua_pushvalue(L, idx);
	lua_setfield(L, -2, "__index");
	lua_getfield(L, idx, "__call");
	lua_setfield(L, -2, "__call");
	lua_pop(L, 1);
}

/* methods(client, tx): where their methods are looked up */
static int l_methods(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checktype(L, 2, LUA_TTABLE);
	set_methods(L, PG_CLIENT, 1);
	set_methods(L, PG_TX, 2);
	return 0;
}

int luaopen_opsh_c_pg(lua_State *L);

int luaopen_opsh_c_pg(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "json", l_json }, { "methods", l_methods }, { NULL, NULL }
	};

	lua_newtable(L);
	pg_open_result(L);
	pg_open_client(L);
	pg_open_tx(L);
	pg_open_call(L);
	pg_open_cursor(L);
	pg_open_copy(L);
	pg_open_listen(L);
	pg_open_judge(L);
	lx_setfuncs(L, funcs);
	return 1;
}
