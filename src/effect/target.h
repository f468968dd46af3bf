/*
 * target: a named thing that effects go to. Owns its identity as last read
 * from the target itself, the role asked for, and what guards have passed.
 * Lives in a userdata `opsh.target` (Lua owns it). Knows no binding.
 */
#ifndef OPSH_EFFECT_TARGET_H
#define OPSH_EFFECT_TARGET_H

#include <lua.h>

#include "core/buf.h"
#include "core/err.h"

#define TARGET_HOST "local"		/* the machine itself: name and kind */

struct target {
	char name[64];
	char kind[24];			/* "redis", "postgres", "local" .. */
	char role_wanted[24];		/* "" any; else a write needs it */
	char role[24];			/* as last read; "" unknown */
	char identity[192];		/* as last read; "" never connected */
	char changed_from[224];		/* "" unchanged; else what it was */
	char address[192];		/* host:port or path, for messages */
	double identity_at;		/* loop_now() of the last reading */
	int lost;			/* its open connection was, unasked */
	struct guard_pass *passes;	/* owned: effect/guard.c */
};

/* [-0, +0, v] the target at arg, or raises. */
struct target *target_check(lua_State *L, int arg);

/*
 * What a binding has just read from the target: identity ("run_id=..") and
 * role ("master"). Another identity or role than the one before marks the
 * target as changed: the next write is refused (kind changed, exit 12).
 * Returns 1 when it changed. Records an `identity` line when new.
 */
int target_seen(struct target *t, const char *identity, const char *role);

/* A connection that was open has ended for this reason; what was cancelled or late
 * was ended by us, and is not lost. */
void target_lost(struct target *t, const struct err *why);
/* Called, from the loop, when a target that was lost has answered who it is again:
 * changed != 0: it is not what it was. NULL: nobody is told. */
typedef void target_back_cb(const struct target *t, int changed);
void target_on_back(target_back_cb *cb);

/* `opsh.c.target`: new{name, kind, role}, host(); methods name kind identity
 * role address changed seen at pass passed. [-0, +1, m] */
int luaopen_opsh_c_target(lua_State *L);

#endif
