/*
 * lend: a program that is given the terminal: a pager, an editor. Its group is the
 * foreground one meanwhile, so that Ctrl-C is its own, and nothing of ours is
 * written there. Owns the child, the pipe to its stdin and the settings of before,
 * which come back however it ends. Must not decide what is run.
 */
#include "term/lend.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "core/err.h"
#include "core/loop.h"
#include "core/lx.h"
#include "core/op.h"
#include "core/spawn.h"
#include "term/out.h"
#include "term/prompt.h"
#include "term/settings.h"

#define LENT "opsh.lent"
#define LOOK_EVERY 0.1		/* seconds: was it stopped, by Ctrl-Z? */
#define TERM_WAIT_MS 300	/* between TERM and KILL */

struct lent {
	pid_t pid;		/* 0: gone */
	pid_t was;		/* its number */
	int pidfd;		/* owned; -1 none */
	int in;			/* owned: the pipe to its stdin; -1 closed */
	int tty;		/* owned; -1 given back */
	int status;
	double grace;		/* seconds that it gets to end by itself */
	double kill_at;		/* loop_now(): TERM was sent; 0 not yet */
	struct termios before;
	struct loop_watch *in_watch, *pid_watch;	/* owned */
	struct loop_timer *timer;	/* owned */
	struct lent_op *op;	/* borrowed: who waits */
	char name[128];
};

struct lent_op {
	struct op op;
	struct lent *lent;	/* borrowed: at 1 of the calling frame */
	const char *data;	/* borrowed: at 2; NULL: waits for the end */
	size_t len, at;
};

extern char **environ;

static struct lent *lent_now;	/* borrowed: who has the terminal */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* --- the terminal --------------------------------------------------------- */

/* Ctrl-C and lines as a program expects them that sets nothing itself. */
static void set_plain(const struct lent *l)
{
	struct termios t = l->before;

	t.c_lflag |= ICANON | ECHO | ISIG | IEXTEN;
	t.c_iflag |= ICRNL;
	t.c_oflag |= OPOST | ONLCR;
	tcsetattr(l->tty, TCSANOW, &t);
}

static void take_back(struct lent *l)
{
	static const char sane[] = "\x1b[0m\x1b[?25h";	/* style, cursor */

	if (l->tty < 0)
		return;
	settings_front(l->tty, getpgrp());
	settings_set(l->tty, TCSADRAIN, &l->before);
	close_fd(&l->tty);
	lent_now = NULL;
	out_hold(0);
	out_resume_line();
	if (WIFSIGNALED(l->status)) {
		if (out_colour(OUT_STDOUT))
			out_ours(OUT_STDOUT, sane, sizeof sane - 1);
		out_ours(OUT_STDOUT, "\n", 1);
	}
	prompt_go_on();
}

/* --- the child ------------------------------------------------------------ */

static void pipe_close(struct lent *l)
{
	loop_watch_free(l->in_watch);
	l->in_watch = NULL;
	close_fd(&l->in);
}

static void op_leave(struct lent *l)
{
	struct lent_op *o = l->op;

	l->op = NULL;
	if (o)
		op_done(&o->op);
}

static void gone(struct lent *l)
{
	kill(-l->pid, SIGKILL);		/* what is left of its group */
	spawn_gone(l->pid);
	l->pid = 0;
	loop_watch_free(l->pid_watch);
	l->pid_watch = NULL;
	loop_timer_free(l->timer);
	l->timer = NULL;
	close_fd(&l->pidfd);
	pipe_close(l);
	take_back(l);
	op_leave(l);
}

/* Never blocks. One that was stopped goes on: nobody else could wake it. */
static void look(void *arg)
{
	struct lent *l = arg;
	int status;
	pid_t got;

	if (!l->pid)
		return;
	if (l->kill_at && loop_now() >= l->kill_at)
		kill(-l->pid, SIGKILL);
	got = waitpid(l->pid, &status, WNOHANG | WUNTRACED);
	if (got == l->pid && WIFSTOPPED(status)) {
		settings_front(l->tty, l->pid);
		kill(-l->pid, SIGCONT);
	} else if (got == l->pid || (got < 0 && errno == ECHILD)) {
		l->status = got < 0 ? 0 : status;
		gone(l);
	}
}

static void on_pid(void *arg, int events, int status)
{
	(void)events;
	(void)status;
	look(arg);
}

/* Writes what the pipe takes; 1 when that was all, or nobody reads. */
static int push_on(struct lent *l)
{
	struct lent_op *o = l->op;
	ssize_t n;

	while (l->in >= 0 && o->at < o->len) {
		n = write(l->in, o->data + o->at, o->len - o->at);
		if (n >= 0)
			o->at += (size_t)n;
		else if (errno == EAGAIN)
			return 0;
		else if (errno != EINTR)
			pipe_close(l);
	}
	return 1;
}

static void on_room(void *arg, int events, int status)
{
	struct lent *l = arg;

	(void)events;
	(void)status;
	if (!l->op || !l->op->data || !push_on(l))
		return;
	if (l->in_watch)
		loop_watch_set(l->in_watch, 0);
	op_leave(l);
}

/* Ends it, without the loop; for a task that was cancelled. */
static void stop(struct lent *l)
{
	struct timespec ms = { 0, 1000000 };
	int i;

	if (!l->pid)
		return;
	pipe_close(l);
	kill(-l->pid, SIGTERM);
	kill(-l->pid, SIGCONT);
	for (i = 0; i < TERM_WAIT_MS; i++) {
		if (waitpid(l->pid, &l->status, WNOHANG)) {
			gone(l);
			return;
		}
		nanosleep(&ms, NULL);
	}
	kill(-l->pid, SIGKILL);
	while (waitpid(l->pid, &l->status, 0) < 0 && errno == EINTR)
		;
	gone(l);
}

/* --- ops ------------------------------------------------------------------ */

static enum op_answer lent_cancel(struct op *op)
{
	struct lent_op *o = (struct lent_op *)op;
	struct lent *l = o->lent;

	if (l->grace > 0 && l->pid && !o->data) {
		kill(-l->pid, SIGTERM);
		kill(-l->pid, SIGCONT);
		l->kill_at = loop_now() + l->grace;
		return OP_LATER;
	}
	o->lent->op = NULL;
	if (o->lent->in_watch)
		loop_watch_set(o->lent->in_watch, 0);
	return OP_NOW;
}

/* true: it has it all; {status | signal, pid} */
static int lent_push(lua_State *L, struct op *op)
{
	struct lent_op *o = (struct lent_op *)op;
	int status = o->lent->status;

	if (o->data) {
		lua_pushboolean(L, o->at == o->len);
		return 1;
	}
	lua_createtable(L, 0, 2);
	lua_pushinteger(L, o->lent->was);
	lua_setfield(L, -2, "pid");
	lua_pushinteger(L, WIFSIGNALED(status) ? WTERMSIG(status)
					       : WEXITSTATUS(status));
	lua_setfield(L, -2, WIFSIGNALED(status) ? "signal" : "status");
	return 1;
}

static void lent_release(struct op *op)
{
	struct lent_op *o = (struct lent_op *)op;

	if (o->lent && o->lent->op == o)
		o->lent->op = NULL;
}

static const struct op_class lent_class = {
	"terminal", lent_cancel, lent_push, lent_release
};

static struct lent_op *op_for(lua_State *L, struct lent *l)
{
	struct lent_op *o;

	if (l->op)
		err_raisef(L, ERR_USAGE, "", "'%s' is waited for already",
			   l->name);
	o = (struct lent_op *)op_new(L, &lent_class, sizeof *o);
	o->lent = l;
	return o;
}

/* program:write(text) -> true; false: it reads no more */
static int l_lent_write(lua_State *L)
{
	struct lent *l = luaL_checkudata(L, 1, LENT);
	size_t len;
	const char *data = lx_checkstr(L, 2, &len);
	struct lent_op *o;

	lua_settop(L, 2);
	o = op_for(L, l);
	o->data = data;
	o->len = len;
	op_start(&o->op);
	l->op = o;
	if (l->in < 0 || push_on(l)) {
		if (l->in < 0)
			o->len = o->at + 1;	/* not all, however much it was */
		op_leave(l);
	} else {
		loop_watch_set(l->in_watch, LOOP_WRITE);
	}
	return op_park(L, &o->op);
}

/* program:wait() -> {status | signal, pid}, once it has ended; closes its stdin */
static int l_lent_wait(lua_State *L)
{
	struct lent *l = luaL_checkudata(L, 1, LENT);
	struct lent_op *o;

	lua_settop(L, 1);
	o = op_for(L, l);
	op_start(&o->op);
	pipe_close(l);
	l->op = o;
	if (!l->pid)
		op_leave(l);
	return op_park(L, &o->op);
}

/* Ends it, if it has not; the terminal is ours again. */
static int l_lent_close(lua_State *L)
{
	stop(luaL_checkudata(L, 1, LENT));
	return 0;
}

/* --- starting ------------------------------------------------------------- */

/* 0 or errno; *in is the child's end of the pipe. */
static int pipe_open(struct lent *l, int *in)
{
	int fds[2], code = spawn_pipe(fds);

	if (code)
		return code;
	*in = fds[0];
	l->in = fds[1];
	fcntl(l->in, F_SETFL, O_NONBLOCK);
	return 0;
}

static int find_and_start(struct lent *l, char **argv, char **envp, int in)
{
	const char *dirs = getenv("PATH");
	char path[SPAWN_PATH_MAX];
	struct spawn s = { .path = path, .argv = argv, .envp = envp, .tty = l->tty,
			   .fds = { in < 0 ? l->tty : in, l->tty, l->tty } };
	int code = spawn_find(argv[0], dirs ? dirs : "/usr/bin:/bin", NULL,
			      path, sizeof path);

	if (!code)
		code = spawn_start(&s, &l->pid);
	l->was = l->pid;
	return code;
}

static int watch(struct lent *l)
{
	l->pidfd = spawn_pidfd(l->pid);
	if (l->pidfd >= 0)
		l->pid_watch = loop_watch_new(l->pidfd, on_pid, l);
	if (l->in >= 0)
		l->in_watch = loop_watch_new(l->in, on_room, l);
	l->timer = loop_timer_new(LOOK_EVERY, LOOK_EVERY, look, l);
	if ((l->pidfd >= 0 && !l->pid_watch) || (l->in >= 0 && !l->in_watch) ||
	    !l->timer)
		return -1;
	if (l->pid_watch)
		loop_watch_set(l->pid_watch, LOOP_READ);
	return 0;
}

static int start(struct lent *l, char **argv, char **envp, int piped)
{
	int in = -1, code = 0;

	out_finish(1);
	out_pause_line();
	l->tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (l->tty < 0 || tcgetattr(l->tty, &l->before)) {
		code = errno;
		close_fd(&l->tty);
		out_resume_line();
		return code;
	}
	lent_now = l;
	out_hold(1);
	set_plain(l);
	if (piped)
		code = pipe_open(l, &in);
	if (!code)
		code = find_and_start(l, argv, envp, in);
	close_fd(&in);
	if (code) {
		l->pid = 0;
		close_fd(&l->in);
		take_back(l);
	}
	return code;
}

/* Our environment and, in its place or more, what option env says, which stands
 * in strings on the stack; NULL: ours as it is. [-0, +2, v] */
static char **push_env(lua_State *L)
{
	int given, at, n = 0, k = 0;
	char **list, **e;

	if (!lua_istable(L, 2) || lua_getfield(L, 2, "env") == LUA_TNIL)
		return NULL;
	given = lua_gettop(L);
	luaL_checktype(L, given, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, given); lua_pop(L, 1))
		n++;
	for (e = environ; *e; e++)
		n++;
	list = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *list, 1);
	at = lua_gettop(L);
	for (e = environ; *e; e++) {
		lua_pushlstring(L, *e, strcspn(*e, "="));
		if (lua_gettable(L, given) == LUA_TNIL)
			list[k++] = *e;
		lua_pop(L, 1);
	}
	lua_createtable(L, 0, 4);	/* keeps the strings */
	for (lua_pushnil(L); lua_next(L, given); lua_pop(L, 1)) {
		lua_pushfstring(L, "%s=%s", lx_checkcstr(L, -2),
				lx_checkcstr(L, -1));
		list[k++] = (char *)(size_t)lua_tostring(L, -1);
		lua_rawseti(L, at + 1, k);
	}
	list[k] = NULL;
	lua_setiuservalue(L, at, 1);
	return list;
}

int lend_lua(lua_State *L)
{
	static const char *const names[] = { "stdin", "env", "grace", NULL };
	struct lent *l;
	char **argv, **envp;
	int i, n, code, piped;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 2);
	lx_opt_begin(L, 2, names);
	piped = lx_opt_bool(L, 2, "stdin", 0);
	n = (int)lua_rawlen(L, 1);
	luaL_argcheck(L, n > 0 && n < 1000, 1,
		      "a program and its arguments expected");
	argv = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *argv, 0);
	luaL_checkstack(L, n + 8, "too many arguments");
	for (i = 0; i < n; i++) {
		lua_rawgeti(L, 1, i + 1);
		argv[i] = (char *)(size_t)lx_checkcstr(L, -1);
	}
	argv[n] = NULL;
	envp = push_env(L);
	if (lent_now)
		err_raisef(L, ERR_USAGE, "", "the terminal is lent to '%s'",
			   lent_now->name);
	l = lua_newuserdatauv(L, sizeof *l, 0);
	memset(l, 0, sizeof *l);
	l->pidfd = l->in = l->tty = -1;
	snprintf(l->name, sizeof l->name, "%s", argv[0]);
	luaL_setmetatable(L, LENT);
	l->grace = lx_opt_num(L, 2, "grace", 0);
	code = start(l, argv, envp, piped);
	if (code)
		err_raisef(L, ERR_IO, "", "cannot start '%s': %s", l->name,
			   strerror(code));
	if (watch(l)) {
		stop(l);
		err_raisef(L, ERR_LIMIT, "", "cannot watch '%s'", l->name);
	}
	return 1;
}

void lend_open(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "write", l_lent_write }, { "wait", l_lent_wait }, { NULL, NULL }
	};
	static const luaL_Reg meta[] = {
		{ "__close", l_lent_close }, { "__gc", l_lent_close },
		{ NULL, NULL }
	};

	lx_metatable(L, LENT, methods, meta);
}
