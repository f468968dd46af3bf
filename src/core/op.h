/*
 * op: one wait. A binding makes an op, starts the library's call, parks; a
 * library callback copies the result into the op and calls op_done. "Done at
 * once" and "done later" push by the same function (op_class.push).
 *
 *	struct my_op { struct op op; ... };
 *	static int l_conn_get(lua_State *L) {
 *		... check all arguments (may raise) ...
 *		struct my_op *m = (struct my_op *)op_new(L, &my_class, sizeof *m);
 *		... effect_begin (may raise; the op slot on the stack is
 *		    collected, release() runs) ...
 *		... start the library's call ...
 *		op_deadline(&m->op, seconds);
 *		return op_park(L, &m->op);
 *	}
 *
 * Rules: every op ends exactly once. Callbacks touch no lua_State. op_park
 * only as `return op_park(L, op);`. Keep `self` and every borrowed string on
 * the calling frame: op_park leaves the frame's stack as it is.
 */
#ifndef OPSH_CORE_OP_H
#define OPSH_CORE_OP_H

#include <lua.h>

#include "core/err.h"

struct op;
struct task;

enum op_answer {
	OP_NOW,		/* forgotten: the library will not call back */
	OP_DETACH,	/* raise now; op_done comes later and only frees */
	OP_LATER	/* unwinding; op_done will come soon: keep waiting */
};

struct op_class {
	const char *name;
	/* Asked once when the waiting task is cancelled or the op's deadline
	 * passed, on the loop. op->err is prefilled (kind timeout or
	 * cancelled); the class adds phase, target, outcome and message, ends
	 * its effect, and answers. NULL means OP_NOW. */
	enum op_answer (*cancel)(struct op *op);
	/* In the task: pushes the results and returns their number, or raises;
	 * NULL: there are none. Not called when op->err is set: that is raised
	 * instead. */
	int (*push)(lua_State *L, struct op *op);
	/* Frees what the op owns, not the op. Once, when neither Lua nor the
	 * library holds it. Ends an effect still open. */
	void (*release)(struct op *op);
};

struct op {
	const struct op_class *cls;
	struct task *task;		/* borrowed: who waits; NULL before */
	struct op *next;		/* free for the class's own queues */
	struct loop_timer *timer;	/* owned: the deadline's */
	void **slot;			/* borrowed: the userdata that owns us;
					   NULL when Lua let go */
	struct err err;			/* set: raised instead of pushing */
	double timeout;			/* as given, for messages */
	size_t size;			/* of the whole */
	int *wake;			/* borrowed: a nested loop's flag */
	unsigned started : 1;		/* the library holds it */
	unsigned done : 1;		/* op_done was called */
	unsigned asked : 1;		/* cancel was called */
	unsigned detached : 1;		/* Lua let go: op_done frees */
	unsigned parked : 1;		/* a task is parked on it */
	unsigned cancelled : 1;		/* by its task, not by its deadline */
	unsigned needs_tasks : 1;	/* only other tasks can end it */
};

/* [-0, +1, v] Makes a zeroed op of `size` bytes and pushes its slot (collected
 * with the frame: cancels and releases). Raises when the current task was
 * cancelled, and on lack of memory. */
struct op *op_new(lua_State *L, const struct op_class *cls, size_t size);

/* Marks that the library holds the op: from now op_done must come once,
 * unless cancel answers OP_NOW. op_park calls it too. */
void op_start(struct op *op);

/* Ends the op after `seconds` by cancel(). Message: "no answer within Xs". */
void op_deadline(struct op *op, double seconds);

/* [-0, +n, v] Waits; `return op_park(L, op);`. */
int op_park(lua_State *L, struct op *op);

/* From callbacks: the op has ended; set op->err before, for a failure. */
void op_done(struct op *op);

/* op_done with *e copied into op->err. */
void op_fail(struct op *op, const struct err *e);

/* Asks the class to cancel; op->err is set from kind and message. Ends the op
 * now unless the class answers OP_LATER. For task_cancel.c and the deadline. */
void op_cancel(struct op *op, const struct err *why);

/* Releases and frees an op whose wait is over. For task_park.c. */
void op_destroy(struct op *op);

/* The metatable of slots. [-0, +0, m] */
void op_open(lua_State *L);

#endif
