/*
 * kafka: the C module `opsh.c.kafka`; opsh.kafka stands in front of it. Opens the
 * parts, and asks who the cluster is.
 */
#include "bind/kafka.h"

#include "core/lx.h"

struct identity {
	struct kafka_call call;
	const struct rd_kafka_metadata *md;	/* owned */
	int controller;
	char *cluster;				/* owned: librdkafka's memory */
};

static void identity_run(struct kafka_call *call)
{
	struct identity *id = (struct identity *)call;

	if (kafka_metadata(call, 0, NULL, &id->md) < 0)
		return;
	id->cluster = rd_kafka_clusterid(call->h->rk, 200);
	id->controller = rd_kafka_controllerid(call->h->rk, 200);
}

static void identity_clear(struct kafka_call *call)
{
	struct identity *id = (struct identity *)call;

	if (id->md)
		rd_kafka_metadata_destroy(id->md);
	if (id->cluster)
		rd_kafka_mem_free(call->h->rk, id->cluster);
}

static int identity_push(lua_State *L, struct kafka_call *call)
{
	struct identity *id = (struct identity *)call;
	int i;

	if (call->failed.kind != ERR_NONE)
		kafka_call_fail(L, call, &call->failed);
	lua_createtable(L, 0, 3);
	if (id->cluster) {
		lua_pushstring(L, id->cluster);
		lua_setfield(L, -2, "cluster_id");
	}
	lua_pushinteger(L, id->controller);
	lua_setfield(L, -2, "controller");
	lua_createtable(L, id->md->broker_cnt, 0);
	for (i = 0; i < id->md->broker_cnt; i++) {
		const struct rd_kafka_metadata_broker *b = &id->md->brokers[i];

		lua_createtable(L, 0, 4);	/* -- id brokers broker */
		lua_pushinteger(L, b->id);
		lua_setfield(L, -2, "id");
		lua_pushstring(L, b->host);
		lua_setfield(L, -2, "host");
		lua_pushinteger(L, b->port);
		lua_setfield(L, -2, "port");
		lua_pushboolean(L, b->id == id->controller);
		lua_setfield(L, -2, "controller");
		lua_rawseti(L, -2, i + 1);
	}
	lua_setfield(L, -2, "brokers");
	kafka_call_done(call, id->md->broker_cnt);
	return 1;
}

/* identity(client [, {timeout}]) -> {cluster_id, controller, brokers} */
static int l_identity(lua_State *L)
{
	struct kafka_call *call;

	lua_settop(L, 2);
	call = kafka_call_new(L, sizeof(struct identity), "identity",
			      EFFECT_READ, 2, NULL);
	call->run = identity_run;
	call->push = identity_push;
	call->clear = identity_clear;
	return kafka_call_go(L, call);
}

int luaopen_opsh_c_kafka(lua_State *L);

int luaopen_opsh_c_kafka(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "identity", l_identity }, { NULL, NULL }
	};

	lua_newtable(L);
	kafka_open_client(L);
	kafka_open_mock(L);
	kafka_open_produce(L);
	kafka_open_tx(L);
	kafka_open_meta(L);
	kafka_open_consume(L);
	lx_setfuncs(L, funcs);
	return 1;
}
