/*
 * exec_process: a process that goes on while Lua does: lines of its stdout with
 * back-pressure, its stdin, its end. Owns nothing: a process is a job
 * (exec_job.c), ended when its variable closes or it is collected.
 */
#include "bind/exec.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/lx.h"

#define WAIT_TIMEOUT 60.0	/* seconds that wait and write wait */

/* --- lines ---------------------------------------------------------------------- */
static _Noreturn void too_long(lua_State *L, struct exec_job *j)
{
	struct exec_out *o = &j->out[0];

	o->over = 1;
	exec_kill(j, EXEC_OVER, 0);
	if (!buf_ok(&o->data))
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	err_raisef(L, ERR_LIMIT, "", "a line of '%s' is longer than %zu bytes "
		   "(option 'max')", j->stages[0].name, o->max);
}

/* Pushes the next whole line, or what is left at the end; 0 none yet. */
static int push_line(lua_State *L, struct exec_job *j)
{
	struct exec_out *o = &j->out[0];
	const char *from = o->data.data + o->taken, *nl;
	size_t left = o->data.len - o->taken, n;

	nl = left > o->scanned ? memchr(from + o->scanned, '\n',
					left - o->scanned) : NULL;
	if (!nl && (o->fd >= 0 || !left)) {
		o->scanned = left;
		return 0;
	}
	n = nl ? (size_t)(nl - from) : left;
	if (n > o->max)
		too_long(L, j);
	lua_pushlstring(L, from, n);
	o->taken += n + (nl != NULL);
	o->scanned = 0;
	if (o->taken == o->data.len) {
		buf_clear(&o->data);
		o->taken = 0;
	}
	return 1;
}

/* A line that is longer than what is held needs more room, up to max. */
static void need_more(lua_State *L, struct exec_job *j)
{
	struct exec_out *o = &j->out[0];
	size_t left = o->data.len - o->taken;

	if (!buf_ok(&o->data) || left > o->max)
		too_long(L, j);
	if (o->hold && left >= o->hold)
		o->hold = left * 2;
	exec_out_resume(&j->out[0]);
}

static int next_k(lua_State *L, int status, lua_KContext ctx)
{
	struct exec_job *j = exec_check(L, 1);
	struct exec_out *o = &j->out[0];

	(void)status;
	lua_settop(L, 1);
	while (!push_line(L, j)) {
		if (o->fd < 0 && !exec_patience(j))
			return 0;
		if (o->fd >= 0)
			need_more(L, j);
		exec_await(L, j, EXEC_STDOUT, 0, -1, ctx, next_k);
	}
	return 1;
}

/* next(process) -> line, or nil at the end of its stdout */
static int l_process_next(lua_State *L)
{
	return next_k(L, LUA_OK, 0);
}

/* process:lines() -> next, process, nil, process: for a `for` */
static int l_process_lines(lua_State *L)
{
	exec_check(L, 1);
	lua_pushcfunction(L, l_process_next);
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	lua_pushvalue(L, 1);
	return 4;
}

/* --- stdin ------------------------------------------------------------------------ */
static void check_stdin(lua_State *L, const struct exec_job *j)
{
	if (j->in.fd < 0 || j->in.ends)
		err_raisef(L, ERR_IO, "EPIPE", "'%s' takes no input%s",
			   j->stages ? j->stages[0].name : "process",
			   j->done ? ": it has ended" :
			   " (any more, or option stdin = true is missing)");
}

static int write_k(lua_State *L, int status, lua_KContext ctx)
{
	struct exec_job *j = exec_check(L, 1);

	(void)status;
	(void)ctx;
	if (j->in.fd < 0)
		check_stdin(L, j);
	return 0;
}

/* process:write(text): waits until it is in the pipe; raises kind io when the
 * process takes no input any more, timeout */
static int l_process_write(lua_State *L)
{
	struct exec_job *j = exec_check(L, 1);
	size_t len;
	const char *s = lx_checkstr(L, 2, &len);

	lua_settop(L, 2);
	check_stdin(L, j);
	if (exec_feed(j, s, len, 0))
		return err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	if (j->in.fd >= 0 && j->in.off < j->in.data.len)
		exec_await(L, j, EXEC_ROOM, 0, WAIT_TIMEOUT, 0, write_k);
	return write_k(L, LUA_OK, 0);
}

/* process:close_stdin(): after what was written */
static int l_process_close_stdin(lua_State *L)
{
	exec_feed(exec_check(L, 1), "", 0, 1);
	return 0;
}

/* --- the end ------------------------------------------------------------------------ */
static int wait_k(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	return exec_push_end(L, exec_check(L, 1));
}

/* process:wait{timeout = seconds} -> as run; stdout is what was not taken by
 * lines. Raises as run does; kind timeout when it goes on. */
static int l_process_wait(lua_State *L)
{
	static const char *const names[] = { "timeout", NULL };
	struct exec_job *j = exec_check(L, 1);
	double timeout;

	lua_settop(L, 2);
	lx_opt_begin(L, 2, names);
	timeout = lx_opt_num(L, 2, "timeout", WAIT_TIMEOUT);
	if (!j->stages)
		return err_raisef(L, ERR_USAGE, "", "the process is closed");
	j->out[0].hold = 0;		/* nobody takes lines meanwhile */
	exec_out_resume(&j->out[0]);
	if (!j->done)
		exec_await(L, j, EXEC_END, 0, timeout, 0, wait_k);
	return wait_k(L, LUA_OK, 0);
}

static int signal_of(lua_State *L, int arg)
{
	const char *name;
	int sig;

	if (lua_isnoneornil(L, arg))
		return SIGTERM;
	if (lua_isinteger(L, arg))
		return (int)lua_tointeger(L, arg);
	name = lx_checkcstr(L, arg);
	if (!strncasecmp(name, "SIG", 3))
		name += 3;
	for (sig = 1; sig < NSIG; sig++) {
		const char *abbrev = sigabbrev_np(sig);

		if (abbrev && !strcasecmp(abbrev, name))
			return sig;
	}
	return luaL_argerror(L, arg, "name of a signal expected");
}

/* process:kill([signal]): to its group. TERM is followed by KILL, and both end
 * it for good: wait gives the result then. */
static int l_process_kill(lua_State *L)
{
	struct exec_job *j = exec_check(L, 1);
	int sig = signal_of(L, 2);

	luaL_argcheck(L, sig > 0 && sig < NSIG, 2, "signal expected");
	if (j->done)
		return 0;
	if (sig == SIGTERM || sig == SIGKILL)
		exec_kill(j, EXEC_CLOSED, sig == SIGKILL);
	else
		exec_signal(j, sig);
	return 0;
}

/* process:pid() -> integer; nil once it has ended */
static int l_process_pid(lua_State *L)
{
	struct exec_job *j = exec_check(L, 1);

	if (j->done || !j->stages || !j->stages[0].pid)
		lua_pushnil(L);
	else
		lua_pushinteger(L, j->stages[0].pid);
	return 1;
}

/* tostring(process) -> "process 'NAME' (PID)" */
static int l_process_tostring(lua_State *L)
{
	struct exec_job *j = exec_check(L, 1);

	if (j->done || !j->stages)
		lua_pushfstring(L, "process '%s' (ended)", j->stages ?
				j->stages[0].name : "");
	else
		lua_pushfstring(L, "process '%s' (%d)", j->stages[0].name,
				(int)j->stages[0].group);
	return 1;
}

void exec_open_process(lua_State *L, const luaL_Reg *meta)
{
	static const luaL_Reg methods[] = {
		{ "lines", l_process_lines }, { "write", l_process_write },
		{ "close_stdin", l_process_close_stdin },
		{ "wait", l_process_wait }, { "kill", l_process_kill },
		{ "pid", l_process_pid }, { NULL, NULL }
	};
	static const luaL_Reg more[] = {
		{ "__tostring", l_process_tostring }, { NULL, NULL }
	};

	lx_metatable(L, EXEC_META, methods, meta);
	luaL_getmetatable(L, EXEC_META);
	luaL_setfuncs(L, more, 0);
	lua_pop(L, 1);
}
