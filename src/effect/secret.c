/*
 * secret: the opaque value.
 */
#include "effect/secret.h"

#include <string.h>

#include "core/err.h"
#include "core/lx.h"
#include "core/mem.h"
#include "effect/redact.h"

#define SECRET_META "opsh.secret"

struct secret {
	size_t len;
	char *value;		/* owned; NULL once wiped */
	char name[64];
};

const char *secret_get(lua_State *L, int idx, size_t *len)
{
	struct secret *s = luaL_testudata(L, idx, SECRET_META);

	if (!s || !s->value)
		return NULL;
	if (len)
		*len = s->len;
	return s->value;
}

/* new(value, name) -> secret, masked: whether the redactor took it (a value
 * under 8 bytes or a common word is not masked). */
static int l_secret_new(lua_State *L)
{
	size_t len;
	const char *value = lx_checkstr(L, 1, &len);
	const char *name = lx_checkcstr(L, 2);
	struct secret *s = lua_newuserdatauv(L, sizeof *s, 0);
	int added;

	memset(s, 0, sizeof *s);
	luaL_setmetatable(L, SECRET_META);
	s->value = mem_memdup(value, len);
	if (!s->value)
		return err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	s->len = len;
	memcpy(s->name, name, strnlen(name, sizeof s->name - 1));
	added = redact_add(value, len);
	if (added < 0)
		return err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	lua_pushboolean(L, added == 0);
	return 2;
}

static int l_secret_gc(lua_State *L)
{
	struct secret *s = luaL_checkudata(L, 1, SECRET_META);

	if (s->value)
		mem_wipe(s->value, s->len);
	mem_free(s->value);
	s->value = NULL;
	return 0;
}

/* tostring(secret) -> "[secret NAME]" */
static int l_secret_tostring(lua_State *L)
{
	struct secret *s = luaL_checkudata(L, 1, SECRET_META);

	lua_pushfstring(L, "[secret %s]", s->name);
	return 1;
}

/* is(value) -> boolean */
static int l_secret_is(lua_State *L)
{
	lua_pushboolean(L, luaL_testudata(L, 1, SECRET_META) != NULL);
	return 1;
}

int luaopen_opsh_c_secret(lua_State *L)
{
	static const luaL_Reg meta[] = {
		{ "__gc", l_secret_gc }, { "__tostring", l_secret_tostring },
		{ NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "new", l_secret_new }, { "is", l_secret_is },
		{ NULL, NULL }
	};

	lx_metatable(L, SECRET_META, NULL, meta);
	luaL_newlib(L, funcs);
	return 1;
}
