/*
 * exec_start: a job's start: files and pipes are opened, the programs started
 * one after the other, all that is to be watched is. Where that fails, what was
 * started is ended and the call raises. Ends no job that runs: exec_job.c's.
 */
#include "bind/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/spawn.h"

struct fds {			/* of the children, while they are started */
	int in, next_in, out, err;
};

static void fds_close(struct fds *f)
{
	exec_close_fd(&f->in);
	exec_close_fd(&f->next_in);
	exec_close_fd(&f->out);
	exec_close_fd(&f->err);
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
	struct spawn what = { .path = p->path[i], .file = p->file[i],
			      .id = p->id[i], .argv = p->argv[i],
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
	exec_close_fd(&f->in);
	f->in = f->next_in;
	f->next_in = -1;
	if (code == ESTALE) {
		s->pid = 0;
		err_set(e, ERR_CHANGED, "REPLACED", "'%s' is not the file any "
			"more that it was when the call was judged: it was "
			"replaced or changed, and was not started",
			p->file[i]);
		return -1;
	}
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
		bad |= watch_fd(&j->out[i].watch, j->out[i].fd, exec_on_out,
				&j->out[i], LOOP_READ);
	bad |= watch_fd(&j->in.watch, j->in.fd, exec_on_in, j, LOOP_WRITE);
	for (i = 0; i < j->n; i++) {
		struct exec_stage *s = &j->stages[i];

		bad |= watch_fd(&s->watch, s->pidfd, exec_on_exit, s, LOOP_READ);
		ask |= s->pidfd < 0;	/* a kernel before 5.3, valgrind */
	}
	if (ask)
		exec_ask_later(j);
	if (j->timeout > 0)
		j->deadline = loop_timer_new(j->timeout, 0, exec_on_deadline, j);
	return bad || (ask && !j->asker) || (j->timeout > 0 && !j->deadline);
}

void exec_start(lua_State *L, struct exec_job *j, const struct exec_plan *p)
{
	struct fds f = { -1, -1, -1, -1 };
	struct err e;
	int i;

	j->began = loop_now();
	j->done = 0;
	/* nothing runs that could not be watched */
	if (loop_init()) {
		err_set(&e, ERR_LIMIT, err_errno_name(errno), "cannot watch '%s': "
			"%s", j->stages[0].name, strerror(errno));
		start_failed(L, j, &f, &e);
	}
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
