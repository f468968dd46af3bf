/*
 * kafka_config: settings of topics and brokers, read and written by admin
 * requests. The request to write replaces all dynamic settings of a topic: what
 * isn't sent is lost, so the Lua side reads them first and sends them all.
 */
#include <string.h>

#include "bind/kafka_ask.h"
#include "core/lx.h"

static void free_resource(void *req)
{
	rd_kafka_ConfigResource_destroy(req);
}

static const rd_kafka_ConfigResource_t *the_resource(
	const struct kafka_ask *ask)
{
	const rd_kafka_ConfigResource_t **all;
	size_t n = 0;

	if (rd_kafka_event_type(ask->call.ev) == RD_KAFKA_EVENT_ALTERCONFIGS_RESULT)
		all = rd_kafka_AlterConfigs_result_resources(
			rd_kafka_event_AlterConfigs_result(ask->call.ev), &n);
	else
		all = rd_kafka_DescribeConfigs_result_resources(
			rd_kafka_event_DescribeConfigs_result(ask->call.ev), &n);
	return n ? all[0] : NULL;
}

static rd_kafka_resp_err_t judge_resource(const struct kafka_ask *ask,
					  const char **why, int *part)
{
	const rd_kafka_ConfigResource_t *r = the_resource(ask);

	(void)part;
	if (!r)
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	*why = rd_kafka_ConfigResource_error_string(r);
	return rd_kafka_ConfigResource_error(r);
}

/* "topic" or "broker" at 2, its name at 3. */
static rd_kafka_ConfigResource_t *new_resource(lua_State *L,
					       struct kafka_ask *ask)
{
	static const char *const types[] = { "topic", "broker", NULL };
	int broker = luaL_checkoption(L, 2, NULL, types);
	const char *name = lx_checkcstr(L, 3);
	rd_kafka_ConfigResource_t *r;

	r = rd_kafka_ConfigResource_new(broker ? RD_KAFKA_RESOURCE_BROKER :
					RD_KAFKA_RESOURCE_TOPIC, name);
	if (!r)
		err_raisef(L, ERR_USAGE, "", "'%s' is no name of a %s", name,
			   types[broker]);
	kafka_ask_own(ask, r, free_resource);
	buf_addf(&ask->call.request, "%s %s", types[broker], name);
	return r;
}

/* --- read ------------------------------------------------------------------------------ */
static const char *source_name(rd_kafka_ConfigSource_t source)
{
	switch (source) {
	case RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG:
		return "topic";
	case RD_KAFKA_CONFIG_SOURCE_DYNAMIC_BROKER_CONFIG:
		return "broker";
	case RD_KAFKA_CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER_CONFIG:
		return "cluster";
	case RD_KAFKA_CONFIG_SOURCE_STATIC_BROKER_CONFIG:
		return "file";
	case RD_KAFKA_CONFIG_SOURCE_DEFAULT_CONFIG:
		return "default";
	default:
		return "unknown";
	}
}

static void send_read(struct kafka_call *call, rd_kafka_AdminOptions_t *o,
			 rd_kafka_queue_t *q)
{
	struct kafka_ask *ask = kafka_ask_of(call);
	rd_kafka_ConfigResource_t *req = ask->req;
	char text[128];

	if (ask->broker >= 0)
		rd_kafka_AdminOptions_set_broker(o, ask->broker, text,
						 sizeof text);
	rd_kafka_DescribeConfigs(call->h->rk, &req, 1, o, q);
}

static void push_entry(lua_State *L, const rd_kafka_ConfigEntry_t *e)
{
	const char *value = rd_kafka_ConfigEntry_value(e);

	lua_createtable(L, 0, 5);
	lua_pushstring(L, rd_kafka_ConfigEntry_name(e));
	lua_setfield(L, -2, "name");
	if (value) {
		lua_pushstring(L, value);
		lua_setfield(L, -2, "value");
	}
	lua_pushstring(L, source_name(rd_kafka_ConfigEntry_source(e)));
	lua_setfield(L, -2, "source");
	if (rd_kafka_ConfigEntry_is_sensitive(e) == 1) {
		lua_pushboolean(L, 1);
		lua_setfield(L, -2, "sensitive");
	}
	if (rd_kafka_ConfigEntry_is_read_only(e) == 1) {
		lua_pushboolean(L, 1);
		lua_setfield(L, -2, "read_only");
	}
}

static int push_entries(lua_State *L, struct kafka_ask *ask)
{
	const rd_kafka_ConfigResource_t *r = the_resource(ask);
	const rd_kafka_ConfigEntry_t **all = NULL;
	size_t i, n = 0;

	if (r)
		all = rd_kafka_ConfigResource_configs(r, &n);
	lua_createtable(L, (int)n, 0);
	for (i = 0; i < n; i++) {
		push_entry(L, all[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

/* configs(self, "topic"|"broker", name [, {timeout=, broker=}]) -> {{name=,
 * value=|nil, source=, sensitive=, read_only=}, ...} */
static int l_configs(lua_State *L)
{
	struct kafka_ask *ask;

	lua_settop(L, 4);
	ask = kafka_ask_new_at(L, "configs", EFFECT_READ, 4);
	ask->push = push_entries;
	ask->judge = judge_resource;
	new_resource(L, ask);
	return kafka_ask_admin(L, ask, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS,
			       send_read);
}

/* --- written ------------------------------------------------------------------------------- */
static void send_write(struct kafka_call *call, rd_kafka_AdminOptions_t *o,
			 rd_kafka_queue_t *q)
{
	rd_kafka_ConfigResource_t *req = kafka_ask_of(call)->req;

	rd_kafka_AlterConfigs(call->h->rk, &req, 1, o, q);
}

/* set_configs(self, "topic", name, {name = value, ...}, text [, opts]) -> result.
 * All that it shall have: others go back to their defaults. `text` is what the
 * record says of the change. */
static int l_set_configs(lua_State *L)
{
	const char *text = lx_checkcstr(L, 5);
	rd_kafka_ConfigResource_t *r;
	struct kafka_ask *ask;

	luaL_checktype(L, 4, LUA_TTABLE);
	lua_settop(L, 6);
	ask = kafka_ask_new(L, "alter_config", EFFECT_WRITE, 6);
	ask->judge = judge_resource;
	r = new_resource(L, ask);
	lua_pushnil(L);
	while (lua_next(L, 4)) {
		const char *key = lx_checkcstr(L, lua_gettop(L) - 1);
		const char *value = lx_checkcstr(L, lua_gettop(L));

		rd_kafka_ConfigResource_set_config(r, key, value);
		lua_pop(L, 1);
	}
	buf_addf(&ask->call.request, " %s", text);
	return kafka_ask_admin(L, ask, RD_KAFKA_ADMIN_OP_ALTERCONFIGS,
			       send_write);
}

void kafka_open_config(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "configs", l_configs }, { "set_configs", l_set_configs },
		{ NULL, NULL }
	};

	lx_setfuncs(L, funcs);
}
