/*
 * lua_fuzz: what every fuzz target written in Lua runs in. Built once for each
 * fuzz_NAME.lua: that file returns a function, which gets each input and raises
 * what is a find. Memory and instructions are limited; the lines of the files in
 * ./lua (or $OPSH_LUA) that ran are what the fuzzer is guided by. Loads opsh.c.err
 * and opsh.c.json, and `native` where the target has one; knows no target.
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
#define MAX_INSTRUCTIONS 10000000
#define FOLDER "tests/fuzz"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int luaopen_opsh_c_json(lua_State *L);
/* What one target needs of a C library. */
int luaopen_native(lua_State *L) __attribute__((weak));

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

__attribute__((section("__libfuzzer_extra_counters")))
static uint8_t lines[1 << 14];

/* The file that ran last, and what its lines are counted by; 0: not at all. */
static const char *file;
static unsigned file_hash;

static void set_file(const char *source)
{
	const char *s;

	file = source;
	file_hash = 0;
	if (!strncmp(source, "@" FOLDER, sizeof FOLDER))
		return;			/* a target is not what is tested */
	for (s = source; *s; s++)
		file_hash = file_hash * 33u + (unsigned char)*s;
	file_hash |= 1;
}

static void watch(lua_State *L, lua_Debug *ar)
{
	unsigned hash;

	if (ar->event == LUA_HOOKCOUNT)
		luaL_error(L, "too many instructions");
	if (!lua_getinfo(L, "S", ar) || ar->currentline < 0)
		return;
	if (ar->source != file)
		set_file(ar->source);
	if (!file_hash)
		return;
	hash = file_hash + (unsigned)ar->currentline * 2654435761u;
	lines[(hash ^ hash >> 15) % sizeof lines]++;
}

static _Noreturn void give_up(lua_State *L)
{
	fprintf(stderr, "fuzz_%s: %s\n", FUZZ_NAME, luaL_tolstring(L, -1, NULL));
	abort();
}

static void preload(lua_State *L, const char *name, lua_CFunction open)
{
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
	lua_pushcfunction(L, open);
	lua_setfield(L, -2, name);
	lua_pop(L, 1);
}

/* The target's function stands at 1. */
static lua_State *start(void)
{
	const char *folder = getenv("OPSH_LUA");
	lua_State *L = lua_newstate(limited, NULL);

	if (!L)
		abort();
	luaL_openlibs(L);
	preload(L, "opsh.c.err", luaopen_opsh_c_err);
	preload(L, "opsh.c.json", luaopen_opsh_c_json);
	if (luaopen_native)
		preload(L, "native", luaopen_native);
	lua_getglobal(L, "package");
	lua_pushfstring(L, "%s/?.lua;" FOLDER "/?.lua", folder ? folder : "lua");
	lua_setfield(L, -2, "path");
	lua_pushliteral(L, "");
	lua_setfield(L, -2, "cpath");
	lua_settop(L, 0);
	if (luaL_loadfile(L, FOLDER "/fuzz_" FUZZ_NAME ".lua") ||
	    lua_pcall(L, 0, 1, 0))
		give_up(L);
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
	file = NULL;
	lua_sethook(L, watch, LUA_MASKCOUNT | LUA_MASKLINE, MAX_INSTRUCTIONS);
	if (lua_pcall(L, 1, 0, 0))
		give_up(L);
	lua_sethook(L, NULL, 0, 0);
	lua_gc(L, LUA_GCSTEP, 0);
	return 0;
}
