/*
 * kafka_client: the userdata of a target: its options and the handles that it has
 * opened. What is still open when it is closed ends in the pool. Decides nothing
 * about calls.
 */
#include "bind/kafka.h"

#include <stdio.h>
#include <string.h>

#include "core/lx.h"

struct kafka_client *kafka_check(lua_State *L, int arg)
{
	struct kafka_client *kc = luaL_checkudata(L, arg, KAFKA_CLIENT);

	if (kc->closed)
		err_raisef(L, ERR_USAGE, "", "target '%s' is closed",
			   kc->target->name);
	return kc;
}

struct kafka_handle *kafka_admin(struct kafka_client *kc, struct err *e)
{
	static const char *const more[] = {
		/* it fetches nothing */
		"queued.max.messages.kbytes", "1024", NULL
	};

	if (!kc->admin)
		kc->admin = kafka_handle_new(kc, RD_KAFKA_CONSUMER, more, e);
	return kc->admin;
}

struct kafka_handle *kafka_grouped(struct kafka_client *kc, struct err *e)
{
	static const char *const more[] = {
		"queued.max.messages.kbytes", "1024", "group.id", "opsh-looks",
		NULL
	};

	if (!kc->grouped)
		kc->grouped = kafka_handle_new(kc, RD_KAFKA_CONSUMER, more, e);
	if (kc->grouped)
		kafka_handle_hold(kc->grouped);
	return kc->grouped;
}

static void client_close(struct kafka_client *kc)
{
	struct kafka_handle *h;

	if (kc->closed)
		return;
	kc->closed = 1;
	while ((h = kc->handles))	/* those that others hold outlive us */
		kafka_handle_deafen(h);
	kafka_producers_close(kc);
	kafka_handle_drop(kc->admin);
	kc->admin = NULL;
	kafka_handle_drop(kc->grouped);
	kc->grouped = NULL;
	kafka_handle_drop(kc->mock);
	kc->mock = NULL;
}

/* close(client) */
static int l_close(lua_State *L)
{
	client_close(luaL_checkudata(L, 1, KAFKA_CLIENT));
	return 0;
}

static int l_client_gc(lua_State *L)
{
	struct kafka_client *kc = luaL_checkudata(L, 1, KAFKA_CLIENT);

	client_close(kc);
	kafka_options_release(&kc->o);
	return 0;
}

/* tostring(client) -> "NAME (kafka ADDRESS)" */
static int l_client_tostring(lua_State *L)
{
	struct kafka_client *kc = luaL_checkudata(L, 1, KAFKA_CLIENT);

	lua_pushfstring(L, "%s (kafka%s%s)", kc->target->name,
			kc->brokers[0] ? " " : "", kc->brokers);
	return 1;
}

static void find_brokers(struct kafka_client *kc)
{
	const char *list = keywords_get(&kc->o.properties,
					"bootstrap.servers");

	if (list)
		snprintf(kc->brokers, sizeof kc->brokers, "%s", list);
	if (kc->o.mock)
		snprintf(kc->brokers, sizeof kc->brokers, "mock://%d",
			 kc->o.mock);
}

/* connect(target, options) -> client; connects when first used */
static int l_connect(lua_State *L)
{
	struct target *t = target_check(L, 1);
	struct kafka_client *kc;

	kc = lua_newuserdatauv(L, sizeof *kc, 1);
	memset(kc, 0, sizeof *kc);
	kc->target = t;
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	luaL_setmetatable(L, KAFKA_CLIENT);
	kafka_options_read(L, 2, &kc->o);
	find_brokers(kc);
	snprintf(t->address, sizeof t->address, "%.191s", kc->brokers);
	return 1;
}

/* target(client) -> the target */
static int l_target(lua_State *L)
{
	kafka_check(L, 1);
	lua_getiuservalue(L, 1, 1);
	return 1;
}

/* handles() -> how many of librdkafka's handles have not ended yet */
static int l_handles(lua_State *L)
{
	lua_pushinteger(L, kafka_handles());
	return 1;
}

/* methods(table): where the methods of clients are looked up */
static int l_methods(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_getmetatable(L, KAFKA_CLIENT);
	lua_pushvalue(L, 1);
	lua_setfield(L, -2, "__index");
	lua_getfield(L, 1, "__call");
	lua_setfield(L, -2, "__call");
	return 0;
}

void kafka_open_client(lua_State *L)
{
	static const luaL_Reg client[] = {
		{ "__gc", l_client_gc }, { "__tostring", l_client_tostring },
		{ NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "connect", l_connect }, { "close", l_close },
		{ "target", l_target }, { "handles", l_handles },
		{ "methods", l_methods }, { NULL, NULL }
	};

	lx_metatable(L, KAFKA_CLIENT, NULL, client);
	lx_setfuncs(L, funcs);
}
