/*
 * co: Lua's protected calls and coroutines, written anew so that a wait inside
 * a generator passes outward to the task and a cancel passes every pcall.
 * Behaves as plain Lua 5.4 where neither happens.
 */
#include <string.h>

#include "core/task_impl.h"

/* --- protected calls: the context is task_clock at entry ---------------- */

static int failed(int status)
{
	return status != LUA_OK && status != LUA_YIELD;
}

static int pcall_k(lua_State *L, int status, lua_KContext since)
{
	if (task_unwound_since((unsigned long)since))
		task_rethrow(L, failed(status));
	if (failed(status)) {
		lua_pushboolean(L, 0);
		lua_pushvalue(L, -2);
		return 2;
	}
	return lua_gettop(L);
}

/* pcall(f, ...) -> true, results | false, error */
static int l_base_pcall(lua_State *L)
{
	lua_KContext since = (lua_KContext)task_clock;

	luaL_checkany(L, 1);
	lua_pushboolean(L, 1);
	lua_insert(L, 1);
	return pcall_k(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0,
				     since, pcall_k), since);
}

static int try_k(lua_State *L, int status, lua_KContext since)
{
	if (task_unwound_since((unsigned long)since))
		task_rethrow(L, failed(status));
	if (failed(status)) {
		err_wrap(L, status);	/* lack of memory passed the handler */
		lua_pushnil(L);
		lua_pushvalue(L, -2);
		return 2;
	}
	return lua_gettop(L) - 1;
}

/* try(f, ...) -> results | nil, error object */
static int l_base_try(lua_State *L)
{
	lua_KContext since = (lua_KContext)task_clock;

	luaL_checkany(L, 1);
	lua_pushcfunction(L, err_msgh);
	lua_insert(L, 1);
	return try_k(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1,
				   since, try_k), since);
}

#define READER_TOP 5	/* keeps the piece that the parser reads */

/* Calls the reader function at index 1 for the next piece. */
static const char *load_reader(lua_State *L, void *ud, size_t *size)
{
	(void)ud;
	luaL_checkstack(L, 2, "too many nested functions");
	lua_pushvalue(L, 1);
	lua_call(L, 0, 1);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		*size = 0;
		return NULL;
	}
	if (!lua_isstring(L, -1))
		luaL_error(L, "reader function must return a string");
	lua_replace(L, READER_TOP);
	return lua_tolstring(L, READER_TOP, size);
}

static int load_chunk(lua_State *L)
{
	size_t len;
	const char *s = lua_tolstring(L, 1, &len);
	const char *name = luaL_optstring(L, 2, s ? s : "=(load)");

	if (s)
		return luaL_loadbufferx(L, s, len, name, "t");
	luaL_checktype(L, 1, LUA_TFUNCTION);
	lua_settop(L, READER_TOP);
	return lua_load(L, load_reader, NULL, name, "t");
}

/* load(chunk [, name [, mode [, env]]]) -> function | nil, message. Text only,
 * whatever mode says. */
static int l_base_load(lua_State *L)
{
	unsigned long since = task_clock;
	const char *mode = luaL_optstring(L, 3, "t");
	int env = !lua_isnone(L, 4);
	int status;

	if (!strchr(mode, 't')) {
		lua_pushnil(L);
		lua_pushfstring(L, "attempt to load a text chunk (mode is "
				"'%s')", mode);
		return 2;
	}
	status = load_chunk(L);
	if (task_unwound_since(since))
		task_rethrow(L, status != LUA_OK);
	if (status == LUA_OK) {
		if (env) {
			lua_pushvalue(L, 4);
			if (!lua_setupvalue(L, -2, 1))
				lua_pop(L, 1);
		}
		return 1;
	}
	/* a run-time error of the parser (nesting) passed our handler */
	if (err_is(L, -1))
		lua_getfield(L, -1, "message");
	lua_pushnil(L);
	lua_insert(L, -2);
	return 2;
}

/* --- coroutines --------------------------------------------------------- */

static lua_State *checkco(lua_State *L)
{
	lua_State *co = lua_tothread(L, 1);

	luaL_argexpected(L, co, 1, "thread");
	return co;
}

/* create(f) -> coroutine */
static int l_co_create(lua_State *L)
{
	lua_State *co;

	luaL_checktype(L, 1, LUA_TFUNCTION);
	co = lua_newthread(L);
	memset(co_extra(co), 0, sizeof(struct co_extra));
	lua_pushvalue(L, 1);
	lua_xmove(L, co, 1);
	return 1;
}

enum co_status { CO_RUN, CO_DEAD, CO_YIELD, CO_NORM };
static const char *const co_names[] = {
	"running", "dead", "suspended", "normal"
};

static enum co_status status_of(lua_State *L, lua_State *co)
{
	lua_Debug ar;

	if (L == co)
		return CO_RUN;
	if (co_extra(co)->waiting)
		return co_extra(co)->waiting == CO_ENDED ? CO_DEAD : CO_NORM;
	switch (lua_status(co)) {
	case LUA_YIELD:
		return CO_YIELD;
	case LUA_OK:
		if (lua_getstack(co, 0, &ar))
			return CO_NORM;
		return lua_gettop(co) ? CO_YIELD : CO_DEAD;
	default:
		return CO_DEAD;
	}
}

/* Closes what is pending in co; the hook finds a handler that loops. */
static int reset(lua_State *co)
{
	lua_State *before = task_running;
	int status;

	task_running = co;
	if (task_attention)
		task_arm_hook();
	status = lua_resetthread(co);
	task_running = before;
	if (task_attention)
		task_arm_hook();
	return status;
}

/* Lets an error out of co: closes what is pending, error on top of L. */
static int close_failed(lua_State *L, lua_State *co)
{
	int status = lua_status(co);

	if (status != LUA_OK && status != LUA_YIELD) {
		status = reset(co);
		lua_xmove(co, L, 1);
	}
	return status;
}

static int resume_done(lua_State *L, int nres, unsigned long since,
		       int is_wrap)
{
	lua_State *co = lua_tothread(L, 1);

	if (nres < 0 && task_unwound_since(since)) {
		close_failed(L, co);
		task_rethrow(L, 1);
	}
	if (!is_wrap) {
		lua_pushboolean(L, nres >= 0);
		lua_insert(L, nres >= 0 ? -nres - 1 : -2);
		return nres >= 0 ? nres + 1 : 2;
	}
	if (nres >= 0)
		return nres;
	if (close_failed(L, co) != LUA_ERRMEM &&
	    lua_type(L, -1) == LUA_TSTRING) {
		luaL_where(L, 1);
		lua_insert(L, -2);
		lua_concat(L, 2);
	}
	return lua_error(L);
}

static int resume_k(lua_State *L, int status, lua_KContext ctx);

/* Resumes co (at index 1) until it yields for the user, ends or fails. A wait
 * inside is passed outward, or waited for here where L can't yield. */
static int resume_loop(lua_State *L, int narg, lua_KContext ctx)
{
	lua_State *co = lua_tothread(L, 1);
	int nres, status;

	for (;; narg = 0) {
		co_extra(co)->waiting = 0;
		status = task_resume_state(co, L, narg, &nres);
		if (status == LUA_YIELD && task_current()->stage >= 3 &&
		    !nres && lua_isyieldable(L))
			return lua_yield(L, 0);	/* dropped by the hook */
		if (status != LUA_YIELD || nres != 1 ||
		    lua_touserdata(co, -1) != TASK_SENTINEL)
			break;
		lua_pop(co, 1);
		co_extra(co)->waiting = 1;
		if (lua_isyieldable(L)) {
			lua_pushlightuserdata(L, TASK_SENTINEL);
			return lua_yieldk(L, 1, ctx, resume_k);
		}
		if (task_current()->op && !task_current()->op->done)
			task_run_nested(L, task_current()->op);
	}
	if (status != LUA_OK && status != LUA_YIELD) {
		lua_xmove(co, L, 1);
		nres = -1;
	} else if (!lua_checkstack(L, nres + 1)) {
		lua_pop(co, nres);
		lua_pushliteral(L, "too many results to resume");
		nres = -1;
	} else {
		lua_xmove(co, L, nres);
	}
	return resume_done(L, nres, (unsigned long)ctx >> 1, ctx & 1);
}

static int resume_k(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	return resume_loop(L, 0, ctx);
}

/* Stack: co, arguments. */
static int resume(lua_State *L, int is_wrap)
{
	lua_KContext ctx = (lua_KContext)(task_clock << 1 | (unsigned)is_wrap);
	lua_State *co = lua_tothread(L, 1);
	int narg = lua_gettop(L) - 1;
	enum co_status status = status_of(L, co);

	if (status != CO_YIELD || !lua_checkstack(co, narg)) {
		if (status == CO_YIELD)
			lua_pushliteral(L, "too many arguments to resume");
		else if (status == CO_DEAD)
			lua_pushliteral(L, "cannot resume dead coroutine");
		else
			lua_pushfstring(L, "cannot resume non-suspended "
					"coroutine%s",
					co_extra(co)->waiting ?
					" (it waits in a task)" : "");
		if (is_wrap) {
			luaL_where(L, 1);
			lua_insert(L, -2);
			lua_concat(L, 2);
			return lua_error(L);
		}
		lua_pushboolean(L, 0);
		lua_insert(L, -2);
		return 2;
	}
	lua_xmove(L, co, narg);
	return resume_loop(L, narg, ctx);
}

/* resume(co, ...) -> true, values | false, error */
static int l_co_resume(lua_State *L)
{
	checkco(L);
	return resume(L, 0);
}

/* wrapped(...) -> what the coroutine yields or returns; raises its error */
static int l_co_wrapped(lua_State *L)
{
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	return resume(L, 1);
}

/* wrap(f) -> function */
static int l_co_wrap(lua_State *L)
{
	l_co_create(L);
	lua_pushcclosure(L, l_co_wrapped, 1);
	return 1;
}

/* yield(...) -> what resume passes in */
static int l_co_yield(lua_State *L)
{
	struct task *task = task_current();

	if (task && task->co == L)
		return luaL_error(L, "attempt to yield from outside a "
				  "coroutine");
	return lua_yield(L, lua_gettop(L));
}

/* status(co) -> string */
static int l_co_status(lua_State *L)
{
	lua_pushstring(L, co_names[status_of(L, checkco(L))]);
	return 1;
}

/* running() -> coroutine, is it a task's own */
static int l_co_running(lua_State *L)
{
	int main = lua_pushthread(L);
	struct task *task = task_current();

	lua_pushboolean(L, main || (task && task->co == L));
	return 2;
}

/* isyieldable([co]) -> boolean */
static int l_co_isyieldable(lua_State *L)
{
	lua_State *co = lua_isnone(L, 1) ? L : checkco(L);
	struct task *task = task_current();

	lua_pushboolean(L, lua_isyieldable(co) && !(task && task->co == co));
	return 1;
}

/* close(co) -> true | false, error */
static int l_co_close(lua_State *L)
{
	lua_State *co = checkco(L);
	enum co_status status = status_of(L, co);
	unsigned long since = task_clock;

	if (status != CO_DEAD && status != CO_YIELD)
		return luaL_error(L, "cannot close a %s coroutine",
				  co_names[status]);
	/* a task's own keeps its results for who waits for them */
	status = co_extra(co)->waiting ? LUA_OK : reset(co);
	if (task_unwound_since(since)) {
		if (status != LUA_OK)
			lua_xmove(co, L, 1);
		task_rethrow(L, status != LUA_OK);
	}
	lua_pushboolean(L, status == LUA_OK);
	if (status == LUA_OK)
		return 1;
	lua_xmove(co, L, 1);
	return 2;
}

void task_open_base(lua_State *L)
{
	static const luaL_Reg base[] = {
		{ "pcall", l_base_pcall }, { "xpcall", task_xpcall },
		{ "try", l_base_try }, { "load", l_base_load },
		{ NULL, NULL }
	};
	static const luaL_Reg co[] = {
		{ "create", l_co_create }, { "resume", l_co_resume },
		{ "wrap", l_co_wrap }, { "yield", l_co_yield },
		{ "status", l_co_status }, { "running", l_co_running },
		{ "isyieldable", l_co_isyieldable }, { "close", l_co_close },
		{ NULL, NULL }
	};

	memset(co_extra(L), 0, sizeof(struct co_extra));
	op_open(L);
	lua_pushglobaltable(L);
	lx_setfuncs(L, base);
	lua_getfield(L, -1, "coroutine");
	lx_setfuncs(L, co);
	lua_pop(L, 2);
}
