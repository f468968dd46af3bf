/*
 * journal_kit: what the tests of the journal share: a throwaway folder below TMPDIR
 * for each test, a run of five records in it, what is read and written behind the
 * journal's back. For programs of one file: its names are theirs. Must not judge.
 */
#ifndef TESTS_UNIT_JOURNAL_KIT_H
#define TESTS_UNIT_JOURNAL_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/loop.h"
#include "effect/journal.h"

#define RUN "01JTEST0000000000000000000"

static char top[256], runs[300];
static char text[65536];	/* the journal as it was written */
static size_t text_len;
static struct err e;

static inline const char *path_of(const char *name)
{
	static char path[700];

	snprintf(path, sizeof path, "%s/%s/%s", runs, RUN, name);
	return path;
}

static inline int there(const char *name)
{
	struct stat st;

	return !stat(path_of(name), &st);
}

static inline size_t read_file(const char *name, char *out, size_t size)
{
	FILE *f = fopen(path_of(name), "rb");
	size_t n;

	assert_non_null(f);
	n = fread(out, 1, size, f);
	fclose(f);
	return n;
}

static inline void write_file(const char *name, const char *data, size_t len)
{
	FILE *f = fopen(path_of(name), "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static inline long long add(const char *members)
{
	return journal_append(members, strlen(members), JOURNAL_NOW, 0, &e);
}

static inline int setup(void **state)
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

static inline int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static inline int teardown(void **state)
{
	(void)state;
	unsetenv("OPSH_FAIL");
	journal_close();
	return nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Five records; with_end: the last is the run's end, and the head is noted. */
static inline void make(int with_end)
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

static inline int verify(struct journal_report *r)
{
	return journal_verify(runs, RUN, NULL, r, &e);
}

static inline char *line_at(char *from, int n)
{
	while (n--)
		from = strchr(from, '\n') + 1;
	return from;
}


/* The end of the program. */
static inline int release(void **state)
{
	(void)state;
	loop_release();
	return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
