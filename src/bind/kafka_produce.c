/*
 * kafka_produce: writing messages; delivery reports decide what became of them.
 * Owns the producers of a client.
 */
#include "bind/kafka.h"

#include "core/lx.h"

void kafka_producers_close(struct kafka_client *kc)
{
	(void)kc;
}

void kafka_open_produce(lua_State *L)
{
	static const luaL_Reg funcs[] = { { NULL, NULL } };

	lx_setfuncs(L, funcs);
}
