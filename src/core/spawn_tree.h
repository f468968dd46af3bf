/*
 * spawn_tree: who came of a program that we started: its descendants that left
 * its process group (setsid, job control), found in /proc when it is to be
 * ended. What let itself be adopted by init (a daemon) is not among them. Knows
 * no Lua and no loop.
 */
#ifndef OPSH_CORE_SPAWN_TREE_H
#define OPSH_CORE_SPAWN_TREE_H

#include <sys/types.h>

struct spawn_tree {		/* zeroed: empty */
	struct spawn_proc *procs;	/* owned */
	int n;
};

/* Adds descendants of `leader`, and others of its session, that a signal to its
 * group does not reach. Without memory it adds none. */
void spawn_tree_add(struct spawn_tree *t, pid_t leader);
/* To each that is still the one it was. */
void spawn_tree_signal(const struct spawn_tree *t, int sig);
/* Is one of them alive, or one of the leader's group? Zombies are not. */
int spawn_tree_lives(const struct spawn_tree *t, pid_t leader);
void spawn_tree_release(struct spawn_tree *t);

#endif
