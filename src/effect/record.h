/*
 * record: makes the JSON of effect records and hands them to the journal. Owns
 * the run's identity, the names of its steps, and when the journal is opened
 * (with the first record). Every secret is masked here.
 */
#ifndef OPSH_EFFECT_RECORD_H
#define OPSH_EFFECT_RECORD_H

#include <lua.h>

#include "core/buf.h"
#include "effect/effect.h"
#include "effect/journal.h"

#define RECORD_REQUEST_MAX 4096
#define RECORD_ERROR_MAX 65536

/* Where the journal goes, once something is to be recorded. */
int record_begin(const char *runs_dir, const char *run, struct err *e);
const char *record_run(void);			/* "" none */
/* Members of the first record ("type":"run",..), taken over. */
void record_header(struct buf *members);
int record_open(struct err *e);			/* opens if not yet; 0 or -1 */

/* Was anything written that could not be recorded? (exit 75) */
int record_lost(void);
long long record_writes(void);		/* intents recorded */
long long record_doubts(void);		/* of them, outcomes that are unknown */
long long record_withheld(void);	/* writes withheld by a plan */

/* Masks secrets, cuts to max bytes, appends as a JSON string. */
void record_text(struct buf *b, const char *s, size_t len, size_t max);

/* Starts a record of `type`: time, monotonic, step. Callers add members. */
void record_start(struct buf *b, const char *type);
/* Appends it. 0, or -1 and *e. */
long long record_put(struct buf *b, enum journal_sync sync, int reserve,
		     struct err *e);

void record_identity(const struct target *t, int first);
void record_refused(const struct effect_call *call, const char *where,
		    const struct err *why);

/* Writes an "intent" (synced) or a "withheld" record; its seq, -1 and *e. */
long long record_call(const char *type, const struct effect_call *call,
		      const char *where, int approval, struct err *e);
/* Writes the outcome of a write, or the one record of a read. */
void record_outcome(struct effect *f, enum outcome outcome, long long count,
		    long long bytes, const struct err *err);

/* Where an outcome goes that the journal could not take (fault 37): its JSON
 * members, masked. */
void record_on_lost(void (*cb)(const char *text, size_t len));
void record_release(void);

/* Name of a step label (task_label), "" for 0. */
int record_step_add(const char *name);		/* its label, or -1 */
const char *record_step(int label);

#endif
