/*
 * lend: a program that is given the terminal, as an op: other tasks go on.
 */
#ifndef OPSH_TERM_LEND_H
#define OPSH_TERM_LEND_H

#include <lua.h>

/* lend(argv, {stdin = true}) -> the program: write, wait, __close. [-0, +1, v] */
int lend_lua(lua_State *L);
/* The metatable of programs. [-0, +0, m] */
void lend_open(lua_State *L);

#endif
