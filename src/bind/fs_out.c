/*
 * fs_out: a file that appears whole or not at all. It has no name while it is
 * written (O_TMPFILE), so that nothing is left even of a killed process; where
 * the file system can't do that, a hidden name beside the target. Runs in the
 * pool.
 */
#include "bind/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 16
#define PIECE (1024 * 1024)

/* Read once: asking changes it for a moment. Only on the loop's thread. */
int fs_umask(void)
{
	static int mask = -1;

	if (mask < 0) {
		mask = (int)umask(077);
		umask((mode_t)mask);
	}
	return mask;
}

/* What the messages of a failure name: the file that is written. */
static int fail(struct fs_job *job, int code)
{
	return fs_job_fail(job, code, job->other ? job->other : job->path);
}

static void make_name(struct fs_out *o)
{
	unsigned long long r = 0;

	if (getrandom(&r, sizeof r, GRND_NONBLOCK) < 0)
		r = (unsigned long long)(size_t)o ^ (unsigned)getpid();
	snprintf(o->tmp, sizeof o->tmp, ".opsh-%016llx.tmp", r);
}

/* A hidden file beside the target. */
static int open_named(struct fs_job *job, struct fs_out *o)
{
	int i;

	for (i = 0; i < TRIES; i++) {
		make_name(o);
		o->fd = openat(job->at.dir, o->tmp, O_WRONLY | O_CREAT | O_EXCL
			       | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (o->fd >= 0) {
			o->named = 1;
			return 0;
		}
		if (errno != EEXIST)
			break;
	}
	return fail(job, errno);
}

int fs_out_open(struct fs_job *job, struct fs_out *o)
{
	o->named = 0;
	o->fd = -1;
	if (!access("/proc/self/fd", X_OK))
		o->fd = openat(job->at.dir, ".", O_TMPFILE | O_WRONLY |
			       O_CLOEXEC, 0600);
	if (o->fd >= 0)
		return 0;
	return open_named(job, o);
}

int fs_out_write(struct fs_job *job, struct fs_out *o, const char *data,
		 size_t len)
{
	while (len) {
		ssize_t n;

		if (fs_stopped(job))
			return -1;
		n = write(o->fd, data, len < PIECE ? len : PIECE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(job, errno);
		data += n;
		len -= (size_t)n;
		job->bytes += n;
	}
	return 0;
}

/* Owner and mode of what is replaced, or the mode asked for. */
static int dress(struct fs_job *job, struct fs_out *o, int mode)
{
	struct stat st;

	if (job->mode >= 0)
		mode = job->mode;
	else if (job->exists)
		mode = (int)(job->old.st_mode & 07777);
	if (job->exists && !fstat(o->fd, &st) &&
	    (st.st_uid != job->old.st_uid || st.st_gid != job->old.st_gid) &&
	    fchown(o->fd, job->old.st_uid, job->old.st_gid)) {
		fail(job, errno);
		snprintf(job->err.hint, sizeof job->err.hint, "its owner is "
			 "%u:%u, and the new file can't be given to it",
			 (unsigned)job->old.st_uid, (unsigned)job->old.st_gid);
		return -1;
	}
	if (fchmod(o->fd, (mode_t)mode))
		return fail(job, errno);
	return 0;
}

/* Gives the nameless file a name: the target's when nothing may be replaced. */
static int give_name(struct fs_job *job, struct fs_out *o, const char *name)
{
	char link[64];

	snprintf(link, sizeof link, "/proc/self/fd/%d", o->fd);
	return linkat(AT_FDCWD, link, job->at.dir, name, AT_SYMLINK_FOLLOW);
}

static int appear(struct fs_job *job, struct fs_out *o)
{
	const char *base = job->at.base;
	int i, code;

	if (!o->named && !job->replace)
		return give_name(job, o, base);
	for (i = 0; !o->named && i < TRIES; i++) {
		make_name(o);
		if (!give_name(job, o, o->tmp))
			o->named = 1;
		else if (errno != EEXIST)
			return -1;
	}
	code = job->replace
		? renameat(job->at.dir, o->tmp, job->at.dir, base)
		: renameat2(job->at.dir, o->tmp, job->at.dir, base,
			    RENAME_NOREPLACE);
	if (!code)
		o->named = 0;
	else if (!job->replace && (errno == EINVAL || errno == ENOSYS))
		code = linkat(job->at.dir, o->tmp, job->at.dir, base, 0);
	return code;
}

int fs_out_commit(struct fs_job *job, struct fs_out *o, int mode)
{
	if (dress(job, o, mode))
		return -1;
	if (job->sync && fsync(o->fd))
		return fail(job, errno);
	if (fs_commit(job))
		return -1;
	if (appear(job, o)) {
		int code = errno;

		fail(job, code);
		if (code == EEXIST)
			snprintf(job->err.hint, sizeof job->err.hint, "it was "
				 "made meanwhile, and nothing was replaced");
		return -1;
	}
	if (job->sync && fsync(job->at.dir) && errno != EBADF &&
	    errno != EINVAL) {
		fail(job, errno);
		job->err.outcome = OUTCOME_UNKNOWN;
		return -1;
	}
	return 0;
}

void fs_out_release(struct fs_job *job, struct fs_out *o)
{
	if (o->named)
		unlinkat(job->at.dir, o->tmp, 0);
	if (o->fd >= 0)
		close(o->fd);
	o->fd = -1;
	o->named = 0;
}
