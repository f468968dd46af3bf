/*
 * guard: passes of a target.
 */
#include "effect/guard.h"

#include <stdio.h>
#include <strings.h>

#include "core/mem.h"

int guard_add(struct target *t, const char *verb, const char *how)
{
	struct guard_pass *p = mem_zalloc(sizeof *p);

	if (!p)
		return -1;
	snprintf(p->verb, sizeof p->verb, "%s", verb);
	snprintf(p->how, sizeof p->how, "%s", how);
	p->next = t->passes;
	t->passes = p;
	return 0;
}

const struct guard_pass *guard_find(const struct target *t, const char *verb)
{
	const struct guard_pass *p;

	for (p = t->passes; p; p = p->next)
		if (!*p->verb || !strcasecmp(p->verb, verb))
			return p;
	return NULL;
}

void guard_clear(struct target *t)
{
	struct guard_pass *p;

	while ((p = t->passes)) {
		t->passes = p->next;
		mem_free(p);
	}
}
