/*
 * exec: module opsh.c.exec: programs by argv, without a shell. run waits for
 * their end; start gives a process. Every call passes the boundary before
 * anything is opened or started. Owns no process: jobs do (exec_job.c).
 */
#include "bind/exec.h"

#include <stdio.h>
#include <string.h>

#include "core/lx.h"

#define JOB 4		/* stack index of the job in run and start */

static int l_job_gc(lua_State *L)
{
	exec_release(exec_check(L, 1));
	return 0;
}

/* __close(job, error): a job that is left behind by an error is ended, and
 * waited for. */
static int l_job_close(lua_State *L)
{
	struct exec_job *j = exec_check(L, 1);

	if (j->done)
		return 0;
	exec_kill(j, lua_isnoneornil(L, 2) ? EXEC_CLOSED : EXEC_CANCELLED, 0);
	return exec_park(L, j, EXEC_END, 1, -1);
}

/* Asks the boundary; 1: go on. [-0, +0 or +1, v] */
static int begin(lua_State *L, struct exec_job *j)
{
	struct effect_call call = {
		.target = j->target, .cls = j->cls, .verb = j->verb,
		.request = j->text.data, .request_len = j->text.len,
		.timeout = j->timeout
	};

	if (effect_begin(L, &j->effect, &call) == EFFECT_WITHHELD) {
		effect_push_withheld(L, &j->effect, 3);
		return 0;
	}
	return 1;
}

/* Environment and request are not needed any more. */
static void forget(struct exec_job *j)
{
	exec_wipe(&j->env);
	buf_release(&j->text);
}

/* --- live output and fed input: the parts of run that call Lua -------------- */
/* Bytes that can be shown now: whole lines, all of it at the end. */
static size_t to_show(const struct exec_job *j, const struct exec_out *o)
{
	const char *from = o->data.data + o->shown, *nl;
	size_t n = o->data.len - o->shown;

	if (j->done || o->fd < 0)
		return n;
	nl = n ? memrchr(from, '\n', n) : NULL;
	return nl ? (size_t)(nl - from) + 1 : 0;
}

/* Pushes term.write, 2 and the text of one output that has lines; 0 none. */
static int push_shown(lua_State *L, struct exec_job *j)
{
	int i;

	for (i = 0; j->live && i < 2; i++) {
		struct exec_out *o = &j->out[i];
		size_t n = to_show(j, o);

		if (!n)
			continue;
		luaL_checkstack(L, 6, NULL);
		luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
		lua_getfield(L, -1, "opsh.c.term");
		lua_getfield(L, -1, "write");
		lua_replace(L, -3);
		lua_pop(L, 1);			/* -- write */
		lua_pushinteger(L, 2);
		lua_pushlstring(L, o->data.data + o->shown, n);
		o->shown += n;
		if (o->data.data[o->shown - 1] != '\n') {
			lua_pushliteral(L, "\n");	/* it ends without */
			lua_concat(L, 2);
		}
		return 1;
	}
	return 0;
}

/* Is it the function's turn? */
static int wants_food(const struct exec_job *j)
{
	return !j->done && j->in.fd >= 0 && !j->in.ends &&
	       j->in.off >= j->in.data.len;
}

/* With what the function gave on top. [-1, +0, v] */
static void fed(lua_State *L, struct exec_job *j)
{
	const char *s = "";
	size_t len = 0;
	int ends = lua_isnil(L, -1);

	if (!ends && lua_type(L, -1) != LUA_TSTRING)
		err_raisef(L, ERR_USAGE, "", "the function of option 'stdin' "
			   "must return a string or nil, not a %s",
			   luaL_typename(L, -1));
	if (!ends)
		s = lua_tolstring(L, -1, &len);
	if (exec_feed(j, s, len, ends))
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	lua_pop(L, 1);
}

/* ctx: stack index of the function that feeds stdin (0 none), times two; one
 * more when its result is on top. */
static int run_k(lua_State *L, int status, lua_KContext ctx)
{
	struct exec_job *j = exec_check(L, JOB);
	int feed = (int)(ctx >> 1);
	int what = EXEC_END | (j->live ? EXEC_STDOUT | EXEC_STDERR : 0) |
		(feed ? EXEC_ROOM : 0);

	(void)status;
	if (ctx & 1)
		fed(L, j);
	ctx = (lua_KContext)feed * 2;
	for (;;) {
		if (push_shown(L, j)) {
			lua_callk(L, 2, 0, ctx, run_k);
		} else if (feed && wants_food(j)) {
			luaL_checkstack(L, 4, NULL);
			lua_pushvalue(L, feed);
			lua_callk(L, 0, 1, ctx + 1, run_k);
			fed(L, j);
		} else if (!j->done) {
			exec_await(L, j, what, 1, -1, ctx, run_k);
		} else {
			break;
		}
	}
	return exec_push_end(L, j);
}

/* --- the module --------------------------------------------------------------- */
/* run(target, commands, opts) -> {status | signal, stdout, stderr, seconds,
 * statuses}, a result object unless it is a read; raises kind server when a
 * status is not accepted, timeout, limit, io, refused. */
static int l_run(lua_State *L)
{
	struct exec_plan plan;
	struct exec_job *j;

	lua_settop(L, 3);
	j = exec_new(L);
	exec_read(L, j, &plan, 0);
	if (j->live) {
		lua_getglobal(L, "require");
		lua_pushliteral(L, "opsh.c.term");
		lua_call(L, 1, 0);
	}
	if (!begin(L, j))
		return 1;
	exec_start(L, j, &plan);
	forget(j);
	lua_toclose(L, JOB);
	return run_k(L, LUA_OK, (lua_KContext)plan.feed * 2);
}

/* start(target, argv, opts) -> process; raises as run does when it can't be
 * started */
static int l_start(lua_State *L)
{
	struct exec_plan plan;
	struct exec_job *j;

	lua_settop(L, 3);
	luaL_checktype(L, 2, LUA_TTABLE);
	lua_createtable(L, 1, 0);	/* one stage */
	lua_pushvalue(L, 2);
	lua_rawseti(L, -2, 1);
	lua_replace(L, 2);
	j = exec_new(L);
	exec_read(L, j, &plan, 1);
	if (!begin(L, j))
		return 1;
	exec_start(L, j, &plan);
	forget(j);
	lua_pushvalue(L, JOB);
	return 1;
}

/* which(name [, path]) -> file, or nil */
static int l_which(lua_State *L)
{
	return exec_which(L);
}

int luaopen_opsh_c_exec(lua_State *L)
{
	static const luaL_Reg meta[] = {
		{ "__gc", l_job_gc }, { "__close", l_job_close },
		{ NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "run", l_run }, { "start", l_start }, { "which", l_which },
		{ NULL, NULL }
	};

	exec_open_process(L, meta);
	luaL_newlib(L, funcs);
	return 1;
}
