/*
 * kafka_consume: reading messages by assignment. Owns its handles and queues while
 * a reader lives.
 */
#include "bind/kafka.h"

#include "core/lx.h"

void kafka_open_consume(lua_State *L)
{
	static const luaL_Reg funcs[] = { { NULL, NULL } };

	lx_setfuncs(L, funcs);
}
