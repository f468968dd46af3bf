/*
 * sig: SIGINT, SIGTERM, SIGHUP turned into a cancel of the root task; SIGALRM
 * as the tick for busy loops past a deadline. The handlers set flags, arm the
 * hook of the running state and wake the loop; nothing else.
 */
#ifndef OPSH_CORE_SIG_H
#define OPSH_CORE_SIG_H

void sig_init(void);		/* installs the handlers, ignores SIGPIPE */
int sig_caught(void);		/* first of INT, TERM, HUP that came; 0 none */
/* Called, in the handler, when a third Ctrl-C ends the process on the spot:
 * async-signal-safe. NULL: nothing. */
void sig_on_leave(void (*cb)(void));
void sig_forget(void);		/* the REPL's next line starts anew */

#endif
