/*
 * policy: the checks, in the order that says most to the reader.
 */
#include "effect/policy.h"

#include <stdio.h>
#include <string.h>

#include "core/exit.h"
#include "core/loop.h"
#include "effect/guard.h"

static enum mode mode = MODE_READ;
static enum mode mode_before;		/* the window's end brings it back */
static struct loop_timer *window;	/* owned; NULL: none is open */
static double window_end;		/* loop_now() */
static void (*window_over)(void);
static int in_session;
static const char *const names[] = { "read", "plan", "write" };

const char *effect_class_name(enum effect_class cls)
{
	static const char *const classes[] = { "read", "write", "destructive" };

	return classes[cls];
}

static void close_window(void)
{
	loop_timer_free(window);
	window = NULL;
	mode = mode_before;
}

static void on_window_over(void *arg)
{
	(void)arg;
	close_window();
	if (window_over)
		window_over();
}

int policy_open_window(double seconds, void (*over)(void))
{
	enum mode now = window ? mode_before : mode;
	struct loop_timer *t = loop_timer_new(seconds, 0, on_window_over, NULL);

	if (!t)
		return -1;
	loop_timer_free(window);
	window = t;
	window_end = loop_now() + seconds;
	window_over = over;
	mode_before = now;
	mode = MODE_WRITE;
	return 0;
}

double policy_window_left(void)
{
	double left = window_end - loop_now();

	return window && left > 0 ? left : 0;
}

enum mode policy_mode(void)
{
	/* a busy loop keeps the timer from firing */
	if (window && loop_now() >= window_end)
		return mode_before;
	return mode;
}

void policy_set_mode(enum mode to)
{
	if (window)
		close_window();
	mode = to;
}

void policy_set_session(int on)
{
	in_session = on;
}

int policy_in_session(void)
{
	return in_session;
}

const char *policy_mode_name(enum mode m)
{
	return names[m];
}

int policy_find_mode(const char *name)
{
	int i;

	for (i = 0; i < 3; i++)
		if (!strcmp(names[i], name))
			return i;
	return -1;
}

static int refuse(struct err *e, const struct effect_call *call)
{
	e->outcome = OUTCOME_REFUSED;
	snprintf(e->target, sizeof e->target, "%s", call->target->name);
	snprintf(e->op, sizeof e->op, "%s", call->verb);
	return -1;
}

static int check_mode(const struct effect_call *call, struct err *e)
{
	if (policy_mode() != MODE_READ)
		return 0;
	err_set(e, ERR_REFUSED, "MODE", "the session is in read mode: '%s' on "
		"'%s' is %s", call->verb, call->target->name,
		call->cls == EFFECT_WRITE ? "a write" : "destructive");
	snprintf(e->hint, sizeof e->hint, "%s", in_session ?
		 ":write 10m REASON allows it for ten minutes" :
		 "start with --write to allow it");
	return refuse(e, call);
}

static int check_identity(const struct effect_call *call, struct err *e)
{
	const struct target *t = call->target;

	if (!*t->changed_from)
		return 0;
	err_set(e, ERR_CHANGED, "", "'%s' is not what it was: was %s, is %s "
		"role=%s; '%s' was not sent", t->name, t->changed_from,
		t->identity, *t->role ? t->role : "?", call->verb);
	if (in_session)
		snprintf(e->hint, sizeof e->hint, "look at the target; "
			 ":connect %s takes it as it is", t->name);
	else
		snprintf(e->hint, sizeof e->hint, "look at the target, then "
			 "run again: a new run takes it as it is");
	return refuse(e, call);
}

static int check_role(const struct effect_call *call, struct err *e)
{
	const struct target *t = call->target;

	if (!*t->role_wanted || !*t->role || !strcmp(t->role_wanted, t->role))
		return 0;
	err_set(e, ERR_REFUSED, "ROLE", "'%s' is a %s, its targets entry wants "
		"a %s: '%s' was not sent", t->name, t->role, t->role_wanted,
		call->verb);
	return refuse(e, call);
}

static int check_guard(const struct effect_call *call, struct err *e)
{
	const char *name = call->target->name;

	if (call->cls != EFFECT_DESTRUCTIVE || policy_mode() == MODE_PLAN ||
	    guard_find(call->target, call->verb))
		return 0;
	err_set(e, ERR_GUARD, "", "'%s' on '%s' is destructive and no guard "
		"was passed for it", call->verb, name);
	snprintf(e->hint, sizeof e->hint, "call guard(%s, {verb = \"%s\", ...}) "
		 "before it, or approve it with --approve %s",
		 strcmp(name, TARGET_HOST) ? name : "sh", call->verb, name);
	return refuse(e, call);
}

int policy_judge(const struct effect_call *call, struct err *e)
{
	if (call->cls == EFFECT_READ)
		return 0;
	if (check_mode(call, e) || check_identity(call, e) ||
	    check_role(call, e) || check_guard(call, e))
		return -1;
	return 0;
}

int policy_needs_approval(const struct effect_call *call)
{
	return call->cls == EFFECT_DESTRUCTIVE && policy_mode() == MODE_PLAN &&
		!guard_find(call->target, call->verb);
}
