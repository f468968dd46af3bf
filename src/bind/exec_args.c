/*
 * exec_args: what a call is to run: argv lists, and the programs that they name.
 * All that can be wrong is found before anything is recorded or started: a
 * program that is missing, a secret in an argument (everybody can read those).
 * Must not open or start anything.
 */
#include "bind/exec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/lx.h"
#include "core/mem.h"
#include "core/spawn.h"
#include "effect/redact.h"
#include "effect/secret.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static _Noreturn void no_memory(lua_State *L)
{
	err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

/* --- arguments ------------------------------------------------------------------ */
static _Noreturn void refuse_secret(lua_State *L, int n, const char *program)
{
	struct err e;

	err_set(&e, ERR_REFUSED, "SECRET", "argument %d of '%s' holds a secret: "
		"everybody on the machine can read arguments", n,
		base_name(program));
	snprintf(e.hint, sizeof e.hint, "pass it by env or stdin");
	e.outcome = OUTCOME_REFUSED;
	err_raise(L, &e);
}

/* [-0, +0, m] Is the value on top a secret, one that nobody has asked for yet as well?
 * Those are tables of opsh.secret, with the name of the userdata. */
static int is_secret(lua_State *L)
{
	const char *name;
	size_t len;
	int found = 0;

	if (secret_get(L, -1, &len))
		return 1;
	if (lua_type(L, -1) == LUA_TTABLE &&
	    luaL_getmetafield(L, -1, "__name") != LUA_TNIL) {
		name = lua_tostring(L, -1);
		found = name && strcmp(name, "opsh.secret") == 0;
		lua_pop(L, 1);
	}
	return found;
}

/* [-0, +1, v] The argv list on top becomes a block of pointers into it. */
static char **read_argv(lua_State *L, int stage)
{
	int list = lua_gettop(L), i, n, found;
	const char *s;
	char **argv;
	size_t len;

	if (lua_type(L, list) != LUA_TTABLE || lua_rawlen(L, list) == 0)
		err_raisef(L, ERR_USAGE, "", "a program and its arguments "
			   "expected as a list (number %d), got %s", stage + 1,
			   lua_type(L, list) == LUA_TTABLE ? "an empty one" :
			   luaL_typename(L, list));
	n = (int)lua_rawlen(L, list);
	argv = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *argv, 0);
	for (i = 0; i < n; i++) {
		lua_rawgeti(L, list, i + 1);
		if (is_secret(L))
			refuse_secret(L, i, i ? argv[0] : "program");
		if (lua_type(L, -1) != LUA_TSTRING)
			err_raisef(L, ERR_USAGE, "", "argument %d of '%s' must "
				   "be a string, not a %s", i, i ? argv[0] : "",
				   luaL_typename(L, -1));
		s = lua_tolstring(L, -1, &len);
		if (strlen(s) != len)
			err_raisef(L, ERR_USAGE, "", "argument %d of '%s' "
				   "holds a NUL byte", i, i ? argv[0] : "");
		found = redact_finds(s, len);
		if (found < 0)
			no_memory(L);
		if (found)
			refuse_secret(L, i, i ? argv[0] : "program");
		argv[i] = (char *)(size_t)s;	/* the list holds it */
		lua_pop(L, 1);
	}
	argv[n] = NULL;
	return argv;
}

static void quote(struct buf *b, const char *s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";

	if (*s && s[strspn(s, plain)] == '\0') {
		buf_adds(b, s);
		return;
	}
	buf_addc(b, '\'');
	for (; *s; s++) {
		if (*s == '\'')
			buf_adds(b, "'\\''");
		else
			buf_addc(b, *s);
	}
	buf_addc(b, '\'');
}

static void quote_file(struct buf *b, const char *how, const char *path)
{
	if (!path)
		return;
	buf_adds(b, how);
	quote(b, path);
}

/* What the record says, as a shell would take it. */
static void set_request(lua_State *L, struct exec_job *j,
			const struct exec_plan *p)
{
	struct buf *b = &j->text;
	size_t len;
	const char *given = lx_opt_str(L, 3, "request", &len);
	int i, k;

	buf_clear(b);
	if (given) {
		buf_add(b, given, len);
	} else {
		if (p->cwd) {
			quote_file(b, "cd ", p->cwd);
			buf_adds(b, " && ");
		}
		for (i = 0; i < j->n; i++) {
			if (i)
				buf_adds(b, " | ");
			for (k = 0; p->argv[i][k]; k++) {
				if (k)
					buf_addc(b, ' ');
				quote(b, p->argv[i][k]);
			}
		}
		quote_file(b, " < ", p->in.path);
		quote_file(b, p->out.append ? " >> " : " > ", p->out.path);
		quote_file(b, p->err.append ? " 2>> " : " 2> ", p->err.path);
	}
	if (!buf_ok(b))
		no_memory(L);
}

/* --- programs ---------------------------------------------------------------------- */
static const char *path_of(const struct exec_plan *p)
{
	int i;

	for (i = 0; p->envp[i]; i++)
		if (!strncmp(p->envp[i], "PATH=", 5))
			return p->envp[i] + 5;
	return DEFAULT_PATH;
}

static _Noreturn void not_found(lua_State *L, const struct exec_job *j,
				const char *name, const char *path, int code)
{
	int direct = strchr(name, '/') != NULL;
	struct err e;

	if (code == EACCES)
		err_set(&e, ERR_IO, "EACCES", direct ? "cannot start '%s': it "
			"may not be executed" : "cannot start '%s': it stands "
			"in PATH, but may not be executed (searched %.500s)",
			name, path);
	else if (code == ENOENT)
		err_set(&e, ERR_IO, "ENOENT", direct ? "cannot start '%s': no "
			"such file" : "cannot find the program '%s' (PATH "
			"searched: %.500s)", name, path);
	else
		err_set(&e, ERR_IO, "", "cannot start '%s': %s", name,
			strerror(code));
	e.outcome = OUTCOME_FAILED;
	snprintf(e.target, sizeof e.target, "%s", j->target->name);
	snprintf(e.op, sizeof e.op, "%s", j->verb);
	err_raise(L, &e);
}

static void find_programs(lua_State *L, struct exec_job *j,
			  struct exec_plan *p)
{
	const char *path = path_of(p);
	char found[SPAWN_PATH_MAX];
	int i, code;

	for (i = 0; i < j->n; i++) {
		const char *name = p->argv[i][0];

		snprintf(j->stages[i].name, sizeof j->stages[i].name, "%s",
			 base_name(name));
		code = spawn_find(name, path, p->cwd, found, sizeof found);
		if (code)
			not_found(L, j, name, path, code);
		p->file[i] = lua_pushstring(L, found);
		spawn_identify(found, &p->id[i]);
		/* a relative name counts from cwd, where the child is then */
		p->path[i] = p->cwd && *name != '/' && strchr(name, '/') ?
			name : p->file[i];
	}
}

static void read_commands(lua_State *L, struct exec_job *j,
			  struct exec_plan *p)
{
	int i, n;

	luaL_checktype(L, 2, LUA_TTABLE);
	n = (int)lua_rawlen(L, 2);
	if (n < 1 || n > EXEC_STAGES)
		err_raisef(L, ERR_USAGE, "", "a list of 1 to %d argv lists "
			   "expected, got %d", EXEC_STAGES, n);
	luaL_checkstack(L, 3 * n + 40, "too many programs");
	for (i = 0; i < n; i++) {
		lua_rawgeti(L, 2, i + 1);
		p->argv[i] = read_argv(L, i);
	}
	j->stages = mem_zalloc((size_t)n * sizeof *j->stages);
	if (!j->stages)
		no_memory(L);
	j->n = n;
	for (i = 0; i < n; i++) {
		j->stages[i].job = j;
		j->stages[i].pidfd = -1;
	}
}

void exec_read(lua_State *L, struct exec_job *j, struct exec_plan *p,
	       int start)
{
	static const char *const run_names[] = {
		"class", "verb", "request", "timeout", "kill_after", "env",
		"inherit", "cwd", "stdin", "stdout", "stderr", "max", "accept",
		"expect", "live", "doubt", NULL
	};
	static const char *const start_names[] = {
		"class", "verb", "request", "timeout", "kill_after", "env",
		"inherit", "cwd", "stdin", "stderr", "max", "accept", "expect",
		NULL
	};
	const char *verb;

	memset(p, 0, sizeof *p);
	if (lua_isnil(L, 3)) {
		lua_newtable(L);
		lua_replace(L, 3);
	}
	lx_opt_begin(L, 3, start ? start_names : run_names);
	read_commands(L, j, p);
	verb = lx_opt_str(L, 3, "verb", NULL);
	snprintf(j->verb, sizeof j->verb, "%s", verb && *verb ? verb :
		 base_name(p->argv[j->n - 1][0]));
	exec_read_options(L, j, p, start);
	exec_read_env(L, j, p);
	find_programs(L, j, p);
	set_request(L, j, p);
}

int exec_which(lua_State *L)
{
	const char *name = lx_checkcstr(L, 1);
	const char *path = lua_isnoneornil(L, 2) ? getenv("PATH")
						 : lx_checkcstr(L, 2);
	char found[SPAWN_PATH_MAX];

	if (spawn_find(name, path ? path : DEFAULT_PATH, NULL, found,
		       sizeof found))
		lua_pushnil(L);
	else
		lua_pushstring(L, found);
	return 1;
}
