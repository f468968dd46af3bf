/*
 * pg_stage: a statement from its arguments to its result, in stages: pg_args.c,
 * pg_ready.c, pg_send.c, pg_commit.c. A read runs in a READ ONLY transaction, a
 * write in one of its own whose commit can be probed, or in the caller's.
 */
#include "bind/pg.h"

#include <stdio.h>
#include <string.h>

#include "core/lx.h"
#include "effect/withheld.h"

static int call_k(lua_State *L, int status, lua_KContext ctx);

static void no_memory(lua_State *L)
{
	err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
}

/* --- the result --------------------------------------------------------------------------- */
static void push_notices(lua_State *L, const struct pg_call *c)
{
	const char *p = c->notices.data, *end = p + c->notices.len;
	int n = 0;

	lua_createtable(L, c->n_notices, 0);
	for (; p < end; p += strlen(p) + 1) {
		lua_pushstring(L, p);
		lua_rawseti(L, -2, ++n);
	}
	if (c->notices_cut) {
		lua_pushfstring(L, "(%d more are not kept)", c->notices_cut);
		lua_rawseti(L, -2, ++n);
	}
}

static long long affected(const PGresult *res)
{
	const char *s = PQcmdTuples((PGresult *)res);
	long long n = -1;

	return *s && sscanf(s, "%lld", &n) == 1 ? n : -1;
}

/* Completes rows; leaves {command, notices, count} on top. */
static long long finish_rows(lua_State *L, struct pg_call *call)
{
	PGresult *res = call->result ? call->result :
		call->reply.res[call->at];
	long long n = res ? affected(res) : -1;

	luaL_checkstack(L, 8, NULL);
	if (res && PQnfields(res) && pg_store_header(call->store, res) < 0)
		no_memory(L);
	if (res && res != call->result && PQntuples(res) > 0) {
		call->store->res = res;	/* whole: of the console */
		call->store->rows = PQntuples(res);
		call->reply.res[call->at] = NULL;
	}
	pg_rows_ready(L, call->rows);
	lua_createtable(L, 0, 6);
	lua_pushstring(L, res ? PQcmdStatus(res) : call->verb);
	lua_setfield(L, -2, "command");
	push_notices(L, call);
	lua_setfield(L, -2, "notices");
	return n;
}

static int push_result(lua_State *L, struct pg_call *call)
{
	long long n, size;
	int columns;

	if (call->push && !call->stream)
		return call->push(L, call);
	n = finish_rows(L, call);
	columns = call->store->columns;
	size = (long long)call->store->data.len;
	effect_end(&call->effect, OUTCOME_DONE, n >= 0 ? n :
		   call->store->rows, columns ? size : -1, NULL);
	pg_call_give_back(call);
	if (call->how == PG_QUERY) {
		lua_setiuservalue(L, call->rows, 3);
		lua_pushvalue(L, call->rows);
		return call->stream ? call->push(L, call) : 1;
	}
	if (n >= 0 || columns) {
		lua_pushinteger(L, n >= 0 ? n : call->store->rows);
		lua_setfield(L, -2, "count");
	}
	if (columns) {
		lua_pushvalue(L, call->rows);
		lua_setfield(L, -2, "rows");
	}
	lua_pushboolean(L, 1);
	lua_setfield(L, -2, "ok");
	return effect_push_result(L, -1, 1);
}

/* --- the stages ------------------------------------------------------------------------------ */
/* 1: go on; 0: the stage was set anew or asks again. */
static int step(lua_State *L, struct pg_call *call)
{
	switch (call->stage) {
	case PG_S_LEASE:
		return pg_lease_one(L, call, call_k);
	case PG_S_IDENT:
		return pg_identity(L, call, call_k);
	case PG_S_LOOKUP:
		return pg_lookup(L, call, call_k);
	case PG_S_PREPARE:
		return pg_prepare(L, call, call_k);
	case PG_S_RUN:
		return pg_run(L, call, call_k);
	case PG_S_COMMIT:
		return pg_commit(L, call, call_k);
	case PG_S_PROBE:
		return pg_probe(L, call, call_k);
	default:
		return 1;
	}
}

static int call_k(lua_State *L, int status, lua_KContext ctx)
{
	struct pg_call *call = (struct pg_call *)ctx;

	(void)status;
	while (call->stage != PG_S_END) {
		if (call->stage == PG_S_BEGIN) {
			if (!pg_begin(L, call)) {
				pg_call_give_back(call);
				return 1;
			}
			call->stage = PG_S_PREPARE;
			continue;
		}
		if (step(L, call))
			call->stage++;
	}
	return push_result(L, call);
}

int pg_call_go(lua_State *L, struct pg_call *call)
{
	if (call->how == PG_QUERY &&
	    call->verdict.cls != EFFECT_READ)
		pg_refuse_write(L, call);
	return call_k(L, LUA_OK, (lua_KContext)call);
}

/* query(db, sql, ...) -> rows */
static int l_query(lua_State *L)
{
	return pg_call_go(L, pg_call_read(L, PG_QUERY));
}

/* exec(db, sql, ...) -> result */
static int l_exec(lua_State *L)
{
	return pg_call_go(L, pg_call_read(L, PG_EXEC));
}

/* auto(db, sql, ...) -> rows of a read, result of a write */
static int l_auto(lua_State *L)
{
	return pg_call_go(L, pg_call_read(L, PG_AUTO));
}

void pg_open_stage(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "query", l_query }, { "exec", l_exec }, { "auto", l_auto },
		{ NULL, NULL }
	};

	lx_setfuncs(L, funcs);
}
