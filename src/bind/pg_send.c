/*
 * pg_send: what a call sends: the preparation of its statement, then the
 * statement with its parameters, and around it a transaction or savepoint, all
 * in one pipeline. Decides which format the rows come in. Judges nothing.
 */
#include "bind/pg.h"

#include <stdio.h>
#include <string.h>

static int is_write(const struct pg_call *call)
{
	return call->verdict.cls != EFFECT_READ;
}

/* One command without parameters, in a pipeline. */
static int say(struct pg_conn *c, const char *sql)
{
	return PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0);
}

/* --- preparing -------------------------------------------------------------------- */
static const char *begin_text(const struct pg_call *call)
{
	return is_write(call) ? "begin" : "begin read only";
}

/* BEGIN | SAVEPOINT, Parse, Describe, Sync | ROLLBACK TO, RELEASE, Sync */
static int send_prepare(struct pg_conn *c, void *arg)
{
	struct pg_call *call = arg;
	int ok = 1;

	if (call->drop[0]) {
		buf_clear(&call->query);
		buf_addf(&call->query, "deallocate \"%s\"", call->drop);
		if (!buf_ok(&call->query))
			return 0;
		ok = ok && say(c, call->query.data);
	}
	if (!call->bare)
		ok = ok && say(c, call->lent ? "savepoint opsh" :
			       begin_text(call));
	ok = ok && PQsendPrepare(c->pg, call->stmt->name, call->sql, 0, NULL);
	ok = ok && PQsendDescribePrepared(c->pg, call->stmt->name);
	ok = ok && PQpipelineSync(c->pg);
	if (!call->lent || call->bare)
		return ok;
	ok = ok && say(c, "rollback to savepoint opsh");
	ok = ok && say(c, "release savepoint opsh");
	return ok && PQpipelineSync(c->pg);
}

int pg_prepare(lua_State *L, struct pg_call *call, lua_KFunction k)
{
	int at = (call->drop[0] != 0) + !call->bare + 1;
	struct pg_stmt *stmt;
	struct pg_ask a;

	if (call->how == PG_END || call->how == PG_COPY_OF ||
	    call->c->console || (call->bare && !call->params.n))
		return 1;
	if (!call->asked) {
		call->stmt = pg_stmt_find(call->c, call->sql, call->len);
		call->cached = call->stmt != NULL;
		if (call->cached)
			return 1;
		call->stmt = pg_stmt_make(call->c, call->sql, call->len,
					  call->drop);
		if (!call->stmt)
			err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
		at = (call->drop[0] != 0) + !call->bare + 1;
		pg_call_ask(call, &a, send_prepare,
			    1 + (call->lent && !call->bare));
		a.retry = !call->lent;
		a.keep = 1;
		pg_await(L, &a, (lua_KContext)call, k);
	}
	call->asked = 0;
	stmt = call->stmt;
	if (call->reply.lost) {
		pg_call_again(L, call);
		return 0;
	}
	if (call->reply.failed || !call->reply.res[at] ||
	    pg_stmt_described(stmt, call->reply.res[at]) < 0) {
		pg_stmt_drop(stmt);
		if (call->reply.failed)
			pg_call_fail(L, call, &call->reply.error);
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	}
	call->in_tx = !call->lent && !call->bare;
	return 1;
}

/* --- the statement --------------------------------------------------------------------- */
/* Binary when every column can be read so, and one gains by it. */
int pg_format_of(const struct pg_stmt *s)
{
	int i, gain = 0;

	for (i = 0; i < s->columns; i++) {
		int how = pg_type_binary(s->types[s->params + i]);

		if (!how)
			return 0;
		gain |= how == 2;
	}
	return gain;
}

static int send_statement(struct pg_conn *c, struct pg_call *call)
{
	struct pg_params *p = &call->params;

	if (!call->stmt)
		return PQsendQueryParams(c->pg, call->sql, 0, NULL, NULL,
					 NULL, NULL, 0);
	/* what has no name has been replaced meanwhile */
	if (!call->stmt->name[0])
		return PQsendQueryParams(c->pg, call->sql, p->n, p->type,
					 p->value, p->len, p->format,
					 pg_format_of(call->stmt));
	return PQsendQueryPrepared(c->pg, call->stmt->name, p->n, p->value,
				   p->len, p->format, pg_format_of(call->stmt));
}

/* A read in a caller's transaction stands in a savepoint that is read only; what
 * is given to exec is to last. */
static int is_guarded(const struct pg_call *call)
{
	return call->lent && !is_write(call) && call->how == PG_QUERY &&
		!call->unsaved;
}

/* One is assigned if there is none: NOTIFY gets its own in COMMIT only, whose
 * reply may be lost. A standby assigns none. */
static const char *xid_text(struct pg_conn *c)
{
	return PQserverVersion(c->pg) >= 130000 ?
		"select case when not pg_is_in_recovery() then "
		"pg_current_xact_id() end" :
		"select case when not pg_is_in_recovery() then "
		"txid_current() end";
}

/* A transaction's snapshot, before a read makes it read only for a moment: taken
 * then, it would be exempt from the checks of serializable for good. */
#define SNAPSHOT "select"

/* DECLARE and the first FETCH, within a pipeline. */
static int send_cursor(struct pg_conn *c, struct pg_call *call)
{
	struct pg_params *p = &call->params;
	char text[80];

	snprintf(call->cursor, sizeof call->cursor, "opsh_c%llu", ++c->clock);
	buf_clear(&call->query);
	buf_addf(&call->query, "declare %s no scroll cursor for ",
		 call->cursor);
	buf_add(&call->query, call->sql, call->len);
	snprintf(text, sizeof text, "fetch forward %d from %s", PG_FIRST,
		 call->cursor);
	if (!buf_ok(&call->query))
		return 0;
	if (!call->lent &&
	    !PQsendQueryParams(c->pg, "set local cursor_tuple_fraction = 1", 0,
			       NULL, NULL, NULL, NULL, 0))
		return 0;
	return PQsendQueryParams(c->pg, call->query.data, p->n, p->type,
				 p->value, p->len, p->format, 0) &&
		PQsendQueryParams(c->pg, text, 0, NULL, NULL, NULL, NULL,
				  pg_format_of(call->stmt)) &&
		PQpipelineSync(c->pg);
}

/* [BEGIN], the statement, then for a read outside COMMIT, for a write the number
 * of its transaction; a read inside stands in a savepoint that is read only. */
static int send_run(struct pg_conn *c, void *arg)
{
	struct pg_call *call = arg;
	int ok = 1;

	if (call->c->console)
		return PQsendQuery(c->pg, call->sql);
	if (call->how == PG_ROWS_OF)
		return (call->lent || call->in_tx ||
			say(c, begin_text(call))) && send_cursor(c, call);
	if (call->how == PG_END)
		return say(c, xid_text(c)) && PQpipelineSync(c->pg);
	if (call->bare)
		return send_statement(c, call);
	if (is_guarded(call)) {
		ok = (!call->opens || say(c, SNAPSHOT)) &&
			say(c, "savepoint opsh") &&
			say(c, "set transaction read only");
	} else if (!call->lent && !call->in_tx) {
		ok = say(c, begin_text(call));
	}
	ok = ok && send_statement(c, call);
	if (is_write(call) || (call->lent && !is_guarded(call))) {
		if (!call->lent)
			ok = ok && say(c, xid_text(c));
		return ok && PQpipelineSync(c->pg);
	}
	ok = ok && PQpipelineSync(c->pg);
	if (call->lent)
		ok = ok && say(c, "rollback to savepoint opsh") &&
			say(c, "release savepoint opsh");
	else
		ok = ok && say(c, "commit");
	return ok && PQpipelineSync(c->pg);
}

static void ask_run(lua_State *L, struct pg_call *call, lua_KFunction k)
{
	struct pg_ask a;
	int syncs = call->bare ? 0 : is_write(call) ||
		call->how == PG_ROWS_OF ||
		(call->lent && !is_guarded(call)) ? 1 : 2;

	call->opens = is_guarded(call) && !call->tx->begun;
	call->at = call->bare || call->how == PG_END ? 0 :
		is_guarded(call) ? 2 + call->opens :
		!call->lent && !call->in_tx;
	pg_call_ask(call, &a, send_run, syncs);
	if (call->how == PG_ROWS_OF)
		call->at = !call->lent + !(call->lent || call->in_tx) + 1;
	a.row_step = call->c->console || call->how == PG_END ||
		call->how == PG_ROWS_OF ? -1 : call->at;
	a.retry = !call->lent && !is_write(call);
	a.keep = !call->lent;	/* what fails gives its connection back */
	a.writes = call->bare && is_write(call);
	call->effect.sent = a.writes;
	if (call->opens)
		call->tx->begun = 1;
	pg_await(L, &a, (lua_KContext)call, k);
}

/* A statement that was prepared before no longer fits: its table was changed,
 * or a pooler gave us another session. */
static int is_stale(const struct pg_call *call)
{
	const struct err *e = &call->reply.error.e;

	return call->reply.failed && call->cached && call->tries < 2 &&
	       (!strcmp(e->code, "26000") || (!strcmp(e->code, "0A000") &&
		strstr(e->message, "cached plan")));
}

int pg_run(lua_State *L, struct pg_call *call, lua_KFunction k)
{
	const PGresult *xid;

	if ((call->how == PG_END && !is_write(call)) ||
	    call->how == PG_COPY_OF)
		return 1;
	if (call->tx && is_write(call))
		call->tx->wrote = 1;
	if (call->verdict.flags & PG_SQL_SESSION)
		call->c->tainted = 1;
	if (!call->asked) {
		pg_params_read(L, &call->params, call->first, call->params.n,
			       call->stmt ? call->stmt->types : NULL);
		ask_run(L, call, k);
	}
	call->asked = 0;
	if (is_stale(call)) {
		pg_stmt_drop(call->stmt);
		pg_call_again(L, call);
		return 0;
	}
	if (call->reply.failed)
		pg_call_fail(L, call, &call->reply.error);
	if (call->reply.lost) {
		pg_store_release(call->store);
		pg_store_init(call->store, call->max);
		pg_call_again(L, call);
		return 0;
	}
	buf_swap(&call->notices, &call->c->notices);
	call->n_notices = call->c->n_notices;
	call->notices_cut = call->c->notices_cut;
	xid = call->reply.res[call->at + (call->how != PG_END)];
	call->xid[0] = '\0';
	if (is_write(call) && !call->lent && !call->bare && xid &&
	    PQntuples(xid) == 1)
		snprintf(call->xid, sizeof call->xid, "%s",
			 PQgetvalue(xid, 0, 0));
	return 1;
}
