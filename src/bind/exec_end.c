/*
 * exec_end: what a job ended with: its error or none, the outcome of its
 * effect, the result that Lua gets. Says of a failure who it was, how it was
 * ended and the first line of its stderr. Must not signal anything.
 */
#include "bind/exec.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "core/loop.h"
#include "core/lx.h"
#include "effect/redact.h"
#include "effect/withheld.h"

#define SAID_MAX 300	/* bytes of stderr's first line in a message */

static int is_accepted(const struct exec_job *j, int i)
{
	int status = j->stages[i].status, code;

	/* its reader had enough: `| head` is no failure */
	if (WIFSIGNALED(status))
		return i + 1 < j->n && WTERMSIG(status) == SIGPIPE;
	code = WEXITSTATUS(status);
	return j->accept_any || j->accept[code / 8] & 1 << code % 8;
}

/* The first stage that failed, else the last. */
static int deciding(const struct exec_job *j)
{
	int i;

	for (i = 0; i < j->n - 1; i++)
		if (!is_accepted(j, i))
			break;
	return i;
}

static void signal_name(int sig, char *out, size_t size)
{
	const char *name = sigabbrev_np(sig);

	if (name)
		snprintf(out, size, "SIG%s", name);
	else
		snprintf(out, size, "SIG%d", sig);
}

/* ": " and the first line of stderr that says something, masked. */
static void what_it_said(const struct exec_job *j, char *out, size_t size)
{
	const char *p = j->out[1].data.data, *end = p + j->out[1].data.len;
	struct buf masked = BUF_INIT;
	const char *nl;

	out[0] = '\0';
	while (p < end && strchr(" \t\r\n", *p))
		p++;
	if (p == end)
		return;
	nl = memchr(p, '\n', (size_t)(end - p));
	if (nl)
		end = nl;
	while (end > p && strchr(" \t\r", end[-1]))
		end--;
	redact_to(&masked, p, (size_t)(end - p));
	if (buf_ok(&masked))
		snprintf(out, size, ": %.*s", SAID_MAX, masked.data);
	buf_release(&masked);
}

/* Does it say something that leaves open whether it did its work? */
static int says_doubt(const struct exec_job *j)
{
	const char *s = j->doubt.data, *end = s + j->doubt.len;
	int i;

	for (; s < end; s += strlen(s) + 1)
		for (i = 0; i < 2; i++)
			if (j->out[i].data.len &&
			    memmem(j->out[i].data.data, j->out[i].data.len, s,
				   strlen(s)))
				return 1;
	return 0;
}

static void set_failed(struct exec_job *j, int i)
{
	const struct exec_stage *s = &j->stages[i];
	char said[SAID_MAX + 8], code[32], where[40] = "";

	what_it_said(j, said, sizeof said);
	if (j->n > 1)
		snprintf(where, sizeof where, " (%d of %d)", i + 1, j->n);
	if (WIFSIGNALED(s->status)) {
		signal_name(WTERMSIG(s->status), code, sizeof code);
		err_set(&j->err, ERR_SERVER, code, "'%s'%s was ended by %s%s",
			s->name, where, code, said);
	} else {
		snprintf(code, sizeof code, "%d", WEXITSTATUS(s->status));
		err_set(&j->err, ERR_SERVER, code, "'%s'%s ended with status "
			"%s%s", s->name, where, code, said);
	}
	j->err.outcome = WIFSIGNALED(s->status) || says_doubt(j)
		? OUTCOME_UNKNOWN : OUTCOME_FAILED;
}

/* It was ended by us: how. */
static void set_ended(struct exec_job *j)
{
	const char *name = j->stages[j->n - 1].name;
	char how[96], said[SAID_MAX + 8];

	what_it_said(j, said, sizeof said);
	if (j->killed)
		snprintf(how, sizeof how, "it was killed (KILL) %g s after "
			 "TERM", j->kill_after);
	else
		snprintf(how, sizeof how, "it was ended by TERM");
	if (j->why == EXEC_LATE)
		err_set(&j->err, ERR_TIMEOUT, "", "'%s' did not end within "
			"%g s: %s%s", name, j->timeout, how, said);
	else
		err_set(&j->err, ERR_CANCELLED, "", "'%s' was given up: %s",
			name, how);
	j->err.phase = PHASE_WAIT;
	j->err.outcome = OUTCOME_UNKNOWN;
}

/* Does one of the outputs not fit? */
static void set_over(struct exec_job *j, int i, enum outcome outcome)
{
	const struct exec_out *o = &j->out[i];

	if (!buf_ok(&o->data))
		err_set(&j->err, ERR_LIMIT, "ENOMEM", "out of memory for what "
			"'%s' wrote", j->stages[j->n - 1].name);
	else
		err_set(&j->err, ERR_LIMIT, "", "'%s' wrote more than %zu "
			"bytes to %s (option 'max')", j->stages[j->n - 1].name,
			o->max, i ? "stderr" : "stdout");
	snprintf(j->err.hint, sizeof j->err.hint, "take it line by line "
		 "(sh.lines), or to a file: stdout = \"PATH\"");
	j->err.phase = PHASE_READ;
	j->err.outcome = outcome;
}

void exec_settle(struct exec_job *j)
{
	int which = deciding(j), i;

	j->err.kind = ERR_NONE;
	if (j->why == EXEC_LATE || j->why == EXEC_CANCELLED)
		set_ended(j);
	else if (j->why == EXEC_RUNS && !is_accepted(j, which))
		set_failed(j, which);
	for (i = 0; i < 2 && j->err.kind == ERR_NONE; i++)
		if (!buf_ok(&j->out[i].data) ||
		    (j->out[i].over && !j->out[i].lossy))
			set_over(j, i, j->why == EXEC_RUNS ? OUTCOME_DONE
							   : OUTCOME_UNKNOWN);
	if (j->err.kind == ERR_NONE) {
		/* what its owner ended itself was asked for */
		effect_end(&j->effect, OUTCOME_DONE, -1, j->out[0].total,
			   NULL);
		return;
	}
	if (j->cls == EFFECT_READ)
		j->err.outcome = OUTCOME_FAILED;
	snprintf(j->err.target, sizeof j->err.target, "%s", j->target->name);
	snprintf(j->err.op, sizeof j->err.op, "%s", j->verb);
	effect_end(&j->effect, j->err.outcome, -1, j->out[0].total, &j->err);
}

static void push_output(lua_State *L, const struct exec_out *o)
{
	lua_pushlstring(L, o->data.data + o->taken, o->data.len - o->taken);
}

/* [-0, +0, m] Fields of what it ended with, into the table on top. */
static void set_fields(lua_State *L, const struct exec_job *j)
{
	int which = deciding(j), i, status;
	char name[32];

	lua_createtable(L, j->n, 0);
	for (i = 0; i < j->n; i++) {
		status = j->stages[i].status;
		if (WIFSIGNALED(status)) {
			signal_name(WTERMSIG(status), name, sizeof name);
			lua_pushstring(L, name);
		} else {
			lua_pushinteger(L, WEXITSTATUS(status));
		}
		if (i == which) {
			lua_pushvalue(L, -1);
			lua_setfield(L, -4, WIFSIGNALED(status) ? "signal"
								: "status");
		}
		lua_rawseti(L, -2, i + 1);
	}
	lua_setfield(L, -2, "statuses");
	push_output(L, &j->out[0]);
	lua_setfield(L, -2, "stdout");
	push_output(L, &j->out[1]);
	lua_setfield(L, -2, "stderr");
	lua_pushnumber(L, j->ended - j->began);
	lua_setfield(L, -2, "seconds");
}

static void push_result(lua_State *L, const struct exec_job *j)
{
	lua_createtable(L, 0, 7);
	set_fields(L, j);
	if (j->cls == EFFECT_READ)
		return;
	lua_pushboolean(L, 1);
	lua_setfield(L, -2, "ok");
	effect_push_result(L, -1, 1);
	lua_remove(L, -2);
}

static _Noreturn void raise_error(lua_State *L, const struct exec_job *j)
{
	char where[96];

	luaL_checkstack(L, 8, NULL);
	err_push(L, &j->err);
	lx_where(L, 1, where, sizeof where);
	if (*where) {
		lua_pushstring(L, where);
		lua_setfield(L, -2, "where");
	}
	set_fields(L, j);
	lua_error(L);
	__builtin_unreachable();
}

int exec_push_end(lua_State *L, const struct exec_job *j)
{
	if (j->err.kind != ERR_NONE)
		raise_error(L, j);
	push_result(L, j);
	return 1;
}
