/*
 * pg: the C module `opsh.c.pg`; opsh.postgres stands in front of it. Opens the
 * parts and hands out the tables that methods of clients and transactions are
 * looked up in. Does nothing else.
 */
#include "bind/pg.h"

#include "core/lx.h"

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
		{ "methods", l_methods }, { NULL, NULL }
	};

	lua_newtable(L);
	pg_open_json(L);
	pg_open_result(L);
	pg_open_client(L);
	pg_open_tx(L);
	pg_open_stage(L);
	pg_open_cursor(L);
	pg_open_copy(L);
	pg_open_listen(L);
	pg_open_judge(L);
	lx_setfuncs(L, funcs);
	return 1;
}
