/*
 * pg_ready: what comes before a call is sent: its connection, the server's
 * identity, what the server says of unknown names, the boundary's word. Each is a
 * stage that may wait. Decides what may be sent, not how.
 */
#include "bind/pg.h"

#include <stdio.h>
#include <string.h>

#include "core/lx.h"
#include "effect/lock.h"

static int is_write(const struct pg_call *call)
{
	return call->verdict.cls != EFFECT_READ;
}

static int send_lookup(struct pg_conn *c, void *arg)
{
	return pg_judge_send(c, &((struct pg_call *)arg)->query);
}

static int send_identity(struct pg_conn *c, void *arg)
{
	(void)arg;
	c->asked_at = loop_now();
	return PQsendQuery(c->pg, pg_greet_text(c));
}

static void ask(lua_State *L, struct pg_call *call,
		int (*send)(struct pg_conn *, void *), lua_KFunction k)
{
	struct pg_ask a;

	pg_call_ask(call, &a, send, 0);
	a.sql = NULL;
	a.retry = 1;
	pg_await(L, &a, (lua_KContext)call, k);
}

/* 1: has it. */
int pg_lease_one(lua_State *L, struct pg_call *call, lua_KFunction k)
{
	if (!call->c) {
		pg_await_lease(L, call->pc, &call->c, call->until, NULL,
			       NULL, (lua_KContext)call, k);
		return 0;
	}
	if (call->c->job) {
		pg_await_idle(L, call->c, call->until, (lua_KContext)call,
			      k);
		return 0;
	}
	return 1;
}

static int stale(const struct pg_call *call)
{
	return is_write(call) && !call->lent && !call->c->console &&
	       loop_now() - call->c->ident_at > PG_FRESH;
}

/* 1: the server is who it was, or it is not asked. */
int pg_identity(lua_State *L, struct pg_call *call, lua_KFunction k)
{
	struct err e;

	if (!call->asked) {
		if (is_write(call))
			lock_ready(L);	/* it may turn the loop: not below */
		if (!stale(call))
			return 1;
		ask(L, call, send_identity, k);
	}
	call->asked = 0;
	if (call->reply.lost) {
		pg_call_again(L, call);
		return 0;
	}
	if (pg_greet_read(call->c, call->reply.res[0], &e) < 0)
		err_raise(L, &e);
	return 1;
}

int pg_lookup(lua_State *L, struct pg_call *call, lua_KFunction k)
{
	if (!call->asked) {
		if (!pg_judge_asks(call->pc, &call->verdict, &call->query))
			return 1;
		if (!buf_ok(&call->query))
			err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
		ask(L, call, send_lookup, k);
	}
	call->asked = 0;
	if (call->reply.lost) {
		pg_call_again(L, call);
		return 0;
	}
	if (pg_judge_learn(call->pc, call->reply.res[0]) < 0)
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	pg_judge_asks(call->pc, &call->verdict, &call->query);
	if (!is_write(call))
		return 1;
	call->stage = PG_S_IDENT;	/* it was not known before */
	if (call->automatic)
		call->how = PG_EXEC;
	return 0;
}

/* What would stay in a session that other calls get next. */
static void refuse_session(lua_State *L, struct pg_call *call)
{
	struct err e;

	err_set(&e, ERR_USAGE, "", "'%s' acts on its session, and calls share "
		"those", call->verdict.tags.count ? call->verdict.tags.name[0] :
		"the statement");
	snprintf(e.hint, sizeof e.hint, "within transaction(): SET LOCAL, "
		 "pg_advisory_xact_lock; listen() for LISTEN; for all sessions: "
		 "options=-c%%20NAME=VALUE in the URL");
	err_raise(L, &e);
}

void pg_refuse_write(lua_State *L, struct pg_call *call)
{
	struct err e;

	err_set(&e, ERR_USAGE, "", "'%s' is %s%s%s: query is for reads, use "
		"exec", call->verb, call->verdict.cls == EFFECT_WRITE ?
		"a write" : "destructive", call->verdict.why[0] ? ", " : "",
		call->verdict.why);
	e.outcome = OUTCOME_REFUSED;
	snprintf(e.target, sizeof e.target, "%s", call->pc->target->name);
	snprintf(e.op, sizeof e.op, "%s", call->verb);
	err_raise(L, &e);
}

/* What a standby takes although it is no read. */
static int standby_takes(const char *tag)
{
	static const char *const tags[] = { "SELECT", "ALTER SYSTEM",
		"CHECKPOINT", "SET", "RESET", "LOAD", "DISCARD", "CALL", "DO",
		"DEALLOCATE", "LISTEN", NULL };
	int i;

	for (i = 0; tags[i]; i++)
		if (!strncmp(tag, tags[i], strlen(tags[i])))
			return 1;
	return 0;
}

/* Connected to a standby by mistake: said before anything is sent. */
static void check_standby(lua_State *L, struct pg_call *call)
{
	struct err e;

	/* one that was a primary has changed: the boundary says so */
	if (call->pc->target->changed_from[0])
		return;
	if (!call->c->standby || call->c->console || !is_write(call) ||
	    call->pc->target->role_wanted[0] ||
	    standby_takes(call->verdict.tags.count ?
			  call->verdict.tags.name[0] : call->verb))
		return;
	err_set(&e, ERR_REFUSED, "ROLE", "'%s' is a standby: '%s' was not "
		"sent", pg_where(call->c), call->verb);
	snprintf(e.hint, sizeof e.hint, "target_session_attrs=read-write finds "
		 "the primary among several hosts; role = \"primary\" in the "
		 "targets file keeps it so");
	e.outcome = OUTCOME_REFUSED;
	snprintf(e.target, sizeof e.target, "%s", call->pc->target->name);
	err_raise(L, &e);
}

/* It was begun on a connection that was lost before anything was sent; the new
 * one may lead elsewhere. */
static int check_same(lua_State *L, struct pg_call *call)
{
	const struct target *t = call->pc->target;
	struct pg_error e;

	if (!is_write(call) || !t->changed_from[0])
		return 1;
	memset(&e, 0, sizeof e);
	err_set(&e.e, ERR_CHANGED, "", "'%s' is not what it was: was %s, is %s "
		"role=%s; '%s' was not sent", t->name, t->changed_from,
		t->identity, t->role, call->verb);
	pg_call_fail(L, call, &e);
}

/* The judge read the text with these: it holds for no other session. */
static void check_reading(lua_State *L, struct pg_call *call)
{
	static const char *const needed[][2] = {
		{ "standard_conforming_strings", "on" },
		{ "client_encoding", "UTF8" },
	};
	const char *value;
	struct err e;
	size_t k;

	for (k = 0; k < 2 && !call->c->console; k++) {
		value = PQparameterStatus(call->c->pg, needed[k][0]);
		if (!value || !strcmp(value, needed[k][1]))
			continue;
		err_set(&e, ERR_REFUSED, "", "'%s' is %.20s in the session, so "
			"'%s' can't be judged: expected %s", needed[k][0], value,
			call->verb, needed[k][1]);
		e.outcome = OUTCOME_REFUSED;
		snprintf(e.target, sizeof e.target, "%s",
			 call->pc->target->name);
		err_raise(L, &e);
	}
}

/* Asks the boundary. 0: withheld, and its stand-in is pushed. */
static int do_begin(lua_State *L, struct pg_call *call)
{
	struct effect_call what;

	if (call->effect.open)
		return check_same(L, call);
	if ((call->how == PG_QUERY || call->how == PG_ROWS_OF) &&
	    is_write(call))
		pg_refuse_write(L, call);
	check_standby(L, call);
	check_reading(L, call);
	if (!call->lent && (call->verdict.flags & PG_SQL_SESSION))
		refuse_session(L, call);
	memset(&what, 0, sizeof what);
	what.target = call->pc->target;
	what.cls = call->verdict.cls;
	what.verb = call->verb;
	what.request = call->sql;
	what.request_len = call->len;
	what.timeout = call->timeout;
	if (effect_begin(L, &call->effect, &what) == EFFECT_WITHHELD) {
		effect_push_withheld(L, &call->effect, call->opts);
		return 0;
	}
	return 1;
}

/* begin(call, options) -> call when it is to be sent, or the stand-in */
static int l_begin(lua_State *L)
{
	struct pg_call *call = lua_touserdata(L, 1);

	if (do_begin(L, call))
		lua_pushlightuserdata(L, call);
	return 1;
}

/* As do_begin, and a refusal gives the connection back at once. */
int pg_begin(lua_State *L, struct pg_call *call)
{
	int opts = call->opts, rc;

	luaL_checkstack(L, 4, NULL);
	lua_pushcfunction(L, l_begin);
	lua_pushlightuserdata(L, call);
	if (opts)
		lua_pushvalue(L, opts);
	call->opts = opts ? 2 : 0;
	rc = lua_pcall(L, opts ? 2 : 1, 1, 0);
	call->opts = opts;
	if (rc) {
		pg_call_give_back(call);
		lua_error(L);
	}
	if (lua_touserdata(L, -1) != (void *)call)
		return 0;
	lua_pop(L, 1);
	return 1;
}
