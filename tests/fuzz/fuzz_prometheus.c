/*
 * fuzz_prometheus: a /metrics text. Whatever it is, the parser gives families or
 * raises an error object of kind protocol or limit; what it gives, written out
 * again by the driver's own writer, is read as the same. Runs the real Lua file
 * from ./lua (or $OPSH_LUA); memory is limited. Linked with core.
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char driver[] =
	"local err, folder = ...\n"
	"package.path = folder .. '/?.lua'\n"
	"package.cpath = ''\n"
	"package.loaded['opsh.c.err'] = err\n"
	"local text = require 'opsh.prometheus.text'\n"
	"local function quote(s)\n"
	"	return '\"' .. s:gsub('[\\\\\\n\"]', { ['\\n'] = '\\\\n',\n"
	"		['\\\\'] = '\\\\\\\\', ['\"'] = '\\\\\"' }) .. '\"'\n"
	"end\n"
	"local function number(v)\n"
	"	if v ~= v then return 'NaN' end\n"
	"	if v == math.huge then return '+Inf' end\n"
	"	if v == -math.huge then return '-Inf' end\n"
	"	return ('%.17g'):format(v)\n"
	"end\n"
	"local function labels(own, list)\n"
	"	local out = { own and quote(own) }\n"
	"	for k, v in pairs(list) do\n"
	"		out[#out + 1] = quote(k) .. '=' .. quote(v)\n"
	"	end\n"
	"	return '{' .. table.concat(out, ',') .. '}'\n"
	"end\n"
	"local function stamp(v) return v and ' ' .. number(v) or '' end\n"
	"local function write(families)\n"
	"	local out = {}\n"
	"	local function add(...) out[#out + 1] = table.concat { ... } end\n"
	"	for _, f in ipairs(families) do\n"
	"		add('# TYPE ', quote(f.name), ' ', f.type)\n"
	"		for _, s in ipairs(f.samples) do\n"
	"			local e = s.exemplar\n"
	"			add(labels(s.name, s.labels), ' ', number(s.value),\n"
	"				stamp(s.timestamp), e and ' # ' .. labels(nil, e.labels)\n"
	"				.. ' ' .. number(e.value) .. stamp(e.timestamp) or '')\n"
	"		end\n"
	"	end\n"
	"	add '# EOF'\n"
	"	return table.concat(out, '\\n') .. '\\n'\n"
	"end\n"
	"local function same(a, b)\n"
	"	if type(a) ~= 'table' or type(b) ~= 'table' then\n"
	"		return a == b or a ~= a and b ~= b\n"
	"	end\n"
	"	for k, v in pairs(a) do if not same(v, b[k]) then return false end end\n"
	"	for k in pairs(b) do if a[k] == nil then return false end end\n"
	"	return true\n"
	"end\n"
	"return function(input)\n"
	"	local fine, value = pcall(text.parse, input)\n"
	"	if not fine then\n"
	"		if err.is(value) and (value.kind == 'protocol'\n"
	"			or value.kind == 'limit')\n"
	"			or tostring(value):find 'not enough memory' then return end\n"
	"		error('not the right error: ' .. tostring(value), 0)\n"
	"	end\n"
	"	for _, f in ipairs(value) do f.help, f.unit = nil, nil end\n"
	"	local again = write(value)\n"
	"	local ok, back = pcall(text.parse, again)\n"
	"	if not ok then error(tostring(back) .. '\\n' .. again, 0) end\n"
	"	if not same(value, back) then error('differs:\\n' .. again, 0) end\n"
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

/* Lines of our Lua file that ran: what the fuzzer is guided by. */
__attribute__((section("__libfuzzer_extra_counters")))
static uint8_t lines[1 << 10];

static void watch(lua_State *L, lua_Debug *ar)
{
	if (lua_getinfo(L, "S", ar) && ar->short_src[0] != 'd'
	    && ar->currentline >= 0)
		lines[(unsigned)ar->currentline % sizeof lines]++;
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
	if (lua_pcall(L, 2, 1, 0)) {
		fprintf(stderr, "fuzz_prometheus: %s\n", lua_tostring(L, -1));
		abort();
	}
	return L;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static lua_State *L;

	if (!L)
		L = start();
	lua_settop(L, 1);
	lua_pushvalue(L, 1);
	lua_pushlstring(L, (const char *)data, size);
	lua_sethook(L, watch, LUA_MASKLINE, 0);
	if (lua_pcall(L, 1, 0, 0)) {
		fprintf(stderr, "fuzz_prometheus: %s\n",
			luaL_tolstring(L, -1, NULL));
		abort();
	}
	lua_sethook(L, NULL, 0, 0);
	lua_gc(L, LUA_GCSTEP, 0);
	return 0;
}
