/*
 * kafka_reader: messages in Lua: an iterator over what kafka_fetch takes, or a list,
 * until the range, a count or a time is over. Messages come in batches; a task waits
 * only when none is there. Owns the reader until the loop ends; kafka_consume opens
 * it.
 */
#include "bind/kafka_read.h"

#include <stdio.h>
#include <string.h>

#include <lauxlib.h>

#include "core/lx.h"

#define LIST_BYTES (64LL << 20)	/* of a list, unless max_bytes says */
#define TURN 32			/* batches without a look at the loop */

/* --- closing ------------------------------------------------------------------- */
void kafka_reader_close(struct kafka_reader *kr, enum outcome outcome,
			 const struct err *e)
{
	effect_end(&kr->effect, outcome, kr->count, kr->bytes, e);
	loop_timer_free(kr->timer);
	kr->timer = NULL;
	kr->current = NULL;
	if (kr->open)
		kafka_fetch_close(&kr->f);
	kr->open = 0;
}

/* close(reader) */
static int l_reader_close(lua_State *L)
{
	kafka_reader_close(luaL_checkudata(L, 1, KAFKA_READER), OUTCOME_DONE, NULL);
	return 0;
}

static int l_reader_gc(lua_State *L)
{
	struct kafka_reader *kr = luaL_checkudata(L, 1, KAFKA_READER);

	kafka_reader_close(kr, OUTCOME_DONE, NULL);
	kafka_range_release(&kr->range);
	return 0;
}

void kafka_reader_fail(lua_State *L, struct kafka_reader *kr, struct err *e)
{
	e->outcome = OUTCOME_FAILED;
	if (e->phase == PHASE_NONE)
		e->phase = PHASE_READ;
	snprintf(e->target, sizeof e->target, "%s",
		 kr->effect.target ? kr->effect.target->name : "");
	snprintf(e->op, sizeof e->op, "consume");
	kafka_reader_close(kr, OUTCOME_FAILED, e);
	err_raise(L, e);
}

/* --- waiting -------------------------------------------------------------------------- */
static void wake(struct kafka_reader *kr)
{
	struct op *op = kr->waiter;

	kr->waiter = NULL;
	if (op)
		op_done(op);
}

static void on_timer(void *arg)
{
	wake(arg);
}

int kafka_reader_until(struct kafka_reader *kr, double until)
{
	double left = until - loop_now();

	kr->until = until;
	kr->timer = loop_timer_new(left > 0 ? left : 0, 0, on_timer, kr);
	return kr->timer ? 0 : -1;
}

void kafka_reader_ready(struct kafka_queue *kq)
{
	wake(kq->arg);
}

struct wait_op {
	struct op op;
	struct kafka_reader *kr;	/* borrowed: on the frame */
	struct loop_timer *timer;	/* owned: of a turn */
};

static enum op_answer wait_cancel(struct op *op)
{
	struct kafka_reader *kr = ((struct wait_op *)op)->kr;
	struct err *e = &op->err;

	if (e->kind == ERR_TIMEOUT) {
		err_set(e, ERR_TIMEOUT, "", "no message of '%s' came from '%s' "
			"within %.3g s", kr->topic, kr->effect.target ?
			kr->effect.target->name : "?", kr->timeout);
		kafka_blame(e, kr->f.h, kr->last_at);
	}
	e->outcome = OUTCOME_FAILED;
	if (e->phase == PHASE_NONE)
		e->phase = PHASE_READ;
	snprintf(e->target, sizeof e->target, "%s",
		 kr->effect.target ? kr->effect.target->name : "");
	snprintf(e->op, sizeof e->op, "consume");
	kr->waiter = NULL;
	kafka_reader_close(kr, OUTCOME_FAILED, e);
	return OP_NOW;
}

static void wait_release(struct op *op)
{
	struct wait_op *w = (struct wait_op *)op;

	loop_timer_free(w->timer);
	if (w->kr && w->kr->waiter == op)
		w->kr->waiter = NULL;
}

static const struct op_class wait_class = {
	"kafka messages", wait_cancel, NULL, wait_release
};

/* (reader) Parks until there may be a message; for one turn of the loop, when
 * there are so many that it was long not looked at. */
static int l_wait(lua_State *L)
{
	struct kafka_reader *kr = luaL_checkudata(L, 1, KAFKA_READER);
	struct wait_op *w = (struct wait_op *)op_new(L, &wait_class,
						     sizeof *w);

	w->kr = kr;
	if (kr->turns >= TURN) {
		w->timer = loop_timer_new(0, 0, on_timer, kr);
		if (!w->timer)
			kafka_no_memory(L);
	}
	kr->turns = 0;
	kr->waiter = &w->op;
	op_start(&w->op);
	if (kr->timeout > 0)
		op_deadline(&w->op, kr->timeout);
	return op_park(L, &w->op);
}

static void await(lua_State *L, struct kafka_reader *kr, int reader,
		  lua_KFunction k)
{
	if (kr->waiter)
		err_raisef(L, ERR_USAGE, "", "two tasks read from one reader");
	luaL_checkstack(L, 4, NULL);
	lua_pushcfunction(L, l_wait);
	lua_pushvalue(L, reader);
	lua_callk(L, 1, 0, (lua_KContext)kr, k);
}

/* --- the next message -------------------------------------------------------------------- */
static void part_over(struct kafka_reader *kr, struct kafka_part *p)
{
	if (!p->over)
		kr->range.left--;
	p->over = 1;
}

/* What the library says instead of a message: the end of a partition, something
 * that passes (0), or that reading has failed (-1, *e). */
static int take_error(struct kafka_reader *kr, struct kafka_part *p,
		      const rd_kafka_message_t *m, struct err *e)
{
	switch (m->err) {
	case RD_KAFKA_RESP_ERR__PARTITION_EOF:
		/* the last offsets may be no messages: markers of
		 * transactions, what was aborted or compacted */
		if (p && m->offset > p->next)
			p->next = m->offset < p->end ? m->offset : p->end;
		if (p && (p->next >= p->end || p->end <= p->high))
			part_over(kr, p);
		return 0;
	case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
	case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
		err_set(e, ERR_SERVER, "OFFSET_OUT_OF_RANGE", "offset %lld of "
			"'%s' partition %d is not there any more",
			(long long)(p ? p->next : m->offset), kr->topic,
			(int)m->partition);
		return -1;
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
		/* the cluster has said that it is there: this broker hears of it
		 * soon */
	case RD_KAFKA_RESP_ERR__TRANSPORT:
	case RD_KAFKA_RESP_ERR__TIMED_OUT:
	case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
	case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
	case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
	case RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE:
	case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
		return 0;
	default:
		kafka_error_set(e, m->err, rd_kafka_message_errstr(m));
		return -1;
	}
}

/* 1: *m is to be handed over; 0: none is there; -1: over; -2: *e. */
static int front(struct kafka_reader *kr, rd_kafka_message_t **m,
		 struct kafka_part **p, struct err *e)
{
	if (kr->last)		/* who asks for the next is done with it */
		kafka_fetch_store(&kr->f, kr->last);
	kr->last = NULL;
	if (kr->current)
		kafka_fetch_drop(&kr->f);
	kr->current = NULL;
	for (;;) {
		if (!kr->open || kr->reached)
			return -1;
		if (kr->range.left == 0 && !kr->joined)
			kr->reached = "end";
		else if (kr->max && kr->count >= kr->max)
			kr->reached = "max";
		if (kr->reached)
			return -1;
		*m = kafka_fetch_next(&kr->f);
		if (!*m) {
			if (kr->until > 0 && loop_now() >= kr->until) {
				kr->reached = "timeout";
				return -1;
			}
			if (++kr->turns >= TURN ||
			    !kafka_fetch_take(&kr->f))
				return 0;
			if (!kr->f.batch[0]->err)
				kr->last_at = loop_now();
			continue;
		}
		*p = kafka_range_find(&kr->range, (*m)->partition);
		if ((*m)->err) {
			if (take_error(kr, *p, *m, e) < 0)
				return -2;
		} else if (*p && !(*p)->over && (*m)->offset >= (*p)->end) {
			part_over(kr, *p);
		} else if (*p && !(*p)->over && (*m)->offset >= (*p)->next) {
			if (!kr->max_bytes || !kr->count || kr->bytes +
			    (long long)((*m)->len + (*m)->key_len) <=
			    kr->max_bytes)
				return 1;
			kr->reached = "max";
			return -1;
		}
		kafka_fetch_drop(&kr->f);
	}
}

static void view(struct kafka_view *v, const rd_kafka_message_t *m)
{
	rd_kafka_timestamp_type_t type;

	v->partition = m->partition;
	v->offset = m->offset;
	v->timestamp = rd_kafka_message_timestamp(m, &type);
	v->key = m->key;
	v->key_len = m->key_len;
	v->value = m->payload;
	v->value_len = m->len;
	v->headers = NULL;
}

/* (message, name) of the reused table; upvalue: the reader. Headers are parsed when
 * they are looked at. */
static int l_reused_index(lua_State *L)
{
	struct kafka_reader *kr = lua_touserdata(L, lua_upvalueindex(1));
	rd_kafka_headers_t *headers = NULL;

	if (!kafka_message_lacks(L))
		return 0;
	lua_settop(L, 2);
	if (kr->current && rd_kafka_message_headers(kr->current, &headers))
		headers = NULL;
	lua_pushvalue(L, 1);
	kr->used |= KAFKA_FILL_HEADERS;
	kafka_message_headers(L, headers);
	lua_pushvalue(L, 2);
	lua_rawget(L, 1);
	return 1;
}

/* The one table, with its metatable, kept with the reader at 1. */
static void make_reused(lua_State *L, const struct kafka_view *v)
{
	kafka_message_push(L, v, 2);
	lua_createtable(L, 0, 1);
	lua_pushvalue(L, 1);
	lua_pushcclosure(L, l_reused_index, 1);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, -2);
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, 1, 2);
}

static void push_reused(lua_State *L, struct kafka_reader *kr,
			rd_kafka_message_t *m)
{
	struct kafka_view v;
	int what = kr->used;

	view(&v, m);
	kr->current = NULL;
	if (!kr->count) {
		make_reused(L, &v);
	} else {
		lua_getiuservalue(L, 1, 2);
		if (v.partition != kr->partition)
			what |= KAFKA_FILL_PARTITION;
		kafka_message_refill(L, &v, 2, what);
	}
	kr->used = v.key ? KAFKA_FILL_KEY : 0;
	kr->partition = v.partition;
	kr->current = m;
}

/* Pushes the message, which is read then. The reader is at 1. */
static void push(lua_State *L, struct kafka_reader *kr, rd_kafka_message_t *m,
		 struct kafka_part *p)
{
	struct kafka_view v;

	if (kr->reuse) {
		push_reused(L, kr, m);
	} else {
		view(&v, m);
		if (rd_kafka_message_headers(m, &v.headers))
			v.headers = NULL;
		kafka_message_push(L, &v, 2);
	}
	kr->count++;
	kr->bytes += (long long)(m->len + m->key_len);
	p->next = m->offset + 1;
	if (kr->f.stores)
		kr->last = p;
	if (p->next >= p->end)
		part_over(kr, p);
	if (!kr->reuse)
		kafka_fetch_drop(&kr->f);
}

/* The time is over and no broker answers: that is no end of the messages. */
static void check_end(lua_State *L, struct kafka_reader *kr)
{
	struct kafka_handle *h = kr->f.h;
	struct err e;

	if (!kr->open || strcmp(kr->reached, "timeout") || !h->all_down ||
	    h->fault.kind == ERR_NONE || h->fault_at < kr->last_at)
		return;
	e = h->fault;
	kafka_reader_fail(L, kr, &e);
}

static int next_k(lua_State *L, int status, lua_KContext ctx)
{
	struct kafka_reader *kr = (struct kafka_reader *)ctx;
	rd_kafka_message_t *m;
	struct kafka_part *p;
	struct err e;

	(void)status;
	for (;;) {
		switch (front(kr, &m, &p, &e)) {
		case 1:
			push(L, kr, m, p);
			return 1;
		case 0:
			await(L, kr, 1, next_k);
			break;
		case -1:
			if (kr->reached)
				check_end(L, kr);
			kafka_reader_close(kr, OUTCOME_DONE, NULL);
			return 0;
		default:
			kafka_reader_fail(L, kr, &e);
		}
	}
}

/* next() -> the next message, or nil; upvalues: the reader, those of messages */
static int l_reader_next(lua_State *L)
{
	struct kafka_reader *kr = lua_touserdata(L, lua_upvalueindex(1));

	lua_settop(L, 0);
	lua_pushvalue(L, lua_upvalueindex(1));
	return next_k(L, LUA_OK, (lua_KContext)kr);
}

/* --- a list ------------------------------------------------------------------------------ */
static void check_size(lua_State *L, struct kafka_reader *kr)
{
	struct err e;

	if (kr->max_bytes || kr->bytes <= LIST_BYTES)
		return;
	err_set(&e, ERR_LIMIT, "", "messages of '%s' are more than %lld MiB: a "
		"list of them would fill the memory", kr->topic,
		LIST_BYTES >> 20);
	snprintf(e.hint, sizeof e.hint, "give max or max_bytes, or take them one "
		 "by one: for m in messages { .. }");
	kafka_reader_fail(L, kr, &e);
}

static int list_end(lua_State *L, struct kafka_reader *kr)
{
	int i;

	check_end(L, kr);
	kafka_reader_close(kr, OUTCOME_DONE, NULL);
	lua_pushstring(L, kr->reached);
	lua_createtable(L, kr->range.n, 1);
	for (i = 0; i < kr->range.n; i++) {
		lua_pushinteger(L, kr->range.part[i].next);
		lua_rawseti(L, -2, kr->range.part[i].id);
	}
	return 3;
}

static int list_k(lua_State *L, int status, lua_KContext ctx)
{
	struct kafka_reader *kr = (struct kafka_reader *)ctx;
	rd_kafka_message_t *m;
	struct kafka_part *p;
	struct err e;

	(void)status;
	for (;;) {
		switch (front(kr, &m, &p, &e)) {
		case 1:
			push(L, kr, m, p);
			lua_rawseti(L, 2, kr->count);
			check_size(L, kr);
			break;
		case 0:
			await(L, kr, 1, list_k);
			break;
		case -1:
			return list_end(L, kr);
		default:
			kafka_reader_fail(L, kr, &e);
		}
	}
}

/* list() -> messages, reached, {[partition] = the next offset} */
static int l_reader_list(lua_State *L)
{
	struct kafka_reader *kr = lua_touserdata(L, lua_upvalueindex(1));

	lua_settop(L, 0);
	lua_pushvalue(L, lua_upvalueindex(1));
	if (!kr->open)
		err_raisef(L, ERR_USAGE, "", "reader of '%s' is closed",
			   kr->topic);
	lua_newtable(L);		/* -- reader list */
	return list_k(L, LUA_OK, (lua_KContext)kr);
}

void kafka_reader_push(lua_State *L, int idx, int topic, int decode)
{
	struct kafka_reader *kr = lua_touserdata(L, idx);

	luaL_checkstack(L, KAFKA_UPVALUES + 4, NULL);
	topic = lua_absindex(L, topic);
	decode = lua_isnil(L, decode) ? 0 : lua_absindex(L, decode);
	lua_pushvalue(L, idx);
	kafka_message_upvalues(L, topic, decode);
	lua_pushcclosure(L, kr->list ? l_reader_list : l_reader_next,
			 1 + KAFKA_UPVALUES);
}

void kafka_open_reader(lua_State *L)
{
	static const luaL_Reg reader[] = {
		{ "__gc", l_reader_gc }, { "__close", l_reader_close },
		{ NULL, NULL }
	};

	lx_metatable(L, KAFKA_READER, NULL, reader);
	kafka_open_message(L);
}
