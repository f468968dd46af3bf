/*
 * effect: begin and end of every call that leaves the process.
 */
#include "effect/effect.h"

#include <stdio.h>
#include <string.h>

#include "core/exit.h"
#include "core/loop.h"
#include "core/lx.h"
#include "core/mem.h"
#include "core/task.h"
#include "effect/journal.h"
#include "effect/lock.h"
#include "effect/policy.h"
#include "effect/record.h"

static _Noreturn void refuse(lua_State *L, const struct effect *f,
			     const struct effect_call *call,
			     const struct err *e)
{
	record_refused(call, f->where, e);
	err_raise(L, e);
}

/* The journal could not take the intent, or lost an outcome before. */
static _Noreturn void no_journal(lua_State *L, const struct effect_call *call,
				 struct err *e)
{
	e->outcome = OUTCOME_REFUSED;
	e->exit_code = record_lost() || (journal_dead() && record_writes())
		? EXIT_UNRECORDED : EXIT_JOURNAL;
	snprintf(e->target, sizeof e->target, "%s", call->target->name);
	snprintf(e->op, sizeof e->op, "%s", call->verb);
	err_raise(L, e);
}

/* Keeps of a read what its record needs at the end. */
static void keep_request(lua_State *L, struct effect *f,
			 const struct effect_call *call)
{
	size_t len = call->request_len;

	/* the record cuts; a little more keeps a secret at the cut whole */
	if (len > 2 * RECORD_REQUEST_MAX)
		len = 2 * RECORD_REQUEST_MAX;
	f->request = mem_memdup(call->request, len);
	if (!f->request)
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
}

enum effect_verdict effect_begin(lua_State *L, struct effect *f,
				 const struct effect_call *call)
{
	struct err e;

	memset(f, 0, sizeof *f);
	f->target = call->target;
	f->cls = call->cls;
	f->items = call->items;
	f->timeout = call->timeout;
	f->label = task_label(task_current());
	snprintf(f->verb, sizeof f->verb, "%s", call->verb);
	lx_where(L, 1, f->where, sizeof f->where);
	if (policy_judge(call, &e))
		refuse(L, f, call, &e);
	/* it may wait for the store: what was judged is judged again then */
	if (call->cls != EFFECT_READ && policy_mode() == MODE_WRITE &&
	    (lock_judge(L, call, &e) || policy_judge(call, &e)))
		refuse(L, f, call, &e);
	if (call->cls == EFFECT_READ) {
		keep_request(L, f, call);
		f->began = loop_now();
		f->open = 1;
		return EFFECT_GO;
	}
	if (policy_mode() == MODE_PLAN) {
		f->seq = record_call("withheld", call, f->where,
				     policy_needs_approval(call), &e);
		if (f->seq < 0)
			no_journal(L, call, &e);
		return EFFECT_WITHHELD;
	}
	f->seq = record_call("intent", call, f->where, 0, &e);
	if (f->seq < 0)
		no_journal(L, call, &e);
	f->began = loop_now();
	f->open = 1;
	if (lock_recheck(call, &e)) {
		effect_end(f, OUTCOME_REFUSED, -1, -1, &e);
		err_raise(L, &e);
	}
	return EFFECT_GO;
}

void effect_end(struct effect *f, enum outcome outcome, long long count,
		long long bytes, const struct err *err)
{
	if (!f->open)
		return;
	f->open = 0;
	record_outcome(f, outcome, count, bytes, err);
	mem_free(f->request);
	f->request = NULL;
}

void effect_abandon(struct effect *f)
{
	struct err e;

	if (!f->open)
		return;
	err_set(&e, ERR_CANCELLED, "", "the call was given up");
	effect_end(f, f->sent && f->cls != EFFECT_READ ? OUTCOME_UNKNOWN
						       : OUTCOME_FAILED,
		   -1, -1, &e);
}
