/*
 * exit: error kinds to exit codes.
 */
#include "core/exit.h"

int exit_code_of(const struct err *e)
{
	static const int codes[ERR_N_KINDS] = {
		[ERR_USAGE] = EXIT_USAGE, [ERR_CONFIG] = EXIT_USAGE,
		[ERR_CONNECT] = EXIT_UNREACHABLE, [ERR_TLS] = EXIT_UNREACHABLE,
		[ERR_AUTH] = EXIT_CHECK, [ERR_TIMEOUT] = EXIT_DEADLINE,
		[ERR_REFUSED] = EXIT_CHECK, [ERR_GUARD] = EXIT_GUARD,
		[ERR_CHANGED] = EXIT_CHANGED, [ERR_BUSY] = EXIT_BUSY,
		[ERR_UNKNOWN] = EXIT_IN_DOUBT,
		[ERR_WITHHELD] = EXIT_PLAN_UNKNOWN,
		[ERR_JOURNAL] = EXIT_JOURNAL, [ERR_VERIFY] = EXIT_VERIFY,
		[ERR_CHECK] = EXIT_CHECK,
	};

	if (e->exit_code)
		return e->exit_code;
	/* whatever ended it: a write that may have been applied */
	if (e->outcome == OUTCOME_UNKNOWN && e->kind != ERR_CANCELLED)
		return EXIT_IN_DOUBT;
	/* a deadline of the connection is a target that can't be reached */
	if (e->kind == ERR_TIMEOUT && e->phase >= PHASE_DNS &&
	    e->phase <= PHASE_AUTH)
		return EXIT_UNREACHABLE;
	return codes[e->kind] ? codes[e->kind] : EXIT_FAILED;
}
