/*
 * target: identity, role and passes of one target.
 */
#include "effect/target.h"

#include <stdio.h>
#include <string.h>

#include "core/loop.h"
#include "core/lx.h"
#include "effect/guard.h"
#include "effect/record.h"

#define TARGET_META "opsh.target"

struct target *target_check(lua_State *L, int arg)
{
	return luaL_checkudata(L, arg, TARGET_META);
}

static target_back_cb *on_back;

void target_on_back(target_back_cb *cb)
{
	on_back = cb;
}

void target_lost(struct target *t, const struct err *why)
{
	if (why->kind != ERR_CANCELLED && why->kind != ERR_TIMEOUT)
		t->lost = 1;
}

static void tell_back(struct target *t, int changed)
{
	if (t->lost && on_back)
		on_back(t, changed);
	t->lost = 0;
}

int target_seen(struct target *t, const char *identity, const char *role)
{
	int first = !*t->identity;
	int same = !strcmp(t->identity, identity) && !strcmp(t->role, role);

	t->identity_at = loop_now();
	if (same) {
		tell_back(t, *t->changed_from != '\0');
		return 0;
	}
	if (!first && !*t->changed_from)
		snprintf(t->changed_from, sizeof t->changed_from,
			 "%s role=%s", t->identity, t->role);
	snprintf(t->identity, sizeof t->identity, "%s", identity);
	snprintf(t->role, sizeof t->role, "%s", role);
	record_identity(t, first);
	tell_back(t, !first);
	return !first;
}

/* Copies option `name` of the table at 1 into out. */
static void copy_option(lua_State *L, const char *name, char *out, size_t size)
{
	size_t len = 0;
	const char *s = lx_opt_str(L, 1, name, &len);

	if (len >= size || (s && strlen(s) != len))
		luaL_error(L, "'%s' of a target must be text of at most %d "
			   "bytes", name, (int)size - 1);
	snprintf(out, size, "%s", s ? s : "");
	lua_pop(L, 1);
}

/* new{name=, kind=, role=} -> target; role (optional) is what a write needs. */
static int l_target_new(lua_State *L)
{
	static const char *const names[] = { "name", "kind", "role", NULL };
	struct target *t;

	luaL_checktype(L, 1, LUA_TTABLE);
	lx_opt_begin(L, 1, names);
	t = lua_newuserdatauv(L, sizeof *t, 0);
	memset(t, 0, sizeof *t);
	luaL_setmetatable(L, TARGET_META);
	copy_option(L, "name", t->name, sizeof t->name);
	copy_option(L, "kind", t->kind, sizeof t->kind);
	copy_option(L, "role", t->role_wanted, sizeof t->role_wanted);
	luaL_argcheck(L, *t->name && *t->kind, 1, "name and kind are needed");
	return 1;
}

/* host() -> the target that is the machine itself, one a state: what processes,
 * files, os and io have their effects on. */
static int l_target_host(lua_State *L)
{
	static const char key;
	struct target *t;

	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) != LUA_TNIL)
		return 1;
	t = lua_newuserdatauv(L, sizeof *t, 0);
	memset(t, 0, sizeof *t);
	luaL_setmetatable(L, TARGET_META);
	snprintf(t->name, sizeof t->name, "%s", TARGET_HOST);
	snprintf(t->kind, sizeof t->kind, "%s", TARGET_HOST);
	lua_pushvalue(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
	return 1;
}

/* target:seen(identity, role): what a binding written in Lua has just read from
 * the target itself; role "" where there is none -> has it changed? */
static int l_target_seen(lua_State *L)
{
	struct target *t = target_check(L, 1);

	lua_pushboolean(L, target_seen(t, lx_checkcstr(L, 2),
				       lx_checkcstr(L, 3)));
	return 1;
}

/* target:became(identity, role): the caller has caused the change to this, and
 * nothing else was seen: writes go on -> is it what was said? */
static int l_target_became(lua_State *L)
{
	struct target *t = target_check(L, 1);
	int same = !strcmp(t->identity, lx_checkcstr(L, 2)) &&
		   !strcmp(t->role, lx_checkcstr(L, 3));

	if (same)
		*t->changed_from = '\0';
	lua_pushboolean(L, same);
	return 1;
}

/* target:at(address): where it is, for messages and guards */
static int l_target_at(lua_State *L)
{
	struct target *t = target_check(L, 1);

	snprintf(t->address, sizeof t->address, "%s", lx_checkcstr(L, 2));
	return 0;
}

static int l_target_gc(lua_State *L)
{
	guard_clear(target_check(L, 1));
	return 0;
}

/* tostring(target) -> "NAME (KIND ADDRESS)" */
static int l_target_tostring(lua_State *L)
{
	struct target *t = target_check(L, 1);

	lua_pushfstring(L, "%s (%s%s%s)", t->name, t->kind,
			*t->address ? " " : "", t->address);
	return 1;
}

/* target:name(), :kind(), :role(), :identity(), :address() -> string or nil
 * when not known yet; :changed() -> what it was before, or nil. */
#define GETTER(field, member) \
static int l_target_##field(lua_State *L) \
{ \
	struct target *t = target_check(L, 1); \
\
	if (*t->member) \
		lua_pushstring(L, t->member); \
	else \
		lua_pushnil(L); \
	return 1; \
}
GETTER(name, name)
GETTER(kind, kind)
GETTER(role, role)
GETTER(identity, identity)
GETTER(address, address)
GETTER(changed, changed_from)

/* target:lost() -> its connection has ended and is not back yet */
static int l_target_lost(lua_State *L)
{
	lua_pushboolean(L, target_check(L, 1)->lost);
	return 1;
}

/* target:pass(verb, how): lets destructive `verb` ("" any) through. For the
 * guard dialogue and --approve; playbooks can't reach it. */
static int l_target_pass(lua_State *L)
{
	struct target *t = target_check(L, 1);

	if (guard_add(t, lx_checkcstr(L, 2), lx_checkcstr(L, 3)))
		return err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	return 0;
}

/* target:passed(verb) -> how it was passed, or nil */
static int l_target_passed(lua_State *L)
{
	const struct guard_pass *p = guard_find(target_check(L, 1),
						lx_checkcstr(L, 2));

	if (p)
		lua_pushstring(L, p->how);
	else
		lua_pushnil(L);
	return 1;
}

int luaopen_opsh_c_target(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "name", l_target_name }, { "kind", l_target_kind },
		{ "role", l_target_role }, { "identity", l_target_identity },
		{ "address", l_target_address },
		{ "changed", l_target_changed }, { "lost", l_target_lost },
		{ "pass", l_target_pass },
		{ "passed", l_target_passed }, { "seen", l_target_seen },
		{ "at", l_target_at },
		{ "became", l_target_became }, { NULL, NULL }
	};
	static const luaL_Reg meta[] = {
		{ "__gc", l_target_gc }, { "__tostring", l_target_tostring },
		{ NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "new", l_target_new }, { "host", l_target_host },
		{ NULL, NULL }
	};

	lx_metatable(L, TARGET_META, methods, meta);
	luaL_newlib(L, funcs);
	return 1;
}
