/*
 * child: a child process whose output is captured, stderr too: posix_spawn, a group of its
 * own, stdin from /dev/null, no descriptor of ours inherited. A deadline or a
 * cancel ends the group (TERM, then KILL). Knows no effect; for programs that the
 * runner itself asks (secret.command).
 */
#ifndef OPSH_CORE_CHILD_H
#define OPSH_CORE_CHILD_H

#include <lua.h>

/* `opsh.c.child`: run(argv, {timeout =, max =}) -> {status or signal, stdout,
 * stderr: its first 1 KiB}.
 * [-0, +1, m] */
int luaopen_opsh_c_child(lua_State *L);

#endif
