/*
 * fuzz_json: whatever comes in, decode gives a value or raises an error
 * object; a value that came out is encoded, and what is read back from that is
 * encoded to the same text. The first byte picks the options. Linked with the
 * JSON binding and core.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "core/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int luaopen_opsh_c_json(lua_State *L);

static const char driver[] =
	"local err, json = ...\n"
	"return function(flags, text)\n"
	"	local binary = flags & 1 ~= 0 and 'escape' or nil\n"
	"	local opts = { binary = binary, null = json.null,\n"
	"		max_depth = flags & 2 ~= 0 and 1000 or 5,\n"
	"		unique_keys = flags & 4 ~= 0 }\n"
	"	local ok, value = pcall(json.decode, text, opts)\n"
	"	if not ok then\n"
	"		assert(err.is(value), tostring(value))\n"
	"		return\n"
	"	end\n"
	"	local out = { binary = binary, max_depth = 1000,\n"
	"		indent = flags >> 3 & 3 }\n"
	"	local once = json.encode(value, out)\n"
	"	local twice = json.encode(json.decode(once, opts), out)\n"
	"	assert(once == twice, once)\n"
	"end\n";

static lua_State *start(void)
{
	lua_State *L = luaL_newstate();

	if (!L)
		abort();
	luaL_openlibs(L);
	if (luaL_loadstring(L, driver))
		abort();
	lua_pushcfunction(L, luaopen_opsh_c_err);
	lua_call(L, 0, 1);
	lua_pushcfunction(L, luaopen_opsh_c_json);
	lua_call(L, 0, 1);
	lua_call(L, 2, 1);
	return L;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static lua_State *L;

	if (!L)
		L = start();
	if (!size)
		return 0;
	lua_settop(L, 1);
	lua_pushvalue(L, 1);
	lua_pushinteger(L, data[0]);
	lua_pushlstring(L, (const char *)data + 1, size - 1);
	if (lua_pcall(L, 2, 0, 0)) {
		fprintf(stderr, "fuzz_json: %s\n", luaL_tolstring(L, -1, NULL));
		abort();
	}
	return 0;
}
