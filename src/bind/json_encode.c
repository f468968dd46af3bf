/*
 * json_encode: Lua values to JSON text. Written straight into the slot's
 * buffer: no tree, so no library. A value that JSON can't hold exactly is an
 * error that names the path to it; nothing is dropped or guessed.
 */
#include "bind/json.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/err.h"
#include "core/lx.h"
#include "core/utf8.h"

struct encoder {
	lua_State *L;
	struct buf *b;		/* borrowed: the slot's */
	int indent;		/* spaces a level; 0: one line */
	int max_depth;
	int sort;
	int escape;		/* bytes that are not UTF-8 as \udcXX */
};

/* Where we are: the way up to the root, for messages and cycles. */
struct level {
	const struct level *up;
	const void *table;
	const char *key;	/* borrowed: on the Lua stack; NULL: index */
	lua_Integer index;
	int depth;
};

static void encode_value(struct encoder *e, const struct level *at);

static void add_path(struct buf *out, const struct level *at)
{
	if (!at->up)
		return;
	add_path(out, at->up);
	if (!at->key)
		buf_addf(out, "[%lld]", (long long)at->index);
	else
		buf_addf(out, "%s%.40s", out->len ? "." : "", at->key);
}

/* Raises: cannot encode 'path': why. The buffer ends its life as the path. */
static void refuse(struct encoder *e, const struct level *at,
		   enum err_kind kind, const char *code, const char *why)
{
	buf_clear(e->b);
	add_path(e->b, at);
	err_raisef(e->L, kind, code, "cannot encode JSON: '%.300s': %s",
		   e->b->len ? e->b->data : "value", why);
}

static void new_line(struct encoder *e, int depth)
{
	if (!e->indent)
		return;
	buf_addf(e->b, "\n%*s", depth * e->indent, "");
}

static void encode_float(struct encoder *e, const struct level *at, double v)
{
	char s[48];
	int precision;
	size_t i;

	if (!isfinite(v))
		refuse(e, at, ERR_USAGE, "number",
		       "a number that is infinite or not a number");
	for (precision = 15; precision <= 17; precision++) {
		snprintf(s, sizeof s, "%.*g", precision, v);
		if (strtod(s, NULL) == v)
			break;
	}
	/* whatever the locale's decimal point is */
	for (i = 0; s[i]; i++)
		if (!strchr("0123456789+-e", s[i]))
			s[i] = '.';
	buf_adds(e->b, s);
	if (!strpbrk(s, ".e"))
		buf_adds(e->b, ".0");
}

static void encode_text(struct encoder *e, const struct level *at,
			const char *s, size_t len)
{
	char why[64];
	uint32_t cp;
	size_t i = 0;
	int n;

	while (!e->escape && i < len) {
		n = utf8_next(s + i, len - i, &cp);
		if (!n) {
			snprintf(why, sizeof why, "invalid UTF-8 at byte %zu",
				 i + 1);
			refuse(e, at, ERR_USAGE, "utf8", why);
		}
		i += (size_t)n;
	}
	buf_add_json(e->b, s, len);
}

static void check_level(struct encoder *e, const struct level *at)
{
	const struct level *up;
	char why[64];

	for (up = at->up; up; up = up->up)
		if (up->table == at->table)
			refuse(e, at, ERR_USAGE, "cycle",
			       "a table that contains itself");
	if (at->depth >= e->max_depth) {
		snprintf(why, sizeof why, "nested deeper than %d",
			 e->max_depth);
		refuse(e, at, ERR_LIMIT, "depth", why);
	}
}

/* What the table on top is: 1 array, 0 object; *count its elements. */
static int is_array(struct encoder *e, const struct level *at, int marked,
		    size_t *count)
{
	lua_State *L = e->L;
	lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
	size_t inside = 0, names = 0, other = 0;

	lua_pushnil(L);
	while (lua_next(L, -2)) {
		if (lua_type(L, -2) == LUA_TSTRING)
			names++;
		else if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 &&
			 lua_tointeger(L, -2) <= n)
			inside++;
		else
			other++;
		lua_pop(L, 1);
	}
	*count = inside + names;
	if (names && (inside || other || marked))
		refuse(e, at, ERR_USAGE, "table",
		       "a table with both names and numbers as keys");
	if (other || inside != (size_t)n)
		refuse(e, at, ERR_USAGE, "table", "a table whose keys are "
		       "neither names nor 1 to n without holes");
	return marked || inside;
}

static void encode_array(struct encoder *e, const struct level *at, size_t n)
{
	lua_State *L = e->L;
	struct level in = { .up = at, .depth = at->depth + 1 };
	size_t i;

	buf_addc(e->b, '[');
	for (i = 1; i <= n; i++) {
		if (i > 1)
			buf_addc(e->b, ',');
		new_line(e, in.depth);
		in.index = (lua_Integer)i;
		lua_rawgeti(L, -1, in.index);
		encode_value(e, &in);
		lua_pop(L, 1);
	}
	if (n)
		new_line(e, at->depth);
	buf_addc(e->b, ']');
}

struct name {
	const char *s;		/* borrowed: anchored in a table */
	size_t len;
};

static int compare(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	size_t least = x->len < y->len ? x->len : y->len;
	int d = memcmp(x->s, y->s, least);

	if (d)
		return d;
	return x->len < y->len ? -1 : x->len > y->len;
}

/*
 * [-0, +2] The names of the table on top, in a userdata; the strings are
 * anchored in a table below it, for __tojson of a value may change the table.
 */
static struct name *collect_names(struct encoder *e, size_t n)
{
	lua_State *L = e->L;
	struct name *names;
	size_t i = 0;

	lua_createtable(L, (int)n, 0);
	names = lua_newuserdatauv(L, n * sizeof *names, 0);
	lua_pushnil(L);			/* -- table anchor names nil */
	while (lua_next(L, -4) && i < n) {
		lua_pop(L, 1);
		names[i].s = lua_tolstring(L, -1, &names[i].len);
		lua_pushvalue(L, -1);
		lua_rawseti(L, -4, (lua_Integer)++i);
	}
	if (e->sort)
		qsort(names, n, sizeof *names, compare);
	return names;
}

static void encode_object(struct encoder *e, const struct level *at, size_t n)
{
	lua_State *L = e->L;
	struct level in = { .up = at, .depth = at->depth + 1 };
	struct name *names;
	size_t i, written = 0;

	if (!n) {
		buf_adds(e->b, "{}");
		return;
	}
	names = collect_names(e, n);	/* -- table anchor names */
	buf_addc(e->b, '{');
	for (i = 0; i < n; i++) {
		lua_pushlstring(L, names[i].s, names[i].len);
		if (lua_rawget(L, -4) == LUA_TNIL) {
			lua_pop(L, 1);
			continue;
		}
		if (written++)
			buf_addc(e->b, ',');
		new_line(e, in.depth);
		in.key = names[i].s;
		encode_text(e, &in, names[i].s, names[i].len);
		buf_adds(e->b, e->indent ? ": " : ":");
		encode_value(e, &in);
		lua_pop(L, 1);
	}
	lua_pop(L, 2);
	if (written)
		new_line(e, at->depth);
	buf_addc(e->b, '}');
}

/*
 * Replaces the value on top by what its metamethod __tojson returns. An object
 * that hides its metatable hides what it holds (a secret): refused.
 */
static void convert_object(struct encoder *e, const struct level *at)
{
	lua_State *L = e->L;

	if (luaL_getmetafield(L, -1, "__tojson") != LUA_TNIL) {
		lua_insert(L, -2);
		lua_call(L, 1, 1);
		return;
	}
	if (luaL_getmetafield(L, -1, "__metatable") == LUA_TNIL)
		return;
	if (lua_isboolean(L, -1))
		refuse(e, at, ERR_USAGE, "type",
		       "an object that does not show what it holds");
	lua_pop(L, 1);
}

static int is_marked(lua_State *L)
{
	int marked;

	if (!lua_getmetatable(L, -1))
		return 0;
	luaL_getmetatable(L, JSON_ARRAY_META);
	marked = lua_rawequal(L, -1, -2);
	lua_pop(L, 2);
	return marked;
}

static void encode_table(struct encoder *e, const struct level *at)
{
	struct level here = *at;
	size_t count;

	here.table = lua_topointer(e->L, -1);
	check_level(e, &here);
	if (is_array(e, &here, is_marked(e->L), &count))
		encode_array(e, &here, count);
	else
		encode_object(e, &here, count);
}

static void refuse_type(struct encoder *e, const struct level *at)
{
	char why[64];

	snprintf(why, sizeof why, "a %s can't be JSON",
		 luaL_typename(e->L, -1));
	refuse(e, at, ERR_USAGE, "type", why);
}

/* Encodes the value on top; leaves one value in its place. */
static void encode_value(struct encoder *e, const struct level *at)
{
	lua_State *L = e->L;
	const char *s;
	size_t len;

	luaL_checkstack(L, 12, "nested too deeply for JSON");
	if (lua_type(L, -1) == LUA_TTABLE || lua_type(L, -1) == LUA_TUSERDATA)
		convert_object(e, at);
	switch (lua_type(L, -1)) {
	case LUA_TNIL:
		buf_adds(e->b, "null");
		break;
	case LUA_TLIGHTUSERDATA:
		if (lua_touserdata(L, -1))
			refuse_type(e, at);
		buf_adds(e->b, "null");
		break;
	case LUA_TBOOLEAN:
		buf_adds(e->b, lua_toboolean(L, -1) ? "true" : "false");
		break;
	case LUA_TNUMBER:
		if (lua_isinteger(L, -1))
			buf_addf(e->b, "%lld",
				 (long long)lua_tointeger(L, -1));
		else
			encode_float(e, at, lua_tonumber(L, -1));
		break;
	case LUA_TSTRING:
		s = lua_tolstring(L, -1, &len);
		encode_text(e, at, s, len);
		break;
	case LUA_TTABLE:
		encode_table(e, at);
		break;
	default:
		refuse_type(e, at);
	}
}

static void read_options(struct encoder *e, int arg)
{
	static const char *const names[] = {
		"indent", "sort_keys", "max_depth", "binary", NULL
	};
	lua_State *L = e->L;
	lua_Integer indent, depth;
	const char *binary;

	lx_opt_begin(L, arg, names);
	indent = lx_opt_int(L, arg, "indent", 0);
	luaL_argcheck(L, indent >= 0 && indent <= 16, arg,
		      "indent must be 0 to 16");
	depth = lx_opt_int(L, arg, "max_depth", JSON_DEPTH);
	luaL_argcheck(L, depth >= 1 && depth <= JSON_DEPTH_MAX, arg,
		      "max_depth must be 1 to 1000");
	e->sort = lx_opt_bool(L, arg, "sort_keys", 1);
	binary = lx_opt_str(L, arg, "binary", NULL);
	luaL_argcheck(L, !binary || !strcmp(binary, "escape"), arg,
		      "binary must be 'escape'");
	e->escape = binary != NULL;
	e->indent = (int)indent;
	e->max_depth = (int)depth;
}

/*
 * encode(value [, {indent =, sort_keys =, max_depth =, binary = "escape"}]) ->
 * text. Raises usage (what JSON can't hold, with its path), limit (depth).
 */
static int l_json_encode(lua_State *L)
{
	struct encoder e = { .L = L };
	const struct level root = { 0 };
	struct json_slot *slot;

	luaL_checkany(L, 1);
	lua_settop(L, 2);
	read_options(&e, 2);
	slot = json_slot_new(L);
	e.b = &slot->buf;
	lua_pushvalue(L, 1);
	encode_value(&e, &root);
	if (!buf_ok(e.b))
		err_raisef(L, ERR_LIMIT, "memory", "not enough memory");
	lua_pushlstring(L, e.b->data, e.b->len);
	json_slot_release(slot);
	return 1;
}

void json_open_encode(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "encode", l_json_encode }, { NULL, NULL }
	};

	lx_setfuncs(L, funcs);
}
