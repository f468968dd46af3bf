/*
 * host: makes the Lua state: allocator with a cap, libraries, preloaded C
 * modules. Owns the state; main runs it.
 */
#ifndef OPSH_RUN_HOST_H
#define OPSH_RUN_HOST_H

#include <lua.h>

#define HOST_MEMORY (256u << 20)	/* bytes that Lua may hold */

lua_State *host_new(void);		/* NULL: out of memory */
void host_close(lua_State *L);

/* `opsh.c.sys`: files, user, environment, tables of the build. [-0, +1, m] */
int luaopen_opsh_c_sys(lua_State *L);
#ifdef OPSH_TEST
/* `opsh.c.testing`: failure injection and counters. [-0, +1, m] */
int luaopen_opsh_c_testing(lua_State *L);
/* [-0, +1, e] the function of `opsh --spec FILE`: runs with the real _G. */
void testing_main(lua_State *L, const char *path);
#endif

#endif
