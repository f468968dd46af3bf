/*
 * pg_commit: COMMIT, and what to believe when its reply is lost: the server is
 * asked what became of the transaction's number, over a new connection, after it
 * was seen to be the same server on the same timeline. Nothing is ever resent.
 */
#include "bind/pg.h"

#include <stdio.h>
#include <string.h>

#define PROBE_TIME 10.0		/* seconds for an answer */
#define PROBE_EVERY 0.05

/* --- COMMIT ---------------------------------------------------------------------- */
static int send_commit(struct pg_conn *c, void *arg)
{
	(void)arg;
	return PQsendQuery(c->pg, "commit");
}

/* Did the server stop, or end our session, instead of an answer? */
static int ended(const struct err *e)
{
	return !strncmp(e->code, "57P", 3) || !strncmp(e->code, "08", 2) ||
	       !strncmp(e->code, "XX", 2);
}

static void start_probe(struct pg_call *call)
{
	struct pg_conn *c = call->c;

	call->lost = call->reply.error.e;
	snprintf(call->ident, sizeof call->ident, "%s", c->ident);
	snprintf(call->crash, sizeof call->crash, "%s", c->crash);
	call->c = NULL;
	pg_unlease(c);
	call->probe_until = loop_now() + PROBE_TIME;
	call->stage = PG_S_PROBE;
}

int pg_commit(lua_State *L, struct pg_call *call, lua_KFunction k)
{
	struct pg_error e;
	struct pg_ask a;
	PGresult *res;

	if (call->lent || call->bare || call->verdict.cls == EFFECT_READ) {
		call->stage = PG_S_END;
		return 0;
	}
	if (!call->asked) {
		/* the statement's own result stays */
		PQclear(call->result);
		call->result = call->reply.res[call->at];
		call->reply.res[call->at] = NULL;
		call->reply.store = NULL;
		pg_call_ask(call, &a, send_commit, 0);
		a.retry = a.keep = a.commit = 1;
		a.sql = NULL;
		call->effect.sent = 1;
		pg_await(L, &a, (lua_KContext)call, k);
	}
	call->asked = 0;
	if (call->reply.lost || (call->reply.failed &&
				 ended(&call->reply.error.e))) {
		start_probe(call);
		return 0;
	}
	if (call->reply.failed)
		pg_call_fail(L, call, &call->reply.error);
	res = call->reply.res[0];
	if (!res || strcmp(PQcmdStatus(res), "COMMIT") != 0) {
		memset(&e, 0, sizeof e);
		err_set(&e.e, ERR_SERVER, "", "the transaction was rolled "
			"back by the server");
		pg_call_fail(L, call, &e);
	}
	call->stage = PG_S_END;
	return 0;
}

/* --- the probe ----------------------------------------------------------------------- */
static _Noreturn void unknown(lua_State *L, struct pg_call *call,
			      const char *why)
{
	struct pg_error e;

	memset(&e, 0, sizeof e);
	err_set(&e.e, ERR_UNKNOWN, call->lost.code, "the reply to COMMIT of "
		"'%s' was lost, it may have been applied: %s", call->verb, why);
	snprintf(e.e.hint, sizeof e.e.hint, "lost by: %.200s",
		 call->lost.message);
	e.e.phase = PHASE_WAIT;
	e.e.outcome = OUTCOME_UNKNOWN;
	pg_call_fail(L, call, &e);
}

static int send_status(struct pg_conn *c, void *arg)
{
	struct pg_call *call = arg;

	buf_clear(&call->query);
	buf_addf(&call->query, PQserverVersion(c->pg) >= 130000 ?
		 "select pg_xact_status('%s'::xid8)" :
		 "select txid_status(%s)", call->xid);
	return buf_ok(&call->query) &&
		PQsendQuery(c->pg, call->query.data);
}

/* A connection to the server that it was sent to. 1: there it is. */
static int find_server(lua_State *L, struct pg_call *call, lua_KFunction k)
{
	char why[300];

	if (!call->c && call->attempt.kind != ERR_NONE) {
		if (call->attempt.kind != ERR_TIMEOUT ||
		    call->unreachable.kind == ERR_NONE)
			call->unreachable = call->attempt;
		if (loop_now() >= call->probe_until ||
		    call->attempt.kind == ERR_AUTH) {
			snprintf(why, sizeof why, "the server can't be asked: "
				 "%.200s", call->unreachable.message);
			unknown(L, call, why);
		}
		call->attempt.kind = ERR_NONE;
		pg_await_time(L, &call->effect, PROBE_EVERY * 4,
			      (lua_KContext)call, k);
		return 0;
	}
	if (!call->c) {
		pg_await_lease(L, call->pc, &call->c, call->probe_until,
			       &call->attempt, &call->effect,
			       (lua_KContext)call, k);
		return 0;
	}
	if (strcmp(call->c->ident, call->ident) != 0) {
		snprintf(why, sizeof why, "the server now is another: was %s, "
			 "is %s", call->ident, call->c->ident);
		unknown(L, call, why);
	}
	if (strchr(call->ident, '?'))
		unknown(L, call, "the role may not ask the server who it is, "
			"it may be another");
	return 1;
}

static _Noreturn void not_applied(lua_State *L, struct pg_call *call,
				  const char *why)
{
	struct pg_error e;

	memset(&e, 0, sizeof e);
	err_set(&e.e, call->lost.kind, call->lost.code, "'%s' was not applied, "
		"%s: %s", call->verb, why, call->lost.message);
	e.e.phase = PHASE_WAIT;
	pg_call_fail(L, call, &e);
}

/* What the server says of the transaction. 1: it is committed. A number that was
 * lost in a crash is the next one's, so its word is good for no, not for yes. */
static int read_status(lua_State *L, struct pg_call *call, lua_KFunction k)
{
	const PGresult *res = call->reply.res[0];
	const char *said;

	if (call->reply.failed && !call->c->standby &&
	    !strcmp(call->reply.error.e.code, "22023"))
		not_applied(L, call, "the server lost its transaction in a "
			    "crash");
	if (call->reply.failed || !res || PQntuples(res) != 1 ||
	    PQgetisnull(res, 0, 0))
		unknown(L, call, call->reply.failed ?
			call->reply.error.e.message :
			"the server no longer knows the transaction");
	said = PQgetvalue(res, 0, 0);
	if (!strcmp(said, "aborted"))
		not_applied(L, call, "its transaction was aborted");
	if (strcmp(call->crash, call->c->crash) != 0)
		unknown(L, call, "the server crashed meanwhile: the number of "
			"the transaction may be another's by now");
	if (!strcmp(said, "committed"))
		return 1;
	/* its backend has not noticed yet that we are gone */
	if (loop_now() >= call->probe_until)
		unknown(L, call, "the transaction is still in progress");
	pg_await_time(L, &call->effect, PROBE_EVERY, (lua_KContext)call, k);
	return 0;
}

int pg_probe(lua_State *L, struct pg_call *call, lua_KFunction k)
{
	struct pg_conn *c;
	struct pg_ask a;

	if (!call->xid[0]) {
		/* it was given no number: there was nothing to commit */
		call->stage = PG_S_END;
		return 0;
	}
	if (!call->asked) {
		if (!find_server(L, call, k))
			return 0;
		pg_call_ask(call, &a, send_status, 0);
		a.until = call->probe_until;
		a.retry = a.keep = a.commit = 1;
		a.sql = NULL;
		pg_await(L, &a, (lua_KContext)call, k);
	}
	call->asked = 0;
	if (call->reply.lost) {
		c = call->c;
		call->c = NULL;
		call->attempt = call->reply.error.e;
		pg_unlease(c);
		return 0;
	}
	if (!read_status(L, call, k))
		return 0;
	call->stage = PG_S_END;
	return 0;
}
