/*
 * fuzz_playbook: the text of a playbook, a targets file, a URL or parameters,
 * by the first byte. Whatever it is, the loader gives a table or raises an
 * error object; running out of memory is the one other way. Runs the real Lua
 * files from ./lua (or $OPSH_LUA) with a system that holds only the input;
 * instructions and memory are limited. Linked with core.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "core/err.h"

#define MAX_MEMORY (64u << 20)
#define MAX_INSTRUCTIONS 200000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char driver[] =
	"local err, folder, limit = ...\n"
	"local input\n"
	"package.path = folder .. '/?.lua'\n"
	"package.cpath = ''\n"
	"local function preload(name, module)\n"
	"	package.loaded[name] = module\n"
	"end\n"
	"preload('opsh.c.err', err)\n"
	"preload('opsh.c.sys', {\n"
	"	stat = function() return { type = 'file', mode = 384, uid = 1 } end,\n"
	"	euid = function() return 1 end,\n"
	"	getenv = function() return 'value' end,\n"
	"	readdir = function() return {} end,\n"
	"	read = function() return input end,\n"
	"	kinds = function() return { fake = 'redis rediss redis+unix',\n"
	"		other = 'http postgresql kafka compose local' } end,\n"
	"})\n"
	"local kind = { name = 'fake', options = {\n"
	"	password = { type = 'secret' }, user = { type = 'string' },\n"
	"	retries = { type = 'integer', min = 0 },\n"
	"	tls = { type = 'table' } } }\n"
	"preload('opsh.fake', { kind = kind })\n"
	"preload('opsh.other', { kind = kind })\n"
	"local secret = { value = function() return { 'secret' } end,\n"
	"	env = function() return { 'secret' } end,\n"
	"	is = function(v) return type(v) == 'table' and v[1] == 'secret' end }\n"
	"local playbook = require 'run.playbook'\n"
	"local targets = require 'run.targets'\n"
	"local params = require 'run.params'\n"
	"local url = require 'run.url'\n"
	"require('run.inert').max_instructions = limit\n"
	"local opts = { secret = secret }\n"
	"local spec = { a = { type = 'list', items = 'integer' },\n"
	"	b = { type = 'duration' }, c = { type = 'number', min = 1 },\n"
	"	d = { type = 'string', secret = true, pattern = '%a+' } }\n"
	"local ways = {\n"
	"	function() return playbook.describe('x.lua', { problems = true }) end,\n"
	"	function() return playbook.describe('x.lua') end,\n"
	"	function() return targets.load('opsh.lua', opts) end,\n"
	"	function()\n"
	"		local u = url.parse(input, secret.value)\n"
	"		assert(url.mask(u) == u.text)\n"
	"		return u\n"
	"	end,\n"
	"	function()\n"
	"		return targets.add(targets.empty(), 'x=' .. input, opts)\n"
	"	end,\n"
	"	function()\n"
	"		local args = {}\n"
	"		for line in input:gmatch '[^\\n]+' do args[#args + 1] = line end\n"
	"		return params.parse(spec, args)\n"
	"	end,\n"
	"}\n"
	"return function(way, text)\n"
	"	input = text\n"
	"	local ok, value = pcall(ways[way % #ways + 1])\n"
	"	if ok and type(value) ~= 'table' then\n"
	"		error('not a table: ' .. tostring(value), 0)\n"
	"	elseif not ok and not err.is(value)\n"
	"	   and not tostring(value):find 'not enough memory' then\n"
	"		error('not an error object: ' .. tostring(value), 0)\n"
	"	end\n"
	"end\n";

static size_t used;

static void *limited(void *ud, void *ptr, size_t old, size_t size)
{
	void *p;

	(void)ud;
	if (!ptr)
		old = 0;
	if (!size) {
		used -= old;
		free(ptr);
		return NULL;
	}
	if (size > old && size - old > MAX_MEMORY - used)
		return NULL;
	p = realloc(ptr, size);
	if (p)
		used += size - old;
	return p;
}

/* Lines of our Lua files that ran: what the fuzzer is guided by. */
__attribute__((section("__libfuzzer_extra_counters")))
static uint8_t lines[1 << 14];

/* Counts a line, or ends a targets file that does not end by itself;
 * playbooks have a limit of their own. */
static void watch(lua_State *L, lua_Debug *ar)
{
	unsigned hash;
	const char *s;

	if (ar->event == LUA_HOOKCOUNT)
		luaL_error(L, "too many instructions");
	if (!lua_getinfo(L, "S", ar) || ar->currentline < 0)
		return;
	hash = (unsigned)ar->currentline * 31u;
	for (s = ar->short_src; *s; s++)
		hash = hash * 33u + (unsigned char)*s;
	lines[(hash ^ hash >> 15) % sizeof lines]++;
}

static lua_State *start(void)
{
	const char *folder = getenv("OPSH_LUA");
	lua_State *L = lua_newstate(limited, NULL);

	if (!L)
		abort();
	luaL_openlibs(L);
	if (luaL_loadbuffer(L, driver, strlen(driver), "=driver"))
		abort();
	lua_pushcfunction(L, luaopen_opsh_c_err);
	lua_call(L, 0, 1);
	lua_pushstring(L, folder ? folder : "lua");
	lua_pushinteger(L, MAX_INSTRUCTIONS);
	if (lua_pcall(L, 3, 1, 0)) {
		fprintf(stderr, "fuzz_playbook: %s\n", lua_tostring(L, -1));
		abort();
	}
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
	lua_sethook(L, watch, LUA_MASKCOUNT | LUA_MASKLINE,
		    50 * MAX_INSTRUCTIONS);
	if (lua_pcall(L, 2, 0, 0)) {
		fprintf(stderr, "fuzz_playbook: %s\n",
			luaL_tolstring(L, -1, NULL));
		abort();
	}
	lua_sethook(L, NULL, 0, 0);
	lua_gc(L, LUA_GCSTEP, 0);
	return 0;
}
