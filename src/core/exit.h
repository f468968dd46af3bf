/*
 * exit: the one table of exit codes (DESIGN 1.10), and which error kind ends a
 * run with which. Printed by `opsh help exit-codes`.
 */
#ifndef OPSH_CORE_EXIT_H
#define OPSH_CORE_EXIT_H

#include "core/err.h"

#define EXIT_CODES(X) \
	X(0, OK, "done, or nothing to do") \
	X(1, FAILED, "a step failed") \
	X(2, USAGE, "usage, parse or configuration error; nothing was done") \
	X(3, CHECK, "a check before the first write failed") \
	X(4, UNREACHABLE, "a target can't be reached") \
	X(10, CHANGES, "plan found changes (--detailed-exitcode)") \
	X(11, BUSY, "the lock is held by somebody else, or was lost") \
	X(12, CHANGED, "a target is not the one it was") \
	X(13, IN_DOUBT, "in doubt: a write may or may not have been applied") \
	X(14, GUARD, "refused by a guard") \
	X(15, VERIFY, "verification failed") \
	X(16, STALE, "the plan is stale") \
	X(20, PLAN_UNKNOWN, "the plan stops at a result it hasn't got") \
	X(74, JOURNAL, "the journal can't be written; nothing was done") \
	X(75, UNRECORDED, "done, but the outcome could not be recorded") \
	X(124, DEADLINE, "a deadline passed") \
	X(129, HUP, "the terminal closed (SIGHUP)") \
	X(130, INT, "interrupted (SIGINT, Ctrl-C)") \
	X(141, PIPE, "the reader of the output went away (SIGPIPE)") \
	X(143, TERM, "terminated (SIGTERM)")

enum exit_code {
#define X(num, sym, text) EXIT_##sym = num,
	EXIT_CODES(X)
#undef X
};

/* The exit code of an error: its own, or its kind's. */
int exit_code_of(const struct err *e);

#endif
