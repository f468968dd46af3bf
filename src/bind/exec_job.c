/*
 * exec_job: the life of a job: files and pipes, the programs' start, their
 * output and end, TERM and KILL. A program that ended stays a zombie until its
 * group was dealt with, so that its number is nobody else's. Owns no Lua
 * value; what it ended with is exec_end.c's.
 */
#include "bind/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/lx.h"
#include "core/mem.h"
#include "core/spawn.h"
#include "core/spawn_tree.h"

#define ASK_EVERY 0.02	/* seconds: what no descriptor tells */
#define GIVE_UP 2.0	/* seconds after KILL */
#define KILLED_MS 300	/* that a killed program is waited for, at most */
#define CHUNK 65536
#define AT_ONCE 16	/* chunks a turn: others want theirs */

static void job_look(struct exec_job *j);

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void drop_timer(struct loop_timer **t)
{
	loop_timer_free(*t);
	*t = NULL;
}

static void wipe(struct buf *b)
{
	if (b->cap)
		mem_wipe(b->data, b->cap);
	buf_release(b);
}

/* --- output ------------------------------------------------------------------ */
static void out_close(struct exec_out *o)
{
	loop_watch_free(o->watch);
	o->watch = NULL;
	close_fd(&o->fd);
}

static size_t out_left(const struct exec_out *o)
{
	return o->data.len - o->taken;
}

static void out_keep(struct exec_out *o, const char *data, size_t n)
{
	size_t fits = o->max > out_left(o) ? o->max - out_left(o) : 0;

	if (o->hold)		/* its reader judges; hold bounds it */
		fits = n;
	o->total += (long long)n;
	if (o->taken > CHUNK && o->taken > out_left(o)) {
		buf_consume(&o->data, o->taken);
		o->taken = 0;
	}
	if (fits < n) {
		o->over = 1;
		n = fits;
	}
	buf_add(&o->data, data, n);
}

/* Takes what is there; 1 when the end of it is. */
static int out_take(struct exec_out *o)
{
	char chunk[CHUNK];
	ssize_t n = 0;
	int i;

	for (i = 0; i < AT_ONCE && o->fd >= 0; i++) {
		if (o->hold && out_left(o) >= o->hold) {
			if (o->watch)
				loop_watch_set(o->watch, 0);
			return 0;
		}
		n = read(o->fd, chunk, sizeof chunk);
		if (n > 0)
			out_keep(o, chunk, (size_t)n);
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			out_close(o);
		else
			return 0;
	}
	return o->fd < 0;
}

static void on_out(void *arg, int events, int status)
{
	struct exec_out *o = arg;
	struct exec_job *j = o->job;
	int i = (int)(o - j->out);

	(void)events;
	(void)status;
	out_take(o);
	if (!j->why && (!buf_ok(&o->data) ||
			(o->over && !o->lossy && j->cls == EFFECT_READ)))
		exec_kill(j, EXEC_OVER, 0);
	exec_wake(j, i ? EXEC_STDERR : EXEC_STDOUT);
	job_look(j);
}

void exec_resume(struct exec_job *j, int i)
{
	struct exec_out *o = &j->out[i];

	if (o->watch)
		loop_watch_set(o->watch, LOOP_READ);
}

/* --- input ------------------------------------------------------------------- */
static void in_close(struct exec_in *in)
{
	loop_watch_free(in->watch);
	in->watch = NULL;
	close_fd(&in->fd);
	wipe(&in->data);
	in->off = 0;
}

/* A reader that went away took what it wanted: its status tells. */
static void in_write(struct exec_job *j)
{
	struct exec_in *in = &j->in;
	ssize_t n = 0;

	while (in->fd >= 0 && in->off < in->data.len) {
		n = write(in->fd, in->data.data + in->off,
			  in->data.len - in->off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		in->off += (size_t)n;
	}
	if (n < 0 && errno == EAGAIN) {
		loop_watch_set(in->watch, LOOP_WRITE);
		return;
	}
	if (n < 0 || in->ends) {
		in_close(in);
	} else if (in->fd >= 0) {
		loop_watch_set(in->watch, 0);
		buf_clear(&in->data);
		in->off = 0;
	}
	exec_wake(j, EXEC_ROOM);
}

static void on_in(void *arg, int events, int status)
{
	(void)events;
	(void)status;
	in_write(arg);
}

int exec_feed(struct exec_job *j, const char *data, size_t len, int ends)
{
	struct exec_in *in = &j->in;

	if (in->fd < 0)
		return 0;
	buf_add(&in->data, data, len);
	if (!buf_ok(&in->data))
		return -1;
	in->ends |= ends;
	if (in->watch)
		in_write(j);
	return 0;
}

/* --- the end ------------------------------------------------------------------ */
static void stage_close(struct exec_stage *s)
{
	loop_watch_free(s->watch);
	s->watch = NULL;
	close_fd(&s->pidfd);
}

/* Has it ended? It stays a zombie. */
static int stage_exited(struct exec_stage *s)
{
	siginfo_t info;

	if (s->exited || !s->pid)
		return 1;
	info.si_pid = 0;
	if (waitid(P_PID, (id_t)s->pid, &info, WEXITED | WNOHANG | WNOWAIT)) {
		if (errno == EINTR)
			return 0;
		/* somebody else reaped it */
		spawn_gone(s->pid);
		s->pid = 0;
	} else if (!info.si_pid) {
		return 0;
	}
	s->exited = 1;
	stage_close(s);
	return 1;
}

static void stage_reap(struct exec_stage *s)
{
	pid_t got;

	if (!s->pid)
		return;
	do
		got = waitpid(s->pid, &s->status, WNOHANG);
	while (got < 0 && errno == EINTR);
	if (got)
		spawn_gone(s->pid);
	s->pid = 0;
	stage_close(s);
}

void exec_signal(struct exec_job *j, int sig)
{
	int i;

	for (i = 0; i < j->n; i++)
		if (j->stages[i].group)
			kill(-j->stages[i].group, sig);
}

/* To end them: those too that left their groups. */
static void signal_tree(struct exec_job *j, int sig)
{
	int i;

	for (i = 0; i < j->n; i++)
		if (j->stages[i].group)
			spawn_tree_add(&j->tree, j->stages[i].group);
	exec_signal(j, sig);
	spawn_tree_signal(&j->tree, sig);
}

/* All were killed: they are gone in a moment, unless one hangs in the kernel. */
static void await_killed(struct exec_job *j)
{
	int i, all, tries;

	for (tries = 0; tries < KILLED_MS; tries++) {
		for (i = 0, all = 1; i < j->n; i++)
			all &= stage_exited(&j->stages[i]);
		if (all)
			return;
		usleep(1000);
	}
}

static void job_finish(struct exec_job *j)
{
	int i;

	if (j->killed)
		await_killed(j);
	j->held = j->out[0].fd >= 0 || j->out[1].fd >= 0;
	if (j->held && !j->killed)
		exec_signal(j, SIGKILL);
	for (i = 0; i < 2; i++) {
		j->out[i].hold = 0;
		out_take(&j->out[i]);
		out_close(&j->out[i]);
	}
	in_close(&j->in);
	for (i = 0; i < j->n; i++)
		stage_reap(&j->stages[i]);
	drop_timer(&j->deadline);
	drop_timer(&j->killer);
	drop_timer(&j->asker);
	drop_timer(&j->linger);
	drop_timer(&j->patience);
	j->ended = loop_now();
	j->done = 1;
	exec_settle(j);
	exec_wake(j, EXEC_END | EXEC_STDOUT | EXEC_STDERR | EXEC_ROOM);
}

static void on_ask(void *arg)
{
	job_look(arg);
}

/* Has it output that its reader has not made room for? */
static int is_paused(const struct exec_out *o)
{
	return o->fd >= 0 && o->hold && out_left(o) >= o->hold;
}

static void on_linger(void *arg)
{
	struct exec_job *j = arg;

	drop_timer(&j->linger);
	if (!is_paused(&j->out[0]))
		job_finish(j);
}

static void ask_later(struct exec_job *j)
{
	if (!j->asker)
		j->asker = loop_timer_new(ASK_EVERY, ASK_EVERY, on_ask, j);
}

/* A timer, or what it would do at once when there is no memory for it. */
static void linger(struct exec_job *j)
{
	if (j->linger)
		return;
	j->linger = loop_timer_new(j->kill_after, 0, on_linger, j);
	if (!j->linger)
		job_finish(j);
}

/* All programs have ended, and were told to: others of their groups may still
 * have something to do after TERM. */
static void job_look_ended(struct exec_job *j)
{
	int i, lives = 0;

	for (i = 0; i < j->n && !j->killed && !lives; i++)
		lives = j->stages[i].group &&
			spawn_tree_lives(&j->tree, j->stages[i].group);
	if (lives)
		ask_later(j);
	else
		job_finish(j);
}

/* What became of it? */
static void job_look(struct exec_job *j)
{
	int i, all = 1;

	if (j->done)
		return;
	for (i = 0; i < j->n; i++)
		all &= stage_exited(&j->stages[i]);
	if (!all)
		return;
	if (j->why)
		job_look_ended(j);
	else if (j->out[0].fd < 0 && j->out[1].fd < 0)
		job_finish(j);
	else if (!is_paused(&j->out[0]))
		linger(j);
}

static void on_exit_of(void *arg, int events, int status)
{
	struct exec_stage *s = arg;

	(void)events;
	(void)status;
	if (stage_exited(s))
		job_look(s->job);
}

static void on_impatient(void *arg)
{
	struct exec_job *j = arg;

	drop_timer(&j->patience);
	exec_wake(j, EXEC_STDOUT);
}

int exec_patience(struct exec_job *j)
{
	if (j->done || j->asked_patience)
		return !j->done && j->patience;
	j->asked_patience = 1;
	j->patience = loop_timer_new(j->kill_after, 0, on_impatient, j);
	return j->patience != NULL;
}

/* --- TERM and KILL ------------------------------------------------------------- */
static void on_give_up(void *arg)
{
	job_finish(arg);
}

static void job_kill(struct exec_job *j)
{
	drop_timer(&j->killer);
	j->killed = 1;
	signal_tree(j, SIGKILL);
	/* one that hangs in the kernel does not even hear this */
	j->killer = loop_timer_new(GIVE_UP, 0, on_give_up, j);
	ask_later(j);
	if (!j->killer || !j->asker)
		job_finish(j);
}

static void on_killer(void *arg)
{
	job_kill(arg);
}

void exec_kill(struct exec_job *j, enum exec_why why, int now)
{
	double after = j->kill_after;

	if (j->done || j->killed)
		return;
	if (!j->why)
		j->why = why;
	if (!j->termed) {
		j->termed = 1;
		drop_timer(&j->deadline);
		drop_timer(&j->linger);
		if (why == EXEC_CANCELLED && after > EXEC_KILL_AFTER)
			after = EXEC_KILL_AFTER;	/* a person waits */
		if (!now) {
			signal_tree(j, SIGTERM);
			exec_signal(j, SIGCONT);
			j->killer = loop_timer_new(after, 0, on_killer, j);
			ask_later(j);
		}
		if (now || !j->killer || !j->asker)
			job_kill(j);
	} else if (now) {
		job_kill(j);
	}
}

static void on_deadline(void *arg)
{
	struct exec_job *j = arg;

	exec_kill(j, EXEC_LATE, 0);
}

void exec_release(struct exec_job *j)
{
	int i;

	exec_drop_waits(j);
	if (j->stages && !j->done) {
		signal_tree(j, SIGKILL);
		j->killed = 1;
		if (!j->why)
			j->why = EXEC_CLOSED;
		job_finish(j);
	}
	for (i = 0; i < 2; i++) {
		out_close(&j->out[i]);
		wipe(&j->out[i].data);
	}
	in_close(&j->in);
	effect_abandon(&j->effect);
	wipe(&j->text);
	wipe(&j->env);
	buf_release(&j->doubt);
	spawn_tree_release(&j->tree);
	mem_free(j->stages);
	j->stages = NULL;
	j->done = 1;
}

/* --- the start ------------------------------------------------------------------ */
struct fds {			/* of the children, while they are started */
	int in, next_in, out, err;
};

static void fds_close(struct fds *f)
{
	close_fd(&f->in);
	close_fd(&f->next_in);
	close_fd(&f->out);
	close_fd(&f->err);
}

/* Raises after what was started was ended and all was closed. */
static _Noreturn void start_failed(lua_State *L, struct exec_job *j,
				   struct fds *f, struct err *e)
{
	int i, ran = 0;

	fds_close(f);
	for (i = 0; i < j->n; i++)
		ran |= j->stages[i].group != 0;
	e->outcome = ran && j->cls != EFFECT_READ ? OUTCOME_UNKNOWN
						  : OUTCOME_FAILED;
	snprintf(e->target, sizeof e->target, "%s", j->target->name);
	snprintf(e->op, sizeof e->op, "%s", j->verb);
	effect_end(&j->effect, e->outcome, -1, -1, e);
	exec_release(j);
	err_raise(L, e);
}

/* Our end of a new pipe goes to *ours; theirs is returned, -1 and *e. */
static int open_pipe(int *ours, int reads, struct err *e)
{
	int fds[2], code = spawn_pipe(fds);

	if (code) {
		err_set(e, ERR_IO, "", "cannot make a pipe: %s",
			strerror(code));
		return -1;
	}
	*ours = fds[!reads];
	fcntl(*ours, F_SETFL, O_NONBLOCK);
	return fds[reads];
}

static int open_file(const struct exec_file *f, int reads, struct err *e)
{
	int fd = open(f->path, reads ? O_RDONLY | O_CLOEXEC :
		      O_WRONLY | O_CREAT | O_CLOEXEC |
		      (f->append ? O_APPEND : O_TRUNC), 0600);

	if (fd < 0)
		err_set(e, ERR_IO, "", "cannot open '%s': %s", f->path,
			strerror(errno));
	return fd;
}

/* The ends of the children that are not pipes between them. 0, or -1 and *e. */
static int open_fds(struct exec_job *j, const struct exec_plan *p,
		    struct fds *f, struct err *e)
{
	if (p->in.path) {
		f->in = open_file(&p->in, 1, e);
		if (f->in < 0)
			return -1;
	} else if (p->piped_in) {
		f->in = open_pipe(&j->in.fd, 0, e);
		if (f->in < 0)
			return -1;
	}
	f->out = p->out.path ? open_file(&p->out, 0, e)
			     : open_pipe(&j->out[0].fd, 1, e);
	if (f->out < 0)
		return -1;
	if (p->merge)
		return 0;
	f->err = p->err.path ? open_file(&p->err, 0, e)
			     : open_pipe(&j->out[1].fd, 1, e);
	return f->err < 0 ? -1 : 0;
}

static int start_stage(struct exec_job *j, const struct exec_plan *p, int i,
		       struct fds *f, struct err *e)
{
	struct exec_stage *s = &j->stages[i];
	struct spawn what = { .path = p->path[i], .argv = p->argv[i],
			      .envp = p->envp, .cwd = p->cwd, .session = 1 };
	int out = f->out, pipe_fds[2], code;

	if (i + 1 < j->n) {
		code = spawn_pipe(pipe_fds);
		if (code) {
			err_set(e, ERR_IO, "", "cannot make a pipe: %s",
				strerror(code));
			return -1;
		}
		f->next_in = pipe_fds[0];
		out = pipe_fds[1];
	}
	what.fds[0] = f->in;
	what.fds[1] = out;
	what.fds[2] = p->merge ? out : f->err;
	code = spawn_start(&what, &s->pid);
	if (i + 1 < j->n)
		close(out);
	close_fd(&f->in);
	f->in = f->next_in;
	f->next_in = -1;
	if (code) {
		s->pid = 0;
		err_set(e, ERR_IO, code == ENOEXEC ? "ENOEXEC" : code == ENOENT
			? "ENOENT" : code == EACCES ? "EACCES" : code == E2BIG
			? "E2BIG" : "", "cannot start '%s' (%s): %s", s->name,
			p->path[i], code == ENOENT ? "the program, or the "
			"interpreter of its first line, is missing" :
			strerror(code));
		return -1;
	}
	s->group = s->pid;
	s->pidfd = spawn_pidfd(s->pid);
	return 0;
}

static int watch_fd(struct loop_watch **w, int fd, loop_watch_cb *cb,
		    void *arg, int events)
{
	if (fd < 0)
		return 0;
	*w = loop_watch_new(fd, cb, arg);
	return !*w || loop_watch_set(*w, events) ? -1 : 0;
}

static int watch_all(struct exec_job *j)
{
	int i, bad = 0, ask = 0;

	for (i = 0; i < 2; i++)
		bad |= watch_fd(&j->out[i].watch, j->out[i].fd, on_out,
				&j->out[i], LOOP_READ);
	bad |= watch_fd(&j->in.watch, j->in.fd, on_in, j, LOOP_WRITE);
	for (i = 0; i < j->n; i++) {
		struct exec_stage *s = &j->stages[i];

		bad |= watch_fd(&s->watch, s->pidfd, on_exit_of, s, LOOP_READ);
		ask |= s->pidfd < 0;	/* a kernel before 5.3, valgrind */
	}
	if (ask)
		ask_later(j);
	if (j->timeout > 0)
		j->deadline = loop_timer_new(j->timeout, 0, on_deadline, j);
	return bad || (ask && !j->asker) || (j->timeout > 0 && !j->deadline);
}

void exec_start(lua_State *L, struct exec_job *j, const struct exec_plan *p)
{
	struct fds f = { -1, -1, -1, -1 };
	struct err e;
	int i;

	j->began = loop_now();
	j->done = 0;
	if (open_fds(j, p, &f, &e))
		start_failed(L, j, &f, &e);
	for (i = 0; i < j->n; i++) {
		if (start_stage(j, p, i, &f, &e))
			start_failed(L, j, &f, &e);
		j->effect.sent = 1;
	}
	fds_close(&f);
	if (watch_all(j)) {
		err_set(&e, ERR_LIMIT, "ENOMEM", "out of memory to watch '%s'",
			j->stages[0].name);
		start_failed(L, j, &f, &e);
	}
}

/* --- the userdata ------------------------------------------------------------------ */
struct exec_job *exec_check(lua_State *L, int arg)
{
	return luaL_checkudata(L, arg, EXEC_META);
}

struct exec_job *exec_new(lua_State *L)
{
	struct target *target = target_check(L, 1);
	struct exec_job *j = lua_newuserdatauv(L, sizeof *j, 1);
	int i;

	memset(j, 0, sizeof *j);
	j->done = 1;		/* until something runs */
	j->in.fd = -1;
	buf_init(&j->in.data);
	buf_init(&j->text);
	buf_init(&j->env);
	for (i = 0; i < 2; i++) {
		j->out[i].job = j;
		j->out[i].fd = -1;
		buf_init(&j->out[i].data);
	}
	luaL_setmetatable(L, EXEC_META);
	j->target = target;
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	return j;
}
