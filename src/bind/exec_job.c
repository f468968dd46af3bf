/*
 * exec_job: the life of a job after its start: what the loop tells of its
 * programs, TERM and KILL, the end. A program that ended stays a zombie until
 * its group was dealt with, so that its number is nobody else's. Owns no Lua
 * value; what it ended with is exec_end.c's.
 */
#include "bind/exec.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/mem.h"
#include "core/spawn.h"
#include "core/spawn_tree.h"

#define ASK_EVERY 0.02	/* seconds: what no descriptor tells */
#define GIVE_UP 2.0	/* seconds after KILL */
#define KILLED_MS 300	/* that a killed program is waited for, at most */

static void drop_timer(struct loop_timer **t)
{
	loop_timer_free(*t);
	*t = NULL;
}

/* --- the end ------------------------------------------------------------------ */
static void stage_close(struct exec_stage *s)
{
	loop_watch_free(s->watch);
	s->watch = NULL;
	exec_close_fd(&s->pidfd);
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
		exec_out_take(&j->out[i]);
		exec_out_close(&j->out[i]);
	}
	exec_in_close(&j->in);
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
	exec_look(arg);
}

/* Has it output that its reader has not made room for? */
static int is_paused(const struct exec_out *o)
{
	return o->fd >= 0 && o->hold && exec_out_left(o) >= o->hold;
}

static void on_linger(void *arg)
{
	struct exec_job *j = arg;

	drop_timer(&j->linger);
	if (!is_paused(&j->out[0]))
		job_finish(j);
}

void exec_ask_later(struct exec_job *j)
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
		exec_ask_later(j);
	else
		job_finish(j);
}

/* What became of it? */
void exec_look(struct exec_job *j)
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

/* --- what the loop tells ------------------------------------------------------ */
void exec_on_exit(void *arg, int events, int status)
{
	struct exec_stage *s = arg;

	(void)events;
	(void)status;
	if (stage_exited(s))
		exec_look(s->job);
}

void exec_on_out(void *arg, int events, int status)
{
	struct exec_out *o = arg;
	struct exec_job *j = o->job;
	int i = (int)(o - j->out);

	(void)events;
	(void)status;
	exec_out_take(o);
	if (!j->why && (!buf_ok(&o->data) ||
			(o->over && !o->lossy && j->cls == EFFECT_READ)))
		exec_kill(j, EXEC_OVER, 0);
	exec_wake(j, i ? EXEC_STDERR : EXEC_STDOUT);
	exec_look(j);
}

void exec_on_in(void *arg, int events, int status)
{
	struct exec_job *j = arg;

	(void)events;
	(void)status;
	if (exec_in_write(&j->in))
		exec_wake(j, EXEC_ROOM);
}

/* --- what its owner asks ------------------------------------------------------- */
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

int exec_feed(struct exec_job *j, const char *data, size_t len, int ends)
{
	struct exec_in *in = &j->in;

	if (in->fd < 0)
		return 0;
	buf_add(&in->data, data, len);
	if (!buf_ok(&in->data))
		return -1;
	in->ends |= ends;
	if (in->watch && exec_in_write(in))
		exec_wake(j, EXEC_ROOM);
	return 0;
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
	exec_ask_later(j);
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
			exec_ask_later(j);
		}
		if (now || !j->killer || !j->asker)
			job_kill(j);
	} else if (now) {
		job_kill(j);
	}
}

void exec_on_deadline(void *arg)
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
		exec_out_close(&j->out[i]);
		exec_wipe(&j->out[i].data);
	}
	exec_in_close(&j->in);
	effect_abandon(&j->effect);
	exec_wipe(&j->text);
	exec_wipe(&j->env);
	buf_release(&j->doubt);
	spawn_tree_release(&j->tree);
	mem_free(j->stages);
	j->stages = NULL;
	j->done = 1;
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
