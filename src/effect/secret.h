/*
 * secret: values that must not be shown. A userdata `opsh.secret` that prints
 * as its name; only bindings read the value. Each is given to the redactor.
 */
#ifndef OPSH_EFFECT_SECRET_H
#define OPSH_EFFECT_SECRET_H

#include <lua.h>
#include <stddef.h>

/* The value of the secret at idx, NUL-terminated; NULL when idx holds no
 * secret. Lives as long as the userdata. Never raises. */
const char *secret_get(lua_State *L, int idx, size_t *len);

/* `opsh.c.secret`: new(value, name) -> secret, masked. [-0, +1, m] */
int luaopen_opsh_c_secret(lua_State *L);

#endif
