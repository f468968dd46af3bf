/*
 * journal: one file a run, one JSON record a line, each with its sequence
 * number, the hash of the line before and its own (SHA-256). Owns the run's
 * directory: journal.jsonl (0600, O_APPEND, locked), a reserve for the last
 * outcomes on a full disk. Knows nothing of what records mean.
 *
 *	{"seq":2,"prev":"<hex>",MEMBERS,"hash":"<hex>"}
 *
 * hash = SHA-256 of the line up to the hash member; the first prev is the
 * SHA-256 of "opsh journal v1 RUN".
 */
#ifndef OPSH_EFFECT_JOURNAL_H
#define OPSH_EFFECT_JOURNAL_H

#include <stddef.h>

#include "core/err.h"

#define JOURNAL_HASH 64		/* hex digits */
#define JOURNAL_LINE_MAX (1 << 20)

/* "01J..", 26 characters: time in ms, then 80 random bits. */
void journal_new_id(char id[27]);

/* Creates runs_dir/run and its journal; -1 and *e on failure. */
int journal_create(const char *runs_dir, const char *run, struct err *e);

/* Opens an existing journal to go on: a torn last line is moved to a file of
 * its own and noted in *torn (bytes, 0 none); a damaged one is refused. */
int journal_reopen(const char *runs_dir, const char *run, long long *torn,
		   struct err *e);

/* When a record must be on disk. HELD: after journal_hold() it waits in memory
 * until the loop is about to sleep, 64 KiB are full or another record comes,
 * which it precedes; for reads, as nothing hangs on their records. SOON: a pool
 * thread syncs it at once, nothing waits for it (it is in the kernel when append
 * returns, a killed process loses nothing; a power cut leaves the write in
 * doubt, which is true). */
enum journal_sync { JOURNAL_HELD, JOURNAL_LATER, JOURNAL_SOON, JOURNAL_NOW };

/* Appends a record of JSON members (no braces). NOW: on disk before it
 * returns. reserve: on a full disk, give the reserve up and try again. Once a
 * sync failed nothing is appended any more. Returns its seq, or -1 and *e. */
long long journal_append(const char *members, size_t len,
			 enum journal_sync sync, int reserve, struct err *e);

void journal_hold(void);	/* from now on HELD records wait */
void journal_flush(void);	/* writes them now */

/* Waits for what is still being synced and notes the head beside the run; -1
 * when not all of the journal is known to be on disk. */
int journal_close(void);
int journal_is_open(void);
int journal_dead(void);			/* a write or sync failed for good */
const char *journal_dir(void);		/* of the run, "" when closed */
const char *journal_head(void);		/* hash of the last record */

/* What a reading of a journal found. */
struct journal_report {
	long long records;	/* intact, from the start */
	long long bytes;	/* up to the end of the last intact one */
	long long torn;		/* bytes after it, without a newline */
	long long bad_line;	/* 0: none */
	char problem[160];	/* of bad_line, or of the end */
	char head[JOURNAL_HASH + 1];
	int ended;		/* the last record is the run's end */
	int busy;		/* a process has it open */
};

/* Reads and checks runs_dir/run; head (may be NULL) is one published
 * elsewhere. 0 intact, 1 damaged (problem says how), -1 can't be read (*e). */
int journal_verify(const char *runs_dir, const char *run, const char *head,
		   struct journal_report *r, struct err *e);

/* The same over a file descriptor; for tests and the fuzzer. */
int journal_scan(int fd, const char *run, struct journal_report *r);

#endif
