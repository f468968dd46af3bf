/*
 * task_park: how a task waits for an op and goes on after it: by a yield that
 * passes every coroutine, or by a nested loop where Lua can't yield. Owns no
 * state of its own; must not run a task.
 */
#include "core/task_impl.h"

/* Raises what a wait of the current task ended with. */
static _Noreturn int raise_wait(lua_State *L, const struct err *why,
				int cancelled)
{
	struct err e = *why;	/* why may be freed memory's copy */

	if (cancelled && task_current()->due)
		task_raise_cancel(L, task_current(), &e);
	err_raise(L, &e);
}

/* The wait is over: raises its error, or pushes its results. */
static int finish(lua_State *L, struct op *op)
{
	int n;

	op->parked = 0;
	op->wake = NULL;
	op->task = NULL;	/* push may raise: the slot outlives the task */
	if (task_current()->op == op)
		task_current()->op = NULL;
	if (op->err.kind != ERR_NONE) {
		struct err e = op->err;
		int cancelled = op->cancelled;

		op_destroy(op);
		raise_wait(L, &e, cancelled);
	}
	if (task_current()->due) {
		op_destroy(op);
		task_raise_cancel(L, task_current(), NULL);
	}
	n = op->cls->push ? op->cls->push(L, op) : 0;
	op_destroy(op);
	return n;
}

/* After the yield or the nested loop; op may have left the task meanwhile. */
static int finish_wait(lua_State *L, struct op *op)
{
	if (task_current()->op == op)
		return finish(L, op);
	raise_wait(L, &task_current()->end.err, task_current()->end.cancelled);
}

static int finish_k(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	return finish_wait(L, (struct op *)ctx);
}

static void attach(struct op *op)
{
	struct task *task = task_current();

	op->task = task;
	op->parked = 1;
	task->op = op;
}

int task_park_k(lua_State *L, struct op *op, lua_KContext ctx,
		lua_KFunction k)
{
	attach(op);
	lua_pushlightuserdata(L, TASK_SENTINEL);
	return lua_yieldk(L, 1, ctx, k);
}

int task_park(lua_State *L, struct op *op)
{
	if (op->done)
		return finish(L, op);
	if (lua_isyieldable(L))
		return task_park_k(L, op, (lua_KContext)op, finish_k);
	attach(op);
	task_run_nested(L, op);
	return finish_wait(L, op);
}
