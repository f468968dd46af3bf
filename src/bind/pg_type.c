/*
 * pg_type: what is known of types, and scalars as Lua values: from text, and from
 * the binary form of those for which that is faster. Integers are exact, numeric
 * is its text, what Lua has no type for is the text that psql shows.
 */
#include "bind/pg.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#define T_BOOL 16
#define T_BYTEA 17
#define T_INT8 20
#define T_INT2 21
#define T_INT4 23
#define T_OID 26
#define T_XID 28
#define T_CID 29
#define T_JSON 114
#define T_BOX 603
#define T_FLOAT4 700
#define T_FLOAT8 701
#define T_DATE 1082
#define T_TIMESTAMP 1114
#define T_TIMESTAMPTZ 1184
#define T_JSONB 3802

/* Built-in types, by their number: pg_type.dat of Postgres. */
static const struct { Oid oid; const char *name; Oid array; } types[] = {
	{ 16, "bool", 1000 },
	{ 17, "bytea", 1001 },
	{ 18, "char", 1002 },
	{ 19, "name", 1003 },
	{ 20, "int8", 1016 },
	{ 21, "int2", 1005 },
	{ 23, "int4", 1007 },
	{ 24, "regproc", 1008 },
	{ 25, "text", 1009 },
	{ 26, "oid", 1028 },
	{ 27, "tid", 1010 },
	{ 28, "xid", 1011 },
	{ 29, "cid", 1012 },
	{ 114, "json", 199 },
	{ 142, "xml", 143 },
	{ 600, "point", 1017 },
	{ 601, "lseg", 1018 },
	{ 602, "path", 1019 },
	{ 603, "box", 1020 },
	{ 604, "polygon", 1027 },
	{ 628, "line", 629 },
	{ 650, "cidr", 651 },
	{ 700, "float4", 1021 },
	{ 701, "float8", 1022 },
	{ 718, "circle", 719 },
	{ 774, "macaddr8", 775 },
	{ 790, "money", 791 },
	{ 829, "macaddr", 1040 },
	{ 869, "inet", 1041 },
	{ 1033, "aclitem", 1034 },
	{ 1042, "bpchar", 1014 },
	{ 1043, "varchar", 1015 },
	{ 1082, "date", 1182 },
	{ 1083, "time", 1183 },
	{ 1114, "timestamp", 1115 },
	{ 1184, "timestamptz", 1185 },
	{ 1186, "interval", 1187 },
	{ 1266, "timetz", 1270 },
	{ 1560, "bit", 1561 },
	{ 1562, "varbit", 1563 },
	{ 1700, "numeric", 1231 },
	{ 1790, "refcursor", 2201 },
	{ 2202, "regprocedure", 2207 },
	{ 2203, "regoper", 2208 },
	{ 2204, "regoperator", 2209 },
	{ 2205, "regclass", 2210 },
	{ 2206, "regtype", 2211 },
	{ 2950, "uuid", 2951 },
	{ 2970, "txid_snapshot", 2949 },
	{ 3220, "pg_lsn", 3221 },
	{ 3614, "tsvector", 3643 },
	{ 3615, "tsquery", 3645 },
	{ 3642, "gtsvector", 3644 },
	{ 3734, "regconfig", 3735 },
	{ 3769, "regdictionary", 3770 },
	{ 3802, "jsonb", 3807 },
	{ 3904, "int4range", 3905 },
	{ 3906, "numrange", 3907 },
	{ 3908, "tsrange", 3909 },
	{ 3910, "tstzrange", 3911 },
	{ 3912, "daterange", 3913 },
	{ 3926, "int8range", 3927 },
	{ 4072, "jsonpath", 4073 },
	{ 4089, "regnamespace", 4090 },
	{ 4096, "regrole", 4097 },
	{ 4191, "regcollation", 4192 },
	{ 4451, "int4multirange", 6150 },
	{ 4532, "nummultirange", 6151 },
	{ 4533, "tsmultirange", 6152 },
	{ 4534, "tstzmultirange", 6153 },
	{ 4535, "datemultirange", 6155 },
	{ 4536, "int8multirange", 6157 },
	{ 5038, "pg_snapshot", 5039 },
	{ 5069, "xid8", 271 },
};
#define N_TYPES (sizeof types / sizeof *types)

/* --- what is known of a type -------------------------------------------------- */
const char *pg_type_name(Oid type)
{
	size_t i;

	for (i = 0; i < N_TYPES; i++)
		if (types[i].oid == type)
			return types[i].name;
	return NULL;
}

Oid pg_type_element(Oid type)
{
	size_t i;

	for (i = 0; i < N_TYPES; i++)
		if (types[i].array == type)
			return types[i].oid;
	return 0;
}

int pg_type_delimiter(Oid element)
{
	return element == T_BOX ? ';' : ',';
}

int pg_type_is_bytea(Oid type)
{
	return type == T_BYTEA;
}

int pg_type_is_json(Oid type)
{
	return type == T_JSON || type == T_JSONB;
}

int pg_type_is_time(Oid type)
{
	return type == T_TIMESTAMP || type == T_TIMESTAMPTZ;
}

int pg_type_is_integer(Oid type)
{
	return type == T_INT2 || type == T_INT4 || type == T_INT8 ||
	       type == T_OID;
}

/* 2: better so, 1: as good, 0: we can't read it. */
int pg_type_binary(Oid type)
{
	switch (type) {
	case T_FLOAT8: case T_BYTEA:
		return 2;
	case T_BOOL: case T_INT2: case T_INT4: case T_INT8: case T_OID:
	case 18: case 19: case 25: case T_JSON: case T_JSONB: case 142:
	case 1042: case 1043:
		return 1;
	default:
		return 0;
	}
}

/* --- text ------------------------------------------------------------------------ */
static int push_integer(lua_State *L, const char *p, size_t len)
{
	const char *end = p + len;
	int minus = len && *p == '-';
	uint64_t n = 0;

	p += minus;
	if (p == end || end - p > 19)
		return 0;
	for (; p < end; p++) {
		if (*p < '0' || *p > '9')
			return 0;
		n = n * 10 + (uint64_t)(*p - '0');
	}
	if (n > (uint64_t)INT64_MAX + (uint64_t)minus)
		return 0;
	lua_pushinteger(L, (lua_Integer)(minus ? 0 - n : n));
	return 1;
}

static int push_float(lua_State *L, const char *p, size_t len)
{
	char text[64], *end;
	double v;

	if (!len || len >= sizeof text)
		return 0;
	memcpy(text, p, len);
	text[len] = '\0';
	v = strtod(text, &end);
	if (end != text + len)
		return 0;
	lua_pushnumber(L, v);
	return 1;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "\\x.." , or the older escape form. */
static void push_bytea(lua_State *L, const char *p, size_t len)
{
	const char *end = p + len;
	luaL_Buffer b;

	luaL_buffinit(L, &b);
	if (len >= 2 && p[0] == '\\' && p[1] == 'x') {
		for (p += 2; p + 1 < end && hex(p[0]) >= 0 && hex(p[1]) >= 0;
		     p += 2)
			luaL_addchar(&b, (char)(hex(p[0]) << 4 | hex(p[1])));
		luaL_pushresult(&b);
		return;
	}
	while (p < end) {
		if (*p != '\\') {
			luaL_addchar(&b, *p++);
		} else if (end - p >= 4 && p[1] != '\\') {
			luaL_addchar(&b, (char)((p[1] & 3) << 6 |
				     (p[2] & 7) << 3 | (p[3] & 7)));
			p += 4;
		} else {
			luaL_addchar(&b, '\\');
			p += end - p >= 2 ? 2 : 1;
		}
	}
	luaL_pushresult(&b);
}

/* The JSON value; its text when the reader refuses it: a number that no Lua
 * number holds. */
static void push_json(lua_State *L, const char *p, size_t len)
{
	int top = lua_gettop(L);

	luaL_checkstack(L, 4, NULL);
	pg_push_json(L, 0);
	if (lua_isfunction(L, -1)) {
		lua_pushlstring(L, p, len);
		if (lua_pcall(L, 1, 1, 0) == LUA_OK)
			return;
	}
	lua_settop(L, top);
	lua_pushlstring(L, p, len);
}

/* 0: it may be an array. */
static int push_text(lua_State *L, Oid type, const char *p, size_t len)
{
	switch (type) {
	case T_BOOL:
		lua_pushboolean(L, len && *p == 't');
		return 1;
	case T_INT2: case T_INT4: case T_INT8: case T_OID: case T_XID:
	case T_CID:
		if (push_integer(L, p, len))
			return 1;
		break;
	case T_FLOAT4: case T_FLOAT8:
		if (push_float(L, p, len))
			return 1;
		break;
	case T_BYTEA:
		push_bytea(L, p, len);
		return 1;
	case T_JSON: case T_JSONB:
		push_json(L, p, len);
		return 1;
	case 25: case 1043: case 19: case 1700: case 1042:
		break;
	default:
		return 0;
	}
	lua_pushlstring(L, p, len);
	return 1;
}

/* --- binary ----------------------------------------------------------------------- */
static uint64_t read_be(const char *p, size_t len)
{
	uint64_t n = 0;

	while (len--)
		n = n << 8 | (unsigned char)*p++;
	return n;
}

static int push_binary(lua_State *L, Oid type, const char *p, size_t len)
{
	uint64_t n;
	double v;

	switch (type) {
	case T_BOOL:
		lua_pushboolean(L, len && *p);
		return 1;
	case T_INT2:
		lua_pushinteger(L, (int16_t)read_be(p, len));
		return len == 2;
	case T_INT4:
		lua_pushinteger(L, (int32_t)read_be(p, len));
		return len == 4;
	case T_OID:
		lua_pushinteger(L, (uint32_t)read_be(p, len));
		return len == 4;
	case T_INT8:
		lua_pushinteger(L, (int64_t)read_be(p, len));
		return len == 8;
	case T_FLOAT8:
		n = read_be(p, len);
		memcpy(&v, &n, sizeof v);
		lua_pushnumber(L, v);
		return len == 8;
	case T_JSON:
		push_json(L, p, len);
		return 1;
	case T_JSONB:
		if (len < 1 || *p != 1)
			return 0;
		push_json(L, p + 1, len - 1);
		return 1;
	default:
		lua_pushlstring(L, p, len);
		return 1;
	}
}

int pg_push_scalar(lua_State *L, Oid type, int format, const char *p,
		   size_t len)
{
	if (!format)
		return push_text(L, type, p, len);
	if (!push_binary(L, type, p, len))
		err_raisef(L, ERR_PROTOCOL, "", "the server sent %d bytes for "
			   "a value of type %s", (int)len, pg_type_name(type) ?
			   pg_type_name(type) : "?");
	return 1;
}
