/*
 * sig: SIGINT, SIGTERM, SIGHUP, kept until the tasks take them; SIGALRM as the
 * tick for busy loops past a deadline. The handlers set flags, tell who runs
 * that there is something and wake the loop; nothing else. In a session SIGINT
 * is not the root's: who takes it decides what it stops. Knows no task.
 */
#ifndef OPSH_CORE_SIG_H
#define OPSH_CORE_SIG_H

/* Installs the handlers, ignores SIGPIPE. attend: called in them, so that a
 * busy task looks; async-signal-safe. */
void sig_init(void (*attend)(void));
/* The last of INT, TERM, HUP that nobody has taken yet; 0 none. */
int sig_take(void);
void sig_tell(void);		/* calls what waits for sig_on_int, sig_on_resize */
/* Starts or ends the 50 ms tick that finds busy loops past a deadline or past
 * their grace: as often ended as started. */
void sig_tick(int on);
int sig_caught(void);		/* first of INT, TERM, HUP that came; 0 none */
/* Called, in the handler, when a third Ctrl-C ends the process on the spot:
 * async-signal-safe. NULL: nothing. */
void sig_on_leave(void (*cb)(void));
/* From now on SIGINT cancels nothing by itself: cb gets it, on the loop or from
 * the hook of a busy task; it touches no lua_State. Three of them that nobody
 * could take, over SIG_STUCK seconds, end the process all the same. NULL: as
 * before. */
#define SIG_STUCK 1.0
void sig_on_int(void (*cb)(void));
/* The terminal's size changed; called as the above. NULL: ignored. */
void sig_on_resize(void (*cb)(void));

#endif
