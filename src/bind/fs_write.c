/*
 * fs_write: write, append, copy, rename, mkdir. Each is judged by what is at the
 * path now, asks the boundary, and is done in the pool. What is not there when it
 * is judged is never replaced.
 */
#include "bind/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/lx.h"
#include "core/mem.h"
#include "effect/digest.h"
#include "effect/redact.h"
#include "effect/secret.h"

#define COPY_PIECE (16 * 1024 * 1024)
#define SUM_MAX (1024 * 1024)	/* contents whose checksum is recorded */

/* --- judging ---------------------------------------------------------------------- */
/* [-0, +0, v] Opens the place of a file to be made or replaced. */
static enum effect_class judge_out(lua_State *L, struct fs_op *fop,
				   const char *path)
{
	struct fs_job *job = fop->job;
	struct err e;

	if (fs_place_open(&job->at, path, 1, fop->verb, &e))
		err_raise(L, &e);
	if (fstatat(job->at.dir, job->at.base, &job->old,
		    AT_SYMLINK_NOFOLLOW)) {
		if (errno == ENOENT)
			return EFFECT_WRITE;
		fs_fail(&e, errno, fop->verb, path);
		err_raise(L, &e);
	}
	if (!S_ISREG(job->old.st_mode))
		err_raisef(L, ERR_IO, "", "cannot %s '%s': it is a %s, not a "
			   "file", fop->verb, path, fs_type(job->old.st_mode));
	job->exists = job->replace = 1;
	return fs_in_tmpdir(job->at.dir) ? EFFECT_WRITE : EFFECT_DESTRUCTIVE;
}

/* --- contents that are given -------------------------------------------------------- */
/* " bytes=N", the mode, and a checksum of what is no secret: none either when
 * that can't be known. */
static void describe(struct fs_job *job, int secret, char *text, size_t size)
{
	char hex[65];
	int n = snprintf(text, size, " bytes=%zu", job->len);

	if (job->mode >= 0)
		n += snprintf(text + n, size - (size_t)n, " mode=%04o",
			      (unsigned)job->mode);
	if (secret || job->len > SUM_MAX || redact_finds(job->data, job->len))
		return;
	digest_hex(job->data, job->len, hex);
	snprintf(text + n, size - (size_t)n, " sha256=%s", hex);
}

/* The data at arg: a string or a secret; 1 when a secret. */
static int take_data(lua_State *L, struct fs_job *job, int arg)
{
	const char *data = secret_get(L, arg, &job->len);
	int secret = data != NULL;

	if (!secret)
		data = lx_checkstr(L, arg, &job->len);
	job->data = mem_memdup(data, job->len);
	if (!job->data)
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory for %d "
			   "bytes", (int)job->len);
	return secret;
}

/* write and append: path, data and options at 1 to 3. */
static int put(lua_State *L, const char *verb, void (*run)(struct fs_job *job),
	       int appends)
{
	static const char *const names[] = {
		"mode", "sync", "timeout", "expect", NULL
	};
	const char *path = fs_checkpath(L, 1);
	enum effect_class cls;
	struct fs_op *fop;
	struct fs_job *job;
	char text[160];
	int secret;

	lua_settop(L, 3);
	lx_opt_begin(L, 3, names);
	fop = fs_new(L, verb, run, fs_push_done);
	job = fop->job;
	fop->timeout = fs_timeout(L, 3, FS_TIMEOUT);
	job->mode = fs_opt_mode(L, 3);
	job->sync = lx_opt_bool(L, 3, "sync", 1);
	secret = take_data(L, job, 2);
	job->path = fs_keep(L, path);
	/* what append makes the kernel masks itself */
	job->flag = secret ? 0600 : appends ? 0666 : 0666 & ~fs_umask();
	cls = judge_out(L, fop, path);
	if (appends) {
		job->replace = 0;
		cls = EFFECT_WRITE;
	}
	describe(job, secret, text, sizeof text);
	if (fs_begin(L, fop, cls, text))
		return effect_push_withheld(L, &fop->effect, 3);
	return fs_start(L, fop);
}

/* --- write ------------------------------------------------------------------------ */
static void run_write(struct fs_job *job)
{
	struct fs_out o;

	if (!fs_out_open(job, &o) &&
	    !fs_out_write(job, &o, job->data, job->len))
		fs_out_commit(job, &o, job->flag);
	fs_out_release(job, &o);
}

/* write(path, data [, {mode, sync, timeout, expect}]) -> result {path, bytes,
 * replaced} */
static int l_fs_write(lua_State *L)
{
	return put(L, "write", run_write, 0);
}

/* --- append ----------------------------------------------------------------------- */
/* Takes back what was added, unless another has added after it. */
static void take_back(struct fs_job *job, int fd, off_t before)
{
	struct stat st;

	if (!job->bytes || (!fstat(fd, &st) &&
			    st.st_size == before + job->bytes &&
			    !ftruncate(fd, before)))
		return;
	err_set(&job->err, ERR_IO, "", "%lld of %zu bytes were appended to "
		"'%s'", job->bytes, job->len, job->path);
	job->err.outcome = OUTCOME_UNKNOWN;
}

static void run_append(struct fs_job *job)
{
	struct fs_out o = { .fd = -1 };
	struct stat st;

	if (fs_commit(job))
		return;
	o.fd = openat(job->at.dir, job->at.base, O_WRONLY | O_APPEND | O_CREAT |
		      O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
		      job->exists ? 0600 : job->flag);
	if (o.fd < 0 || fstat(o.fd, &st)) {
		fs_job_fail(job, errno, job->path);
	} else if (!S_ISREG(st.st_mode)) {
		fs_job_fail(job, EINVAL, job->path);
	} else if (fs_out_write(job, &o, job->data, job->len)) {
		take_back(job, o.fd, st.st_size);
	} else if ((job->mode >= 0 && fchmod(o.fd, (mode_t)job->mode)) ||
		   (job->sync && fsync(o.fd))) {
		fs_job_fail(job, errno, job->path);
		job->err.outcome = OUTCOME_UNKNOWN;
	}
	if (o.fd >= 0)
		close(o.fd);
}

/* append(path, data [, {mode, sync, timeout, expect}]) -> result {path, bytes} */
static int l_fs_append(lua_State *L)
{
	return put(L, "append", run_append, 1);
}

/* --- copy -------------------------------------------------------------------------- */
/* Without the bytes passing by us: as far as the file systems can. What is left,
 * which may be all of it, is for read and write. -1: failed or stopped. */
static int copy_within(struct fs_job *job, struct fs_out *o)
{
	for (;;) {
		ssize_t n;

		if (fs_stopped(job))
			return -1;
		n = copy_file_range(job->in, NULL, o->fd, NULL, COPY_PIECE, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == ENOSPC || errno == EIO ||
			      errno == EDQUOT || errno == EFBIG))
			return fs_job_fail(job, errno, job->other);
		if (n <= 0)
			return 0;
		job->bytes += n;
	}
}

static void run_copy(struct fs_job *job)
{
	char *chunk = mem_alloc(FS_CHUNK);
	struct fs_out o = { .fd = -1 };
	ssize_t n = 0;

	if (!chunk) {
		fs_job_fail(job, ENOMEM, job->path);
		return;
	}
	if (fs_out_open(job, &o) || copy_within(job, &o))
		goto out;
	while ((n = read(job->in, chunk, FS_CHUNK)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			fs_job_fail(job, errno, job->path);
			goto out;
		}
		if (fs_out_write(job, &o, chunk, (size_t)n))
			goto out;
	}
	fs_out_commit(job, &o, job->flag);
out:
	fs_out_release(job, &o);
	mem_free(chunk);
}

int fs_start_copy(lua_State *L, struct fs_op *fop)
{
	const char *from = fs_checkpath(L, 1), *to = fs_checkpath(L, 2);
	struct fs_job *job = fop->job;
	enum effect_class cls;
	struct stat st;
	char text[64];
	struct err e;

	fop->timeout = fs_timeout(L, 3, FS_TIMEOUT_LONG);
	job->mode = fs_opt_mode(L, 3);
	job->sync = lx_opt_bool(L, 3, "sync", 1);
	job->path = fs_keep(L, from);
	job->other = fs_keep(L, to);
	job->in = fs_open_file(from, fop->verb, &st, &e);
	if (job->in < 0)
		err_raise(L, &e);
	job->flag = (int)(st.st_mode & 0777) & ~fs_umask();
	cls = judge_out(L, fop, to);
	if (job->exists && st.st_dev == job->old.st_dev &&
	    st.st_ino == job->old.st_ino)
		err_raisef(L, ERR_USAGE, "", "cannot %s '%s': '%s' is the "
			   "same file", fop->verb, from, to);
	snprintf(text, sizeof text, " bytes=%lld", (long long)st.st_size);
	if (fs_begin(L, fop, cls, text))
		return effect_push_withheld(L, &fop->effect, 3);
	return fs_start(L, fop);
}

/* copy(from, to [, {mode, sync, timeout, expect}]) -> result {path, bytes,
 * replaced} */
static int l_fs_copy(lua_State *L)
{
	static const char *const names[] = {
		"mode", "sync", "timeout", "expect", NULL
	};

	/* ahead of settop, which makes nil of what is missing */
	fs_checkpath(L, 1);
	fs_checkpath(L, 2);
	lua_settop(L, 3);
	lx_opt_begin(L, 3, names);
	return fs_start_copy(L, fs_new(L, "copy", run_copy, fs_push_done));
}

/* --- rename ------------------------------------------------------------------------ */
static void run_rename(struct fs_job *job)
{
	int code;

	if (fs_commit(job))
		return;
	code = job->replace ? renameat(job->at.dir, job->at.base, job->to.dir,
				       job->to.base)
		: renameat2(job->at.dir, job->at.base, job->to.dir,
			    job->to.base, RENAME_NOREPLACE);
	if (code) {
		code = errno;
		fs_job_fail(job, code, job->path);
		if (code == EXDEV)
			snprintf(job->err.hint, sizeof job->err.hint, "'%.100s'"
				 " is on another file system: copy, then "
				 "remove", job->other);
		return;
	}
	if ((fsync(job->to.dir) || fsync(job->at.dir)) && errno == EIO) {
		fs_job_fail(job, errno, job->path);
		job->err.outcome = OUTCOME_UNKNOWN;
	}
}

/* rename(from, to [, {timeout, expect}]) -> result {path, replaced} */
static int l_fs_rename(lua_State *L)
{
	static const char *const names[] = { "timeout", "expect", NULL };
	const char *from = fs_checkpath(L, 1), *to = fs_checkpath(L, 2);
	enum effect_class cls = EFFECT_WRITE;
	struct fs_op *fop;
	struct fs_job *job;
	struct stat st;
	struct err e;

	lua_settop(L, 3);
	lx_opt_begin(L, 3, names);
	fop = fs_new(L, "rename", run_rename, fs_push_done);
	job = fop->job;
	fop->timeout = fs_timeout(L, 3, FS_TIMEOUT);
	job->path = fs_keep(L, from);
	job->other = fs_keep(L, to);
	if (fs_place_open(&job->at, from, 0, "rename", &e) ||
	    fs_place_open(&job->to, to, 0, "rename", &e))
		err_raise(L, &e);
	if (fstatat(job->at.dir, job->at.base, &st, AT_SYMLINK_NOFOLLOW)) {
		fs_fail(&e, errno, "rename", from);
		err_raise(L, &e);
	}
	if (!fstatat(job->to.dir, job->to.base, &job->old,
		     AT_SYMLINK_NOFOLLOW)) {
		job->exists = job->replace = 1;
		if (!fs_in_tmpdir(job->to.dir))
			cls = EFFECT_DESTRUCTIVE;
	}
	if (fs_begin(L, fop, cls, ""))
		return effect_push_withheld(L, &fop->effect, 3);
	return fs_start(L, fop);
}

/* --- mkdir -------------------------------------------------------------------------- */
/* One folder: 1 made, 0 was there, -1. */
static int make_one(struct fs_job *job, const char *path, int last)
{
	struct stat st;

	if (!mkdir(path, last && job->mode >= 0 ? (mode_t)job->mode : 0777)) {
		if (last && job->mode >= 0 && chmod(path, (mode_t)job->mode))
			return fs_job_fail(job, errno, path);
		job->count++;
		return 1;
	}
	if (errno == EEXIST && job->flag && !stat(path, &st) &&
	    S_ISDIR(st.st_mode))
		return 0;
	return fs_job_fail(job, errno, path);
}

static void run_mkdir(struct fs_job *job)
{
	char *p;

	if (fs_commit(job))
		return;
	for (p = job->data + 1; job->flag && *p; p++) {
		if (*p != '/' || p[-1] == '/' || !p[strspn(p, "/")])
			continue;
		*p = '\0';
		if (make_one(job, job->data, 0) < 0)
			break;
		*p = '/';
	}
	if (!job->failed)
		make_one(job, job->data, 1);
	if (job->failed && job->count)
		job->err.outcome = OUTCOME_UNKNOWN;
}

/* mkdir(path [, {parents, mode, timeout, expect}]) -> result {path, count} */
static int l_fs_mkdir(lua_State *L)
{
	static const char *const names[] = {
		"parents", "mode", "timeout", "expect", NULL
	};
	const char *path = fs_checkpath(L, 1);
	struct fs_op *fop;
	struct fs_job *job;

	lua_settop(L, 2);
	lx_opt_begin(L, 2, names);
	fop = fs_new(L, "mkdir", run_mkdir, fs_push_done);
	job = fop->job;
	fop->timeout = fs_timeout(L, 2, FS_TIMEOUT);
	job->mode = fs_opt_mode(L, 2);
	job->flag = lx_opt_bool(L, 2, "parents", 0);
	job->path = fs_keep(L, path);
	job->data = fs_keep(L, path);
	if (fs_begin(L, fop, EFFECT_WRITE, ""))
		return effect_push_withheld(L, &fop->effect, 2);
	return fs_start(L, fop);
}

void fs_open_write(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "write", l_fs_write }, { "append", l_fs_append },
		{ "copy", l_fs_copy }, { "rename", l_fs_rename },
		{ "mkdir", l_fs_mkdir }, { NULL, NULL }
	};

	lx_setfuncs(L, funcs);
}
