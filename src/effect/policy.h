/*
 * policy: may this call be made? One place for mode, identity, role, guard.
 * The mode belongs to the session.
 */
#ifndef OPSH_EFFECT_POLICY_H
#define OPSH_EFFECT_POLICY_H

#include "effect/effect.h"

enum mode { MODE_READ, MODE_PLAN, MODE_WRITE };

enum mode policy_mode(void);
void policy_set_mode(enum mode mode);
const char *policy_mode_name(enum mode mode);
int policy_find_mode(const char *name);		/* -1 unknown */
/* Write mode for so many seconds, then what it was before; `over` is called then,
 * from the loop. Setting a mode ends it. 0, or -1: out of memory. */
int policy_open_window(double seconds, void (*over)(void));
double policy_window_left(void);		/* seconds; 0: none is open */
/* A person types: hints name commands of the REPL, not the command line. */
void policy_set_session(int on);
int policy_in_session(void);

/* 0: may go on. -1: refused, *e says why and what would help. */
int policy_judge(const struct effect_call *call, struct err *e);
/* Does a write in plan mode still need an approval that run would ask? */
int policy_needs_approval(const struct effect_call *call);

#endif
