/*
 * http_push: a response as Lua sees it: status, headers, body, timing, the
 * certificate. What most callers never look at is made when it is first asked for,
 * by the metatable's __index; so is `json`, by a function that opsh.http gives.
 * Whoever walks over a response by pairs gets all of it.
 */
#include "bind/http.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/lx.h"

#define REST "opsh.http.rest"

/* --- headers ------------------------------------------------------------------- */
/* Pushes the name in small letters. */
static void push_name(lua_State *L, const char *s, size_t len)
{
	char small[64];
	luaL_Buffer b;
	size_t i;

	if (len <= sizeof small) {
		for (i = 0; i < len; i++)
			small[i] = (char)tolower((unsigned char)s[i]);
		lua_pushlstring(L, small, len);
		return;
	}
	luaL_buffinit(L, &b);
	for (i = 0; i < len; i++)
		luaL_addchar(&b, (char)tolower((unsigned char)s[i]));
	luaL_pushresult(&b);
}

/* name and value on top go into headers at idx: joined with one before. */
static void add_header(lua_State *L, int idx)
{
	lua_pushvalue(L, -2);
	if (lua_rawget(L, idx) == LUA_TNIL) {
		lua_pop(L, 1);
		lua_rawset(L, idx);
		return;
	}
	lua_pushliteral(L, ", ");
	lua_pushvalue(L, -3);	/* -- name value old ", " value */
	lua_concat(L, 3);
	lua_remove(L, -2);
	lua_rawset(L, idx);
}

/* Calls for each "Name: value" of the final head. */
static const char *next_line(const char *p, const char *end,
			     const char **name, size_t *nlen,
			     const char **value, size_t *vlen)
{
	while (p < end) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));
		const char *stop = eol ? eol : end;
		const char *colon = memchr(p, ':', (size_t)(stop - p));

		*name = p;
		p = eol ? eol + 1 : end;
		if (!colon || colon == *name || !strncmp(*name, "HTTP/", 5))
			continue;
		*nlen = (size_t)(colon - *name);
		for (colon++; colon < stop && (*colon == ' ' ||
					       *colon == '\t'); colon++)
			;
		while (stop > colon && (stop[-1] == '\r' || stop[-1] == ' ' ||
					stop[-1] == '\t'))
			stop--;
		*value = colon;
		*vlen = (size_t)(stop - colon);
		return p;
	}
	return NULL;
}

/* -- headers, headers_list */
static void push_headers(lua_State *L, const char *p, size_t len)
{
	const char *end = p + len, *name, *value;
	size_t nlen = 0, vlen = 0;
	int n = 0, at;

	lua_createtable(L, 0, 12);
	lua_createtable(L, 12, 0);
	at = lua_gettop(L);
	while ((p = next_line(p, end, &name, &nlen, &value, &vlen))) {
		lua_createtable(L, 2, 0);
		push_name(L, name, nlen);
		lua_pushlstring(L, value, vlen);
		lua_pushvalue(L, -2);
		lua_rawseti(L, at + 1, 1);
		lua_pushvalue(L, -1);
		lua_rawseti(L, at + 1, 2);
		add_header(L, at - 1);
		lua_rawseti(L, at, ++n);
	}
}

/* --- the certificate --------------------------------------------------------------- */
static void set_str(lua_State *L, const char *name, const char *value)
{
	lua_pushstring(L, value);
	lua_setfield(L, -2, name);
}

static void set_time(lua_State *L, const char *name, long long at)
{
	time_t t = (time_t)at;
	char text[40];
	struct tm tm;

	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	set_str(L, name, text);
}

static void set_num(lua_State *L, const char *name, double v)
{
	lua_pushnumber(L, v);
	lua_setfield(L, -2, name);
}

/* Sets the fields of one certificate in the table on top. */
static void set_cert(lua_State *L, const struct tls_cert *c)
{
	set_str(L, "subject", c->subject);
	set_str(L, "issuer", c->issuer);
	set_str(L, "serial", c->serial);
	set_str(L, "sha256", c->sha256);
	set_time(L, "not_before", c->not_before);
	set_time(L, "not_after", c->not_after);
	set_num(L, "days_left", (double)(c->not_after -
					 (long long)time(NULL)) / 86400);
}

static void set_names(lua_State *L, const char *names)
{
	const char *p = names, *comma;
	int n = 0;

	lua_newtable(L);
	for (; *p; p = comma + 2) {
		comma = strstr(p, ", ");
		lua_pushlstring(L, p, comma ? (size_t)(comma - p) : strlen(p));
		lua_rawseti(L, -2, ++n);
		if (!comma)
			break;
	}
	lua_setfield(L, -2, "names");
}

void http_push_certificate(lua_State *L, struct tls_seen *s)
{
	struct err e;
	int i;

	lua_createtable(L, 0, 14);
	if (s->n)
		set_cert(L, &s->certs[0]);
	set_names(L, s->names);
	set_str(L, "protocol", s->protocol);
	set_str(L, "cipher", s->cipher);
	lua_pushboolean(L, !s->verify);
	lua_setfield(L, -2, "verified");
	if (s->verify) {
		tls_seen_refused(s, &e);
		set_str(L, "problem", e.message);
		set_str(L, "code", e.code);
	}
	lua_createtable(L, s->n, 0);
	for (i = 0; i < s->n; i++) {
		lua_createtable(L, 0, 8);
		set_cert(L, &s->certs[i]);
		lua_rawseti(L, -2, i + 1);
	}
	lua_setfield(L, -2, "chain");
}

/* --- the response ---------------------------------------------------------------------- */
/* What the fields are made of that nobody has asked for yet. A response has it
 * under the key `lazy`, until all of them are made. */
struct rest {
	struct http_timing timing;
	struct tls_seen *seen;	/* owned reference, NULL none */
	int version;
	size_t head_len, url_len;
	char text[];		/* head, URL */
};

static const char lazy;		/* its address is the key */

static void push_timing(lua_State *L, const struct http_timing *t)
{
	lua_createtable(L, 0, 5);
	set_num(L, "dns", t->dns);
	set_num(L, "connect", t->connect);
	set_num(L, "tls", t->tls);
	set_num(L, "first_byte", t->first_byte);
	set_num(L, "total", t->total);
}

static int l_rest_gc(lua_State *L)
{
	struct rest *r = lua_touserdata(L, 1);

	tls_seen_drop(r->seen);
	r->seen = NULL;
	return 0;
}

static void push_rest(lua_State *L, const struct http_xfer *x)
{
	size_t head = x->head.len, url = x->url.len;
	struct rest *r = lua_newuserdatauv(L, sizeof *r + head + url, 0);

	r->timing = x->timing;
	r->seen = NULL;
	r->version = x->version;
	r->head_len = head;
	r->url_len = url;
	memcpy(r->text, x->head.data, head);
	memcpy(r->text + head, x->url.data, url);
	if (x->seen && x->seen->n) {
		luaL_setmetatable(L, REST);
		r->seen = tls_seen_keep(x->seen);
	}
}

int http_push(lua_State *L, struct http_xfer *x)
{
	if (x->cert_only) {
		http_push_certificate(L, x->seen);
		return 1;
	}
	lua_createtable(L, 0, 4);
	push_rest(L, x);
	lua_rawsetp(L, -2, &lazy);
	lua_pushinteger(L, x->status);
	lua_setfield(L, -2, "status");
	lua_pushboolean(L, x->status < 400);
	lua_setfield(L, -2, "ok");
	if (!x->to && !x->streamed) {
		lua_pushlstring(L, x->in.data, x->in.len);
		lua_setfield(L, -2, "body");
	}
	if (x->to) {
		set_str(L, "file", x->to);
		lua_pushinteger(L, (lua_Integer)x->got);
		lua_setfield(L, -2, "size");
	}
	if (x->attempt - x->followed > 1) {
		lua_pushinteger(L, x->attempt - x->followed);
		lua_setfield(L, -2, "attempts");
	}
	luaL_setmetatable(L, HTTP_RESPONSE);
	return 1;
}

/* --- its fields that are made when they are asked for ------------------------------------ */
/* The value on top becomes a field of the response at 1, unless it has it. */
static void keep(lua_State *L, const char *name)
{
	lua_pushstring(L, name);
	if (lua_rawget(L, 1) != LUA_TNIL) {
		lua_pop(L, 2);
		return;
	}
	lua_pop(L, 1);
	lua_pushstring(L, name);
	lua_insert(L, -2);
	lua_rawset(L, 1);
}

/* Makes the field of the response at 1: 1, or 0 when there is none such. */
static int make(lua_State *L, const struct rest *r, const char *name)
{
	static const char *const versions[] = { "1.0", "1.1", "2" };

	if (!strcmp(name, "headers") || !strcmp(name, "headers_list")) {
		push_headers(L, r->text, r->head_len);
		keep(L, "headers_list");
		keep(L, "headers");
	} else if (!strcmp(name, "timing")) {
		push_timing(L, &r->timing);
		keep(L, name);
	} else if (!strcmp(name, "url")) {
		lua_pushlstring(L, r->text + r->head_len, r->url_len);
		keep(L, name);
	} else if (!strcmp(name, "version")) {
		lua_pushstring(L, versions[r->version]);
		keep(L, name);
	} else if (r->seen && !strcmp(name, "certificate")) {
		http_push_certificate(L, r->seen);
		keep(L, name);
	} else {
		return 0;
	}
	return 1;
}

/* __index(response, name): upvalue 1 makes what is not made here */
static int l_response_get(lua_State *L)
{
	const struct rest *r;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 2);
	lua_rawgetp(L, 1, &lazy);
	r = lua_touserdata(L, 3);
	if (r && lua_type(L, 2) == LUA_TSTRING &&
	    make(L, r, lua_tostring(L, 2))) {
		lua_settop(L, 2);
		lua_rawget(L, 1);
		return 1;
	}
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushvalue(L, 1);
	lua_pushvalue(L, 2);
	lua_call(L, 2, 1);
	return 1;
}

/* Makes all fields of the response at 1. */
static void make_all(lua_State *L)
{
	static const char *const names[] = {
		"headers", "timing", "url", "version", "certificate", NULL
	};
	const struct rest *r;
	int i;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_rawgetp(L, 1, &lazy);
	r = lua_touserdata(L, -1);
	for (i = 0; r && names[i]; i++)
		make(L, r, names[i]);
	lua_pop(L, 1);
	lua_pushnil(L);
	lua_rawsetp(L, 1, &lazy);
}

/* next(response, name) */
static int l_response_next(lua_State *L)
{
	lua_settop(L, 2);
	return lua_next(L, 1) ? 2 : 0;
}

/* __pairs: all fields */
static int l_response_pairs(lua_State *L)
{
	make_all(L);
	lua_pushcfunction(L, l_response_next);
	lua_pushvalue(L, 1);
	return 2;
}

/* __tojson: all fields */
static int l_response_tojson(lua_State *L)
{
	make_all(L);
	lua_settop(L, 1);
	return 1;
}

/* response_index(f): f(response, name) gives the fields that are not made here */
static int l_response_index(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	luaL_getmetatable(L, HTTP_RESPONSE);
	lua_pushvalue(L, 1);
	lua_pushcclosure(L, l_response_get, 1);
	lua_setfield(L, -2, "__index");
	return 0;
}

/* __close: the stream that is its body */
static int l_response_close(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_pushliteral(L, "body");
	lua_rawget(L, 1);
	if (luaL_testudata(L, -1, HTTP_STREAM) &&
	    luaL_getmetafield(L, -1, "__close") != LUA_TNIL) {
		lua_insert(L, -2);
		lua_call(L, 1, 0);
	}
	return 0;
}

void http_open_push(lua_State *L)
{
	static const luaL_Reg meta[] = {
		{ "__pairs", l_response_pairs },
		{ "__tojson", l_response_tojson },
		{ "__close", l_response_close }, { NULL, NULL }
	};
	static const luaL_Reg rest[] = {
		{ "__gc", l_rest_gc }, { NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "response_index", l_response_index }, { NULL, NULL }
	};

	lx_metatable(L, REST, NULL, rest);
	lx_metatable(L, HTTP_RESPONSE, NULL, meta);
	/* records and output take it for a table of fields, as every result */
	luaL_getmetatable(L, HTTP_RESPONSE);
	lua_pushliteral(L, "opsh.result");
	lua_setfield(L, -2, "__name");
	lua_pop(L, 1);
	http_open_show(L);
	lx_setfuncs(L, funcs);
}
