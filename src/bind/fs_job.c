/*
 * fs_job: the life of a call: the op, its job in the pool, how a deadline and Ctrl-C
 * end it. A stop and the job's last step race for job->state: who comes first
 * decides whether anything was changed. Must not touch files itself.
 */
#include "bind/fs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/lx.h"
#include "core/mem.h"
#include "effect/withheld.h"

#define GRACE 0.2	/* seconds that a job has to end after a stop */

/* --- the job ------------------------------------------------------------------ */
static void job_free(struct fs_job *job)
{
	if (!job)
		return;
	fs_place_release(&job->at);
	fs_place_release(&job->to);
	if (job->in >= 0)
		close(job->in);
	if (job->data)
		mem_wipe(job->data, job->len);
	mem_free(job->data);
	mem_free(job->path);
	mem_free(job->other);
	mem_free(job->names);
	buf_release(&job->out);
	mem_free(job);
}

static void job_run(void *arg)
{
	struct fs_job *job = arg;

	job->run(job);
}

int fs_stopped(struct fs_job *job)
{
	if (!atomic_load(&job->stop))
		return 0;
	err_set(&job->err, ERR_CANCELLED, "", "'%s' of '%s' was stopped",
		job->doing, job->path);
	job->err.outcome = OUTCOME_FAILED;
	job->failed = 1;
	return 1;
}

int fs_commit(struct fs_job *job)
{
	int runs = FS_RUNS;

	if (atomic_compare_exchange_strong(&job->state, &runs, FS_COMMITS) ||
	    runs == FS_COMMITS)
		return 0;
	fs_stopped(job);
	return -1;
}

/* --- the op ---------------------------------------------------------------------- */
static void finish(struct fs_op *fop, enum outcome outcome,
		   const struct err *why)
{
	struct err *e = &fop->op.err;

	if (fop->op.asked) {	/* deadline or cancel: that is the error */
		if (why && outcome == OUTCOME_UNKNOWN)
			memcpy(e->hint, why->hint, sizeof e->hint);
	} else if (why) {
		*e = *why;
	}
	if (e->kind != ERR_NONE) {
		memcpy(e->target, TARGET_HOST, sizeof TARGET_HOST);
		memccpy(e->op, fop->verb, '\0', sizeof e->op - 1);
		e->outcome = fop->effect.open ? outcome : OUTCOME_NONE;
	}
	effect_end(&fop->effect, outcome, -1,
		   outcome == OUTCOME_DONE ? fop->job->bytes : -1,
		   e->kind != ERR_NONE ? e : NULL);
	op_done(&fop->op);
}

static void job_done(void *arg, int abandoned)
{
	struct fs_job *job = arg;
	struct fs_op *fop = job->op;

	if (abandoned || !fop) {
		job_free(job);
		return;
	}
	fop->work = NULL;
	if (job->failed)
		finish(fop, job->err.outcome == OUTCOME_UNKNOWN ?
		       OUTCOME_UNKNOWN : OUTCOME_FAILED, &job->err);
	else
		finish(fop, OUTCOME_DONE, NULL);
}

/* The thread hangs in a call that nothing ends: the task goes on without it. */
static void abandon(struct fs_op *fop)
{
	struct fs_job *job = fop->job;

	finish(fop, atomic_load(&job->state) == FS_COMMITS ? OUTCOME_UNKNOWN
							   : OUTCOME_FAILED,
	       NULL);
}

static void on_grace(void *arg)
{
	struct fs_op *fop = arg;

	abandon(fop);
}

static enum op_answer fs_cancel(struct op *op)
{
	struct fs_op *fop = (struct fs_op *)op;
	int runs = FS_RUNS;

	if (!fop->work)
		return OP_NOW;
	if (op->err.kind == ERR_TIMEOUT && !op->cancelled)
		err_set(&op->err, ERR_TIMEOUT, "", "'%s' of '%s' did not end "
			"within %g s", fop->verb, fop->job->path, op->timeout);
	atomic_store(&fop->job->stop, 1);
	atomic_compare_exchange_strong(&fop->job->state, &runs, FS_STOPPED);
	fop->grace = loop_timer_new(GRACE, 0, on_grace, fop);
	if (!fop->grace)
		abandon(fop);
	return OP_LATER;
}

static int fs_push(lua_State *L, struct op *op)
{
	struct fs_op *fop = (struct fs_op *)op;

	if (!buf_ok(&fop->job->out))
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory for '%s' of "
			   "'%s'", fop->verb, fop->job->path);
	return fop->push(L, fop->job);
}

static void fs_release(struct op *op)
{
	struct fs_op *fop = (struct fs_op *)op;

	loop_timer_free(fop->grace);
	fop->grace = NULL;
	effect_abandon(&fop->effect);
	if (fop->work) {		/* its done() frees the job */
		fop->job->op = NULL;
		loop_work_abandon(fop->work);
	} else {
		job_free(fop->job);
	}
	fop->job = NULL;
	buf_release(&fop->text);
}

static const struct op_class fs_class = {
	.name = "fs", .cancel = fs_cancel, .push = fs_push,
	.release = fs_release
};

struct fs_op *fs_new(lua_State *L, const char *verb,
		     void (*run)(struct fs_job *job),
		     int (*push)(lua_State *L, struct fs_job *job))
{
	struct fs_op *fop = (struct fs_op *)op_new(L, &fs_class, sizeof *fop);
	struct fs_job *job;

	buf_init(&fop->text);
	fop->verb = verb;
	fop->push = push;
	fop->timeout = FS_TIMEOUT;
	fop->job = job = mem_zalloc(sizeof *job);
	if (!job) {
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory for '%s'",
			   verb);
		return NULL;
	}
	job->op = fop;
	job->run = run;
	job->doing = verb;
	job->at.dir = job->to.dir = job->in = -1;
	job->mode = -1;
	buf_init(&job->out);
	return fop;
}

char *fs_keep(lua_State *L, const char *s)
{
	char *copy = mem_strdup(s);

	if (!copy)
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	return copy;
}

struct target *fs_host(lua_State *L)
{
	struct target *t;

	lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	lua_getfield(L, -1, "opsh.c.target");
	lua_getfield(L, -1, "host");
	lua_call(L, 0, 1);
	t = target_check(L, lua_gettop(L));	/* kept in the registry */
	lua_pop(L, 3);
	return t;
}

int fs_begin(lua_State *L, struct fs_op *fop, enum effect_class cls,
	     const char *extra)
{
	struct effect_call what;

	buf_add_json(&fop->text, fop->job->path, strlen(fop->job->path));
	if (fop->job->other) {
		buf_addc(&fop->text, ' ');
		buf_add_json(&fop->text, fop->job->other,
			     strlen(fop->job->other));
	}
	buf_adds(&fop->text, extra);
	if (!buf_ok(&fop->text))
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	memset(&what, 0, sizeof what);
	what.target = fs_host(L);
	what.cls = cls;
	what.verb = fop->verb;
	what.request = fop->text.data;
	what.request_len = fop->text.len;
	what.timeout = fop->timeout;
	return effect_begin(L, &fop->effect, &what) == EFFECT_WITHHELD;
}

int fs_start(lua_State *L, struct fs_op *fop)
{
	fop->work = loop_work_new(job_run, job_done, fop->job);
	if (!fop->work)
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory for '%s' of "
			   "'%s'", fop->verb, fop->job->path);
	fop->effect.sent = 1;
	op_start(&fop->op);
	op_deadline(&fop->op, fop->timeout);
	return op_park(L, &fop->op);
}

/* --- options and results -------------------------------------------------------------- */
double fs_timeout(lua_State *L, int arg, double def)
{
	double v = lx_opt_num(L, arg, "timeout", def);

	luaL_argcheck(L, v >= 0 && v < 1e9, arg,
		      "timeout must be seconds, 0 or more");
	return v;
}

int fs_opt_mode(lua_State *L, int arg)
{
	const char *s = lx_opt_str(L, arg, "mode", NULL);
	size_t digits = s ? strspn(s, "01234567") : 0;
	int mode = -1;

	luaL_argcheck(L, !s || (digits >= 3 && digits <= 5 && !s[digits] &&
				strtol(s, NULL, 8) <= 07777), arg,
		      "mode must be octal digits in a string: \"0644\"");
	if (s)
		mode = (int)strtol(s, NULL, 8);
	lua_pop(L, 1);
	return mode;
}

int fs_push_done(lua_State *L, struct fs_job *job)
{
	lua_createtable(L, 0, 5);
	lua_pushboolean(L, 1);
	lua_setfield(L, -2, "ok");
	lua_pushstring(L, job->other ? job->other : job->path);
	lua_setfield(L, -2, "path");
	lua_pushinteger(L, (lua_Integer)job->bytes);
	lua_setfield(L, -2, "bytes");
	lua_pushinteger(L, (lua_Integer)job->count);
	lua_setfield(L, -2, "count");
	lua_pushboolean(L, job->exists);
	lua_setfield(L, -2, "replaced");
	return effect_push_result(L, -1, 1);
}

int fs_push_names(lua_State *L, struct fs_job *job)
{
	long long i;

	lua_createtable(L, (int)job->count, 0);
	for (i = 0; i < job->count; i++) {
		lua_pushstring(L, job->names[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}
