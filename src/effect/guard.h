/*
 * guard: which destructive verbs may be sent to a target. A pass is given by
 * the guard dialogue (typed), by --approve, or by a plan; effect_begin asks.
 */
#ifndef OPSH_EFFECT_GUARD_H
#define OPSH_EFFECT_GUARD_H

#include "effect/target.h"

struct guard_pass {
	struct guard_pass *next;	/* owned */
	char verb[48];			/* "" any; else case-insensitive */
	char how[16];			/* "typed", "approve", "plan" */
};

/* 0, or -1 out of memory. */
int guard_add(struct target *t, const char *verb, const char *how);
/* The pass that covers verb, or NULL. */
const struct guard_pass *guard_find(const struct target *t, const char *verb);
void guard_clear(struct target *t);

#endif
