/*
 * kafka_meta: questions about topics, brokers and groups, and orders of
 * administration. Each is a kafka_call; owns how its answer looks in Lua.
 */
#include "bind/kafka.h"

#include "core/lx.h"

void kafka_open_meta(lua_State *L)
{
	static const luaL_Reg funcs[] = { { NULL, NULL } };

	lx_setfuncs(L, funcs);
}
