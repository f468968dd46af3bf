/*
 * task_turn: running the tasks: the one lua_resume, a task's steps until it
 * has ended, the turns between what is ready and the loop, and nested ones
 * where Lua can't yield. Owns when a task runs; must not know what it waits
 * for.
 */
#include "core/loop.h"
#include "core/task_impl.h"

#define TURN 0.0005	/* seconds of tasks between two turns of the loop */

static double step_at;		/* when the last step of a task began */
static int nested_depth;

struct task *task_hog(double seconds)
{
	struct task *task = task_now.current;

	if (!task || loop_now() - step_at < seconds)
		return NULL;
	while (task->parent && task->parent != task_now.root)
		task = task->parent;
	return task->parent ? task : NULL;
}

int task_resume_state(lua_State *co, lua_State *from, int narg, int *nres)
{
	lua_State *before = task_running;
	int status;

	task_running = co;
	if (task_attention)
		task_arm_hook();
	status = lua_resume(co, from, narg, nres);
	task_running = before;
	if (task_attention && before)
		task_arm_hook();
	return status;
}

/* --- steps --------------------------------------------------------------- */

static void task_end(lua_State *L, struct task *task, int status, int nres)
{
	struct task *parent = task->parent;
	struct join *join;

	task->state = TASK_DONE;
	task->ended = 1;
	if (task_foreground() == task)
		task_set_foreground(NULL);
	co_extra(task->co)->waiting = CO_ENDED;
	task->status = status;
	task->nres = nres;
	task_now.live--;
	task_set_grace(task, -1);
	task_set_deadline(task, -1);
	task_ready_remove(task);
	if (task->op) {		/* dropped while it waited */
		task->op->parked = 0;
		task->op->task = NULL;
		task->op = NULL;
	}
	task_drop_children(L, task);
	while ((join = task->joins)) {
		task->joins = join->next;
		task->taken = 1;
		join->task = NULL;
		join->ended(join, task);
	}
	if (parent) {
		parent->live_children--;
		if (!parent->live_children && parent->op == &parent->end)
			op_done(&parent->end);
		else if (!parent->live_children && parent->stage >= 3 &&
			 parent->state == TASK_PARKED)
			task_ready(parent);	/* it can be dropped now */
	}
	/* a failure that nobody took yet stays with the parent */
	if (status == LUA_OK || task->taken || !parent) {
		task_unlink(task);
		task_anchor(L, task, 0);
	}
}

static void task_step(lua_State *L, struct task *task)
{
	struct task *before = task_now.current;
	int nargs, status, nres = 0;

	nargs = task->state == TASK_NEW ? lua_gettop(task->co) - 1 : 0;
	if (task->stage >= 3 && task->live_children) {
		task->state = TASK_PARKED;	/* they are dropped first */
		return;
	}
	if (task->stage >= 3) {
		/* dropped: its thread is never run again */
		lua_settop(task->co, 0);
		task_push_cancel(task->co, task);
		task_end(L, task, LUA_ERRRUN, 1);
		return;
	}
	task->state = TASK_RUNNING;
	step_at = loop_now();
	task_now.current = task;
	status = task_resume_state(task->co, task_running, nargs, &nres);
	task_now.current = before;
	if (status == LUA_YIELD) {
		int wait = nres == 1 &&
			lua_touserdata(task->co, -1) == TASK_SENTINEL;

		lua_pop(task->co, nres);
		if (wait) {
			task->state = TASK_PARKED;
			if (!task->op || task->op->done)
				task_ready(task);
			return;
		}
		/* yielded by the hook: it would not unwind */
		task->stage = 3;
		task->state = TASK_READY;
		task_step(L, task);
		return;
	}
	if (status == LUA_OK)
		status = task->status;
	task_end(L, task, status, status == LUA_OK ? nres : 1);
}

/* --- turns --------------------------------------------------------------- */

void task_turn(lua_State *L, int run_tasks, const int *until)
{
	lua_State *before = task_running;
	double began = 0;

	if (task_attention)
		task_poll();
	while (run_tasks && task_any_ready() && !*until) {
		task_step(L, task_ready_pop());
		/* give the loop its turn between many ready tasks: who types
		 * wants to see it */
		if (!began)
			began = step_at;
		else if (step_at - began > TURN)
			break;
	}
	if (*until)
		return;
	task_running = NULL;	/* the hook is for Lua, not for the loop */
	loop_turn(run_tasks ? !task_any_ready() : 1);
	task_running = before;
}

void task_run_nested(lua_State *L, struct op *op)
{
	struct task *self = task_now.current;
	lua_State *before = task_running;
	int run = op->needs_tasks || nested_depth < TASK_MAX_NESTED;
	int woken = 0;

	self->nested++;
	nested_depth++;
	/* whoever sets it clears the pointer before we go on */
	/* cppcheck-suppress autoVariables */
	op->wake = &woken;
	while (!woken)
		task_turn(L, run, &woken);
	nested_depth--;
	self->nested--;
	task_now.current = self;
	task_running = before;
}

void task_run_only(lua_State *L, struct task *task, const int *until)
{
	struct task *self = task_now.current;
	lua_State *before = task_running;

	self->nested++;
	while (!*until && !task->ended && !self->due) {
		if (task_attention)
			task_poll();
		if (task->queued) {
			task_ready_remove(task);
			task_step(L, task);
			continue;
		}
		task_running = NULL;
		loop_turn(1);
		task_running = before;
	}
	self->nested--;
	task_now.current = self;
	task_running = before;
}
