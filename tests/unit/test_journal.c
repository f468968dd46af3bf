/*
 * journal: create, append, reopen; torn tails; every kind of damage that an
 * editor can do; full disks and failing syncs. Works in a throwaway folder below
 * TMPDIR. Must not need anything of Lua.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/loop.h"
#include "effect/digest.h"
#include "effect/journal.h"

#define RUN "01JTEST0000000000000000000"

static char top[256], runs[300];
static char text[65536];	/* the journal as it was written */
static size_t text_len;
static struct err e;

/* --- helpers ---------------------------------------------------------------- */

static const char *path_of(const char *name)
{
	static char path[700];

	snprintf(path, sizeof path, "%s/%s/%s", runs, RUN, name);
	return path;
}

static int there(const char *name)
{
	struct stat st;

	return !stat(path_of(name), &st);
}

static size_t read_file(const char *name, char *out, size_t size)
{
	FILE *f = fopen(path_of(name), "rb");
	size_t n;

	assert_non_null(f);
	n = fread(out, 1, size, f);
	fclose(f);
	return n;
}

static void write_file(const char *name, const char *data, size_t len)
{
	FILE *f = fopen(path_of(name), "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static long long add(const char *members)
{
	return journal_append(members, strlen(members), JOURNAL_NOW, 0, &e);
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(top, sizeof top, "%s/opsh-journal.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(top))
		return -1;
	snprintf(runs, sizeof runs, "%s/state/runs", top);
	unsetenv("OPSH_FAIL");
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	unsetenv("OPSH_FAIL");
	journal_close();
	return nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Five records; with_end: the last is the run's end, and the head is noted. */
static void make(int with_end)
{
	assert_int_equal(journal_create(runs, RUN, &e), 0);
	assert_int_equal(add("\"type\":\"run\",\"who\":\"me\""), 1);
	assert_int_equal(add("\"type\":\"intent\",\"verb\":\"SET\""), 2);
	assert_int_equal(add("\"type\":\"outcome\",\"of\":2"), 3);
	assert_int_equal(add("\"type\":\"note\",\"text\":\"{}\\\"[]\""), 4);
	if (with_end)
		assert_int_equal(add("\"type\":\"end\",\"exit\":0"), 5);
	else
		assert_int_equal(add("\"type\":\"note\",\"text\":\"last\""), 5);
	if (with_end) {
		assert_int_equal(journal_close(), 0);
	}
	text_len = read_file("journal.jsonl", text, sizeof text);
}

static int verify(struct journal_report *r)
{
	return journal_verify(runs, RUN, NULL, r, &e);
}

/* Writes a changed journal; it must be found. */
static void must_find(const char *what, size_t at, const char *data,
		      size_t len)
{
	struct journal_report r;

	write_file("journal.jsonl", data, len);
	if (verify(&r) != 1)
		fail_msg("%s at %zu was not found", what, at);
	assert_true(r.problem[0] != '\0');
}

static char *line_at(char *from, int n)
{
	while (n--)
		from = strchr(from, '\n') + 1;
	return from;
}

/* --- writing ------------------------------------------------------------------ */

static void ids_sort_by_time(void **state)
{
	char a[27], b[27];
	int i, j;

	(void)state;
	journal_new_id(a);
	for (i = 0; i < 100; i++) {
		usleep(1100);
		journal_new_id(b);
		assert_int_equal(strlen(b), 26);
		for (j = 0; j < 26; j++)
			assert_non_null(strchr("0123456789ABCDEFGHJKMNPQRSTVWXYZ",
					       b[j]));
		assert_true(strcmp(a, b) < 0);
		memcpy(a, b, sizeof a);
	}
}

static void creates_and_appends(void **state)
{
	struct journal_report r;
	struct stat st;

	(void)state;
	make(1);
	assert_int_equal(stat(path_of("journal.jsonl"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(path_of("."), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_false(there("reserve"));		/* given back at the end */
	assert_int_equal(verify(&r), 0);
	assert_int_equal(r.records, 5);
	assert_int_equal(r.bytes, text_len);
	assert_true(r.ended && !r.torn && !r.busy && !r.bad_line);
}

static void head_is_that_of_the_last(void **state)
{
	struct journal_report r;
	char head[JOURNAL_HASH + 1];

	(void)state;
	make(0);
	memcpy(head, journal_head(), sizeof head);
	assert_int_equal(verify(&r), 0);
	assert_true(r.busy);
	assert_string_equal(r.head, head);
	assert_int_equal(journal_verify(runs, RUN, head, &r, &e), 0);
	head[3] ^= 1;
	assert_int_equal(journal_verify(runs, RUN, head, &r, &e), 1);
}

static void refuses_to_create_twice(void **state)
{
	(void)state;
	make(1);
	assert_int_equal(journal_create(runs, RUN, &e), -1);
	assert_int_equal(e.kind, ERR_JOURNAL);
	assert_non_null(strstr(e.message, "File exists"));
	assert_false(journal_is_open());
	assert_int_equal(add("\"x\":1"), -1);
}

static void a_place_that_cannot_be_written(void **state)
{
	(void)state;
	assert_int_equal(journal_create("/proc/none/runs", RUN, &e), -1);
	assert_int_equal(e.kind, ERR_JOURNAL);
	assert_non_null(strstr(e.hint, "nothing was done"));
	assert_false(journal_is_open());
	setenv("OPSH_FAIL", "journal_open=13", 1);
	assert_int_equal(journal_create(runs, RUN, &e), -1);
	assert_non_null(strstr(e.message, "Permission denied"));
}

static void a_record_too_long_changes_nothing(void **state)
{
	struct journal_report r;
	char *big = malloc(JOURNAL_LINE_MAX + 10);

	(void)state;
	assert_non_null(big);
	make(0);
	memset(big, 'x', JOURNAL_LINE_MAX + 9);
	memcpy(big, "\"s\":\"", 5);
	big[JOURNAL_LINE_MAX - 400] = '"';
	assert_int_equal(journal_append(big, JOURNAL_LINE_MAX + 9, JOURNAL_NOW,
					0, &e), -1);
	assert_non_null(strstr(e.message, "1 MiB"));
	assert_int_equal(journal_append(big, JOURNAL_LINE_MAX - 399,
					JOURNAL_NOW, 0, &e), 6);
	assert_int_equal(add("\"type\":\"end\""), 7);
	free(big);
	assert_int_equal(journal_close(), 0);
	assert_int_equal(verify(&r), 0);
	assert_int_equal(r.records, 7);
}

static void reopens_and_goes_on(void **state)
{
	struct journal_report r;
	long long torn = -1;
	int i;

	(void)state;
	make(1);
	for (i = 0; i < 5; i++) {
		assert_int_equal(journal_reopen(runs, RUN, &torn, &e), 0);
		assert_int_equal(torn, 0);
		assert_int_equal(add("\"type\":\"end\""), 6 + i);
		assert_int_equal(journal_close(), 0);
	}
	assert_int_equal(verify(&r), 0);
	assert_int_equal(r.records, 10);
}

static void outcomes_synced_beside(void **state)
{
	struct journal_report r;
	int i;

	(void)state;
	make(0);
	for (i = 0; i < 200; i++) {
		assert_int_equal(journal_append("\"type\":\"o\"", 10,
						JOURNAL_SOON, 1, &e), 6 + i);
		if (i % 7 == 0)
			loop_turn(0);
	}
	assert_int_equal(journal_close(), 0);
	assert_int_equal(verify(&r), 0);
	assert_int_equal(r.records, 205);
}

/* --- torn tails ------------------------------------------------------------------ */

/* Cut anywhere within the last line, and zeros or garbage after a line. */
static void torn_tails_are_kept_and_cut(void **state)
{
	char tail[4096], name[64];
	struct journal_report r;
	size_t last, cut, n;
	long long torn;

	(void)state;
	make(0);
	journal_close();
	unlink(path_of("../heads"));
	last = (size_t)(line_at(text, 4) - text);
	for (cut = last + 1; cut < text_len; cut += 7) {
		write_file("journal.jsonl", text, cut);
		assert_int_equal(verify(&r), 0);
		assert_int_equal(r.records, 4);
		assert_int_equal(r.torn, cut - last);
		assert_int_equal(journal_reopen(runs, RUN, &torn, &e), 0);
		assert_int_equal(torn, cut - last);
		snprintf(name, sizeof name, "torn-%d", 4);
		n = read_file(name, tail, sizeof tail);
		assert_int_equal(n, cut - last);
		assert_memory_equal(tail, text + last, n);
		assert_int_equal(add("\"type\":\"after\""), 5);
		journal_close();
		unlink(path_of("../heads"));
		assert_int_equal(verify(&r), 0);
		assert_int_equal(r.records, 5);
		assert_int_equal(r.torn, 0);
	}
	memcpy(tail, text, last);
	memset(tail + last, 0, 512);	/* a block that was never written */
	write_file("journal.jsonl", tail, last + 512);
	assert_int_equal(journal_reopen(runs, RUN, &torn, &e), 0);
	assert_int_equal(torn, 512);
	assert_int_equal(add("\"type\":\"after\""), 5);
}

static void an_empty_journal_goes_on(void **state)
{
	struct journal_report r;
	long long torn;

	(void)state;
	assert_int_equal(journal_create(runs, RUN, &e), 0);
	journal_close();
	assert_int_equal(verify(&r), 0);
	assert_int_equal(r.records, 0);
	assert_int_equal(journal_reopen(runs, RUN, &torn, &e), 0);
	assert_int_equal(add("\"type\":\"run\""), 1);
}

static void damage_is_not_appended_to(void **state)
{
	long long torn;

	(void)state;
	make(0);
	journal_close();
	text[300] ^= 1;
	write_file("journal.jsonl", text, text_len);
	assert_int_equal(journal_reopen(runs, RUN, &torn, &e), -1);
	assert_int_equal(e.kind, ERR_VERIFY);
	assert_false(journal_is_open());
	assert_int_equal(add("\"x\":1"), -1);
}

/* --- two processes ----------------------------------------------------------------- */

static void a_second_opener_is_refused(void **state)
{
	struct journal_report r;
	long long torn;
	int status;
	pid_t pid;

	(void)state;
	make(0);
	pid = fork();
	if (!pid) {
		/* an open description of its own: the lock is not shared */
		if (!journal_reopen(runs, RUN, &torn, &e))
			_exit(1);
		_exit(e.kind == ERR_BUSY && !journal_is_open() ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(verify(&r), 0);
	assert_true(r.busy);
	assert_int_equal(add("\"type\":\"end\""), 6);
	journal_close();
	assert_int_equal(verify(&r), 0);
	assert_false(r.busy);
}

static void of_many_creators_one_wins(void **state)
{
	int i, won = 0, status;
	pid_t pids[8];

	(void)state;
	for (i = 0; i < 8; i++) {
		pids[i] = fork();
		if (!pids[i])
			_exit(journal_create(runs, RUN, &e) ? 1 : 0);
	}
	for (i = 0; i < 8; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status));
		won += !WEXITSTATUS(status);
	}
	assert_int_equal(won, 1);
}

/* --- damage -------------------------------------------------------------------------- */

static void every_edited_byte_is_found(void **state)
{
	static const char with[] = { 1, ' ' ^ 'A', 0 };
	static char copy[65536];
	size_t i, k;

	(void)state;
	make(1);
	for (i = 0; i < text_len; i++) {
		memcpy(copy, text, text_len);
		for (k = 0; with[k]; k++) {
			copy[i] = (char)(text[i] ^ with[k]);
			must_find("an edit", i, copy, text_len);
		}
		if (i % 3)
			continue;
		copy[i] = '\n';
		if (text[i] != '\n')
			must_find("a line end", i, copy, text_len);
		copy[i] = '\0';
		must_find("a NUL", i, copy, text_len);
		memmove(copy + i, text + i + 1, text_len - i - 1);
		must_find("a removed byte", i, copy, text_len - 1);
		copy[i] = 'x';
		memcpy(copy + i + 1, text + i, text_len - i);
		must_find("an added byte", i, copy, text_len + 1);
	}
}

static void removed_doubled_moved_lines_are_found(void **state)
{
	static char copy[65536];
	char *from, *to, *at;
	size_t head, len;
	int i, j;

	(void)state;
	make(1);
	for (i = 0; i < 5; i++) {
		from = line_at(text, i);
		to = strchr(from, '\n') + 1;
		len = (size_t)(to - from);
		head = (size_t)(from - text);
		memcpy(copy, text, head);
		memcpy(copy + head, to, text_len - head - len);
		must_find("a removed line", (size_t)i, copy, text_len - len);
		for (j = 0; j <= 5; j++) {	/* doubled: before line j */
			at = j == 5 ? text + text_len : line_at(text, j);
			head = (size_t)(at - text);
			memcpy(copy, text, head);
			memcpy(copy + head, from, len);
			memcpy(copy + head + len, at, text_len - head);
			must_find("a doubled line", (size_t)(i * 10 + j), copy,
				  text_len + len);
		}
		if (i == 4)
			break;
		at = strchr(to, '\n') + 1;	/* swapped with the next */
		head = (size_t)(from - text);
		memcpy(copy, text, text_len);
		memcpy(copy + head, to, (size_t)(at - to));
		memcpy(copy + head + (at - to), from, len);
		must_find("swapped lines", (size_t)i, copy, text_len);
	}
}

static void cuts_are_found_once_the_end_was_noted(void **state)
{
	struct journal_report r;
	int i;

	(void)state;
	make(1);
	for (i = 0; i < 5; i++)
		must_find("a cut", (size_t)i, text,
			  (size_t)(line_at(text, i) - text));
	must_find("a cut end of line", 0, text, text_len - 1);
	/* without the note nobody can tell; with the head given, one can */
	unlink(path_of("../heads"));
	write_file("journal.jsonl", text, (size_t)(line_at(text, 3) - text));
	assert_int_equal(verify(&r), 0);
	assert_int_equal(r.records, 3);
	assert_false(r.ended);
	assert_int_equal(journal_verify(runs, RUN, journal_head(), &r, &e), 1);
}

/* A chain that holds, made of other members. */
static size_t forge(char *out, size_t size, const char *const *members, int n,
		    const char *run)
{
	char head[JOURNAL_HASH + 1];
	size_t len = 0, begin;
	int i;

	digest_genesis(run, head);
	for (i = 0; i < n; i++) {
		begin = len;
		len += (size_t)snprintf(out + len, size - len,
					"{\"seq\":%d,\"prev\":\"%s\",%s", i + 1,
					head, members[i]);
		digest_hex(out + begin, len - begin, head);
		len += (size_t)snprintf(out + len, size - len,
					",\"hash\":\"%s\"}\n", head);
	}
	return len;
}

static void a_chain_made_anew_is_found_when_noted(void **state)
{
	static const char *const other[] = {
		"\"type\":\"run\",\"who\":\"you\"", "\"type\":\"note\"",
		"\"type\":\"note\"", "\"type\":\"note\"", "\"type\":\"end\"",
		"\"type\":\"note\"", "\"type\":\"note\"",
	};
	static char copy[65536];
	struct journal_report r;
	int n;

	(void)state;
	make(1);
	for (n = 1; n <= 7; n++)
		must_find("a chain made anew", (size_t)n, copy,
			  forge(copy, sizeof copy, other, n, RUN));
	/* another run's chain does not begin where ours does */
	must_find("a chain of another run", 0, copy,
		  forge(copy, sizeof copy, other, 5,
			"01JOTHER000000000000000000"));
	unlink(path_of("../heads"));
	must_find("a chain of another run", 1, copy,
		  forge(copy, sizeof copy, other, 5,
			"01JOTHER000000000000000000"));
	/* it holds: without a note it can't be told */
	write_file("journal.jsonl", copy, forge(copy, sizeof copy, other, 5,
						RUN));
	assert_int_equal(verify(&r), 0);
}

static void an_inserted_line_is_found(void **state)
{
	static char copy[65536];
	char prev[JOURNAL_HASH + 1], hash[JOURNAL_HASH + 1];
	char forged[512], *at;
	size_t head, len;
	int i;

	(void)state;
	make(1);
	for (i = 0; i < 5; i++) {
		/* it follows from the line before it, its own hash is right */
		at = line_at(text, i);
		if (i)
			memcpy(prev, at - JOURNAL_HASH - 3, JOURNAL_HASH);
		else
			digest_genesis(RUN, prev);
		prev[JOURNAL_HASH] = '\0';
		len = (size_t)snprintf(forged, sizeof forged,
				       "{\"seq\":%d,\"prev\":\"%s\",\"x\":1",
				       i + 1, prev);
		digest_hex(forged, len, hash);
		len += (size_t)snprintf(forged + len, sizeof forged - len,
					",\"hash\":\"%s\"}\n", hash);
		head = (size_t)(at - text);
		memcpy(copy, text, head);
		memcpy(copy + head, forged, len);
		memcpy(copy + head + len, at, text_len - head);
		must_find("an inserted line", (size_t)i, copy, text_len + len);
	}
}

static void a_line_without_end_is_no_memory_eater(void **state)
{
	struct journal_report r;
	FILE *f;

	(void)state;
	make(1);
	f = fopen(path_of("journal.jsonl"), "ab");
	assert_non_null(f);
	assert_int_equal(ftruncate(fileno(f), 1L << 32), 0);	/* sparse */
	fclose(f);
	assert_int_equal(verify(&r), 1);
	assert_non_null(strstr(r.problem, "longer"));
}

/* --- full disks ------------------------------------------------------------------------ */

static void no_room_for_an_intent(void **state)
{
	struct journal_report r;

	(void)state;
	make(0);
	setenv("OPSH_FAIL", "journal_write=28", 1);	/* ENOSPC */
	assert_int_equal(add("\"type\":\"intent\""), -1);
	assert_int_equal(e.kind, ERR_JOURNAL);
	assert_non_null(strstr(e.message, "No space"));
	assert_true(there("reserve"));		/* for outcomes only */
	assert_false(journal_dead());
	unsetenv("OPSH_FAIL");
	assert_int_equal(add("\"type\":\"end\""), 6);
	journal_close();
	assert_int_equal(verify(&r), 0);
	assert_int_equal(r.records, 6);
}

static void an_outcome_takes_the_reserve(void **state)
{
	struct journal_report r;

	(void)state;
	make(0);
	assert_true(there("reserve"));
	setenv("OPSH_FAIL", "journal_write=28@1", 1);
	assert_int_equal(journal_append("\"type\":\"o\"", 10, JOURNAL_SOON, 1,
					&e), 6);
	assert_false(there("reserve"));
	unsetenv("OPSH_FAIL");
	assert_int_equal(journal_close(), 0);
	assert_int_equal(verify(&r), 0);
	assert_int_equal(r.records, 6);
}

static void the_reserve_is_used_once(void **state)
{
	(void)state;
	make(0);
	setenv("OPSH_FAIL", "journal_write=28", 1);
	assert_int_equal(journal_append("\"type\":\"o\"", 10, JOURNAL_SOON, 1,
					&e), -1);
	assert_false(there("reserve"));
	assert_int_equal(journal_append("\"type\":\"o\"", 10, JOURNAL_SOON, 1,
					&e), -1);
	/* an error that no room would mend does not take it */
	unsetenv("OPSH_FAIL");
	journal_close();
	unlink(path_of("journal.jsonl"));
	make(0);
	setenv("OPSH_FAIL", "journal_write=5", 1);
	assert_int_equal(journal_append("\"type\":\"o\"", 10, JOURNAL_SOON, 1,
					&e), -1);
	assert_true(there("reserve"));
}

/* The kernel takes a part of the line, then no more. */
static void a_short_write_leaves_no_part(void **state)
{
	struct rlimit before, limit;
	struct journal_report r;
	size_t more;

	(void)state;
	make(0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	for (more = 1; more < 180; more += 20) {
		limit = before;
		limit.rlim_cur = text_len + more;
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		assert_int_equal(add("\"type\":\"intent\",\"verb\":\"SET\""), -1);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
		assert_int_equal(verify(&r), 0);
		assert_int_equal(r.records, 5);
		assert_int_equal(r.torn, 0);
	}
	assert_int_equal(add("\"type\":\"end\""), 6);
	journal_close();
	assert_int_equal(verify(&r), 0);
}

/* --- records of reads, which wait ---------------------------------------------------- */

static long long hold(void)
{
	return journal_append("\"type\":\"r\"", 10, JOURNAL_HELD, 0, &e);
}

static void reads_wait_and_keep_their_place(void **state)
{
	struct journal_report r;
	int i;

	(void)state;
	journal_hold();
	make(0);
	assert_int_equal(hold(), 6);
	assert_int_equal(hold(), 7);
	assert_int_equal(verify(&r), 0);
	assert_int_equal(r.records, 5);
	journal_flush();
	assert_int_equal(verify(&r), 0);
	assert_int_equal(r.records, 7);
	assert_int_equal(hold(), 8);
	assert_int_equal(add("\"type\":\"intent\""), 9);	/* they precede it */
	assert_int_equal(verify(&r), 0);
	assert_int_equal(r.records, 9);
	hold();
	loop_turn(0);
	assert_int_equal(verify(&r), 0);
	assert_int_equal(r.records, 9);
	for (i = 0; i < 1000; i++)
		hold();
	assert_int_equal(verify(&r), 0);
	assert_in_range(r.records, 500, 1009);	/* not more than 64 KiB wait */
	hold();
	assert_int_equal(journal_close(), 0);
	assert_int_equal(verify(&r), 0);
	assert_int_equal(r.records, 1011);
}

static void reads_that_cannot_be_written_leave_the_chain_whole(void **state)
{
	struct journal_report r;

	(void)state;
	journal_hold();
	make(0);
	hold();
	hold();
	setenv("OPSH_FAIL", "journal_write=28@1", 1);	/* ENOSPC, once */
	assert_int_equal(add("\"type\":\"intent\""), 6);
	unsetenv("OPSH_FAIL");
	hold();
	setenv("OPSH_FAIL", "journal_write=5@1", 1);
	journal_flush();
	unsetenv("OPSH_FAIL");
	assert_int_equal(hold(), 7);
	assert_int_equal(journal_close(), 0);
	assert_int_equal(verify(&r), 0);
	assert_int_equal(r.records, 7);
}

/* --- failing syncs ------------------------------------------------------------------------ */

static void a_failed_sync_is_the_last_word(void **state)
{
	(void)state;
	make(0);
	setenv("OPSH_FAIL", "journal_sync=5@1", 1);	/* EIO */
	assert_int_equal(add("\"type\":\"intent\""), -1);
	assert_int_equal(e.kind, ERR_JOURNAL);
	assert_true(journal_dead());
	/* the second sync would say yes: it must not be asked */
	assert_int_equal(add("\"type\":\"intent\""), -1);
	assert_non_null(strstr(e.message, "earlier"));
	assert_int_equal(journal_append("\"type\":\"o\"", 10, JOURNAL_SOON, 1,
					&e), -1);
	assert_int_equal(journal_close(), -1);
	assert_false(there("../heads"));	/* nothing is vouched for */
}

static void a_failed_sync_beside_is_told_at_the_latest_at_the_end(void **state)
{
	(void)state;
	make(0);
	setenv("OPSH_FAIL", "journal_sync_soon=5", 1);
	assert_int_equal(journal_append("\"type\":\"o\"", 10, JOURNAL_SOON, 1,
					&e), 6);
	assert_int_equal(journal_close(), -1);
	assert_false(there("../heads"));
}

/* --- the run ---------------------------------------------------------------------------- */

static int release(void **state)
{
	(void)state;
	loop_release();
	return 0;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(ids_sort_by_time), T(creates_and_appends),
		T(head_is_that_of_the_last), T(refuses_to_create_twice),
		T(a_place_that_cannot_be_written),
		T(a_record_too_long_changes_nothing), T(reopens_and_goes_on),
		T(outcomes_synced_beside), T(torn_tails_are_kept_and_cut),
		T(an_empty_journal_goes_on), T(damage_is_not_appended_to),
		T(a_second_opener_is_refused), T(of_many_creators_one_wins),
		T(every_edited_byte_is_found),
		T(removed_doubled_moved_lines_are_found),
		T(cuts_are_found_once_the_end_was_noted),
		T(a_chain_made_anew_is_found_when_noted),
		T(an_inserted_line_is_found),
		T(a_line_without_end_is_no_memory_eater),
		T(no_room_for_an_intent), T(an_outcome_takes_the_reserve),
		T(the_reserve_is_used_once), T(a_short_write_leaves_no_part),
		T(reads_wait_and_keep_their_place),
		T(reads_that_cannot_be_written_leave_the_chain_whole),
		T(a_failed_sync_is_the_last_word),
		T(a_failed_sync_beside_is_told_at_the_latest_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, release);
}
