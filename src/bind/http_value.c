/*
 * http_value: values as Lua gives them, strings or secrets, in the form that they
 * are sent in: encoded, as header lines, as an Authorization line whose words are
 * registered. For a target's options and for a call's description; refuses what
 * could end a line. Owns nothing.
 */
#include "bind/http.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "core/lx.h"
#include "core/mem.h"
#include "effect/redact.h"
#include "effect/secret.h"

_Noreturn void http_no_memory(lua_State *L)
{
	err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
}

/* --- fields ---------------------------------------------------------------------- */
char *http_copy_field(lua_State *L, int idx, const char *name)
{
	const char *s = lx_opt_str(L, idx, name, NULL);
	char *copy = s ? mem_strdup(s) : NULL;

	if (s && !copy)
		http_no_memory(L);
	lua_pop(L, 1);
	return copy;
}

double http_seconds(lua_State *L, int idx, const char *name, double def,
		    enum err_kind kind)
{
	double v = lx_opt_num(L, idx, name, def);

	if (!isfinite(v) || v <= 0)
		err_raisef(L, kind, "", "option '%s' must be a number of "
			   "seconds above 0", name);
	return v;
}

/* --- values ---------------------------------------------------------------------- */
const char *http_value(lua_State *L, int idx, size_t *len)
{
	const char *s = secret_get(L, idx, len);

	if (s)
		return s;
	if (lua_type(L, idx) == LUA_TSTRING)
		return lua_tolstring(L, idx, len);
	err_raisef(L, ERR_USAGE, "", "a string or a secret is expected, not "
		   "a %s", luaL_typename(L, idx));
}

void http_add_value(lua_State *L, int idx, struct buf *b)
{
	lua_Integer i, n;
	const char *s;
	size_t len;

	if (lua_type(L, idx) != LUA_TTABLE) {
		s = http_value(L, idx, &len);
		buf_add(b, s, len);
		return;
	}
	n = (lua_Integer)lua_rawlen(L, idx);
	for (i = 1; i <= n; i++) {
		lua_rawgeti(L, idx, i);
		s = http_value(L, -1, &len);
		buf_add(b, s, len);
		lua_pop(L, 1);
	}
}

void http_add_encoded(struct buf *b, const char *s, size_t len,
		      const char *keep)
{
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c < 128 && (isalnum(c) || (c && strchr(keep, c))))
			buf_addc(b, (char)c);
		else
			buf_addf(b, "%%%02X", c);
	}
}

void http_add_pairs(lua_State *L, int idx, struct buf *b)
{
	lua_Integer i, n = (lua_Integer)lua_rawlen(L, idx);
	const char *s;
	size_t len;

	for (i = 1; i <= n; i++) {
		lua_rawgeti(L, idx, i);
		s = http_value(L, -1, &len);
		if (i > 1)
			buf_addc(b, i % 2 ? '&' : '=');
		http_add_encoded(b, s, len, HTTP_UNRESERVED);
		lua_pop(L, 1);
	}
}

/* "Name: value", NUL: what libcurl is to send. */
static void add_line(lua_State *L, struct buf *b, const char *name, size_t len,
		     int idx)
{
	size_t at = b->len;
	const char *p;

	if (!len || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP"
			   "QRSTUVWXYZ0123456789-_.!#$%&'*+^`|~") != len)
		err_raisef(L, ERR_USAGE, "", "'%s' is no name of a header",
			   name);
	buf_addf(b, "%s: ", name);
	http_add_value(L, idx, b);
	if (!buf_ok(b))
		http_no_memory(L);
	for (p = b->data + at; p < b->data + b->len; p++)
		if (*p == '\r' || *p == '\n' || !*p)
			err_raisef(L, ERR_USAGE, "", "header '%s' holds a line "
				   "end or a NUL byte", name);
	if (b->len == at + len + 2) {	/* libcurl's empty header */
		b->len -= 2;
		buf_addc(b, ';');
	}
	buf_addc(b, '\0');
}

void http_read_headers(lua_State *L, int idx, struct buf *b)
{
	lua_Integer i, n;

	luaL_checktype(L, idx, LUA_TTABLE);
	n = (lua_Integer)lua_rawlen(L, idx);
	for (i = 1; i < n; i += 2) {
		size_t len = 0;
		const char *name;

		lua_rawgeti(L, idx, i);
		lua_rawgeti(L, idx, i + 1);
		name = lua_tolstring(L, -2, &len);
		add_line(L, b, name ? name : "", len, lua_gettop(L));
		lua_pop(L, 2);
	}
	if (!buf_ok(b))
		http_no_memory(L);
}

/* --- authentication ----------------------------------------------------------------- */
static void add_base64(struct buf *b, const char *data, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn"
				     "opqrstuvwxyz0123456789+/";
	const unsigned char *s = (const unsigned char *)data;
	size_t i;

	for (i = 0; i < len; i += 3) {
		unsigned v = (unsigned)s[i] << 16;

		v |= i + 1 < len ? (unsigned)s[i + 1] << 8 : 0;
		v |= i + 2 < len ? s[i + 2] : 0;
		buf_addc(b, digits[v >> 18]);
		buf_addc(b, digits[v >> 12 & 63]);
		buf_addc(b, i + 1 < len ? digits[v >> 6 & 63] : '=');
		buf_addc(b, i + 2 < len ? digits[v & 63] : '=');
	}
}

/* Takes the text out of b; NULL when memory is gone. */
static char *take_text(struct buf *b)
{
	char *text = buf_ok(b) ? mem_memdup(b->data, b->len) : NULL;

	if (b->cap)
		mem_wipe(b->data, b->cap);
	buf_release(b);
	return text;
}

char *http_basic(lua_State *L, int user, int password)
{
	struct buf b = BUF_INIT, line = BUF_INIT;
	size_t ulen = 0, plen = 0;
	const char *u = http_value(L, user, &ulen);
	const char *p = lua_isnil(L, password) ? "" :
		http_value(L, password, &plen);
	char *text;

	if (memchr(u, ':', ulen))
		err_raisef(L, ERR_CONFIG, "", "a user of HTTP basic "
			   "authentication can't hold a ':'");
	buf_add(&b, u, ulen);
	buf_addc(&b, ':');
	buf_add(&b, p, plen);
	buf_adds(&line, "Authorization: Basic ");
	add_base64(&line, b.data, b.len);
	mem_free(take_text(&b));
	text = take_text(&line);
	if (!text || redact_add(text + 21, strlen(text + 21)) < 0 ||
	    (plen && redact_add(p, plen) < 0)) {
		mem_free(text);
		http_no_memory(L);
	}
	return text;
}

char *http_bearer(lua_State *L, int token)
{
	struct buf line = BUF_INIT;
	size_t len;
	const char *s = http_value(L, token, &len);
	char *text;

	if (strcspn(s, "\r\n") != len)
		err_raisef(L, ERR_CONFIG, "", "the token holds a line end or a "
			   "NUL byte");
	buf_adds(&line, "Authorization: Bearer ");
	buf_add(&line, s, len);
	text = take_text(&line);
	if (!text || redact_add(s, len) < 0) {
		mem_free(text);
		http_no_memory(L);
	}
	return text;
}
