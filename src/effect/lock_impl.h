/*
 * lock_impl: what lock.c and lock_lua.c share and nobody else sees: the one
 * lock of the run, and what its keeper reports.
 */
#ifndef OPSH_EFFECT_LOCK_IMPL_H
#define OPSH_EFFECT_LOCK_IMPL_H

#define LOCK_WHY 400

struct op;
struct task;

struct lock {
	int held;
	int lost;			/* for good: `why` says how */
	char resource[256];		/* "" before the first */
	char store[64];
	char why[LOCK_WHY];
	long long token;
	double ttl;			/* seconds */
	double bound;			/* a confirmation counts so long */
	double confirmed;		/* loop_now() when what was confirmed
					   last was asked */
	double expiry;			/* loop_now() of the lease's end */
	double unreachable;		/* since when; 0 */
	int label;			/* of the lock's own calls, 0 none yet */
	struct task *keeper;		/* borrowed: the registry holds it */
	struct op *idle;		/* borrowed: the keeper waits on it */
	int want;			/* the keeper is to ask the store */
	double need;			/* who waits wants it that new */
	int *over;			/* borrowed: set when it was told */
};
extern struct lock lock_held;

/* The store said yes to what was asked at `sent`; renewed: the lease is as long
 * as the ttl from then, less a margin for what is on its way. */
void lock_confirmed(double sent, int renewed);
void lock_lose(const char *why);	/* the token is another one */
void lock_unreachable(const char *why);
void lock_answered(void);		/* whoever waits goes on */
void lock_forget_steps(void);
void lock_wake_keeper(void);		/* ends its wait */

#endif
