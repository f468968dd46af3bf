/*
 * journal: writing. One write(2) a record, so that a killed process leaves
 * whole records, and at most one torn line after a power cut.
 */
#include "effect/journal_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/fail.h"
#include "core/loop.h"
#include "core/mem.h"
#include "effect/digest.h"

#define HELD_MAX (1 << 16)

static int fd = -1;
static int dead;
static int named;		/* the file's name is on disk too */
static int behind;		/* appended since the last sync */
static long long seq;
static char head[JOURNAL_HASH + 1];
static char dir[3072];
static char runs[2560];
static char run_id[64];
static struct buf line = BUF_INIT;

/* Records of reads that are not written yet. When that fails they are dropped,
 * and the chain goes on from before them. */
static int holding;
static struct buf held = BUF_INIT;
static long long held_seq;		/* seq and head before the first */
static char held_head[JOURNAL_HASH + 1];

int journal_is_open(void)
{
	return fd >= 0;
}

int journal_dead(void)
{
	return dead;
}

const char *journal_dir(void)
{
	return fd >= 0 ? dir : "";
}

const char *journal_head(void)
{
	return head;
}

void journal_new_id(char id[27])
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	unsigned char rnd[16] = { 0 };
	struct timespec ts;
	unsigned long long ms;
	int i;

	clock_gettime(CLOCK_REALTIME, &ts);
	ms = (unsigned long long)ts.tv_sec * 1000 +
		(unsigned long long)ts.tv_nsec / 1000000;
	for (i = 9; i >= 0; i--, ms >>= 5)
		id[i] = digits[ms & 31];
	if (getrandom(rnd, sizeof rnd, 0) < 0)
		rnd[0] = (unsigned char)ts.tv_nsec;
	for (i = 0; i < 16; i++)
		id[10 + i] = digits[rnd[i] & 31];
	id[26] = '\0';
}

static int fail_io(struct err *e, const char *what, const char *path)
{
	int saved = errno;

	err_set(e, ERR_JOURNAL, "", "cannot %s '%s': %s", what, path,
		strerror(saved));
	snprintf(e->hint, sizeof e->hint,
		 "nothing was done; set XDG_STATE_HOME to a place that can be "
		 "written");
	return -1;
}

static void set_paths(const char *runs_dir, const char *run)
{
	snprintf(runs, sizeof runs, "%s", runs_dir);
	snprintf(run_id, sizeof run_id, "%s", run);
	snprintf(dir, sizeof dir, "%s/%s", runs, run_id);
	dead = named = behind = 0;
}

int journal_create(const char *runs_dir, const char *run, struct err *e)
{
	char path[3200];

	set_paths(runs_dir, run);
	snprintf(path, sizeof path, "%s/journal.jsonl", dir);
	errno = fail_point("journal_open");
	if (errno || journal_make_dirs(dir))
		return fail_io(e, "create", dir);
	fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_APPEND | O_CLOEXEC,
		  0600);
	if (fd < 0)
		return fail_io(e, "create", path);
	if (journal_lock(fd)) {
		fail_io(e, "lock", path);
		close(fd);
		fd = -1;
		return -1;
	}
	journal_make_reserve(dir);
	seq = 0;
	digest_genesis(run_id, head);
	return 0;
}

int journal_reopen(const char *runs_dir, const char *run, long long *torn,
		   struct err *e)
{
	struct journal_report r;
	char path[3200];

	set_paths(runs_dir, run);
	snprintf(path, sizeof path, "%s/journal.jsonl", dir);
	fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		return fail_io(e, "open", path);
	if (journal_lock(fd)) {
		err_set(e, ERR_BUSY, "", "run '%s' is going on: its journal "
			"is locked by another process", run_id);
		goto fail;
	}
	if (journal_scan(fd, run_id, &r)) {
		err_set(e, ERR_VERIFY, "", "journal of run '%s' is damaged at "
			"line %lld: %s", run_id, r.bad_line, r.problem);
		goto fail;
	}
	*torn = r.torn;
	if (r.torn && journal_save_torn(fd, dir, &r)) {
		fail_io(e, "recover", path);
		goto fail;
	}
	seq = r.records;
	snprintf(head, sizeof head, "%s", r.head);
	named = 1;
	journal_make_reserve(dir);
	return 0;
fail:
	close(fd);
	fd = -1;
	return -1;
}

/* A record that could not be written whole must not merge with the next. */
static void cut_partial(size_t written)
{
	off_t end = lseek(fd, 0, SEEK_END);

	if (end < (off_t)written || ftruncate(fd, end - (off_t)written))
		dead = 1;
}

/* 0 or errno, then nothing of it stands; short writes are completed. */
static int write_all(const char *data, size_t len)
{
	size_t done = 0;
	ssize_t n;
	int code = fail_point("journal_write");

	while (!code && done < len) {
		n = write(fd, data + done, len - done);
		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			code = n < 0 ? errno : ENOSPC;
	}
	if (code)
		cut_partial(done);
	else
		behind = 1;
	return code;
}

/* All of it is on disk; the folders once, which are new: the first record that
 * something hangs on takes them with it. 0 or errno. */
static int sync_now(void)
{
	if (fdatasync(fd) ||
	    (!named && (journal_sync_dir(dir) || journal_sync_dir(runs))))
		return errno;
	named = 1;
	behind = 0;
	return 0;
}

static int put_line(int reserve)
{
	int code = write_all(line.data, line.len);

	if (code == ENOSPC && reserve && !journal_give_reserve(dir))
		code = write_all(line.data, line.len);
	return code;
}

void journal_hold(void)
{
	holding = 1;
	loop_before_sleep(journal_flush);
}

void journal_flush(void)
{
	if (!held.len)
		return;
	if (write_all(held.data, held.len)) {
		seq = held_seq;
		memcpy(head, held_head, sizeof head);
	}
	buf_clear(&held);
}

/* The line waits with the others; 0 or errno. */
static int hold_line(void)
{
	if (!held.len) {
		held_seq = seq;
		memcpy(held_head, head, sizeof head);
	}
	if (!buf_reserve(&held, line.len)) {
		held.bad = 0;	/* what it has is whole */
		return ENOMEM;
	}
	buf_add(&held, line.data, line.len);
	return 0;
}

/* --- syncing an outcome beside the loop ---------------------------------- */

struct sync_job {
	int fd;			/* owned: a duplicate, so that close can't race */
	int code;
};

static int syncing;		/* one job is out */
static int sync_again;		/* appended since it began */

static void sync_run(void *arg)
{
	struct sync_job *job = arg;

	job->code = fail_point("journal_sync_soon");
	if (!job->code && fdatasync(job->fd))
		job->code = errno;
}

static void sync_soon(void);

static void sync_done(void *arg, int abandoned)
{
	struct sync_job *job = arg;

	(void)abandoned;
	if (job->code)
		dead = 1;
	close(job->fd);
	mem_free(job);
	syncing = 0;
	if (sync_again && fd >= 0)
		sync_soon();
	sync_again = 0;
}

static void sync_soon(void)
{
	struct sync_job *job;

	if (syncing) {
		sync_again = 1;
		return;
	}
	job = mem_zalloc(sizeof *job);
	if (job)
		job->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (job && job->fd >= 0 && loop_work_new(sync_run, sync_done, job)) {
		syncing = 1;
		return;
	}
	/* no memory, no descriptor: then here */
	if (job && job->fd >= 0)
		close(job->fd);
	mem_free(job);
	if (fdatasync(fd))
		dead = 1;
}

long long journal_append(const char *members, size_t len,
			 enum journal_sync sync, int reserve, struct err *e)
{
	char hash[JOURNAL_HASH + 1];
	int code;

	if (fd < 0 || dead) {
		err_set(e, ERR_JOURNAL, "", "the journal is not writable: %s",
			dead ? "an earlier write or sync failed"
			     : "it is not open");
		return -1;
	}
	if (!holding && sync == JOURNAL_HELD)
		sync = JOURNAL_LATER;
	if (sync != JOURNAL_HELD || held.len + len > HELD_MAX)
		journal_flush();	/* may take seq and head back */
	buf_clear(&line);
	buf_adds(&line, "{\"seq\":");
	buf_add_int(&line, seq + 1);
	buf_adds(&line, ",\"prev\":\"");
	buf_adds(&line, head);
	buf_adds(&line, "\",");
	buf_add(&line, members, len);
	digest_hex(line.data, line.len, hash);
	buf_adds(&line, ",\"hash\":\"");
	buf_adds(&line, hash);
	buf_adds(&line, "\"}\n");
	if (!buf_ok(&line) || line.len > JOURNAL_LINE_MAX) {
		err_set(e, ERR_JOURNAL, "", "cannot write a record of %zu "
			"bytes: %s", line.len, buf_ok(&line)
			? "a record has at most 1 MiB" : "out of memory");
		return -1;
	}
	code = sync == JOURNAL_HELD ? hold_line() : put_line(reserve);
	if (!code && sync > JOURNAL_LATER) {
		code = fail_point("journal_sync");
		if (!code && sync == JOURNAL_SOON && named)
			sync_soon();
		else if (!code)
			code = sync_now();
		if (code)
			dead = 1;	/* fault 38: no retry after EIO */
	}
	if (code) {
		errno = code;
		fail_io(e, "write", dir);
		return -1;
	}
	memcpy(head, hash, sizeof head);
	return ++seq;
}

int journal_close(void)
{
	if (fd < 0)
		return 0;
	journal_flush();
	/* the error of a sync is told once, to whoever asked first */
	while (syncing)
		loop_turn(1);
	if (!dead && behind && sync_now())
		dead = 1;
	if (!dead && seq)
		journal_note_head(runs, run_id, seq, head);
	journal_give_reserve(dir);
	close(fd);
	fd = -1;
	buf_release(&line);
	buf_release(&held);
	return dead ? -1 : 0;
}
