/*
 * kafka_produce: writing a list of messages: checked as a whole, handed to
 * librdkafka as fast as its queue takes them, awaited until each has its report. A
 * deadline or Ctrl-C gives up what is left, and says how many were written, not
 * written, or are unknown. The producers are kafka_producer.c's.
 */
#include "bind/kafka_producer.h"

#include <stdio.h>
#include <string.h>

#include "core/lx.h"
#include "core/mem.h"
#include "effect/lock.h"
#include "effect/withheld.h"

#define OUT_MAX 100000		/* messages in flight, and bytes */
#define BYTES_MAX (32LL << 20)
#define BATCH 1000		/* strings that are handed over at once */
#define GRACE 0.3		/* seconds for the reports of what was given up */

struct produce {
	struct op op;			/* never parked itself */
	struct kafka_client *kc;	/* borrowed: argument 1 */
	struct kafka_producer *p;	/* owned while it works; of tx: borrowed */
	struct kafka_tx *tx;		/* borrowed: argument 5; NULL none */
	struct kafka_topic topic;
	rd_kafka_topic_t *rkt;		/* owned */
	rd_kafka_message_t *batch;	/* owned: BATCH of them */
	struct kafka_draft m;		/* its headers are owned */
	struct effect effect;
	struct buf request;		/* owned */
	double timeout, until;
	int32_t partition;
	lua_Integer n, next;		/* messages; the next to be sent, from 1 */
	long long total;		/* bytes */
	int met, begun, over, keep, single;
};

/* --- its life ---------------------------------------------------------------------- */
static void end_producer(struct produce *c)
{
	if (c->rkt)
		rd_kafka_topic_destroy(c->rkt);
	c->rkt = NULL;
	if (c->p && (c->p->out || c->over))
		c->p->spoiled = 1;
	if (c->p && c->tx)
		kafka_producer_free(c->p);
	else if (c->p)
		kafka_producer_give(c->kc, c->p);
	c->p = NULL;
}

static void produce_release(struct op *op)
{
	struct produce *c = (struct produce *)op;

	if (c->m.headers)
		rd_kafka_headers_destroy(c->m.headers);
	effect_abandon(&c->effect);
	end_producer(c);
	mem_free(c->batch);
	buf_release(&c->request);
}

static const struct op_class produce_class = {
	"kafka produce", NULL, NULL, produce_release
};

/* --- waiting for reports --------------------------------------------------------------- */
struct wait {
	struct op op;
	struct produce *c;		/* borrowed: on the waiting frame */
	struct kafka_producer *p;	/* held */
	struct loop_timer *grace;	/* owned */
	struct err why;			/* of a cancel; kind NONE: a deadline */
	int stopped;
};

/* Counts what is left without a word. */
static void close_counts(struct produce *c)
{
	struct kafka_tally *t = &c->p->tally;

	c->over = 1;
	t->unknown += c->p->out;
	if (c->p->out && t->first.kind == ERR_NONE)
		kafka_error_set(&t->first, RD_KAFKA_RESP_ERR__MSG_TIMED_OUT,
				NULL);
	c->p->out = 0;
	c->p->bytes = 0;
	c->p->spoiled = 1;
	c->p->h->event = NULL;
	if (c->next <= c->n)
		kafka_tally_fail(t, RD_KAFKA_RESP_ERR__MSG_TIMED_OUT,
				 c->n - c->next + 1);
	c->next = c->n + 1;
}

/* Of a transaction nothing counts that is not committed. */
static enum outcome outcome_of(const struct produce *c)
{
	const struct kafka_tally *t = &c->p->tally;

	return t->unknown && !c->tx ? OUTCOME_UNKNOWN :
		t->failed || t->unknown ? OUTCOME_FAILED :
		OUTCOME_DONE;
}

static void describe_end(const struct produce *c, struct err *e)
{
	e->outcome = outcome_of(c);
	snprintf(e->target, sizeof e->target, "%s", c->kc->target->name);
	snprintf(e->op, sizeof e->op, "%s", "produce");
}

/* What was given up is counted now. */
static void wait_finish(struct wait *w)
{
	struct produce *c = w->c;
	const struct kafka_tally *t;
	struct op *op = &w->op;

	if (!op->slot || !c->p)
		return;		/* Lua has dropped the call */
	t = &c->p->tally;
	close_counts(c);
	if (c->tx)
		c->tx->failed = 1;
	if (w->why.kind != ERR_NONE) {
		op->err = w->why;
		snprintf(op->err.message, sizeof op->err.message, "produce to "
			 "'%.200s' was stopped: %lld done, %lld failed, %lld "
			 "unknown", c->topic.name, t->done, t->failed,
			 t->unknown);
		describe_end(c, &op->err);
		effect_end(&c->effect, op->err.outcome, t->done, -1, &op->err);
		end_producer(c);
	}
}

static void wait_told(struct op *op)
{
	struct wait *w = (struct wait *)op;

	if (w->stopped)
		wait_finish(w);
	op_done(op);
}

static void on_grace(void *arg)
{
	wait_told(arg);
}

static enum op_answer wait_cancel(struct op *op)
{
	struct wait *w = (struct wait *)op;

	if (!op->slot) {		/* dropped by Lua, the call as well */
		if (w->p->wait == op)
			w->p->wait = NULL;
		return OP_NOW;
	}
	w->stopped = 1;
	if (op->cancelled || op->err.kind != ERR_TIMEOUT)
		w->why = op->err;
	else
		op->err.kind = ERR_NONE;	/* the call tells, with counts */
	kafka_producer_purge(w->p);
	w->grace = loop_timer_new(w->p->out ? GRACE : 0, 0, on_grace, w);
	if (w->grace)
		return OP_LATER;
	wait_finish(w);
	return OP_NOW;
}

static int wait_push(lua_State *L, struct op *op)
{
	(void)L;
	(void)op;
	return 0;
}

static void wait_release(struct op *op)
{
	struct wait *w = (struct wait *)op;

	if (w->p && w->p->wait == op)
		w->p->wait = NULL;
	kafka_producer_free(w->p);
	loop_timer_free(w->grace);
}

static const struct op_class wait_class = {
	"kafka delivery reports", wait_cancel, wait_push, wait_release
};

/* (produce, low, low bytes) Parks until no more than that is in flight. */
static int l_wait(lua_State *L)
{
	struct produce *c = lua_touserdata(L, 1);
	struct wait *w = (struct wait *)op_new(L, &wait_class, sizeof *w);
	double left = c->until - loop_now();

	w->c = c;
	c->p->low = lua_tointeger(L, 2);
	c->p->low_bytes = lua_tointeger(L, 3);
	if (c->p->out <= c->p->low && c->p->bytes <= c->p->low_bytes)
		return 0;
	w->p = c->p;
	w->p->held++;
	c->p->wait = &w->op;
	c->p->told = wait_told;
	op_start(&w->op);
	op_deadline(&w->op, left > 0 ? left : 0);
	return op_park(L, &w->op);
}

static int produce_k(lua_State *L, int status, lua_KContext ctx);

static void await(lua_State *L, struct produce *c, long long low,
		  long long low_bytes)
{
	luaL_checkstack(L, 6, NULL);
	lua_pushcfunction(L, l_wait);
	lua_pushlightuserdata(L, c);
	lua_pushinteger(L, low);
	lua_pushinteger(L, low_bytes);
	lua_callk(L, 3, 0, (lua_KContext)c, produce_k);
}

/* --- handing over ------------------------------------------------------------------------ */
static int is_full(const struct kafka_producer *p)
{
	return p->out >= OUT_MAX || p->bytes >= BYTES_MAX;
}

/* Where the next batch of messages without a key goes: each to one partition, in
 * turn, is a third of the work of one by one. The library chooses while a partition
 * has no leader. */
static int32_t choose(const struct produce *c)
{
	static unsigned turn;

	if (c->partition >= 0 || c->topic.partitions < 1 || c->topic.leaderless)
		return c->partition;
	if (!turn)
		turn = (unsigned)(loop_now() * 1e6);
	return (int32_t)(turn++ % (unsigned)c->topic.partitions);
}

/* From c->next on, as long as they are strings. The list is at 3. */
static void send_strings(lua_State *L, struct produce *c)
{
	int top = lua_gettop(L), n = 0, i;
	long long bytes = 0;

	luaL_checkstack(L, BATCH + 8, NULL);
	memset(c->batch, 0, BATCH * sizeof *c->batch);
	while (n < BATCH && c->next + n <= c->n &&
	       c->p->bytes + bytes < BYTES_MAX) {
		rd_kafka_message_t *m = &c->batch[n];

		if (lua_rawgeti(L, 3, c->next + n) != LUA_TSTRING) {
			lua_pop(L, 1);
			break;
		}
		m->payload = (void *)lua_tolstring(L, -1, &m->len);
		bytes += (long long)m->len;
		n++;
	}
	c->p->out += n;
	c->p->bytes += bytes;
	i = rd_kafka_produce_batch(c->rkt, choose(c),
				   RD_KAFKA_MSG_F_COPY, c->batch, n);
	for (i = i == n ? n : 0; i < n; i++) {
		if (!c->batch[i].err)
			continue;
		c->p->out--;
		c->p->bytes -= (long long)c->batch[i].len;
		kafka_tally_fail(&c->p->tally, c->batch[i].err, 1);
	}
	c->next += n;
	lua_settop(L, top);
}

/* One of any shape, at the top. */
static void send_one(lua_State *L, struct produce *c)
{
	struct kafka_draft *m = &c->m;
	rd_kafka_error_t *error;
	rd_kafka_vu_t vu[8];
	size_t n = 0;

	kafka_draft_read(L, -1, c->partition, m);
	vu[n].vtype = RD_KAFKA_VTYPE_RKT;
	vu[n++].u.rkt = c->rkt;
	vu[n].vtype = RD_KAFKA_VTYPE_PARTITION;
	vu[n++].u.i32 = m->partition;
	vu[n].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
	vu[n++].u.i = RD_KAFKA_MSG_F_COPY;
	vu[n].vtype = RD_KAFKA_VTYPE_VALUE;
	vu[n].u.mem.ptr = (void *)m->value;
	vu[n++].u.mem.size = m->value_len;
	vu[n].vtype = RD_KAFKA_VTYPE_KEY;
	vu[n].u.mem.ptr = (void *)m->key;
	vu[n++].u.mem.size = m->key_len;
	vu[n].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
	vu[n++].u.i64 = m->timestamp;
	if (m->headers) {
		vu[n].vtype = RD_KAFKA_VTYPE_HEADERS;
		vu[n++].u.headers = m->headers;
	}
	error = rd_kafka_produceva(c->p->h->rk, vu, n);
	if (!error) {
		m->headers = NULL;
		c->p->out++;
		c->p->bytes += (long long)(m->value_len + m->key_len);
	} else {
		kafka_tally_fail(&c->p->tally, rd_kafka_error_code(error), 1);
		rd_kafka_error_destroy(error);
		if (m->headers)
			rd_kafka_headers_destroy(m->headers);
		m->headers = NULL;
	}
	c->next++;
	lua_pop(L, 2);
}

static void send_some(lua_State *L, struct produce *c)
{
	while (c->next <= c->n && !is_full(c->p)) {
		if (lua_rawgeti(L, 3, c->next) == LUA_TSTRING) {
			lua_pop(L, 1);
			send_strings(L, c);
		} else {
			send_one(L, c);
			lua_pop(L, 1);
		}
	}
}

/* --- the result ------------------------------------------------------------------------------ */
static void set_count(lua_State *L, const char *name, long long v)
{
	lua_pushinteger(L, v);
	lua_setfield(L, -2, name);
}

/* The counts, into the table on top. */
static void set_counts(lua_State *L, struct produce *c)
{
	const struct kafka_tally *t = &c->p->tally;
	int i;

	luaL_checkstack(L, 8, NULL);
	set_count(L, "done", t->done);
	set_count(L, "failed", t->failed);
	set_count(L, "unknown", t->unknown);
	lua_pushstring(L, c->topic.name);
	lua_setfield(L, -2, "topic");
	lua_createtable(L, 0, t->n_parts);
	for (i = 0; i < t->n_parts; i++) {	/* -- t partitions part */
		lua_createtable(L, 0, 3);
		set_count(L, "count", t->parts[i].count);
		if (t->parts[i].first >= 0) {
			set_count(L, "first", t->parts[i].first);
			set_count(L, "last", t->parts[i].last);
		}
		lua_rawseti(L, -2, t->parts[i].partition);
	}
	lua_setfield(L, -2, "partitions");
	if (c->single && t->n_parts == 1) {
		set_count(L, "partition", t->parts[0].partition);
		if (t->parts[0].first >= 0)
			set_count(L, "offset", t->parts[0].first);
	}
}

/* What is to be raised, with the counts as its fields. */
static int push_failure(lua_State *L, struct produce *c)
{
	const struct kafka_tally *t = &c->p->tally;
	struct err e = t->first, first = t->first;
	enum err_kind kind = c->over ? ERR_TIMEOUT : e.kind;
	char what[64] = "failed";

	if (c->over && !t->done && !t->unknown)
		kafka_blame(&first, c->p->h, 0);
	if (c->p->h->fatal.kind != ERR_NONE)
		first = c->p->h->fatal, kind = first.kind;
	if (c->over)
		snprintf(what, sizeof what, "did not end within %.6g s",
			 c->timeout);
	err_set(&e, kind, first.code, "produce to '%.200s' %s: %lld done, "
		"%lld failed, %lld unknown: %.200s", c->topic.name, what,
		t->done, t->failed, t->unknown, first.message);
	e.phase = first.phase;
	snprintf(e.hint, sizeof e.hint, "%s", first.hint);
	if (c->tx && e.kind == ERR_BUSY)
		snprintf(e.hint, sizeof e.hint, "another producer holds the "
			 "transactional id '%s' now", c->tx->id);
	describe_end(c, &e);
	effect_end(&c->effect, e.outcome, t->done, -1, &e);
	err_push(L, &e);
	set_counts(L, c);
	end_producer(c);
	return lua_error(L);
}

static int finish(lua_State *L, struct produce *c)
{
	const struct kafka_tally *t = &c->p->tally;
	enum outcome outcome = outcome_of(c);

	if (c->tx && outcome != OUTCOME_DONE)
		c->tx->failed = 1;
	if (outcome != OUTCOME_DONE && !c->keep)
		return push_failure(L, c);
	lua_createtable(L, 0, 9);
	set_counts(L, c);
	set_count(L, "count", t->done);
	lua_pushboolean(L, outcome == OUTCOME_DONE);
	lua_setfield(L, -2, "ok");
	effect_end(&c->effect, outcome, t->done, c->total,
		   outcome == OUTCOME_DONE ? NULL : &t->first);
	end_producer(c);
	return effect_push_result(L, -1, 1);
}

/* --- the stages ---------------------------------------------------------------------------- */
static void check_all(lua_State *L, struct produce *c)
{
	lua_Integer i;

	c->total = 0;
	for (i = 1; i <= c->n; i++) {
		lua_rawgeti(L, 3, i);
		kafka_draft_check(L, -1, i, &c->topic, &c->total);
		lua_pop(L, 1);
	}
	if (c->partition >= c->topic.partitions && c->topic.partitions)
		err_raisef(L, ERR_USAGE, "", "topic '%s' has %d partitions, "
			   "there is no %d", c->topic.name,
			   c->topic.partitions, (int)c->partition);
}

/* For the record: one message itself, of several the sum. */
static void describe(lua_State *L, struct produce *c)
{
	const char *s;
	size_t len;

	buf_addf(&c->request, "produce to %s", c->topic.name);
	if (c->partition >= 0)
		buf_addf(&c->request, "/%d", (int)c->partition);
	if (c->n > 1 || !c->n) {
		buf_addf(&c->request, ": %lld messages, %lld bytes",
			 (long long)c->n, c->total);
		return;
	}
	lua_rawgeti(L, 3, 1);
	if (lua_istable(L, -1)) {
		lua_getfield(L, -1, "key");
		s = lua_tolstring(L, -1, &len);
		if (s) {
			buf_adds(&c->request, " key ");
			buf_add_json(&c->request, s, len < 200 ? len : 200);
		}
		lua_pop(L, 1);
		lua_getfield(L, -1, "value");
		lua_remove(L, -2);
	}
	s = lua_tolstring(L, -1, &len);
	buf_adds(&c->request, ": ");
	if (s)
		buf_add_json(&c->request, s, len < 4000 ? len : 4000);
	else
		buf_adds(&c->request, "null");
	lua_pop(L, 1);
}

/* 0: withheld, its stand-in is pushed. */
static int begin(lua_State *L, struct produce *c)
{
	struct effect_call what;
	struct err e;

	kafka_topic_must(L, c->kc, &c->topic, "produce");
	check_all(L, c);
	describe(L, c);
	if (!buf_ok(&c->request))
		kafka_no_memory(L);
	c->batch = mem_alloc(BATCH * sizeof *c->batch);
	if (!c->batch)
		kafka_no_memory(L);
	memset(&what, 0, sizeof what);
	what.target = c->kc->target;
	what.cls = EFFECT_WRITE;
	what.verb = "produce";
	what.request = c->request.data;
	what.request_len = c->request.len;
	what.items = c->n > 1 ? c->n : 0;
	what.timeout = c->timeout;
	if (effect_begin(L, &c->effect, &what) == EFFECT_WITHHELD)
		return 0;
	if (c->tx) {
		c->p = c->tx->p;
		c->p->held++;
		kafka_tally_clear(&c->p->tally);
	} else {
		c->p = kafka_producer_take(c->kc, "", &e);
	}
	if (!c->p) {
		e.outcome = OUTCOME_FAILED;
		effect_end(&c->effect, OUTCOME_FAILED, -1, -1, &e);
		err_raise(L, &e);
	}
	c->rkt = rd_kafka_topic_new(c->p->h->rk, c->topic.name, NULL);
	if (!c->rkt)
		kafka_no_memory(L);
	c->effect.sent = 1;
	c->begun = 1;
	return 1;
}

static int produce_k(lua_State *L, int status, lua_KContext ctx)
{
	struct produce *c = (struct produce *)ctx;

	(void)status;
	while (!c->begun) {
		lock_ready(L);		/* it may turn the loop: not below */
		if (kafka_must_meet(c->kc, EFFECT_WRITE) || (!c->met &&
		    !kafka_topic_known(c->kc, &c->topic))) {
			c->met = 1;
			kafka_meet(L, c->kc, &c->topic, c->until, ctx,
				   produce_k);
			continue;
		}
		if (!begin(L, c))
			return effect_push_withheld(L, &c->effect, 4);
	}
	while (!c->over) {
		send_some(L, c);
		if (c->next <= c->n)
			await(L, c, OUT_MAX / 2, BYTES_MAX / 2);
		else if (c->p->out)
			await(L, c, 0, 0);
		else
			break;
	}
	return finish(L, c);
}

/* produce(client, topic, messages, opts, tx) -> result; opts: partition, timeout,
 * errors, expect; single: the result says where the message is */
static int l_produce(lua_State *L)
{
	static const char *const names[] = {
		"partition", "timeout", "errors", "expect", "single", NULL
	};
	struct kafka_client *kc = kafka_check(L, 1);
	const char *topic = lx_checkcstr(L, 2), *errors;
	struct kafka_tx *tx = NULL;
	struct produce *c;

	luaL_checktype(L, 3, LUA_TTABLE);
	lua_settop(L, 5);
	if (!lua_isnil(L, 5))
		tx = luaL_checkudata(L, 5, KAFKA_TX);
	lx_opt_begin(L, 4, names);
	luaL_argcheck(L, *topic && strlen(topic) < sizeof c->topic.name, 2,
		      "a topic's name has 1 to 249 letters");
	c = (struct produce *)op_new(L, &produce_class, sizeof *c);
	buf_init(&c->request);
	c->kc = kc;
	c->tx = tx;
	snprintf(c->topic.name, sizeof c->topic.name, "%s", topic);
	c->n = (lua_Integer)lua_rawlen(L, 3);
	c->next = 1;
	c->partition = RD_KAFKA_PARTITION_UA;
	c->timeout = kc->o.timeout;
	if (lua_istable(L, 4)) {
		lua_getfield(L, 4, "timeout");
		c->timeout = lx_optseconds(L, lua_gettop(L), c->timeout);
		c->partition = (int32_t)lx_opt_int(L, 4, "partition",
						   RD_KAFKA_PARTITION_UA);
		c->single = lx_opt_bool(L, 4, "single", 0);
		errors = lx_opt_str(L, 4, "errors", NULL);
		c->keep = errors && !strcmp(errors, "keep");
		if (errors && !c->keep)
			err_raisef(L, ERR_USAGE, "", "option 'errors' is "
				   "'keep' or absent, not '%s'", errors);
		lua_pop(L, 2);
	}
	c->until = loop_now() + c->timeout;
	return produce_k(L, LUA_OK, (lua_KContext)c);
}

void kafka_open_produce(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "produce", l_produce }, { NULL, NULL }
	};

	lx_setfuncs(L, funcs);
}
