/*
 * fuzz_docker: what docker and compose print. By the first byte: the input is JSON
 * or YAML itself, or it says how documents of the kinds in use are bent: which of
 * their values are others. Whatever comes, the row makers give a value of their
 * kind or raise an error object; running out of memory is the one other way. Runs
 * the real Lua files from ./lua (or $OPSH_LUA). Linked with core and JSON.
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
#define MAX_INSTRUCTIONS 5000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int luaopen_opsh_c_json(lua_State *L);

/* Documents with every field that is looked at. */
static const char documents[] =
	"local l = 'com.docker.compose.'\n"
	"local function state(status, code) return { Status = status, OOMKilled = true,\n"
	"	ExitCode = code, Error = 'e\\n', StartedAt = '2026-01-02T03:04:05.678Z',\n"
	"	FinishedAt = '0001-01-01T00:00:00Z', Health = { Status = 'unhealthy',\n"
	"	Log = { { ExitCode = 1, Output = '\\nno\\n' } } } } end\n"
	"local function container(status, code) return { Id = 'ab', Name = '/shop_web_1',\n"
	"	RestartCount = 2, State = state(status, code), HostConfig = { Memory = 9 },\n"
	"	Config = { Image = 'web:1', Labels = { [l .. 'project'] = 'shop',\n"
	"	[l .. 'service'] = 'web', [l .. 'container-number'] = '1',\n"
	"	[l .. 'oneoff'] = 'False', [l .. 'config-hash'] = 'c' } },\n"
	"	NetworkSettings = { Ports = { ['80/tcp'] = { { HostIp = '::',\n"
	"	HostPort = '80' } }, ['53/udp'] = {} } } } end\n"
	"local listed = { ID = 'ab', Names = 'a', Image = 'i', State = 'running',\n"
	"	Status = 'Up', Ports = '', Labels = l .. 'project=shop,' .. l\n"
	"	.. 'service=web' }\n"
	"local used = { Name = 'a', ID = 'b', CPUPerc = '1.5%', MemUsage =\n"
	"	'1.5MiB / 2GiB', NetIO = '1kB / 2B', BlockIO = '-- / --', PIDs = '7' }\n"
	"local event = { Type = 'container', Action = 'die', time = 1767323045,\n"
	"	timeNano = 1767323045000000000, Actor = { ID = 'x', Attributes = {\n"
	"	name = 'a', exitCode = '1', [l .. 'service'] = 'web' } } }\n"
	"local disk = { Type = 'Images', TotalCount = '3', Active = '1', Size = '2GB',\n"
	"	Reclaimable = '1.5MB (60%)' }\n"
	"local service = { image = 'i', build = { context = '.' }, scale = 2,\n"
	"	environment = { A = 'x', B = '' }, ports = { '127.0.0.1:80:8080/tcp', 90,\n"
	"	{ published = '1', target = 2 } }, expose = { '70/udp' }, depends_on = {\n"
	"	db = { condition = 'service_healthy' } }, deploy = { replicas = 3,\n"
	"	resources = { limits = { cpus = '0.5', memory = '512M' } } }, cpus = 1,\n"
	"	mem_limit = '1g', healthcheck = { test = { 'CMD', 'x' }, disable = false },\n"
	"	restart = 'always', network_mode = 'host', container_name = 'n',\n"
	"	profiles = { 'debug' } }\n"
	"return { container('running', 0), container('exited', 137),\n"
	"	container('created', 1), container('restarting', 1), listed, used, event,\n"
	"	disk, service }\n";

static const char driver[] =
	"local err, json, folder, documents = ...\n"
	"package.path, package.cpath = folder .. '/?.lua', ''\n"
	"local input\n"
	"local function preload(name, module) package.loaded[name] = module end\n"
	"preload('opsh.c.err', err)\n"
	"preload('opsh.c.json', json)\n"
	"preload('opsh.c.sys', { stat = function() return { type = 'file' } end,\n"
	"	read = function() return input end })\n"
	"for _, name in ipairs { 'opsh.c.exec', 'opsh.c.task', 'opsh.task',\n"
	"	'opsh.secret', 'opsh.c.target' } do preload(name, {}) end\n"
	"local rows = require 'opsh.docker.rows'\n"
	"local docker = require 'opsh.docker'\n"
	"local yaml = require 'opsh.compose.yaml'\n"
	"local project = require 'opsh.compose.project'\n"
	"local override = require 'opsh.compose.override'\n"
	"local logs = require 'opsh.compose.logs'\n"
	"local others = { 0, -1, 3.5, 0/0, 1/0, 1 << 62, true, false, json.null, '',\n"
	"	'x', ('x'):rep(300), '12', '-1', '1e999', '9EiB', '9999999999999999GB',\n"
	"	'%', {}, { {} }, { a = {} }, 'running', 'paused', 'dead', 'removing',\n"
	"	'healthy', 'starting', '9999-99-99T99:99:99Z', 'exec_die', 'oom',\n"
	"	'NONE', '=', ':', '/', '0' }\n"
	"local function bend(text)\n"
	"	local at = 0\n"
	"	local function byte()\n"
	"		at = at + 1\n"
	"		return text:byte(at)\n"
	"	end\n"
	"	local function copy(v)\n"
	"		if (byte() or 0) >= 220 then\n"
	"			return others[(byte() or 0) % (#others + 1)]\n"
	"		end\n"
	"		if type(v) ~= 'table' then return v end\n"
	"		local keys, out = {}, {}\n"
	"		for k in pairs(v) do keys[#keys + 1] = k end\n"
	"		table.sort(keys, function(x, y)\n"
	"			return tostring(x) < tostring(y)\n"
	"		end)\n"
	"		for _, k in ipairs(keys) do out[k] = copy(v[k]) end\n"
	"		return out\n"
	"	end\n"
	"	return copy(documents[(byte() or 0) % #documents + 1])\n"
	"end\n"
	"local ways = {\n"
	"	function(d) return rows.container(d), rows.is_one_off(d) end,\n"
	"	rows.listed, rows.stats, rows.usage,\n"
	"	function(d) return rows.event(d) or {} end,\n"
	"	function(d) return project.definition('x', d) end,\n"
	"	function(_, text) return yaml.read(text) end,\n"
	"	function(_, text) return project.definition('x', yaml.read(text)) end,\n"
	"	function(_, text)\n"
	"		input = '# Written by opsh\\n' .. text\n"
	"		local state = override.read 'x'\n"
	"		local new = override.change(state, 'web', function(entry)\n"
	"			override.set(entry, 'i:1', { A = '$b' })\n"
	"		end)\n"
	"		override.text(override.back(new, 'web'), 'x')\n"
	"		input = override.text(new, 'x')\n"
	"		return override.read 'x'\n"
	"	end,\n"
	"	function(_, text)\n"
	"		return { rows.time(text), rows.bytes(text), docker.stamped(text),\n"
	"			logs.prefixed(text) }\n"
	"	end,\n"
	"	function(_, text)\n"
	"		return docker.explain(err.new { kind = 'server', message = 'm',\n"
	"			stderr = text }, 'x')\n"
	"	end,\n"
	"	function(_, text) return rows.each(text, 'x', rows.event) end,\n"
	"}\n"
	"return function(way, text)\n"
	"	local ok, value = pcall(function()\n"
	"		local plain = way & 128 ~= 0 and way % #ways < 6\n"
	"		local d = plain and rows.decode(text, 'x') or bend(text)\n"
	"		return (ways[way % #ways + 1](d, text))\n"
	"	end)\n"
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

static _Noreturn void give_up(lua_State *L)
{
	fprintf(stderr, "fuzz_docker: %s\n", luaL_tolstring(L, -1, NULL));
	abort();
}

static lua_State *start(void)
{
	const char *folder = getenv("OPSH_LUA");
	lua_State *L = lua_newstate(limited, NULL);

	if (!L)
		abort();
	luaL_openlibs(L);
	if (luaL_loadbuffer(L, driver, strlen(driver), "=driver"))
		give_up(L);
	lua_pushcfunction(L, luaopen_opsh_c_err);
	lua_call(L, 0, 1);
	lua_pushcfunction(L, luaopen_opsh_c_json);
	lua_call(L, 0, 1);
	lua_pushstring(L, folder ? folder : "lua");
	if (luaL_loadbuffer(L, documents, strlen(documents), "=documents") ||
	    lua_pcall(L, 0, 1, 0) || lua_pcall(L, 4, 1, 0))
		give_up(L);
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
	lua_sethook(L, watch, LUA_MASKCOUNT | LUA_MASKLINE, MAX_INSTRUCTIONS);
	if (lua_pcall(L, 2, 0, 0))
		give_up(L);
	lua_sethook(L, NULL, 0, 0);
	lua_gc(L, LUA_GCSTEP, 0);
	return 0;
}
