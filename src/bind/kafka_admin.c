/*
 * kafka_admin: topics made, grown and removed, and records removed, by admin
 * requests. One topic a request, so that its answer is one outcome. Must not
 * decide anything: checks (does it exist, how many are lost) are the Lua side's.
 */
#include <limits.h>
#include <string.h>

#include "bind/kafka_ask.h"
#include "core/lx.h"

#define WHY 512

static int32_t check_count(lua_State *L, int arg, lua_Integer max)
{
	lua_Integer n = luaL_checkinteger(L, arg);

	luaL_argcheck(L, n >= 1 && n <= max, arg, "a count, 1 or more");
	return (int32_t)n;
}

static void refuse(lua_State *L, const char *why)
{
	err_raisef(L, ERR_USAGE, "", "%s", why);
}

/* What the broker said of the one topic. */
static rd_kafka_resp_err_t judge_topic(const struct kafka_ask *ask,
				       const char **why, int *part)
{
	const rd_kafka_topic_result_t **topics = NULL;
	size_t n = 0;

	(void)part;
	switch (rd_kafka_event_type(ask->call.ev)) {
	case RD_KAFKA_EVENT_CREATETOPICS_RESULT:
		topics = rd_kafka_CreateTopics_result_topics(
			rd_kafka_event_CreateTopics_result(ask->call.ev), &n);
		break;
	case RD_KAFKA_EVENT_CREATEPARTITIONS_RESULT:
		topics = rd_kafka_CreatePartitions_result_topics(
			rd_kafka_event_CreatePartitions_result(ask->call.ev), &n);
		break;
	case RD_KAFKA_EVENT_DELETETOPICS_RESULT:
		topics = rd_kafka_DeleteTopics_result_topics(
			rd_kafka_event_DeleteTopics_result(ask->call.ev), &n);
		break;
	default:
		break;
	}
	if (!n)
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	*why = rd_kafka_topic_result_error_string(topics[0]);
	return rd_kafka_topic_result_error(topics[0]);
}

/* --- made ------------------------------------------------------------------------------ */
static void free_new_topic(void *req)
{
	rd_kafka_NewTopic_destroy(req);
}

static void send_create(struct kafka_call *call, rd_kafka_AdminOptions_t *o,
			 rd_kafka_queue_t *q)
{
	rd_kafka_NewTopic_t *req = kafka_ask_of(call)->req;

	rd_kafka_CreateTopics(call->h->rk, &req, 1, o, q);
}

/* Settings of the table at arg into the request; all values are strings. */
static void take_config(lua_State *L, int arg, struct kafka_ask *ask)
{
	lua_pushnil(L);
	while (lua_next(L, arg)) {
		const char *key = lx_checkcstr(L, lua_gettop(L) - 1);
		const char *value = lx_checkcstr(L, lua_gettop(L));

		rd_kafka_NewTopic_set_config(ask->req, key, value);
		buf_addf(&ask->call.request, " %s=%s", key, value);
		lua_pop(L, 1);
	}
}

/* create_topic(self, name, partitions, replication (-1: the broker's default),
 * config [, opts]) -> result */
static int l_create_topic(lua_State *L)
{
	const char *name = lx_checkcstr(L, 2);
	int32_t partitions = check_count(L, 3, INT32_MAX);
	lua_Integer replication = luaL_checkinteger(L, 4);
	rd_kafka_NewTopic_t *req;
	struct kafka_ask *ask;
	char why[WHY];

	luaL_argcheck(L, replication == -1 ||
		      (replication >= 1 && replication <= INT16_MAX), 4,
		      "a number of replicas, or -1 for the broker's default");
	luaL_checktype(L, 5, LUA_TTABLE);
	lua_settop(L, 6);
	ask = kafka_ask_new(L, "create_topic", EFFECT_WRITE, 6);
	ask->judge = judge_topic;
	req = rd_kafka_NewTopic_new(name, partitions, (int)replication, why,
				    sizeof why);
	if (!req)
		refuse(L, why);
	kafka_ask_own(ask, req, free_new_topic);
	buf_addf(&ask->call.request, "topic %s partitions=%d", name, (int)partitions);
	if (replication > 0)
		buf_addf(&ask->call.request, " replication=%d", (int)replication);
	take_config(L, 5, ask);
	return kafka_ask_admin(L, ask, RD_KAFKA_ADMIN_OP_CREATETOPICS,
			       send_create);
}

/* --- grown ------------------------------------------------------------------------------- */
static void free_partitions(void *req)
{
	rd_kafka_NewPartitions_destroy(req);
}

static void send_grow(struct kafka_call *call, rd_kafka_AdminOptions_t *o,
			 rd_kafka_queue_t *q)
{
	rd_kafka_NewPartitions_t *req = kafka_ask_of(call)->req;

	rd_kafka_CreatePartitions(call->h->rk, &req, 1, o, q);
}

/* add_partitions(self, topic, total [, opts]) -> result */
static int l_add_partitions(lua_State *L)
{
	const char *name = lx_checkcstr(L, 2);
	int32_t total = check_count(L, 3, INT32_MAX);
	rd_kafka_NewPartitions_t *req;
	struct kafka_ask *ask;
	char why[WHY];

	lua_settop(L, 4);
	ask = kafka_ask_new(L, "add_partitions", EFFECT_WRITE, 4);
	ask->judge = judge_topic;
	req = rd_kafka_NewPartitions_new(name, (size_t)total, why, sizeof why);
	if (!req)
		refuse(L, why);
	kafka_ask_own(ask, req, free_partitions);
	buf_addf(&ask->call.request, "topic %s to %d partitions", name, (int)total);
	return kafka_ask_admin(L, ask, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS,
			       send_grow);
}

/* --- removed -------------------------------------------------------------------------------- */
static void send_delete(struct kafka_call *call, rd_kafka_AdminOptions_t *o,
			 rd_kafka_queue_t *q)
{
	rd_kafka_DeleteTopic_t *req = rd_kafka_DeleteTopic_new(kafka_ask_of(call)->name);

	rd_kafka_DeleteTopics(call->h->rk, &req, 1, o, q);
	rd_kafka_DeleteTopic_destroy(req);
}

/* delete_topic(self, topic [, opts]) -> result */
static int l_delete_topic(lua_State *L)
{
	const char *name = lx_checkcstr(L, 2);
	struct kafka_ask *ask;

	luaL_argcheck(L, *name, 2, "no name");
	lua_settop(L, 3);
	ask = kafka_ask_new(L, "delete_topic", EFFECT_DESTRUCTIVE, 3);
	ask->judge = judge_topic;
	kafka_ask_name(L, ask, name);
	buf_addf(&ask->call.request, "topic %s", name);
	return kafka_ask_admin(L, ask, RD_KAFKA_ADMIN_OP_DELETETOPICS,
			       send_delete);
}

/* --- records --------------------------------------------------------------------------------- */
static void free_list(void *req)
{
	rd_kafka_topic_partition_list_destroy(req);
}

static void send_records(struct kafka_call *call, rd_kafka_AdminOptions_t *o,
			 rd_kafka_queue_t *q)
{
	rd_kafka_DeleteRecords_t *req = rd_kafka_DeleteRecords_new(kafka_ask_of(call)->req);

	rd_kafka_DeleteRecords(call->h->rk, &req, 1, o, q);
	rd_kafka_DeleteRecords_destroy(req);
}

static const rd_kafka_topic_partition_list_t *
records_left(const struct kafka_ask *ask)
{
	return rd_kafka_DeleteRecords_result_offsets(
		rd_kafka_event_DeleteRecords_result(ask->call.ev));
}

static rd_kafka_resp_err_t judge_records(const struct kafka_ask *ask,
					 const char **why, int *part)
{
	const rd_kafka_topic_partition_list_t *list = records_left(ask);
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
	int i, bad = 0;

	for (i = 0; i < list->cnt; i++) {
		if (list->elems[i].err && !bad++)
			code = list->elems[i].err;
	}
	*part = bad && bad < list->cnt;
	*why = rd_kafka_err2str(code);
	return code;
}

/* -- {[partition] = the first offset that is left} */
static int push_records(lua_State *L, struct kafka_ask *ask)
{
	const rd_kafka_topic_partition_list_t *list = records_left(ask);
	int i;

	lua_createtable(L, 0, list->cnt);
	for (i = 0; i < list->cnt; i++) {
		lua_pushinteger(L, list->elems[i].offset);
		lua_rawseti(L, -2, list->elems[i].partition);
	}
	return 1;
}

/* delete_records(self, topic, {[partition] = before this offset} [, opts]) -> result,
 * its value the first offsets that are left */
static int l_delete_records(lua_State *L)
{
	const char *topic = lx_checkcstr(L, 2);
	rd_kafka_topic_partition_list_t *list;
	struct kafka_ask *ask;
	long long n = 0;

	luaL_checktype(L, 3, LUA_TTABLE);
	lua_settop(L, 4);
	ask = kafka_ask_new(L, "delete_records", EFFECT_DESTRUCTIVE, 4);
	ask->judge = judge_records;
	ask->push = push_records;
	list = rd_kafka_topic_partition_list_new(8);
	kafka_ask_own(ask, list, free_list);
	buf_addf(&ask->call.request, "topic %s before", topic);
	lua_pushnil(L);
	while (lua_next(L, 3)) {
		lua_Integer p, offset = luaL_checkinteger(L, -1);

		luaL_argcheck(L, lua_isinteger(L, -2), 3, "partitions expected");
		p = lua_tointeger(L, -2);
		luaL_argcheck(L, p >= 0 && p <= INT32_MAX && offset >= 0, 3,
			      "partitions and offsets are numbers from 0");
		rd_kafka_topic_partition_list_add(list, topic,
						  (int32_t)p)->offset = offset;
		buf_addf(&ask->call.request, "%s %lld:%lld", n++ ? "," : "",
			 (long long)p, (long long)offset);
		lua_pop(L, 1);
	}
	luaL_argcheck(L, n > 0, 3, "no partitions");
	ask->call.items = n;
	return kafka_ask_admin(L, ask, RD_KAFKA_ADMIN_OP_DELETERECORDS,
			       send_records);
}

void kafka_open_admin(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "create_topic", l_create_topic },
		{ "add_partitions", l_add_partitions },
		{ "delete_topic", l_delete_topic },
		{ "delete_records", l_delete_records },
		{ NULL, NULL }
	};

	lx_setfuncs(L, funcs);
}
