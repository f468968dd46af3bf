/*
 * kafka_tx: transactions: messages and a group's offsets that count together or
 * not at all.
 */
#include "bind/kafka.h"

#include "core/lx.h"

void kafka_open_tx(lua_State *L)
{
	static const luaL_Reg funcs[] = { { NULL, NULL } };

	lx_setfuncs(L, funcs);
}
