/*
 * fuzz: what the HTTP binding puts together and takes apart. The first byte
 * chooses: a path and a query that a playbook gives, its header lines, the head
 * and body that a server sends, its redirect. Properties: no line end, no other
 * host and no other request come out of a value; a query can be read back; caps
 * hold; a redirect that is followed stays at its origin; nothing is read outside
 * (memory ends where the bytes end, the sanitizer looks).
 */
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <lauxlib.h>

#include "bind/http.h"
#include "core/err.h"
#include "core/mem.h"

#define ORIGIN "http://gateway.example:8080"
#define MAX_BODY 500

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct target target;
static struct http_client client;

static void check(int ok)
{
	if (!ok)
		__builtin_trap();
}

/* The next piece of the input, up to a 0xff, as a Lua string. 0: no more */
static int piece(lua_State *L, const char **at, const char *end)
{
	const char *stop;

	if (*at >= end)
		return 0;
	stop = memchr(*at, 0xff, (size_t)(end - *at));
	if (!stop)
		stop = end;
	lua_pushlstring(L, *at, (size_t)(stop - *at));
	*at = stop < end ? stop + 1 : end;
	return 1;
}

/* {piece, piece, ..}, of an even number. */
static void pieces(lua_State *L, const char *at, const char *end)
{
	int i, list;

	lua_newtable(L);
	list = lua_gettop(L);
	for (i = 1; piece(L, &at, end); i++)
		lua_rawseti(L, list, i);
	if (i % 2 == 0) {
		lua_pushliteral(L, "");
		lua_rawseti(L, list, i);
	}
}

/* --- what a playbook gives ---------------------------------------------------- */
static int l_target(lua_State *L)
{
	http_spec_target(L, lua_touserdata(L, 1), 2, 3, 4);
	return 0;
}

static int hex(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : toupper(c) - 'A' + 10;
}

/* Reads text up to one of `stops` back; must be *s. */
static const char *read_back(const char *p, const char *stops, const char *s,
			     size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		check(*p && !strchr(stops, *p));
		if (*p == '%') {
			check(isxdigit((unsigned char)p[1]) &&
			      isxdigit((unsigned char)p[2]));
			check((char)(hex(p[1]) << 4 | hex(p[2])) == s[i]);
			p += 3;
		} else {
			check(*p == s[i]);
			p++;
		}
	}
	check(!*p || strchr(stops, *p));
	return p;
}

static void check_query(lua_State *L, const char *url, const char *path,
			size_t len)
{
	int i, n = (int)lua_rawlen(L, -1);
	const char *s, *p = url + strlen(url);
	size_t slen;

	/* the query is last: n / 2 pairs from the end */
	for (i = 0; n && i < n / 2; i++) {
		do
			p--;
		while (p > url && *p != '&' && *p != '?');
	}
	check(!n || *p == (memchr(path, '?', len) ? '&' : '?'));
	for (i = 1; i <= n; i++) {
		lua_rawgeti(L, -1, i);
		s = lua_tolstring(L, -1, &slen);
		p = read_back(p + 1, i % 2 ? "=" : "&", s, slen);
		lua_pop(L, 1);
	}
	check(!n || !*p);
}

/* What libcurl reads is what was meant. */
static void check_place(const char *url)
{
	CURLU *u = curl_url();
	char *host = NULL, *port = NULL, *user = NULL, *part = NULL;

	check(u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK);
	check(!curl_url_get(u, CURLUPART_HOST, &host, 0) &&
	      !strcmp(host, "gateway.example"));
	check(!curl_url_get(u, CURLUPART_PORT, &port, 0) &&
	      !strcmp(port, "8080"));
	check(curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_NO_USER);
	check(curl_url_get(u, CURLUPART_FRAGMENT, &part, 0) ==
	      CURLUE_NO_FRAGMENT);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(u);
}

static void check_url(const struct buf *url)
{
	size_t i;

	check(buf_ok(url) && strlen(url->data) == url->len);
	check(!strncmp(url->data, ORIGIN "/", strlen(ORIGIN) + 1));
	for (i = 0; i < url->len; i++)
		check(url->data[i] > ' ' && url->data[i] < 127);
	check_place(url->data);
}

static void fuzz_target(lua_State *L, const char *at, const char *end)
{
	struct http_xfer x;
	const char *path;
	size_t len;

	memset(&x, 0, sizeof x);
	http_xfer_init(&x, &client);
	lua_pushcfunction(L, l_target);
	lua_pushlightuserdata(L, &x);
	lua_pushliteral(L, "GET");
	if (!piece(L, &at, end))
		lua_pushliteral(L, "");
	lua_newtable(L);
	pieces(L, at, end);
	lua_pushvalue(L, -1);
	lua_setfield(L, -3, "query");
	lua_insert(L, 1);			/* kept, with the path */
	lua_pushvalue(L, -2);
	lua_insert(L, 1);
	if (lua_pcall(L, 4, 0, 0) == LUA_OK) {
		path = lua_tolstring(L, 1, &len);
		check_url(&x.url);
		check_query(L, x.url.data, path, len);
	}
	http_xfer_release(&x);
}

static int l_headers(lua_State *L)
{
	http_read_headers(L, 2, lua_touserdata(L, 1));
	return 0;
}

static void fuzz_headers(lua_State *L, const char *at, const char *end)
{
	struct buf b = BUF_INIT;
	const char *p, *last;
	int i, n;

	lua_pushcfunction(L, l_headers);
	lua_pushlightuserdata(L, &b);
	pieces(L, at, end);
	n = (int)lua_rawlen(L, -1);
	lua_pushvalue(L, -1);
	lua_insert(L, 1);
	if (lua_pcall(L, 2, 0, 0) == LUA_OK) {
		p = b.data;
		last = p + b.len;
		for (i = 1; i < n; i += 2, p += strlen(p) + 1) {
			const char *name;
			size_t len;

			check(p < last && !strpbrk(p, "\r\n"));
			lua_rawgeti(L, 1, i);
			name = lua_tolstring(L, -1, &len);
			check(strlen(name) == len && len &&
			      !strncmp(p, name, len));
			check(!strncmp(p + len, ": ", 2) ||
			      !strcmp(p + len, ";"));
			lua_pop(L, 1);
		}
		check(p == last);
	}
	buf_release(&b);
}

/* --- what a server sends -------------------------------------------------------- */
/* Lines as libcurl hands them over: each in a block of its own, not ended. */
static enum http_take feed(struct http_xfer *x, const char *s, size_t len,
			   enum http_take (*f)(struct http_xfer *,
					       const char *, size_t))
{
	char *copy = mem_alloc(len ? len : 1);
	enum http_take took;

	check(copy != NULL);
	memcpy(copy, s, len);
	took = f(x, copy, len);
	mem_free(copy);
	return took;
}

static void look_up(struct http_xfer *x)
{
	static const char *const names[] = { "location", "Retry-After",
					     "content-type", "x" };
	const char *value;
	size_t i, len;

	for (i = 0; i < sizeof names / sizeof *names; i++) {
		value = http_header(x, names[i], &len);
		if (value)
			check(value >= x->head.data && value + len <=
			      x->head.data + x->head.len &&
			      !memchr(value, '\n', len));
	}
	http_judge_status(x);
	check(strlen(x->err.message) < sizeof x->err.message);
}

static void fuzz_response(const char *at, const char *end)
{
	struct http_xfer x;
	const char *eol;
	size_t step;

	memset(&x, 0, sizeof x);
	http_xfer_init(&x, &client);
	x.max_body = MAX_BODY;
	x.n_expect = 1;
	x.expect[0] = 200;
	snprintf(x.method, sizeof x.method, "GET");
	while (at < end && !x.head_done) {
		eol = memchr(at, '\n', (size_t)(end - at));
		eol = eol ? eol + 1 : end;
		if (feed(&x, at, (size_t)(eol - at), http_on_head) !=
		    HTTP_TOOK)
			break;
		at = eol;
	}
	check(x.head.len <= HTTP_MAX_HEAD);
	while (at < end && x.head_done) {
		step = (size_t)(unsigned char)*at % 61 + 1;
		if (step > (size_t)(end - at))
			step = (size_t)(end - at);
		if (feed(&x, at, step, http_on_body) != HTTP_TOOK)
			break;
		at += step;
	}
	check(x.in.len <= MAX_BODY);
	look_up(&x);
	http_xfer_release(&x);
}

static void fuzz_redirect(const char *at, const char *end)
{
	struct http_xfer x;
	char *text = mem_alloc((size_t)(end - at) + 1);
	int rc;

	check(text != NULL);
	memcpy(text, at, (size_t)(end - at));
	text[end - at] = '\0';
	memset(&x, 0, sizeof x);
	http_xfer_init(&x, &client);
	buf_adds(&x.url, ORIGIN "/a/b?c=d");
	rc = http_curl_follow(&x, text);
	if (rc == 1) {
		check(!strncmp(x.url.data, ORIGIN "/", strlen(ORIGIN) + 1));
		check(!strpbrk(x.url.data, "\r\n"));
		check_place(x.url.data);
	} else {
		check(!strcmp(x.url.data, ORIGIN "/a/b?c=d"));
	}
	http_xfer_release(&x);
	mem_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static lua_State *L;
	const char *at = (const char *)data + 1, *end = at + size - 1;

	if (!L) {
		L = luaL_newstate();
		check(L != NULL);
		client.target = &target;
		client.o.host = mem_strdup("gateway.example");
		client.o.port = mem_strdup("8080");
		client.o.base = mem_strdup("");
		snprintf(client.where, sizeof client.where,
			 "gateway.example:8080");
		snprintf(client.origin, sizeof client.origin, ORIGIN);
	}
	if (!size)
		return 0;
	switch (data[0] % 4) {
	case 0:
		fuzz_target(L, at, end);
		break;
	case 1:
		fuzz_headers(L, at, end);
		break;
	case 2:
		fuzz_response(at, end);
		break;
	default:
		fuzz_redirect(at, end);
		break;
	}
	lua_settop(L, 0);
	return 0;
}
