/*
 * fuzz_journal: a journal's bytes, read by journal_scan. Half of the inputs are
 * taken as they are; the others edit a valid journal that the harness wrote: any
 * change of its bytes must be found, a cut at the end may only be a torn tail
 * or fewer records. Reads from memory (memfd); leaves no file.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/buf.h"
#include "effect/digest.h"
#include "effect/journal.h"

#define RUN "01J0000000000000000000FUZZ"
#define RECORDS 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct buf valid;
static int fd = -1;

static void check(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "property broken: %s\n", what);
	abort();
}

static void make_valid(void)
{
	char prev[65], hash[65];
	int i;

	buf_init(&valid);
	digest_genesis(RUN, prev);
	for (i = 1; i <= RECORDS; i++) {
		size_t start = valid.len;

		buf_addf(&valid, "{\"seq\":%d,\"prev\":\"%s\",\"type\":\"%s\","
			 "\"n\":%d", i, prev, i == RECORDS ? "end" : "read", i);
		digest_hex(valid.data + start, valid.len - start, hash);
		buf_addf(&valid, ",\"hash\":\"%s\"}\n", hash);
		memcpy(prev, hash, sizeof prev);
	}
	fd = memfd_create("journal", MFD_CLOEXEC);
	check(fd >= 0, "memfd");
}

static int scan(const void *data, size_t size, struct journal_report *r)
{
	int bad;

	check(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) ==
	      (ssize_t)size, "writing the memfd");
	bad = journal_scan(fd, RUN, r);
	check(!bad == !r->bad_line, "a damaged line has a number");
	check(r->bytes >= 0 && (size_t)r->bytes <= size, "bytes within the file");
	if (!bad)
		check((size_t)(r->bytes + r->torn) == size,
		      "an intact file is records and a torn tail");
	return bad;
}

/* Applies edits from data to a copy of the valid journal. */
static void edit(struct buf *b, const uint8_t *data, size_t size)
{
	size_t i;

	for (i = 0; i + 4 <= size && b->len; i += 4) {
		size_t at = ((size_t)data[i + 1] << 8 | data[i + 2]) % b->len;

		switch (data[i] % 3) {
		case 0:
			b->data[at] = (char)data[i + 3];
			break;
		case 1:		/* a byte goes */
			memmove(b->data + at, b->data + at + 1,
				b->len - at - 1);
			b->len--;
			break;
		default:	/* cut */
			b->len = at;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct journal_report r;
	struct buf b;
	int bad;

	if (fd < 0)
		make_valid();
	if (!size)
		return 0;
	if (data[0] & 1) {
		scan(data + 1, size - 1, &r);
		return 0;
	}
	buf_init(&b);
	buf_add(&b, valid.data, valid.len);
	edit(&b, data + 1, size - 1);
	bad = scan(b.data, b.len, &r);
	if (!bad) {
		/* what is left is the beginning of the valid one */
		check((size_t)r.bytes <= valid.len &&
		      !memcmp(b.data, valid.data, (size_t)r.bytes),
		      "an edit was not found");
		check(r.records == RECORDS || !r.ended, "ended too early");
	}
	buf_release(&b);
	return 0;
}
