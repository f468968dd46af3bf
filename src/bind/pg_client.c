/*
 * pg_client: the userdata that owns a target's connections (pg_pool.c), made
 * from its options: connect, close, and what is known of it without asking.
 */
#include "bind/pg.h"

#include <stdio.h>
#include <string.h>

#include "core/lx.h"

static _Noreturn void raise_lost(lua_State *L)
{
	struct err e;

	err_set(&e, ERR_CONNECT, "", "the connection of this transaction was "
		"lost: nothing of it was applied");
	e.phase = PHASE_SEND;
	e.outcome = OUTCOME_FAILED;
	err_raise(L, &e);
}

struct pg_client *pg_check(lua_State *L, int arg, struct pg_conn **c)
{
	struct pg_tx *tx = luaL_testudata(L, arg, PG_TX);
	struct pg_client *pc;

	*c = NULL;
	if (!tx) {
		pc = luaL_checkudata(L, arg, PG_CLIENT);
	} else if (!tx->c) {
		err_raisef(L, ERR_USAGE, "", "this transaction has ended");
	} else if (!tx->c->pc) {
		raise_lost(L);
	} else {
		pc = tx->c->pc;
		*c = tx->c;
	}
	if (pc->closed)
		err_raisef(L, ERR_USAGE, "", "target '%s' is closed",
			   pc->target->name);
	return pc;
}

static void client_close(struct pg_client *pc)
{
	struct err e;

	if (pc->closed)
		return;
	pc->closed = 1;
	err_set(&e, ERR_CANCELLED, "", "target '%s' was closed",
		pc->target ? pc->target->name : "?");
	pg_pool_close(pc, &e);
	pg_judge_forget(pc);
}

/* close(client) */
static int l_close(lua_State *L)
{
	client_close(luaL_checkudata(L, 1, PG_CLIENT));
	return 0;
}

static int l_client_gc(lua_State *L)
{
	struct pg_client *pc = luaL_checkudata(L, 1, PG_CLIENT);

	client_close(pc);
	pg_options_release(&pc->o);
	return 0;
}

/* tostring(client) -> "NAME (postgres ADDRESS)" */
static int l_client_tostring(lua_State *L)
{
	struct pg_client *pc = luaL_checkudata(L, 1, PG_CLIENT);

	lua_pushfstring(L, "%s (postgres%s%s)", pc->target->name,
			pc->target->address[0] ? " " : "",
			pc->target->address);
	return 1;
}

static int is_console(const struct pg_options *o)
{
	const char *name = keywords_get(&o->words, "dbname");

	return name && !strcmp(name, "pgbouncer");
}

/* connect(target, options) -> client; connects when first used */
static int l_connect(lua_State *L)
{
	struct target *t = target_check(L, 1);
	struct pg_client *pc;

	pc = lua_newuserdatauv(L, sizeof *pc, 1);
	memset(pc, 0, sizeof *pc);
	pc->target = t;
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	luaL_setmetatable(L, PG_CLIENT);
	pg_options_read(L, 2, &pc->o);
	pc->console = is_console(&pc->o);
	if (pc->o.n_hosts)
		snprintf(t->address, sizeof t->address, "%.120s%s%.20s",
			 pc->o.hosts[0].host,
			 *pc->o.hosts[0].port ? ":" : "",
			 pc->o.hosts[0].port);
	return 1;
}

/* target(client) -> the target */
static int l_target(lua_State *L)
{
	struct pg_conn *c;

	pg_check(L, 1, &c);
	lua_getiuservalue(L, 1, 1);
	if (c) {
		lua_getiuservalue(L, -1, 1);
		lua_remove(L, -2);
	}
	return 1;
}

/* cancel(client) -> how many statements were asked to end */
static int l_cancel(lua_State *L)
{
	struct pg_conn *c;
	struct pg_client *pc = pg_check(L, 1, &c);
	int n = 0;

	for (c = pc->conns; c; c = c->next) {
		if (c->state != PG_LEASED || !c->job)
			continue;
		pg_conn_cancel(c, 1e6);
		n++;
	}
	lua_pushinteger(L, n);
	return 1;
}

/* keyword(client, name) -> what it was given, or nil; no secrets */
static int l_keyword(lua_State *L)
{
	struct pg_client *pc = luaL_checkudata(L, 1, PG_CLIENT);
	const char *name = lx_checkcstr(L, 2);

	lua_pushstring(L, strstr(name, "password") ? NULL :
		       keywords_get(&pc->o.words, name));
	return 1;
}

void pg_open_client(lua_State *L)
{
	static const luaL_Reg client[] = {
		{ "__gc", l_client_gc }, { "__tostring", l_client_tostring },
		{ NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "connect", l_connect }, { "close", l_close },
		{ "target", l_target }, { "cancel", l_cancel },
		{ "keyword", l_keyword },
		{ NULL, NULL }
	};

	lx_metatable(L, PG_CLIENT, NULL, client);
	lx_setfuncs(L, funcs);
}
