/*
 * lock: the lease, the check before each write, and the keeper's wait. What
 * the store says comes from the keeper (lock_lua.c); this file never asks one.
 */
#include "effect/lock.h"

#include <stdio.h>
#include <string.h>

#include "core/exit.h"
#include "core/loop.h"
#include "core/mem.h"
#include "core/op.h"
#include "core/task.h"
#include "effect/lock_impl.h"

#define ANSWER_MAX 5.0		/* seconds that a write waits for the store */

struct lock lock_held;

/* --- steps that have written -------------------------------------------------- */
/* A step that wrote under the confirmed lock may finish when the store can't be
 * reached, as long as the lease runs; no other begins to write. */
static unsigned char *entered;	/* owned: a bit a label */
static size_t n_entered;	/* bytes */

static int has_entered(int label)
{
	size_t at = (size_t)label / 8;

	return label > 0 && at < n_entered &&
		entered[at] & 1 << label % 8;
}

static void enter(int label)
{
	size_t at = (size_t)label / 8;
	unsigned char *more;

	if (label <= 0)
		return;		/* outside of steps each call is one */
	if (at >= n_entered) {
		more = mem_realloc(entered, at + 32);
		if (!more)
			return;	/* it is asked again, no more */
		memset(more + n_entered, 0, at + 32 - n_entered);
		entered = more;
		n_entered = at + 32;
	}
	entered[at] |= (unsigned char)(1 << label % 8);
}

void lock_forget_steps(void)
{
	mem_free(entered);
	entered = NULL;
	n_entered = 0;
}

/* --- what the keeper says ------------------------------------------------------- */
void lock_answered(void)
{
	if (lock_held.over)
		*lock_held.over = 1;
	lock_held.over = NULL;
	lock_held.want = 0;
}

void lock_confirmed(double sent, int renewed)
{
	struct lock *k = &lock_held;
	double margin = k->ttl / 10 < 1 ? k->ttl / 10 : 1;

	if (sent > k->confirmed)
		k->confirmed = sent;
	if (renewed && sent + k->ttl - margin > k->expiry)
		k->expiry = sent + k->ttl - margin;
	k->unreachable = 0;
	/* an answer to what was asked before a stall says nothing of now */
	if (k->confirmed >= k->need)
		lock_answered();
}

void lock_lose(const char *why)
{
	if (lock_held.lost)
		return;
	lock_held.lost = 1;
	snprintf(lock_held.why, sizeof lock_held.why, "%.*s", LOCK_WHY - 1,
		 why);
	lock_answered();
}

void lock_unreachable(const char *why)
{
	if (!lock_held.unreachable)
		lock_held.unreachable = loop_now();
	if (!lock_held.lost)
		snprintf(lock_held.why, sizeof lock_held.why, "%s", why);
	lock_answered();
}

void lock_wake_keeper(void)
{
	if (lock_held.idle)
		op_done(lock_held.idle);
}

/* --- the check -------------------------------------------------------------------- */
static void on_limit(void *arg)
{
	*(int *)arg = 1;
}

/* Lets the keeper ask the store, and waits for it. */
static void ask(lua_State *L, double now)
{
	struct lock *k = &lock_held;
	double left = k->expiry - now;
	struct loop_timer *timer;
	int over = 0;

	if (!k->keeper || task_has_ended(k->keeper)) {
		lock_unreachable("nobody keeps the lease any more");
		return;
	}
	timer = loop_timer_new(left < ANSWER_MAX ? left : ANSWER_MAX, 0,
			       on_limit, &over);
	if (!timer) {
		lock_unreachable("out of memory for a timer");
		return;
	}
	k->need = now - k->bound;
	k->want = 1;
	/* cleared below, before we go on */
	/* cppcheck-suppress autoVariables */
	k->over = &over;
	lock_wake_keeper();
	task_run_only(L, k->keeper, &over);
	loop_timer_free(timer);
	k->want = 0;
	if (k->over && over)
		lock_unreachable("its store gave no answer in time");
	k->over = NULL;
}

/* Has the token read again when that is due: 1 it was confirmed, 0 not. */
static int settle(lua_State *L, int label)
{
	struct lock *k = &lock_held;
	double now = loop_now();

	if (k->lost || now >= k->expiry)
		return 0;
	if (now - k->confirmed <= k->bound)
		return 1;
	if (k->unreachable && has_entered(label))
		return 0;	/* the keeper goes on asking by itself */
	ask(L, now);
	task_check(L);
	return k->confirmed >= now - k->bound;
}

static int is_ours(int label)
{
	return lock_held.held && !lock_is_own(label);
}

void lock_ready(lua_State *L)
{
	int label = task_label(task_current());

	if (is_ours(label))
		settle(L, label);
}

static int refuse(const struct effect_call *call, struct err *e)
{
	e->outcome = OUTCOME_REFUSED;
	e->exit_code = EXIT_BUSY;
	snprintf(e->target, sizeof e->target, "%s", call->target->name);
	snprintf(e->op, sizeof e->op, "%s", call->verb);
	if (!*e->hint)
		snprintf(e->hint, sizeof e->hint, "opsh timeline says what was "
			 "done; opsh locks who holds it now; opsh resume takes "
			 "it again");
	return -1;
}

int lock_recheck(const struct effect_call *call, struct err *e)
{
	struct lock *k = &lock_held;
	double now = loop_now();

	if (!is_ours(task_label(task_current())))
		return 0;
	if (!k->lost && now >= k->expiry) {
		char why[LOCK_WHY + 120];

		snprintf(why, sizeof why, "its lease ran out %.1f s ago and was "
			 "not renewed%s%.*s", now - k->expiry,
			 k->unreachable ? ": " : "",
			 k->unreachable ? LOCK_WHY - 1 : 0, k->why);
		lock_lose(why);
	}
	if (!k->lost)
		return 0;
	err_set(e, ERR_REFUSED, "LOCK", "lock lost: '%s': %s; '%s' on '%s' was "
		"not sent", k->resource, k->why, call->verb,
		call->target->name);
	return refuse(call, e);
}

int lock_judge(lua_State *L, const struct effect_call *call, struct err *e)
{
	struct lock *k = &lock_held;
	int label = task_label(task_current()), fresh;

	if (!is_ours(label))
		return 0;
	fresh = settle(L, label);
	if (lock_recheck(call, e))
		return -1;
	if (fresh) {
		enter(label);
		return 0;
	}
	if (has_entered(label))
		return 0;
	err_set(e, ERR_REFUSED, "LOCK", "lock '%s' can't be confirmed: store "
		"'%s': %s; no new step writes, and '%s' on '%s' was not sent",
		k->resource, k->store, k->why, call->verb, call->target->name);
	snprintf(e->hint, sizeof e->hint, "its lease runs %.0f s more; opsh "
		 "timeline says what was done; opsh resume goes on when the "
		 "store is back", k->expiry - loop_now());
	return refuse(call, e);
}

int lock_is_own(int label)
{
	return lock_held.label && label == lock_held.label;
}

const char *lock_resource(void)
{
	return lock_held.resource;
}
