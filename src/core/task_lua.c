/*
 * task_lua: spawn, wait, sleep and groups for Lua. all, map, race and timeout
 * are made from these in lua/opsh/task.lua.
 */
#include <string.h>

#include "core/loop.h"
#include "core/mem.h"
#include "core/task_impl.h"

static struct task *check_task(lua_State *L, int arg)
{
	return luaL_checkudata(L, arg, TASK_META);
}

/* spawn(f, ...) -> task; the spawning task does not end before it. */
static int l_task_spawn(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	task_check(L);
	task_spawn(L, lua_gettop(L) - 1);
	return 1;
}

/* --- sleep --------------------------------------------------------------- */

static void on_slept(void *arg)
{
	op_done(arg);
}

static const struct op_class sleep_class = { .name = "sleep" };

/* sleep(seconds); other tasks go on. */
static int l_task_sleep(lua_State *L)
{
	double seconds;
	struct op *op;

	luaL_checkany(L, 1);
	seconds = lx_optseconds(L, 1, 0);
	op = op_new(L, &sleep_class, sizeof *op);
	op->timer = loop_timer_new(seconds, 0, on_slept, op);
	if (!op->timer)
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory for a timer");
	return op_park(L, op);
}

/* --- waiting for tasks ---------------------------------------------------- */

struct group_op {
	struct op op;
	struct join *joins;	/* owned: n of them */
	struct task **tasks;	/* borrowed: the list is on the frame */
	int n, left;
	int first;		/* first that failed (all) or ended (race) */
	int race;
};

static void group_release(struct op *op)
{
	struct group_op *g = (struct group_op *)op;
	int i;

	for (i = 0; g->joins && i < g->n; i++)
		task_unjoin(&g->joins[i]);
	mem_free(g->joins);
	mem_free(g->tasks);
}

/* Its tasks were told as well: it ends when they have. */
static enum op_answer group_cancel(struct op *op)
{
	struct group_op *g = (struct group_op *)op;
	int i;

	for (i = 0; i < g->n; i++)
		if (g->joins[i].task)
			task_cancel(g->joins[i].task, CANCEL_ASKED);
	return g->left ? OP_LATER : OP_NOW;
}

static void group_ended(struct join *join, struct task *task)
{
	struct group_op *g = join->arg;
	int i;

	g->left--;
	if (g->first < 0 && (g->race || task->status != LUA_OK)) {
		g->first = (int)(join - g->joins);
		for (i = 0; i < g->n; i++)
			if (g->joins[i].task)
				task_cancel(g->joins[i].task, CANCEL_SIBLING);
	}
	if (!g->left)
		op_done(&g->op);
}

/* Raises the failure of the first that failed; all: nothing, race: the index
 * of the first that ended. */
static int group_push(lua_State *L, struct op *op)
{
	struct group_op *g = (struct group_op *)op;

	if (g->first >= 0 && g->tasks[g->first]->status != LUA_OK) {
		lua_State *co = g->tasks[g->first]->co;

		lua_pushvalue(co, -1);
		lua_xmove(co, L, 1);
		return lua_error(L);
	}
	lua_pushinteger(L, g->first + 1);
	return 1;
}

static const struct op_class group_class = {
	.name = "task.wait", .cancel = group_cancel, .push = group_push,
	.release = group_release
};

static void group_add(struct group_op *g, struct task *task)
{
	struct join *join = &g->joins[g->n];

	g->tasks[g->n++] = task;
	g->left++;
	join->arg = g;
	join->ended = group_ended;
	if (task->state != TASK_DONE) {
		task_join(task, join);
		return;
	}
	task->taken = 1;
	join->task = NULL;
	group_ended(join, task);
}

/* join(tasks, race) -> index of the first that ended. Cancels the others once
 * one failed (race: once one ended), waits for all, raises the first failure. */
static int l_task_join(lua_State *L)
{
	struct group_op *g;
	int race = lua_toboolean(L, 2);	/* before the slot takes its place */
	int i, n;

	luaL_checktype(L, 1, LUA_TTABLE);
	n = (int)lua_rawlen(L, 1);
	for (i = 1; i <= n; i++) {
		lua_rawgeti(L, 1, i);
		check_task(L, -1);
		lua_pop(L, 1);
	}
	g = (struct group_op *)op_new(L, &group_class, sizeof *g);
	g->race = race;
	g->first = -1;
	g->op.needs_tasks = 1;
	g->joins = mem_zalloc((size_t)(n + 1) * sizeof *g->joins);
	g->tasks = mem_zalloc((size_t)(n + 1) * sizeof *g->tasks);
	if (!g->joins || !g->tasks)
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory to wait");
	op_start(&g->op);
	for (i = 1; i <= n; i++) {
		lua_rawgeti(L, 1, i);
		group_add(g, lua_touserdata(L, -1));
		lua_pop(L, 1);
	}
	if (!g->left)
		op_done(&g->op);
	return op_park(L, &g->op);
}

struct wait_op {
	struct op op;
	struct join join;
	struct task *task;	/* borrowed: self is on the frame */
};

static void wait_release(struct op *op)
{
	task_unjoin(&((struct wait_op *)op)->join);
}

static int wait_push(lua_State *L, struct op *op)
{
	struct task *task = ((struct wait_op *)op)->task;
	int i, base, n = task->nres;

	luaL_checkstack(L, n, "too many results");
	if (!lua_checkstack(task->co, n))
		return luaL_error(L, "too many results");
	base = lua_gettop(task->co) - n;
	for (i = 1; i <= n; i++)
		lua_pushvalue(task->co, base + i);
	lua_xmove(task->co, L, n);
	if (task->status != LUA_OK)
		return lua_error(L);
	return n;
}

static void wait_ended(struct join *join, struct task *task)
{
	(void)task;
	op_done(join->arg);
}

static const struct op_class wait_class = {
	.name = "task:wait", .push = wait_push, .release = wait_release
};

/* task:wait() -> its results; raises its failure. */
static int l_task_wait(lua_State *L)
{
	struct task *task = check_task(L, 1), *up;
	struct wait_op *w;

	for (up = task_current(); up; up = up->parent)
		if (up == task)
			return luaL_error(L, "a task can't wait for itself or "
					  "for the task that spawned it");
	/* it waits in a nested loop below ours, which ends only after ours */
	if (task->nested && !lua_isyieldable(L))
		return luaL_error(L, "this would wait for ever: both tasks wait "
				  "where Lua can't yield (in table.sort, gsub, "
				  "require ...)");
	w = (struct wait_op *)op_new(L, &wait_class, sizeof *w);
	w->task = task;
	w->join.arg = &w->op;
	w->join.ended = wait_ended;
	w->op.needs_tasks = 1;
	task->taken = 1;
	if (task->state == TASK_DONE)
		op_done(&w->op);
	else
		task_join(task, &w->join);
	return op_park(L, &w->op);
}

/* task:cancel(): tells it and its children to stop; does not wait. */
static int l_task_cancel(lua_State *L)
{
	task_cancel(check_task(L, 1), CANCEL_ASKED);
	return 0;
}

/* task:deadline(seconds): cancels it, kind timeout, after so long. */
static int l_task_deadline(lua_State *L)
{
	struct task *task = check_task(L, 1);

	luaL_checkany(L, 2);
	if (task->state != TASK_DONE)
		task_set_deadline(task, lx_optseconds(L, 2, 0));
	return 0;
}

/* task:status() -> "running" | "done" | "failed" */
static int l_task_status(lua_State *L)
{
	struct task *task = check_task(L, 1);

	lua_pushstring(L, task->state != TASK_DONE ? "running"
		       : task->status == LUA_OK ? "done" : "failed");
	return 1;
}

/* now() -> seconds of a clock that never goes back (CLOCK_BOOTTIME) */
static int l_task_now(lua_State *L)
{
	lua_pushnumber(L, loop_now());
	return 1;
}

/* live() -> tasks alive, the running one included */
static int l_task_live(lua_State *L)
{
	lua_pushinteger(L, task_live());
	return 1;
}

/* label([n]) -> the label of the current task, set when given. Children
 * inherit it. */
static int l_task_label(lua_State *L)
{
	struct task *task = task_current();

	lua_pushinteger(L, task_label(task));
	if (task && !lua_isnoneornil(L, 1))
		task_set_label(task, (int)luaL_checkinteger(L, 1));
	return 1;
}

/* foreground([task]): Ctrl-C is for it; nil: for none. */
static int l_task_foreground(lua_State *L)
{
	task_set_foreground(lua_isnoneornil(L, 1) ? NULL : check_task(L, 1));
	return 0;
}

/* release() -> the tasks that the current one has spawned and that still run:
 * they are its parent's from now on. */
static int l_task_release(lua_State *L)
{
	task_check(L);
	return task_release_children(L);
}

int luaopen_opsh_c_task(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "wait", l_task_wait }, { "cancel", l_task_cancel },
		{ "deadline", l_task_deadline }, { "status", l_task_status },
		{ NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "spawn", l_task_spawn }, { "sleep", l_task_sleep },
		{ "join", l_task_join }, { "now", l_task_now },
		{ "live", l_task_live }, { "label", l_task_label },
		{ "foreground", l_task_foreground },
		{ "release", l_task_release },
		{ NULL, NULL }
	};

	lx_metatable(L, TASK_META, methods, NULL);
	luaL_newlib(L, funcs);
	return 1;
}
