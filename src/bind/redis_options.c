/*
 * redis_options: the options of a client, copied out of the Lua table that
 * opsh.redis has made of URL and targets file. Passwords come as secrets or
 * strings; both are given to the redactor, and wiped when the client goes.
 */
#include "bind/redis.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/lx.h"
#include "core/mem.h"
#include "effect/redact.h"
#include "effect/secret.h"

static _Noreturn void no_memory(lua_State *L)
{
	err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
}

static char *copy_str(lua_State *L, int arg, const char *name)
{
	const char *s = lx_opt_str(L, arg, name, NULL);
	char *copy = s ? mem_strdup(s) : NULL;

	if (s && !copy)
		no_memory(L);
	lua_pop(L, 1);
	return copy;
}

/* A secret or a string. */
static char *copy_secret(lua_State *L, int arg, const char *name, size_t *len)
{
	const char *s;
	char *copy;

	if (lua_getfield(L, arg, name) == LUA_TNIL) {
		lua_pop(L, 1);
		return NULL;
	}
	s = secret_get(L, -1, len);
	if (!s && lua_type(L, -1) == LUA_TSTRING)
		s = lua_tolstring(L, -1, len);
	if (!s)
		err_raisef(L, ERR_CONFIG, "", "option '%s' must be a string "
			   "or a secret, not a %s", name, luaL_typename(L, -1));
	copy = mem_memdup(s, *len);
	if (!copy || redact_add(copy, *len) < 0) {
		mem_free(copy);
		no_memory(L);
	}
	lua_pop(L, 1);
	return copy;
}

static double seconds(lua_State *L, int arg, const char *name, double def)
{
	double v = lx_opt_num(L, arg, name, def);

	if (!isfinite(v) || v <= 0)
		err_raisef(L, ERR_CONFIG, "", "option '%s' must be a number "
			   "of seconds above 0", name);
	return v;
}

/* {host, port} at the top of the stack, which is popped. */
static void read_addr(lua_State *L, struct redis_addr *a)
{
	const char *host, *port;

	luaL_checktype(L, -1, LUA_TTABLE);
	lua_rawgeti(L, -1, 1);
	lua_rawgeti(L, -2, 2);
	host = lua_tostring(L, -2);
	port = lua_tostring(L, -1);
	if (!host || !port)
		err_raisef(L, ERR_CONFIG, "", "an address needs host and port");
	a->host = mem_strdup(host);
	a->port = mem_strdup(port);
	if (!a->host || !a->port)
		no_memory(L);
	lua_pop(L, 3);
}

static void read_sentinels(lua_State *L, int arg, struct redis_options *o)
{
	lua_Integer n, i;

	if (lua_getfield(L, arg, "sentinels") == LUA_TNIL) {
		lua_pop(L, 1);
		return;
	}
	luaL_checktype(L, -1, LUA_TTABLE);
	n = (lua_Integer)lua_rawlen(L, -1);
	if (n < 1 || n > 100)
		err_raisef(L, ERR_CONFIG, "", "option 'sentinels' must list 1 "
			   "to 100 addresses");
	o->sentinels = mem_zalloc((size_t)n * sizeof *o->sentinels);
	if (!o->sentinels)
		no_memory(L);
	for (i = 1; i <= n; i++) {
		o->n_sentinels = (int)i;
		lua_rawgeti(L, -1, i);
		read_addr(L, &o->sentinels[i - 1]);
	}
	lua_pop(L, 1);
}

void redis_options_read(lua_State *L, int arg, struct redis_options *o)
{
	static const char *const names[] = {
		"addr", "path", "user", "password", "db", "tls", "ca", "cert",
		"key", "server_name", "sentinels", "master_name",
		"sentinel_user", "sentinel_password", "timeout",
		"connect_timeout", "max_reply", "max_elements", NULL
	};
	lua_Integer n;

	luaL_checktype(L, arg, LUA_TTABLE);
	lx_opt_begin(L, arg, names);
	if (lua_getfield(L, arg, "addr") != LUA_TNIL)
		read_addr(L, &o->addr);
	else
		lua_pop(L, 1);
	o->path = copy_str(L, arg, "path");
	o->user = copy_str(L, arg, "user");
	o->pass = copy_secret(L, arg, "password", &o->pass_len);
	o->db = (int)lx_opt_int(L, arg, "db", 0);
	o->use_tls = lx_opt_bool(L, arg, "tls", 0);
	o->ca = copy_str(L, arg, "ca");
	o->cert = copy_str(L, arg, "cert");
	o->key = copy_str(L, arg, "key");
	o->server_name = copy_str(L, arg, "server_name");
	read_sentinels(L, arg, o);
	o->master_name = copy_str(L, arg, "master_name");
	o->sentinel_user = copy_str(L, arg, "sentinel_user");
	o->sentinel_pass = copy_secret(L, arg, "sentinel_password",
				       &o->sentinel_pass_len);
	o->timeout = seconds(L, arg, "timeout", 10);
	o->connect_timeout = seconds(L, arg, "connect_timeout", 5);
	n = lx_opt_int(L, arg, "max_reply", RESP_MAX_REPLY);
	luaL_argcheck(L, n >= 4096, arg, "max_reply must be at least 4096");
	o->max_reply = (size_t)n;
	o->max_elements = lx_opt_int(L, arg, "max_elements",
				     RESP_MAX_ELEMENTS);
	luaL_argcheck(L, o->max_elements >= 1 && o->max_elements <= INT32_MAX,
		      arg, "max_elements must be 1 to 2^31-1");
	if (!o->path && !o->addr.host && !o->n_sentinels)
		err_raisef(L, ERR_CONFIG, "", "a redis target needs an "
			   "address: url, or sentinels and master_name");
	if (o->n_sentinels && !o->master_name)
		err_raisef(L, ERR_CONFIG, "", "option 'sentinels' needs "
			   "'master_name'");
}

static void wipe(char *s, size_t len)
{
	if (s)
		mem_wipe(s, len);
	mem_free(s);
}

void redis_options_release(struct redis_options *o)
{
	int i;

	for (i = 0; i < o->n_sentinels; i++) {
		mem_free(o->sentinels[i].host);
		mem_free(o->sentinels[i].port);
	}
	mem_free(o->sentinels);
	mem_free(o->addr.host);
	mem_free(o->addr.port);
	mem_free(o->path);
	mem_free(o->user);
	mem_free(o->ca);
	mem_free(o->cert);
	mem_free(o->key);
	mem_free(o->server_name);
	mem_free(o->master_name);
	mem_free(o->sentinel_user);
	wipe(o->pass, o->pass_len);
	wipe(o->sentinel_pass, o->sentinel_pass_len);
	memset(o, 0, sizeof *o);
}
