/*
 * child: a program and two pipes on the loop. The child is waited for with
 * waitpid when its stdout ends or its pidfd is ready, never blocking. Must not
 * let it write to our terminal: what it says is told by who asked.
 */
#include "core/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/loop.h"
#include "core/lx.h"
#include "core/mem.h"
#include "core/op.h"
#include "core/spawn.h"

#define ASK_EVERY 0.02		/* seconds, without a pidfd */
#define KILL_AFTER 2.0		/* seconds between TERM and KILL */
#define STDERR_MAX 1024		/* of stderr that is kept */

struct output {
	int fd;			/* owned; -1 closed */
	int over;		/* max was passed: the rest is dropped */
	size_t max;
	struct buf data;	/* owned */
	struct loop_watch *watch;	/* owned */
};

struct child_op {
	struct op op;
	pid_t pid;		/* 0 once reaped */
	int pidfd;		/* owned; -1 closed */
	int status;
	struct output out, err;
	struct loop_watch *pid_watch;	/* owned */
	struct loop_timer *pid_timer;	/* owned: asks where no pidfd is */
	struct loop_timer *kill_timer;	/* owned */
	char name[128];
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void output_close(struct output *o)
{
	loop_watch_free(o->watch);
	o->watch = NULL;
	close_fd(&o->fd);
}

static void output_release(struct output *o)
{
	output_close(o);
	mem_wipe(o->data.cap ? o->data.data : NULL, o->data.cap);
	buf_release(&o->data);
}

/* Takes what is there; what is too much is drained, as the child must not
 * block. Closed at its end. */
static void output_take(struct output *o)
{
	char chunk[16384];
	ssize_t n = 0;
	size_t fits;

	while (o->fd >= 0 && (n = read(o->fd, chunk, sizeof chunk)) > 0) {
		fits = o->max - o->data.len;
		if (fits < (size_t)n)
			o->over = 1;
		buf_add(&o->data, chunk, fits < (size_t)n ? fits : (size_t)n);
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	output_close(o);
}

/* Reaps without waiting; 1 when the child is gone. */
static int reap(struct child_op *c)
{
	pid_t got;

	if (!c->pid)
		return 1;
	do
		got = waitpid(c->pid, &c->status, WNOHANG);
	while (got < 0 && errno == EINTR);
	if (!got)
		return 0;
	/* what is left of its group must not outlive it */
	kill(-c->pid, SIGKILL);
	spawn_gone(c->pid);
	c->pid = 0;
	loop_watch_free(c->pid_watch);
	c->pid_watch = NULL;
	loop_timer_free(c->pid_timer);
	c->pid_timer = NULL;
	close_fd(&c->pidfd);
	loop_timer_free(c->kill_timer);
	c->kill_timer = NULL;
	return 1;
}

/* It is gone: takes what it wrote. A grandchild may hold the pipes open. */
static void finish(struct child_op *c)
{
	output_take(&c->out);
	output_take(&c->err);
	output_close(&c->out);
	output_close(&c->err);
	op_done(&c->op);
}

static void on_out(void *arg, int events, int status)
{
	struct child_op *c = arg;

	(void)events;
	(void)status;
	output_take(&c->out);
	if (c->out.fd < 0 && reap(c))
		finish(c);
}

static void on_err(void *arg, int events, int status)
{
	struct child_op *c = arg;

	(void)events;
	(void)status;
	output_take(&c->err);
}

static void on_exit_of(void *arg, int events, int status)
{
	struct child_op *c = arg;

	(void)events;
	(void)status;
	if (reap(c))
		finish(c);
}

static void on_ask(void *arg)
{
	on_exit_of(arg, 0, 0);
}

static void on_kill(void *arg)
{
	struct child_op *c = arg;

	if (c->pid)
		kill(-c->pid, SIGKILL);
}

static enum op_answer child_cancel(struct op *op)
{
	struct child_op *c = (struct child_op *)op;

	if (op->err.kind == ERR_TIMEOUT && !op->cancelled)
		err_set(&op->err, ERR_TIMEOUT, "", "'%s' did not end within %g s",
			c->name, op->timeout);
	if (!c->pid)
		return OP_NOW;
	kill(-c->pid, SIGTERM);
	c->kill_timer = loop_timer_new(KILL_AFTER, 0, on_kill, c);
	if (!c->kill_timer)
		kill(-c->pid, SIGKILL);
	return OP_LATER;
}

static void child_release(struct op *op)
{
	struct child_op *c = (struct child_op *)op;

	if (c->pid) {
		kill(-c->pid, SIGKILL);
		while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
			;
		spawn_gone(c->pid);
		c->pid = 0;
	}
	loop_timer_free(c->pid_timer);
	loop_watch_free(c->pid_watch);
	loop_timer_free(c->kill_timer);
	close_fd(&c->pidfd);
	output_release(&c->out);
	output_release(&c->err);
}

static int child_push(lua_State *L, struct op *op)
{
	struct child_op *c = (struct child_op *)op;

	if (c->out.over)
		err_raisef(L, ERR_LIMIT, "", "'%s' wrote more than %zu bytes",
			   c->name, c->out.max);
	if (!buf_ok(&c->out.data) || !buf_ok(&c->err.data))
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	lua_createtable(L, 0, 3);
	lua_pushinteger(L, WIFSIGNALED(c->status) ? WTERMSIG(c->status)
						  : WEXITSTATUS(c->status));
	lua_setfield(L, -2, WIFSIGNALED(c->status) ? "signal" : "status");
	lua_pushlstring(L, c->out.data.data, c->out.data.len);
	lua_setfield(L, -2, "stdout");
	lua_pushlstring(L, c->err.data.data, c->err.data.len);
	lua_setfield(L, -2, "stderr");
	return 1;
}

static const struct op_class child_class = {
	.name = "child", .cancel = child_cancel, .push = child_push,
	.release = child_release
};

/* Our end is o->fd; gives the child's, -1 and errno. */
static int output_open(struct output *o)
{
	int fds[2], code = spawn_pipe(fds);

	if (code) {
		errno = code;
		return -1;
	}
	o->fd = fds[0];
	fcntl(o->fd, F_SETFL, O_NONBLOCK);
	return fds[1];
}

/* 0 or errno */
static int find_and_start(struct child_op *c, char **argv, int out, int err)
{
	const char *dirs = getenv("PATH");
	char path[SPAWN_PATH_MAX];
	struct spawn s = { .path = path, .argv = argv, .fds = { -1, out, err } };
	int code = spawn_find(argv[0], dirs ? dirs : "/usr/bin:/bin", NULL,
			      path, sizeof path);

	return code ? code : spawn_start(&s, &c->pid);
}

static void start(lua_State *L, struct child_op *c, char **argv)
{
	int out = output_open(&c->out);
	int err = out < 0 ? -1 : output_open(&c->err);
	int code = err < 0 ? errno : find_and_start(c, argv, out, err);

	close_fd(&out);
	if (err < 0)
		err_raisef(L, ERR_IO, "", "cannot make a pipe: %s",
			   strerror(code));
	close_fd(&err);
	if (code) {
		c->pid = 0;
		err_raisef(L, ERR_IO, "", "cannot start '%s': %s", c->name,
			   strerror(code));
	}
	c->pidfd = spawn_pidfd(c->pid);
	c->out.watch = loop_watch_new(c->out.fd, on_out, c);
	c->err.watch = loop_watch_new(c->err.fd, on_err, c);
	if (c->pidfd >= 0)
		c->pid_watch = loop_watch_new(c->pidfd, on_exit_of, c);
	else	/* a kernel before 5.3, valgrind */
		c->pid_timer = loop_timer_new(ASK_EVERY, ASK_EVERY, on_ask, c);
	if (!c->out.watch || !c->err.watch ||
	    (!c->pid_watch && !c->pid_timer))
		err_raisef(L, ERR_LIMIT, "", "cannot watch '%s'", c->name);
	loop_watch_set(c->out.watch, LOOP_READ);
	loop_watch_set(c->err.watch, LOOP_READ);
	if (c->pid_watch)
		loop_watch_set(c->pid_watch, LOOP_READ);
}

/* run(argv, {timeout = seconds, max = bytes}) -> {status | signal, stdout,
 * stderr: its first 1 KiB} */
static int l_child_run(lua_State *L)
{
	static const char *const names[] = { "timeout", "max", NULL };
	struct child_op *c;
	double timeout;
	char **argv;
	int i, n;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 2);
	lx_opt_begin(L, 2, names);
	timeout = lx_opt_num(L, 2, "timeout", 30);
	n = (int)lua_rawlen(L, 1);
	luaL_argcheck(L, n > 0, 1, "a program and its arguments expected");
	argv = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *argv, 0);
	luaL_checkstack(L, n + 4, "too many arguments");
	for (i = 0; i < n; i++) {
		lua_rawgeti(L, 1, i + 1);
		argv[i] = (char *)(size_t)lx_checkcstr(L, -1);
	}
	argv[n] = NULL;
	c = (struct child_op *)op_new(L, &child_class, sizeof *c);
	c->out.fd = c->err.fd = c->pidfd = -1;
	buf_init(&c->out.data);
	buf_init(&c->err.data);
	c->out.max = (size_t)lx_opt_int(L, 2, "max", 1 << 20);
	c->err.max = STDERR_MAX;
	snprintf(c->name, sizeof c->name, "%s", argv[0]);
	start(L, c, argv);
	op_deadline(&c->op, timeout);
	return op_park(L, &c->op);
}

int luaopen_opsh_c_child(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "run", l_child_run }, { NULL, NULL }
	};

	luaL_newlib(L, funcs);
	return 1;
}
