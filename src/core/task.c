/*
 * task: the tasks that there are: who runs, who is ready, whose child each is
 * and who waits for its end. Owns the ready queue and the tree; a task in the
 * tree is anchored in the registry. Must not run, end or cancel one:
 * task_spawn.c makes tasks, task_turn.c runs them, task_cancel.c stops them.
 */
#include "core/task.h"

#include "core/task_impl.h"

char task_sentinel;
volatile sig_atomic_t task_attention;
lua_State *volatile task_running;
unsigned long task_clock;
struct task_now task_now;

static struct task *foreground;	/* borrowed: alive */
static struct task *ready_first;
static struct task **ready_last = &ready_first;
static char anchors_key;	/* registry key: task pointer -> userdata */

struct task *task_current(void)
{
	return task_now.current;
}

struct task *task_root(void)
{
	return task_now.root;
}

void task_set_foreground(struct task *task)
{
	foreground = task && task->state != TASK_DONE ? task : NULL;
}

struct task *task_foreground(void)
{
	return foreground;
}

int task_live(void)
{
	return task_now.live;
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

int task_has_ended(const struct task *task)
{
	return task->ended;
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

int task_any_ready(void)
{
	return ready_first != NULL;
}

struct task *task_ready_pop(void)
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

void task_ready_remove(struct task *task)
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

/* --- the tree ------------------------------------------------------------ */

void task_anchor(lua_State *L, struct task *task, int idx)
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

void task_link(struct task *task, struct task *parent)
{
	task->parent = parent;
	task->sibling = parent->children;
	parent->children = task;
	parent->live_children++;
}

void task_unlink(struct task *task)
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

void task_drop_children(lua_State *L, struct task *task)
{
	while (task->children) {
		struct task *child = task->children;

		task_unlink(child);
		task_anchor(L, child, 0);
	}
}

int task_release_children(lua_State *L)
{
	struct task *self = task_now.current, *to = self->parent, *child, *next;
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
		task_unlink(child);
		self->live_children--;
		task_link(child, to);
	}
	return 1;
}

/* --- who waits for an end ------------------------------------------------ */

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
