/*
 * kafka_group: consumer groups by admin requests: which there are, who is in
 * them, a group removed; and what a broker says of one group, for its offsets
 * (kafka_offsets) too. No group is ever joined.
 */
#include <string.h>

#include "bind/kafka_ask.h"
#include "core/lx.h"
#include "core/mem.h"

#define GROUPS_MAX 10000		/* described at once */

static const char *state_name(rd_kafka_consumer_group_state_t state)
{
	return rd_kafka_consumer_group_state_name(state);
}

/* --- which there are ----------------------------------------------------- */
static void send_list(struct kafka_call *call, rd_kafka_AdminOptions_t *o,
			 rd_kafka_queue_t *q)
{
	rd_kafka_ListConsumerGroups(call->h->rk, o, q);
}

/* Brokers that did not answer: their groups are missing. */
static void push_errors(lua_State *L,
			const rd_kafka_ListConsumerGroups_result_t *r)
{
	const rd_kafka_error_t **errors;
	size_t n, i;

	errors = rd_kafka_ListConsumerGroups_result_errors(r, &n);
	lua_createtable(L, (int)n, 0);
	for (i = 0; i < n; i++) {
		lua_pushstring(L, rd_kafka_error_string(errors[i]));
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
}

static int push_list(lua_State *L, struct kafka_ask *ask)
{
	const rd_kafka_ListConsumerGroups_result_t *r =
		rd_kafka_event_ListConsumerGroups_result(ask->call.ev);
	const rd_kafka_ConsumerGroupListing_t **groups;
	size_t n, i;

	groups = rd_kafka_ListConsumerGroups_result_valid(r, &n);
	lua_createtable(L, (int)n, 0);
	for (i = 0; i < n; i++) {
		lua_createtable(L, 0, 3);
		lua_pushstring(L, rd_kafka_ConsumerGroupListing_group_id(
				       groups[i]));
		lua_setfield(L, -2, "group");
		lua_pushstring(L, state_name(
				rd_kafka_ConsumerGroupListing_state(groups[i])));
		lua_setfield(L, -2, "state");
		lua_pushboolean(L,
			rd_kafka_ConsumerGroupListing_is_simple_consumer_group(
				groups[i]));
		lua_setfield(L, -2, "simple");
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	push_errors(L, r);
	return 2;
}

/* groups(self [, {timeout=}]) -> {{group=, state=, simple=}, ...}, errors */
static int l_groups(lua_State *L)
{
	struct kafka_ask *ask;

	lua_settop(L, 2);
	ask = kafka_ask_new(L, "groups", EFFECT_READ, 2);
	ask->push = push_list;
	buf_adds(&ask->call.request, "groups");
	return kafka_ask_admin(L, ask, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS,
			       send_list);
}

/* --- who is in them ------------------------------------------------------ */
struct names {
	size_t n;
	char **at;		/* owned, as are the names */
};

static void free_names(void *req)
{
	struct names *names = req;
	size_t i;

	for (i = 0; i < names->n; i++)
		mem_free(names->at[i]);
	mem_free(names->at);
	mem_free(names);
}

static void send_describe(struct kafka_call *call, rd_kafka_AdminOptions_t *o,
			 rd_kafka_queue_t *q)
{
	struct names *names = kafka_ask_of(call)->req;

	rd_kafka_DescribeConsumerGroups(call->h->rk,
					(const char **)names->at, names->n, o,
					q);
}

static void set_string(lua_State *L, const char *field, const char *value)
{
	if (!value || !*value)
		return;
	lua_pushstring(L, value);
	lua_setfield(L, -2, field);
}

/* -- {{topic=, partition=}, ...} */
static void push_assigned(lua_State *L, const rd_kafka_MemberDescription_t *m)
{
	const rd_kafka_MemberAssignment_t *a =
		rd_kafka_MemberDescription_assignment(m);
	const rd_kafka_topic_partition_list_t *list = a ?
		rd_kafka_MemberAssignment_partitions(a) : NULL;
	int i, n = list ? list->cnt : 0;

	lua_createtable(L, n, 0);
	for (i = 0; i < n; i++) {
		lua_createtable(L, 0, 2);
		lua_pushstring(L, list->elems[i].topic);
		lua_setfield(L, -2, "topic");
		lua_pushinteger(L, list->elems[i].partition);
		lua_setfield(L, -2, "partition");
		lua_rawseti(L, -2, i + 1);
	}
}

static void push_member(lua_State *L, const rd_kafka_MemberDescription_t *m)
{
	lua_createtable(L, 0, 5);
	set_string(L, "member_id", rd_kafka_MemberDescription_consumer_id(m));
	set_string(L, "client_id", rd_kafka_MemberDescription_client_id(m));
	set_string(L, "host", rd_kafka_MemberDescription_host(m));
	set_string(L, "instance_id",
		   rd_kafka_MemberDescription_group_instance_id(m));
	push_assigned(L, m);
	lua_setfield(L, -2, "partitions");
}

static void push_group(lua_State *L,
		       const rd_kafka_ConsumerGroupDescription_t *g)
{
	const rd_kafka_error_t *e = rd_kafka_ConsumerGroupDescription_error(g);
	const rd_kafka_Node_t *node =
		rd_kafka_ConsumerGroupDescription_coordinator(g);
	size_t i, n = rd_kafka_ConsumerGroupDescription_member_count(g);

	lua_createtable(L, 0, 7);
	set_string(L, "group", rd_kafka_ConsumerGroupDescription_group_id(g));
	set_string(L, "state", state_name(
			   rd_kafka_ConsumerGroupDescription_state(g)));
	set_string(L, "assignor",
		   rd_kafka_ConsumerGroupDescription_partition_assignor(g));
	lua_pushboolean(L,
		rd_kafka_ConsumerGroupDescription_is_simple_consumer_group(g));
	lua_setfield(L, -2, "simple");
	if (node) {
		lua_pushinteger(L, rd_kafka_Node_id(node));
		lua_setfield(L, -2, "coordinator");
	}
	if (e && rd_kafka_error_code(e)) {
		set_string(L, "error", rd_kafka_error_name(e));
		set_string(L, "why", rd_kafka_error_string(e));
	}
	lua_createtable(L, (int)n, 0);
	for (i = 0; i < n; i++) {
		push_member(L, rd_kafka_ConsumerGroupDescription_member(g, i));
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_setfield(L, -2, "members");
}

static int push_groups(lua_State *L, struct kafka_ask *ask)
{
	const rd_kafka_ConsumerGroupDescription_t **groups;
	size_t n, i;

	groups = rd_kafka_DescribeConsumerGroups_result_groups(
		rd_kafka_event_DescribeConsumerGroups_result(ask->call.ev), &n);
	lua_createtable(L, (int)n, 0);
	for (i = 0; i < n; i++) {
		push_group(L, groups[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static void take_names(lua_State *L, struct kafka_ask *ask, int arg)
{
	size_t i, n = lua_rawlen(L, arg);
	struct names *names;

	luaL_argcheck(L, n > 0 && n <= GROUPS_MAX, arg, "1 to 10000 groups");
	names = mem_zalloc(sizeof *names);
	if (!names) {
		kafka_no_memory(L);
		return;
	}
	kafka_ask_own(ask, names, free_names);
	names->at = mem_zalloc(n * sizeof *names->at);
	if (!names->at)
		kafka_no_memory(L);
	for (i = 0; i < n; i++) {
		lua_rawgeti(L, arg, (lua_Integer)i + 1);
		names->at[i] = mem_strdup(lx_checkcstr(L, lua_gettop(L)));
		if (!names->at[i])
			kafka_no_memory(L);
		names->n++;
		buf_addf(&ask->call.request, "%s%s", i ? ", " : "groups ",
			 names->at[i]);
		lua_pop(L, 1);
	}
}

/* describe_groups(self, names [, {timeout=}]) -> a list of groups, in any order */
static int l_describe_groups(lua_State *L)
{
	struct kafka_ask *ask;

	luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 3);
	ask = kafka_ask_new(L, "describe_groups", EFFECT_READ, 3);
	ask->push = push_groups;
	take_names(L, ask, 2);
	return kafka_ask_admin(L, ask, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS,
			       send_describe);
}

/* --- what is said of one ------------------------------------------------ */
const rd_kafka_group_result_t *kafka_group_result(const struct kafka_ask *ask)
{
	const rd_kafka_group_result_t **groups = NULL;
	size_t n = 0;

	switch (rd_kafka_event_type(ask->call.ev)) {
	case RD_KAFKA_EVENT_LISTCONSUMERGROUPOFFSETS_RESULT:
		groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
			rd_kafka_event_ListConsumerGroupOffsets_result(ask->call.ev),
			&n);
		break;
	case RD_KAFKA_EVENT_ALTERCONSUMERGROUPOFFSETS_RESULT:
		groups = rd_kafka_AlterConsumerGroupOffsets_result_groups(
			rd_kafka_event_AlterConsumerGroupOffsets_result(ask->call.ev),
			&n);
		break;
	case RD_KAFKA_EVENT_DELETECONSUMERGROUPOFFSETS_RESULT:
		groups = rd_kafka_DeleteConsumerGroupOffsets_result_groups(
			rd_kafka_event_DeleteConsumerGroupOffsets_result(
				ask->call.ev), &n);
		break;
	case RD_KAFKA_EVENT_DELETEGROUPS_RESULT:
		groups = rd_kafka_DeleteGroups_result_groups(
			rd_kafka_event_DeleteGroups_result(ask->call.ev), &n);
		break;
	default:
		break;
	}
	return n ? groups[0] : NULL;
}

rd_kafka_resp_err_t kafka_group_judge(const struct kafka_ask *ask,
				      const char **why, int *part)
{
	const rd_kafka_group_result_t *g = kafka_group_result(ask);
	const rd_kafka_error_t *e = g ? rd_kafka_group_result_error(g) : NULL;
	const rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
	int i, bad = 0;

	if (e && rd_kafka_error_code(e)) {
		*why = rd_kafka_error_string(e);
		return rd_kafka_error_code(e);
	}
	list = g ? rd_kafka_group_result_partitions(g) : NULL;
	for (i = 0; list && i < list->cnt; i++) {
		if (!list->elems[i].err)
			continue;
		if (!bad++)
			code = list->elems[i].err;
	}
	*part = bad && list && bad < list->cnt;
	*why = rd_kafka_err2str(code);
	return code;
}

/* --- removed ------------------------------------------------------------- */
static void send_delete(struct kafka_call *call, rd_kafka_AdminOptions_t *o,
			 rd_kafka_queue_t *q)
{
	rd_kafka_DeleteGroup_t *req = rd_kafka_DeleteGroup_new(kafka_ask_of(call)->name);

	rd_kafka_DeleteGroups(call->h->rk, &req, 1, o, q);
	rd_kafka_DeleteGroup_destroy(req);
}

/* delete_group(self, group [, opts]) -> result */
static int l_delete_group(lua_State *L)
{
	const char *group = lx_checkcstr(L, 2);
	struct kafka_ask *ask;

	lua_settop(L, 3);
	ask = kafka_ask_new(L, "delete_group", EFFECT_DESTRUCTIVE, 3);
	ask->judge = kafka_group_judge;
	kafka_ask_name(L, ask, group);
	buf_addf(&ask->call.request, "group %s", group);
	return kafka_ask_admin(L, ask, RD_KAFKA_ADMIN_OP_DELETEGROUPS,
			       send_delete);
}

void kafka_open_group(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "groups", l_groups },
		{ "describe_groups", l_describe_groups },
		{ "delete_group", l_delete_group },
		{ NULL, NULL }
	};

	lx_setfuncs(L, funcs);
}
