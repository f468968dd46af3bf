/*
 * record: JSON members of records, run and step context, masking.
 */
#include "effect/record.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/loop.h"
#include "core/mem.h"
#include "core/task.h"
#include "effect/journal.h"
#include "effect/lock.h"
#include "effect/policy.h"
#include "effect/redact.h"

static char runs[2560];
static char run_id[64];
static struct buf header = BUF_INIT;
static int header_due;		/* the journal is open, without it yet */
static char **steps;		/* owned; label n is steps[n - 1] */
static int n_steps;
static int lost;
static long long writes, withheld, doubts;
static void (*on_lost)(const char *text, size_t len);

int record_begin(const char *runs_dir, const char *run, struct err *e)
{
	if (strlen(runs_dir) >= sizeof runs || strlen(run) >= sizeof run_id) {
		err_set(e, ERR_CONFIG, "", "path of the runs is too long");
		return -1;
	}
	snprintf(runs, sizeof runs, "%s", runs_dir);
	snprintf(run_id, sizeof run_id, "%s", run);
	buf_clear(&header);	/* another run's */
	header_due = 0;
	lost = 0;
	writes = withheld = doubts = 0;
	return 0;
}

const char *record_run(void)
{
	return run_id;
}

void record_header(struct buf *members)
{
	buf_swap(&header, members);
}

int record_lost(void)
{
	return lost;
}

long long record_writes(void)
{
	return writes;
}

long long record_doubts(void)
{
	return doubts;
}

long long record_withheld(void)
{
	return withheld;
}

int record_open(struct err *e)
{
	if (!journal_is_open()) {
		if (!*run_id) {
			err_set(e, ERR_JOURNAL, "", "no run has begun");
			return -1;
		}
		if (journal_create(runs, run_id, e))
			return -1;
		header_due = header.len > 0;
	}
	/* nothing stands before it, also when it could not be written at once */
	if (header_due && journal_append(header.data, header.len,
					 JOURNAL_LATER, 0, e) < 0)
		return -1;
	header_due = 0;
	return 0;
}

void record_text(struct buf *b, const char *s, size_t len, size_t max)
{
	struct buf masked = BUF_INIT;

	if (!redact_any() && len <= max) {
		buf_add_json(b, s, len);
		return;
	}
	redact_to(&masked, s, len);
	if (masked.len > max) {
		size_t over = masked.len - max;

		masked.len = max;
		buf_addf(&masked, " [+%zu bytes]", over);
	}
	if (!buf_ok(&masked))
		b->bad = 1;
	buf_add_json(b, masked.data, masked.len);
	buf_release(&masked);
}

/* ISO 8601, UTC; what the last call found out serves for its second. */
static void add_now(struct buf *b)
{
	static time_t second = -1;
	static char text[32];
	struct timespec ts;
	struct tm tm;
	long micros;
	int i;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (ts.tv_sec != second) {
		gmtime_r(&ts.tv_sec, &tm);
		strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S.000000Z", &tm);
		second = ts.tv_sec;
	}
	micros = ts.tv_nsec / 1000;
	for (i = 25; i >= 20; i--, micros /= 10)
		text[i] = (char)('0' + micros % 10);
	buf_add(b, text, 27);
}

static void start_of_step(struct buf *b, const char *type, int label)
{
	const char *step = record_step(label);

	buf_adds(b, "\"type\":\"");
	buf_adds(b, type);
	buf_adds(b, "\",\"t\":\"");
	add_now(b);
	buf_adds(b, "\",\"mono\":");
	buf_add_micros(b, loop_now());
	if (*step) {
		buf_adds(b, ",\"step\":");
		record_text(b, step, strlen(step), 256);
	}
}

void record_start(struct buf *b, const char *type)
{
	start_of_step(b, type, task_label(task_current()));
}

long long record_put(struct buf *b, enum journal_sync sync, int reserve,
		     struct err *e)
{
	if (record_open(e))
		return -1;
	if (!buf_ok(b)) {
		err_set(e, ERR_JOURNAL, "ENOMEM", "out of memory for a record");
		return -1;
	}
	return journal_append(b->data, b->len, sync, reserve, e);
}

static void add_str(struct buf *b, const char *name, const char *value)
{
	if (!*value)
		return;
	buf_adds(b, ",\"");
	buf_adds(b, name);
	buf_adds(b, "\":");
	record_text(b, value, strlen(value), RECORD_ERROR_MAX);
}

void record_identity(const struct target *t, int first)
{
	struct buf b = BUF_INIT;
	struct err e;

	record_start(&b, "identity");
	add_str(&b, "target", t->name);
	add_str(&b, "address", t->address);
	add_str(&b, "identity", t->identity);
	add_str(&b, "role", t->role);
	if (!first)
		add_str(&b, "was", t->changed_from);
	record_put(&b, JOURNAL_LATER, 0, &e);
	buf_release(&b);
}

static void add_call(struct buf *b, const struct effect_call *call,
		     const char *where)
{
	add_str(b, "target", call->target->name);
	add_str(b, "identity", call->target->identity);
	add_str(b, "role", call->target->role);
	add_str(b, "class", effect_class_name(call->cls));
	add_str(b, "mode", policy_mode_name(policy_mode()));
	add_str(b, "verb", call->verb);
	buf_adds(b, ",\"request\":");
	record_text(b, call->request, call->request_len, RECORD_REQUEST_MAX);
	if (call->items)
		buf_addf(b, ",\"items\":%lld", call->items);
	buf_adds(b, ",\"timeout\":");
	if (call->timeout >= 0 && call->timeout < 1e6 &&
	    call->timeout == (double)(long)call->timeout)
		buf_add_int(b, (long)call->timeout);
	else
		buf_addf(b, "%.9g", call->timeout);
	add_str(b, "where", where);
}

static void add_err(struct buf *b, const struct err *e)
{
	char text[24];

	snprintf(text, sizeof text, "%s", err_kind_name(e->kind));
	buf_addf(b, ",\"error\":{\"kind\":\"%s\"", text);
	add_str(b, "code", e->code);
	add_str(b, "phase", err_phase_name(e->phase));
	add_str(b, "message", e->message);
	buf_addc(b, '}');
}

void record_refused(const struct effect_call *call, const char *where,
		    const struct err *why)
{
	struct buf b = BUF_INIT;
	struct err e;

	record_start(&b, "refused");
	add_call(&b, call, where);
	add_str(&b, "outcome", "refused");
	add_err(&b, why);
	record_put(&b, JOURNAL_LATER, 0, &e);
	buf_release(&b);
}

/* --- steps ---------------------------------------------------------------- */

int record_step_add(const char *name)
{
	char **more = mem_realloc(steps, (size_t)(n_steps + 1) * sizeof *more);

	if (!more)
		return -1;
	steps = more;
	steps[n_steps] = mem_strdup(name);
	if (!steps[n_steps])
		return -1;
	return ++n_steps;
}

const char *record_step(int label)
{
	return label > 0 && label <= n_steps ? steps[label - 1] : "";
}

void record_on_lost(void (*cb)(const char *text, size_t len))
{
	on_lost = cb;
}

void record_release(void)
{
	while (n_steps)
		mem_free(steps[--n_steps]);
	mem_free(steps);
	steps = NULL;
	buf_release(&header);
}

/* --- the effect's own records ----------------------------------------------- */

long long record_call(const char *type, const struct effect_call *call,
		      const char *where, int approval, struct err *e)
{
	struct buf b = BUF_INIT;
	long long seq;
	int intent = !strcmp(type, "intent");
	int own = lock_is_own(task_label(task_current()));

	record_start(&b, type);
	add_call(&b, call, where);
	if (own)
		buf_adds(&b, ",\"lock\":true");	/* no write of the run */
	if (!intent)
		add_str(&b, "outcome", "withheld");
	if (approval)
		buf_adds(&b, ",\"approval\":\"needed\"");
	seq = record_put(&b, intent ? JOURNAL_NOW : JOURNAL_LATER, 0, e);
	buf_release(&b);
	if (seq >= 0 && intent)
		writes += !own;
	else if (seq >= 0)
		withheld++;
	return seq;
}

static void add_outcome(struct buf *b, const struct effect *f,
			enum outcome outcome, long long count,
			long long bytes, const struct err *err)
{
	add_str(b, "outcome", outcome_name(outcome));
	buf_adds(b, ",\"duration\":");
	buf_add_micros(b, loop_now() - f->began);
	if (count >= 0)
		buf_addf(b, ",\"count\":%lld", count);
	if (bytes >= 0) {
		buf_adds(b, ",\"bytes\":");
		buf_add_int(b, bytes);
	}
	if (err && err->kind != ERR_NONE)
		add_err(b, err);
}

void record_outcome(struct effect *f, enum outcome outcome, long long count,
		    long long bytes, const struct err *err)
{
	struct buf b = BUF_INIT;
	struct err e;
	int read = f->cls == EFFECT_READ;

	doubts += !read && outcome == OUTCOME_UNKNOWN;
	/* from a loop callback: no task is current, the effect knows its step */
	start_of_step(&b, read ? "read" : "outcome", f->label);
	if (read) {
		struct effect_call call = {
			.target = f->target, .cls = f->cls, .verb = f->verb,
			.request = f->request ? f->request : "",
			.request_len = f->request ? strlen(f->request) : 0,
			.items = f->items, .timeout = f->timeout
		};

		add_call(&b, &call, f->where);
	} else {
		buf_addf(&b, ",\"of\":%lld", f->seq);
	}
	add_outcome(&b, f, outcome, count, bytes, err);
	if (record_put(&b, read ? JOURNAL_HELD : JOURNAL_SOON, !read, &e) < 0 &&
	    !read) {
		lost = 1;
		if (on_lost && buf_ok(&b))
			on_lost(b.data, b.len);
	}
	buf_release(&b);
}
