/*
 * fuzz_kafka_message: a message of whoever writes to a topic: key, value, headers
 * with any names and values, null ones and the same one twice. The table has what
 * came, byte by byte; of a value that should be JSON a decoded one, or an error that
 * names topic, partition and offset. Linked with core and the binding.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "bind/kafka_read.h"
#include "core/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int luaopen_opsh_c_kafka(lua_State *L);
int luaopen_opsh_c_json(lua_State *L);

#define HEADERS 6

struct input {
	const uint8_t *p, *end;
};

static lua_State *L;
static int plain, decoded;	/* the functions of push_one, on L's stack */

static unsigned take(struct input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

/* A piece of the input; NULL, when its length says so. */
static const void *piece(struct input *in, size_t *len)
{
	const void *at = in->p;
	size_t n = take(in), left = (size_t)(in->end - in->p);

	*len = 0;
	if (n == 255)
		return NULL;
	at = in->p;
	*len = n < left ? n : left;
	in->p += *len;
	return at;
}

static void check_field(const char *name, const void *want, size_t len)
{
	const char *s;
	size_t n;

	lua_getfield(L, -1, name);
	s = lua_tolstring(L, -1, &n);
	if ((s == NULL) != (want == NULL) ||
	    (s && (n != len || memcmp(s, want, n))))
		abort();
	lua_pop(L, 1);
}

/* The last value of a name; librdkafka gives names up to their first NUL. */
static const void *last_of(rd_kafka_headers_t *headers, const char *name,
			   size_t *len)
{
	const void *value, *last = NULL;
	const char *other;
	size_t i, n;

	*len = 0;
	for (i = 0; !rd_kafka_header_get_all(headers, i, &other, &value, &n);
	     i++)
		if (!strcmp(name, other)) {
			last = value;
			*len = n;
		}
	return last;
}

/* The list has each in its place, the map the last of each name. */
static void check_headers(rd_kafka_headers_t *headers)
{
	const void *value, *last;
	const char *name;
	size_t i, len, last_len;

	lua_getfield(L, -1, "header_list");
	if (lua_rawlen(L, -1) != rd_kafka_header_cnt(headers))
		abort();
	for (i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &len);
	     i++) {
		lua_rawgeti(L, -1, (lua_Integer)i + 1);
		check_field("name", name, strlen(name));
		check_field("value", value, len);
		lua_pop(L, 1);
		last = last_of(headers, name, &last_len);
		lua_getfield(L, -2, "headers");
		check_field(name, last, last_len);
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
}

static void check(const struct kafka_view *v)
{
	check_field("key", v->key, v->key_len);
	check_field("value", v->value, v->value_len);
	lua_getfield(L, -1, "offset");
	if (lua_tointeger(L, -1) != v->offset)
		abort();
	lua_pop(L, 1);
	if (v->headers) {
		check_headers(v->headers);
		return;
	}
	/* those that it has not got are empty, and its own */
	lua_getfield(L, -1, "headers");
	lua_getfield(L, -2, "headers");
	if (!lua_istable(L, -1) || !lua_rawequal(L, -1, -2))
		abort();
	lua_pop(L, 2);
}

static int l_push_one(lua_State *l)
{
	kafka_message_push(l, lua_touserdata(l, 1), 1);
	return 1;
}

static void push_one(int function, const struct kafka_view *v)
{
	lua_pushvalue(L, function);
	lua_pushlightuserdata(L, (void *)(uintptr_t)v);
	if (lua_pcall(L, 1, 1, 0) == LUA_OK) {
		check(v);
	} else {
		struct err e;

		if (function == plain || !err_is(L, -1))
			abort();
		err_from_lua(L, -1, &e);
		if (e.kind != ERR_PROTOCOL || !strstr(e.message,
						      "'orders' partition 3"))
			abort();
	}
	lua_settop(L, decoded);
}

static void open_lua(void)
{
	L = luaL_newstate();
	luaL_requiref(L, "opsh.c.err", luaopen_opsh_c_err, 0);
	luaL_requiref(L, "opsh.c.json", luaopen_opsh_c_json, 0);
	luaL_requiref(L, "opsh.c.kafka", luaopen_opsh_c_kafka, 0);
	lua_settop(L, 2);
	lua_pushliteral(L, "orders");		/* -- err json topic */
	lua_getfield(L, 2, "decode");		/* -- err json topic decode */
	kafka_message_upvalues(L, 3, 0);
	lua_pushcclosure(L, l_push_one, KAFKA_UPVALUES);
	plain = lua_gettop(L);
	kafka_message_upvalues(L, 3, 4);
	lua_pushcclosure(L, l_push_one, KAFKA_UPVALUES);
	decoded = lua_gettop(L);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	struct kafka_view v = { .partition = 3 };
	int i, n;

	if (!L)
		open_lua();
	n = (int)(take(&in) % HEADERS);
	v.offset = (int64_t)take(&in) << 48 | (int64_t)take(&in);
	v.timestamp = (int64_t)take(&in) - 1;
	if (n)
		v.headers = rd_kafka_headers_new((size_t)n);
	for (i = 1; i < n; i++) {
		size_t len, value_len;
		const char *name = piece(&in, &len);
		const void *value = piece(&in, &value_len);

		rd_kafka_header_add(v.headers, name ? name : "x",
				    name ? (ssize_t)len : 1, value,
				    value ? (ssize_t)value_len : 0);
	}
	v.key = piece(&in, &v.key_len);
	if (take(&in) % 8) {
		v.value = in.p;
		v.value_len = (size_t)(in.end - in.p);
	}
	push_one(plain, &v);
	push_one(decoded, &v);
	if (v.headers)
		rd_kafka_headers_destroy(v.headers);
	return 0;
}
