/*
 * policy: the checks, in the order that says most to the reader.
 */
#include "effect/policy.h"

#include <stdio.h>
#include <string.h>

#include "core/exit.h"
#include "effect/guard.h"

static enum mode mode = MODE_READ;
static const char *const names[] = { "read", "plan", "write" };

const char *effect_class_name(enum effect_class cls)
{
	static const char *const classes[] = { "read", "write", "destructive" };

	return classes[cls];
}

enum mode policy_mode(void)
{
	return mode;
}

void policy_set_mode(enum mode to)
{
	mode = to;
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
	if (mode != MODE_READ)
		return 0;
	err_set(e, ERR_REFUSED, "MODE", "the session is in read mode: '%s' on "
		"'%s' is %s", call->verb, call->target->name,
		call->cls == EFFECT_WRITE ? "a write" : "destructive");
	snprintf(e->hint, sizeof e->hint, "start with --write to allow it");
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
	snprintf(e->hint, sizeof e->hint, "look at the target, then run again: "
		 "a new run takes it as it is");
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

	if (call->cls != EFFECT_DESTRUCTIVE || mode == MODE_PLAN ||
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
	return call->cls == EFFECT_DESTRUCTIVE && mode == MODE_PLAN &&
		!guard_find(call->target, call->verb);
}
