/*
 * exec_options: how a call runs its programs: its class, limits, the statuses
 * that it takes, where input and output go, the folder. What is wrong raises
 * before anything is recorded or started. Must not open or start anything.
 */
#include "bind/exec.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "core/lx.h"
#include "effect/secret.h"

#define LOSSY_MAX 65536	/* bytes kept of what a reader of lines did not ask for */

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
			err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
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
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
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

/* --- all of them ------------------------------------------------------------------ */
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

void exec_read_options(lua_State *L, struct exec_job *j, struct exec_plan *p,
		       int start)
{
	read_limits(L, j, start);
	read_accept(L, j);
	read_doubt(L, j);
	read_stdin(L, j, p, start);
	read_outputs(L, p);
	if (j->cls == EFFECT_READ && (p->out.path || p->err.path))
		j->cls = EFFECT_WRITE;	/* the file is one */
	read_cwd(L, p);
}
