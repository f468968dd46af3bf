/*
 * exec_args: what a call was given: argv lists, files, limits. All
 * that can be wrong is found here, before anything is recorded or started: a
 * program that is missing, a secret in an argument (everybody can read those).
 * Must not open or start anything.
 */
#include "bind/exec.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/lx.h"
#include "core/mem.h"
#include "core/spawn.h"
#include "effect/redact.h"
#include "effect/secret.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define LOSSY_MAX 65536	/* bytes kept of what a reader of lines did not ask for */

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

/* Would the redactor mask anything in it? */
static int holds_secret(lua_State *L, struct exec_job *j, const char *s,
			size_t len)
{
	int found;

	if (!redact_any())
		return 0;
	buf_clear(&j->text);
	redact_to(&j->text, s, len);
	if (!buf_ok(&j->text))
		no_memory(L);
	found = j->text.len != len || memcmp(j->text.data, s, len) != 0;
	mem_wipe(j->text.data, j->text.cap ? j->text.len : 0);
	buf_clear(&j->text);
	return found;
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
static char **read_argv(lua_State *L, struct exec_job *j, int stage)
{
	int list = lua_gettop(L), i, n;
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
		if (holds_secret(L, j, s, len))
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

/* --- files ---------------------------------------------------------------------- */
/* The file of the table at idx, {file =, append =}. */
static void read_file(lua_State *L, int idx, const char *name, int append,
		      struct exec_file *f)
{
	static const char *const out[] = { "file", "append", NULL };
	static const char *const in[] = { "file", NULL };
	size_t len;

	lx_opt_begin(L, idx, append ? out : in);
	f->path = lx_opt_str(L, idx, "file", &len);
	if (!f->path || !len || strlen(f->path) != len)
		err_raisef(L, ERR_USAGE, "", "option '%s' needs a path: "
			   "{ file = PATH }", name);
	f->append = append && lx_opt_bool(L, idx, "append", 0);
}

static void read_stdin(lua_State *L, struct exec_job *j, struct exec_plan *p,
		       int start)
{
	int idx, type;
	const char *s;
	size_t len;

	type = lua_getfield(L, 3, "stdin");
	idx = lua_gettop(L);
	s = secret_get(L, idx, &len);
	if (s || type == LUA_TSTRING) {
		if (!s)
			s = lua_tolstring(L, idx, &len);
		p->piped_in = 1;
		j->in.ends = 1;
		buf_add(&j->in.data, s, len);
		if (!buf_ok(&j->in.data))
			no_memory(L);
	} else if (type == LUA_TTABLE) {
		read_file(L, idx, "stdin", 0, &p->in);
	} else if (type == LUA_TFUNCTION && !start) {
		p->piped_in = 1;
		p->feed = idx;
	} else if (type == LUA_TBOOLEAN && start) {
		p->piped_in = lua_toboolean(L, idx);
	} else if (type != LUA_TNIL) {
		err_raisef(L, ERR_USAGE, "", "option 'stdin' is a string, a "
			   "secret, { file = PATH } or %s, not a %s", start ?
			   "true" : "a function", luaL_typename(L, idx));
	}
}

static void read_outputs(lua_State *L, struct exec_plan *p)
{
	int type = lua_getfield(L, 3, "stdout");

	if (type == LUA_TTABLE)
		read_file(L, lua_gettop(L), "stdout", 1, &p->out);
	else if (type != LUA_TNIL)
		err_raisef(L, ERR_USAGE, "", "option 'stdout' is { file = PATH, "
			   "append = true }, not a %s", luaL_typename(L, -1));
	type = lua_getfield(L, 3, "stderr");
	if (type == LUA_TTABLE)
		read_file(L, lua_gettop(L), "stderr", 1, &p->err);
	else if (type == LUA_TSTRING && !strcmp(lua_tostring(L, -1), "stdout"))
		p->merge = 1;
	else if (type != LUA_TNIL)
		err_raisef(L, ERR_USAGE, "", "option 'stderr' is \"stdout\" or "
			   "{ file = PATH, append = true }");
}

/* --- limits ----------------------------------------------------------------------- */
static void accept_status(lua_State *L, struct exec_job *j)
{
	lua_Integer v = lua_tointeger(L, -1);

	if (!lua_isinteger(L, -1) || v < 0 || v > 255)
		err_raisef(L, ERR_USAGE, "", "option 'accept' is true, or exit "
			   "statuses from 0 to 255");
	j->accept[(v & 255) / 8] |= (unsigned char)(1 << (v & 7));
}

static void read_accept(lua_State *L, struct exec_job *j)
{
	int i, n;

	switch (lua_getfield(L, 3, "accept")) {
	case LUA_TNIL:
		j->accept[0] = 1;
		break;
	case LUA_TBOOLEAN:
		j->accept[0] = 1;
		j->accept_any = lua_toboolean(L, -1);
		break;
	case LUA_TTABLE:
		n = (int)lua_rawlen(L, -1);
		for (i = 1; i <= n; i++) {
			lua_rawgeti(L, -1, i);
			accept_status(L, j);
			lua_pop(L, 1);
		}
		break;
	default:
		accept_status(L, j);
	}
}

/* Texts of a program that failed and may have done something before. */
static void read_doubt(lua_State *L, struct exec_job *j)
{
	int type = lua_getfield(L, 3, "doubt"), i, n;
	const char *s;
	size_t len;

	n = type == LUA_TTABLE ? (int)lua_rawlen(L, -1) : 0;
	for (i = 1; i <= n; i++) {
		s = lua_rawgeti(L, -1, i) == LUA_TSTRING
			? lua_tolstring(L, -1, &len) : NULL;
		if (!s || !len || strlen(s) != len)
			break;
		buf_add(&j->doubt, s, len + 1);
		lua_pop(L, 1);
	}
	if (i <= n || (type != LUA_TTABLE && type != LUA_TNIL))
		err_raisef(L, ERR_USAGE, "", "option 'doubt' is a list of "
			   "texts");
	if (!buf_ok(&j->doubt))
		no_memory(L);
	lua_pop(L, 1);
}

static double read_seconds(lua_State *L, const char *name, double def)
{
	double v = lx_opt_num(L, 3, name, def);

	if (!isfinite(v) || v < 0)
		err_raisef(L, ERR_USAGE, "", "option '%s' is a number of "
			   "seconds", name);
	return v;
}

static void read_limits(lua_State *L, struct exec_job *j, int start)
{
	static const char *const classes[] = { "read", "write", "destructive" };
	const char *cls = lx_opt_str(L, 3, "class", NULL);
	lua_Integer max = lx_opt_int(L, 3, "max", EXEC_MAX);
	int i;

	j->cls = EFFECT_WRITE;
	for (i = 0; cls && i < 3; i++)
		if (!strcmp(cls, classes[i]))
			j->cls = (enum effect_class)i, cls = NULL;
	if (cls)
		err_raisef(L, ERR_USAGE, "", "class is read, write or "
			   "destructive, not '%s'", cls);
	if (max < 0)
		err_raisef(L, ERR_USAGE, "", "option 'max' is a number of "
			   "bytes");
	j->out[0].max = j->out[1].max = (size_t)max;
	if (start) {
		j->out[0].hold = EXEC_HOLD;
		j->out[1].max = LOSSY_MAX;
		j->out[1].lossy = 1;
	} else {
		j->live = lx_opt_bool(L, 3, "live", 0);
	}
	j->timeout = read_seconds(L, "timeout", start ? 0 : EXEC_TIMEOUT);
	if (!start && j->timeout <= 0)
		err_raisef(L, ERR_USAGE, "", "option 'timeout' must be more "
			   "than 0 seconds");
	j->kill_after = read_seconds(L, "kill_after", EXEC_KILL_AFTER);
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

static void read_cwd(lua_State *L, struct exec_plan *p)
{
	struct stat st;
	size_t len;

	p->cwd = lx_opt_str(L, 3, "cwd", &len);
	if (!p->cwd)
		return;
	if (strlen(p->cwd) != len || stat(p->cwd, &st))
		err_raisef(L, ERR_IO, "", "cannot start in '%s': %s", p->cwd,
			   strlen(p->cwd) != len ? "it holds a NUL byte" :
			   strerror(errno));
	if (!S_ISDIR(st.st_mode))
		err_raisef(L, ERR_IO, "ENOTDIR", "cannot start in '%s': it is "
			   "no folder", p->cwd);
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
		p->argv[i] = read_argv(L, j, i);
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
	read_limits(L, j, start);
	read_accept(L, j);
	read_doubt(L, j);
	read_stdin(L, j, p, start);
	read_outputs(L, p);
	if (j->cls == EFFECT_READ && (p->out.path || p->err.path))
		j->cls = EFFECT_WRITE;	/* the file is one */
	read_cwd(L, p);
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
