/*
 * exec_wait: waiting for something of a job: its end, more output, room in its
 * stdin. A wait that owns its job ends it when it is cancelled, and goes on
 * until its programs are gone. Is on the job's list (exec_wake.c) meanwhile.
 */
#include "bind/exec.h"

#include <stdio.h>

#include "core/lx.h"

/* The wait has no more time, the process goes on. */
static void set_late(const struct exec_job *j, struct op *op, int what)
{
	err_set(&op->err, ERR_TIMEOUT, "", what == EXEC_END ? "'%s' has not "
		"ended within %g s, and goes on" : "'%s' has not read its "
		"stdin within %g s, and goes on", j->stages[0].name,
		op->timeout);
	op->err.phase = what == EXEC_END ? PHASE_WAIT : PHASE_SEND;
	snprintf(op->err.target, sizeof op->err.target, "%s", j->target->name);
	snprintf(op->err.op, sizeof op->err.op, "%s", j->verb);
}

static enum op_answer wait_cancel(struct op *op)
{
	struct exec_wait *w = (struct exec_wait *)op;
	struct exec_job *j = w->job;

	if (!j || j->done || !w->owner) {
		if (j && op->err.kind == ERR_TIMEOUT && !op->cancelled)
			set_late(j, op, w->what);
		exec_unlink_wait(w);
		return OP_NOW;
	}
	/* whoever waits for a job that is being ended has no time left */
	exec_kill(j, EXEC_CANCELLED, j->termed);
	return OP_LATER;
}

static void wait_release(struct op *op)
{
	exec_unlink_wait((struct exec_wait *)op);
}

static const struct op_class wait_class = {
	"process", wait_cancel, NULL, wait_release
};

int exec_park(lua_State *L, struct exec_job *j, int what, int owner,
	      double seconds)
{
	struct exec_wait *w = (struct exec_wait *)op_new(L, &wait_class,
							 sizeof *w);

	w->what = what;
	w->owner = owner;
	if (j->done)
		return 0;
	w->job = j;
	w->next = j->waits;
	j->waits = w;
	op_start(&w->op);
	if (seconds >= 0)
		op_deadline(&w->op, seconds);
	return op_park(L, &w->op);
}

struct await {
	struct exec_job *job;
	int what, owner;
	double seconds;
};

/* (await) Parks; the job stays on the caller's frame. */
static int l_await(lua_State *L)
{
	struct await a = *(struct await *)lua_touserdata(L, 1);

	return exec_park(L, a.job, a.what, a.owner, a.seconds);
}

void exec_await(lua_State *L, struct exec_job *j, int what, int owner,
		double seconds, lua_KContext ctx, lua_KFunction k)
{
	struct await a = { j, what, owner, seconds };

	luaL_checkstack(L, 4, NULL);
	lua_pushcfunction(L, l_await);
	lua_pushlightuserdata(L, &a);
	lua_callk(L, 1, 0, ctx, k);
}
