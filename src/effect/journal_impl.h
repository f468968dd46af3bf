/*
 * journal_impl: what journal.c has of journal_files.c and nobody else sees.
 * Each returns 0, or -1 and errno.
 */
#ifndef OPSH_EFFECT_JOURNAL_IMPL_H
#define OPSH_EFFECT_JOURNAL_IMPL_H

#include "effect/journal.h"

int journal_make_dirs(const char *path);	/* mkdir -p, 0700 */
int journal_sync_dir(const char *path);
/* The second writer of one journal is refused (fault 46). */
int journal_lock(int file);
/* Room for the last outcomes on a full disk, where the file system has it. */
void journal_make_reserve(const char *dir);
int journal_give_reserve(const char *dir);
/* Moves the torn bytes after the intact records into a file of their own. */
int journal_save_torn(int file, const char *dir,
		      const struct journal_report *r);
/* Notes run, records and head outside of the run's directory, so that a cut tail
 * or a re-made chain of an ended run is found. */
void journal_note_head(const char *runs, const char *run, long long seq,
		       const char *head);

#endif
