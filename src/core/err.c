/*
 * err: the error object, between C's fixed struct and Lua's table. Owns the
 * metatable `opsh.error`.
 */
#include "core/err.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/lx.h"

#define ERR_META "opsh.error"

static const char *const kind_names[ERR_N_KINDS] = {
	[ERR_NONE] = "none",
#define X(sym, name) [ERR_##sym] = name,
	ERR_KINDS(X)
#undef X
};

static const char *const phase_names[PHASE_N] = {
	"", "dns", "connect", "tls", "auth", "send", "wait", "read",
};

static const char *const outcome_names[OUTCOME_N] = {
	"", "done", "failed", "unknown", "withheld", "refused",
};

const char *err_kind_name(enum err_kind kind)
{
	return kind_names[kind];
}

const char *err_phase_name(enum err_phase phase)
{
	return phase_names[phase];
}

const char *outcome_name(enum outcome outcome)
{
	return outcome_names[outcome];
}

static int find(const char *const *names, int n, const char *name)
{
	int i;

	for (i = 1; i < n; i++)
		if (!strcmp(names[i], name))
			return i;
	return 0;
}

enum err_kind err_kind_find(const char *name)
{
	return (enum err_kind)find(kind_names, ERR_N_KINDS, name);
}

const char *err_errno_name(int code)
{
	switch (code) {
	case ECONNREFUSED: return "ECONNREFUSED";
	case ECONNRESET: return "ECONNRESET";
	case EHOSTUNREACH: return "EHOSTUNREACH";
	case ENETUNREACH: return "ENETUNREACH";
	case ETIMEDOUT: return "ETIMEDOUT";
	case EACCES: return "EACCES";
	case ENOENT: return "ENOENT";
	case EPIPE: return "EPIPE";
	case EMFILE: return "EMFILE";
	default: return "";
	}
}

void err_set(struct err *e, enum err_kind kind, const char *code,
	     const char *fmt, ...)
{
	va_list ap;

	memset(e, 0, sizeof *e);
	e->kind = kind;
	snprintf(e->code, sizeof e->code, "%s", code ? code : "");
	va_start(ap, fmt);
	vsnprintf(e->message, sizeof e->message, fmt, ap);
	va_end(ap);
}

static void set_field(lua_State *L, const char *name, const char *value)
{
	if (!*value)
		return;
	lua_pushstring(L, value);
	lua_setfield(L, -2, name);
}

void err_push(lua_State *L, const struct err *e)
{
	luaL_checkstack(L, 4, "error object");
	lua_createtable(L, 0, 10);
	set_field(L, "kind", kind_names[e->kind]);
	set_field(L, "code", e->code);
	set_field(L, "message", e->message);
	set_field(L, "target", e->target);
	set_field(L, "op", e->op);
	set_field(L, "hint", e->hint);
	set_field(L, "phase", phase_names[e->phase]);
	set_field(L, "outcome", outcome_names[e->outcome]);
	if (e->exit_code) {
		lua_pushinteger(L, e->exit_code);
		lua_setfield(L, -2, "exit_code");
	}
	luaL_setmetatable(L, ERR_META);
}

int err_raise(lua_State *L, const struct err *e)
{
	char where[96];

	err_push(L, e);
	lx_where(L, 1, where, sizeof where);
	set_field(L, "where", where);
	lua_error(L);
	__builtin_unreachable();
}

int err_raisef(lua_State *L, enum err_kind kind, const char *code,
	       const char *fmt, ...)
{
	struct err e;
	va_list ap;

	err_set(&e, kind, code, "%s", "");
	va_start(ap, fmt);
	vsnprintf(e.message, sizeof e.message, fmt, ap);
	va_end(ap);
	err_raise(L, &e);
}

int err_is(lua_State *L, int idx)
{
	int yes;

	if (!lua_istable(L, idx) || !lua_getmetatable(L, idx))
		return 0;
	luaL_getmetatable(L, ERR_META);
	yes = lua_rawequal(L, -1, -2);
	lua_pop(L, 2);
	return yes;
}

/* Copies the string field `name` of the table at idx; "" when absent. */
static void get_field(lua_State *L, int idx, const char *name, char *out,
		      size_t size)
{
	lua_pushstring(L, name);
	lua_rawget(L, idx);
	snprintf(out, size, "%s",
		 lua_type(L, -1) == LUA_TSTRING || lua_isnumber(L, -1)
		 ? lua_tostring(L, -1) : "");
	lua_pop(L, 1);
}

void err_from_lua(lua_State *L, int idx, struct err *e)
{
	char name[24];

	idx = lua_absindex(L, idx);
	luaL_checkstack(L, 4, "error object");
	if (!err_is(L, idx)) {
		/* no __tostring of a foreign value is run: it may fail */
		err_set(e, ERR_LUA, "", "%s",
			lua_type(L, idx) == LUA_TSTRING
			? lua_tostring(L, idx) : luaL_typename(L, idx));
		return;
	}
	get_field(L, idx, "kind", name, sizeof name);
	err_set(e, err_kind_find(name), "", "%s", "");
	if (e->kind == ERR_NONE)
		e->kind = ERR_LUA;
	get_field(L, idx, "code", e->code, sizeof e->code);
	get_field(L, idx, "target", e->target, sizeof e->target);
	get_field(L, idx, "op", e->op, sizeof e->op);
	get_field(L, idx, "hint", e->hint, sizeof e->hint);
	get_field(L, idx, "message", e->message, sizeof e->message);
	get_field(L, idx, "phase", name, sizeof name);
	e->phase = (enum err_phase)find(phase_names, PHASE_N, name);
	get_field(L, idx, "outcome", name, sizeof name);
	e->outcome = (enum outcome)find(outcome_names, OUTCOME_N, name);
	lua_getfield(L, idx, "exit_code");
	/* 256 would leave as 0 */
	if (lua_tointeger(L, -1) > 0 && lua_tointeger(L, -1) < 256)
		e->exit_code = (int)lua_tointeger(L, -1);
	lua_pop(L, 1);
}

void err_wrap(lua_State *L, int status)
{
	struct err e;

	switch (lua_type(L, -1)) {
	case LUA_TNIL: case LUA_TBOOLEAN: case LUA_TNUMBER: case LUA_TSTRING:
		break;
	default:
		return;
	}
	luaL_checkstack(L, 8, "error object");
	luaL_tolstring(L, -1, NULL);		/* -- value text */
	if (status == LUA_ERRMEM)
		err_set(&e, ERR_LIMIT, "ENOMEM", "%s", lua_tostring(L, -1));
	else
		err_set(&e, ERR_LUA, "", "%s", lua_tostring(L, -1));
	err_push(L, &e);			/* -- value text error */
	if (strlen(e.message) != lua_rawlen(L, -2)) {
		lua_pushvalue(L, -2);	/* does not fit the struct */
		lua_setfield(L, -2, "message");
	}
	lua_replace(L, -3);
	lua_pop(L, 1);
}

/*
 * "opsh:opsh/m.lua:30: bad argument .." is of a C function that a module of ours
 * called for the user: says the user's place.
 */
static void say_users_place(lua_State *L)
{
	static const char own[] = "opsh:", bad[] = ": bad argument";
	const char *text, *rest;
	char where[96];

	if (lua_type(L, 1) != LUA_TSTRING)
		return;
	text = lua_tostring(L, 1);
	rest = strstr(text, bad);
	if (!rest || strncmp(text, own, sizeof own - 1))
		return;
	lx_where(L, 1, where, sizeof where);
	if (!*where)
		return;
	lua_pushfstring(L, "%s%s", where, rest);
	lua_replace(L, 1);
}

int err_msgh(lua_State *L)
{
	int has;

	lua_settop(L, 1);
	say_users_place(L);
	err_wrap(L, LUA_ERRRUN);
	if (!err_is(L, 1))
		return 1;
	lua_pushliteral(L, "traceback");
	has = lua_rawget(L, 1) != LUA_TNIL;
	lua_pop(L, 1);
	if (!has) {
		luaL_traceback(L, L, NULL, 1);
		lua_setfield(L, 1, "traceback");
	}
	return 1;
}

/* err:__tostring() -> one line "kind: message (target, op, phase, code)". */
static int l_err_tostring(lua_State *L)
{
	static const char *const parts[] = { "target", "op", "phase", "code" };
	luaL_Buffer b;
	size_t i;
	int n = 0;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	luaL_buffinit(L, &b);
	for (i = 0; i < 2; i++) {
		lua_getfield(L, 1, i ? "message" : "kind");
		if (!lua_isstring(L, -1)) {
			lua_pop(L, 1);
			lua_pushliteral(L, "?");
		}
		luaL_addvalue(&b);
		if (!i)
			luaL_addstring(&b, ": ");
	}
	for (i = 0; i < sizeof parts / sizeof *parts; i++) {
		if (lua_getfield(L, 1, parts[i]) == LUA_TSTRING) {
			luaL_addstring(&b, n++ ? ", " : " (");
			luaL_addvalue(&b);
		} else {
			lua_pop(L, 1);
		}
	}
	if (n)
		luaL_addchar(&b, ')');
	luaL_pushresult(&b);
	return 1;
}

/* new(fields) -> error object; raises when `kind` is not of the list. */
static int l_err_new(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	if (lua_getfield(L, 1, "kind") != LUA_TSTRING ||
	    err_kind_find(lua_tostring(L, -1)) == ERR_NONE)
		return luaL_error(L, "unknown error kind '%s'",
				  luaL_tolstring(L, -1, NULL));
	lua_settop(L, 1);
	luaL_setmetatable(L, ERR_META);
	return 1;
}

/* is(value) -> boolean */
static int l_err_is(lua_State *L)
{
	luaL_checkany(L, 1);
	lua_pushboolean(L, err_is(L, 1));
	return 1;
}

int luaopen_opsh_c_err(lua_State *L)
{
	static const luaL_Reg meta[] = {
		{ "__tostring", l_err_tostring }, { NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "new", l_err_new }, { "is", l_err_is }, { NULL, NULL }
	};
	int i;

	lx_metatable(L, ERR_META, NULL, meta);
	luaL_newlib(L, funcs);
	lua_createtable(L, ERR_N_KINDS, 0);
	for (i = 1; i < ERR_N_KINDS; i++) {
		lua_pushstring(L, kind_names[i]);
		lua_rawseti(L, -2, i);
	}
	lua_setfield(L, -2, "kinds");
	return 1;
}
