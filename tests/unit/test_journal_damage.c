/*
 * journal damage: all that an editor can do to a journal is found: bytes, lines, cuts,
 * chains made anew; what nobody could tell is told apart. Works in a throwaway folder
 * below TMPDIR. Must not need anything of Lua.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "effect/digest.h"
#include "journal_kit.h"

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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(every_edited_byte_is_found),
		T(removed_doubled_moved_lines_are_found),
		T(cuts_are_found_once_the_end_was_noted),
		T(a_chain_made_anew_is_found_when_noted),
		T(an_inserted_line_is_found),
		T(a_line_without_end_is_no_memory_eater),
	};

	return cmocka_run_group_tests(tests, NULL, release);
}
