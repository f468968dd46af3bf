/*
 * embed: the Lua files inside the executable, and the C modules beside it.
 * Sets up `require`: embedded modules by name, bindings loaded on first use.
 */
#ifndef OPSH_CORE_EMBED_H
#define OPSH_CORE_EMBED_H

#include <lua.h>
#include <stddef.h>

struct embedded {
	const char *path;	/* "lua/opsh/redis.lua" */
	const char *data;
	size_t len;
};
extern const struct embedded embedded_files[];	/* sorted by path */
extern const int embedded_count;

const struct embedded *embed_find(const char *path);	/* NULL: none */

/*
 * Replaces package.searchers: preload, then `opsh.x` and `run.x` from the
 * embedded files, then `opsh.c.x` from the bindings' directory. Nothing is
 * ever read from LUA_PATH, LUA_CPATH or the working directory. [-0, +0, m]
 */
void embed_open(lua_State *L);

/* Directories found from the executable's own place: the build tree's or the
 * installation's. "" when there is none. */
const char *embed_lib_dir(void);
const char *embed_playbook_dir(void);

#endif
