/*
 * history: the file of past entries, shared by sessions that run at once: every
 * change is made under a lock of the file and whole. Knows no format.
 */
#ifndef OPSH_REPL_HISTORY_H
#define OPSH_REPL_HISTORY_H

#include <lua.h>

/* append(path, text) -> size of the file after it | nil, why. The file is made
 * with mode 0600. [-0, +1|2, v] */
int history_append_lua(lua_State *L);
/* rewrite(path, f): f(contents) -> new contents, or nil: left as it is. -> true |
 * nil, why. [-0, +1|2, v] */
int history_rewrite_lua(lua_State *L);

#endif
