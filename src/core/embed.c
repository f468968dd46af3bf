/*
 * embed: module searchers over the embedded files and the bindings' directory.
 */
#include "core/embed.h"

#include <dlfcn.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char lib_dir[4096];
static char playbook_dir[4096];

static int by_path(const void *key, const void *item)
{
	return strcmp(key, ((const struct embedded *)item)->path);
}

const struct embedded *embed_find(const char *path)
{
	return bsearch(path, embedded_files, (size_t)embedded_count,
		       sizeof *embedded_files, by_path);
}

/* Is there a directory at fmt with the executable's directory put in? */
static int find_dir(char *out, size_t size, const char *fmt, const char *exe)
{
	struct stat st;
	int n;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	n = snprintf(out, size, fmt, exe);
#pragma GCC diagnostic pop
	if (n > 0 && (size_t)n < size && !stat(out, &st) &&
	    S_ISDIR(st.st_mode))
		return 1;
	out[0] = '\0';
	return 0;
}

static void find_dirs(void)
{
	static int done;
	char exe[2048];
	ssize_t n;
	char *slash;

	if (done)
		return;
	done = 1;
	n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	if (n <= 0)
		return;
	exe[n] = '\0';
	slash = strrchr(exe, '/');
	if (!slash)
		return;
	*slash = '\0';
	if (!find_dir(lib_dir, sizeof lib_dir, "%s/../lib/opsh", exe))
		find_dir(lib_dir, sizeof lib_dir, "%s/lib", exe);
	if (!find_dir(playbook_dir, sizeof playbook_dir,
		      "%s/../share/opsh/playbooks", exe))
		find_dir(playbook_dir, sizeof playbook_dir,
			 "%s/../../playbooks", exe);
}

const char *embed_lib_dir(void)
{
	find_dirs();
	return lib_dir;
}

const char *embed_playbook_dir(void)
{
	find_dirs();
	return playbook_dir;
}

/* `opsh.a.b` -> lua/opsh/a/b.lua, compiled by the build. */
static int l_search_embedded(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	const struct embedded *file;
	const char *path;

	luaL_gsub(L, name, ".", "/");
	path = lua_pushfstring(L, "lua/%s.lua", lua_tostring(L, -1));
	file = embed_find(path);
	if (!file) {
		lua_pushfstring(L, "no embedded file '%s'", path);
		return 1;
	}
	if (luaL_loadbufferx(L, file->data, file->len, path, "b"))
		return lua_error(L);
	lua_insert(L, -2);
	return 2;
}

/* `opsh.c.x` -> DIR/x.so, function luaopen_opsh_c_x. */
static int l_search_binding(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	const char *path, *symbol;
	lua_CFunction open;
	void *lib;

	if (strncmp(name, "opsh.c.", 7) || strchr(name + 7, '.') ||
	    strchr(name + 7, '/')) {
		lua_pushfstring(L, "no module '%s'", name);
		return 1;
	}
	find_dirs();
	path = lua_pushfstring(L, "%s/%s.so", lib_dir, name + 7);
	lib = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	if (!lib)
		return luaL_error(L, "cannot load '%s': %s", path, dlerror());
	symbol = lua_pushfstring(L, "luaopen_opsh_c_%s", name + 7);
	/* POSIX allows this conversion, ISO C has no word for it */
	*(void **)&open = dlsym(lib, symbol);
	if (!open)
		return luaL_error(L, "cannot load '%s': no function '%s'",
				  path, symbol);
	lua_pushcfunction(L, open);
	lua_pushvalue(L, 2);
	return 2;
}

void embed_open(lua_State *L)
{
	lua_getglobal(L, "package");
	lua_getfield(L, -1, "searchers");	/* -- package searchers */
	lua_pushcfunction(L, l_search_embedded);
	lua_rawseti(L, -2, 2);
	lua_pushcfunction(L, l_search_binding);
	lua_rawseti(L, -2, 3);
	lua_pushnil(L);
	lua_rawseti(L, -2, 4);
	lua_pop(L, 1);
	lua_pushliteral(L, "");
	lua_setfield(L, -2, "path");
	lua_pushliteral(L, "");
	lua_setfield(L, -2, "cpath");
	lua_pushnil(L);
	lua_setfield(L, -2, "loadlib");
	lua_pop(L, 1);
}
