/*
 * fuzz_pg_conninfo: connection strings, by the first byte as keywords, as a service
 * file or as part of a URL. A keyword string that libpq takes gives the same
 * keywords here, one that we take has no other meaning there; whatever comes, it is
 * a table or an error object. Runs the real Lua files from ./lua (or $OPSH_LUA).
 */
#include <libpq-fe.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "core/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char driver[] =
	"local err, folder = ...\n"
	"package.path = folder .. '/?.lua'\n"
	"package.cpath = ''\n"
	"local input = ''\n"
	"package.loaded['opsh.c.err'] = err\n"
	"package.loaded['opsh.c.fs'] = { exists = function() return true end,\n"
	"	read = function() return input end }\n"
	"os.getenv = function() return nil end\n"
	"local conninfo = require 'opsh.postgres.conninfo'\n"
	"local url = require 'run.url'\n"
	"local function secret() return 'hidden' end\n"
	"local ways = {\n"
	"	conninfo.parse,\n"
	"	function(text) input = text; return conninfo.service 's' end,\n"
	"	function(text) return conninfo.options('t',\n"
	"		{ url = url.parse('postgresql://' .. text, secret) }) end,\n"
	"	function(text) return conninfo.options('t', { conninfo = text }) end,\n"
	"}\n"
	"return function(way, text)\n"
	"	local ok, got = pcall(ways[way], text)\n"
	"	if ok and type(got) ~= 'table' then error('no table', 0) end\n"
	"	if not ok and not err.is(got) then error(tostring(got), 0) end\n"
	"	return ok and got or nil\n"
	"end\n";

static lua_State *L;

/* Lines of our Lua files that ran: what the fuzzer is guided by. */
__attribute__((section("__libfuzzer_extra_counters")))
static uint8_t lines[1 << 12];

static void watch(lua_State *l, lua_Debug *ar)
{
	unsigned hash;
	const char *s;

	if (!lua_getinfo(l, "S", ar) || ar->currentline < 0)
		return;
	hash = (unsigned)ar->currentline * 31u;
	for (s = ar->short_src; *s; s++)
		hash = hash * 33u + (unsigned char)*s;
	lines[(hash ^ hash >> 15) % sizeof lines]++;
}

static void open_lua(void)
{
	const char *folder = getenv("OPSH_LUA");

	L = luaL_newstate();
	luaL_openlibs(L);
	if (luaL_loadstring(L, driver) != LUA_OK)
		abort();
	luaL_requiref(L, "opsh.c.err", luaopen_opsh_c_err, 0);
	lua_pushstring(L, folder ? folder : "lua");
	if (lua_pcall(L, 2, 1, 0) != LUA_OK) {
		fprintf(stderr, "%s\n", lua_tostring(L, -1));
		abort();
	}
	lua_setfield(L, LUA_REGISTRYINDEX, "fuzz");
	lua_sethook(L, watch, LUA_MASKLINE, 0);
}

/* What we have read, the table on top (or nil), against what libpq reads. */
static void compare(const char *text)
{
	char *why = NULL;
	PQconninfoOption *all, *o;

	if (!strncmp(text, "postgres", 8))
		return;			/* libpq might take it for a URL */
	all = PQconninfoParse(text, &why);
	PQfreemem(why);
	if (!all)
		return;
	if (!lua_istable(L, -1))
		abort();		/* it takes what we refuse */
	for (o = all; o->keyword; o++) {
		lua_getfield(L, -1, o->keyword);
		if ((o->val == NULL) != lua_isnil(L, -1))
			abort();
		if (o->val && strcmp(o->val, lua_tostring(L, -1)))
			abort();
		lua_pop(L, 1);
	}
	PQconninfoFree(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (!size || memchr(data + 1, 0, size - 1))
		return 0;
	if (!L)
		open_lua();
	text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	lua_getfield(L, LUA_REGISTRYINDEX, "fuzz");
	lua_pushinteger(L, data[0] % 4 + 1);
	lua_pushlstring(L, text, size - 1);
	if (lua_pcall(L, 2, 1, 0) != LUA_OK) {
		fprintf(stderr, "%s\n", lua_tostring(L, -1));
		abort();
	}
	if (data[0] % 4 == 0)
		compare(text);
	lua_settop(L, 0);
	free(text);
	return 0;
}
