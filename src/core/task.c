/*
 * task: the scheduler. Owns the ready queue, the tree of tasks and the one
 * lua_resume; a task's Lua side (spawn, wait) is in task_lua.c, cancelling in
 * task_cancel.c, coroutines in co.c.
 */
#include "core/task.h"

#include <stdio.h>
#include <string.h>

#include "core/loop.h"
#include "core/sig.h"
#include "core/task_impl.h"

char task_sentinel;
volatile sig_atomic_t task_attention;
lua_State *volatile task_running;
unsigned long task_clock;

#define TURN 0.0005	/* seconds of tasks between two turns of the loop */

static struct task *current;
static struct task *root;
static struct task *foreground;	/* borrowed: alive */
static double step_at;		/* when the last step of a task began */
static struct task *ready_first;
static struct task **ready_last = &ready_first;
static int live;
static int nested_depth;
static char anchors_key;	/* registry key: task pointer -> userdata */

struct task *task_current(void)
{
	return current;
}

struct task *task_root(void)
{
	return root;
}

void task_set_foreground(struct task *task)
{
	foreground = task && task->state != TASK_DONE ? task : NULL;
}

struct task *task_foreground(void)
{
	return foreground;
}

struct task *task_hog(double seconds)
{
	struct task *task = current;

	if (!task || loop_now() - step_at < seconds)
		return NULL;
	while (task->parent && task->parent != root)
		task = task->parent;
	return task->parent ? task : NULL;
}

int task_live(void)
{
	return live;
}

int task_label(const struct task *task)
{
	return task ? task->label : 0;
}

void task_set_label(struct task *task, int label)
{
	task->label = label;
}

struct co_extra *co_extra(lua_State *co)
{
	return lua_getextraspace(co);
}

/* --- the ready queue --------------------------------------------------- */

void task_ready(struct task *task)
{
	if (task->queued || task->state == TASK_DONE)
		return;
	if (task->state == TASK_PARKED)
		task->state = TASK_READY;
	task->queued = 1;
	task->ready_next = NULL;
	*ready_last = task;
	ready_last = &task->ready_next;
}

static struct task *ready_pop(void)
{
	struct task *task = ready_first;

	if (!task)
		return NULL;
	ready_first = task->ready_next;
	if (!ready_first)
		ready_last = &ready_first;
	task->queued = 0;
	return task;
}

/* Takes a task out of the queue: its root is gone. */
static void ready_remove(struct task *task)
{
	struct task **at = &ready_first;

	if (!task->queued)
		return;
	while (*at && *at != task)
		at = &(*at)->ready_next;
	if (*at)
		*at = task->ready_next;
	for (ready_last = &ready_first; *ready_last;)
		ready_last = &(*ready_last)->ready_next;
	task->queued = 0;
}

int task_resume_state(lua_State *co, lua_State *from, int narg, int *nres)
{
	lua_State *before = task_running;
	int status;

	task_running = co;
	if (task_attention)
		sig_arm_hook();
	status = lua_resume(co, from, narg, nres);
	task_running = before;
	if (task_attention && before)
		sig_arm_hook();
	return status;
}

/* --- making and ending ------------------------------------------------- */

static void anchor(lua_State *L, struct task *task, int idx)
{
	idx = idx ? lua_absindex(L, idx) : 0;
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &anchors_key) != LUA_TTABLE) {
		lua_pop(L, 1);
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &anchors_key);
	}
	if (idx)
		lua_pushvalue(L, idx);
	else
		lua_pushnil(L);
	lua_rawsetp(L, -2, task);
	lua_pop(L, 1);
}

static void unlink_child(struct task *task)
{
	struct task **at;

	if (!task->parent)
		return;
	for (at = &task->parent->children; *at; at = &(*at)->sibling) {
		if (*at == task) {
			*at = task->sibling;
			break;
		}
	}
	task->parent = NULL;
}

/* The children of a task that ended: their failures are nobody's now. */
static void drop_children(lua_State *L, struct task *task)
{
	while (task->children) {
		struct task *child = task->children;

		unlink_child(child);
		anchor(L, child, 0);
	}
}

static void task_end(lua_State *L, struct task *task, int status, int nres)
{
	struct task *parent = task->parent;
	struct join *join;

	task->state = TASK_DONE;
	task->ended = 1;
	if (foreground == task)
		foreground = NULL;
	co_extra(task->co)->waiting = CO_ENDED;
	task->status = status;
	task->nres = nres;
	live--;
	task_set_grace(task, -1);
	task_set_deadline(task, -1);
	ready_remove(task);
	if (task->op) {		/* dropped while it waited */
		task->op->parked = 0;
		task->op->task = NULL;
		task->op = NULL;
	}
	drop_children(L, task);
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
		unlink_child(task);
		anchor(L, task, 0);
	}
}

void task_join(struct task *task, struct join *join)
{
	join->task = task;
	join->next = task->joins;
	task->joins = join;
}

void task_unjoin(struct join *join)
{
	struct join **at;

	if (!join->task)
		return;
	for (at = &join->task->joins; *at; at = &(*at)->next) {
		if (*at == join) {
			*at = join->next;
			break;
		}
	}
	join->task = NULL;
}

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
			sig_poll();	/* what a signal made fail */
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
	struct task *task = current;
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
	anchor(L, task, base);			/* the last that may raise */
	lua_pushcfunction(task->co, task_main);
	lua_xmove(L, task->co, nargs + 1);	/* -- task */
	task->state = TASK_NEW;
	if (parent) {
		task->parent = parent;
		task->sibling = parent->children;
		task->label = parent->label;
		parent->children = task;
		parent->live_children++;
	}
	live++;
	task_ready(task);
	return task;
}

int task_release_children(lua_State *L)
{
	struct task *self = current, *to = self->parent, *child, *next;
	int n = 0;

	luaL_checkstack(L, 3, "release");
	lua_newtable(L);
	for (child = self->children; to && child; child = next) {
		next = child->sibling;
		if (child->state == TASK_DONE)
			continue;
		lua_rawgetp(L, LUA_REGISTRYINDEX, &anchors_key);
		lua_rawgetp(L, -1, child);
		lua_rawseti(L, -3, ++n);
		lua_pop(L, 1);
		unlink_child(child);
		self->live_children--;
		child->parent = to;
		child->sibling = to->children;
		to->children = child;
		to->live_children++;
	}
	return 1;
}

struct task *task_spawn(lua_State *L, int nargs)
{
	return spawn(L, nargs, current);
}

struct task *task_spawn_apart(lua_State *L, int nargs, int label)
{
	struct task *task = spawn(L, nargs, NULL);

	task->label = label;
	return task;
}

int task_has_ended(const struct task *task)
{
	return task->ended;
}

/* --- running ----------------------------------------------------------- */

static void task_step(lua_State *L, struct task *task)
{
	struct task *before = current;
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
	current = task;
	status = task_resume_state(task->co, task_running, nargs, &nres);
	current = before;
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

/* Runs what is ready, then waits for the loop; returns once *until. */
static void turn(lua_State *L, int run_tasks, const int *until)
{
	lua_State *before = task_running;
	double began = 0;

	if (task_attention)
		sig_poll();
	while (run_tasks && ready_first && !*until) {
		task_step(L, ready_pop());
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
	loop_turn(run_tasks ? !ready_first : 1);
	task_running = before;
}

void task_run_nested(lua_State *L, struct op *op)
{
	struct task *self = current;
	lua_State *before = task_running;
	int run = op->needs_tasks || nested_depth < TASK_MAX_NESTED;
	int woken = 0;

	self->nested++;
	nested_depth++;
	/* whoever sets it clears the pointer before we go on */
	/* cppcheck-suppress autoVariables */
	op->wake = &woken;
	while (!woken)
		turn(L, run, &woken);
	nested_depth--;
	self->nested--;
	current = self;
	task_running = before;
}

void task_run_only(lua_State *L, struct task *task, const int *until)
{
	struct task *self = current;
	lua_State *before = task_running;

	self->nested++;
	while (!*until && !task->ended && !self->due) {
		if (task_attention)
			sig_poll();
		if (task->queued) {
			ready_remove(task);
			task_step(L, task);
			continue;
		}
		task_running = NULL;
		loop_turn(1);
		task_running = before;
	}
	self->nested--;
	current = self;
	task_running = before;
}

int task_run(lua_State *L, int nargs, int *nres)
{
	struct task *before_root = root, *before = current;
	struct task *task;
	int status;

	current = NULL;
	task = task_spawn(L, nargs);	/* -- task */
	root = task;
	while (!task->ended)
		turn(L, 1, &task->ended);
	root = before_root;
	current = before;
	status = task->status;
	*nres = status == LUA_OK ? task->nres : 1;
	if (!lua_checkstack(L, *nres))
		err_raisef(L, ERR_LIMIT, "", "too many results");
	lua_xmove(task->co, L, *nres);
	lua_remove(L, -*nres - 1);	/* the task's userdata */
	return status;
}
