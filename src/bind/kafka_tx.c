/*
 * kafka_tx: transactions: messages and a group's offsets that count together or
 * not at all. Beginning, offsets, commit and abort run in the pool; the messages
 * are kafka_produce.c's. Owns the producer while the transaction lives.
 */
#include "bind/kafka_producer.h"

#include <stdio.h>
#include <string.h>

#include "core/lx.h"

struct tx_call {
	struct kafka_call call;
	struct kafka_tx *tx;		/* borrowed: argument 2 */
	rd_kafka_topic_partition_list_t *offsets;	/* owned */
	rd_kafka_consumer_group_metadata_t *group;	/* owned */
	int ready;			/* init_transactions is done */
	int tries;
};

/* --- the userdata ------------------------------------------------------------------- */
/* tx_new(client, id) -> transaction, not begun */
static int l_tx_new(lua_State *L)
{
	struct kafka_tx *tx;
	const char *id = lx_checkcstr(L, 2);

	kafka_check(L, 1);
	luaL_argcheck(L, *id && strlen(id) <= KAFKA_TX_ID, 2,
		      "a transactional id has 1 to 200 letters");
	tx = lua_newuserdatauv(L, sizeof *tx, 0);
	memset(tx, 0, sizeof *tx);
	luaL_setmetatable(L, KAFKA_TX);
	snprintf(tx->id, sizeof tx->id, "%s", id);
	return 1;
}

static int l_tx_gc(lua_State *L)
{
	struct kafka_tx *tx = luaL_checkudata(L, 1, KAFKA_TX);

	kafka_producer_free(tx->p);
	tx->p = NULL;
	return 0;
}

/* --- in the pool ----------------------------------------------------------------------- */
/* 1: once more. The error is taken. */
static int again(struct tx_call *t, rd_kafka_error_t *error)
{
	rd_kafka_resp_err_t code = rd_kafka_error_code(error);
	int retry = rd_kafka_error_is_retriable(error) ||
		code == RD_KAFKA_RESP_ERR__TIMED_OUT;

	kafka_error_take(&t->call.failed, error);
	t->tries++;
	return retry;
}

static void begin_run(struct kafka_call *call)
{
	struct tx_call *t = (struct tx_call *)call;
	rd_kafka_error_t *error;
	int ms;

	while (!t->ready) {
		ms = kafka_slice(call);
		if (!ms)
			return;
		error = rd_kafka_init_transactions(call->h->rk, ms);
		t->ready = !error;
		if (error && !again(t, error))
			return;
	}
	call->failed.kind = ERR_NONE;
	error = rd_kafka_begin_transaction(call->h->rk);
	if (error)
		kafka_error_take(&call->failed, error);
}

static rd_kafka_error_t *step_offsets(struct tx_call *t, int ms)
{
	return rd_kafka_send_offsets_to_transaction(t->call.h->rk, t->offsets,
						    t->group, ms);
}

static rd_kafka_error_t *step_commit(struct tx_call *t, int ms)
{
	return rd_kafka_commit_transaction(t->call.h->rk, ms);
}

static rd_kafka_error_t *step_abort(struct tx_call *t, int ms)
{
	return rd_kafka_abort_transaction(t->call.h->rk, ms);
}

static void repeat(struct kafka_call *call,
		   rd_kafka_error_t *(*step)(struct tx_call *, int))
{
	struct tx_call *t = (struct tx_call *)call;
	rd_kafka_error_t *error;
	int ms;

	while ((ms = kafka_slice(call))) {
		error = step(t, ms);
		if (!error) {
			call->failed.kind = ERR_NONE;
			return;
		}
		if (!again(t, error))
			return;
	}
	/* time is over, whatever the last try said */
	call->failed.kind = ERR_TIMEOUT;
}

static void offsets_run(struct kafka_call *call)
{
	repeat(call, step_offsets);
}

static void commit_run(struct kafka_call *call)
{
	struct tx_call *t = (struct tx_call *)call;

	repeat(call, step_commit);
	/* a try that nobody answered, then no: it may have been the first */
	if (call->failed.kind != ERR_NONE && t->tries > 1)
		call->failed.outcome = OUTCOME_UNKNOWN;
}

static void abort_run(struct kafka_call *call)
{
	repeat(call, step_abort);
}

/* --- the calls ---------------------------------------------------------------------------- */
static void tx_clear(struct kafka_call *call)
{
	struct tx_call *t = (struct tx_call *)call;

	if (t->offsets)
		rd_kafka_topic_partition_list_destroy(t->offsets);
	if (t->group)
		rd_kafka_consumer_group_metadata_destroy(t->group);
}

static struct tx_call *make(lua_State *L, const char *verb, const char *what,
			    enum effect_class cls, int opts)
{
	struct kafka_tx *tx = luaL_checkudata(L, 2, KAFKA_TX);
	struct tx_call *t = (struct tx_call *)kafka_call_new(L, sizeof *t,
						verb, cls, opts, NULL);

	t->tx = tx;
	t->call.clear = tx_clear;
	buf_addf(&t->call.request, "%s %s", what, tx->id);
	return t;
}

/* From now on the call works on the transaction's handle. */
static void use_handle(struct tx_call *t)
{
	kafka_handle_drop(t->call.h);
	t->call.h = t->tx->p->h;
	kafka_handle_hold(t->call.h);
}

static int begin_prepare(struct kafka_call *call, struct err *e)
{
	struct tx_call *t = (struct tx_call *)call;

	t->tx->p = kafka_producer_take(call->kc, t->tx->id, e);
	if (!t->tx->p)
		return -1;
	t->ready = t->tx->p->tx_ready;
	use_handle(t);
	return 0;
}

/* What happened to a transaction, instead of what happened to a request. */
static _Noreturn void fail(lua_State *L, struct tx_call *t, const char *what)
{
	struct err e = t->call.failed, own = e;

	if (t->call.h->fatal.kind != ERR_NONE)
		own = t->call.h->fatal;
	err_set(&e, own.kind, own.code, "transaction '%s' %s: %.300s",
		t->tx->id, what, own.message);
	e.phase = own.phase;
	e.outcome = t->call.failed.outcome;
	snprintf(e.hint, sizeof e.hint, "%s", own.hint);
	kafka_call_raise(L, &t->call, &e);
}

static int begin_push(lua_State *L, struct kafka_call *call)
{
	struct tx_call *t = (struct tx_call *)call;

	if (call->failed.kind != ERR_NONE) {
		call->failed.outcome = OUTCOME_FAILED;
		fail(L, t, "was not begun");
	}
	t->tx->p->tx_ready = 1;
	kafka_call_done(call, -1);
	return 0;
}

/* tx_begin(client, tx, opts): whoever has the id is fenced off */
static int l_tx_begin(lua_State *L)
{
	struct tx_call *t;

	lua_settop(L, 3);
	t = make(L, "transaction", "begin transaction", EFFECT_WRITE, 3);
	if (t->tx->p)
		err_raisef(L, ERR_USAGE, "", "this transaction has begun");
	t->call.harmless = 1;
	t->call.prepare = begin_prepare;
	t->call.run = begin_run;
	t->call.push = begin_push;
	return kafka_call_go(L, &t->call);
}

static int same_prepare(struct kafka_call *call, struct err *e)
{
	struct tx_call *t = (struct tx_call *)call;

	if (!t->tx->p) {
		err_set(e, ERR_USAGE, "", "this transaction has ended");
		return -1;
	}
	use_handle(t);
	return 0;
}

/* The list of {topic, partition, offset} at 4. */
static void read_offsets(lua_State *L, struct tx_call *t)
{
	lua_Integer n, i;

	luaL_checktype(L, 4, LUA_TTABLE);
	n = (lua_Integer)lua_rawlen(L, 4);
	t->offsets = rd_kafka_topic_partition_list_new((int)n);
	for (i = 1; i <= n; i++) {
		const char *topic;
		int isnum[2];
		lua_Integer partition, offset;

		lua_rawgeti(L, 4, i);
		luaL_argcheck(L, lua_istable(L, -1), 4,
			      "a list of {topic, partition, offset}");
		lua_getfield(L, -1, "topic");
		lua_getfield(L, -2, "partition");
		lua_getfield(L, -3, "offset");
		topic = lua_type(L, -3) == LUA_TSTRING ? lua_tostring(L, -3) :
			NULL;
		partition = lua_tointegerx(L, -2, &isnum[0]);
		offset = lua_tointegerx(L, -1, &isnum[1]);
		luaL_argcheck(L, topic && isnum[0] && isnum[1] && offset >= 0 &&
			      partition >= 0, 4,
			      "a list of {topic, partition, offset}");
		rd_kafka_topic_partition_list_add(t->offsets, topic,
			(int32_t)partition)->offset = offset;
		buf_addf(&t->call.request, " %s/%d=%lld", topic,
			 (int)partition, (long long)offset);
		lua_pop(L, 4);
	}
}

static int offsets_push(lua_State *L, struct kafka_call *call)
{
	struct tx_call *t = (struct tx_call *)call;
	int n = t->offsets->cnt;

	if (call->failed.kind != ERR_NONE) {
		t->tx->failed = 1;
		call->failed.outcome = OUTCOME_FAILED;
		fail(L, t, "could not take the offsets");
	}
	kafka_call_done(call, n);
	lua_createtable(L, 0, 2);
	lua_pushinteger(L, n);
	lua_setfield(L, -2, "count");
	return kafka_call_result(L, call);
}

/* tx_offsets(client, tx, group, list, opts) -> {ok, count} */
static int l_tx_offsets(lua_State *L)
{
	struct tx_call *t;
	const char *group = lx_checkcstr(L, 3);

	lua_settop(L, 5);
	t = make(L, "offsets", "transaction", EFFECT_WRITE, 5);
	buf_addf(&t->call.request, ": offsets of group %s", group);
	read_offsets(L, t);
	t->group = rd_kafka_consumer_group_metadata_new(group);
	t->call.harmless = 1;
	t->call.prepare = same_prepare;
	t->call.run = offsets_run;
	t->call.push = offsets_push;
	return kafka_call_go(L, &t->call);
}

/* The producer goes back, or away. */
static void let_go(struct tx_call *t, int good)
{
	struct kafka_producer *p = t->tx->p;

	t->tx->p = NULL;
	if (good)
		kafka_producer_give(t->call.kc, p);
	else
		kafka_producer_free(p);
}

static int commit_push(lua_State *L, struct kafka_call *call)
{
	struct tx_call *t = (struct tx_call *)call;

	if (call->failed.kind != ERR_NONE) {
		if (call->failed.outcome == OUTCOME_NONE)
			call->failed.outcome = call->failed.kind == ERR_TIMEOUT
				? OUTCOME_UNKNOWN : OUTCOME_FAILED;
		if (call->failed.outcome == OUTCOME_UNKNOWN) {
			let_go(t, 0);
			snprintf(call->failed.hint, sizeof call->failed.hint,
				 "the group's offsets say whether it counts");
			fail(L, t, "may or may not have been committed");
		}
		fail(L, t, "was not committed");
	}
	let_go(t, 1);
	kafka_call_done(call, -1);
	lua_createtable(L, 0, 2);
	lua_pushstring(L, t->tx->id);
	lua_setfield(L, -2, "id");
	return kafka_call_result(L, call);
}

/* tx_commit(client, tx, opts) -> {ok, id} */
static int l_tx_commit(lua_State *L)
{
	struct tx_call *t;

	lua_settop(L, 3);
	t = make(L, "commit", "commit transaction", EFFECT_WRITE, 3);
	if (t->tx->failed)
		err_raisef(L, ERR_SERVER, "", "transaction '%s' can't be "
			   "committed: a part of it was not written", t->tx->id);
	t->call.prepare = same_prepare;
	t->call.run = commit_run;
	t->call.push = commit_push;
	return kafka_call_go(L, &t->call);
}

static int abort_push(lua_State *L, struct kafka_call *call)
{
	struct tx_call *t = (struct tx_call *)call;
	int good = call->failed.kind == ERR_NONE;

	let_go(t, good);
	if (!good)
		fail(L, t, "could not be aborted: the broker does so in a "
		     "while");
	kafka_call_done(call, -1);
	return 0;
}

/* tx_abort(client, tx, opts): nothing of it counts; a no-op when it has ended */
static int l_tx_abort(lua_State *L)
{
	struct tx_call *t;

	lua_settop(L, 3);
	/* it takes back: no mode and no lock may stop it */
	t = make(L, "abort", "abort transaction", EFFECT_READ, 3);
	if (!t->tx->p)
		return 0;
	t->call.prepare = same_prepare;
	t->call.run = abort_run;
	t->call.push = abort_push;
	return kafka_call_go(L, &t->call);
}

void kafka_open_tx(lua_State *L)
{
	static const luaL_Reg meta[] = {
		{ "__gc", l_tx_gc }, { "__close", l_tx_gc }, { NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "tx_new", l_tx_new }, { "tx_begin", l_tx_begin },
		{ "tx_offsets", l_tx_offsets }, { "tx_commit", l_tx_commit },
		{ "tx_abort", l_tx_abort }, { NULL, NULL }
	};

	lx_metatable(L, KAFKA_TX, NULL, meta);
	lx_setfuncs(L, funcs);
}
