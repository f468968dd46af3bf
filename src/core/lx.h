/*
 * lx: small helpers over the Lua C API: strict arguments, options tables,
 * metatables by name. Everything here may raise unless said.
 */
#ifndef OPSH_CORE_LX_H
#define OPSH_CORE_LX_H

#include <lauxlib.h>
#include <lua.h>
#include <stddef.h>

/* A real string (a number is an error), [-0, +0, v]. */
const char *lx_checkstr(lua_State *L, int arg, size_t *len);
/* A string without NUL bytes. */
const char *lx_checkcstr(lua_State *L, int arg);
/* Seconds: a finite number >= 0; `def` when absent or nil. */
double lx_optseconds(lua_State *L, int arg, double def);

/*
 * Options: `lx_opt_begin` checks that arg is nil/none or a table of string
 * keys, all in the NULL-ended list `names`; an unknown key raises
 * "unknown option 'x' (known: a, b)". Then lx_opt_* read one field each.
 */
void lx_opt_begin(lua_State *L, int arg, const char *const *names);
int lx_opt_bool(lua_State *L, int arg, const char *name, int def);
lua_Integer lx_opt_int(lua_State *L, int arg, const char *name,
		       lua_Integer def);
double lx_opt_num(lua_State *L, int arg, const char *name, double def);
/* Pushes the string so that it lives as long as the frame; NULL when absent
 * (nil is pushed). [-0, +1, v] */
const char *lx_opt_str(lua_State *L, int arg, const char *name, size_t *len);

/* Makes metatable `name` with `methods` as __index, plus `meta` functions
 * (either may be NULL); __name and __metatable set. [-0, +0, m] */
void lx_metatable(lua_State *L, const char *name, const luaL_Reg *methods,
		  const luaL_Reg *meta);
/* Registers functions into the table on top. [-0, +0, m] */
void lx_setfuncs(lua_State *L, const luaL_Reg *funcs);
/* "FILE:LINE" of the Lua function that called, level as luaL_where; "" when
 * it is C. Never raises. */
void lx_where(lua_State *L, int level, char *out, size_t size);

#endif
