/*
 * loop: the one event loop, libuv behind six verbs. Owns every uv handle
 * (their memory is freed in uv's close callbacks only). Callbacks run inside
 * loop_turn, never touch a lua_State and never run user code: they copy, call
 * op_done, return. Knows nothing of Lua. One loop a process, one thread.
 */
#ifndef OPSH_CORE_LOOP_H
#define OPSH_CORE_LOOP_H

#include <stddef.h>
#include <sys/socket.h>

#include "core/err.h"

int loop_init(void);		/* 0, or -1 and errno; idempotent */
/* Closes what is left. -1: a thread of the pool is still at work (a resolver
 * that nobody answers), and would keep exit() waiting */
int loop_release(void);
/* One turn: waits (block != 0) for at most one batch of events, runs them. */
void loop_turn(int block);
/* Called before the loop may sleep; one, NULL none. */
void loop_before_sleep(void (*cb)(void));
double loop_now(void);		/* seconds, CLOCK_BOOTTIME (sleep counts) */
int loop_handles(void);		/* open handles of users: tests ask for 0 */

/* --- file descriptors ------------------------------------------------- */
#define LOOP_READ 1
#define LOOP_WRITE 2
struct loop_watch;		/* opaque, owned by the loop */
typedef void loop_watch_cb(void *arg, int events, int status);
/* Watches fd; NULL when out of memory or the fd can't be polled. */
struct loop_watch *loop_watch_new(int fd, loop_watch_cb *cb, void *arg);
int loop_watch_set(struct loop_watch *w, int events);	/* 0: paused */
/* It stays as it is, but nobody waits for it: idle != 0, once; then back. */
void loop_watch_idle(struct loop_watch *w, int idle);
void loop_watch_free(struct loop_watch *w);	/* before closing the fd; NULL ok */

/* --- timers ------------------------------------------------------------ */
struct loop_timer;
typedef void loop_timer_cb(void *arg);
/* Fires once after `seconds` (>= 0), every `repeat` seconds when > 0. */
struct loop_timer *loop_timer_new(double seconds, double repeat,
				  loop_timer_cb *cb, void *arg);
void loop_timer_free(struct loop_timer *t);	/* NULL ok; also after firing */

/* --- the thread pool: blocking library calls --------------------------- */
struct loop_work;
/* run() in a pool thread; done() on the loop, also after loop_work_abandon,
 * when it only frees. `arg` must live until done(). NULL: out of memory. */
struct loop_work *loop_work_new(void (*run)(void *arg),
				void (*done)(void *arg, int abandoned),
				void *arg);
void loop_work_abandon(struct loop_work *w);

/* --- names ------------------------------------------------------------- */
struct loop_resolve;
struct loop_addr {
	struct sockaddr_storage addr;
	socklen_t len;
	int family;
};
/* Calls cb once with n >= 1 addresses, or n == 0 and *e filled (kind connect,
 * phase dns). The array is freed after cb. In a pool thread, so that a dead
 * resolver blocks nothing; loop_resolve_abandon forgets the answer. */
typedef void loop_resolve_cb(void *arg, const struct loop_addr *addrs, int n,
			     const struct err *e);
struct loop_resolve *loop_resolve_new(const char *host, const char *port,
				      loop_resolve_cb *cb, void *arg);
void loop_resolve_abandon(struct loop_resolve *r);

/* --- waking from a signal handler -------------------------------------- */
void loop_wake(void);		/* async-signal-safe */
void loop_on_wake(void (*cb)(void));

#endif
