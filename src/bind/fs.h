/*
 * fs: shared parts of the binding of files. A call makes an op (what a task
 * waits for) and a job (what a thread of the pool does); the job owns all that
 * the thread touches, so that it may outlive the op when a file system does not
 * answer. What changes the machine is an effect on the target `local`.
 */
#ifndef OPSH_BIND_FS_H
#define OPSH_BIND_FS_H

#include <lua.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "core/buf.h"
#include "core/op.h"
#include "effect/effect.h"

#define FS_CHUNK (256 * 1024)
#define FS_TIMEOUT 60.0		/* seconds, of what is small */
#define FS_TIMEOUT_LONG 600.0	/* of what goes through whole files, trees */
#define FS_NAMES_MAX 1000000	/* names of one listing */

struct loop_work;
struct fs_op;

/* The folder of a path, open, and the name in it. */
struct fs_place {
	int dir;		/* owned; -1 none */
	char *base;		/* owned */
};

enum fs_state { FS_RUNS, FS_COMMITS, FS_STOPPED };

struct fs_job {
	atomic_int state;	/* who came first: the commit or the stop */
	atomic_int stop;
	struct fs_op *op;	/* borrowed; NULL: abandoned */
	void (*run)(struct fs_job *job);
	const char *doing;	/* "write", for messages */

	/* what to do */
	char *path, *other;	/* owned: as given */
	struct fs_place at, to;
	int in;			/* owned: a file to read; -1 none */
	char *data;		/* owned, wiped */
	size_t len;
	long long max;
	int mode;		/* -1: not given */
	int sync, replace, exists, flag, level;
	struct stat old;	/* what is replaced */

	/* what came of it */
	int failed;
	struct err err;
	struct buf out;		/* names with their NULs, or contents */
	char **names;		/* owned: sorted, into out */
	long long count, bytes;
	char hex[136];
	struct statvfs vfs;
};

struct fs_op {
	struct op op;
	struct effect effect;
	struct fs_job *job;	/* owned until abandoned */
	struct loop_work *work;	/* borrowed: runs the job */
	struct loop_timer *grace;	/* owned */
	int (*push)(lua_State *L, struct fs_job *job);
	const char *verb;
	double timeout;
	struct buf text;	/* owned: the request of the record */
};

/* --- fs_job.c: calls ------------------------------------------------------------ */
/* [-0, +1, v] An op with its job. verb: of the record and of messages. */
struct fs_op *fs_new(lua_State *L, const char *verb,
		     void (*run)(struct fs_job *job),
		     int (*push)(lua_State *L, struct fs_job *job));
/* [-0, +0, v] Copies text that the job needs. */
char *fs_keep(lua_State *L, const char *s);
/* [-0, +0, v] Asks the boundary. extra: what the request says after the paths.
 * 1: withheld. */
int fs_begin(lua_State *L, struct fs_op *fop, enum effect_class cls,
	     const char *extra);
/* [-0, +0, v] The machine itself. */
struct target *fs_host(lua_State *L);
/* [-0, +1, v] Hands the job to the pool and waits. */
int fs_start(lua_State *L, struct fs_op *fop);
/* [-0, +0, v] option `timeout` of the table at arg, else def */
double fs_timeout(lua_State *L, int arg, double def);
/* [-0, +0, v] option `mode` ("0644"), -1 when absent */
int fs_opt_mode(lua_State *L, int arg);
/* [-0, +1, v] {ok, path, bytes, ..} as a result */
int fs_push_done(lua_State *L, struct fs_job *job);
int fs_push_names(lua_State *L, struct fs_job *job);

/* In the pool. Was it asked to stop? (the error is set) */
int fs_stopped(struct fs_job *job);
/* Before the first lasting change: -1 when the stop came first. */
int fs_commit(struct fs_job *job);

/* --- fs_path.c: paths, errors ------------------------------------------------- */
/* A path without NUL, not empty, [-0, +0, v]. */
const char *fs_checkpath(lua_State *L, int arg);
/* "cannot DOING 'PATH': WHY"; kind io, code ENOENT ..; -1. */
int fs_fail(struct err *e, int code, const char *doing, const char *path);
/* The same into the job, which failed. */
int fs_job_fail(struct fs_job *job, int code, const char *path);
const char *fs_type(mode_t mode);	/* "file", "directory", .. */
/* Opens the folder of path; follow: what a symbolic link names. 0, or -1, *e. */
int fs_place_open(struct fs_place *p, const char *path, int follow,
		  const char *doing, struct err *e);
void fs_place_release(struct fs_place *p);
/* Opens a regular file to read; its fd, or -1 and *e. */
int fs_open_file(const char *path, const char *doing, struct stat *st,
		 struct err *e);
/* 1 when the folder is one of fs.tmpdir, or in it. */
int fs_in_tmpdir(int dir);
int fs_tmpdir_add(const char *path);	/* -1 out of memory */
int fs_tmpdir_find(const char *path);
void fs_tmpdir_drop(const char *path);

/* --- fs_out.c: a file that appears whole or not at all ---------------------------- */
struct fs_out {
	int fd;			/* owned; -1 */
	int named;		/* has the name tmp */
	char tmp[64];
};
/* job->at is the place, job->old what is there. */
int fs_out_open(struct fs_job *job, struct fs_out *o);
int fs_out_write(struct fs_job *job, struct fs_out *o, const char *data,
		 size_t len);
/* mode: when the job has none and replaces none; -1: by the umask */
int fs_out_commit(struct fs_job *job, struct fs_out *o, int mode);
void fs_out_release(struct fs_job *job, struct fs_out *o);
int fs_umask(void);

/* --- fs_write.c ---------------------------------------------------------------- */
/* [-0, +1, v] A call (from, to, options with mode, sync, timeout) whose job
 * makes `to` of the contents of `from`: job->in, a mode for fs_out in flag. */
int fs_start_copy(lua_State *L, struct fs_op *fop);

/* --- fs_glob.c: names ------------------------------------------------------------- */
/* Adds the n-th; -1 when there are too many. */
int fs_names_add(struct fs_job *job, const char *name, long long n);
void fs_names_sort(struct fs_job *job, long long n);	/* once each */

/* --- rows of the module ---------------------------------------------------------------- */
void fs_open_read(lua_State *L);
void fs_open_write(lua_State *L);
void fs_open_tree(lua_State *L);
void fs_open_glob(lua_State *L);
void fs_open_pack(lua_State *L);
int luaopen_opsh_c_fs(lua_State *L);

#endif
