/*
 * pg_options: the options of a client, copied out of the Lua table that
 * opsh.postgres has made of URL, service file and targets file. Secrets are
 * given to the redactor, and wiped when the client goes.
 */
#include "bind/pg.h"

#include <math.h>
#include <string.h>

#include "core/lx.h"
#include "core/mem.h"

static void no_memory(lua_State *L)
{
	err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
}

static double seconds(lua_State *L, int arg, const char *name, double def)
{
	double v = lx_opt_num(L, arg, name, def);

	if (!isfinite(v) || v <= 0)
		err_raisef(L, ERR_CONFIG, "", "option '%s' must be a number "
			   "of seconds above 0", name);
	return v;
}

/* {host, port} on top, which is popped. */
static void read_host(lua_State *L, struct pg_host *h)
{
	luaL_checktype(L, -1, LUA_TTABLE);
	lua_rawgeti(L, -1, 1);
	lua_rawgeti(L, -2, 2);
	h->host = mem_strdup(luaL_checkstring(L, -2));
	h->port = mem_strdup(luaL_optstring(L, -1, ""));
	if (!h->host || !h->port)
		no_memory(L);
	if (strchr(h->host, ',') || strchr(h->port, ','))
		err_raisef(L, ERR_CONFIG, "", "a host name has no ','");
	lua_pop(L, 3);
}

static void read_hosts(lua_State *L, int arg, struct pg_options *o)
{
	lua_Integer n, i;

	if (lua_getfield(L, arg, "hosts") == LUA_TNIL) {
		lua_pop(L, 1);
		return;
	}
	luaL_checktype(L, -1, LUA_TTABLE);
	n = (lua_Integer)lua_rawlen(L, -1);
	if (n > 32)
		err_raisef(L, ERR_CONFIG, "", "at most 32 hosts");
	o->hosts = mem_zalloc(((size_t)n + 1) * sizeof *o->hosts);
	if (!o->hosts)
		no_memory(L);
	for (i = 1; i <= n; i++) {
		o->n_hosts = (int)i;
		lua_rawgeti(L, -1, i);
		read_host(L, &o->hosts[i - 1]);
	}
	lua_pop(L, 1);
}

void pg_options_read(lua_State *L, int arg, struct pg_options *o)
{
	static const char *const names[] = {
		"hosts", "keywords", "timeout", "connect_timeout", "max",
		"pool", "unnamed", NULL
	};
	lua_Integer n;

	luaL_checktype(L, arg, LUA_TTABLE);
	lx_opt_begin(L, arg, names);
	read_hosts(L, arg, o);
	keywords_read(L, arg, "keywords", &o->words);
	o->timeout = seconds(L, arg, "timeout", 60);
	o->connect_timeout = seconds(L, arg, "connect_timeout", 10);
	o->max = lx_opt_int(L, arg, "max", PG_MAX_BYTES);
	n = lx_opt_int(L, arg, "pool", 10);
	if (n < 1 || n > PG_CONNS)
		err_raisef(L, ERR_CONFIG, "", "option 'pool' is 1 to %d",
			   PG_CONNS);
	o->pool = (int)n;
	o->unnamed = lx_opt_bool(L, arg, "unnamed", 0);
}

void pg_options_release(struct pg_options *o)
{
	int i;

	keywords_release(&o->words);
	for (i = 0; i < o->n_hosts; i++) {
		mem_free(o->hosts[i].host);
		mem_free(o->hosts[i].port);
	}
	mem_free(o->hosts);
	memset(o, 0, sizeof *o);
}
