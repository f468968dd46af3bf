/*
 * journal_files: a run's directory and what lies in it beside the records:
 * folders, the lock, the reserve, torn bytes, the noted heads. Keeps no state;
 * must not know the chain.
 */
#include "effect/journal_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESERVE_BYTES (1 << 20)

int journal_make_dirs(const char *path)
{
	char part[3072];
	size_t i;

	snprintf(part, sizeof part, "%s", path);
	for (i = 1; part[i]; i++) {
		if (part[i] != '/')
			continue;
		part[i] = '\0';
		if (mkdir(part, 0700) && errno != EEXIST)
			return -1;
		part[i] = '/';
	}
	return mkdir(part, 0700) && errno != EEXIST ? -1 : 0;
}

int journal_sync_dir(const char *path)
{
	int d = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int failed;

	if (d < 0)
		return -1;
	failed = fsync(d);
	close(d);
	return failed;
}

int journal_lock(int file)
{
	struct flock lk = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(file, F_OFD_SETLK, &lk);
}

void journal_make_reserve(const char *dir)
{
	char path[3200];
	int r;

	snprintf(path, sizeof path, "%s/reserve", dir);
	r = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (r < 0)
		return;
	if (posix_fallocate(r, 0, RESERVE_BYTES))
		unlink(path);	/* no reserve on this file system */
	close(r);
}

int journal_give_reserve(const char *dir)
{
	char path[3200];

	snprintf(path, sizeof path, "%s/reserve", dir);
	return unlink(path);
}

int journal_save_torn(int file, const char *dir,
		      const struct journal_report *r)
{
	char path[3300], chunk[4096];
	off_t at = (off_t)r->bytes;
	ssize_t n;
	int out;

	snprintf(path, sizeof path, "%s/torn-%lld", dir, r->records);
	out = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	if (out < 0)
		return -1;
	while ((n = pread(file, chunk, sizeof chunk, at)) > 0) {
		if (write(out, chunk, (size_t)n) != n) {
			close(out);
			return -1;
		}
		at += n;
	}
	/* kept before it is cut off: nothing is lost */
	if (fsync(out) || close(out) || journal_sync_dir(dir))
		return -1;
	return ftruncate(file, (off_t)r->bytes) || fsync(file) ? -1 : 0;
}

void journal_note_head(const char *runs, const char *run, long long seq,
		       const char *head)
{
	char path[2700], text[256];
	int heads, len;

	snprintf(path, sizeof path, "%s/heads", runs);
	heads = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
	if (heads < 0)
		return;
	len = snprintf(text, sizeof text, "%s %lld %s\n", run, seq, head);
	if (write(heads, text, (size_t)len) == len)
		fdatasync(heads);
	close(heads);
}
