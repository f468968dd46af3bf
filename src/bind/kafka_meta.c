/*
 * kafka_meta: what the brokers say of themselves and of their topics, and the
 * offsets of many partitions in one question (the first, the last, those of a
 * time). Calls of librdkafka that block, in the pool. A topic's name is never
 * sent to ask whether it exists: all are asked for, so none can appear by that.
 */
#include <limits.h>
#include <string.h>
#include <time.h>

#include "bind/kafka_ask.h"
#include "core/lx.h"

#define PARTITIONS_MAX 200000	/* in one question */
#define TRIES 40		/* while a leader is being found */

/* --- metadata ------------------------------------------------------------------------ */
static void run_metadata(struct kafka_call *call)
{
	struct kafka_ask *ask = kafka_ask_of(call);

	if (kafka_metadata(call, 1, NULL, &ask->meta))
		return;
	/* both are known by now */
	ask->controller = rd_kafka_controllerid(call->h->rk, 0);
	ask->cluster = rd_kafka_clusterid(call->h->rk, 0);
}

static void push_ids(lua_State *L, const int32_t *ids, int n)
{
	int i;

	lua_createtable(L, n, 0);
	for (i = 0; i < n; i++) {
		lua_pushinteger(L, ids[i]);
		lua_rawseti(L, -2, i + 1);
	}
}

static void set_code(lua_State *L, rd_kafka_resp_err_t code)
{
	if (!code)
		return;
	lua_pushstring(L, rd_kafka_err2name(code));
	lua_setfield(L, -2, "error");
}

static void push_partition(lua_State *L,
			   const struct rd_kafka_metadata_partition *p)
{
	lua_createtable(L, 0, 5);
	lua_pushinteger(L, p->id);
	lua_setfield(L, -2, "partition");
	lua_pushinteger(L, p->leader);
	lua_setfield(L, -2, "leader");
	push_ids(L, p->replicas, p->replica_cnt);
	lua_setfield(L, -2, "replicas");
	push_ids(L, p->isrs, p->isr_cnt);
	lua_setfield(L, -2, "isr");
	set_code(L, p->err);
}

/* -- topic; its partitions in the order that the broker gave */
static void push_topic(lua_State *L, const struct rd_kafka_metadata_topic *t)
{
	int i;

	lua_createtable(L, 0, 3);
	lua_pushstring(L, t->topic);
	lua_setfield(L, -2, "topic");
	lua_createtable(L, t->partition_cnt, 0);
	for (i = 0; i < t->partition_cnt; i++) {
		push_partition(L, &t->partitions[i]);
		lua_rawseti(L, -2, i + 1);
	}
	lua_setfield(L, -2, "partitions");
	set_code(L, t->err);
}

static void push_brokers(lua_State *L, const struct rd_kafka_metadata *meta)
{
	int i;

	lua_createtable(L, meta->broker_cnt, 0);
	for (i = 0; i < meta->broker_cnt; i++) {
		lua_createtable(L, 0, 3);
		lua_pushinteger(L, meta->brokers[i].id);
		lua_setfield(L, -2, "id");
		lua_pushstring(L, meta->brokers[i].host);
		lua_setfield(L, -2, "host");
		lua_pushinteger(L, meta->brokers[i].port);
		lua_setfield(L, -2, "port");
		lua_rawseti(L, -2, i + 1);
	}
}

static int push_metadata(lua_State *L, struct kafka_ask *ask)
{
	const struct rd_kafka_metadata *meta = ask->meta;
	int i;

	lua_createtable(L, 0, 4);
	push_brokers(L, meta);
	lua_setfield(L, -2, "brokers");
	if (ask->controller >= 0) {
		lua_pushinteger(L, ask->controller);
		lua_setfield(L, -2, "controller");
	}
	if (ask->cluster) {
		lua_pushstring(L, ask->cluster);
		lua_setfield(L, -2, "cluster_id");
	}
	lua_createtable(L, meta->topic_cnt, 0);
	for (i = 0; i < meta->topic_cnt; i++) {
		push_topic(L, &meta->topics[i]);
		lua_rawseti(L, -2, i + 1);
	}
	lua_setfield(L, -2, "topics");
	return 1;
}

/* metadata(self [, {timeout=}]) -> {brokers=, controller=, cluster_id=, topics=} */
static int l_metadata(lua_State *L)
{
	struct kafka_ask *ask;

	lua_settop(L, 2);
	ask = kafka_ask_new(L, "metadata", EFFECT_READ, 2);
	ask->push = push_metadata;
	buf_adds(&ask->call.request, "metadata of all topics");
	return kafka_ask_pool(L, ask, run_metadata);
}

/* --- what producers know ----------------------------------------------------------------- */
static int push_nothing(lua_State *L, struct kafka_ask *ask)
{
	(void)ask;
	lua_pushboolean(L, 1);
	return 1;
}

/* The n-th handle of the client that writes; NULL. */
static struct kafka_handle *writer(const struct kafka_client *kc,
				   lua_Integer n)
{
	struct kafka_handle *h;

	for (h = kc->handles; h; h = h->next) {
		if (rd_kafka_type(h->rk) == RD_KAFKA_PRODUCER && --n == 0)
			break;
	}
	return h;
}

/* refresh(self, n [, {timeout=}]) -> true: the client's n-th producer knows all topics
 * as they are now; false: there is none */
static int l_refresh(lua_State *L)
{
	lua_Integer n = luaL_checkinteger(L, 2);
	struct kafka_handle *h;
	struct kafka_ask *ask;

	lua_settop(L, 3);
	ask = kafka_ask_new(L, "refresh", EFFECT_READ, 3);
	h = writer(ask->call.kc, n);	/* after what may collect one */
	if (!h) {
		lua_pushboolean(L, 0);
		return 1;
	}
	kafka_handle_hold(h);
	kafka_handle_drop(ask->call.h);
	ask->call.h = h;
	ask->push = push_nothing;
	buf_adds(&ask->call.request, "metadata of a producer");
	return kafka_ask_pool(L, ask, run_metadata);
}

/* --- offsets ------------------------------------------------------------------------- */
/* A leader has just changed, or a topic was just made (only what is in the metadata
 * is asked for): it passes. */
static int passes(rd_kafka_resp_err_t code, int *tries)
{
	static const struct timespec while_ = { 0, 50 * 1000 * 1000 };

	if (code == RD_KAFKA_RESP_ERR__TIMED_OUT)
		return 1;
	if ((code != RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION &&
	     code != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE &&
	     code != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART &&
	     code != RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH &&
	     code != RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH) || ++*tries > TRIES)
		return 0;
	nanosleep(&while_, NULL);
	return 1;
}

static void run_offsets(struct kafka_call *call)
{
	struct kafka_ask *ask = kafka_ask_of(call);
	rd_kafka_resp_err_t code;
	int i = 0, tries = 0, slice, ms;

	while (i < ask->n) {
		slice = call->slice;
		ms = kafka_slice(call);
		if (!ms)
			return;
		code = rd_kafka_offsets_for_times(call->h->rk, ask->lists[i],
						  ms);
		if (!code) {
			i++;
		} else if (!passes(code, &tries)) {
			kafka_error_set(&call->failed, code, NULL);
			return;
		}
		if (code != RD_KAFKA_RESP_ERR__TIMED_OUT)
			call->slice = slice;
	}
}

/* The answers of one time: offsets, and into the table at `errors` the codes of
 * those that have none. */
static void push_offsets(lua_State *L,
			 const rd_kafka_topic_partition_list_t *at, int errors)
{
	int i;

	lua_createtable(L, at->cnt, 0);
	for (i = 0; i < at->cnt; i++) {
		const rd_kafka_topic_partition_t *p = &at->elems[i];

		lua_pushinteger(L, p->err ? -1 : p->offset);
		lua_rawseti(L, -2, i + 1);
		if (!p->err)
			continue;
		lua_pushstring(L, rd_kafka_err2name(p->err));
		lua_rawseti(L, errors, i + 1);
	}
}

static int push_times(lua_State *L, struct kafka_ask *ask)
{
	int i, errors;

	lua_createtable(L, ask->n, 0);
	lua_newtable(L);
	errors = lua_gettop(L);
	for (i = 0; i < ask->n; i++) {
		push_offsets(L, ask->lists[i], errors);
		lua_rawseti(L, errors - 1, i + 1);
	}
	return 2;
}

/* The i-th of the list at arg: a topic, or a partition of it. */
static const char *topic_at(lua_State *L, int arg, lua_Integer i)
{
	const char *s;

	if (lua_rawgeti(L, arg, i) != LUA_TSTRING)
		luaL_argerror(L, arg, "a list of topics expected");
	s = lua_tostring(L, -1);	/* kept by the list */
	lua_pop(L, 1);
	return s;
}

static int32_t partition_at(lua_State *L, int arg, lua_Integer i)
{
	lua_Integer p;
	int isint;

	lua_rawgeti(L, arg, i);
	p = lua_tointegerx(L, -1, &isint);
	if (!isint || p < 0 || p > INT32_MAX)
		luaL_argerror(L, arg, "a list of partitions expected");
	lua_pop(L, 1);
	return (int32_t)p;
}

static void fill(lua_State *L, rd_kafka_topic_partition_list_t *list,
		 lua_Integer n, lua_Integer when)
{
	lua_Integer i;

	for (i = 1; i <= n; i++) {
		const char *topic = topic_at(L, 2, i);

		rd_kafka_topic_partition_list_add(list, topic,
				partition_at(L, 3, i))->offset = when;
	}
}

static void check_lists(lua_State *L, lua_Integer n, lua_Integer times)
{
	luaL_argcheck(L, n > 0 && n <= PARTITIONS_MAX, 2, "1 to 200000 topics");
	luaL_argcheck(L, (lua_Integer)lua_rawlen(L, 3) == n, 3,
		      "as many partitions as topics expected");
	luaL_argcheck(L, times > 0 && times <= KAFKA_ASK_TIMES, 4,
		      "1 to 4 times");
}

/* offsets(self, topics, partitions, times [, {timeout=}]) -> a list of offsets for
 * each time (ms; -2 the first, -1 the last), {[i] = code} */
static int l_offsets(lua_State *L)
{
	struct kafka_ask *ask;
	lua_Integer n, times, i;

	luaL_checktype(L, 2, LUA_TTABLE);
	luaL_checktype(L, 3, LUA_TTABLE);
	luaL_checktype(L, 4, LUA_TTABLE);
	lua_settop(L, 5);
	n = (lua_Integer)lua_rawlen(L, 2);
	times = (lua_Integer)lua_rawlen(L, 4);
	check_lists(L, n, times);
	ask = kafka_ask_new(L, "offsets", EFFECT_READ, 5);
	ask->push = push_times;
	for (i = 0; i < times; i++) {
		lua_Integer when;

		lua_rawgeti(L, 4, i + 1);
		when = luaL_checkinteger(L, -1);
		lua_pop(L, 1);
		ask->lists[i] = rd_kafka_topic_partition_list_new((int)n);
		ask->n = (int)i + 1;
		fill(L, ask->lists[i], n, when);
	}
	buf_addf(&ask->call.request, "offsets of %lld partitions (%s ..)",
		 (long long)n, topic_at(L, 2, 1));
	return kafka_ask_pool(L, ask, run_offsets);
}

void kafka_open_meta(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "metadata", l_metadata }, { "refresh", l_refresh },
		{ "offsets", l_offsets },
		{ NULL, NULL }
	};

	lx_setfuncs(L, funcs);
	kafka_open_group(L);
	kafka_open_offsets(L);
	kafka_open_admin(L);
	kafka_open_config(L);
}
