/*
 * http_spec: a call's description, read from Lua into a transfer: URL, header
 * lines, body, limits. opsh.http has checked the options' names; what could break
 * the protocol (methods, paths, line ends in parts) is checked here and in
 * http_value.c.
 */
#include "bind/http.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/lx.h"
#include "core/mem.h"

#define SHOWN_BODY 8192	/* bytes; the record cuts, after it has masked */

/* --- authentication ----------------------------------------------------------------- */
static void read_auth(lua_State *L, struct http_xfer *x, int idx)
{
	int top = lua_gettop(L);

	switch (lua_getfield(L, idx, "auth")) {
	case LUA_TBOOLEAN:
		x->no_auth = !lua_toboolean(L, -1);
		break;
	case LUA_TTABLE:
		if (lua_getfield(L, -1, "token") != LUA_TNIL) {
			x->auth = http_bearer(L, lua_gettop(L));
			break;
		}
		lua_getfield(L, top + 1, "user");
		lua_getfield(L, top + 1, "password");
		x->auth = http_basic(L, top + 3, top + 4);
		break;
	default:
		break;
	}
	lua_settop(L, top);
}

/* --- method and URL -------------------------------------------------------------------- */
static void read_method(lua_State *L, struct http_xfer *x, int idx)
{
	size_t len;
	const char *m = lua_tolstring(L, idx, &len);

	if (!len || len >= sizeof x->method ||
	    strspn(m, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != len || !strcmp(m,
	    "CONNECT"))
		err_raisef(L, ERR_USAGE, "", "'%s' is no method that can be "
			   "sent", m);
	snprintf(x->method, sizeof x->method, "%s", m);
	if (!strcmp(m, "GET") || !strcmp(m, "HEAD") || !strcmp(m, "OPTIONS") ||
	    !strcmp(m, "TRACE"))
		x->cls = EFFECT_READ;
	else
		x->cls = strcmp(m, "DELETE") ? EFFECT_WRITE :
			EFFECT_DESTRUCTIVE;
}

/* What is written as it may not stand in a URL is encoded; a '%XX' stays. */
static void add_path(lua_State *L, struct buf *b, const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c < ' ' || c == 127)
			err_raisef(L, ERR_USAGE, "", "the path holds a control "
				   "character");
		if (c == '%' && i + 2 < len && isxdigit((unsigned char)s[i + 1])
		    && isxdigit((unsigned char)s[i + 2]))
			buf_addc(b, (char)c);
		else
			http_add_encoded(b, s + i, 1,
					 HTTP_UNRESERVED "!$&'()*+,;=:@/?");
	}
}

void http_spec_target(lua_State *L, struct http_xfer *x, int method, int path,
		      int spec)
{
	const struct http_client *hc = x->hc;
	size_t len;
	const char *s = http_value(L, path, &len);

	read_method(L, x, method);
	if (len && s[0] != '/' && s[0] != '?')
		err_raisef(L, ERR_USAGE, "", "the path must begin with '/': "
			   "'%s'", s);
	buf_adds(&x->url, hc->o.socket ? "http://localhost" : hc->origin);
	buf_adds(&x->url, hc->o.base);
	if ((!len || s[0] == '?') && !*hc->o.base)
		buf_addc(&x->url, '/');
	add_path(L, &x->url, s, len);
	if (!spec || lua_getfield(L, spec, "query") == LUA_TNIL) {
		lua_settop(L, spec ? -2 : lua_gettop(L));
		return;
	}
	luaL_checktype(L, -1, LUA_TTABLE);
	if (lua_rawlen(L, -1))
		buf_addc(&x->url, memchr(s, '?', len) ? '&' : '?');
	http_add_pairs(L, lua_gettop(L), &x->url);
	lua_pop(L, 1);
}

/* --- bodies --------------------------------------------------------------------------------- */
static long long size_of(lua_State *L, const char *path)
{
	struct stat st;

	if (stat(path, &st))
		err_raisef(L, ERR_IO, "", "cannot read '%s': %s", path,
			   strerror(errno));
	if (!S_ISREG(st.st_mode))
		err_raisef(L, ERR_IO, "", "cannot send '%s': it is no regular "
			   "file", path);
	return (long long)st.st_size;
}

static void open_body(lua_State *L, struct http_xfer *x)
{
	x->kind = HTTP_FILE;
	x->body_size = size_of(L, x->body_path);
	x->body_fd = open(x->body_path, O_RDONLY | O_CLOEXEC);
	if (x->body_fd < 0)
		err_raisef(L, ERR_IO, "", "cannot read '%s': %s", x->body_path,
			   strerror(errno));
}

/* Goes into a header of the part: no line end may come in by it. */
static char *copy_line(lua_State *L, int idx, const char *name)
{
	size_t len = 0;
	const char *s = lx_opt_str(L, idx, name, &len);

	if (s && strcspn(s, "\r\n") != len)
		err_raisef(L, ERR_USAGE, "", "the %s of a part holds a line "
			   "end or a NUL byte", name);
	lua_pop(L, 1);
	return http_copy_field(L, idx, name);
}

static void read_part(lua_State *L, struct http_part *p, int idx)
{
	p->name = copy_line(L, idx, "name");
	p->filename = copy_line(L, idx, "filename");
	p->type = copy_line(L, idx, "type");
	p->path = http_copy_field(L, idx, "file");
	if (p->path) {
		p->size = size_of(L, p->path);
		return;
	}
	lua_getfield(L, idx, "value");
	http_add_value(L, lua_gettop(L), &p->data);
	lua_pop(L, 1);
	if (!buf_ok(&p->data))
		http_no_memory(L);
}

static void read_parts(lua_State *L, struct http_xfer *x, int idx)
{
	int i, n = (int)lua_rawlen(L, idx);

	x->parts = mem_zalloc((size_t)n * sizeof *x->parts);
	if (!x->parts)
		http_no_memory(L);
	for (i = 0; i < n; i++)
		buf_init(&x->parts[i].data);
	x->n_parts = n;
	x->kind = HTTP_MIME;
	for (i = 0; i < n; i++) {
		lua_rawgeti(L, idx, i + 1);
		luaL_checktype(L, -1, LUA_TTABLE);
		read_part(L, &x->parts[i], lua_gettop(L));
		lua_pop(L, 1);
	}
}

/* Pieces of JSON at idx: secrets stand inside of its strings. */
static void add_json(lua_State *L, int idx, struct buf *b)
{
	lua_Integer i, n = (lua_Integer)lua_rawlen(L, idx);
	const char *s;
	size_t len;

	for (i = 1; i <= n; i++) {
		lua_rawgeti(L, idx, i);
		s = http_value(L, -1, &len);
		if (lua_type(L, -1) == LUA_TSTRING) {
			buf_add(b, s, len);
		} else {
			/* its own quotes are cut: they stand around it */
			size_t at = b->len;

			buf_add_json(b, s, len);
			if (buf_ok(b)) {
				memmove(b->data + at, b->data + at + 1,
					b->len - at - 2);
				b->len -= 2;
			}
		}
		lua_pop(L, 1);
	}
}

static void read_body(lua_State *L, struct http_xfer *x, int idx)
{
	int top = lua_gettop(L);

	if (lua_getfield(L, idx, "body") != LUA_TNIL) {
		x->kind = HTTP_MEM;
		if (lua_istable(L, top + 1))
			add_json(L, top + 1, &x->body);
		else
			http_add_value(L, top + 1, &x->body);
	} else if (lua_getfield(L, idx, "form") != LUA_TNIL) {
		x->kind = HTTP_MEM;
		http_add_pairs(L, top + 2, &x->body);
	} else if (lua_getfield(L, idx, "multipart") != LUA_TNIL) {
		read_parts(L, x, top + 3);
	} else if ((x->body_path = http_copy_field(L, idx, "body_file"))) {
		open_body(L, x);
	} else if (lx_opt_bool(L, idx, "chunks", 0)) {
		x->kind = HTTP_CHUNKS;
		x->body_size = -1;
	}
	lua_settop(L, top);
}

/* --- the rest -------------------------------------------------------------- */
static void read_expect(lua_State *L, struct http_xfer *x, int idx)
{
	int i, n;

	switch (lua_getfield(L, idx, "expect")) {
	case LUA_TBOOLEAN:
		x->any_status = lua_toboolean(L, -1);
		break;
	case LUA_TTABLE:
		n = (int)lua_rawlen(L, -1);
		if (n > HTTP_EXPECT)
			err_raisef(L, ERR_USAGE, "", "option 'expect' takes "
				   "%d statuses at most", HTTP_EXPECT);
		for (i = 0; i < n; i++) {
			lua_rawgeti(L, -1, i + 1);
			x->expect[i] = (int)lua_tointeger(L, -1);
			lua_pop(L, 1);
		}
		x->n_expect = n;
		break;
	default:
		break;
	}
	lua_pop(L, 1);
}

static void read_class(lua_State *L, struct http_xfer *x, int idx)
{
	const char *name = lx_opt_str(L, idx, "class", NULL);
	int i;

	for (i = 0; name && i <= EFFECT_DESTRUCTIVE; i++)
		if (!strcmp(name, effect_class_name((enum effect_class)i)))
			x->cls = (enum effect_class)i;
	lua_pop(L, 1);
}

static void read_retry(lua_State *L, struct http_xfer *x, int idx)
{
	struct http_retry *r = &x->retry;
	int at;

	if (lua_getfield(L, idx, "retry") == LUA_TTABLE) {
		at = lua_gettop(L);
		r->attempts = (int)lx_opt_int(L, at, "attempts", 3);
		r->delay = lx_opt_num(L, at, "delay", 0.2);
		r->factor = lx_opt_num(L, at, "factor", 2);
		r->max_delay = lx_opt_num(L, at, "max_delay", 10);
		r->each = lx_opt_num(L, at, "each", 0);
	}
	lua_pop(L, 1);
}

void http_spec_read(lua_State *L, struct http_xfer *x, int idx)
{
	x->follow = x->cls == EFFECT_READ && (!strcmp(x->method, "GET") ||
		    !strcmp(x->method, "HEAD")) ? 5 : 0;
	if (!idx)
		return;
	read_class(L, x, idx);
	if (lua_getfield(L, idx, "headers") != LUA_TNIL) {
		x->own_headers = 1;
		http_read_headers(L, lua_gettop(L), &x->headers);
	}
	lua_pop(L, 1);
	read_auth(L, x, idx);
	read_body(L, x, idx);
	read_expect(L, x, idx);
	read_retry(L, x, idx);
	x->timeout = http_seconds(L, idx, "timeout", x->timeout, ERR_USAGE);
	x->connect_timeout = http_seconds(L, idx, "connect_timeout",
					  x->connect_timeout, ERR_USAGE);
	x->to = http_copy_field(L, idx, "to");
	if (x->to) {
		lua_getfield(L, idx, "host");
		x->host = target_check(L, lua_gettop(L));
		lua_pop(L, 1);
		x->max_body = HTTP_MAX_FILE;
	}
	x->max_body = lx_opt_int(L, idx, "max_body", x->max_body);
	x->keyed = lx_opt_bool(L, idx, "keyed", 0);
	x->follow = (int)lx_opt_int(L, idx, "follow", x->follow);
	x->cert_only = lx_opt_bool(L, idx, "cert_only", 0);
}

/* --- the record's line ------------------------------------------------------- */
void http_describe(struct http_xfer *x)
{
	int i;

	if (x->cert_only) {
		buf_addf(&x->text, "certificate of %s", x->hc->where);
		return;
	}
	buf_addf(&x->text, "%s %s%s", x->method, x->hc->o.socket ?
		 x->hc->where : "", x->hc->o.socket ? " " : "");
	buf_add(&x->text, x->url.data, x->url.len);
	switch (x->kind) {
	case HTTP_MEM:
		buf_addf(&x->text, " (%zu bytes) ", x->body.len);
		buf_add(&x->text, x->body.data, x->body.len > SHOWN_BODY ?
			SHOWN_BODY : x->body.len);
		break;
	case HTTP_FILE:
		buf_addf(&x->text, " (file %s)", x->body_path);
		break;
	case HTTP_CHUNKS:
		buf_adds(&x->text, " (streamed)");
		break;
	case HTTP_MIME:
		buf_adds(&x->text, " (multipart");
		for (i = 0; i < x->n_parts; i++)
			buf_addf(&x->text, " %s", x->parts[i].name);
		buf_addc(&x->text, ')');
		break;
	case HTTP_NONE:
		break;
	}
	if (x->to)
		buf_addf(&x->text, " > %s", x->to);
}
