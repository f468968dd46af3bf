/*
 * task_spawn: making a task, and what it does from its first step until its
 * children have ended: the body, what that failed with, what they did. The
 * root is made here too. Must not say when it runs (task_turn.c).
 */
#include <string.h>

#include "core/task_impl.h"

/* --- the body and its end ------------------------------------------------ */

/* Asked on the parent that waits for its children: they were told already. */
static enum op_answer end_cancel(struct op *op)
{
	(void)op;
	return OP_LATER;
}

static const struct op_class end_class = { .name = "children",
					   .cancel = end_cancel };

/* Stopped on purpose, and nothing else went wrong in it. */
static int ended_as_asked(struct task *task)
{
	lua_State *co = task->co;
	int clean;

	if (task->cancel != CANCEL_ASKED || !task_is_cancel(co, -1))
		return 0;
	clean = lua_getfield(co, -1, "suppressed") == LUA_TNIL;
	lua_pop(co, 1);
	return clean;
}

/* A child's failure that nobody took: [-0, +1 or +0, m]. */
static int take_child_failure(lua_State *L, struct task *task)
{
	struct task *child, *next;
	int found = 0;

	for (child = task->children; child; child = next) {
		next = child->sibling;
		if (child->state != TASK_DONE)
			continue;
		if (!found && child->status != LUA_OK && !child->taken &&
		    !ended_as_asked(child)) {
			lua_pushvalue(child->co, -1);
			lua_xmove(child->co, L, 1);
			found = 1;
		}
	}
	return found;
}

/* After the children: settles what the task ends with. Stack: msgh, results or
 * an error. */
static int task_settle(lua_State *L, int status, lua_KContext ctx)
{
	struct task *task = (struct task *)ctx;

	(void)status;
	task->op = NULL;
	if (task->status == LUA_OK && task->cancel) {
		/* swallowed, or came with the last result: it counts */
		lua_settop(L, 1);
		task_push_cancel(L, task);
		task->status = LUA_ERRRUN;
	} else if (task->status == LUA_OK && take_child_failure(L, task)) {
		lua_insert(L, 2);	/* there may be no result at 2 */
		lua_settop(L, 2);
		task->status = LUA_ERRRUN;
	}
	return lua_gettop(L) - 1;
}

static int task_body_done(lua_State *L, int status, lua_KContext ctx)
{
	struct task *task = (struct task *)ctx;

	task->status = status == LUA_YIELD ? LUA_OK : status;
	if (task->status != LUA_OK) {
		struct task *child;

		lua_insert(L, 2);	/* drop what the unwinding left */
		lua_settop(L, 2);
		err_wrap(L, task->status);
		if (task_attention)
			task_poll();	/* what a signal made fail */
		if (task->cancel && (task->stage || task->due))
			task_settle_cancel(L, task);
		for (child = task->children; child; child = child->sibling)
			task_cancel(child, CANCEL_SIBLING);
	}
	if (!task->live_children)
		return task_settle(L, LUA_OK, ctx);
	memset(&task->end, 0, sizeof task->end);
	task->end.cls = &end_class;
	task->end.started = 1;
	task->end.needs_tasks = 1;
	return task_park_k(L, &task->end, ctx, task_settle);
}

/* The base function of every task. Stack: function, arguments. */
static int task_main(lua_State *L)
{
	struct task *task = task_now.current;
	int nargs = lua_gettop(L) - 1;

	lua_pushcfunction(L, err_msgh);
	lua_insert(L, 1);
	/* cancelled before it began; one whose own time was too short for that
	 * begins, and ends with its first wait */
	if (task->cancel && !task->stage &&
	    !(task->cancel == CANCEL_TIMEOUT && task->deadline_at)) {
		lua_settop(L, 1);
		task_push_cancel(L, task);
		task->stage = 1;
		return task_body_done(L, LUA_ERRRUN, (lua_KContext)task);
	}
	return task_body_done(L, lua_pcallk(L, nargs, LUA_MULTRET, 1,
					    (lua_KContext)task,
					    task_body_done),
			      (lua_KContext)task);
}

/* --- making -------------------------------------------------------------- */

static struct task *spawn(lua_State *L, int nargs, struct task *parent)
{
	struct task *task;
	int base = lua_gettop(L) - nargs;	/* the function */

	luaL_checkstack(L, 4, "task");
	task = lua_newuserdatauv(L, sizeof *task, 1);
	memset(task, 0, sizeof *task);
	task->state = TASK_DONE;
	luaL_setmetatable(L, TASK_META);
	task->co = lua_newthread(L);
	co_extra(task->co)->waiting = CO_WAITS;	/* the loop's alone */
	lua_setiuservalue(L, -2, 1);
	if (!lua_checkstack(task->co, nargs + 4))
		err_raisef(L, ERR_LIMIT, "", "too many arguments for a task");
	lua_insert(L, base);			/* -- task f args */
	task_anchor(L, task, base);			/* the last that may raise */
	lua_pushcfunction(task->co, task_main);
	lua_xmove(L, task->co, nargs + 1);	/* -- task */
	task->state = TASK_NEW;
	if (parent) {
		task->label = parent->label;
		task_link(task, parent);
	}
	task_now.live++;
	task_ready(task);
	return task;
}

struct task *task_spawn(lua_State *L, int nargs)
{
	return spawn(L, nargs, task_now.current);
}

struct task *task_spawn_apart(lua_State *L, int nargs, int label)
{
	struct task *task = spawn(L, nargs, NULL);

	task->label = label;
	return task;
}

int task_run(lua_State *L, int nargs, int *nres)
{
	struct task *before_root = task_now.root, *before = task_now.current;
	struct task *task;
	int status;

	task_now.current = NULL;
	task = task_spawn(L, nargs);	/* -- task */
	task_now.root = task;
	while (!task->ended)
		task_turn(L, 1, &task->ended);
	task_now.root = before_root;
	task_now.current = before;
	status = task->status;
	*nres = status == LUA_OK ? task->nres : 1;
	if (!lua_checkstack(L, *nres))
		err_raisef(L, ERR_LIMIT, "", "too many results");
	lua_xmove(task->co, L, *nres);
	lua_remove(L, -*nres - 1);	/* the task's userdata */
	return status;
}
