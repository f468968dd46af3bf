/*
 * redis: the C module `opsh.c.redis`; opsh.redis stands in front of it. Opens
 * the parts and hands out the table that methods of clients are looked up in.
 */
#include "bind/redis.h"

#include "core/lx.h"
#include "effect/digest.h"

/* methods(t): clients and leases find their methods in t, by its __index when
 * it has one */
static int l_methods(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_getmetatable(L, REDIS_CLIENT);
	lua_pushvalue(L, 1);
	lua_setfield(L, -2, "__index");
	lua_getfield(L, 1, "__call");
	lua_setfield(L, -2, "__call");
	luaL_getmetatable(L, REDIS_LEASE);
	lua_pushvalue(L, 1);
	lua_setfield(L, -2, "__index");
	return 0;
}

/* sha1(text) -> its SHA-1 in hexadecimal */
static int l_sha1(lua_State *L)
{
	char hex[DIGEST_HEX_MAX];
	size_t len;
	const char *s = lx_checkstr(L, 1, &len);

	digest_all(digest_find("sha1"), s, len, hex);
	lua_pushstring(L, hex);
	return 1;
}

int luaopen_opsh_c_redis(lua_State *L);

int luaopen_opsh_c_redis(lua_State *L)
{
	lua_newtable(L);
	redis_open_client(L);
	redis_open_call(L);
	redis_open_sub(L);
	lua_pushcfunction(L, l_methods);
	lua_setfield(L, -2, "methods");
	lua_pushcfunction(L, l_sha1);
	lua_setfield(L, -2, "sha1");
	return 1;
}
