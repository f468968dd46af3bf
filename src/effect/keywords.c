/*
 * keywords: settings by name, copied out of a Lua table. Owns the copies; gives
 * secrets to the redactor before anything can fail with them in its message.
 */
#include "effect/keywords.h"

#include <string.h>

#include "core/err.h"
#include "core/lx.h"
#include "core/mem.h"
#include "effect/redact.h"
#include "effect/secret.h"

static void no_memory(lua_State *L)
{
	err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
}

/* One of them: a string or a secret, on top. */
static void read_one(lua_State *L, struct keywords *k)
{
	const char *key, *s;
	size_t len;

	if (k->n >= KEYWORDS_MAX)
		err_raisef(L, ERR_CONFIG, "", "too many settings: at most %d",
			   KEYWORDS_MAX);
	key = lx_checkcstr(L, -2);
	s = secret_get(L, -1, &len);
	if (s && redact_add(s, len) < 0)
		no_memory(L);
	if (!s)
		s = luaL_checklstring(L, -1, &len);
	if (strlen(s) != len)
		err_raisef(L, ERR_CONFIG, "", "'%s' has a NUL byte", key);
	k->key[k->n] = mem_strdup(key);
	k->value[k->n] = mem_strdup(s);
	k->n++;
	if (!k->key[k->n - 1] || !k->value[k->n - 1])
		no_memory(L);
}

void keywords_read(lua_State *L, int arg, const char *field,
		   struct keywords *k)
{
	if (lua_getfield(L, arg, field) == LUA_TTABLE) {
		lua_pushnil(L);
		while (lua_next(L, -2)) {
			read_one(L, k);
			lua_pop(L, 1);
		}
	}
	lua_pop(L, 1);
}

const char *keywords_get(const struct keywords *k, const char *key)
{
	int i;

	for (i = 0; i < k->n; i++)
		if (!strcmp(k->key[i], key))
			return k->value[i];
	return NULL;
}

void keywords_release(struct keywords *k)
{
	int i;

	for (i = 0; i < k->n; i++) {
		if (k->value[i])
			mem_wipe(k->value[i], strlen(k->value[i]));
		mem_free(k->key[i]);
		mem_free(k->value[i]);
	}
	memset(k, 0, sizeof *k);
}
