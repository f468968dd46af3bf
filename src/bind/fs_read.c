/*
 * fs_read: what only looks: read, stat, exists, list, df, and the reader below
 * fs.lines. Free of records, as Lua's io.open for reading. What may take long
 * runs in the pool; stat and exists ask the kernel at once.
 */
#include "bind/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/lx.h"
#include "core/mem.h"

#define READ_MAX (64LL * 1024 * 1024)
#define READER_META "opsh.fs.reader"

struct reader {
	int fd;			/* owned; -1 closed */
	char *path;		/* owned */
};

/* --- contents ---------------------------------------------------------------------- */
/* Reads up to `want` bytes, to the end when it is short. */
static void take(struct fs_job *job, long long want)
{
	while ((long long)job->out.len < want) {
		size_t left = (size_t)want - job->out.len;
		ssize_t n;
		char *at = buf_reserve(&job->out, left < FS_CHUNK ? left
								  : FS_CHUNK);

		if (!at) {
			fs_job_fail(job, ENOMEM, job->path);
			return;
		}
		if (fs_stopped(job))
			return;
		n = read(job->in, at, left < FS_CHUNK ? left : FS_CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			fs_job_fail(job, errno, job->path);
		if (n <= 0)
			return;
		job->out.len += (size_t)n;
		job->out.data[job->out.len] = '\0';
	}
}

static void run_read(struct fs_job *job)
{
	struct stat st;

	if (!fstat(job->in, &st) && st.st_size <= job->max)
		buf_reserve(&job->out, (size_t)st.st_size + 1);
	if (!fstat(job->in, &st) && st.st_size > job->max)
		job->count = st.st_size;
	else
		take(job, job->max + 1);
	if (!job->failed && !job->count && (long long)job->out.len <= job->max)
		return;
	if (job->failed)
		return;
	job->failed = 1;
	err_set(&job->err, ERR_LIMIT, "", "'%s' holds more than %lld bytes",
		job->path, job->max);
	snprintf(job->err.hint, sizeof job->err.hint, "raise max, or go "
		 "through it by fs.lines");
}

static int push_read(lua_State *L, struct fs_job *job)
{
	lua_pushlstring(L, job->out.data, job->out.len);
	return 1;
}

/* read(path [, {max, timeout}]) -> string */
static int l_fs_read(lua_State *L)
{
	static const char *const names[] = { "max", "timeout", NULL };
	const char *path = fs_checkpath(L, 1);
	struct fs_op *fop;
	struct stat st;
	struct err e;

	lua_settop(L, 2);
	lx_opt_begin(L, 2, names);
	fop = fs_new(L, "read", run_read, push_read);
	fop->timeout = fs_timeout(L, 2, FS_TIMEOUT);
	fop->job->max = lx_opt_int(L, 2, "max", READ_MAX);
	luaL_argcheck(L, fop->job->max >= 0 && fop->job->max < 1LL << 40, 2,
		      "max must be 0 or more bytes");
	fop->job->path = fs_keep(L, path);
	fop->job->in = fs_open_file(path, "read", &st, &e);
	if (fop->job->in < 0)
		err_raise(L, &e);
	return fs_start(L, fop);
}

/* --- the reader below fs.lines -------------------------------------------------------- */
static int l_reader_close(lua_State *L)
{
	struct reader *r = luaL_checkudata(L, 1, READER_META);

	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	mem_free(r->path);
	r->path = NULL;
	return 0;
}

/* open(path) -> reader */
static int l_fs_open(lua_State *L)
{
	const char *path = fs_checkpath(L, 1);
	struct reader *r = lua_newuserdatauv(L, sizeof *r, 0);
	struct stat st;
	struct err e;

	r->fd = -1;
	r->path = NULL;
	luaL_setmetatable(L, READER_META);
	r->path = fs_keep(L, path);
	r->fd = fs_open_file(path, "read", &st, &e);
	if (r->fd < 0)
		err_raise(L, &e);
	return 1;
}

static void run_chunk(struct fs_job *job)
{
	take(job, job->max);
}

static int push_chunk(lua_State *L, struct fs_job *job)
{
	if (job->out.len)
		return push_read(L, job);
	lua_pushnil(L);
	return 1;
}

/* reader:chunk([bytes]) -> string, nil at the end */
static int l_reader_chunk(lua_State *L)
{
	struct reader *r = luaL_checkudata(L, 1, READER_META);
	lua_Integer want = luaL_optinteger(L, 2, FS_CHUNK);
	struct fs_op *fop;

	luaL_argcheck(L, want > 0 && want <= READ_MAX, 2,
		      "bytes must be 1 to 64 MiB");
	if (r->fd < 0)
		err_raisef(L, ERR_USAGE, "", "the file is closed");
	fop = fs_new(L, "read", run_chunk, push_chunk);
	fop->job->max = want;
	fop->job->path = fs_keep(L, r->path);
	/* the thread's own: the reader may be closed while it hangs */
	fop->job->in = fcntl(r->fd, F_DUPFD_CLOEXEC, 3);
	if (fop->job->in < 0)
		err_raisef(L, ERR_IO, "", "cannot read '%s': %s", r->path,
			   strerror(errno));
	return fs_start(L, fop);
}

/* --- stat --------------------------------------------------------------------------- */
static void set_int(lua_State *L, const char *name, long long v)
{
	lua_pushinteger(L, (lua_Integer)v);
	lua_setfield(L, -2, name);
}

static void push_stat(lua_State *L, const struct stat *st)
{
	char mode[8];

	lua_createtable(L, 0, 12);
	lua_pushstring(L, fs_type(st->st_mode));
	lua_setfield(L, -2, "type");
	snprintf(mode, sizeof mode, "%04o", (unsigned)st->st_mode & 07777);
	lua_pushstring(L, mode);
	lua_setfield(L, -2, "mode");
	set_int(L, "size", st->st_size);
	set_int(L, "blocks", st->st_blocks);
	set_int(L, "uid", st->st_uid);
	set_int(L, "gid", st->st_gid);
	set_int(L, "links", (long long)st->st_nlink);
	set_int(L, "inode", (long long)st->st_ino);
	set_int(L, "device", (long long)st->st_dev);
	lua_pushnumber(L, (double)st->st_mtim.tv_sec +
		       (double)st->st_mtim.tv_nsec / 1e9);
	lua_setfield(L, -2, "mtime");
	lua_pushnumber(L, (double)st->st_ctim.tv_sec +
		       (double)st->st_ctim.tv_nsec / 1e9);
	lua_setfield(L, -2, "ctime");
	lua_pushnumber(L, (double)st->st_atim.tv_sec +
		       (double)st->st_atim.tv_nsec / 1e9);
	lua_setfield(L, -2, "atime");
}

/* stat(path [, {follow}]) -> {type, mode, size, mtime, ..} */
static int l_fs_stat(lua_State *L)
{
	static const char *const names[] = { "follow", NULL };
	const char *path = fs_checkpath(L, 1);
	struct stat st;
	struct err e;
	int follow;

	lua_settop(L, 2);
	lx_opt_begin(L, 2, names);
	follow = lx_opt_bool(L, 2, "follow", 1);
	if (follow ? stat(path, &st) : lstat(path, &st)) {
		fs_fail(&e, errno, "stat", path);
		e.outcome = OUTCOME_NONE;
		err_raise(L, &e);
	}
	push_stat(L, &st);
	return 1;
}

/* exists(path) -> boolean; raises when that can't be known */
static int l_fs_exists(lua_State *L)
{
	const char *path = fs_checkpath(L, 1);
	struct stat st;
	struct err e;

	if (!stat(path, &st)) {
		lua_pushboolean(L, 1);
		return 1;
	}
	if (errno != ENOENT && errno != ENOTDIR) {
		fs_fail(&e, errno, "stat", path);
		e.outcome = OUTCOME_NONE;
		err_raise(L, &e);
	}
	lua_pushboolean(L, 0);
	return 1;
}

/* --- list ---------------------------------------------------------------------------- */
static void run_list(struct fs_job *job)
{
	DIR *d = opendir(job->path);
	struct dirent *item;
	long long n = 0;

	if (!d) {
		fs_job_fail(job, errno, job->path);
		return;
	}
	while (errno = 0, (item = readdir(d))) {
		if (!strcmp(item->d_name, ".") || !strcmp(item->d_name, ".."))
			continue;
		if (n % 1024 == 0 && fs_stopped(job))
			break;
		if (fs_names_add(job, item->d_name, ++n))
			break;
	}
	if (!item && errno)
		fs_job_fail(job, errno, job->path);
	closedir(d);
	if (!job->failed)
		fs_names_sort(job, n);
}

/* list(path [, {timeout}]) -> names, sorted */
static int l_fs_list(lua_State *L)
{
	static const char *const names[] = { "timeout", NULL };
	const char *path = fs_checkpath(L, 1);
	struct fs_op *fop;

	lua_settop(L, 2);
	lx_opt_begin(L, 2, names);
	fop = fs_new(L, "list", run_list, fs_push_names);
	fop->timeout = fs_timeout(L, 2, FS_TIMEOUT);
	fop->job->path = fs_keep(L, path);
	return fs_start(L, fop);
}

/* --- df ------------------------------------------------------------------------------ */
static void run_df(struct fs_job *job)
{
	if (statvfs(job->path, &job->vfs))
		fs_job_fail(job, errno, job->path);
}

static double percent(double used, double free)
{
	return used + free > 0 ? 100 * used / (used + free) : 0;
}

static int push_df(lua_State *L, struct fs_job *job)
{
	const struct statvfs *v = &job->vfs;
	long long unit = (long long)(v->f_frsize ? v->f_frsize : v->f_bsize);
	long long used = (long long)(v->f_blocks - v->f_bfree);
	long long inodes = (long long)(v->f_files - v->f_ffree);

	lua_createtable(L, 0, 7);
	set_int(L, "size", (long long)v->f_blocks * unit);
	set_int(L, "used", used * unit);
	set_int(L, "free", (long long)v->f_bavail * unit);
	lua_pushnumber(L, percent((double)used, (double)v->f_bavail));
	lua_setfield(L, -2, "percent");
	set_int(L, "inodes", (long long)v->f_files);
	lua_pushnumber(L, percent((double)inodes, (double)v->f_favail));
	lua_setfield(L, -2, "inodes_percent");
	lua_pushboolean(L, (v->f_flag & ST_RDONLY) != 0);
	lua_setfield(L, -2, "readonly");
	return 1;
}

/* df(path [, {timeout}]) -> {size, used, free, percent, inodes,
 * inodes_percent, readonly} */
static int l_fs_df(lua_State *L)
{
	static const char *const names[] = { "timeout", NULL };
	const char *path = fs_checkpath(L, 1);
	struct fs_op *fop;

	lua_settop(L, 2);
	lx_opt_begin(L, 2, names);
	fop = fs_new(L, "df", run_df, push_df);
	fop->timeout = fs_timeout(L, 2, 10);
	fop->job->path = fs_keep(L, path);
	return fs_start(L, fop);
}

void fs_open_read(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "chunk", l_reader_chunk }, { "close", l_reader_close },
		{ NULL, NULL }
	};
	static const luaL_Reg meta[] = {
		{ "__gc", l_reader_close }, { "__close", l_reader_close },
		{ NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "read", l_fs_read }, { "open", l_fs_open },
		{ "stat", l_fs_stat }, { "exists", l_fs_exists },
		{ "list", l_fs_list }, { "df", l_fs_df }, { NULL, NULL }
	};

	lx_metatable(L, READER_META, methods, meta);
	lx_setfuncs(L, funcs);
}
