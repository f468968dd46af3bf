/*
 * lock_lua: the lock as its keeper (lua/run/lock.lua) sees it, module
 * opsh.c.lock: taking the lease over, the keeper's task and its wait, reports of
 * the store, and the one step of a store of files that only one process can do.
 * Private; playbooks can't require it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/lx.h"
#include "core/op.h"
#include "core/task.h"
#include "effect/lock.h"
#include "effect/lock_impl.h"
#include "effect/record.h"

#define TTL_MIN 0.5

static const char keeper_key;		/* registry: the keeper's task */

/* --- the keeper's wait ---------------------------------------------------------- */
struct next_op {
	struct op op;
	double due;
};

static void next_release(struct op *op)
{
	if (lock_held.idle == op)
		lock_held.idle = NULL;
}

static int next_push(lua_State *L, struct op *op)
{
	struct next_op *n = (struct next_op *)op;
	double late = loop_now() - n->due;

	lua_pushstring(L, lock_held.want ? "check"
		       : !lock_held.held ? "stop" : "tick");
	lua_pushnumber(L, late > 0 ? late : 0);
	return 2;
}

static const struct op_class next_class = {
	.name = "lock.next", .push = next_push, .release = next_release
};

static void on_next(void *arg)
{
	op_done(arg);
}

/* next(seconds) -> "tick" | "check" | "stop", seconds past the due time: waits
 * so long, or until a write wants the token read again, or the lock is let go. */
static int l_next(lua_State *L)
{
	double seconds;
	struct next_op *n;

	luaL_checkany(L, 1);
	seconds = lx_optseconds(L, 1, 0);
	n = (struct next_op *)op_new(L, &next_class, sizeof *n);
	n->due = loop_now() + seconds;
	if (lock_held.want || !lock_held.held) {
		op_done(&n->op);
		return op_park(L, &n->op);
	}
	n->op.timer = loop_timer_new(seconds, 0, on_next, &n->op);
	if (!n->op.timer)
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory for a timer");
	lock_held.idle = &n->op;
	return op_park(L, &n->op);
}

/* keeper(f) -> task: runs f as the lock's own task, nobody's child. */
static int l_keeper(lua_State *L)
{
	struct task *task;

	luaL_checktype(L, 1, LUA_TFUNCTION);
	luaL_argcheck(L, lock_held.held && lock_held.label, 1, "no lock is held");
	lua_settop(L, 1);
	lua_pushnil(L);		/* the key is there before it matters */
	lua_rawsetp(L, LUA_REGISTRYINDEX, &keeper_key);
	task = task_spawn_apart(L, 0, lock_held.label);
	lua_pushvalue(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &keeper_key);
	lock_held.keeper = task;
	return 1;
}

/* --- the lease -------------------------------------------------------------------- */
static double check_number(lua_State *L, const char *name, double min)
{
	double v;

	if (lua_getfield(L, 1, name) != LUA_TNUMBER)
		luaL_error(L, "field '%s' of a lock must be a number", name);
	v = lua_tonumber(L, -1);
	lua_pop(L, 1);
	if (!(v >= min && v < 1e15))
		luaL_error(L, "field '%s' of a lock is out of range", name);
	return v;
}

static void check_text(lua_State *L, const char *name, char *out, size_t size)
{
	size_t len;
	const char *s;

	if (lua_getfield(L, 1, name) != LUA_TSTRING)
		luaL_error(L, "field '%s' of a lock must be a string", name);
	s = lua_tolstring(L, -1, &len);
	if (len >= size || strlen(s) != len)
		luaL_error(L, "field '%s' of a lock must be text of at most %d "
			   "bytes", name, (int)size - 1);
	snprintf(out, size, "%s", s);
	lua_pop(L, 1);
}

/* hold{resource, store, token, ttl, sent}: the run holds it; sent: task.now() of
 * the request that took it. Raises when it holds one already. */
static int l_hold(lua_State *L)
{
	struct lock k = { .held = 1, .label = lock_held.label,
			  .idle = lock_held.idle };
	double sent;

	luaL_checktype(L, 1, LUA_TTABLE);
	if (lock_held.held)
		return luaL_error(L, "the run holds lock '%s' already",
				  lock_held.resource);
	check_text(L, "resource", k.resource, sizeof k.resource);
	check_text(L, "store", k.store, sizeof k.store);
	k.token = (long long)check_number(L, "token", 1);
	k.ttl = check_number(L, "ttl", TTL_MIN);
	sent = check_number(L, "sent", 0);
	k.bound = k.ttl / 3 < 1 ? k.ttl / 3 : 1;
	lock_held = k;
	lock_confirmed(sent, 1);
	return 0;
}

/* drop(): the run holds none any more; the keeper ends. */
static int l_drop(lua_State *L)
{
	lock_held.held = 0;
	lock_held.resource[0] = '\0';
	lock_answered();
	lock_wake_keeper();
	lock_forget_steps();
	lock_held.keeper = NULL;
	lua_pushnil(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &keeper_key);
	return 0;
}

/* label() -> label for task.label: whose calls are the lock's own */
static int l_label(lua_State *L)
{
	if (!lock_held.label) {
		int label = record_step_add("lock");

		if (label < 0)
			return err_raisef(L, ERR_LIMIT, "ENOMEM",
					  "out of memory");
		lock_held.label = label;
	}
	lua_pushinteger(L, lock_held.label);
	return 1;
}

/* confirm(sent [, renewed]): the store said yes to what was asked then. */
static int l_confirm(lua_State *L)
{
	double sent = luaL_checknumber(L, 1);

	if (lock_held.held)
		lock_confirmed(sent, lua_toboolean(L, 2));
	return 0;
}

/* lose(why): the store holds another token, or none. */
static int l_lose(lua_State *L)
{
	lock_lose(lx_checkcstr(L, 1));
	return 0;
}

/* unreachable(why): the store gave no answer. */
static int l_unreachable(lua_State *L)
{
	lock_unreachable(lx_checkcstr(L, 1));
	return 0;
}

/* state() -> {resource, store, token, ttl, left, age, lost, unreachable} or nil
 * when none is held; lost and unreachable: why. */
static int l_state(lua_State *L)
{
	const struct lock *k = &lock_held;

	if (!k->held) {
		lua_pushnil(L);
		return 1;
	}
	lua_createtable(L, 0, 8);
	lua_pushstring(L, k->resource);
	lua_setfield(L, -2, "resource");
	lua_pushstring(L, k->store);
	lua_setfield(L, -2, "store");
	lua_pushinteger(L, (lua_Integer)k->token);
	lua_setfield(L, -2, "token");
	lua_pushnumber(L, k->ttl);
	lua_setfield(L, -2, "ttl");
	lua_pushnumber(L, k->expiry - loop_now());
	lua_setfield(L, -2, "left");
	lua_pushnumber(L, loop_now() - k->confirmed);
	lua_setfield(L, -2, "age");
	if (k->lost || k->unreachable > 0) {
		lua_pushstring(L, k->why);
		lua_setfield(L, -2, k->lost ? "lost" : "unreachable");
	}
	return 1;
}

/* --- files that are a store ----------------------------------------------------------- */
/* claim(from, to) -> is it ours? Gives the file `from` the name `to` as well, unless
 * that one is taken: link(2), which one process does and no other. Raises kind
 * io. */
static int l_claim(lua_State *L)
{
	const char *from = lx_checkcstr(L, 1), *to = lx_checkcstr(L, 2);
	int failed = link(from, to), saved = errno;

	if (failed && saved != EEXIST)
		err_raisef(L, ERR_IO, "", "cannot make '%s': %s", to,
			   strerror(saved));
	lua_pushboolean(L, !failed);
	return 1;
}

int luaopen_opsh_c_lock(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "hold", l_hold }, { "drop", l_drop }, { "state", l_state },
		{ "label", l_label }, { "keeper", l_keeper },
		{ "next", l_next }, { "confirm", l_confirm },
		{ "lose", l_lose }, { "unreachable", l_unreachable },
		{ "claim", l_claim }, { NULL, NULL }
	};

	luaL_newlib(L, funcs);
	return 1;
}
