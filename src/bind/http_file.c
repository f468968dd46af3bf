/*
 * http_file: a response's body that goes to a file: into a temporary file beside
 * it, which takes its place when all has come and is on disk. Syncing is done in
 * the pool. Owns the temporary file until then.
 */
#include "bind/http.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

struct sync_job {
	struct http_xfer *x;	/* borrowed; NULL once forgotten */
	int fd;			/* owned: a duplicate */
	int code;
};

static int fail(struct http_xfer *x, const char *what, int code)
{
	if (x->err.kind != ERR_NONE)
		return -1;
	err_set(&x->err, ERR_IO, code == ENOSPC ? "ENOSPC" : "",
		"cannot %s '%s': %s", what, x->to, strerror(code));
	x->err.phase = PHASE_READ;
	return -1;
}

void http_file_drop(struct http_xfer *x)
{
	struct sync_job *job = x->to_job;

	if (job)
		job->x = NULL;
	x->to_job = NULL;
	if (x->to_fd >= 0)
		close(x->to_fd);
	x->to_fd = -1;
	if (x->to_tmp)
		unlink(x->to_tmp);
	mem_free(x->to_tmp);
	x->to_tmp = NULL;
}

static int open_tmp(struct http_xfer *x)
{
	size_t len = strlen(x->to);

	x->to_tmp = mem_alloc(len + 16);
	if (!x->to_tmp)
		return fail(x, "write", ENOMEM);
	snprintf(x->to_tmp, len + 16, "%s.XXXXXX", x->to);
	x->to_fd = mkostemp(x->to_tmp, O_CLOEXEC);
	if (x->to_fd >= 0)
		return 0;
	fail(x, "create", errno);
	mem_free(x->to_tmp);
	x->to_tmp = NULL;
	return -1;
}

int http_file_write(struct http_xfer *x, const char *data, size_t len)
{
	ssize_t n;

	if (x->to_fd < 0 && open_tmp(x))
		return -1;
	while (len) {
		n = write(x->to_fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(x, "write", n < 0 ? errno : ENOSPC);
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static void over(struct http_xfer *x)
{
	x->over = 1;
	x->done(x);
}

static void sync_run(void *arg)
{
	struct sync_job *job = arg;

	if (fsync(job->fd))
		job->code = errno;
}

static void put_in_place(struct http_xfer *x)
{
	struct stat st;
	mode_t mode = 0644;

	if (!stat(x->to, &st))
		mode = st.st_mode & 0777;
	if (fchmod(x->to_fd, mode) || rename(x->to_tmp, x->to)) {
		fail(x, "write", errno);
		return;
	}
	mem_free(x->to_tmp);
	x->to_tmp = NULL;
}

static void sync_done(void *arg, int abandoned)
{
	struct sync_job *job = arg;
	struct http_xfer *x = job->x;
	int code = job->code;

	(void)abandoned;
	close(job->fd);
	mem_free(job);
	if (!x)
		return;
	x->to_job = NULL;
	if (code)
		fail(x, "sync", code);
	else
		put_in_place(x);
	http_file_drop(x);
	over(x);
}

void http_file_finish(struct http_xfer *x)
{
	struct sync_job *job;

	if (x->to_fd < 0 && open_tmp(x)) {	/* an empty body */
		over(x);
		return;
	}
	job = mem_zalloc(sizeof *job);
	if (job) {
		job->x = x;
		job->fd = fcntl(x->to_fd, F_DUPFD_CLOEXEC, 0);
	}
	if (job && job->fd >= 0 && loop_work_new(sync_run, sync_done, job)) {
		x->to_job = job;
		return;
	}
	if (job && job->fd >= 0)
		close(job->fd);
	mem_free(job);
	fail(x, "sync", ENOMEM);
	http_file_drop(x);
	over(x);
}
