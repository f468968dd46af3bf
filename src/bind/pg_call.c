/*
 * pg_call: what a call holds and how it ends: made, its exchanges, begun anew,
 * failed, its connection given back. What happens in between is pg_stage.c's.
 * Sends nothing itself.
 */
#include "bind/pg.h"

#include <stdio.h>
#include <string.h>

#define MAX_TRIES 3

/* --- its life ----------------------------------------------------------------- */
void pg_call_give_back(struct pg_call *call)
{
	struct pg_conn *c = call->c;

	call->c = NULL;
	call->stmt = NULL;
	if (c && !call->lent)
		pg_unlease(c);
}

static void call_release(struct op *op)
{
	struct pg_call *call = (struct pg_call *)op;

	pg_reply_clear(&call->reply);
	PQclear(call->result);
	pg_call_give_back(call);
	effect_abandon(&call->effect);
	pg_sql_free(&call->verdict);
	pg_params_release(&call->params);
	buf_release(&call->query);
	buf_release(&call->notices);
}

static const struct op_class call_class = {
	"postgres statement", NULL, NULL, call_release
};

void pg_call_fail(lua_State *L, struct pg_call *call, struct pg_error *e)
{
	struct pg_error copy = *e;

	if (copy.e.outcome == OUTCOME_NONE)
		copy.e.outcome = OUTCOME_FAILED;
	snprintf(copy.e.target, sizeof copy.e.target, "%s",
		 call->pc->target->name);
	snprintf(copy.e.op, sizeof copy.e.op, "%s", call->verb);
	effect_end(&call->effect, copy.e.outcome, -1, -1, &copy.e);
	pg_call_give_back(call);
	pg_error_raise(L, &copy, call->sql, call->len);
}

struct pg_call *pg_call_make(lua_State *L, struct pg_client *pc,
			     enum pg_how how)
{
	struct pg_call *call = (struct pg_call *)op_new(L, &call_class,
							sizeof *call);

	/* an error that passes by (a cancel) gives the connection back now, not
	 * when the collector comes */
	lua_toclose(L, -1);
	buf_init(&call->query);
	buf_init(&call->notices);
	buf_init(&call->params.data);
	call->pc = pc;
	call->how = how;
	call->timeout = pc->o.timeout;
	call->max = pc->o.max;
	return call;
}

/* --- its exchanges ------------------------------------------------------------ */
void pg_call_ask(struct pg_call *call, struct pg_ask *a,
		 int (*send)(struct pg_conn *, void *), int syncs)
{
	memset(a, 0, sizeof *a);
	a->c = call->c;
	a->reply = &call->reply;
	a->effect = call->effect.open ? &call->effect : NULL;
	a->send = send;
	a->arg = call;
	a->syncs = syncs;
	a->row_step = -1;
	a->until = call->until;
	a->timeout = call->timeout;
	a->verb = call->verb;
	a->sql = call->sql;
	a->len = call->len;
	call->asked = 1;
}

/* The connection was lost before anything of the call was sent: another one,
 * some times. */
void pg_call_again(lua_State *L, struct pg_call *call)
{
	struct pg_error e = call->reply.error;

	if (call->lent || ++call->tries >= MAX_TRIES) {
		e.e.outcome = OUTCOME_FAILED;
		pg_call_fail(L, call, &e);
	}
	pg_call_give_back(call);
	call->in_tx = 0;
	call->asked = 0;
	call->stage = PG_S_LEASE;
}
