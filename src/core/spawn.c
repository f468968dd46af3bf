/*
 * spawn: posix_spawn with what every child of ours gets. Owns the list of
 * groups that are not gone, and the limit of descriptors: ours is raised when
 * it is reached, children get back the one that we had. Must not reap.
 */
#include "core/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GROUPS_MAX 8192		/* of which spawn_kill_all knows */

extern char **environ;

static volatile pid_t groups[GROUPS_MAX];
static int groups_end;		/* no group stands at or after it */
static struct rlimit before;	/* of descriptors, where we raised it */
static int raised;

/* --- groups ------------------------------------------------------------- */

static void remember(pid_t pid)
{
	int i;

	for (i = 0; i < groups_end && groups[i]; i++)
		;
	if (i == GROUPS_MAX)
		return;
	groups[i] = pid;
	if (i == groups_end)
		groups_end++;
}

void spawn_gone(pid_t pid)
{
	int i;

	for (i = 0; i < groups_end; i++)
		if (groups[i] == pid)
			groups[i] = 0;
	while (groups_end && !groups[groups_end - 1])
		groups_end--;
}

void spawn_kill_all(void)
{
	int i;

	for (i = 0; i < groups_end; i++)
		if (groups[i])
			kill(-groups[i], SIGKILL);
}

/* --- descriptors ---------------------------------------------------------- */

/* Up to the hard limit, once. */
static int raise_limit(void)
{
	struct rlimit now;

	if (raised || getrlimit(RLIMIT_NOFILE, &now) ||
	    now.rlim_cur >= now.rlim_max)
		return -1;
	before = now;
	now.rlim_cur = now.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &now))
		return -1;
	raised = 1;
	return 0;
}

/* The child's 0, 1 and 2 are put in place one after the other: none of them
 * may stand in another's. */
static int above_2(int *fd)
{
	int more;

	if (*fd > 2)
		return 0;
	more = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
	if (more < 0)
		return errno;
	close(*fd);
	*fd = more;
	return 0;
}

int spawn_pipe(int fds[2])
{
	int code = 0;

	if (pipe2(fds, O_CLOEXEC) &&
	    (errno != EMFILE || raise_limit() || pipe2(fds, O_CLOEXEC)))
		return errno;
	code = above_2(&fds[0]);
	if (!code)
		code = above_2(&fds[1]);
	if (code) {
		close(fds[0]);
		close(fds[1]);
	}
	return code;
}

int spawn_pidfd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0 && errno == EMFILE && !raise_limit())
		fd = (int)syscall(SYS_pidfd_open, pid, 0);
	return fd;
}

/* --- finding ---------------------------------------------------------------- */

/* 0, EACCES: it is there but can't be executed, ENOENT. */
static int look(const char *file)
{
	struct stat st;

	if (stat(file, &st))
		return errno == EACCES ? EACCES : ENOENT;
	if (S_ISDIR(st.st_mode))
		return EACCES;
	if (!S_ISREG(st.st_mode) || faccessat(AT_FDCWD, file, X_OK, AT_EACCESS))
		return EACCES;
	return 0;
}

static int find_in(const char *name, const char *path, char *out, size_t size)
{
	int code = ENOENT, got, n;
	const char *end;

	for (; *path; path = *end ? end + 1 : end) {
		end = path + strcspn(path, ":");
		if (*path != '/')	/* relative: where we happen to be */
			continue;
		n = snprintf(out, size, "%.*s/%s", (int)(end - path), path,
			     name);
		if (n < 0 || (size_t)n >= size)
			continue;
		got = look(out);
		if (!got)
			return 0;
		if (got == EACCES && access(out, F_OK) == 0)
			code = EACCES;
	}
	return code;
}

int spawn_find(const char *name, const char *path, const char *cwd, char *out,
	       size_t size)
{
	int n;

	if (!*name)
		return ENOENT;
	if (!strchr(name, '/'))
		return find_in(name, path, out, size);
	if (cwd && *name != '/')
		n = snprintf(out, size, "%s/%s", cwd, name);
	else
		n = snprintf(out, size, "%s", name);
	if (n < 0 || (size_t)n >= size)
		return ENAMETOOLONG;
	return look(out);
}

int spawn_identify(const char *file, struct spawn_id *id)
{
	struct stat st;

	memset(id, 0, sizeof *id);
	if (stat(file, &st))
		return errno;
	id->dev = st.st_dev;
	id->ino = st.st_ino;
	id->size = st.st_size;
	id->changed = st.st_ctim;
	return 0;
}

static int is_same(const char *file, const struct spawn_id *id)
{
	struct spawn_id now;

	return !spawn_identify(file, &now) && now.dev == id->dev &&
		now.ino == id->ino && now.size == id->size &&
		now.changed.tv_sec == id->changed.tv_sec &&
		now.changed.tv_nsec == id->changed.tv_nsec;
}

/* --- starting ---------------------------------------------------------------- */

static int set_files(posix_spawn_file_actions_t *fa, const struct spawn *s)
{
	int i, code = 0;

	if (s->tty > 0)
		code = posix_spawn_file_actions_addtcsetpgrp_np(fa, s->tty);
	for (i = 0; i < 3 && !code; i++) {
		if (s->fds[i] >= 0)
			code = posix_spawn_file_actions_adddup2(fa, s->fds[i],
								i);
		else
			code = posix_spawn_file_actions_addopen(fa, i,
				"/dev/null", i ? O_WRONLY : O_RDONLY, 0);
	}
	if (!code && s->cwd)
		code = posix_spawn_file_actions_addchdir_np(fa, s->cwd);
	if (!code)
		code = posix_spawn_file_actions_addclosefrom_np(fa, 3);
	return code;
}

static void set_attr(posix_spawnattr_t *attr, const struct spawn *s)
{
	sigset_t none, reset;

	sigemptyset(&none);
	sigemptyset(&reset);
	sigaddset(&reset, SIGPIPE);
	sigaddset(&reset, SIGXFSZ);
	posix_spawnattr_setsigmask(attr, &none);
	posix_spawnattr_setsigdefault(attr, &reset);
	posix_spawnattr_setpgroup(attr, 0);
	posix_spawnattr_setflags(attr, (short)(POSIX_SPAWN_SETSIGMASK |
				 POSIX_SPAWN_SETSIGDEF |
				 (s->session ? POSIX_SPAWN_SETSID
					     : POSIX_SPAWN_SETPGROUP)));
}

int spawn_start(const struct spawn *s, pid_t *pid)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	int code;

	if (s->file && !is_same(s->file, &s->id))
		return ESTALE;
	code = posix_spawn_file_actions_init(&fa);
	if (code)
		return code;
	code = posix_spawnattr_init(&attr);
	if (code) {
		posix_spawn_file_actions_destroy(&fa);
		return code;
	}
	set_attr(&attr, s);
	code = set_files(&fa, s);
	if (!code)
		code = posix_spawn(pid, s->path, &fa, &attr, s->argv,
				   s->envp ? s->envp : environ);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&attr);
	if (code)
		return code;
	remember(*pid);
	if (raised)
		prlimit(*pid, RLIMIT_NOFILE, &before, NULL);
	return 0;
}
