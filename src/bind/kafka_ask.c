/*
 * kafka_ask: how a question or an order to the cluster is made, what its answer
 * says, how it ends. Must not know what is asked.
 */
#include "bind/kafka_ask.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/lx.h"
#include "core/mem.h"

static void ask_clear(struct kafka_call *call)
{
	struct kafka_ask *ask = (struct kafka_ask *)call;
	int i;

	for (i = 0; i < ask->n; i++) {
		if (ask->lists[i])
			rd_kafka_topic_partition_list_destroy(ask->lists[i]);
	}
	if (ask->meta)
		rd_kafka_metadata_destroy(ask->meta);
	if (ask->cluster)
		rd_kafka_mem_free(NULL, ask->cluster);
	if (ask->req)
		ask->req_free(ask->req);
	mem_free(ask->name);
	ask->n = 0;
	ask->meta = NULL;
	ask->cluster = ask->name = NULL;
	ask->req = NULL;
}

/* A refusal of what was asked; done in part, or given up by the broker while it
 * was at it, nobody can tell what there is now. */
static void check_answer(lua_State *L, struct kafka_ask *ask)
{
	struct kafka_call *call = &ask->call;
	rd_kafka_resp_err_t code;
	const char *why = NULL;
	struct err e;
	int part = 0;

	if (call->failed.kind)
		kafka_call_fail(L, call, &call->failed);
	code = ask->judge ? ask->judge(ask, &why, &part) :
		RD_KAFKA_RESP_ERR_NO_ERROR;
	if (!code)
		return;
	kafka_error_set(&e, code, why);
	e.outcome = OUTCOME_FAILED;
	if (call->cls != EFFECT_READ &&
	    (part || code == RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT)) {
		e.outcome = OUTCOME_UNKNOWN;
		snprintf(e.hint, sizeof e.hint, "%s", part ?
			 "some of it was done: look at what there is" :
			 "it may be done later: look at what there is");
	}
	kafka_call_fail(L, call, &e);
}

static int ask_push(lua_State *L, struct kafka_call *call)
{
	struct kafka_ask *ask = (struct kafka_ask *)call;
	int n;

	check_answer(L, ask);
	if (call->cls == EFFECT_READ) {
		n = ask->push(L, ask);
		kafka_call_done(call, -1);
		return n;
	}
	call->kc->topic.name[0] = '\0';	/* what is known of it may be old */
	kafka_call_done(call, call->items ? call->items : 1);
	lua_createtable(L, 0, 3);
	if (call->items) {
		lua_pushinteger(L, (lua_Integer)call->items);
		lua_setfield(L, -2, "count");
	}
	if (ask->push) {
		ask->push(L, ask);
		lua_setfield(L, -2, "value");
	}
	return kafka_call_result(L, call);
}

static struct kafka_ask *new_ask(lua_State *L, const char *verb,
				 enum effect_class cls, int opts,
				 const char *const *names)
{
	struct kafka_ask *ask;

	ask = (struct kafka_ask *)(void *)kafka_call_new(L, sizeof *ask, verb,
			cls, lua_isnoneornil(L, opts) ? 0 : opts, names);
	ask->call.push = ask_push;
	ask->call.clear = ask_clear;
	ask->broker = -1;
	return ask;
}

struct kafka_ask *kafka_ask_new(lua_State *L, const char *verb,
				enum effect_class cls, int opts)
{
	return new_ask(L, verb, cls, opts, NULL);
}

struct kafka_ask *kafka_ask_new_at(lua_State *L, const char *verb,
				   enum effect_class cls, int opts)
{
	static const char *const names[] = { "broker", NULL };
	struct kafka_ask *ask = new_ask(L, verb, cls, opts, names);
	lua_Integer id = ask->call.opts ?
		lx_opt_int(L, opts, "broker", -1) : -1;

	luaL_argcheck(L, id >= -1 && id <= INT32_MAX, opts,
		      "a broker is a number from 0");
	ask->broker = (int32_t)id;
	return ask;
}

void kafka_ask_own(struct kafka_ask *ask, void *req, void (*free_req)(void *))
{
	ask->req = req;
	ask->req_free = free_req;
}

void kafka_ask_name(lua_State *L, struct kafka_ask *ask, const char *name)
{
	ask->name = mem_strdup(name);
	if (!ask->name)
		kafka_no_memory(L);
}

int kafka_ask_pool(lua_State *L, struct kafka_ask *ask,
		   void (*run)(struct kafka_call *call))
{
	ask->call.run = run;
	return kafka_call_go(L, &ask->call);
}

int kafka_ask_admin(lua_State *L, struct kafka_ask *ask,
		    rd_kafka_admin_op_t api, kafka_ask_send *send)
{
	ask->call.admin = api;
	ask->call.send = send;
	return kafka_call_go(L, &ask->call);
}
