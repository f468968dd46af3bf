/*
 * json_decode: strict JSON to Lua values, over jansson (the only file that
 * includes it, so the slots of calls are made here). Integers are exact int64 or
 * an error, floats stay floats, text must be UTF-8. What a call allocates lives
 * in its slot until the end.
 */
#include "bind/json.h"

#include <jansson.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "core/err.h"
#include "core/lx.h"
#include "core/mem.h"

#define SLOT_META "opsh.json.slot"

void json_slot_release(struct json_slot *slot)
{
	json_decref(slot->root);
	slot->root = NULL;
	buf_release(&slot->buf);
}

static int l_slot_gc(lua_State *L)
{
	json_slot_release(lua_touserdata(L, 1));
	return 0;
}

struct json_slot *json_slot_new(lua_State *L)
{
	struct json_slot *slot = lua_newuserdatauv(L, sizeof *slot, 0);

	slot->root = NULL;
	buf_init(&slot->buf);
	luaL_setmetatable(L, SLOT_META);
	return slot;
}

/* One call of decode. */
struct decoder {
	struct json_slot *slot;		/* borrowed: on the frame */
	struct json_marker marker;
	int null_idx;			/* what stands for null; 0: default */
};

static void push_value(lua_State *L, struct decoder *d, json_t *value);

/* The slot's buffer takes a string with markers; it is empty otherwise. */
static void push_text(lua_State *L, struct decoder *d, const char *s,
		      size_t len)
{
	struct buf *b = &d->slot->buf;

	if (!d->marker.used) {
		lua_pushlstring(L, s, len);
		return;
	}
	buf_clear(b);
	json_unmark(b, s, len, &d->marker);
	if (!buf_ok(b))
		err_raisef(L, ERR_LIMIT, "memory", "not enough memory");
	lua_pushlstring(L, b->data, b->len);
}

static void push_null(lua_State *L, struct decoder *d)
{
	if (d->null_idx)
		lua_pushvalue(L, d->null_idx);
	else
		lua_pushlightuserdata(L, NULL);
}

/* A null field of an object is an absent one, unless null= says otherwise. */
static void push_object(lua_State *L, struct decoder *d, json_t *value)
{
	const char *key;
	json_t *item;

	lua_createtable(L, 0, (int)json_object_size(value));
	json_object_foreach(value, key, item) {
		if (json_is_null(item) && !d->null_idx)
			continue;
		push_text(L, d, key, strlen(key));
		push_value(L, d, item);		/* -- table key item */
		lua_rawset(L, -3);
	}
}

static void push_array(lua_State *L, struct decoder *d, json_t *value)
{
	size_t i, n = json_array_size(value);

	lua_createtable(L, (int)n, 0);
	luaL_setmetatable(L, JSON_ARRAY_META);
	for (i = 0; i < n; i++) {
		push_value(L, d, json_array_get(value, i));
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
}

static void push_value(lua_State *L, struct decoder *d, json_t *value)
{
	luaL_checkstack(L, 4, "JSON text is nested too deeply");
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		push_object(L, d, value);
		break;
	case JSON_ARRAY:
		push_array(L, d, value);
		break;
	case JSON_STRING:
		push_text(L, d, json_string_value(value),
			  json_string_length(value));
		break;
	case JSON_INTEGER:
		lua_pushinteger(L, (lua_Integer)json_integer_value(value));
		break;
	case JSON_REAL:
		lua_pushnumber(L, json_real_value(value));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		lua_pushboolean(L, json_is_true(value));
		break;
	case JSON_NULL:
		push_null(L, d);
		break;
	}
}

/* Raises what the library found wrong, with the place. */
static void decode_failed(lua_State *L, const json_error_t *error)
{
	int line = error->line, column = error->column;

	switch (json_error_code(error)) {
	case json_error_out_of_memory:
		err_raisef(L, ERR_LIMIT, "memory", "not enough memory");
	case json_error_numeric_overflow:
		err_raisef(L, ERR_LIMIT, "range", strstr(error->text, "real")
			   ? "cannot decode JSON: number beyond a double's "
			     "range at line %d, column %d"
			   : "cannot decode JSON: integer beyond int64 at "
			     "line %d, column %d", line, column);
	case json_error_invalid_utf8:
		err_raisef(L, ERR_PROTOCOL, "utf8", "cannot decode JSON: "
			   "invalid UTF-8 at line %d, column %d (byte %d)",
			   line, column, error->position);
	case json_error_duplicate_key:
		err_raisef(L, ERR_PROTOCOL, "duplicate", "cannot decode JSON: "
			   "%s at line %d, column %d", error->text, line,
			   column);
	default:
		err_raisef(L, ERR_PROTOCOL, "syntax", "cannot decode JSON: "
			   "%s at line %d, column %d", error->text, line,
			   column);
	}
}

static int opt_depth(lua_State *L, int arg)
{
	lua_Integer depth = lx_opt_int(L, arg, "max_depth", JSON_DEPTH);

	luaL_argcheck(L, depth >= 1 && depth <= JSON_DEPTH_MAX, arg,
		      "max_depth must be 1 to 1000");
	return (int)depth;
}

static int opt_escape(lua_State *L, int arg)
{
	const char *s = lx_opt_str(L, arg, "binary", NULL);

	luaL_argcheck(L, !s || !strcmp(s, "escape"), arg,
		      "binary must be 'escape'");
	return s != NULL;
}

/* What the library does not see: it skips a NUL after a number. */
static void check_text(lua_State *L, const char *text, size_t len, int max)
{
	const char *nul = len ? memchr(text, '\0', len) : NULL;
	size_t line, column, at = json_too_deep(text, len, max);

	if (nul) {
		json_where(text, (size_t)(nul - text), &line, &column);
		err_raisef(L, ERR_PROTOCOL, "syntax", "cannot decode JSON: "
			   "NUL byte at line %zu, column %zu", line, column);
	}
	if (at == len)
		return;
	json_where(text, at, &line, &column);
	err_raisef(L, ERR_LIMIT, "depth", "cannot decode JSON: nested deeper "
		   "than %d at line %zu, column %zu", max, line, column);
}

/* The text with markers, in a userdata that it leaves on the stack. */
static const char *mark(lua_State *L, struct decoder *d, const char *text,
			size_t len)
{
	char *copy = lua_newuserdatauv(L, len + 1, 0);

	memcpy(copy, text, len);
	copy[len] = '\0';
	if (!json_mark_bytes(copy, len, &d->marker))
		err_raisef(L, ERR_LIMIT, "binary", "cannot decode JSON: no "
			   "code point is free to stand for binary bytes");
	return copy;
}

/* Jansson goes on after an allocation that failed, without the byte that it was
 * for, and may then look for the end of a string beyond its buffer: from the first
 * failure on there is no memory, until the text has been given up. */
static int starved;

static void *alloc(size_t size)
{
	void *p = starved ? NULL : mem_alloc(size);

	starved |= !p;
	return p;
}

/*
 * decode(text [, {max_depth =, null =, unique_keys =, binary = "escape"}]) ->
 * value. Raises protocol (not JSON, not UTF-8), limit (depth, integer range).
 */
static int l_json_decode(lua_State *L)
{
	static const char *const names[] = {
		"max_depth", "null", "unique_keys", "binary", NULL
	};
	struct decoder d = { 0 };
	json_error_t error;
	size_t len;
	const char *text = lx_checkstr(L, 1, &len);
	size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
	int depth, escape, has_null;

	lua_settop(L, 2);
	lx_opt_begin(L, 2, names);
	depth = opt_depth(L, 2);
	escape = opt_escape(L, 2);
	if (lx_opt_bool(L, 2, "unique_keys", 0))
		flags |= JSON_REJECT_DUPLICATES;
	has_null = lua_istable(L, 2) &&
		   lua_getfield(L, 2, "null") != LUA_TNIL;
	d.null_idx = has_null ? lua_gettop(L) : 0;
	check_text(L, text, len, depth);
	d.slot = json_slot_new(L);
	if (escape)
		text = mark(L, &d, text, len);
	starved = 0;
	d.slot->root = json_loadb(text, len, flags, &error);
	starved = 0;
	if (!d.slot->root)
		decode_failed(L, &error);
	if (json_is_null(d.slot->root) && !d.null_idx)
		lua_pushnil(L);
	else
		push_value(L, &d, d.slot->root);
	json_slot_release(d.slot);
	return 1;
}

void json_open_decode(lua_State *L)
{
	static const luaL_Reg slot_meta[] = {
		{ "__gc", l_slot_gc }, { NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "decode", l_json_decode }, { NULL, NULL }
	};

	json_set_alloc_funcs(alloc, mem_free);
	lx_metatable(L, SLOT_META, NULL, slot_meta);
	lx_setfuncs(L, funcs);
}
