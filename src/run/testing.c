/*
 * testing: what the specs use to inject failures and to find leaks. In test
 * builds only.
 */
#ifdef OPSH_TEST
#include "core/loop.h"
#include "core/lx.h"
#include "core/mem.h"
#include "core/task.h"
#include "effect/target.h"
#include "run/host.h"

/* fail_at(n): the n-th allocation from now and the next fail; 0: none */
static int l_fail_at(lua_State *L)
{
	mem_fail_at((long)luaL_checkinteger(L, 1));
	return 0;
}

/* count() -> allocations so far */
static int l_count(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)mem_count());
	return 1;
}

/* handles() -> open handles of the loop */
static int l_handles(lua_State *L)
{
	lua_pushinteger(L, loop_handles());
	return 1;
}

/* seen(target, identity, role) -> changed: what a binding read from it */
static int l_seen(lua_State *L)
{
	struct target *t = target_check(L, 1);

	lua_pushboolean(L, target_seen(t, lx_checkcstr(L, 2),
				       lx_checkcstr(L, 3)));
	return 1;
}

void testing_main(lua_State *L, const char *path)
{
	/* a spec sees everything: it is no user code */
	if (luaL_loadfilex(L, path, "t"))
		lua_error(L);
}

int luaopen_opsh_c_testing(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "fail_at", l_fail_at }, { "count", l_count },
		{ "handles", l_handles }, { "seen", l_seen },
		{ NULL, NULL }
	};

	luaL_newlib(L, funcs);
	return 1;
}
#else
extern int testing_unused;	/* ISO C wants a declaration in every file */
#endif
