/*
 * fs_tree: removing, and temporary folders. Walks by descriptors: a link is
 * removed, never followed, and nothing beyond the file system that it started on.
 */
#include "bind/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/lx.h"
#include "core/mem.h"
#include "effect/withheld.h"

#define DEPTH_MAX 400		/* a descriptor a level */
#define TMP_NAME 16		/* bytes for the name of a folder */
#define TRIES 16

struct removal {
	struct fs_job *job;	/* borrowed; NULL: can't be stopped */
	struct err *err;
	dev_t dev;
	long long count;
};

static int remove_at(struct removal *r, int dir, const char *name, int depth);

static int empty_dir(struct removal *r, int fd, const char *name, int depth)
{
	DIR *d = fdopendir(fd);
	struct dirent *item;
	int failed = 0;

	if (!d) {
		failed = errno;
		close(fd);
		return fs_fail(r->err, failed, "remove", name);
	}
	while (!failed && (errno = 0, item = readdir(d))) {
		if (!strcmp(item->d_name, ".") || !strcmp(item->d_name, ".."))
			continue;
		failed = remove_at(r, dirfd(d), item->d_name, depth + 1);
	}
	if (!failed && errno)
		failed = fs_fail(r->err, errno, "remove", name);
	closedir(d);
	return failed;
}

static int remove_dir(struct removal *r, int dir, const char *name, int depth)
{
	struct stat st;
	int fd, code;

	if (depth > DEPTH_MAX) {
		err_set(r->err, ERR_LIMIT, "", "cannot remove '%s': it is "
			"more than %d folders deep", name, DEPTH_MAX);
		r->err->outcome = OUTCOME_FAILED;
		return -1;
	}
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
		    O_CLOEXEC);
	if (fd < 0)
		return fs_fail(r->err, errno, "remove", name);
	if (fstat(fd, &st) || st.st_dev != r->dev) {
		close(fd);
		fs_fail(r->err, EXDEV, "remove", name);
		snprintf(r->err->hint, sizeof r->err->hint,
			 "another file system is mounted there");
		return -1;
	}
	code = empty_dir(r, fd, name, depth);
	if (code)
		return code;
	if (unlinkat(dir, name, AT_REMOVEDIR))
		return fs_fail(r->err, errno, "remove", name);
	r->count++;
	return 0;
}

static int remove_at(struct removal *r, int dir, const char *name, int depth)
{
	if (r->job && fs_stopped(r->job))
		return -1;
	if (!unlinkat(dir, name, 0)) {
		r->count++;
		return 0;
	}
	if (errno == EISDIR)
		return remove_dir(r, dir, name, depth);
	return fs_fail(r->err, errno, "remove", name);
}

/* A tree, or what has no tree below it. */
static int remove_all(struct removal *r, int dir, const char *base)
{
	struct stat st;

	if (fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW))
		return fs_fail(r->err, errno, "remove", base);
	r->dev = st.st_dev;
	return S_ISDIR(st.st_mode) ? remove_dir(r, dir, base, 0)
				   : remove_at(r, dir, base, 0);
}

static void run_remove(struct fs_job *job)
{
	struct removal r = { .job = job, .err = &job->err };
	int is_dir = S_ISDIR(job->old.st_mode);

	if (fs_commit(job))
		return;
	if (is_dir && !job->flag) {
		if (unlinkat(job->at.dir, job->at.base, AT_REMOVEDIR)) {
			int code = errno;

			fs_job_fail(job, code, job->path);
			if (code == ENOTEMPTY || code == EEXIST)
				snprintf(job->err.hint, sizeof job->err.hint,
					 "recursive = true removes what is in "
					 "it too");
			return;
		}
		r.count = 1;
	} else if (remove_all(&r, job->at.dir, job->at.base)) {
		job->failed = 1;
		if (!r.count)
			return;
		snprintf(job->err.hint, sizeof job->err.hint, "%lld entries of "
			 "'%.120s' are removed already", r.count, job->path);
		job->err.outcome = OUTCOME_UNKNOWN;
		return;
	}
	job->count = r.count;
}

static int push_removed(lua_State *L, struct fs_job *job)
{
	lua_createtable(L, 0, 3);
	lua_pushboolean(L, 1);
	lua_setfield(L, -2, "ok");
	lua_pushstring(L, job->path);
	lua_setfield(L, -2, "path");
	lua_pushinteger(L, (lua_Integer)job->count);
	lua_setfield(L, -2, "count");
	return effect_push_result(L, -1, 1);
}

/* remove(path [, {recursive, timeout, expect}]) -> result {path, count} */
static int l_fs_remove(lua_State *L)
{
	static const char *const names[] = {
		"recursive", "timeout", "expect", NULL
	};
	const char *path = fs_checkpath(L, 1);
	struct fs_op *fop;
	struct fs_job *job;
	struct err e;

	lua_settop(L, 2);
	lx_opt_begin(L, 2, names);
	fop = fs_new(L, "remove", run_remove, push_removed);
	job = fop->job;
	fop->timeout = fs_timeout(L, 2, FS_TIMEOUT_LONG);
	job->flag = lx_opt_bool(L, 2, "recursive", 0);
	job->path = fs_keep(L, path);
	if (fs_place_open(&job->at, path, 0, "remove", &e))
		err_raise(L, &e);
	if (fstatat(job->at.dir, job->at.base, &job->old,
		    AT_SYMLINK_NOFOLLOW)) {
		fs_fail(&e, errno, "remove", path);
		err_raise(L, &e);
	}
	if (fs_begin(L, fop, fs_in_tmpdir(job->at.dir) ? EFFECT_WRITE
						       : EFFECT_DESTRUCTIVE,
		     job->flag ? " recursive" : ""))
		return effect_push_withheld(L, &fop->effect, 2);
	return fs_start(L, fop);
}

/* --- temporary folders ------------------------------------------------------------------ */
/* l_push_text(light userdata) -> string */
static int l_push_text(lua_State *L)
{
	lua_pushstring(L, lua_touserdata(L, 1));
	return 1;
}

/* [-0, +1, -] Pushes the path; -1 when there is no memory for it. */
static int keep_path(lua_State *L, char *path)
{
	lua_pushcfunction(L, l_push_text);
	lua_pushlightuserdata(L, path);
	return lua_pcall(L, 1, 1, 0);
}

/* Makes path + a name of its own, which starts at `name`. */
static int make_tmpdir(char *path, size_t name)
{
	unsigned long long r;
	int i;

	for (i = 0; i < TRIES; i++) {
		r = (unsigned long long)(size_t)&i ^ (unsigned)i;
		if (getrandom(&r, sizeof r, GRND_NONBLOCK) < 0)
			r *= 0x9e3779b97f4a7c15u;
		snprintf(path + name, TMP_NAME, "%012llx", r >> 16);
		if (!mkdir(path, 0700))
			return 0;
		if (errno != EEXIST)
			break;
	}
	return -1;
}

/* [-0, +0, v] Asks the boundary for what is done at once. 1: withheld. */
static int begin(lua_State *L, struct effect *f, const char *verb,
		 const char *path)
{
	struct effect_call what;

	memset(&what, 0, sizeof what);
	what.target = fs_host(L);
	what.cls = EFFECT_WRITE;
	what.verb = verb;
	what.request = path;
	what.request_len = strlen(path);
	if (effect_begin(L, f, &what) == EFFECT_WITHHELD)
		return 1;
	f->sent = 1;
	return 0;
}

/* tmpdir([parent]) -> path, withheld: 0700; in a plan a path that is not there.
 * Nothing raises once it is made. */
static int l_fs_tmpdir(lua_State *L)
{
	const char *parent = lua_isnoneornil(L, 1) ? getenv("TMPDIR")
						   : fs_checkpath(L, 1);
	char path[PATH_MAX];
	struct effect f;
	struct err e;
	int n;

	n = snprintf(path, sizeof path - TMP_NAME, "%s/opsh-",
		     parent && *parent ? parent : "/tmp");
	luaL_argcheck(L, n > 0 && n < (int)sizeof path - TMP_NAME, 1,
		      "path is too long");
	if (begin(L, &f, "tmpdir", path)) {
		lua_pushfstring(L, "%splan", path);
		lua_pushboolean(L, 1);
		return 2;
	}
	if (make_tmpdir(path, (size_t)n)) {
		fs_fail(&e, errno, "make a folder in", parent && *parent
			? parent : "/tmp");
		effect_end(&f, OUTCOME_FAILED, -1, -1, &e);
		return err_raise(L, &e);
	}
	if (fs_tmpdir_add(path) || keep_path(L, path)) {
		rmdir(path);
		fs_tmpdir_drop(path);
		fs_fail(&e, ENOMEM, "make", path);
		effect_end(&f, OUTCOME_FAILED, -1, -1, &e);
		return err_raise(L, &e);
	}
	effect_end(&f, OUTCOME_DONE, -1, -1, NULL);
	return 1;
}

/* rmtmp(path) -> entries removed: a folder of tmpdir with its contents, at once,
 * also in a task that is being unwound */
static int l_fs_rmtmp(lua_State *L)
{
	const char *path = fs_checkpath(L, 1);
	struct removal r = { .count = 0 };
	struct fs_place at = { .dir = -1 };
	enum outcome outcome = OUTCOME_DONE;
	struct effect f;
	struct err e;

	memset(&e, 0, sizeof e);
	if (!fs_tmpdir_find(path)) {
		lua_pushinteger(L, 0);
		return 1;
	}
	if (begin(L, &f, "remove", path)) {
		lua_pushinteger(L, 0);
		return 1;
	}
	fs_tmpdir_drop(path);
	r.err = &e;
	if (fs_place_open(&at, path, 0, "remove", &e) ||
	    remove_all(&r, at.dir, at.base))
		outcome = r.count ? OUTCOME_UNKNOWN : OUTCOME_FAILED;
	fs_place_release(&at);
	e.outcome = outcome;
	effect_end(&f, outcome, r.count, -1,
		   outcome == OUTCOME_DONE ? NULL : &e);
	if (outcome != OUTCOME_DONE)
		return err_raise(L, &e);
	lua_pushinteger(L, (lua_Integer)r.count);
	return 1;
}

void fs_open_tree(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "remove", l_fs_remove }, { "tmpdir", l_fs_tmpdir },
		{ "rmtmp", l_fs_rmtmp }, { NULL, NULL }
	};

	lx_setfuncs(L, funcs);
}
