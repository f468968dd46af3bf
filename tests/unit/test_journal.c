/*
 * test_journal: the journal written, cut, edited, opened again, on a full disk
 * and on one that fails; in a throwaway folder.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/loop.h"
#include "effect/journal.h"

#define RUN "01J0000000000000000000TEST"

static char runs[64];

static int setup(void **state)
{
	(void)state;
	snprintf(runs, sizeof runs, "/tmp/opsh-journal.XXXXXX");
	unsetenv("OPSH_FAIL");
	return mkdtemp(runs) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	journal_close();
	loop_release();
	unsetenv("OPSH_FAIL");
	snprintf(command, sizeof command, "rm -rf -- '%s'", runs);
	return system(command);
}

static long long put(const char *members, enum journal_sync sync, int reserve,
		     struct err *e)
{
	return journal_append(members, strlen(members), sync, reserve, e);
}

static void write_records(int n, int end)
{
	struct err e;
	char text[64];
	int i;

	assert_int_equal(journal_create(runs, RUN, &e), 0);
	for (i = 1; i <= n; i++) {
		snprintf(text, sizeof text, "\"type\":\"read\",\"n\":%d", i);
		assert_int_equal(put(text, JOURNAL_LATER, 0, &e), i);
	}
	if (end)
		assert_int_equal(put("\"type\":\"end\",\"exit\":0", JOURNAL_NOW,
				     0, &e), n + 1);
	journal_close();
}

static void path_of(char *out, size_t size, const char *name)
{
	snprintf(out, size, "%s/%s/%s", runs, RUN, name);
}

static void load(struct buf *b)
{
	char path[256];
	FILE *f;
	int c;

	path_of(path, sizeof path, "journal.jsonl");
	buf_init(b);
	f = fopen(path, "rb");
	assert_non_null(f);
	while ((c = getc(f)) != EOF)
		buf_addc(b, (char)c);
	fclose(f);
}

static void store(const char *data, size_t len)
{
	char path[256];
	FILE *f;

	path_of(path, sizeof path, "journal.jsonl");
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	fclose(f);
}

static int verify(const char *head, struct journal_report *r)
{
	struct err e;

	return journal_verify(runs, RUN, head, r, &e);
}

static void intact(void **state)
{
	struct journal_report r;
	struct stat st;
	char path[256];

	(void)state;
	write_records(5, 1);
	assert_int_equal(verify(NULL, &r), 0);
	assert_int_equal(r.records, 6);
	assert_true(r.ended && !r.torn && !r.busy);
	assert_int_equal(verify(r.head, &r), 0);
	assert_int_equal(verify("00", &r), 1);
	path_of(path, sizeof path, "journal.jsonl");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void every_byte_counts(void **state)
{
	struct journal_report r;
	struct buf b;
	size_t i;

	(void)state;
	write_records(3, 1);
	load(&b);
	for (i = 0; i < b.len; i++) {
		char was = b.data[i];

		b.data[i] = was == 'x' ? 'y' : 'x';
		store(b.data, b.len);
		assert_int_equal(verify(NULL, &r), 1);
		b.data[i] = was;
	}
	buf_release(&b);
}

/* Any tail that is missing after the run's end, at a line or inside one. */
static void every_cut_counts(void **state)
{
	struct journal_report r;
	struct buf b;
	size_t i;

	(void)state;
	write_records(3, 1);
	load(&b);
	for (i = 0; i < b.len; i++) {
		store(b.data, i);
		assert_int_equal(verify(NULL, &r), 1);
	}
	buf_release(&b);
}

static void lines_stay_in_order(void **state)
{
	struct journal_report r;
	struct buf b, out;
	char *line[8], *at;
	size_t len[8], n = 0, i, j;

	(void)state;
	write_records(4, 1);
	load(&b);
	for (at = b.data; *at; at += len[n++]) {
		line[n] = at;
		len[n] = (size_t)(strchr(at, '\n') - at) + 1;
	}
	assert_int_equal(n, 5);
	for (i = 0; i < n; i++) {
		for (j = 0; j < n; j++) {	/* line i removed, put in at j */
			size_t k;

			buf_init(&out);
			for (k = 0; k <= n; k++) {
				if (k == j)
					buf_add(&out, line[i], len[i]);
				if (k < n && k != i)
					buf_add(&out, line[k], len[k]);
			}
			store(out.data, out.len);
			assert_int_equal(verify(NULL, &r) != 0,
					 out.len != b.len ||
					 memcmp(out.data, b.data, b.len) != 0);
			buf_release(&out);
		}
	}
	buf_release(&b);
}

static void torn_tail_is_kept_and_passed(void **state)
{
	struct journal_report r;
	struct stat st;
	struct err e;
	struct buf b;
	char path[256];
	long long torn = -1;

	(void)state;
	write_records(3, 0);
	load(&b);
	buf_adds(&b, "{\"seq\":4,\"pre");
	store(b.data, b.len);
	buf_release(&b);
	assert_int_equal(journal_reopen(runs, RUN, &torn, &e), 0);
	assert_int_equal(torn, 13);
	path_of(path, sizeof path, "torn-3");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 13);
	assert_int_equal(put("\"type\":\"resume\"", JOURNAL_NOW, 0, &e), 4);
	/* killed again before it ended, and again with a torn line: no loss */
	journal_close();
	assert_int_equal(journal_reopen(runs, RUN, &torn, &e), 0);
	assert_int_equal(torn, 0);
	assert_int_equal(put("\"type\":\"end\"", JOURNAL_NOW, 0, &e), 5);
	journal_close();
	assert_int_equal(verify(NULL, &r), 0);
	assert_int_equal(r.records, 5);
}

static void damaged_is_not_gone_on_with(void **state)
{
	struct err e;
	struct buf b;
	long long torn;

	(void)state;
	write_records(3, 0);
	load(&b);
	*strstr(b.data, "\"n\":2") = '_';
	store(b.data, b.len);
	buf_release(&b);
	assert_int_equal(journal_reopen(runs, RUN, &torn, &e), -1);
	assert_int_equal(e.kind, ERR_VERIFY);
	assert_non_null(strstr(e.message, "line 2"));
}

static void one_writer(void **state)
{
	struct flock lk = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct journal_report r;
	struct err e;
	char path[256];
	long long torn;
	int other;

	(void)state;
	write_records(1, 0);
	path_of(path, sizeof path, "journal.jsonl");
	other = open(path, O_RDWR);
	assert_true(other >= 0 && fcntl(other, F_OFD_SETLK, &lk) == 0);
	assert_int_equal(journal_reopen(runs, RUN, &torn, &e), -1);
	assert_int_equal(e.kind, ERR_BUSY);
	assert_int_equal(verify(NULL, &r), 0);
	assert_true(r.busy);
	close(other);
	assert_int_equal(journal_reopen(runs, RUN, &torn, &e), 0);
}

static void full_disk(void **state)
{
	struct journal_report r;
	struct err e;
	char path[256];

	(void)state;
	assert_int_equal(journal_create(runs, RUN, &e), 0);
	setenv("OPSH_FAIL", "journal_write=28@1", 1);	/* ENOSPC once */
	assert_int_equal(put("\"type\":\"intent\"", JOURNAL_NOW, 0, &e), -1);
	assert_int_equal(e.kind, ERR_JOURNAL);
	assert_false(journal_dead());
	/* an outcome gives the reserve up and is written */
	setenv("OPSH_FAIL", "journal_write=28@01", 1);
	assert_int_equal(put("\"type\":\"outcome\"", JOURNAL_SOON, 1, &e), 1);
	path_of(path, sizeof path, "reserve");
	assert_int_equal(access(path, F_OK), -1);
	unsetenv("OPSH_FAIL");
	assert_int_equal(put("\"type\":\"end\"", JOURNAL_NOW, 0, &e), 2);
	journal_close();
	assert_int_equal(verify(NULL, &r), 0);
}

static void failed_sync_is_final(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(journal_create(runs, RUN, &e), 0);
	setenv("OPSH_FAIL", "journal_sync=5", 1);	/* EIO */
	assert_int_equal(put("\"type\":\"intent\"", JOURNAL_NOW, 0, &e), -1);
	unsetenv("OPSH_FAIL");
	assert_true(journal_dead());
	assert_int_equal(put("\"type\":\"read\"", JOURNAL_LATER, 0, &e), -1);
}

static void names_are_new_and_sorted(void **state)
{
	char a[27], b[27];

	(void)state;
	journal_new_id(a);
	usleep(2000);
	journal_new_id(b);
	assert_int_equal(strlen(a), 26);
	assert_true(strcmp(a, b) < 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(intact), T(every_byte_counts), T(every_cut_counts),
		T(lines_stay_in_order), T(torn_tail_is_kept_and_passed),
		T(damaged_is_not_gone_on_with), T(one_writer), T(full_disk),
		T(failed_sync_is_final), T(names_are_new_and_sorted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
