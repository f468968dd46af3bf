/*
 * pg_param: Lua values as parameters, by the types that the server has said:
 * lists become arrays, tables for json are encoded, bytea goes in binary. Text
 * that the server can't take (NUL, no UTF-8) is refused here, with its place.
 */
#include "bind/pg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/lx.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "effect/secret.h"

#define DEPTH_MAX 6
#define PARAMS_MAX 65535



void pg_params_release(struct pg_params *p)
{
	mem_free(p->value);
	mem_free(p->len);
	mem_free(p->format);
	mem_free(p->type);
	if (p->data.cap)
		mem_wipe(p->data.data, p->data.len);
	buf_release(&p->data);
	memset(p, 0, sizeof *p);
	buf_init(&p->data);
}

static void no_memory(lua_State *L)
{
	err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory for the parameters");
}

/* --- text ---------------------------------------------------------------------- */
static void check_text(lua_State *L, int number, const char *s, size_t len)
{
	const char *nul = len ? memchr(s, 0, len) : NULL;
	uint32_t cp;
	size_t i = 0;
	int n;

	if (nul)
		err_raisef(L, ERR_USAGE, "", "parameter $%d has a NUL byte at "
			   "%d: text can't hold one, bytea can", number,
			   (int)(nul - s) + 1);
	while (i < len) {
		n = (unsigned char)s[i] < 0x80 ? 1 :
			utf8_next(s + i, len - i, &cp);
		if (n <= 0)
			err_raisef(L, ERR_USAGE, "", "parameter $%d is no "
				   "UTF-8 at byte %d: text must be, bytea "
				   "need not", number, (int)i + 1);
		i += (size_t)n;
	}
}

/* Seconds since 1970, as the server reads them. */
static void add_time(struct buf *b, double v)
{
	double whole = floor(v);
	time_t t = (time_t)whole;
	long micro = lround((v - whole) * 1e6);
	struct tm tm;

	if (micro == 1000000)
		micro = 0, t++;
	if (!gmtime_r(&t, &tm)) {
		b->bad = 1;
		return;
	}
	buf_addf(b, "%04d-%02d-%02d %02d:%02d:%02d.%06ld+00", tm.tm_year + 1900,
		 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		 micro);
}

static void add_number(lua_State *L, struct buf *b, int idx, Oid type)
{
	double v = lua_tonumber(L, idx);

	if (pg_type_is_time(type) && isfinite(v) && fabs(v) < 1e11)
		add_time(b, v);
	else if (lua_isinteger(L, idx))
		buf_add_int(b, lua_tointeger(L, idx));
	else if (isnan(v))
		buf_adds(b, "NaN");
	else if (isinf(v))
		buf_adds(b, v < 0 ? "-Infinity" : "Infinity");
	else if (pg_type_is_integer(type) && v == floor(v) && fabs(v) < 9e18)
		buf_add_int(b, (long long)v);
	else
		buf_addf(b, "%.17g", v);
}

static void add_json(lua_State *L, struct buf *b, int idx)
{
	const char *s;
	size_t len;

	idx = lua_absindex(L, idx);
	luaL_checkstack(L, 4, NULL);
	pg_push_json(L, 1);
	lua_pushvalue(L, idx);
	lua_call(L, 1, 1);
	s = lua_tolstring(L, -1, &len);
	buf_add(b, s, len);
	lua_pop(L, 1);
}

/* --- arrays ------------------------------------------------------------------------ */
static void add_quoted(struct buf *b, const char *s, size_t len)
{
	size_t i;

	buf_addc(b, '"');
	for (i = 0; i < len; i++) {
		if (s[i] == '"' || s[i] == '\\')
			buf_addc(b, '\\');
		buf_addc(b, s[i]);
	}
	buf_addc(b, '"');
}

static void add_hex(struct buf *b, const char *s, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	buf_adds(b, "\"\\\\x");
	for (i = 0; i < len; i++) {
		buf_addc(b, digits[(unsigned char)s[i] >> 4]);
		buf_addc(b, digits[s[i] & 15]);
	}
	buf_addc(b, '"');
}

static void add_array(lua_State *L, struct buf *b, int idx, Oid element,
		      int number, int depth);

/* JSON inside an array is quoted once more. */
static void add_json_item(lua_State *L, struct buf *b)
{
	const char *s;
	size_t len;

	pg_push_json(L, 1);
	lua_pushvalue(L, -2);
	lua_call(L, 1, 1);
	s = lua_tolstring(L, -1, &len);
	add_quoted(b, s, len);
	lua_pop(L, 1);
}

/* The value on top. */
static void add_item(lua_State *L, struct buf *b, Oid element, int number,
		     int depth)
{
	const char *s;
	size_t len;

	switch (lua_type(L, -1)) {
	case LUA_TNIL: case LUA_TLIGHTUSERDATA:
		buf_adds(b, "NULL");
		return;
	case LUA_TBOOLEAN:
		buf_adds(b, pg_type_is_json(element) ?
			 lua_toboolean(L, -1) ? "true" : "false" :
			 lua_toboolean(L, -1) ? "t" : "f");
		return;
	case LUA_TNUMBER:
		buf_addc(b, '"');
		add_number(L, b, -1, element);
		buf_addc(b, '"');
		return;
	case LUA_TSTRING:
		s = lua_tolstring(L, -1, &len);
		if (pg_type_is_bytea(element)) {
			add_hex(b, s, len);
			return;
		}
		check_text(L, number, s, len);
		add_quoted(b, s, len);
		return;
	case LUA_TTABLE:
		if (pg_type_is_json(element))
			add_json_item(L, b);
		else
			add_array(L, b, lua_gettop(L), element, number,
				  depth + 1);
		return;
	default:
		err_raisef(L, ERR_USAGE, "", "parameter $%d: a %s can't stand "
			   "in an array", number, luaL_typename(L, -1));
	}
}

static void add_array(lua_State *L, struct buf *b, int idx, Oid element,
		      int number, int depth)
{
	lua_Integer i, n = (lua_Integer)lua_rawlen(L, idx);

	if (depth > DEPTH_MAX)
		err_raisef(L, ERR_USAGE, "", "parameter $%d: an array has %d "
			   "dimensions at most", number, DEPTH_MAX);
	luaL_checkstack(L, 6, "array");
	lua_pushnil(L);
	if (!n && lua_next(L, idx))
		err_raisef(L, ERR_USAGE, "", "parameter $%d is a table of "
			   "named fields: only json takes one", number);
	buf_addc(b, '{');
	for (i = 1; i <= n; i++) {
		if (i > 1)
			buf_addc(b, (char)pg_type_delimiter(element));
		lua_rawgeti(L, idx, i);
		add_item(L, b, element, number, depth);
		lua_pop(L, 1);
	}
	buf_addc(b, '}');
	if (n)
		lua_pop(L, 1);
}

/* --- one parameter -------------------------------------------------------------------- */
static void add_string(lua_State *L, struct pg_params *p, int at, Oid type,
		       const char *s, size_t len)
{
	if (pg_type_is_bytea(type))
		p->format[at] = 1;
	else
		check_text(L, at + 1, s, len);
	buf_add(&p->data, s, len);
}

/* 0: it is NULL. */
static int add_value(lua_State *L, struct pg_params *p, int at, int idx,
		     Oid type)
{
	const char *s;
	size_t len;

	switch (lua_type(L, idx)) {
	case LUA_TNIL: case LUA_TLIGHTUSERDATA:
		return 0;
	case LUA_TBOOLEAN:
		buf_adds(&p->data, lua_toboolean(L, idx) ? "true" : "false");
		return 1;
	case LUA_TNUMBER:
		add_number(L, &p->data, idx, type);
		return 1;
	case LUA_TSTRING:
		s = lua_tolstring(L, idx, &len);
		add_string(L, p, at, type, s, len);
		return 1;
	case LUA_TTABLE:
		if (pg_type_is_json(type))
			add_json(L, &p->data, idx);
		else
			add_array(L, &p->data, idx, pg_type_element(type),
				  at + 1, 1);
		return 1;
	default:
		s = secret_get(L, idx, &len);
		if (!s)
			err_raisef(L, ERR_USAGE, "", "parameter $%d: a %s "
				   "can't be bound", at + 1,
				   luaL_typename(L, idx));
		add_string(L, p, at, type, s, len);
		return 1;
	}
}

void pg_params_read(lua_State *L, struct pg_params *p, int first, int n,
		    const Oid *types)
{
	size_t *at;
	int i;

	pg_params_release(p);
	if (n > PARAMS_MAX)
		err_raisef(L, ERR_USAGE, "", "%d parameters are too many", n);
	p->value = mem_zalloc(((size_t)n + 1) * sizeof *p->value);
	p->len = mem_zalloc(((size_t)n + 1) * sizeof *p->len);
	p->format = mem_zalloc(((size_t)n + 1) * sizeof *p->format);
	p->type = mem_zalloc(((size_t)n + 1) * sizeof *p->type);
	if (!p->value || !p->len || !p->format || !p->type)
		no_memory(L);
	at = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *at, 0);
	for (i = 0; i < n; i++) {
		int there;

		at[i] = p->data.len;
		p->type[i] = types ? types[i] : 0;
		there = add_value(L, p, i, first + i, p->type[i]);
		p->len[i] = (int)(p->data.len - at[i]);
		buf_addc(&p->data, '\0');
		if (!there)
			at[i] = SIZE_MAX;
	}
	if (!buf_ok(&p->data))
		no_memory(L);
	for (i = 0; i < n; i++)
		p->value[i] = at[i] == SIZE_MAX ? NULL : p->data.data + at[i];
	p->n = n;
	lua_pop(L, 1);
}
