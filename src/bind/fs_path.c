/*
 * fs_path: paths and what can be wrong with them. A folder is opened once and
 * acted in by its descriptor, so that what was judged is what is changed. Owns
 * the list of temporary folders of this run.
 */
#include "bind/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/lx.h"
#include "core/mem.h"

#define SHOWN 400		/* bytes of a path in a message */

struct tmpdir {
	struct tmpdir *next;	/* owned */
	char *path;		/* owned: resolved */
};

static struct tmpdir *tmpdirs;

const char *fs_checkpath(lua_State *L, int arg)
{
	const char *path = lx_checkcstr(L, arg);

	luaL_argcheck(L, *path, arg, "path is empty");
	return path;
}

int fs_fail(struct err *e, int code, const char *doing, const char *path)
{
	const char *name = strerrorname_np(code);
	size_t len = strlen(path);
	int cut = len > SHOWN;

	err_set(e, code == ENOMEM ? ERR_LIMIT : ERR_IO, name ? name : "",
		"cannot %s '%s%s': %s", doing, cut ? "..." : "",
		cut ? path + len - SHOWN : path, strerror(code));
	e->outcome = OUTCOME_FAILED;
	return -1;
}

int fs_job_fail(struct fs_job *job, int code, const char *path)
{
	job->failed = 1;
	return fs_fail(&job->err, code, job->doing, path);
}

const char *fs_type(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	case S_IFCHR:
		return "char";
	case S_IFBLK:
		return "block";
	default:
		return "unknown";
	}
}

void fs_place_release(struct fs_place *p)
{
	if (p->dir >= 0)
		close(p->dir);
	p->dir = -1;
	mem_free(p->base);
	p->base = NULL;
}

/* A folder that may not be listed can still be acted in. */
static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == EACCES)
		fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd;
}

/* path has no slash at its end. */
static int split(struct fs_place *p, const char *path, const char *doing,
		 struct err *e)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	char *dir = !slash ? mem_strdup(".") : slash == path ?
		mem_strdup("/") : mem_memdup(path, (size_t)(slash - path));

	if (!strcmp(base, ".") || !strcmp(base, "..") || !*base) {
		mem_free(dir);
		err_set(e, ERR_USAGE, "", "cannot %s '%s': the last part of "
			"the path must be a name", doing, path);
		return -1;
	}
	p->base = mem_strdup(base);
	if (!dir || !p->base) {
		mem_free(dir);
		return fs_fail(e, ENOMEM, doing, path);
	}
	p->dir = open_dir(dir);
	mem_free(dir);
	return p->dir < 0 ? fs_fail(e, errno, doing, path) : 0;
}

int fs_place_open(struct fs_place *p, const char *path, int follow,
		  const char *doing, struct err *e)
{
	size_t len = strlen(path);
	char real[PATH_MAX];
	struct stat st;
	char *copy;
	int failed;

	if (len >= PATH_MAX)
		return fs_fail(e, ENAMETOOLONG, doing, path);
	if (follow && path[len - 1] == '/')
		return fs_fail(e, EISDIR, doing, path);
	if (follow && !lstat(path, &st) && S_ISLNK(st.st_mode)) {
		if (!realpath(path, real)) {
			failed = errno;
			fs_fail(e, failed, doing, path);
			if (failed == ENOENT)
				snprintf(e->hint, sizeof e->hint, "it is a "
					 "symbolic link to what is not there");
			return -1;
		}
		return split(p, real, doing, e);
	}
	while (len > 1 && path[len - 1] == '/')
		len--;
	copy = mem_memdup(path, len);
	if (!copy)
		return fs_fail(e, ENOMEM, doing, path);
	failed = split(p, copy, doing, e);
	mem_free(copy);
	return failed;
}

/* Never waits for the other end of a fifo, and never becomes our terminal. */
int fs_open_file(const char *path, const char *doing, struct stat *st,
		 struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int code;

	if (fd < 0)
		return fs_fail(e, errno, doing, path);
	if (fstat(fd, st)) {
		code = errno;
		close(fd);
		return fs_fail(e, code, doing, path);
	}
	if (!S_ISREG(st->st_mode)) {
		close(fd);
		err_set(e, ERR_IO, S_ISDIR(st->st_mode) ? "EISDIR" : "",
			"cannot %s '%s': it is a %s, not a file", doing, path,
			fs_type(st->st_mode));
		return -1;
	}
	return fd;
}

/* --- temporary folders ---------------------------------------------------------- */
int fs_tmpdir_add(const char *path)
{
	struct tmpdir *d = mem_zalloc(sizeof *d);
	char real[PATH_MAX];

	if (d)
		d->path = mem_strdup(realpath(path, real) ? real : path);
	if (!d || !d->path) {
		mem_free(d);
		return -1;
	}
	d->next = tmpdirs;
	tmpdirs = d;
	return 0;
}

/* Where the entry of a path hangs; at the end when there is none. */
static struct tmpdir **find(const char *path)
{
	char real[PATH_MAX];
	struct tmpdir **at;

	if (realpath(path, real))
		path = real;
	for (at = &tmpdirs; *at && strcmp((*at)->path, path);)
		at = &(*at)->next;
	return at;
}

int fs_tmpdir_find(const char *path)
{
	return *find(path) != NULL;
}

void fs_tmpdir_drop(const char *path)
{
	struct tmpdir **at = find(path), *d = *at;

	if (!d)
		return;
	*at = d->next;
	mem_free(d->path);
	mem_free(d);
}

int fs_in_tmpdir(int dir)
{
	const struct tmpdir *d;
	char link[64], real[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
	n = readlink(link, real, sizeof real - 1);
	if (n <= 0)
		return 0;
	real[n] = '\0';
	for (d = tmpdirs; d; d = d->next) {
		size_t len = strlen(d->path);

		if (!strncmp(d->path, real, len) &&
		    (real[len] == '/' || !real[len]))
			return 1;
	}
	return 0;
}
