/*
 * pg_args: a call's arguments: its statement judged, its parameters counted, its
 * options read, and what can't be sent this way refused. Sends nothing.
 */
#include "bind/pg.h"

#include <stdio.h>
#include <string.h>

#include "bind/pg_sql_func.h"
#include "core/lx.h"

static void read_options(lua_State *L, struct pg_call *call, int opts)
{
	static const char *const names[] = { "timeout", "max", "expect",
					     "class", "savepoint", NULL };
	static const char *const rows[] = { "timeout", "reuse", "max", NULL };
	const char *cls;

	lx_opt_begin(L, opts, call->how == PG_ROWS_OF ? rows : names);
	call->reuse = lx_opt_bool(L, opts, "reuse", 0);
	lua_getfield(L, opts, "timeout");
	call->timeout = lx_optseconds(L, lua_gettop(L), call->timeout);
	lua_pop(L, 1);
	call->max = lx_opt_int(L, opts, "max", call->max);
	call->unsaved = !lx_opt_bool(L, opts, "savepoint", 1);
	if (call->unsaved && !(call->tx && call->tx->readonly))
		err_raisef(L, ERR_USAGE, "", "option 'savepoint' is for reads "
			   "of a transaction with readonly = true");
	cls = lx_opt_str(L, opts, "class", NULL);
	if (cls && !strcmp(cls, "destructive"))
		call->verdict.cls = EFFECT_DESTRUCTIVE;
	else if (cls && !strcmp(cls, "write") &&
		 call->verdict.cls == EFFECT_READ)
		call->verdict.cls = EFFECT_WRITE;
	else if (cls && strcmp(cls, "write"))
		err_raisef(L, ERR_USAGE, "", "option 'class' is 'write' or "
			   "'destructive', not '%s'", cls);
	lua_pop(L, 1);
}

/* A table of named options, as the last argument. */
static int is_options(lua_State *L, int idx)
{
	return lua_istable(L, idx) && lua_rawlen(L, idx) == 0 &&
	       !luaL_getmetafield(L, idx, "__name");
}

/* Parameters, then options: how many there are, the statement says. */
static void read_arguments(lua_State *L, struct pg_call *call, int top)
{
	int n = call->verdict.parameters, given = top - 2;

	call->first = 3;
	if (call->verdict.error)	/* not known: a newer grammar */
		n = given - (given > 0 && is_options(L, top));
	if (given < n)
		err_raisef(L, ERR_USAGE, "", "the statement has %d parameter%s,"
			   " %d given", n, n == 1 ? "" : "s", given);
	if (given > n + 1 || (given == n + 1 && !lua_istable(L, top) &&
			      !lua_isnil(L, top)))
		err_raisef(L, ERR_USAGE, "", "the statement has %d parameter%s,"
			   " %d given: after them comes a table of options, "
			   "nothing else", n, n == 1 ? "" : "s", given);
	call->params.n = n;
	if (given == n + 1 && lua_istable(L, top)) {
		call->opts = top;
		read_options(L, call, top);
	}
}

static void unreadable(lua_State *L, struct pg_call *call)
{
	struct pg_error e;
	long i;

	memset(&e, 0, sizeof e);
	err_set(&e.e, ERR_USAGE, "42601", "%s", call->verdict.error);
	e.position = 1;
	for (i = 0; i < call->verdict.error_at && (size_t)i < call->len; i++)
		e.position += ((unsigned char)call->sql[i] & 0xc0) != 0x80;
	pg_error_raise(L, &e, call->sql, call->len);
}

/* A guard for SELECT would say nothing: the function that makes it destructive is
 * named, which the verdict's reason begins with. */
static int set_verb_function(struct pg_call *call)
{
	const struct pg_sql_verdict *v = &call->verdict;
	char name[sizeof call->verb];

	if (v->cls != EFFECT_DESTRUCTIVE || !v->tags.count ||
	    strcmp(v->tags.name[0], "SELECT"))
		return 0;
	snprintf(name, sizeof name, "%.*s", (int)strcspn(v->why, " "), v->why);
	if (!pg_sql_func_effect(name))
		return 0;
	memcpy(call->verb, name, sizeof name);
	return 1;
}

static void set_verb(struct pg_call *call)
{
	if (set_verb_function(call))
		return;
	snprintf(call->verb, sizeof call->verb, "%.47s",
		 call->verdict.tags.count ? call->verdict.tags.name[0] :
		 call->how == PG_EXEC ? "exec" : "query");
}

static int console_reads(const char *sql, size_t len)
{
	return len >= 5 && !strncasecmp(sql, "show ", 5);
}

struct pg_call *pg_call_read(lua_State *L, enum pg_how how)
{
	struct pg_conn *lent;
	struct pg_client *pc = pg_check(L, 1, &lent);
	struct pg_tx *tx = lent ? luaL_checkudata(L, 1, PG_TX) : NULL;
	int top = lua_gettop(L);
	struct pg_call *call;
	const char *sql;
	size_t len;

	sql = lx_checkstr(L, 2, &len);
	call = pg_call_make(L, pc, how);
	call->c = lent;
	call->lent = lent != NULL;
	call->tx = tx;
	call->sql = sql;
	call->len = len;
	if (tx && tx->timeout > 0)
		call->timeout = tx->timeout;
	if (pc->console) {
		call->verdict.cls = console_reads(sql, len) ? EFFECT_READ :
			EFFECT_WRITE;
		call->bare = 1;
	} else {
		pg_judge(L, &call->verdict, sql, len, how == PG_COPY_OF);
		if (call->verdict.error && how != PG_EXEC)
			unreadable(L, call);
	}
	read_arguments(L, call, top);
	call->automatic = how == PG_AUTO;
	if (how == PG_AUTO)
		call->how = call->verdict.cls == EFFECT_READ ? PG_QUERY :
			PG_EXEC;
	set_verb(call);
	call->until = loop_now() + call->timeout;
	call->store = pg_rows_new(L);
	call->store->max = call->max;
	call->rows = lua_gettop(L);
	call->reply.store = call->store;
	if (!call->bare && !call->lent && call->verdict.cls != EFFECT_READ)
		call->bare = call->verdict.block != PG_SQL_ANY;
	return call;
}
