/*
 * journal: create, append, reopen; torn tails, two processes; full disks and failing
 * syncs. What an editor does to it is in test_journal_damage.c. Works in a throwaway
 * folder below TMPDIR. Must not need anything of Lua.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal_kit.h"

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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(ids_sort_by_time), T(creates_and_appends),
		T(head_is_that_of_the_last), T(refuses_to_create_twice),
		T(a_place_that_cannot_be_written),
		T(a_record_too_long_changes_nothing), T(reopens_and_goes_on),
		T(outcomes_synced_beside), T(torn_tails_are_kept_and_cut),
		T(an_empty_journal_goes_on), T(damage_is_not_appended_to),
		T(a_second_opener_is_refused), T(of_many_creators_one_wins),
		T(no_room_for_an_intent), T(an_outcome_takes_the_reserve),
		T(the_reserve_is_used_once), T(a_short_write_leaves_no_part),
		T(reads_wait_and_keep_their_place),
		T(reads_that_cannot_be_written_leave_the_chain_whole),
		T(a_failed_sync_is_the_last_word),
		T(a_failed_sync_beside_is_told_at_the_latest_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, release);
}
