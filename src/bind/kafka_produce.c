/*
 * kafka_produce: writing a list of messages: checked as a whole, handed to
 * librdkafka as fast as its queue takes them, awaited until each has its report,
 * told with counts: written, not written, unknown. The producers are
 * kafka_producer.c's, waiting and giving up kafka_reports.c's.
 */
#include "bind/kafka_producer.h"

#include <stdio.h>
#include <string.h>

#include "core/lx.h"
#include "core/mem.h"
#include "effect/lock.h"
#include "effect/withheld.h"

/*
 * What is in flight, messages and bytes: five requests of KAFKA_REQUEST. While more
 * waits behind those, librdkafka 2.0's broker thread spins, and takes the processor
 * from whoever has to answer.
 */
#define OUT_MAX (5 * KAFKA_REQUEST)
#define BYTES_MAX (32LL << 20)
#define BATCH 1000		/* strings that are handed over at once */
#define HURRY_MS 10		/* twice what the library waits for more */

/* --- its life ---------------------------------------------------------------------- */
static void produce_release(struct op *op)
{
	struct kafka_produce *c = (struct kafka_produce *)op;

	if (c->m.headers)
		rd_kafka_headers_destroy(c->m.headers);
	effect_abandon(&c->effect);
	kafka_produce_end(c);
	mem_free(c->batch);
	buf_release(&c->request);
}

static const struct op_class produce_class = {
	"kafka produce", NULL, NULL, produce_release
};

/* --- handing over ------------------------------------------------------------------------ */
static int is_full(const struct kafka_producer *p)
{
	return p->out >= OUT_MAX || p->bytes >= BYTES_MAX;
}

/* Where the next n messages without a key go: as many to one partition as a request
 * takes, in turn, is a third of the work of one by one. The library chooses while a
 * partition has no leader. */
static int32_t choose(struct kafka_produce *c, int n)
{
	static unsigned turn;

	if (c->partition >= 0 || c->topic.partitions < 1 || c->topic.leaderless)
		return c->partition;
	if (c->run <= 0) {
		turn = turn ? turn + 1 : (unsigned)(loop_now() * 1e6);
		c->run = KAFKA_REQUEST;
	}
	c->run -= n;
	return (int32_t)(turn % (unsigned)c->topic.partitions);
}

/* From c->next on, as long as they are strings. The list is at 3. */
static void send_strings(lua_State *L, struct kafka_produce *c)
{
	int top = lua_gettop(L), n = 0, i;
	long long bytes = 0;

	luaL_checkstack(L, BATCH + 8, NULL);
	while (n < BATCH && c->next + n <= c->n &&
	       c->p->bytes + bytes < BYTES_MAX) {
		rd_kafka_message_t *m = &c->batch[n];

		if (lua_rawgeti(L, 3, c->next + n) != LUA_TSTRING) {
			lua_pop(L, 1);
			break;
		}
		memset(m, 0, sizeof *m);
		m->payload = (void *)lua_tolstring(L, -1, &m->len);
		bytes += (long long)m->len;
		n++;
	}
	c->p->out += n;
	c->p->bytes += bytes;
	i = rd_kafka_produce_batch(c->rkt, choose(c, n),
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
static void send_one(lua_State *L, struct kafka_produce *c)
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

static void send_some(lua_State *L, struct kafka_produce *c)
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
static void set_counts(lua_State *L, struct kafka_produce *c)
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
static int push_failure(lua_State *L, struct kafka_produce *c)
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
	kafka_produce_name(c, &e);
	effect_end(&c->effect, e.outcome, t->done, -1, &e);
	err_push(L, &e);
	set_counts(L, c);
	kafka_produce_end(c);
	return lua_error(L);
}

static int finish(lua_State *L, struct kafka_produce *c)
{
	const struct kafka_tally *t = &c->p->tally;
	enum outcome outcome = kafka_produce_outcome(c);

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
	kafka_produce_end(c);
	return effect_push_result(L, -1, 1);
}

/* --- the stages ---------------------------------------------------------------------------- */
static void check_all(lua_State *L, struct kafka_produce *c)
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
static void describe(lua_State *L, struct kafka_produce *c)
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
static int begin(lua_State *L, struct kafka_produce *c)
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

static void hurry_run(void *arg)
{
	struct kafka_handle *h = arg;

	rd_kafka_flush(h->rk, HURRY_MS);
}

static void hurry_done(void *arg, int abandoned)
{
	(void)abandoned;
	kafka_handle_drop(arg);
}

/* All is handed over: what the library still holds back to fill a batch goes now. */
static void hurry(struct kafka_produce *c)
{
	if (c->hurried)
		return;
	c->hurried = 1;
	kafka_handle_hold(c->p->h);
	if (!loop_work_new(hurry_run, hurry_done, c->p->h))
		kafka_handle_drop(c->p->h);
}

static int produce_k(lua_State *L, int status, lua_KContext ctx)
{
	struct kafka_produce *c = (struct kafka_produce *)ctx;

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
		if (c->next <= c->n) {
			kafka_produce_await(L, c, OUT_MAX / 2, BYTES_MAX / 2,
					    produce_k);
			continue;
		}
		if (!c->p->out)
			break;
		hurry(c);
		kafka_produce_await(L, c, 0, 0, produce_k);
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
	struct kafka_produce *c;

	luaL_checktype(L, 3, LUA_TTABLE);
	lua_settop(L, 5);
	if (!lua_isnil(L, 5))
		tx = luaL_checkudata(L, 5, KAFKA_TX);
	lx_opt_begin(L, 4, names);
	luaL_argcheck(L, *topic && strlen(topic) < sizeof c->topic.name, 2,
		      "a topic's name has 1 to 249 letters");
	c = (struct kafka_produce *)op_new(L, &produce_class, sizeof *c);
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
