/*
 * pg_value: any value of Postgres as Lua has it: a scalar (pg_type.c), or the
 * text of an array, "{1,2,{..}}", as nested lists: NULL is json.null, bounds are
 * dropped. Text that is no such array stays text. Bounded in depth, as the
 * server is.
 */
#include "bind/pg.h"

#include <string.h>

#include <lauxlib.h>

#define DEPTH_MAX 6		/* MAXDIM of Postgres */

struct reader {
	const char *p, *end;
	Oid element;
	char delimiter;
};

static int read_list(lua_State *L, struct reader *r, int depth);

static void push_element(lua_State *L, const struct reader *r, const char *p,
			 size_t len)
{
	if (!pg_push_scalar(L, r->element, 0, p, len))
		lua_pushlstring(L, p, len);
}

/* "..": the string without its escapes. */
static int read_quoted(lua_State *L, struct reader *r)
{
	luaL_Buffer b;
	size_t len;
	const char *s;

	luaL_buffinit(L, &b);
	for (r->p++; r->p < r->end && *r->p != '"'; r->p++) {
		if (*r->p == '\\' && ++r->p == r->end)
			break;
		luaL_addchar(&b, *r->p);
	}
	luaL_pushresult(&b);
	if (r->p >= r->end)
		return 0;
	r->p++;
	s = lua_tolstring(L, -1, &len);
	push_element(L, r, s, len);
	lua_remove(L, -2);
	return 1;
}

static int read_plain(lua_State *L, struct reader *r)
{
	const char *from = r->p;
	size_t len;

	while (r->p < r->end && *r->p != r->delimiter && *r->p != '}' &&
	       *r->p != '{' && *r->p != '"' && *r->p != '\\')
		r->p++;
	len = (size_t)(r->p - from);
	if (!len)
		return 0;
	if (len == 4 && !memcmp(from, "NULL", 4))
		lua_pushlightuserdata(L, NULL);
	else
		push_element(L, r, from, len);
	return 1;
}

static int read_item(lua_State *L, struct reader *r, int depth)
{
	if (r->p >= r->end)
		return 0;
	if (*r->p == '{')
		return read_list(L, r, depth + 1);
	return *r->p == '"' ? read_quoted(L, r) : read_plain(L, r);
}

/* Pushes the list; 0: it is malformed (what was pushed stays). */
static int read_list(lua_State *L, struct reader *r, int depth)
{
	lua_Integer n = 0;

	if (depth > DEPTH_MAX)
		return 0;
	luaL_checkstack(L, 6, "array");
	lua_newtable(L);
	r->p++;
	if (r->p < r->end && *r->p == '}') {
		r->p++;
		return 1;
	}
	while (read_item(L, r, depth)) {
		lua_rawseti(L, -2, ++n);
		if (r->p >= r->end)
			return 0;
		if (*r->p == '}') {
			r->p++;
			return 1;
		}
		if (*r->p++ != r->delimiter)
			return 0;
	}
	return 0;
}

static void push_array(lua_State *L, Oid element, const char *p, size_t len)
{
	struct reader r = { p, p + len, element,
			    (char)pg_type_delimiter(element) };
	int top = lua_gettop(L);

	/* "[0:1]={..}" */
	if (len && *p == '[') {
		const char *eq = memchr(p, '=', len);

		if (eq)
			r.p = eq + 1;
	}
	if (r.p < r.end && *r.p == '{' && read_list(L, &r, 1) &&
	    r.p == r.end)
		return;
	lua_settop(L, top);
	lua_pushlstring(L, p, len);
}

void pg_push_value(lua_State *L, Oid type, int format, const char *p,
		   size_t len)
{
	Oid element;

	if (pg_push_scalar(L, type, format, p, len))
		return;
	element = pg_type_element(type);
	if (element)
		push_array(L, element, p, len);
	else
		lua_pushlstring(L, p, len);
}
