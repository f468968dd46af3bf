/*
 * op_lua: what ties a wait to Lua: a userdata slot on the waiting frame, so
 * that an error between making and parking frees the op, and a collected
 * coroutine cancels it. Must not know how an op ends.
 */
#include <lauxlib.h>

#include "core/task_impl.h"

#define SLOT_META "opsh.op"

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
	op = op_alloc(cls, size);
	if (!op) {
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory for '%s'",
			   cls->name);
		return NULL;
	}
	op->slot = (void **)slot;
	*slot = op;
	return op;
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
