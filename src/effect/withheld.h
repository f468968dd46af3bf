/*
 * withheld: results of writes, real ones and those that a plan has not got.
 */
#ifndef OPSH_EFFECT_WITHHELD_H
#define OPSH_EFFECT_WITHHELD_H

#include "effect/effect.h"

/* Pushes a result table made of the value at idx: {value, count, ok}, or of
 * its fields when it is a table of them. [-0, +1, m] */
int effect_push_result(lua_State *L, int idx, int fields);
/* The metatables. [-0, +0, m] */
void effect_open_results(lua_State *L);

#endif
