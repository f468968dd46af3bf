/*
 * task_cancel: how a task is stopped. Three stages, TASK_GRACE apart: told (an
 * error unwinds it, `<close>` may wait), hard (what the handlers wait for is
 * cancelled too), dropped (its thread is never resumed). Owns who asks for it:
 * signals, deadlines, graces that are over; and xpcall, whose frames a cancel
 * must find. Must not run a task.
 */
#include <string.h>

#include "core/loop.h"
#include "core/sig.h"
#include "core/task_impl.h"

#define XPCALL_HANDLER 2	/* its place in xpcall's frame */

static enum cancel_why root_why;

static void hook(lua_State *L, lua_Debug *ar);

enum cancel_why task_root_cancelled(void)
{
	return root_why;
}

static void cancel_err(const struct task *task, struct err *e)
{
	static const struct {
		const char *code, *text;
	} what[] = {
		[CANCEL_NONE] = { "", "cancelled" },
		[CANCEL_SIBLING] = { "", "cancelled: another task failed or "
				     "ended first" },
		[CANCEL_ASKED] = { "", "cancelled" },
		[CANCEL_INT] = { "SIGINT", "interrupted (Ctrl-C)" },
		[CANCEL_TERM] = { "SIGTERM", "terminated (SIGTERM)" },
		[CANCEL_HUP] = { "SIGHUP", "terminal closed (SIGHUP)" },
		[CANCEL_PIPE] = { "SIGPIPE", "output closed (SIGPIPE)" },
	};

	if (task->cancel == CANCEL_TIMEOUT)
		err_set(e, ERR_TIMEOUT, "", "deadline of %g s passed",
			task->timeout);
	else
		err_set(e, ERR_CANCELLED, what[task->cancel].code, "%s",
			what[task->cancel].text);
}

static void push_marked(lua_State *L, const struct err *e)
{
	err_push(L, e);
	lua_pushboolean(L, 1);
	lua_setfield(L, -2, "cancel");
}

void task_push_cancel(lua_State *L, const struct task *task)
{
	struct err e;

	cancel_err(task, &e);
	push_marked(L, &e);
}

/* --- the stages, from outside -------------------------------------------- */

/* Also from signal handlers. */
void task_arm_hook(void)
{
	lua_State *L = task_running;

	if (L)
		lua_sethook(L, hook,
			    LUA_MASKCOUNT | LUA_MASKCALL | LUA_MASKRET, 1);
}

static void attend(void)
{
	task_attention = 1;
	task_arm_hook();
}

/* Makes the due stage reach the task, whatever it does now. */
static void deliver(struct task *task)
{
	struct op *op = task->op;

	if (op && (task->state == TASK_PARKED || op->wake)) {
		struct err e;

		cancel_err(task, &e);
		op->cancelled = 1;
		op_cancel(op, &e);
	} else if (task->state == TASK_RUNNING) {
		attend();
	}
}

/* The next stage, when the time is over. */
static void grace_over(struct task *task)
{
	struct task *child;

	task_set_grace(task, -1);
	task->due = 1;
	if (task->stage >= 2)
		task->stage = 3;
	/* those that a handler spawned were not told yet */
	for (child = task->children; child; child = child->sibling)
		task_cancel(child, CANCEL_SIBLING);
	if (task->stage >= 3 && task->state == TASK_PARKED)
		task_ready(task);
	else
		deliver(task);
}

static void on_grace(void *arg)
{
	grace_over(arg);
}

void task_set_grace(struct task *task, double seconds)
{
	if (task->grace_at)
		sig_tick(0);
	loop_timer_free(task->grace);
	task->grace = NULL;
	task->grace_at = 0;
	if (seconds < 0)
		return;
	task->grace_at = loop_now() + seconds;
	sig_tick(1);	/* a busy handler keeps the timer from firing */
	task->grace = loop_timer_new(seconds, 0, on_grace, task);
}

/* The second Ctrl-C: no grace for what unwinds already. */
static void hurry(struct task *task)
{
	struct task *child;

	if (task->stage == 1 && !task->due) {
		task->due = 1;
		deliver(task);
	}
	for (child = task->children; child; child = child->sibling)
		hurry(child);
}

void task_cancel(struct task *task, enum cancel_why why)
{
	struct task *child;

	if (task->state == TASK_DONE)
		return;
	if ((task == task_root() || task == task_foreground()) &&
	    why >= CANCEL_INT && why < CANCEL_PIPE && task->stage)
		hurry(task);
	if (task == task_root() && why > root_why)
		root_why = why;
	if (why > task->cancel)
		task->cancel = why;
	for (child = task->children; child; child = child->sibling)
		task_cancel(child, why == CANCEL_TIMEOUT ? CANCEL_SIBLING
							 : why);
	if (task->stage || task->due)
		return;
	task->due = 1;
	deliver(task);
}

static void on_deadline(void *arg)
{
	task_cancel(arg, CANCEL_TIMEOUT);
}

void task_set_deadline(struct task *task, double seconds)
{
	if (task->deadline_at)
		sig_tick(0);
	loop_timer_free(task->deadline);
	task->deadline = NULL;
	task->deadline_at = 0;
	if (seconds < 0)
		return;
	task->timeout = seconds;
	task->deadline_at = loop_now() + seconds;
	sig_tick(1);
	task->deadline = loop_timer_new(seconds, 0, on_deadline, task);
}

static enum cancel_why why_of(int sig)
{
	switch (sig) {
	case SIGTERM:
		return CANCEL_TERM;
	case SIGHUP:
		return CANCEL_HUP;
	default:
		return CANCEL_INT;
	}
}

void task_poll(void)
{
	struct task *task = task_current();
	int sig;

	task_attention = 0;
	sig = sig_take();
	if (sig && task_root())
		task_cancel(task_root(), why_of(sig));
	sig_tell();
	/* a busy loop keeps the loop's timers from firing */
	for (; task; task = task->parent) {
		if (task->deadline_at && loop_now() >= task->deadline_at)
			task_cancel(task, CANCEL_TIMEOUT);
		if (task->grace_at && loop_now() >= task->grace_at)
			grace_over(task);
	}
}

void task_heed_signals(void)
{
	sig_init(attend);
	loop_on_wake(task_poll);
}

/* --- raising, in the task ------------------------------------------------ */

/* A cancel is not shown to the handlers of xpcall: what is raised from a hook
 * would run them where no hook fires, so that one that loops could never be
 * stopped. Their calls can't go on anyway. */
static void silence_handlers(lua_State *L)
{
	lua_Debug ar;
	int level;

	luaL_checkstack(L, 4, "cancel");
	for (level = 0; lua_getstack(L, level, &ar); level++) {
		lua_getinfo(L, "f", &ar);
		if (lua_tocfunction(L, -1) == task_xpcall) {
			lua_pushcfunction(L, err_msgh);
			lua_setlocal(L, &ar, XPCALL_HANDLER);
		}
		lua_pop(L, 1);
	}
}

int task_raise_cancel(lua_State *L, struct task *task, const struct err *e)
{
	struct err own;

	task->due = 0;
	if (task->stage < 2)
		task->stage++;
	task->epoch = ++task_clock;
	task_set_grace(task, TASK_GRACE);
	if (!e) {
		cancel_err(task, &own);
		e = &own;
	}
	silence_handlers(L);
	push_marked(L, e);
	lua_error(L);
	__builtin_unreachable();
}

int task_is_cancel(lua_State *L, int idx)
{
	int yes;

	if (!err_is(L, idx))
		return 0;
	yes = lua_getfield(L, idx, "cancel") == LUA_TBOOLEAN;
	lua_pop(L, 1);
	return yes;
}

void task_settle_cancel(lua_State *L, const struct task *task)
{
	if (task_is_cancel(L, -1))
		return;
	/* a handler's own error: recorded, not in the first's place */
	task_push_cancel(L, task);
	lua_insert(L, -2);
	lua_setfield(L, -2, "suppressed");
}

int task_rethrow(lua_State *L, int failed)
{
	if (failed)
		task_settle_cancel(L, task_current());
	else
		task_push_cancel(L, task_current());
	silence_handlers(L);
	lua_error(L);
	__builtin_unreachable();
}

int task_unwound_since(unsigned long since)
{
	struct task *task = task_current();

	return task && task->epoch > since;
}

static int xpcall_k(lua_State *L, int status, lua_KContext since)
{
	/* what the handler made of the cancel is no error of its own */
	if (task_unwound_since((unsigned long)since))
		task_rethrow(L, 0);
	if (status != LUA_OK && status != LUA_YIELD) {
		lua_pushboolean(L, 0);
		lua_pushvalue(L, -2);
		return 2;
	}
	return lua_gettop(L) - 2;
}

/* xpcall(f, msgh, ...) -> true, results | false, msgh's result */
int task_xpcall(lua_State *L)
{
	lua_KContext since = (lua_KContext)task_clock;
	int n = lua_gettop(L);

	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_pushboolean(L, 1);
	lua_pushvalue(L, 1);
	lua_rotate(L, 3, 2);		/* f msgh true f args */
	return xpcall_k(L, lua_pcallk(L, n - 2, LUA_MULTRET, XPCALL_HANDLER,
				      since, xpcall_k), since);
}

void task_check(lua_State *L)
{
	struct task *task = task_current();

	if (!task)
		luaL_error(L, "nothing can be waited for outside of a task");
	if (task_attention)
		task_poll();
	if (task->due)
		task_raise_cancel(L, task, NULL);
	if (task->stage >= 2) {
		/* past the grace: handlers may not wait any more */
		task_push_cancel(L, task);
		lua_error(L);
	}
}

int task_unwinding(void)
{
	struct task *task = task_current();

	return task && task->stage > 0;
}

static void hook(lua_State *L, lua_Debug *ar)
{
	struct task *task = task_current();

	/* first: it must not fire inside the message handler */
	lua_sethook(L, NULL, 0, 0);
	if (task_attention)
		task_poll();
	lua_sethook(L, NULL, 0, 0);
	if (!task)
		return;
	if (task->stage >= 3 && lua_isyieldable(L)) {
		task_attention = 1;	/* for the coroutine around */
		if (ar->event == LUA_HOOKCOUNT)
			lua_yield(L, 0);
		else
			lua_sethook(L, hook, LUA_MASKCOUNT, 1);
		return;
	}
	if (task->stage >= 3) {
		/* it must unwind to where it can be dropped: no more grace */
		task_attention = 1;
		lua_sethook(L, hook, LUA_MASKCOUNT, 1);
	}
	if (task->due || task->stage >= 3)
		task_raise_cancel(L, task, NULL);
}
