/*
 * kafka_consume: the options of reading messages, asked and checked before the
 * first is read: the topic, where it begins and ends. No group is joined and nothing
 * is committed: reading changes nothing. The reader is kafka_reader's.
 */
#include "bind/kafka_read.h"

#include <stdio.h>
#include <string.h>

#include <lauxlib.h>

#include "core/lx.h"

enum { EACH, LIST, FOLLOW };	/* what is asked */

struct open_call {
	struct kafka_call call;
	struct kafka_range range;	/* owned */
	struct kafka_bound all[2];
	long long max, max_bytes;
	double timeout;		/* 0: not given */
	int how, committed, reuse, commit;
	char group[256];	/* to be joined; "" none */
};

/* Nobody would answer for a partition without a leader. -1: one is to be read. */
static int check_leaders(struct kafka_call *call, const struct kafka_range *r)
{
	const struct rd_kafka_metadata *md;
	int i, found = 0;

	if (kafka_metadata(call, 0, call->topic.name, &md) < 0)
		return -1;
	for (i = 0; md->topic_cnt && i < md->topics[0].partition_cnt; i++) {
		const struct rd_kafka_metadata_partition *p =
			&md->topics[0].partitions[i];

		if (p->leader >= 0 || found || !kafka_range_find(r, p->id))
			continue;
		err_set(&call->failed, ERR_SERVER, "LEADER_NOT_AVAILABLE",
			"partition %d of '%s' has no leader", (int)p->id,
			call->topic.name);
		snprintf(call->failed.hint, sizeof call->failed.hint,
			 "describe() says which brokers have it; partitions = "
			 "{ .. } reads the others");
		found = 1;
	}
	rd_kafka_metadata_destroy(md);
	return -found;
}

static void open_run(struct kafka_call *call)
{
	struct open_call *oc = (struct open_call *)call;

	if (kafka_range_fit(&oc->range, oc->all, call->topic.name,
			    call->topic.partitions, &call->failed) < 0)
		return;
	if (oc->group[0])
		kafka_range_of_group(&oc->range);
	else if (!call->topic.leaderless || !check_leaders(call, &oc->range))
		kafka_range_ask(call, &oc->range, call->topic.name);
}

static void open_clear(struct kafka_call *call)
{
	kafka_range_release(&((struct open_call *)call)->range);
}

/* How long it may take: of a list and of what is followed in all, of an iteration
 * each wait. */
static void set_times(lua_State *L, struct kafka_reader *kr,
		      const struct open_call *oc)
{
	double until = oc->call.until;

	kr->last_at = loop_now();
	if (oc->how == EACH) {
		kr->timeout = oc->call.timeout;
		return;
	}
	if (oc->how == FOLLOW)
		until = kr->last_at + oc->timeout;
	if ((oc->how == LIST || oc->timeout > 0) &&
	    kafka_reader_until(kr, until) < 0)
		kafka_no_memory(L);
}

/* The reader, with all that was asked; the frame is (client, options, .., decode,
 * ..). */
static struct kafka_reader *make_reader(lua_State *L, struct open_call *oc)
{
	struct kafka_reader *kr = lua_newuserdatauv(L, sizeof *kr, 2);
	struct kafka_plan plan;
	struct err e;

	memset(kr, 0, sizeof *kr);
	luaL_setmetatable(L, KAFKA_READER);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	kr->list = oc->how == LIST;
	kr->reuse = oc->reuse;
	kr->max = oc->max;
	kr->max_bytes = oc->max_bytes;
	snprintf(kr->topic, sizeof kr->topic, "%s", oc->call.topic.name);
	kr->range = oc->range;
	memset(&oc->range, 0, sizeof oc->range);
	kr->effect = oc->call.effect;
	memset(&oc->call.effect, 0, sizeof oc->call.effect);
	set_times(L, kr, oc);
	if (kr->range.left == 0 && !oc->group[0]) {
		kr->reached = "end";	/* nothing is there: nothing is opened */
		kr->open = 1;
		return kr;
	}
	plan.topic = kr->topic;
	plan.range = &kr->range;
	plan.committed = oc->committed;
	plan.group = oc->group[0] ? oc->group : NULL;
	plan.commit = oc->commit;
	plan.ready = kafka_reader_ready;
	plan.arg = kr;
	kr->joined = plan.group != NULL;
	if (kafka_fetch_open(&kr->f, oc->call.kc, &plan, &e) < 0)
		kafka_reader_fail(L, kr, &e);
	kr->open = 1;
	return kr;
}

/* -> next, nil, nil, reader */
static int open_push(lua_State *L, struct kafka_call *call)
{
	struct open_call *oc = (struct open_call *)call;

	if (call->failed.kind != ERR_NONE)
		kafka_call_fail(L, call, &call->failed);
	lua_getfield(L, 2, "topic");
	make_reader(L, oc);		/* -- topic reader */
	kafka_reader_push(L, lua_gettop(L), -2, 4);
	lua_pushnil(L);
	lua_pushnil(L);
	lua_pushvalue(L, -4);		/* -- topic reader next nil nil reader */
	return 4;
}

static lua_Integer count_option(lua_State *L, const char *name)
{
	lua_Integer n = lx_opt_int(L, 2, name, 0);

	if (n < 0)
		err_raisef(L, ERR_USAGE, "", "option '%s' must be 1 or more",
			   name);
	return n;
}

static void read_topic(lua_State *L, struct open_call *oc)
{
	const char *topic = lx_opt_str(L, 2, "topic", NULL);
	size_t len = topic ? strlen(topic) : 0;

	if (!len || len >= sizeof oc->call.topic.name)
		err_raisef(L, ERR_USAGE, "", "option 'topic' must be the name of "
			   "one");
	memcpy(oc->call.topic.name, topic, len + 1);
	lua_pop(L, 1);
}

static int read_isolation(lua_State *L)
{
	const char *s = lx_opt_str(L, 2, "isolation", NULL);
	int committed = !s || !strcmp(s, "read_committed");

	if (!committed && strcmp(s, "read_uncommitted"))
		err_raisef(L, ERR_USAGE, "", "option 'isolation' must be "
			   "'read_committed' or 'read_uncommitted', not '%s'",
			   s);
	lua_pop(L, 1);
	return committed;
}

/* The group that is joined: its partitions come and go, so nothing else is said of
 * them. */
static void read_group(lua_State *L, struct open_call *oc)
{
	const char *group = lx_opt_str(L, 2, "group", NULL);
	size_t len = group ? strlen(group) : 0;

	if (!len || len >= sizeof oc->group)
		err_raisef(L, ERR_USAGE, "", "option 'join' needs the name of a "
			   "group in 'group'");
	if (oc->how != FOLLOW)
		err_raisef(L, ERR_USAGE, "", "option 'join' is for follow: a "
			   "group gives and takes partitions, there is no end");
	if (oc->range.n || (oc->all[0].kind != KAFKA_BEGIN &&
			    oc->all[0].kind != KAFKA_END))
		err_raisef(L, ERR_USAGE, "", "of a group that is joined 'from' is "
			   "'earliest' or 'latest', where it has no commit");
	memcpy(oc->group, group, len + 1);
	lua_pop(L, 1);
	oc->commit = lx_opt_bool(L, 2, "commit", 0);
	buf_addf(&oc->call.request, " as a member of '%s'%s", group, oc->commit ?
		 ", commits" : "");
}

/* read(client, options, how, decode) -> next, nil, nil, reader; how: "each",
 * "list" or "follow"; decode: of JSON, or nil. Of "list", next() -> messages,
 * reached, offsets */
static int l_read(lua_State *L)
{
	static const char *const names[] = {
		"topic", "partition", "partitions", "from", "to", "max",
		"max_bytes", "isolation", "json", "reuse", "join",
		"group", "commit", NULL
	};
	static const char *const hows[] = { "each", "list", "follow", NULL };
	struct open_call *oc;
	int how = luaL_checkoption(L, 3, NULL, hows);

	int join;

	luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 4);
	join = lx_opt_bool(L, 2, "join", 0);
	oc = (struct open_call *)kafka_call_new(L, sizeof *oc, join ? "join" :
			"consume", join ? EFFECT_WRITE : EFFECT_READ, 2, names);
	oc->call.run = open_run;
	oc->call.push = open_push;
	oc->call.clear = open_clear;
	oc->how = how;
	oc->timeout = lx_opt_num(L, 2, "timeout", 0);
	oc->max = count_option(L, "max");
	oc->max_bytes = count_option(L, "max_bytes");
	oc->committed = read_isolation(L);
	oc->reuse = lx_opt_bool(L, 2, "reuse", 0);
	if (oc->reuse && how == LIST)
		err_raisef(L, ERR_USAGE, "", "option 'reuse' is for an iteration: "
			   "a list keeps its messages");
	read_topic(L, oc);
	kafka_range_read(L, 2, &oc->range, oc->all, how == FOLLOW ? KAFKA_END :
			 KAFKA_BEGIN, how == FOLLOW);
	/* a plan that waits for messages: of a list until then, else the usual */
	if (how == FOLLOW) {
		oc->call.timeout = oc->call.kc->o.timeout;
		oc->call.until = loop_now() + oc->call.timeout;
	}
	buf_adds(&oc->call.request, oc->call.topic.name);
	kafka_range_text(&oc->call.request, &oc->range, oc->all);
	if (join)
		read_group(L, oc);
	else if (!lua_isnil(L, 2) && lx_opt_bool(L, 2, "commit", 0))
		err_raisef(L, ERR_USAGE, "", "option 'commit' needs join = true: "
			   "reading by itself changes nothing");
	return kafka_call_go(L, &oc->call);
}

void kafka_open_consume(lua_State *L)
{
	static const luaL_Reg funcs[] = { { "read", l_read }, { NULL, NULL } };

	kafka_open_reader(L);
	lx_setfuncs(L, funcs);
}
