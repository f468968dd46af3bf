/*
 * session: what the person in a session of the REPL is told by what happens on the
 * loop: a lost connection that is back, the end of write mode. Must not decide
 * anything: the boundary has.
 */
#ifndef OPSH_RUN_SESSION_H
#define OPSH_RUN_SESSION_H

#include <lua.h>

/* `opsh.c.session`: attend(on). [-0, +1, m] */
int luaopen_opsh_c_session(lua_State *L);

#endif
