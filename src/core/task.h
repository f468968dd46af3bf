/*
 * task: coroutines on the loop. Owns every task, the ready queue and the one
 * lua_resume. Structured: a task ends after its children; a failing child of
 * all/map/race cancels its siblings. Cancelling is sticky: no pcall keeps it,
 * `<close>` handlers run and may wait for a grace period.
 */
#ifndef OPSH_CORE_TASK_H
#define OPSH_CORE_TASK_H

#include <lua.h>

#include "core/err.h"

enum cancel_why {
	CANCEL_NONE, CANCEL_TIMEOUT, CANCEL_SIBLING, CANCEL_ASKED,
	CANCEL_INT, CANCEL_TERM, CANCEL_HUP, CANCEL_PIPE
};

struct task;

/* The running task; NULL outside of any (start-up, loop callbacks). */
struct task *task_current(void);
/* The root of this call of task_run. */
struct task *task_root(void);
/* The task that the person at the terminal waits for: a second SIGINT ends the
 * grace of its handlers, as it does for the root. NULL: none. A task that ends
 * is it no more. */
void task_set_foreground(struct task *task);
struct task *task_foreground(void);
/* The child of the root that the current task is or belongs to, when it has
 * computed for so long without a wait; NULL else. */
struct task *task_hog(double seconds);
/* A small integer that children inherit: the effect room's step. */
int task_label(const struct task *task);		/* NULL ok: 0 */
void task_set_label(struct task *task, int label);

/* [-(nargs+1), +n, m] Runs function and arguments on top of L's stack as the
 * root task until it and its children ended. Returns LUA_OK with the results
 * pushed (their number in *nres), or an error status with one error object. */
int task_run(lua_State *L, int nargs, int *nres);

/* Cancels a task and its children. From the loop or from a task. */
void task_cancel(struct task *task, enum cancel_why why);
/* From now on SIGINT, SIGTERM and SIGHUP cancel the root. Once. */
void task_heed_signals(void);
/* The strongest reason that the root was cancelled with. */
enum cancel_why task_root_cancelled(void);

/* [-0, +0, v] Raises when the current task is cancelled and not yet told. */
void task_check(lua_State *L);
/* Is the current task being unwound by a cancel? */
int task_unwinding(void);

/* [-(nargs+1), +1, m] Makes a task that is nobody's child: no cancel of the run
 * reaches it, and nobody waits for its end. For the lock's keeper only. */
struct task *task_spawn_apart(lua_State *L, int nargs, int label);
int task_has_ended(const struct task *task);
/* Runs the loop and this one task until *until is set, it has ended or the
 * current task is to be cancelled: a wait in the middle of a C call, in which
 * nothing else of the run goes on. [-0, +0, -] */
void task_run_only(lua_State *L, struct task *task, const int *until);

int task_live(void);		/* tasks alive: tests ask for 1 */

/* pcall, xpcall, try, load, coroutine.* that waits and cancels pass through.
 * [-0, +0, m] */
void task_open_base(lua_State *L);
/* `task`: spawn all map race timeout sleep. [-0, +1, m] */
int luaopen_opsh_c_task(lua_State *L);

#endif
