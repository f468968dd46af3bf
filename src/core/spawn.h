/*
 * spawn: starting a program by posix_spawn: found by PATH beforehand, in a
 * group or a session of its own, with three descriptors and no other of ours,
 * signals as they were before us. Knows which groups are not gone yet. Knows
 * no Lua and no loop; who starts a program reaps it.
 */
#ifndef OPSH_CORE_SPAWN_H
#define OPSH_CORE_SPAWN_H

#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#define SPAWN_PATH_MAX 4096

struct spawn_id {		/* which file it is, and which content */
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec changed;
};

struct spawn {
	const char *path;	/* as spawn_find found it */
	const char *file;	/* where that is looked at; NULL: it isn't */
	struct spawn_id id;	/* what it has to be then */
	char *const *argv;
	char *const *envp;	/* NULL: ours */
	const char *cwd;	/* NULL: ours */
	int fds[3];		/* become 0, 1, 2; below 0: /dev/null */
	int session;		/* a session of its own: no terminal; else a
				   process group */
	int tty;		/* above 0: the terminal whose foreground
				   group it is from its start */
};

/* 0, or errno; ESTALE: the file is not the one that was found. The program leads
 * its group: kill(-*pid, ..). */
int spawn_start(const struct spawn *s, pid_t *pid);
/* It was reaped. */
void spawn_gone(pid_t pid);
/* KILL to every group that is not gone. Async-signal-safe. */
void spawn_kill_all(void);

/*
 * Finds a program: a name without '/' in the absolute folders of `path` (a
 * list as PATH has it), one with it as it is, below `cwd` when that is not
 * NULL and the name relative. 0, or ENOENT, EACCES (it can't be executed),
 * ENAMETOOLONG.
 */
int spawn_find(const char *name, const char *path, const char *cwd, char *out,
	       size_t size);

/* pipe2 with O_CLOEXEC, both ends above 2; raises the limit of descriptors
 * when it is reached. 0, or errno. */
int spawn_pipe(int fds[2]);
/* Which file it is now. 0, or errno. */
int spawn_identify(const char *file, struct spawn_id *id);

/* A descriptor that is readable once the child is gone; -1 where the kernel
 * has none. */
int spawn_pidfd(pid_t pid);

#endif
