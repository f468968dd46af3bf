/*
 * resp_lua: scanned replies straight to the Lua stack, without a tree between:
 * tables presized, strings made once. Bytes come from resp_scan, so limits
 * hold; bounds are checked all the same.
 */
#include "bind/resp.h"

#include <ctype.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

/* Codes that aren't of kind server, or for which there is advice. */
static const struct {
	const char *code;
	enum err_kind kind;
	const char *hint;
} known_errors[] = {
	{ "NOAUTH", ERR_AUTH, "give the target a password (and user)" },
	{ "WRONGPASS", ERR_AUTH, "user or password is wrong, or the user is "
		"disabled" },
	{ "NOPERM", ERR_AUTH, "the ACL of this user doesn't allow it" },
	{ "DENIED", ERR_AUTH, "the server is in protected mode: it wants a "
		"password, or a client on its own host" },
	{ "CLUSTERDOWN", ERR_SERVER, "the cluster has slots that no master "
		"serves: look at CLUSTER INFO" },
	{ "CROSSSLOT", ERR_SERVER, "in a cluster all keys of one command must "
		"be in one slot: use a {hash tag}" },
	{ "READONLY", ERR_SERVER, "this node is a replica: find the master "
		"with cache:identity()" },
	{ "LOADING", ERR_SERVER, "the server is loading its data: wait for "
		"loading:0 in INFO persistence" },
	{ "MASTERDOWN", ERR_SERVER, "the replica has lost its master and "
		"replica-serve-stale-data is no" },
	{ "OOM", ERR_SERVER, "maxmemory is reached and nothing can be "
		"evicted" },
	{ "MISCONF", ERR_SERVER, "the last save to disk failed: writes are "
		"stopped" },
	{ "BUSY", ERR_SERVER, "a script blocks the server: SCRIPT KILL ends "
		"it if it has not written, but look first what it does" },
	{ "NOREPLICAS", ERR_SERVER, "fewer replicas than min-replicas-to-write"
		" are in sync" },
};

static void moved_hint(struct err *e, const char *line, size_t len)
{
	const char *p = memchr(line, ' ', len), *end = line + len;

	p = p ? memchr(p + 1, ' ', (size_t)(end - p - 1)) : NULL;
	if (!p)
		return;
	p++;
	snprintf(e->hint, sizeof e->hint,
		 "the slot is at %.*s: make a target of that node",
		 (int)(end - p > 120 ? 120 : end - p), p);
}

void resp_error(struct err *e, const char *line, size_t len)
{
	size_t i, n = 0;

	while (n < len && (isupper((unsigned char)line[n]) ||
			   isdigit((unsigned char)line[n]) ||
			   line[n] == '_'))
		n++;
	if (n == 0 || n >= sizeof e->code || (n < len && line[n] != ' '))
		n = 0;
	err_set(e, ERR_SERVER, "", "%.*s", (int)(len > 700 ? 700 : len), line);
	snprintf(e->code, sizeof e->code, "%.*s", (int)(n ? n : 3),
		 n ? line : "ERR");
	for (i = 0; i < sizeof known_errors / sizeof *known_errors; i++) {
		if (strcmp(e->code, known_errors[i].code) != 0)
			continue;
		e->kind = known_errors[i].kind;
		snprintf(e->hint, sizeof e->hint, "%s", known_errors[i].hint);
	}
	if (strcmp(e->code, "MOVED") == 0 || strcmp(e->code, "ASK") == 0)
		moved_hint(e, line, len);
}

static _Noreturn void bad_bytes(lua_State *L)
{
	err_raisef(L, ERR_PROTOCOL, "RESP", "reply is not whole");
}

static void push_error(lua_State *L, const struct resp_item *it)
{
	struct err e;

	resp_error(&e, it->str, it->len);
	err_push(L, &e);
}

static char push_value(lua_State *L, const char **p, const char *end,
		       int depth, int flags);

/* A flat array of pairs as a table; keys that are nil are left out. */
static void push_map(lua_State *L, const char **p, const char *end,
		     long long n, int depth)
{
	long long i;

	lua_createtable(L, 0, (int)(n / 2));
	for (i = 0; i + 1 < n; i += 2) {
		char type = push_value(L, p, end, depth + 1, 0);

		push_value(L, p, end, depth + 1, 0);
		if (type == '_' || type == '-')
			lua_pop(L, 2);
		else
			lua_rawset(L, -3);
	}
}

static char push_value(lua_State *L, const char **p, const char *end,
		       int depth, int flags)
{
	struct resp_item it;
	const char *next = resp_item(*p, end, &it);
	long long i;

	if (!next || depth > RESP_MAX_DEPTH + 1)
		bad_bytes(L);
	*p = next;
	switch (it.type) {
	case '$':
	case '+':
		lua_pushlstring(L, it.str, it.len);
		break;
	case ':':
		lua_pushinteger(L, it.num);
		break;
	case '-':
		push_error(L, &it);
		break;
	case '_':
		lua_pushlightuserdata(L, NULL);
		break;
	default:
		if (it.num > end - next)
			bad_bytes(L);
		luaL_checkstack(L, 6, "nested reply");
		if ((flags & RESP_MAP) && it.num % 2 == 0) {
			push_map(L, p, end, it.num, depth);
			break;
		}
		lua_createtable(L, (int)it.num, 0);
		for (i = 1; i <= it.num; i++) {
			push_value(L, p, end, depth + 1, 0);
			lua_rawseti(L, -2, i);
		}
	}
	return it.type;
}

char resp_push(lua_State *L, const char **p, const char *end, int flags)
{
	char type = push_value(L, p, end, 0, flags);

	if (type == '_') {
		lua_pop(L, 1);
		lua_pushnil(L);
	}
	return type;
}
