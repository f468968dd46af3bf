/*
 * task_impl: what op*.c, task*.c and co.c share and nobody else sees: the
 * task's struct, the ready queue, the running state. From the ground up:
 * task.c, op.c, task_cancel.c, task_turn.c, task_park.c, task_spawn.c; the Lua
 * sides (op_lua.c, task_lua.c, co.c) stand on them.
 */
#ifndef OPSH_CORE_TASK_IMPL_H
#define OPSH_CORE_TASK_IMPL_H

#include <signal.h>

#include "core/lx.h"
#include "core/op.h"
#include "core/task.h"

#define TASK_META "opsh.task"
#define TASK_GRACE 0.5		/* seconds for <close> handlers, twice */
#define TASK_MAX_NESTED 60	/* nested loops that still run other tasks */

enum task_state { TASK_NEW, TASK_READY, TASK_RUNNING, TASK_PARKED, TASK_DONE };

struct task {
	lua_State *co;		/* owned by the userdata's user value 1 */
	struct task *parent;	/* borrowed: outlives us */
	struct task *children;	/* alive, or failed and not taken */
	struct task *sibling;	/* next in the parent's list */
	struct task *ready_next;
	struct op *op;		/* what it is parked on */
	struct join *joins;	/* who waits for our end */
	struct op end;		/* waits for the children at our end */
	struct loop_timer *grace;	/* owned: next stage of a cancel */
	double grace_at;	/* loop_now() of the next stage, 0 none */
	struct loop_timer *deadline;	/* owned: of task.timeout */
	double deadline_at;	/* loop_now(), 0 none */
	double timeout;		/* seconds, as given */
	unsigned long epoch;	/* clock of the last cancel raised in it */
	enum task_state state;
	enum cancel_why cancel;
	int stage;		/* 0 not told, 1 told, 2 hard, 3 drop */
	int due;		/* a stage is to be raised */
	int status;		/* LUA_OK or an error, once done */
	int nres;		/* results on co's stack, once done */
	int live_children;
	int nested;		/* nested loops it runs now */
	int label;
	int ended;		/* state is TASK_DONE */
	int queued;		/* in the ready queue */
	int taken;		/* its failure was handed to somebody */
};

/* One who waits for a task's end; taken off the list before the call. */
struct join {
	struct join *next;
	struct task *task;	/* NULL once called or taken off */
	void (*ended)(struct join *join, struct task *task);
	void *arg;
};

/* One of these lies in each lua_State's extra space. */
struct co_extra {
	unsigned char waiting;	/* not 0: nobody may resume it */
};
#define CO_WAITS 1		/* parked inside, or a task's own */
#define CO_ENDED 2		/* a task's own that ended: holds its results */

#define TASK_SENTINEL ((void *)&task_sentinel)
extern char task_sentinel;
extern volatile sig_atomic_t task_attention;	/* look at signals, deadlines */

extern lua_State *volatile task_running;	/* the innermost running state */
/* Counts cancels raised; co.c compares it to find an unwind that began inside
 * a protected call. */
extern unsigned long task_clock;
/* Written by who runs and who makes them (task_turn.c, task_spawn.c). */
extern struct task_now {
	struct task *current, *root;	/* borrowed */
	int live;
} task_now;

/* --- task.c: the ready queue, the tree, who waits for an end ------------- */

struct co_extra *co_extra(lua_State *co);
void task_ready(struct task *task);
int task_any_ready(void);
struct task *task_ready_pop(void);		/* NULL none */
void task_ready_remove(struct task *task);	/* somebody else runs it, or none */

/* [-0, +0, m] Keeps the userdata at idx as long as its task is in the tree; 0:
 * no longer. */
void task_anchor(lua_State *L, struct task *task, int idx);
void task_link(struct task *task, struct task *parent);
void task_unlink(struct task *task);
/* The children of a task that ended: their failures are nobody's now. */
void task_drop_children(lua_State *L, struct task *task);
/* [-0, +1, m] Gives the children of the current task that live to its parent;
 * pushes a list of them. */
int task_release_children(lua_State *L);

void task_join(struct task *task, struct join *join);
void task_unjoin(struct join *join);

/* --- op.c ---------------------------------------------------------------- */

/* A zeroed op of `size` bytes, without a slot; NULL: out of memory. */
struct op *op_alloc(const struct op_class *cls, size_t size);

/* --- task_cancel.c: deadlines, stages, raising --------------------------- */

/* Hands pending signals to the root; ends what is past its time. */
void task_poll(void);
void task_arm_hook(void);	/* on the innermost running state */
void task_set_deadline(struct task *task, double seconds);
/* Time for handlers until the next stage; < 0: none any more. */
void task_set_grace(struct task *task, double seconds);
/* [-0, +1, m] the error object of the task's cancel. */
void task_push_cancel(lua_State *L, const struct task *task);
/* Raises the cancel of the current task; `e` (may be NULL) says more. */
_Noreturn int task_raise_cancel(lua_State *L, struct task *task,
				const struct err *e);
/* Raises the cancel again when a protected call swallowed it: `status` is what
 * the call ended with, its error (if any) on top. */
_Noreturn int task_rethrow(lua_State *L, int failed);
/* Was the current task told to unwind after `since`? */
int task_unwound_since(unsigned long since);
/* Is the value at idx an error that a cancel raised? */
int task_is_cancel(lua_State *L, int idx);
/* [-1, +1, m] the error on top, as a cancelled task ends with it: the cancel,
 * with a handler's own error beside. */
void task_settle_cancel(lua_State *L, const struct task *task);

int task_xpcall(lua_State *L);	/* Lua's, for co.c */

/* --- task_turn.c --------------------------------------------------------- */

/* The one lua_resume: keeps track of the innermost running state, arms the
 * hook when something needs attention. */
int task_resume_state(lua_State *co, lua_State *from, int narg, int *nres);
/* Runs what is ready, then waits for the loop; returns once *until. */
void task_turn(lua_State *L, int run_tasks, const int *until);
/* Runs the loop until op has ended or left the task. */
void task_run_nested(lua_State *L, struct op *op);

/* --- task_park.c, task_spawn.c ------------------------------------------- */

/* Waits for op: yields the sentinel, or runs a nested loop. */
int task_park(lua_State *L, struct op *op);
/* The same with a continuation of one's own, in a task's base function. */
int task_park_k(lua_State *L, struct op *op, lua_KContext ctx,
		lua_KFunction k);
/* [-(nargs+1), +1, m] makes a task of function and arguments; pushes its
 * userdata. */
struct task *task_spawn(lua_State *L, int nargs);

#endif
