/*
 * redis_client: the userdata that owns a target's connections: one that is
 * shared, dedicated ones that are leased; and what happens when one of them is
 * up or lost. Connections are opened on demand, and again after a loss. Sends
 * nothing itself.
 */
#include "bind/redis.h"

#include <stdio.h>
#include <string.h>

#include "core/loop.h"
#include "core/lx.h"
#include "core/mem.h"

struct redis_lease {
	struct redis_conn *c;	/* owned; NULL once given back */
};

struct redis_client *redis_check(lua_State *L, int arg, struct redis_conn **c)
{
	struct redis_lease *lease = luaL_testudata(L, arg, REDIS_LEASE);
	struct redis_client *rc;

	*c = NULL;
	if (!lease) {
		rc = luaL_checkudata(L, arg, REDIS_CLIENT);
	} else if (!lease->c) {
		err_raisef(L, ERR_USAGE, "", "this transaction has ended");
	} else {
		rc = lease->c->rc;
		*c = lease->c;
	}
	if (rc->closed)
		err_raisef(L, ERR_USAGE, "", "target '%s' is closed",
			   rc->target->name);
	return rc;
}

static void on_up(struct redis_conn *c)
{
	if (c == &c->rc->shared)
		redis_resend(c->rc);
	redis_pump(c->rc);
}

static void on_down(struct redis_conn *c, const struct err *e, int was_ready)
{
	struct redis_client *rc = c->rc;

	if (c->dead || rc->closed)
		return;
	if (was_ready)
		target_lost(rc->target, e);
	redis_fail_waits(c, e, was_ready);
	if (c == &rc->shared && !was_ready)
		redis_resend_fail(rc, e);
	if (c->idle)
		redis_unlease(c, 0);
	redis_pump(rc);
}

/* --- the userdata ---------------------------------------------------------------- */
static void client_close(struct redis_client *rc)
{
	struct redis_conn *c;
	struct err e;

	if (rc->closed)
		return;
	err_set(&e, ERR_CANCELLED, "", "target '%s' was closed",
		rc->target ? rc->target->name : "?");
	redis_end_waits(rc, &e);
	redis_resend_fail(rc, &e);
	rc->closed = 1;
	if (rc->shared.state != REDIS_DOWN)
		redis_conn_down(&rc->shared, &e);
	while ((c = rc->dedicated)) {
		if (c->state != REDIS_DOWN)
			redis_conn_down(c, &e);
		/* a lease in Lua's hands frees its own */
		if (rc->dedicated == c) {
			rc->dedicated = c->next;
			redis_conn_stop(c);
			if (c->idle)
				redis_conn_free(c);
		}
	}
	tls_ctx_free(rc->tls);
	rc->tls = NULL;
	buf_release(&rc->spare);
}

/* client:close() */
static int l_client_close(lua_State *L)
{
	struct redis_client *rc = luaL_checkudata(L, 1, REDIS_CLIENT);

	client_close(rc);
	return 0;
}

static int l_client_gc(lua_State *L)
{
	struct redis_client *rc = luaL_checkudata(L, 1, REDIS_CLIENT);

	client_close(rc);
	redis_options_release(&rc->o);
	mem_free(rc->classes.at);
	rc->classes.at = NULL;
	rc->classes.cap = rc->classes.used = 0;
	return 0;
}

/* tostring(client) -> "NAME (redis ADDRESS)" */
static int l_client_tostring(lua_State *L)
{
	struct redis_client *rc = luaL_checkudata(L, 1, REDIS_CLIENT);

	lua_pushfstring(L, "%s (redis%s%s)", rc->target->name,
			rc->target->address[0] ? " " : "",
			rc->target->address);
	return 1;
}

/* connect(target, options) -> client; connects when first used */
static int l_connect(lua_State *L)
{
	static const struct redis_news news = { on_up, on_down, redis_pump };
	struct target *t = target_check(L, 1);
	struct redis_client *rc;

	rc = lua_newuserdatauv(L, sizeof *rc, 1);
	memset(rc, 0, sizeof *rc);
	rc->target = t;
	rc->news = &news;
	redis_conn_init(&rc->shared, rc);
	buf_init(&rc->spare);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	luaL_setmetatable(L, REDIS_CLIENT);
	redis_options_read(L, 2, &rc->o);
	if (rc->o.path)
		snprintf(t->address, sizeof t->address, "%s", rc->o.path);
	else if (rc->o.addr.host)
		net_name(t->address, sizeof t->address, rc->o.addr.host,
			 rc->o.addr.port);
	return 1;
}

/* target(client or lease) -> the target */
static int l_target(lua_State *L)
{
	struct redis_conn *c;

	redis_check(L, 1, &c);
	if (c)
		lua_getiuservalue(L, 1, 1);	/* -- client */
	else
		lua_pushvalue(L, 1);
	lua_getiuservalue(L, -1, 1);
	return 1;
}

/* db(client or lease) -> number of its database */
static int l_db(lua_State *L)
{
	struct redis_conn *c;

	lua_pushinteger(L, redis_check(L, 1, &c)->o.db);
	return 1;
}

static int refresh_k(lua_State *L, int status, lua_KContext ctx)
{
	struct redis_conn *c;
	struct redis_client *rc = redis_check(L, 1, &c);
	double asked = lua_tonumber(L, 2);

	(void)status;
	c = c ? c : &rc->shared;
	while (!redis_usable(c, "", asked))
		redis_await(L, c, "", asked, asked + rc->o.timeout, ctx,
			    refresh_k);
	lua_pushstring(L, rc->target->identity);
	lua_pushstring(L, rc->target->role);
	lua_pushstring(L, redis_where(c));
	return 3;
}

/* refresh(client) -> identity, role, address: read from the server now */
static int l_refresh(lua_State *L)
{
	lua_settop(L, 1);
	lua_pushnumber(L, loop_now());
	return refresh_k(L, LUA_OK, 0);
}

/* --- leases: a connection of one's own, for WATCH ----------------------------------- */
/* lease(client) -> lease */
static int l_lease(lua_State *L)
{
	struct redis_conn *c;
	struct redis_client *rc = redis_check(L, 1, &c);
	struct redis_lease *lease;
	struct err e;

	lease = lua_newuserdatauv(L, sizeof *lease, 1);
	lease->c = NULL;
	luaL_setmetatable(L, REDIS_LEASE);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	lease->c = redis_lease(rc, &e);
	if (!lease->c)
		return err_raise(L, &e);
	lease->c->used = lease->c->state == REDIS_READY;
	return 1;
}

/* lease_end(lease, clean): clean when nothing is watched on it any more */
static int l_lease_end(lua_State *L)
{
	struct redis_lease *lease = luaL_checkudata(L, 1, REDIS_LEASE);
	struct redis_conn *c = lease->c;

	lease->c = NULL;
	if (c && c->rc->closed)
		redis_conn_free(c);
	else if (c)
		redis_unlease(c, lua_toboolean(L, 2) == 1 &&
			      lua_isboolean(L, 2));
	return 0;
}

void redis_open_client(lua_State *L)
{
	static const luaL_Reg client[] = {
		{ "__gc", l_client_gc }, { "__tostring", l_client_tostring },
		{ NULL, NULL }
	};
	static const luaL_Reg lease[] = {
		{ "__gc", l_lease_end }, { "__close", l_lease_end },
		{ NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "connect", l_connect }, { "close", l_client_close },
		{ "target", l_target }, { "db", l_db },
		{ "refresh", l_refresh }, { "lease", l_lease },
		{ "lease_end", l_lease_end }, { NULL, NULL }
	};

	lx_metatable(L, REDIS_CLIENT, NULL, client);
	lx_metatable(L, REDIS_LEASE, NULL, lease);
	lx_setfuncs(L, funcs);
}
