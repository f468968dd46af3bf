/*
 * op: the life of a wait. Memory is ours; a userdata slot on the waiting frame
 * ties it to Lua, so that an error between making and parking frees it, and a
 * collected coroutine cancels it.
 */
#include "core/op.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "core/loop.h"
#include "core/mem.h"
#include "core/task_impl.h"

#define SLOT_META "opsh.op"

/* --- memory --------------------------------------------------------------- */
#ifdef OPSH_TEST
/* Each op is memory of its own, so that its misuse is found. */
static struct op *take(size_t size)
{
	return mem_zalloc(size);
}

static void give_back(struct op *op)
{
	mem_free(op);
}
#else
#define SIZES 4
#define KEPT 64			/* of a size */

struct spare {
	struct spare *next;
};

/* Ops are large and short-lived: those of a few sizes are kept. */
static struct {
	size_t size;
	struct spare *first;	/* owned */
	int n;
} spares[SIZES];

static struct op *take(size_t size)
{
	struct spare *s;
	int i;

	for (i = 0; i < SIZES; i++) {
		if (spares[i].size != size || !spares[i].first)
			continue;
		s = spares[i].first;
		spares[i].first = s->next;
		spares[i].n--;
		return memset(s, 0, size);
	}
	return mem_zalloc(size);
}

static void give_back(struct op *op)
{
	struct spare *s = (struct spare *)(void *)op;
	size_t size = op->size;
	int i = 0;

	while (i < SIZES && spares[i].size && spares[i].size != size)
		i++;
	if (i == SIZES || spares[i].n == KEPT) {
		mem_free(op);
		return;
	}
	spares[i].size = size;
	spares[i].n++;
	s->next = spares[i].first;
	spares[i].first = s;
}
#endif

/* --- life ------------------------------------------------------------------ */
void op_destroy(struct op *op)
{
	loop_timer_free(op->timer);
	op->timer = NULL;
	if (op->slot)
		*op->slot = NULL;
	if (op->cls->release)
		op->cls->release(op);
	give_back(op);
}

/* __gc, __close of the slot: Lua lets go of the op. Raises nothing. */
static int l_slot_gc(lua_State *L)
{
	struct op **slot = lua_touserdata(L, 1);
	struct op *op = *slot;
	struct err why;

	if (!op)
		return 0;
	*slot = NULL;
	op->slot = NULL;
	op->parked = 0;
	if (op->task && op->task->op == op)
		op->task->op = NULL;
	op->task = NULL;
	if (!op->started || op->done) {
		op_destroy(op);
		return 0;
	}
	op->detached = 1;
	err_set(&why, ERR_CANCELLED, "", "%s", "the wait was dropped");
	if (!op->asked)
		op_cancel(op, &why);
	return 0;
}

void op_open(lua_State *L)
{
	static const luaL_Reg meta[] = {
		{ "__gc", l_slot_gc }, { "__close", l_slot_gc }, { NULL, NULL }
	};

	lx_metatable(L, SLOT_META, NULL, meta);
}

struct op *op_new(lua_State *L, const struct op_class *cls, size_t size)
{
	struct op **slot;
	struct op *op;

	task_check(L);
	slot = lua_newuserdatauv(L, sizeof *slot, 0);
	*slot = NULL;
	luaL_setmetatable(L, SLOT_META);
	op = take(size);
	if (!op) {
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory for '%s'",
			   cls->name);
		return NULL;
	}
	op->cls = cls;
	op->size = size;
	op->slot = (void **)slot;
	*slot = op;
	return op;
}

void op_start(struct op *op)
{
	op->started = 1;
}

void op_done(struct op *op)
{
	if (op->done)
		return;
	op->done = 1;
	loop_timer_free(op->timer);
	op->timer = NULL;
	if (op->detached)
		op_destroy(op);
	else if (op->wake)
		*op->wake = 1, op->wake = NULL;
	else if (op->parked && op->task)
		task_ready(op->task);
}

void op_fail(struct op *op, const struct err *e)
{
	op->err = *e;
	op_done(op);
}

void op_cancel(struct op *op, const struct err *why)
{
	enum op_answer answer = OP_NOW;

	if (op->done || op->asked)
		return;
	op->asked = 1;
	op->err = *why;
	if (op->cls->cancel)
		answer = op->cls->cancel(op);
	if (op->done)			/* ended inside cancel */
		return;
	if (answer == OP_NOW) {
		op->started = 0;
		op_done(op);
		return;
	}
	if (answer == OP_LATER)
		return;
	/* detach: the task goes on, the library still holds the op */
	if (op->slot)
		*op->slot = NULL;
	op->slot = NULL;
	op->detached = 1;
	loop_timer_free(op->timer);
	op->timer = NULL;
	if (op->task)
		task_detach(op->task, op);
}

static void on_deadline(void *arg)
{
	struct op *op = arg;
	struct err e;

	err_set(&e, ERR_TIMEOUT, "", "no answer within %g s", op->timeout);
	e.phase = PHASE_WAIT;
	op_cancel(op, &e);
}

void op_deadline(struct op *op, double seconds)
{
	loop_timer_free(op->timer);
	op->timeout = seconds;
	op->timer = loop_timer_new(seconds, 0, on_deadline, op);
	if (!op->timer) {
		/* no call without a deadline: end it at once */
		struct err e;

		err_set(&e, ERR_LIMIT, "ENOMEM", "out of memory for a timer");
		op_cancel(op, &e);
	}
}

int op_park(lua_State *L, struct op *op)
{
	struct err e;

	if (op->detached) {	/* its deadline found no memory for a timer */
		e = op->err;
		err_raise(L, &e);
	}
	op_start(op);
	return task_park(L, op);
}
