/*
 * exec_env: the environment of a call's programs: a clean one, what is inherited
 * of ours, what the call says. Values may be secrets: they stand in the job's
 * buffer, which is wiped. Must not change our own environment.
 */
#include "bind/exec.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "effect/secret.h"

extern char **environ;

/* What a clean environment has. */
static const char *const kept[] = {
	"PATH", "HOME", "LANG", "LC_ALL", "TERM", "TZ", "USER", "LOGNAME",
	"TMPDIR", NULL
};

struct envs {
	struct exec_job *job;	/* its text is where they stand */
	int given;		/* stack index of option env; 0 none */
	int n;
};

static void add_env(struct envs *v, const char *name, const char *value,
		    size_t len)
{
	struct buf *b = &v->job->text;

	buf_adds(b, name);
	buf_addc(b, '=');
	buf_add(b, value, len);
	buf_addc(b, '\0');
	v->n++;
}

/* One of ours, unless the call says its own. */
static void add_ours(lua_State *L, struct envs *v, const char *name)
{
	const char *value = getenv(name);
	int own = 0;

	if (v->given) {
		own = lua_getfield(L, v->given, name) != LUA_TNIL;
		lua_pop(L, 1);
	}
	if (value && !own)
		add_env(v, name, value, strlen(value));
}

static void add_all_ours(lua_State *L, struct envs *v)
{
	char name[256];
	char **e;

	for (e = environ; *e; e++) {
		size_t n = strcspn(*e, "=");

		if (n == 0 || n >= sizeof name)
			continue;
		memcpy(name, *e, n);
		name[n] = '\0';
		add_ours(L, v, name);
	}
}

static void add_inherited(lua_State *L, struct envs *v)
{
	int i, n, list;

	lua_getfield(L, 3, "inherit");
	list = lua_gettop(L);
	if (lua_isboolean(L, list) && lua_toboolean(L, list)) {
		add_all_ours(L, v);
		return;
	}
	for (i = 0; kept[i]; i++)
		add_ours(L, v, kept[i]);
	if (lua_isnil(L, list))
		return;
	if (!lua_istable(L, list))
		err_raisef(L, ERR_USAGE, "", "option 'inherit' is a list of "
			   "names or true, not a %s", luaL_typename(L, list));
	n = (int)lua_rawlen(L, list);
	for (i = 1; i <= n; i++) {
		int known = 0, k;

		lua_rawgeti(L, list, i);
		if (lua_type(L, -1) != LUA_TSTRING)
			err_raisef(L, ERR_USAGE, "", "option 'inherit' is a "
				   "list of names");
		for (k = 0; kept[k] && !known; k++)
			known = !strcmp(kept[k], lua_tostring(L, -1));
		if (!known)
			add_ours(L, v, lua_tostring(L, -1));
		lua_pop(L, 1);
	}
}

static void add_given(lua_State *L, struct envs *v)
{
	size_t len, nlen;
	const char *name, *value;

	lua_pushnil(L);
	while (lua_next(L, v->given)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			err_raisef(L, ERR_USAGE, "", "option 'env' is a table "
				   "of names and values");
		name = lua_tolstring(L, -2, &nlen);
		if (!nlen || strlen(name) != nlen || strchr(name, '='))
			err_raisef(L, ERR_USAGE, "", "'%s' is no name of an "
				   "environment variable", name);
		if (!lua_isboolean(L, -1) || lua_toboolean(L, -1)) {
			value = secret_get(L, -1, &len);
			if (!value && lua_type(L, -1) != LUA_TSTRING)
				err_raisef(L, ERR_USAGE, "", "environment "
					   "variable '%s' must be a string, a "
					   "secret or false, not a %s", name,
					   luaL_typename(L, -1));
			if (!value)
				value = lua_tolstring(L, -1, &len);
			if (strlen(value) != len)
				err_raisef(L, ERR_USAGE, "", "environment "
					   "variable '%s' holds a NUL byte",
					   name);
			add_env(v, name, value, len);
		}
		lua_pop(L, 1);
	}
}

void exec_read_env(lua_State *L, struct exec_job *j, struct exec_plan *p)
{
	struct envs v = { .job = j };
	char *at;
	int i;

	buf_clear(&j->text);
	if (lua_istable(L, 3)) {
		if (lua_getfield(L, 3, "env") == LUA_TTABLE)
			v.given = lua_gettop(L);
		else if (!lua_isnil(L, -1))
			err_raisef(L, ERR_USAGE, "", "option 'env' must be a "
				   "table, not a %s", luaL_typename(L, -1));
		add_inherited(L, &v);
	} else {
		for (i = 0; kept[i]; i++)
			add_ours(L, &v, kept[i]);
	}
	if (v.given)
		add_given(L, &v);
	if (!buf_ok(&j->text))
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	buf_swap(&j->text, &j->env);
	p->envp = lua_newuserdatauv(L, (size_t)(v.n + 1) * sizeof *p->envp, 0);
	for (i = 0, at = j->env.data; i < v.n; i++, at += strlen(at) + 1)
		p->envp[i] = at;
	p->envp[v.n] = NULL;
}
