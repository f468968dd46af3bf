/*
 * kafka_message: a message as a table that can be kept: topic, partition, offset,
 * timestamp, key, value, headers. A field that the message has not got is nil; a
 * tombstone has no value. Of headers with one name the last counts, header_list
 * has them all. Owns nothing of the message; must not know where it comes from.
 */
#include "bind/kafka_read.h"

#include <string.h>

#include <lauxlib.h>

enum { U_NAME, U_TOPIC, U_PARTITION, U_OFFSET, U_TIMESTAMP, U_KEY, U_VALUE,
       U_META, U_JSON, U_DECODE };

void kafka_message_upvalues(lua_State *L, int topic, int decode)
{
	topic = lua_absindex(L, topic);
	decode = decode ? lua_absindex(L, decode) : 0;
	lua_pushliteral(L, "topic");
	lua_pushvalue(L, topic);
	lua_pushliteral(L, "partition");
	lua_pushliteral(L, "offset");
	lua_pushliteral(L, "timestamp");
	lua_pushliteral(L, "key");
	lua_pushliteral(L, "value");
	luaL_getmetatable(L, KAFKA_MESSAGE);
	lua_pushliteral(L, "json");
	if (decode)
		lua_pushvalue(L, decode);
	else
		lua_pushnil(L);
}

/* The name of a field; its value and lua_rawset(L, -3) follow. */
static void name(lua_State *L, int upvalue)
{
	lua_pushvalue(L, lua_upvalueindex(upvalue));
}

static void push_bytes(lua_State *L, const void *p, size_t len)
{
	if (p)
		lua_pushlstring(L, p, len);
	else
		lua_pushnil(L);
}

void kafka_message_headers(lua_State *L, rd_kafka_headers_t *headers)
{
	size_t i, len, n = headers ? rd_kafka_header_cnt(headers) : 0;
	const void *value;
	const char *key;

	luaL_checkstack(L, 8, NULL);
	lua_createtable(L, 0, (int)n);		/* -- message headers */
	lua_createtable(L, (int)n, 0);		/* -- message headers list */
	for (i = 0; i < n && rd_kafka_header_get_all(headers, i, &key, &value,
			&len) == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
		lua_createtable(L, 0, 2);	/* -- .. list one */
		lua_pushstring(L, key);
		lua_pushvalue(L, -1);
		lua_setfield(L, -3, "name");	/* -- .. list one key */
		push_bytes(L, value, len);
		lua_pushvalue(L, -1);
		lua_setfield(L, -4, "value");	/* -- .. list one key value */
		lua_rawset(L, -5);		/* -- .. list one */
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_pushliteral(L, "header_list");
	lua_insert(L, -2);
	lua_rawset(L, -4);
	lua_pushliteral(L, "headers");
	lua_insert(L, -2);
	lua_rawset(L, -3);
}

/* json = the value, decoded; the message is on top. */
static void add_json(lua_State *L, const struct kafka_view *m, int first)
{
	struct err e;

	name(L, first + U_JSON);
	if (!m->value) {
		lua_pushnil(L);
		lua_rawset(L, -3);
		return;
	}
	lua_pushvalue(L, lua_upvalueindex(first + U_DECODE));
	lua_pushlstring(L, m->value, m->value_len);
	if (lua_pcall(L, 1, 1, 0) == LUA_OK) {
		lua_rawset(L, -3);
		return;
	}
	err_from_lua(L, -1, &e);
	if (e.kind != ERR_PROTOCOL && e.kind != ERR_LIMIT)
		lua_error(L);
	err_raisef(L, ERR_PROTOCOL, e.code, "value of '%s' partition %d offset "
		   "%lld is no JSON: %s", lua_tostring(L, lua_upvalueindex(
		   first + U_TOPIC)), (int)m->partition, (long long)m->offset,
		   e.message);
}

void kafka_message_refill(lua_State *L, const struct kafka_view *m, int first,
			  int what)
{
	if (what & KAFKA_FILL_PARTITION) {
		name(L, first + U_PARTITION);
		lua_pushinteger(L, m->partition);
		lua_rawset(L, -3);
	}
	name(L, first + U_OFFSET);
	lua_pushinteger(L, m->offset);
	lua_rawset(L, -3);
	name(L, first + U_TIMESTAMP);
	if (m->timestamp >= 0)
		lua_pushnumber(L, (double)m->timestamp / 1000.0);
	else
		lua_pushnil(L);
	lua_rawset(L, -3);
	if (m->key || what & KAFKA_FILL_KEY) {
		name(L, first + U_KEY);
		push_bytes(L, m->key, m->key_len);
		lua_rawset(L, -3);
	}
	name(L, first + U_VALUE);
	push_bytes(L, m->value, m->value_len);
	lua_rawset(L, -3);
	if (what & KAFKA_FILL_HEADERS) {
		lua_pushnil(L);
		lua_setfield(L, -2, "headers");
		lua_pushnil(L);
		lua_setfield(L, -2, "header_list");
	}
	if (!lua_isnil(L, lua_upvalueindex(first + U_DECODE)))
		add_json(L, m, first);
}

void kafka_message_push(lua_State *L, const struct kafka_view *m, int first)
{
	int json = !lua_isnil(L, lua_upvalueindex(first + U_DECODE));

	lua_createtable(L, 0, 6 + 2 * (m->headers != NULL) + json);
	name(L, first + U_NAME);
	lua_pushvalue(L, lua_upvalueindex(first + U_TOPIC));
	lua_rawset(L, -3);
	lua_pushvalue(L, lua_upvalueindex(first + U_META));
	lua_setmetatable(L, -2);
	kafka_message_refill(L, m, first, KAFKA_FILL_PARTITION);
	if (m->headers)
		kafka_message_headers(L, m->headers);
}

int kafka_message_lacks(lua_State *L)
{
	const char *field = lua_tostring(L, 2);

	return field && (!strcmp(field, "headers") ||
			 !strcmp(field, "header_list"));
}

/* (message, name): what a message without headers has of them is made when it
 * is looked at: most have none. */
static int l_message_index(lua_State *L)
{
	if (!kafka_message_lacks(L))
		return 0;
	lua_settop(L, 2);
	lua_newtable(L);
	lua_pushvalue(L, 2);
	lua_pushvalue(L, -2);
	lua_rawset(L, 1);
	return 1;
}

void kafka_open_message(lua_State *L)
{
	luaL_newmetatable(L, KAFKA_MESSAGE);
	lua_pushcfunction(L, l_message_index);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
}
