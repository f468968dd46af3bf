/*
 * http_show: a response as a person reads it: status, type, size, and the start of
 * a body that is text. What a terminal would obey is escaped. Must not raise for
 * what a server sent.
 */
#include "bind/http.h"

#include <string.h>

#include "core/lx.h"
#include "core/utf8.h"

#define SHOWN_BYTES 2000
#define SHOWN_LINES 40

static int hides(uint32_t cp)
{
	return cp != '\n' && cp != '\t' && cp != '\r' && !utf8_shows(cp);
}

/* The length of the start that is shown, 0 when it is no text. */
static size_t measure(const char *s, size_t len)
{
	size_t i = 0, bad = 0;
	int lines = 0, n;
	uint32_t cp;

	while (i < len && i < SHOWN_BYTES && lines < SHOWN_LINES) {
		n = utf8_next(s + i, len - i, &cp);
		if (!n || !cp)
			return 0;
		bad += hides(cp);
		lines += cp == '\n';
		i += (size_t)n;
	}
	return bad * 8 > i ? 0 : i;
}

static void add_text(luaL_Buffer *b, const char *s, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	size_t i = 0, k;
	uint32_t cp;
	int n;

	for (; i < len && (n = utf8_next(s + i, len - i, &cp)); i += (size_t)n) {
		if (cp == '\r' && i + 1 < len && s[i + 1] == '\n')
			continue;
		if (!hides(cp) && cp != '\r') {
			luaL_addlstring(b, s + i, (size_t)n);
			continue;
		}
		for (k = i; k < i + (size_t)n; k++) {
			luaL_addstring(b, "\\x");
			luaL_addchar(b, digits[(unsigned char)s[k] >> 4]);
			luaL_addchar(b, digits[(unsigned char)s[k] & 15]);
		}
	}
}

/* Pushes "200 text/plain (11 bytes)" of the response at 1. */
static void push_head(lua_State *L)
{
	const char *type = NULL;
	int top = lua_gettop(L);

	lua_pushliteral(L, "status");
	lua_rawget(L, 1);
	if (lua_getfield(L, 1, "headers") == LUA_TTABLE)
		lua_getfield(L, -1, "content-type");
	type = lua_tostring(L, -1);
	lua_pushliteral(L, "body");
	if (lua_rawget(L, 1) == LUA_TSTRING)
		lua_pushfstring(L, "%I bytes",
				(LUAI_UACINT)lua_rawlen(L, -1));
	else if (lua_getfield(L, 1, "file") == LUA_TSTRING)
		lua_pushfstring(L, "in %s", lua_tostring(L, -1));
	else
		lua_pushliteral(L, "streamed");
	lua_pushfstring(L, "%I%s%s (%s)",
			(LUAI_UACINT)lua_tointeger(L, top + 1), type ? " " : "",
			type ? type : "", lua_tostring(L, -1));
	lua_replace(L, top + 1);
	lua_settop(L, top + 1);
}

/* tostring(response) -> "200 text/plain (11 bytes)" */
static int l_response_tostring(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	push_head(L);
	return 1;
}

/* __show(response) -> what tostring gives, and the start of its body */
static int l_response_show(lua_State *L)
{
	luaL_Buffer b;
	const char *body;
	size_t len = 0, shown;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	lua_pushliteral(L, "body");
	lua_rawget(L, 1);
	body = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &len) : "";
	push_head(L);
	shown = measure(body, len);
	if (!shown)
		return 1;
	luaL_buffinit(L, &b);
	lua_pushvalue(L, 3);
	luaL_addvalue(&b);
	luaL_addchar(&b, '\n');
	if (shown == len)	/* whoever prints it ends the line */
		while (shown && strchr("\r\n", body[shown - 1]))
			shown--;
	add_text(&b, body, shown);
	if (len - shown > 2) {
		lua_pushfstring(L, "%s.. (%I more bytes)",
				body[shown - 1] == '\n' ? "" : "\n",
				(LUAI_UACINT)(len - shown));
		luaL_addvalue(&b);
	}
	luaL_pushresult(&b);
	return 1;
}

void http_open_show(lua_State *L)
{
	static const luaL_Reg meta[] = {
		{ "__tostring", l_response_tostring },
		{ "__show", l_response_show }, { NULL, NULL }
	};

	luaL_getmetatable(L, HTTP_RESPONSE);
	lx_setfuncs(L, meta);
	lua_pop(L, 1);
}
