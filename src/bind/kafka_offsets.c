/*
 * kafka_offsets: what groups have committed, by admin requests: read, set,
 * removed. Whether a group exists is for the caller to look at first: the broker
 * makes a group of any name that offsets are set for.
 */
#include "bind/kafka_ask.h"
#include "core/lx.h"

/* --- what groups have committed ------------------------------------------- */
static void free_committed(void *req)
{
	rd_kafka_ListConsumerGroupOffsets_destroy(req);
}

static void send_committed(struct kafka_call *call, rd_kafka_AdminOptions_t *o,
			 rd_kafka_queue_t *q)
{
	rd_kafka_ListConsumerGroupOffsets_t *req = kafka_ask_of(call)->req;

	rd_kafka_ListConsumerGroupOffsets(call->h->rk, &req, 1, o, q);
}

/* -- {{topic=, partition=, offset=|nil, error=|nil, metadata=|nil}, ...} */
static int push_partitions(lua_State *L, struct kafka_ask *ask)
{
	const rd_kafka_group_result_t *g = kafka_group_result(ask);
	const rd_kafka_topic_partition_list_t *list = g ?
		rd_kafka_group_result_partitions(g) : NULL;
	int i, n = list ? list->cnt : 0;

	lua_createtable(L, n, 0);
	for (i = 0; i < n; i++) {
		const rd_kafka_topic_partition_t *p = &list->elems[i];

		lua_createtable(L, 0, 4);
		lua_pushstring(L, p->topic);
		lua_setfield(L, -2, "topic");
		lua_pushinteger(L, p->partition);
		lua_setfield(L, -2, "partition");
		if (p->offset >= 0) {
			lua_pushinteger(L, p->offset);
			lua_setfield(L, -2, "offset");
		}
		if (p->err) {
			lua_pushstring(L, rd_kafka_err2name(p->err));
			lua_setfield(L, -2, "error");
		}
		if (p->metadata_size) {
			lua_pushlstring(L, p->metadata, p->metadata_size);
			lua_setfield(L, -2, "metadata");
		}
		lua_rawseti(L, -2, i + 1);
	}
	return 1;
}

/* committed(self, group [, {timeout=}]) -> all that it has committed; nothing for
 * a group that does not exist */
static int l_committed(lua_State *L)
{
	const char *group = lx_checkcstr(L, 2);
	struct kafka_ask *ask;

	lua_settop(L, 3);
	ask = kafka_ask_new(L, "committed", EFFECT_READ, 3);
	ask->push = push_partitions;
	ask->judge = kafka_group_judge;
	buf_addf(&ask->call.request, "committed offsets of group %s", group);
	kafka_ask_own(ask, rd_kafka_ListConsumerGroupOffsets_new(group, NULL),
		      free_committed);
	return kafka_ask_admin(L, ask,
			       RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS,
			       send_committed);
}

/* --- what they shall have committed -------------------------------------- */
/* The list at arg, {{topic=, partition=, offset=}, ...}, into list. */
static void take_offsets(lua_State *L, int arg, struct kafka_ask *ask,
			 rd_kafka_topic_partition_list_t *list, int offsets)
{
	lua_Integer i, n = (lua_Integer)lua_rawlen(L, arg);

	for (i = 1; i <= n; i++) {
		rd_kafka_topic_partition_t *p;
		const char *topic;
		lua_Integer number;

		lua_rawgeti(L, arg, i);
		luaL_checktype(L, -1, LUA_TTABLE);
		lua_getfield(L, -1, "topic");
		topic = lx_checkcstr(L, lua_gettop(L));
		lua_getfield(L, -2, "partition");
		number = luaL_checkinteger(L, -1);
		luaL_argcheck(L, number >= 0 && number <= INT32_MAX, arg,
			      "a partition is a number from 0");
		p = rd_kafka_topic_partition_list_add(list, topic,
						      (int32_t)number);
		buf_addf(&ask->call.request, "%s%s %lld", i > 1 ? ", " : ": ", topic,
			 (long long)number);
		if (offsets) {
			lua_getfield(L, -3, "offset");
			p->offset = luaL_checkinteger(L, -1);
			luaL_argcheck(L, p->offset >= 0, arg,
				      "an offset is a number from 0");
			buf_addf(&ask->call.request, " = %lld", (long long)p->offset);
			lua_pop(L, 1);
		}
		lua_pop(L, 3);
	}
}

static void free_list(void *req)
{
	rd_kafka_topic_partition_list_destroy(req);
}

static void send_alter(struct kafka_call *call, rd_kafka_AdminOptions_t *o,
			 rd_kafka_queue_t *q)
{
	struct kafka_ask *ask = kafka_ask_of(call);
	rd_kafka_AlterConsumerGroupOffsets_t *req =
		rd_kafka_AlterConsumerGroupOffsets_new(ask->name, ask->req);

	rd_kafka_AlterConsumerGroupOffsets(call->h->rk, &req, 1, o, q);
	rd_kafka_AlterConsumerGroupOffsets_destroy(req);
}

static void send_forget(struct kafka_call *call, rd_kafka_AdminOptions_t *o,
			 rd_kafka_queue_t *q)
{
	struct kafka_ask *ask = kafka_ask_of(call);
	rd_kafka_DeleteConsumerGroupOffsets_t *req =
		rd_kafka_DeleteConsumerGroupOffsets_new(ask->name, ask->req);

	rd_kafka_DeleteConsumerGroupOffsets(call->h->rk, &req, 1, o, q);
	rd_kafka_DeleteConsumerGroupOffsets_destroy(req);
}

static int group_offsets(lua_State *L, const char *verb, int offsets,
			 rd_kafka_admin_op_t api, kafka_ask_send *send)
{
	const char *group = lx_checkcstr(L, 2);
	rd_kafka_topic_partition_list_t *list;
	struct kafka_ask *ask;
	lua_Integer n;

	luaL_checktype(L, 3, LUA_TTABLE);
	lua_settop(L, 4);
	n = (lua_Integer)lua_rawlen(L, 3);
	luaL_argcheck(L, n > 0, 3, "no partitions");
	ask = kafka_ask_new(L, verb, EFFECT_WRITE, 4);
	ask->judge = kafka_group_judge;
	ask->call.items = n;
	kafka_ask_name(L, ask, group);
	buf_addf(&ask->call.request, "group %s", group);
	list = rd_kafka_topic_partition_list_new((int)n);
	kafka_ask_own(ask, list, free_list);
	take_offsets(L, 3, ask, list, offsets);
	return kafka_ask_admin(L, ask, api, send);
}

/* set_offsets(self, group, {{topic=, partition=, offset=}, ...} [, opts]) -> result */
static int l_set_offsets(lua_State *L)
{
	return group_offsets(L, "set_offsets", 1,
			     RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS,
			     send_alter);
}

/* forget_offsets(self, group, {{topic=, partition=}, ...} [, opts]) -> result */
static int l_forget_offsets(lua_State *L)
{
	return group_offsets(L, "forget_offsets", 0,
			     RD_KAFKA_ADMIN_OP_DELETECONSUMERGROUPOFFSETS,
			     send_forget);
}

void kafka_open_offsets(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "committed", l_committed },
		{ "set_offsets", l_set_offsets },
		{ "forget_offsets", l_forget_offsets },
		{ NULL, NULL }
	};

	lx_setfuncs(L, funcs);
}
