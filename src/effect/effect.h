/*
 * effect: the boundary. Every call that leaves the process passes
 * effect_begin and effect_end, and nothing else makes records. effect_begin
 * asks policy (mode), guard, role, identity and lock, writes the intent
 * (fdatasync) for a write, and says whether to send. Knows no binding.
 */
#ifndef OPSH_EFFECT_EFFECT_H
#define OPSH_EFFECT_EFFECT_H

#include <lua.h>

#include "core/err.h"
#include "effect/target.h"

enum effect_class { EFFECT_READ, EFFECT_WRITE, EFFECT_DESTRUCTIVE };

struct effect_call {
	struct target *target;		/* borrowed, outlives the effect */
	enum effect_class cls;
	const char *verb;		/* "UNLINK", "GET", "query" */
	const char *request;		/* normalised, unmasked (masked here) */
	size_t request_len;		/* cut at 4 KiB in the record, marked */
	long long items;		/* elements it holds; 0: not a batch */
	double timeout;			/* seconds */
	int idempotent;			/* carries an idempotency key */
};

struct effect {				/* embed in the op; zero = none */
	struct target *target;		/* borrowed */
	enum effect_class cls;
	long long seq;			/* of its intent or record */
	double began;			/* loop_now() */
	char verb[48];
	char where[96];			/* FILE:LINE of the Lua caller */
	char *request;			/* owned: masked, cut; reads only until
					   the record is written */
	long long items;
	double timeout;
	int label;			/* of the task: its step */
	int open;			/* begun and not ended */
	int sent;			/* set by the binding: bytes left */
};

enum effect_verdict { EFFECT_GO, EFFECT_WITHHELD };

/*
 * [-0, +0, v] Judges the call. Raises kind refused, guard, changed, journal
 * (nothing was sent; the refusal is recorded). Before a write in a run that
 * holds a lock the loop may run: see lock_ready. EFFECT_GO: send, then
 * effect_end exactly once. EFFECT_WITHHELD (plan mode, a write): recorded and
 * ended; `return effect_push_withheld(L, e, opts_arg);`
 */
enum effect_verdict effect_begin(lua_State *L, struct effect *e,
				 const struct effect_call *call);

/* Ends it. Callable from loop callbacks. count: rows, keys, -1 none; bytes of
 * the reply, -1 none; err NULL for done. When the record can't be written the
 * next effect_begin of a write raises kind journal, and the run ends 75. */
void effect_end(struct effect *e, enum outcome outcome, long long count,
		long long bytes, const struct err *err);

/* Ends an effect that is still open: unknown when it is a write that was
 * sent, failed otherwise. For release(). No-op when not open. */
void effect_abandon(struct effect *e);

/* [-0, +1, m] What a withheld write returns: `expect` of the options table at
 * opts_arg (0: none) wrapped as a result, else an unknown value. */
int effect_push_withheld(lua_State *L, const struct effect *e, int opts_arg);

const char *effect_class_name(enum effect_class cls);

/* Called, from the loop, when a window of write mode is over (policy.h). */
void effect_on_window(void (*cb)(void));

/* `opsh.c.effect` for the runner: begin_run, end_run, step labels, notes,
 * mode, records. [-0, +1, m] */
int luaopen_opsh_c_effect(lua_State *L);

#endif
