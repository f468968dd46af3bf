/*
 * http_client: the userdata of a target: its options, its idle handles, the
 * addresses of its host. Sends nothing; connections belong to libcurl.
 */
#include "bind/http.h"

#include <stdio.h>
#include <string.h>

#include "core/lx.h"
#include "core/mem.h"
#include "effect/redact.h"

/* --- options ----------------------------------------------------------------------- */
static void read_auth(lua_State *L, int arg, struct http_options *o)
{
	int top = lua_gettop(L);

	lua_getfield(L, arg, "token");
	lua_getfield(L, arg, "user");
	lua_getfield(L, arg, "password");
	if (!lua_isnil(L, top + 1))
		o->auth = http_bearer(L, top + 1);
	else if (!lua_isnil(L, top + 2))
		o->auth = http_basic(L, top + 2, top + 3);
	lua_settop(L, top);
}

static void read_proxy(lua_State *L, int arg, struct http_options *o)
{
	struct buf b = BUF_INIT;
	int top = lua_gettop(L);

	o->proxy = http_copy_field(L, arg, "proxy");
	o->proxy_host = http_copy_field(L, arg, "proxy_host");
	o->proxy_port = http_copy_field(L, arg, "proxy_port");
	if (lua_getfield(L, arg, "proxy_auth") != LUA_TNIL) {
		http_add_value(L, top + 1, &b);
		o->proxy_auth = buf_ok(&b) ? mem_strdup(b.data) : NULL;
		if (b.cap)
			mem_wipe(b.data, b.cap);
		buf_release(&b);
		if (!o->proxy_auth)
			http_no_memory(L);
	}
	lua_settop(L, top);
}

void http_options_read(lua_State *L, int arg, struct http_options *o)
{
	static const char *const names[] = {
		"tls", "host", "port", "socket", "base", "ca", "cert", "key",
		"server_name", "proxy", "proxy_host", "proxy_port",
		"proxy_auth", "token", "user", "password", "headers", "verify",
		"http2", "timeout", "connect_timeout", "max_body", NULL
	};

	luaL_checktype(L, arg, LUA_TTABLE);
	lx_opt_begin(L, arg, names);
	o->tls = lx_opt_bool(L, arg, "tls", 0);
	o->host = http_copy_field(L, arg, "host");
	o->port = http_copy_field(L, arg, "port");
	o->socket = http_copy_field(L, arg, "socket");
	o->base = http_copy_field(L, arg, "base");
	o->ca = http_copy_field(L, arg, "ca");
	o->cert = http_copy_field(L, arg, "cert");
	o->key = http_copy_field(L, arg, "key");
	o->server_name = http_copy_field(L, arg, "server_name");
	read_auth(L, arg, o);
	read_proxy(L, arg, o);
	if (lua_getfield(L, arg, "headers") != LUA_TNIL)
		http_read_headers(L, lua_gettop(L), &o->headers);
	lua_pop(L, 1);
	o->insecure = !lx_opt_bool(L, arg, "verify", 1);
	o->http2 = lx_opt_bool(L, arg, "http2", 0);
	o->timeout = http_seconds(L, arg, "timeout", 30, ERR_CONFIG);
	o->connect_timeout = http_seconds(L, arg, "connect_timeout", 10,
					  ERR_CONFIG);
	o->max_body = lx_opt_int(L, arg, "max_body", HTTP_MAX_BODY);
	if (!o->base || (!o->socket && (!o->host || !o->port)))
		err_raisef(L, ERR_CONFIG, "", "an http target needs a url");
	if (o->key && !o->cert)
		err_raisef(L, ERR_CONFIG, "", "option 'key' needs 'cert' too");
}

static void wipe(char *s)
{
	if (s)
		mem_wipe(s, strlen(s));
	mem_free(s);
}

void http_options_release(struct http_options *o)
{
	mem_free(o->host);
	mem_free(o->port);
	mem_free(o->socket);
	mem_free(o->base);
	mem_free(o->ca);
	mem_free(o->cert);
	mem_free(o->key);
	mem_free(o->server_name);
	mem_free(o->proxy);
	mem_free(o->proxy_host);
	mem_free(o->proxy_port);
	wipe(o->proxy_auth);
	wipe(o->auth);
	if (o->headers.cap)
		mem_wipe(o->headers.data, o->headers.cap);
	buf_release(&o->headers);
	memset(o, 0, sizeof *o);
	buf_init(&o->headers);
}

/* --- the userdata ----------------------------------------------------------------------- */
struct http_client *http_check(lua_State *L, int arg)
{
	struct http_client *hc = luaL_checkudata(L, arg, HTTP_CLIENT);

	if (hc->closed)
		err_raisef(L, ERR_USAGE, "", "target '%s' is closed",
			   hc->target->name);
	return hc;
}

/* close(client) */
static int l_client_close(lua_State *L)
{
	struct http_client *hc = luaL_checkudata(L, 1, HTTP_CLIENT);

	hc->closed = 1;
	return 0;
}

static int l_client_gc(lua_State *L)
{
	struct http_client *hc = luaL_checkudata(L, 1, HTTP_CLIENT);

	hc->closed = 1;
	http_nodes_forget(hc);
	http_dns_forget(hc);
	http_options_release(&hc->o);
	while (hc->n_spare)
		buf_release(&hc->spare[--hc->n_spare]);
	if (hc->opened)
		http_curl_close();
	hc->opened = 0;
	return 0;
}

/* tostring(client) -> "NAME (http ADDRESS)" */
static int l_client_tostring(lua_State *L)
{
	struct http_client *hc = luaL_checkudata(L, 1, HTTP_CLIENT);

	lua_pushfstring(L, "%s (http %s)", hc->target->name, hc->where);
	return 1;
}

static void set_names(struct http_client *hc)
{
	const struct http_options *o = &hc->o;

	if (o->socket)
		snprintf(hc->where, sizeof hc->where, "%s", o->socket);
	else
		snprintf(hc->where, sizeof hc->where, strchr(o->host, ':') ?
			 "[%s]:%s" : "%s:%s", o->host, o->port);
	snprintf(hc->origin, sizeof hc->origin, "%s://%s", o->socket ?
		 "http+unix" : o->tls ? "https" : "http", hc->where);
	snprintf(hc->target->address, sizeof hc->target->address, "%.*s",
		 (int)sizeof hc->target->address - 1, hc->where);
}

/* connect(target, options, state) -> client; connects when first used. state:
 * a table that opsh.http keeps with it. */
static int l_connect(lua_State *L)
{
	struct target *t = target_check(L, 1);
	struct http_client *hc;
	struct err e;

	luaL_checktype(L, 3, LUA_TTABLE);
	hc = lua_newuserdatauv(L, sizeof *hc, 2);
	memset(hc, 0, sizeof *hc);
	buf_init(&hc->o.headers);
	hc->target = t;
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	lua_pushvalue(L, 3);
	lua_setiuservalue(L, -2, 2);
	luaL_setmetatable(L, HTTP_CLIENT);
	http_options_read(L, 2, &hc->o);
	if (http_curl_open(&e) < 0)
		return err_raise(L, &e);
	hc->opened = 1;
	set_names(hc);
	return 1;
}

/* target(client) -> the target */
static int l_target(lua_State *L)
{
	luaL_checkudata(L, 1, HTTP_CLIENT);
	lua_getiuservalue(L, 1, 1);
	return 1;
}

/* state(client) -> the table given to connect */
static int l_state(lua_State *L)
{
	luaL_checkudata(L, 1, HTTP_CLIENT);
	lua_getiuservalue(L, 1, 2);
	return 1;
}

/* origin(client) -> "http://host:port" */
static int l_origin(lua_State *L)
{
	struct http_client *hc = luaL_checkudata(L, 1, HTTP_CLIENT);

	lua_pushstring(L, hc->origin);
	return 1;
}

/* register(text): a header's value that must not show from now on */
static int l_register(lua_State *L)
{
	size_t len;
	const char *s = lx_checkstr(L, 1, &len);

	if (redact_add(s, len) < 0)
		http_no_memory(L);
	return 0;
}

/* methods(t): clients find their methods in t */
static int l_methods(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_getmetatable(L, HTTP_CLIENT);
	lua_pushvalue(L, 1);
	lua_setfield(L, -2, "__index");
	lua_getfield(L, 1, "__call");
	lua_setfield(L, -2, "__call");
	return 0;
}

void http_open_client(lua_State *L)
{
	static const luaL_Reg client[] = {
		{ "__gc", l_client_gc }, { "__tostring", l_client_tostring },
		{ NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "connect", l_connect }, { "close", l_client_close },
		{ "target", l_target }, { "state", l_state },
		{ "origin", l_origin }, { "register", l_register },
		{ "methods", l_methods }, { NULL, NULL }
	};

	lx_metatable(L, HTTP_CLIENT, NULL, client);
	lx_setfuncs(L, funcs);
}
