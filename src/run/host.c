/*
 * host: the Lua state of the program.
 */
#include "run/host.h"

#include <string.h>

#include <lualib.h>

#include "core/child.h"
#include "core/embed.h"
#include "core/lx.h"
#include "core/mem.h"
#include "core/task.h"
#include "effect/effect.h"
#include "effect/lock.h"
#include "effect/secret.h"
#include "effect/target.h"
#include "effect/withheld.h"
#include "run/session.h"
#include "term/out.h"

struct memory {
	size_t used;
	size_t cap;
};

/* Fault 51: the cap is an ordinary memory error, the host goes on. */
static void *host_alloc(void *ud, void *ptr, size_t old, size_t size)
{
	struct memory *m = ud;
	void *p;

	if (!ptr)
		old = 0;
	if (size > old && size - old > m->cap - m->used)
		return NULL;
	p = mem_resize(ptr, old, size);
	if (p || !size)
		m->used += size - old;
	return p;
}

static void host_warn(void *ud, const char *msg, int tocont)
{
	int *going = ud;

	if (!*going && msg[0] == '@')
		return;		/* control messages of warn() */
	out_printf(OUT_STDERR, "%s%s%s", *going ? "" : "opsh: warning: ", msg,
		   tocont ? "" : "\n");
	*going = tocont;
}

/* init(): libraries, base functions and preloads of a new state */
/* User code gets copies of the libraries; through these metatables it would
 * reach the ones that the runner uses. */
static void protect(lua_State *L)
{
	lua_pushliteral(L, "");
	lua_getmetatable(L, -1);
	lua_pushliteral(L, "protected");
	lua_setfield(L, -2, "__metatable");
	luaL_getmetatable(L, LUA_FILEHANDLE);
	lua_pushliteral(L, "protected");
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 3);
}

/* init(): the libraries, ours and Lua's */
static int l_init(lua_State *L)
{
	static const luaL_Reg modules[] = {
		{ "opsh.c.err", luaopen_opsh_c_err },
		{ "opsh.c.task", luaopen_opsh_c_task },
		{ "opsh.c.target", luaopen_opsh_c_target },
		{ "opsh.c.effect", luaopen_opsh_c_effect },
		{ "opsh.c.lock", luaopen_opsh_c_lock },
		{ "opsh.c.secret", luaopen_opsh_c_secret },
		{ "opsh.c.term", luaopen_opsh_c_term },
		{ "opsh.c.child", luaopen_opsh_c_child },
		{ "opsh.c.sys", luaopen_opsh_c_sys },
		{ "opsh.c.session", luaopen_opsh_c_session },
#ifdef OPSH_TEST
		{ "opsh.c.testing", luaopen_opsh_c_testing },
#endif
		{ NULL, NULL }
	};

	luaL_openlibs(L);
	protect(L);
	task_open_base(L);
	effect_open_results(L);
	embed_open(L);
	luaL_requiref(L, "opsh.c.err", luaopen_opsh_c_err, 0);
	lua_pop(L, 1);
	lua_getglobal(L, "package");
	lua_getfield(L, -1, "preload");
	lx_setfuncs(L, modules);
	lua_pop(L, 2);
	return 0;
}

lua_State *host_new(void)
{
	static struct memory memory;
	static int going;
	lua_State *L;

	memory.used = 0;
	memory.cap = HOST_MEMORY;
	L = lua_newstate(host_alloc, &memory);
	if (!L)
		return NULL;
	lua_setwarnf(L, host_warn, &going);
	lua_gc(L, LUA_GCSTOP);	/* start-up makes no garbage worth a cycle */
	lua_pushcfunction(L, l_init);
	if (lua_pcall(L, 0, 0, 0)) {
		out_printf(OUT_STDERR, "opsh: cannot start: %s\n",
			   lua_tostring(L, -1));
		lua_close(L);
		return NULL;
	}
	return L;
}

void host_close(lua_State *L)
{
	lua_close(L);
}
