/*
 * spawn_tree: reads /proc/PID/stat of all processes. Owns one snapshot, which
 * serves for a moment, as many programs are ended at once; who is signalled is
 * looked at again, its number may be another's by then. Must not reap.
 */
#include "core/spawn_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/mem.h"

#define FRESH 0.015	/* seconds that a snapshot serves */

struct spawn_proc {
	pid_t pid, parent, group, session;
	unsigned long long start;	/* in ticks since the boot */
	char state;
	char mine;		/* while a tree is looked for */
};

static struct spawn_proc *all;	/* owned */
static int n_all, cap_all;
static double taken;		/* loop_now() */

/* "PID (NAME) STATE PPID PGRP SESSION ..": NAME may hold anything. */
static int read_proc(pid_t pid, struct spawn_proc *p)
{
	char path[32], text[512], *at;
	ssize_t n;
	int fd, parent, group, session;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	at = strrchr(text, ')');
	if (!at || sscanf(at + 1, " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u "
			  "%*u %*u %*d %*d %*d %*d %*d %*d %llu", &p->state,
			  &parent, &group, &session, &p->start) != 5)
		return -1;
	p->pid = pid;
	p->parent = parent;
	p->group = group;
	p->session = session;
	return 0;
}

static int add_to_all(pid_t pid)
{
	int cap = cap_all ? cap_all * 2 : 256;

	if (n_all == cap_all) {
		struct spawn_proc *more = mem_realloc(all, (size_t)cap *
						      sizeof *all);

		if (!more)
			return -1;
		all = more;
		cap_all = cap;
	}
	if (!read_proc(pid, &all[n_all]))
		n_all++;
	return 0;
}

static void snapshot(void)
{
	struct dirent *entry;
	DIR *dir;

	if (n_all && loop_now() - taken < FRESH)
		return;
	n_all = 0;
	dir = opendir("/proc");
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		long pid = strtol(entry->d_name, NULL, 10);

		if (pid > 0 && add_to_all((pid_t)pid))
			break;
	}
	closedir(dir);
	taken = loop_now();
}

static int is_mine(pid_t pid)
{
	int i;

	for (i = 0; i < n_all; i++)
		if (all[i].pid == pid)
			return all[i].mine;
	return 0;
}

static int has(const struct spawn_tree *t, const struct spawn_proc *p)
{
	int i;

	for (i = 0; i < t->n; i++)
		if (t->procs[i].pid == p->pid && t->procs[i].start == p->start)
			return 1;
	return 0;
}

static void add_one(struct spawn_tree *t, const struct spawn_proc *p)
{
	struct spawn_proc *more;

	if (has(t, p))
		return;
	more = mem_realloc(t->procs, (size_t)(t->n + 1) * sizeof *more);
	if (!more)
		return;
	t->procs = more;
	t->procs[t->n++] = *p;
}

void spawn_tree_add(struct spawn_tree *t, pid_t leader)
{
	int i, found;

	snapshot();
	for (i = 0; i < n_all; i++)
		all[i].mine = all[i].pid == leader ||
			      all[i].session == leader;
	do {
		found = 0;
		for (i = 0; i < n_all; i++) {
			if (all[i].mine || !is_mine(all[i].parent))
				continue;
			all[i].mine = 1;
			found = 1;
		}
	} while (found);
	for (i = 0; i < n_all; i++)
		if (all[i].mine && all[i].group != leader)
			add_one(t, &all[i]);
}

static int is_same(const struct spawn_proc *p)
{
	struct spawn_proc now;

	return !read_proc(p->pid, &now) && now.start == p->start &&
	       now.state != 'Z' && now.state != 'X';
}

void spawn_tree_signal(const struct spawn_tree *t, int sig)
{
	int i;

	for (i = 0; i < t->n; i++)
		if (is_same(&t->procs[i]))
			kill(t->procs[i].pid, sig);
}

int spawn_tree_lives(const struct spawn_tree *t, pid_t leader)
{
	int i;

	for (i = 0; i < t->n; i++)
		if (is_same(&t->procs[i]))
			return 1;
	if (kill(-leader, 0))
		return 0;
	snapshot();
	for (i = 0; i < n_all; i++)
		if (all[i].group == leader && all[i].state != 'Z' &&
		    all[i].state != 'X')
			return 1;
	return 0;
}

void spawn_tree_release(struct spawn_tree *t)
{
	mem_free(t->procs);
	t->procs = NULL;
	t->n = 0;
}
