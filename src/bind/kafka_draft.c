/*
 * kafka_draft: a message as Lua has it (a string, or a table with value, key,
 * headers, partition, timestamp), checked and read for librdkafka. Sends nothing.
 */
#include "bind/kafka_producer.h"

#include <math.h>
#include <string.h>

#include "core/lx.h"

static const char *const fields[] = {
	"value", "key", "headers", "partition", "timestamp", NULL
};

static _Noreturn void bad(lua_State *L, lua_Integer n, const char *what)
{
	err_raisef(L, ERR_USAGE, "", "message %lld: %s", (long long)n, what);
}

static void check_fields(lua_State *L, int idx, lua_Integer n)
{
	int i;

	lua_pushnil(L);
	while (lua_next(L, idx)) {
		const char *key = lua_type(L, -2) == LUA_TSTRING ?
			lua_tostring(L, -2) : "?";

		for (i = 0; fields[i] && strcmp(fields[i], key); )
			i++;
		if (!fields[i])
			err_raisef(L, ERR_USAGE, "", "message %lld: unknown "
				   "field '%s' (known: value, key, headers, "
				   "partition, timestamp)", (long long)n, key);
		lua_pop(L, 1);
	}
}

static long long text_field(lua_State *L, int idx, lua_Integer n,
			    const char *name)
{
	int type = lua_getfield(L, idx, name);
	long long len = -1;

	if (type == LUA_TSTRING)
		len = (long long)lua_rawlen(L, -1);
	else if (type != LUA_TNIL)
		err_raisef(L, ERR_USAGE, "", "message %lld: its %s must be a "
			   "string, not a %s", (long long)n, name,
			   lua_typename(L, type));
	lua_pop(L, 1);
	return len;
}

static void check_headers(lua_State *L, int idx, lua_Integer n)
{
	int type = lua_getfield(L, idx, "headers");
	lua_Integer i;

	if (type != LUA_TNIL && type != LUA_TTABLE)
		bad(L, n, "its headers must be a table");
	if (type == LUA_TTABLE && lua_rawlen(L, -1)) {
		for (i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
			if (!lua_istable(L, -1))
				bad(L, n, "a list of headers is of {name, "
				    "value}");
			lua_pop(L, 1);
		}
		lua_pop(L, 1);
	} else if (type == LUA_TTABLE) {
		lua_pushnil(L);
		while (lua_next(L, -2)) {
			if (lua_type(L, -2) != LUA_TSTRING)
				bad(L, n, "a header's name must be a string");
			if (!lua_isstring(L, -1))
				bad(L, n, "a header's value must be a string");
			lua_pop(L, 1);
		}
	}
	lua_pop(L, 1);
}

static void check_numbers(lua_State *L, int idx, lua_Integer n,
			  const struct kafka_topic *topic)
{
	if (lua_getfield(L, idx, "partition") != LUA_TNIL) {
		if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 0)
			bad(L, n, "its partition must be a whole number, 0 or "
			    "more");
		if (topic->partitions &&
		    lua_tointeger(L, -1) >= topic->partitions)
			err_raisef(L, ERR_USAGE, "", "message %lld: topic '%s' "
				   "has %d partitions, there is no %lld",
				   (long long)n, topic->name,
				   topic->partitions,
				   (long long)lua_tointeger(L, -1));
	}
	if (lua_getfield(L, idx, "timestamp") != LUA_TNIL &&
	    (lua_type(L, -1) != LUA_TNUMBER || lua_tonumber(L, -1) < 0 ||
	     !(lua_tonumber(L, -1) < 9e12)))
		bad(L, n, "its timestamp must be seconds since 1970");
	lua_pop(L, 2);
}

void kafka_draft_check(lua_State *L, int idx, lua_Integer n,
			 const struct kafka_topic *topic, long long *bytes)
{
	long long value, key;

	idx = lua_absindex(L, idx);
	if (lua_type(L, idx) == LUA_TSTRING) {
		*bytes += (long long)lua_rawlen(L, idx);
		return;
	}
	if (!lua_istable(L, idx))
		bad(L, n, "expected a string, or a table with value, key, "
		    "headers");
	luaL_checkstack(L, 8, NULL);
	check_fields(L, idx, n);
	value = text_field(L, idx, n, "value");
	key = text_field(L, idx, n, "key");
	if (value < 0 && key < 0)
		bad(L, n, "it has no value, and no key to delete");
	check_headers(L, idx, n);
	check_numbers(L, idx, n, topic);
	*bytes += (value < 0 ? 0 : value) + (key < 0 ? 0 : key);
}

/* Its name at -2, its value at -1; both may be replaced by strings. */
static void add_header(lua_State *L, struct kafka_draft *m)
{
	size_t nlen, vlen = 0;
	const char *name = luaL_checklstring(L, -2, &nlen);
	const char *value = lua_isnil(L, -1) ? NULL :
		luaL_checklstring(L, -1, &vlen);

	if (rd_kafka_header_add(m->headers, name, (ssize_t)nlen, value,
				(ssize_t)vlen))
		kafka_no_memory(L);
}

/* {name, value} or {name=, value=} on top. */
static void add_pair(lua_State *L, struct kafka_draft *m)
{
	if (lua_getfield(L, -1, "name") == LUA_TNIL) {
		lua_pop(L, 1);
		lua_rawgeti(L, -1, 1);
		lua_rawgeti(L, -2, 2);
	} else {
		lua_getfield(L, -2, "value");
	}
	add_header(L, m);
	lua_pop(L, 2);
}

/* The table of headers on top. */
static void read_headers(lua_State *L, struct kafka_draft *m)
{
	lua_Integer i;

	m->headers = rd_kafka_headers_new(8);
	if (lua_rawlen(L, -1)) {
		for (i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
			add_pair(L, m);
			lua_pop(L, 1);
		}
		lua_pop(L, 1);
		return;
	}
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		lua_pushvalue(L, -2);
		lua_insert(L, -2);	/* -- key key value */
		add_header(L, m);
		lua_pop(L, 2);
	}
}

void kafka_draft_read(lua_State *L, int idx, int32_t partition,
			struct kafka_draft *m)
{
	idx = lua_absindex(L, idx);
	luaL_checkstack(L, 10, NULL);
	memset(m, 0, sizeof *m);
	m->partition = partition;
	if (lua_type(L, idx) == LUA_TSTRING) {
		m->value = lua_tolstring(L, idx, &m->value_len);
		lua_pushnil(L);
		lua_pushnil(L);
		return;
	}
	if (lua_getfield(L, idx, "partition") != LUA_TNIL)
		m->partition = (int32_t)lua_tointeger(L, -1);
	if (lua_getfield(L, idx, "timestamp") != LUA_TNIL)
		m->timestamp = (int64_t)llround(lua_tonumber(L, -1) * 1000);
	lua_pop(L, 2);
	if (lua_getfield(L, idx, "headers") == LUA_TTABLE)
		read_headers(L, m);
	lua_pop(L, 1);
	lua_getfield(L, idx, "value");
	m->value = lua_tolstring(L, -1, &m->value_len);
	lua_getfield(L, idx, "key");
	m->key = lua_tolstring(L, -1, &m->key_len);
}
