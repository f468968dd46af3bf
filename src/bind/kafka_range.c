/*
 * kafka_range: which partitions are read, from which offset to which. Bounds are
 * said as people say them (earliest, the last 10, since 9:00) and become offsets by
 * one question to each leader. What lies outside of the log is an error, never a
 * silent jump. Owns the list of partitions.
 */
#include "bind/kafka_read.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "core/mem.h"

#define ENDLESS INT64_MAX

void kafka_range_release(struct kafka_range *r)
{
	mem_free(r->part);
	memset(r, 0, sizeof *r);
}

struct kafka_part *kafka_range_find(const struct kafka_range *r, int32_t id)
{
	int low = 0, high = r->n;

	/* they are mostly 0 to n - 1 */
	if (id >= 0 && id < r->n && r->part[id].id == id)
		return &r->part[id];
	while (low < high) {
		int middle = low + (high - low) / 2;

		if (r->part[middle].id == id)
			return &r->part[middle];
		if (r->part[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* --- as given ------------------------------------------------------------------- */
static int by_id(const void *a, const void *b)
{
	const struct kafka_part *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/* Makes room for n partitions of no bounds. */
static void make(lua_State *L, struct kafka_range *r, int n)
{
	r->part = mem_zalloc((size_t)n * sizeof *r->part);
	if (!r->part)
		kafka_no_memory(L);
	r->n = n;
}

static int32_t check_id(lua_State *L, int idx, const char *name)
{
	lua_Integer id = lua_tointeger(L, idx);

	if (!lua_isinteger(L, idx) || id < 0 || id > INT32_MAX)
		err_raisef(L, ERR_USAGE, "", "option '%s' holds '%s': a partition "
			   "is a number, 0 first", name,
			   luaL_tolstring(L, idx, NULL));
	return (int32_t)id;
}

static void finish(lua_State *L, struct kafka_range *r, const char *name)
{
	int i;

	qsort(r->part, (size_t)r->n, sizeof *r->part, by_id);
	for (i = 1; i < r->n; i++)
		if (r->part[i].id == r->part[i - 1].id)
			err_raisef(L, ERR_USAGE, "", "option '%s' has partition "
				   "%d twice", name, (int)r->part[i].id);
}

static void read_partitions(lua_State *L, int arg, struct kafka_range *r)
{
	int i, one = lua_getfield(L, arg, "partition") != LUA_TNIL;
	int many = lua_getfield(L, arg, "partitions") != LUA_TNIL;

	if (one && many)
		err_raisef(L, ERR_USAGE, "", "options 'partition' and "
			   "'partitions' say the same: give one");
	if (one) {
		make(L, r, 1);
		r->part[0].id = check_id(L, -2, "partition");
	} else if (many) {
		if (!lua_istable(L, -1) || !lua_rawlen(L, -1))
			err_raisef(L, ERR_USAGE, "", "option 'partitions' must "
				   "be a list of numbers");
		make(L, r, (int)lua_rawlen(L, -1));
		for (i = 0; i < r->n; i++) {
			lua_rawgeti(L, -1, i + 1);
			r->part[i].id = check_id(L, -1, "partitions");
			lua_pop(L, 1);
		}
		finish(L, r, "partitions");
	}
	lua_pop(L, 2);
}

/* The bound on top: "earliest", "latest", "end", a number, {time = s}; 0: it is
 * something else. */
static int read_bound(lua_State *L, struct kafka_bound *b, int last)
{
	const char *s;
	double t;

	if (lua_type(L, -1) == LUA_TSTRING) {
		s = lua_tostring(L, -1);
		b->kind = strcmp(s, "earliest") ? KAFKA_END : KAFKA_BEGIN;
		return !strcmp(s, "earliest") || !strcmp(s, "latest") ||
			!strcmp(s, "end");
	}
	if (lua_isinteger(L, -1)) {
		b->value = lua_tointeger(L, -1);
		b->kind = b->value < 0 ? KAFKA_LAST : KAFKA_OFFSET;
		if (b->kind == KAFKA_LAST)
			b->value = -b->value;
		return last || b->kind == KAFKA_OFFSET;
	}
	if (!lua_istable(L, -1))
		return 0;
	lua_getfield(L, -1, "time");
	t = lua_tonumber(L, -1);
	s = lua_type(L, -1) == LUA_TNUMBER ? "" : NULL;
	lua_pop(L, 1);
	b->kind = KAFKA_TIME;
	b->value = (int64_t)llround(t * 1000.0);
	return s && t >= 0 && t < 1e12;
}

static _Noreturn void bad_bound(lua_State *L, const char *name)
{
	err_raisef(L, ERR_USAGE, "", "option '%s' must be %s, an offset, {time = "
		   "unix seconds} or a table of these by partition, not '%s'",
		   name, strcmp(name, "from") ? "'end'" : "'earliest', "
		   "'latest', minus a count", luaL_tolstring(L, -1, NULL));
}

/* {[partition] = bound}: says the partitions too, unless they are given. */
static void read_map(lua_State *L, struct kafka_range *r, const char *name)
{
	int i, n = 0, from = strcmp(name, "from") == 0;
	struct kafka_part *p;

	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
		n++;
	if (!n)
		bad_bound(L, name);
	if (!r->n) {
		make(L, r, n);
		i = 0;
		for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
			r->part[i++].id = check_id(L, -2, name);
		finish(L, r, name);
	}
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		p = kafka_range_find(r, check_id(L, -2, name));
		if (!p)
			err_raisef(L, ERR_USAGE, "", "option '%s' has partition "
				   "%d, which is not to be read", name,
				   (int)lua_tointeger(L, -2));
		if (!read_bound(L, from ? &p->from : &p->to, from))
			bad_bound(L, name);
	}
}

static void read_side(lua_State *L, int arg, struct kafka_range *r,
		      struct kafka_bound *all, const char *name)
{
	int i, from = strcmp(name, "from") == 0;

	for (i = 0; i < r->n; i++)
		*(from ? &r->part[i].from : &r->part[i].to) = *all;
	if (lua_getfield(L, arg, name) == LUA_TNIL) {
		lua_pop(L, 1);
		return;
	}
	luaL_checkstack(L, 8, NULL);
	if (lua_istable(L, -1) && lua_getfield(L, -1, "time") == LUA_TNIL) {
		lua_pop(L, 1);
		read_map(L, r, name);
		lua_pop(L, 1);
		return;
	}
	if (lua_istable(L, -2))
		lua_pop(L, 1);
	if (!read_bound(L, all, from))
		bad_bound(L, name);
	for (i = 0; i < r->n; i++)
		*(from ? &r->part[i].from : &r->part[i].to) = *all;
	lua_pop(L, 1);
}

void kafka_range_read(lua_State *L, int arg, struct kafka_range *r,
		      struct kafka_bound all[2], enum kafka_bound_kind def,
		      int endless)
{
	int n;

	all[0].kind = def;
	all[1].kind = endless ? KAFKA_NEVER : KAFKA_END;
	all[0].value = all[1].value = 0;
	read_partitions(L, arg, r);
	if (endless && lua_getfield(L, arg, "to") != LUA_TNIL)
		err_raisef(L, ERR_USAGE, "", "option 'to' makes no sense here: "
			   "what is followed has no end");
	n = r->n;
	read_side(L, arg, r, &all[0], "from");
	if (n == r->n) {
		read_side(L, arg, r, &all[1], "to");
		return;
	}
	/* `from` has named the partitions */
	for (n = 0; n < r->n; n++)
		r->part[n].to = all[1];
	read_side(L, arg, r, &all[1], "to");
}

static void bound_text(struct buf *b, const struct kafka_bound *x)
{
	switch (x->kind) {
	case KAFKA_BEGIN: buf_adds(b, "earliest"); break;
	case KAFKA_END: buf_adds(b, "end"); break;
	case KAFKA_OFFSET: buf_add_int(b, x->value); break;
	case KAFKA_LAST: buf_addf(b, "the last %lld", (long long)x->value); break;
	case KAFKA_TIME: buf_addf(b, "time %.3f", (double)x->value / 1e3); break;
	case KAFKA_NEVER: buf_adds(b, "ever"); break;
	}
}

void kafka_range_text(struct buf *b, const struct kafka_range *r,
		      const struct kafka_bound all[2])
{
	int i;

	for (i = 0; i < r->n; i++) {
		buf_addf(b, "%s%d from ", i ? ", " : " ", (int)r->part[i].id);
		bound_text(b, &r->part[i].from);
		buf_adds(b, " to ");
		bound_text(b, &r->part[i].to);
	}
	if (r->n)
		return;
	buf_adds(b, " from ");
	bound_text(b, &all[0]);
	buf_adds(b, " to ");
	bound_text(b, &all[1]);
}

/* --- the log's own bounds --------------------------------------------------------- */
int kafka_range_fit(struct kafka_range *r, const struct kafka_bound all[2],
		    const char *topic, int partitions, struct err *e)
{
	int i;

	if (r->n && r->part[r->n - 1].id >= partitions) {
		err_set(e, ERR_CHECK, "UNKNOWN_PARTITION", "topic '%s' has no "
			"partition %d: it has %d, 0 first", topic,
			(int)r->part[r->n - 1].id, partitions);
		return -1;
	}
	if (!r->n) {
		r->part = mem_zalloc((size_t)partitions * sizeof *r->part);
		if (!r->part) {
			err_set(e, ERR_LIMIT, "ENOMEM", "out of memory");
			return -1;
		}
		r->n = partitions;
		for (i = 0; i < partitions; i++) {
			r->part[i].id = i;
			r->part[i].from = all[0];
			r->part[i].to = all[1];
		}
	}
	r->left = r->n;
	return 0;
}

/* What offset a bound stands for, -1 when it has to be asked by time. */
static int64_t resolve(const struct kafka_part *p, const struct kafka_bound *b)
{
	switch (b->kind) {
	case KAFKA_BEGIN: return p->low;
	case KAFKA_END: return p->high;
	case KAFKA_OFFSET: return b->value;
	case KAFKA_LAST: return p->high - p->low < b->value ? p->low :
			p->high - b->value;
	case KAFKA_NEVER: return ENDLESS;
	case KAFKA_TIME: break;
	}
	return -1;
}

enum { ASK_LOW, ASK_HIGH, ASK_FROM, ASK_TO };

static int asks(const struct kafka_part *p, int what)
{
	return what < ASK_FROM ||
		(what == ASK_FROM ? p->from.kind : p->to.kind) == KAFKA_TIME;
}

static void take(struct kafka_part *p, int what, int64_t offset)
{
	switch (what) {
	case ASK_LOW:
		p->low = offset;
		break;
	case ASK_HIGH:
		p->high = offset;
		break;
	case ASK_FROM:		/* nothing is as late as that: -1 */
		p->next = offset < 0 ? p->high : offset;
		break;
	default:
		p->end = offset < 0 ? p->high : offset;
	}
}

static rd_kafka_topic_partition_list_t *question(const struct kafka_range *r,
						 const char *topic, int what)
{
	rd_kafka_topic_partition_list_t *list =
		rd_kafka_topic_partition_list_new(r->n);
	int i;

	for (i = 0; i < r->n; i++) {
		const struct kafka_part *p = &r->part[i];

		if (asks(p, what))
			rd_kafka_topic_partition_list_add(list, topic, p->id)
				->offset = what == ASK_LOW ?
				RD_KAFKA_OFFSET_BEGINNING : what == ASK_HIGH ?
				RD_KAFKA_OFFSET_END : what == ASK_FROM ?
				p->from.value : p->to.value;
	}
	return list;
}

/* May the same question be asked again? */
static int passes(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR__TIMED_OUT ||
		code == RD_KAFKA_RESP_ERR__TRANSPORT ||
		code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN ||
		code == RD_KAFKA_RESP_ERR__IN_PROGRESS ||
		code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ||
		code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION ||
		/* the cluster has said that it is there: its leader hears of
		 * it soon */
		code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
		code == RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE;
}

/* One question, until it is answered. -1: call->failed. */
static int ask(struct kafka_call *call, struct kafka_range *r,
	       const char *topic, int what)
{
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
	int i, ms;

	while ((ms = kafka_slice(call)) > 0) {
		list = question(r, topic, what);
		code = list->cnt ? rd_kafka_offsets_for_times(call->h->rk, list,
							      ms) : 0;
		for (i = 0; i < list->cnt && !code; i++) {
			code = list->elems[i].err;
			if (!code)
				take(kafka_range_find(r, list->elems[i].partition),
				     what, list->elems[i].offset);
		}
		rd_kafka_topic_partition_list_destroy(list);
		if (!code)
			return 0;
		if (passes(code))
			continue;
		kafka_error_set(&call->failed, code, NULL);
		return -1;
	}
	return -1;
}

/* A part's offsets, when all was asked. -1: they are outside of the log. */
static int settle(struct kafka_call *call, struct kafka_range *r,
		  struct kafka_part *p, const char *topic)
{
	int64_t from = resolve(p, &p->from), to = resolve(p, &p->to);

	if (from >= 0)
		p->next = from;
	if (to >= 0)
		p->end = to;
	if (p->next < p->low || p->next > p->high) {
		err_set(&call->failed, ERR_CHECK, "OFFSET_OUT_OF_RANGE",
			"offset %lld of '%s' partition %d is not there: it has "
			"%lld to %lld", (long long)p->next, topic, (int)p->id,
			(long long)p->low, (long long)p->high - 1);
		return -1;
	}
	if (p->next >= p->end) {
		p->over = 1;
		r->left--;
	}
	return 0;
}

int kafka_range_ask(struct kafka_call *call, struct kafka_range *r,
		    const char *topic)
{
	int i, what;

	for (what = ASK_LOW; what <= ASK_TO; what++)
		if (ask(call, r, topic, what) < 0)
			return -1;
	for (i = 0; i < r->n; i++)
		if (settle(call, r, &r->part[i], topic) < 0)
			return -1;
	return 0;
}

void kafka_range_of_group(struct kafka_range *r)
{
	int i;

	for (i = 0; i < r->n; i++) {
		r->part[i].over = 1;
		r->part[i].end = ENDLESS;
	}
	r->left = 0;
}
