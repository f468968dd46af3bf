/*
 * fuzz_journal: journal_scan over anything. As it comes: never a crash, and a
 * record is counted only when the chain up to it holds, by a second, simple
 * reading. As edits of a valid journal: what is told intact is a beginning of it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "effect/digest.h"
#include "effect/journal.h"

#define RUN "01JFUZZ0000000000000000000"
#define RECORDS 6
#define ROOM (1 << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char valid[8192];
static size_t valid_len, ends[RECORDS + 1];

static void must(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "fuzz_journal: %s\n", what);
	abort();
}

/* Appends a record that follows; its bytes may be anything but a line end. */
static size_t add(char *out, int seq, const char *members, char *head)
{
	size_t len = (size_t)snprintf(out, 512, "{\"seq\":%d,\"prev\":\"%s\",%s", seq,
				     head, members);

	digest_hex(out, len, head);
	return len + (size_t)snprintf(out + len, 128, ",\"hash\":\"%s\"}\n", head);
}

static void make_valid(void)
{
	static const char *const members[RECORDS] = {
		"\"type\":\"run\"", "\"type\":\"intent\",\"verb\":\"SET\"",
		"\"type\":\"outcome\",\"of\":2", "\"type\":\"note\",\"t\":\"\\\"}\"",
		"\"x\":\"\xe2\x82\xac\"", "\"type\":\"end\",\"exit\":0",
	};
	char head[JOURNAL_HASH + 1];
	int i;

	digest_genesis(RUN, head);
	for (i = 0; i < RECORDS; i++) {
		valid_len += add(valid + valid_len, i + 1, members[i], head);
		ends[i + 1] = valid_len;
	}
}

static int scan(const char *data, size_t size, struct journal_report *r)
{
	int fd = memfd_create("journal", MFD_CLOEXEC), found;

	must(fd >= 0 && write(fd, data, size) == (ssize_t)size, "memfd");
	found = journal_scan(fd, RUN, r);
	close(fd);
	must(found == 0 || found == 1, "an answer that is none");
	must(found == (r->bad_line > 0), "a bad line without damage, or none");
	must(!found || r->problem[0], "damage without a word");
	must(r->records >= 0 && r->bytes >= 0 && r->torn >= 0 &&
	     r->bytes + r->torn <= (long long)size, "counts out of range");
	return found;
}

/* Reads the records that were counted, one after the other, anew. */
static void check_chain(const char *data, const struct journal_report *r)
{
	char head[JOURNAL_HASH + 1], frame[160];
	size_t at = 0, len, n;
	const char *nl;
	long long i;

	digest_genesis(RUN, head);
	for (i = 1; i <= r->records; i++) {
		nl = memchr(data + at, '\n', (size_t)r->bytes - at);
		must(nl != NULL, "a record without its end");
		len = (size_t)(nl - (data + at));
		n = (size_t)snprintf(frame, sizeof frame,
				     "{\"seq\":%lld,\"prev\":\"%s\",", i, head);
		must(len > n + JOURNAL_HASH + 11, "a record too short");
		/* the comma is the writer's; a reader needs the quote */
		must(!memcmp(data + at, frame, n - 1), "a frame that is wrong");
		digest_hex(data + at, len - JOURNAL_HASH - 11, head);
		must(!memcmp(data + at + len - JOURNAL_HASH - 2, head,
			     JOURNAL_HASH), "a hash that is wrong");
		at += len + 1;
	}
	must(at == (size_t)r->bytes, "bytes that no record has");
	must(!strcmp(head, r->head), "another head");
}

static void raw(const char *data, size_t size)
{
	struct journal_report r;
	int found = scan(data, size, &r);

	check_chain(data, &r);
	if (!found)
		must((size_t)(r.bytes + r.torn) == size &&
		     !memchr(data + r.bytes, '\n', (size_t)r.torn),
		     "something that is neither record nor torn");
}

/* Three bytes of input an edit: what, and where. */
static void edited(const uint8_t *data, size_t size)
{
	static char copy[ROOM];
	struct journal_report r;
	size_t len = valid_len, i, at;
	int k;

	memcpy(copy, valid, len);
	for (i = 0; i + 3 <= size && i < 30 && len < ROOM - 2048; i += 3) {
		at = len ? ((size_t)data[i + 1] << 8 | data[i + 2]) % len : 0;
		switch (data[i] & 3) {
		case 0:
			if (len)
				copy[at] = (char)(data[i] >> 2 | data[i] << 6);
			break;
		case 1:		/* cut */
			len = at;
			break;
		case 2:		/* remove */
			if (len)
				memmove(copy + at, copy + at + 1, --len - at);
			break;
		case 3:		/* a whole line doubled, at its place or the end */
			k = data[i] >> 2;
			k %= RECORDS;
			memcpy(copy + len, valid + ends[k],
			       ends[k + 1] - ends[k]);
			len += ends[k + 1] - ends[k];
		}
	}
	scan(copy, len, &r);
	check_chain(copy, &r);
	must(r.records <= RECORDS && (size_t)r.bytes == ends[r.records] &&
	     !memcmp(copy, valid, (size_t)r.bytes), "an edit told intact");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char copy[ROOM];

	if (!valid_len)
		make_valid();
	if (!size || size > ROOM / 2)
		return 0;
	if (data[0] & 1) {
		edited(data + 1, size - 1);
		return 0;
	}
	/* after some valid records, so that depth is reached */
	valid_len = ends[RECORDS];
	memcpy(copy, valid, ends[(data[0] >> 1) % (RECORDS + 1)]);
	memcpy(copy + ends[(data[0] >> 1) % (RECORDS + 1)], data + 1, size - 1);
	raw(copy, ends[(data[0] >> 1) % (RECORDS + 1)] + size - 1);
	return 0;
}
