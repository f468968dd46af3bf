/*
 * op: the life of a wait: how it ends, is cancelled, passes its deadline. Owns
 * the memory. What ties it to Lua is op_lua.c's; must not touch a lua_State.
 */
#include "core/op.h"

#include <string.h>

#include "core/loop.h"
#include "core/mem.h"
#include "core/task_impl.h"

/* --- memory -------------------------------------------------------------- */
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

/* --- life ---------------------------------------------------------------- */
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

struct op *op_alloc(const struct op_class *cls, size_t size)
{
	struct op *op = take(size);

	if (!op)
		return NULL;
	op->cls = cls;
	op->size = size;
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

/* The task is resumed with op's error; the library still holds the op. */
static void detach(struct op *op)
{
	struct task *task = op->task;

	if (op->slot)
		*op->slot = NULL;
	op->slot = NULL;
	op->detached = 1;
	loop_timer_free(op->timer);
	op->timer = NULL;
	if (!task || task->op != op)
		return;
	/* `end` is unused while the body runs: it keeps the error */
	task->op = NULL;
	task->end.err = op->err;
	task->end.cancelled = op->cancelled;
	op->task = NULL;
	op->parked = 0;
	if (op->wake)
		*op->wake = 1;
	else
		task_ready(task);
	op->wake = NULL;
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
	if (answer == OP_DETACH)
		detach(op);
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
