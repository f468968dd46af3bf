/*
 * kafka_mock: librdkafka's mock cluster, for demos and for fault injection
 * (`brokers = "mock://3"`). Lives in a handle of its own, goes with the client.
 * Must not be reached by a client of real brokers.
 */
#include "bind/kafka.h"

#include "core/lx.h"

static rd_kafka_mock_cluster_t *check(lua_State *L)
{
	struct kafka_client *kc = kafka_check(L, 1);
	struct err e;

	if (!kc->o.mock)
		err_raisef(L, ERR_USAGE, "", "target '%s' is no mock cluster",
			   kc->target->name);
	if (!kafka_mock_brokers(kc, &e))
		err_raise(L, &e);
	return rd_kafka_handle_mock_cluster(kc->mock->rk);
}

static void answer(lua_State *L, rd_kafka_resp_err_t code)
{
	struct err e;

	if (!code)
		return;
	kafka_error_set(&e, code, NULL);
	err_raise(L, &e);
}

/* mock_topic(client, name, partitions, replication): makes a topic */
static int l_mock_topic(lua_State *L)
{
	rd_kafka_mock_cluster_t *mock = check(L);

	answer(L, rd_kafka_mock_topic_create(mock, lx_checkcstr(L, 2),
					     (int)luaL_optinteger(L, 3, 1),
					     (int)luaL_optinteger(L, 4, 1)));
	return 0;
}

/* mock_fail(client, api key, count, code): its next requests get that error */
static int l_mock_fail(lua_State *L)
{
	rd_kafka_mock_cluster_t *mock = check(L);
	rd_kafka_resp_err_t errors[64];
	lua_Integer api = luaL_checkinteger(L, 2);
	lua_Integer n = luaL_checkinteger(L, 3), i;

	luaL_argcheck(L, n > 0 && n <= 64, 3, "1 to 64");
	for (i = 0; i < n; i++)
		errors[i] = (rd_kafka_resp_err_t)luaL_checkinteger(L, 4);
	rd_kafka_mock_push_request_errors_array(mock, (int16_t)api, (size_t)n,
						errors);
	return 0;
}

/* mock_broker(client, id, up): a broker goes away, or comes back */
static int l_mock_broker(lua_State *L)
{
	rd_kafka_mock_cluster_t *mock = check(L);
	int32_t id = (int32_t)luaL_checkinteger(L, 2);

	answer(L, lua_toboolean(L, 3) ? rd_kafka_mock_broker_set_up(mock, id) :
	       rd_kafka_mock_broker_set_down(mock, id));
	return 0;
}

/* mock_delay(client, id, seconds): so long takes a broker to answer */
static int l_mock_delay(lua_State *L)
{
	rd_kafka_mock_cluster_t *mock = check(L);

	answer(L, rd_kafka_mock_broker_set_rtt(mock,
		(int32_t)luaL_checkinteger(L, 2),
		(int)(luaL_checknumber(L, 3) * 1000)));
	return 0;
}

/* mock_leader(client, topic, partition, id): another leader; -1 none */
static int l_mock_leader(lua_State *L)
{
	rd_kafka_mock_cluster_t *mock = check(L);

	answer(L, rd_kafka_mock_partition_set_leader(mock, lx_checkcstr(L, 2),
		(int32_t)luaL_checkinteger(L, 3),
		(int32_t)luaL_checkinteger(L, 4)));
	return 0;
}

/* mock_brokers(client) -> "host:port,.." */
static int l_mock_brokers(lua_State *L)
{
	lua_pushstring(L, rd_kafka_mock_cluster_bootstraps(check(L)));
	return 1;
}

void kafka_open_mock(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "mock_topic", l_mock_topic }, { "mock_fail", l_mock_fail },
		{ "mock_broker", l_mock_broker },
		{ "mock_delay", l_mock_delay },
		{ "mock_leader", l_mock_leader },
		{ "mock_brokers", l_mock_brokers }, { NULL, NULL }
	};

	lx_setfuncs(L, funcs);
}
