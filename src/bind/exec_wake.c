/*
 * exec_wake: those who wait for something of a job: when it happens their waits
 * end. Owns the list of a job's waits, not the waits; how one waits and gives up
 * is exec_wait.c's.
 */
#include "bind/exec.h"

#include <stdio.h>

void exec_unlink_wait(struct exec_wait *w)
{
	struct exec_wait **at;

	if (!w->job)
		return;
	for (at = &w->job->waits; *at; at = &(*at)->next) {
		if (*at == w) {
			*at = w->next;
			break;
		}
	}
	w->job = NULL;
}

static void end_wait(struct exec_wait *w)
{
	struct exec_job *j = w->job;

	if (w->op.asked && w->owner && w->op.err.kind != ERR_NONE) {
		/* what became of it is known now */
		struct err *e = &w->op.err;

		e->outcome = j->err.outcome;
		e->phase = PHASE_WAIT;
		snprintf(e->target, sizeof e->target, "%s", j->target->name);
		snprintf(e->op, sizeof e->op, "%s", j->verb);
	}
	exec_unlink_wait(w);
	op_done(&w->op);
}

void exec_wake(struct exec_job *j, int what)
{
	struct exec_wait *w, *next;

	for (w = j->waits; w; w = next) {
		next = w->next;
		/* one that was asked to end waits for the job's end */
		if (w->op.asked && w->owner ? what & EXEC_END
					    : what & w->what)
			end_wait(w);
	}
}

void exec_drop_waits(struct exec_job *j)
{
	while (j->waits)
		end_wait(j->waits);
}
