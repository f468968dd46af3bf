/*
 * exec: what the files of the binding share: a job, that is the programs of
 * one call (one, or the stages of a pipeline) with their pipes, timers and
 * their effect. It lives in a userdata `opsh.process`; those who wait for it
 * are ops that borrow it.
 */
#ifndef OPSH_BIND_EXEC_H
#define OPSH_BIND_EXEC_H

#include <lauxlib.h>
#include <lua.h>
#include <sys/types.h>

#include "core/buf.h"
#include "core/op.h"
#include "core/spawn.h"
#include "core/spawn_tree.h"
#include "effect/effect.h"

#define EXEC_META "opsh.process"
#define EXEC_STAGES 32		/* of a pipeline, at most */
#define EXEC_TIMEOUT 60.0	/* seconds */
#define EXEC_KILL_AFTER 1.0	/* seconds between TERM and KILL */
#define EXEC_MAX (16 * 1024 * 1024)	/* bytes captured of each output */
#define EXEC_HOLD (256 * 1024)	/* read ahead of who takes lines */

enum exec_why {			/* why we end it */
	EXEC_RUNS, EXEC_LATE, EXEC_CANCELLED, EXEC_OVER, EXEC_CLOSED
};

struct exec_stage {
	struct exec_job *job;
	pid_t pid;		/* 0: not started, or reaped */
	pid_t group;		/* 0: not started; stays after the end */
	int pidfd;		/* owned; -1 none */
	struct loop_watch *watch;	/* owned: the pidfd's */
	int exited;		/* it is a zombie, or reaped */
	int status;		/* as waitpid gives it, once reaped */
	char name[64];		/* basename of its program */
};

struct exec_out {
	struct exec_job *job;
	int fd;			/* owned: our end; -1 closed or not ours */
	struct loop_watch *watch;	/* owned */
	struct buf data;	/* owned */
	size_t taken;		/* bytes at its front that Lua has got */
	size_t shown;		/* bytes that were printed (live) */
	size_t scanned;		/* bytes without a newline after `taken` */
	size_t max;
	size_t hold;		/* stop reading at so many untaken; 0 never */
	long long total;
	int over;		/* more than max came: the rest is dropped */
	int lossy;		/* which is no failure */
};

struct exec_in {
	int fd;			/* owned: our end; -1 closed */
	struct loop_watch *watch;	/* owned */
	struct buf data;	/* owned: wiped */
	size_t off;		/* of it that went out */
	int ends;		/* close when all of it went out */
};

struct exec_job {
	struct target *target;	/* borrowed: in user value 1 */
	struct effect effect;
	enum effect_class cls;
	char verb[48];
	struct exec_stage *stages;	/* owned */
	struct spawn_tree tree;	/* owned: who left the groups */
	int n;
	struct exec_out out[2];	/* stdout of the last, stderr of all */
	struct exec_in in;
	struct loop_timer *deadline, *killer, *asker, *linger,
		*patience;	/* owned */
	struct exec_wait *waits;
	double timeout, kill_after;	/* timeout 0: none */
	double began, ended;	/* loop_now() */
	unsigned char accept[32];	/* bits of statuses that are no failure */
	int accept_any;
	struct buf doubt;	/* owned: texts, each with its NUL */
	int live;
	enum exec_why why;
	int asked_patience;	/* once */
	int termed, killed;	/* TERM, KILL was sent by us */
	int held;		/* a pipe was still open at the end */
	int done;
	struct err err;		/* what it ended with; ERR_NONE: well */
	struct buf text;	/* owned: the request; scratch before */
	struct buf env;		/* owned: wiped */
};

/* --- exec_args.c ------------------------------------------------------------ */
struct exec_file {
	const char *path;	/* borrowed: from Lua's stack; NULL none */
	int append;
};
struct exec_plan {		/* of a call: all borrowed, from Lua's stack */
	char **argv[EXEC_STAGES];
	const char *path[EXEC_STAGES];
	const char *file[EXEC_STAGES];	/* the same, absolute or from here */
	struct spawn_id id[EXEC_STAGES];	/* when it was found */
	char **envp;
	const char *cwd;
	struct exec_file in, out, err;
	int merge;		/* stderr into stdout */
	int piped_in;		/* stdin is a pipe of ours */
	int feed;		/* stack index of the function, 0 none */
};
/* [-0, +n, v] Reads commands at 2, options at 3 (or nil) into job and plan;
 * the record's request stands in j->text. start: options of exec.start. */
void exec_read(lua_State *L, struct exec_job *j, struct exec_plan *p,
	       int start);
/* which(name [, path]) -> file or nil */
int exec_which(lua_State *L);

/* --- exec_options.c ----------------------------------------------------------- */
/* [-0, +n, v] The options of run, or of start, at 3: limits, ends, the folder. */
void exec_read_options(lua_State *L, struct exec_job *j, struct exec_plan *p,
		       int start);

/* --- exec_env.c --------------------------------------------------------------- */
/* [-0, +n, v] Options env and inherit (options at 3) as NAME=VALUE each, in
 * j->env; p->envp points to them. j->text is scratch. */
void exec_read_env(lua_State *L, struct exec_job *j, struct exec_plan *p);

/* --- exec_job.c --------------------------------------------------------------- */
/* [-0, +1, m] A job that has not begun; 1 is its target. */
struct exec_job *exec_new(lua_State *L);
struct exec_job *exec_check(lua_State *L, int arg);
/* TERM, then KILL; the job is done soon. Again: no effect, but `now` kills. */
void exec_kill(struct exec_job *j, enum exec_why why, int now);
/* KILL and reap without the loop; everything is released. */
void exec_release(struct exec_job *j);
/* Its stdout has ended: may who took it wait for its own end? Wakes after
 * kill_after. */
int exec_patience(struct exec_job *j);
void exec_signal(struct exec_job *j, int sig);	/* to its groups */
/* Something happened: is it the end? */
void exec_look(struct exec_job *j);
/* Looks again and again, for what no descriptor tells. */
void exec_ask_later(struct exec_job *j);
/* On the loop: a stage has ended; the other side is ready; the time is over. */
void exec_on_exit(void *stage, int events, int status);
void exec_on_out(void *out, int events, int status);
void exec_on_in(void *job, int events, int status);
void exec_on_deadline(void *job);
/* More for its stdin; `ends` closes it after that. 0 or -1 (memory). */
int exec_feed(struct exec_job *j, const char *data, size_t len, int ends);

/* --- exec_start.c ------------------------------------------------------------- */
/* [-0, +0, v] Opens files and pipes, starts the programs. */
void exec_start(lua_State *L, struct exec_job *j, const struct exec_plan *p);

/* --- exec_io.c ---------------------------------------------------------------- */
void exec_close_fd(int *fd);	/* it is -1 then */
void exec_wipe(struct buf *b);	/* released, too */
void exec_out_close(struct exec_out *o);
/* Takes what is there; 1 when the end of it is. */
int exec_out_take(struct exec_out *o);
size_t exec_out_left(const struct exec_out *o);	/* bytes that nobody took */
void exec_out_resume(struct exec_out *o);	/* after something was taken */
void exec_in_close(struct exec_in *in);
/* Writes what goes now; 1: it took all, or is closed. */
int exec_in_write(struct exec_in *in);

/* --- exec_end.c: what it ended with ------------------------------------------- */
/* On the loop: settles j->err and ends the effect. */
void exec_settle(struct exec_job *j);
/* [-0, +1, v] Raises what it ended with, or pushes {status, signal, stdout,
 * stderr, seconds, statuses}; 1. */
int exec_push_end(lua_State *L, const struct exec_job *j);

/* --- exec_wake.c, exec_wait.c ---------------------------------------------------------------- */
enum exec_what {
	EXEC_END = 1,		/* it is done */
	EXEC_STDOUT = 2,	/* more of stdout, or its end */
	EXEC_STDERR = 4,
	EXEC_ROOM = 8		/* stdin took all, or is closed */
};
struct exec_wait {
	struct op op;
	struct exec_job *job;	/* borrowed; NULL once taken off */
	struct exec_wait *next;
	int what;
	int owner;		/* a cancel of the wait ends the job */
};
/* Something happened: ends the waits that it ends. */
void exec_wake(struct exec_job *j, int what);
/* Takes all waits off: the job goes; one. */
void exec_drop_waits(struct exec_job *j);
void exec_unlink_wait(struct exec_wait *w);
/* [-0, +0, v] Waits by a call with continuation. seconds < 0: no limit. */
void exec_await(lua_State *L, struct exec_job *j, int what, int owner,
		double seconds, lua_KContext ctx, lua_KFunction k);
/* The same as a C function's last act. [-0, +0, v] */
int exec_park(lua_State *L, struct exec_job *j, int what, int owner,
	      double seconds);

/* --- exec_process.c ---------------------------------------------------------------- */
/* The metatable of jobs, with what a process has. [-0, +0, m] */
void exec_open_process(lua_State *L, const luaL_Reg *meta);

/* `opsh.c.exec`: run, start, which. [-0, +1, m] */
int luaopen_opsh_c_exec(lua_State *L);

#endif
