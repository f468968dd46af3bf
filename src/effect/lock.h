/*
 * lock: the lease of the lock that the run holds, and the check that every
 * write passes below all bindings. Owns the lease's end (CLOCK_BOOTTIME), the
 * time at which the store last confirmed the token, and the task that keeps the
 * lease (lua/run/lock.lua: it talks to the store). Knows no store.
 *
 * A write goes out only while the lease runs by our own clock, which began to
 * count before the store's did, and when the store has confirmed the token a
 * short while ago (`bound`): else the keeper reads it again first.
 */
#ifndef OPSH_EFFECT_LOCK_H
#define OPSH_EFFECT_LOCK_H

#include <lua.h>

#include "effect/effect.h"

/* [-0, +0, v] As far as the lock is concerned, may this write go out? 0, or -1
 * and *e (kind refused, code LOCK, exit 11). Has the token read again when that
 * is due: the loop and the keeper run meanwhile, nothing else of the run does.
 * Raises when the task is cancelled. */
int lock_judge(lua_State *L, const struct effect_call *call, struct err *e);

/* The lease again, right before the send: the intent's sync may have taken its
 * time, or we were stopped in it. 0, or -1 and *e; waits for nothing. */
int lock_recheck(const struct effect_call *call, struct err *e);

/* [-0, +0, v] The wait of lock_judge ahead of it, for a binding whose connection
 * must not change between its own checks and effect_begin. */
void lock_ready(lua_State *L);

/* Is it the label of the lock's own calls? Those pass, and count as no write of
 * the run. */
int lock_is_own(int label);
const char *lock_resource(void);	/* "" none is held */

/* `opsh.c.lock`: hold drop state label keeper next confirm lose unreachable
 * claim. [-0, +1, m] */
int luaopen_opsh_c_lock(lua_State *L);

#endif
