/*
 * session: the lines that tell it; what is written while a line is edited stands
 * above it.
 */
#include "run/session.h"

#include "core/lx.h"
#include "effect/effect.h"
#include "effect/policy.h"
#include "effect/target.h"
#include "term/out.h"

static void on_back(const struct target *t, int changed)
{
	if (!changed)
		out_printf(OUT_STDERR, "reconnected to '%s' (%s), same "
			   "identity\n", t->name, t->address);
	else
		out_printf(OUT_STDERR, "reconnected to '%s' (%s): it is not "
			   "what it was\n  was %s\n  is  %s role=%s\n  writes "
			   "are stopped; :connect %s takes it as it is\n",
			   t->name, t->address, t->changed_from, t->identity,
			   *t->role ? t->role : "?", t->name);
}

static void on_window(void)
{
	out_printf(OUT_STDERR, "write mode is over: the session is read-only "
		   "again\n");
}

/* attend(on): a person is there: lost connections that are back and the end of
 * write mode are told; hints name commands of the REPL. */
static int l_session_attend(lua_State *L)
{
	int on = lua_toboolean(L, 1);

	policy_set_session(on);
	target_on_back(on ? on_back : NULL);
	effect_on_window(on ? on_window : NULL);
	return 0;
}

int luaopen_opsh_c_session(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "attend", l_session_attend }, { NULL, NULL }
	};

	luaL_newlib(L, funcs);
	return 1;
}
