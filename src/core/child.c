/*
 * child: posix_spawn and one pipe on the loop. The child is waited for with
 * waitpid when its pipe ends or its pidfd is ready, never blocking.
 */
#include "core/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/loop.h"
#include "core/lx.h"
#include "core/mem.h"
#include "core/op.h"

#define KILL_AFTER 2.0		/* seconds between TERM and KILL */

extern char **environ;

struct child_op {
	struct op op;
	pid_t pid;		/* 0 once reaped */
	int out, pidfd;		/* owned; -1 closed */
	int status;
	int over;		/* max was passed: output is read and dropped */
	size_t max;
	struct buf data;	/* owned */
	struct loop_watch *out_watch, *pid_watch;	/* owned */
	struct loop_timer *kill_timer;			/* owned */
	char name[128];
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_out(struct child_op *c)
{
	loop_watch_free(c->out_watch);
	c->out_watch = NULL;
	close_fd(&c->out);
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
	c->pid = 0;
	loop_watch_free(c->pid_watch);
	c->pid_watch = NULL;
	close_fd(&c->pidfd);
	loop_timer_free(c->kill_timer);
	c->kill_timer = NULL;
	return 1;
}

static void on_out(void *arg, int events, int status)
{
	struct child_op *c = arg;
	char chunk[16384];
	ssize_t n;

	(void)events;
	(void)status;
	while ((n = read(c->out, chunk, sizeof chunk)) > 0) {
		if (c->data.len + (size_t)n > c->max)
			c->over = 1;	/* drained: the child must not block */
		else
			buf_add(&c->data, chunk, (size_t)n);
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	close_out(c);
	if (reap(c))
		op_done(&c->op);
}

static void on_exit_of(void *arg, int events, int status)
{
	struct child_op *c = arg;

	(void)events;
	(void)status;
	if (!reap(c))
		return;
	/* take what it wrote; a grandchild may hold the pipe open */
	if (c->out >= 0)
		on_out(c, LOOP_READ, 0);
	close_out(c);
	op_done(&c->op);
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
		c->pid = 0;
	}
	loop_watch_free(c->pid_watch);
	loop_timer_free(c->kill_timer);
	close_out(c);
	close_fd(&c->pidfd);
	mem_wipe(c->data.cap ? c->data.data : NULL, c->data.cap);
	buf_release(&c->data);
}

static int child_push(lua_State *L, struct op *op)
{
	struct child_op *c = (struct child_op *)op;

	if (c->over)
		err_raisef(L, ERR_LIMIT, "", "'%s' wrote more than %zu bytes",
			   c->name, c->max);
	if (!buf_ok(&c->data))
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	lua_createtable(L, 0, 2);
	lua_pushinteger(L, WIFSIGNALED(c->status) ? WTERMSIG(c->status)
						  : WEXITSTATUS(c->status));
	lua_setfield(L, -2, WIFSIGNALED(c->status) ? "signal" : "status");
	lua_pushlstring(L, c->data.data, c->data.len);
	lua_setfield(L, -2, "stdout");
	return 1;
}

static const struct op_class child_class = {
	.name = "child", .cancel = child_cancel, .push = child_push,
	.release = child_release
};

/* 0 or errno. Its stdout is `out`; nothing else of ours reaches it. */
static int spawn(pid_t *pid, char **argv, int out)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t none, reset;
	int code;

	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&attr);
	sigemptyset(&none);
	sigemptyset(&reset);
	sigaddset(&reset, SIGPIPE);
	code = posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY,
						0);
	if (!code)
		code = posix_spawn_file_actions_adddup2(&fa, out, 1);
	if (!code)
		code = posix_spawn_file_actions_addclosefrom_np(&fa, 3);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &reset);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP |
				 POSIX_SPAWN_SETSIGMASK |
				 POSIX_SPAWN_SETSIGDEF);
	if (!code)
		code = posix_spawnp(pid, argv[0], &fa, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&attr);
	return code;
}

static void start(lua_State *L, struct child_op *c, char **argv)
{
	int pipefd[2], code;

	if (pipe2(pipefd, O_CLOEXEC))
		err_raisef(L, ERR_IO, "", "cannot make a pipe: %s",
			   strerror(errno));
	c->out = pipefd[0];
	code = spawn(&c->pid, argv, pipefd[1]);
	close(pipefd[1]);
	if (code) {
		c->pid = 0;
		err_raisef(L, ERR_IO, "", "cannot start '%s': %s", c->name,
			   strerror(code));
	}
	fcntl(c->out, F_SETFL, O_NONBLOCK);
	c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	c->out_watch = loop_watch_new(c->out, on_out, c);
	if (c->pidfd >= 0)
		c->pid_watch = loop_watch_new(c->pidfd, on_exit_of, c);
	if (!c->out_watch || !c->pid_watch)
		err_raisef(L, ERR_LIMIT, "", "cannot watch '%s'", c->name);
	loop_watch_set(c->out_watch, LOOP_READ);
	loop_watch_set(c->pid_watch, LOOP_READ);
}

/* run(argv, {timeout = seconds, max = bytes}) -> {status | signal, stdout} */
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
	c->out = c->pidfd = -1;
	buf_init(&c->data);
	c->max = (size_t)lx_opt_int(L, 2, "max", 1 << 20);
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
