/*
 * journal_read: reading and checking a journal. Bytes are compared as they
 * stand; nothing is parsed but the frame of each line.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "effect/digest.h"
#include "effect/journal.h"

#define TAIL_LEN (9 + JOURNAL_HASH + 2)	/* ,"hash":"<64>"} */

static int bad(struct journal_report *r, const char *problem)
{
	r->bad_line = r->records + 1;
	snprintf(r->problem, sizeof r->problem, "%s", problem);
	return 1;
}

static int is_hex(const char *s)
{
	return strspn(s, "0123456789abcdef") >= JOURNAL_HASH;
}

/* Checks one line (without its newline) against the chain. */
static int check_line(struct journal_report *r, const char *line, size_t len)
{
	char frame[128], hash[JOURNAL_HASH + 1];
	const char *tail;
	int n;

	n = snprintf(frame, sizeof frame, "{\"seq\":%lld,\"prev\":\"",
		     r->records + 1);
	if (memchr(line, '\0', len))
		return bad(r, "holds NUL bytes");
	if (len < (size_t)n + JOURNAL_HASH + TAIL_LEN)
		return bad(r, "is too short for a record");
	if (memcmp(line, frame, (size_t)n))
		return bad(r, "sequence number is not the next one: a line was "
			   "inserted, removed or moved");
	if (memcmp(line + n, r->head, JOURNAL_HASH))
		return bad(r, "does not follow from the line before: a line was "
			   "edited, removed or moved");
	tail = line + len - TAIL_LEN;
	if (memcmp(tail, ",\"hash\":\"", 9) || !is_hex(tail + 9) ||
	    memcmp(tail + 9 + JOURNAL_HASH, "\"}", 2))
		return bad(r, "has no hash");
	digest_hex(line, len - TAIL_LEN, hash);
	if (memcmp(hash, tail + 9, JOURNAL_HASH))
		return bad(r, "hash does not match: the line was edited");
	memcpy(r->head, hash, sizeof r->head);
	r->records++;
	r->bytes += (long long)len + 1;
	n += JOURNAL_HASH + 2;		/* `",` after prev */
	r->ended = !strncmp(line + n, "\"type\":\"end\"", 12);
	return 0;
}

/* What the head was after `records` records; filled by scan. */
struct anchor {
	long long records;
	char head[JOURNAL_HASH + 1];	/* as noted */
	char seen[JOURNAL_HASH + 1];	/* as read */
};

static int scan(int fd, const char *run, struct anchor *anchor,
		struct journal_report *r)
{
	struct buf b = BUF_INIT;
	int found = 0;
	ssize_t n = 0;

	memset(r, 0, sizeof *r);
	digest_genesis(run, r->head);
	if (anchor && !anchor->records)
		memcpy(anchor->seen, r->head, sizeof r->head);
	if (lseek(fd, 0, SEEK_SET) < 0)
		return bad(r, "cannot be read");
	while (!found) {
		char *at = b.data, *nl;
		char *room = buf_reserve(&b, 65536);

		if (!room) {
			found = bad(r, "out of memory");
			break;
		}
		n = read(fd, room, 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		b.len += (size_t)n;
		for (at = b.data; !found &&
		     (nl = memchr(at, '\n', b.len - (size_t)(at - b.data)));
		     at = nl + 1) {
			found = check_line(r, at, (size_t)(nl - at));
			if (anchor && r->records == anchor->records)
				memcpy(anchor->seen, r->head, sizeof r->head);
		}
		buf_consume(&b, (size_t)(at - b.data));
		if (!found && b.len > JOURNAL_LINE_MAX)
			found = bad(r, "is longer than a record can be");
	}
	if (!found && n < 0)
		found = bad(r, "cannot be read");
	if (!found)
		r->torn = (long long)b.len;
	buf_release(&b);
	return found;
}

int journal_scan(int fd, const char *run, struct journal_report *r)
{
	return scan(fd, run, NULL, r);
}

/* The anchored line of this run in runs_dir/heads: its records and head. */
static int find_anchor(const char *runs_dir, const char *run,
		       struct anchor *anchor)
{
	char path[3200], text[256], id[64];
	int found = 0;
	FILE *f;

	snprintf(path, sizeof path, "%s/heads", runs_dir);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(text, sizeof text, f)) {
		char *at = strchr(text, ' ');
		char *end;

		if (!at || (size_t)(at - text) >= sizeof id)
			continue;
		*at = '\0';
		if (strcmp(text, run))
			continue;
		anchor->records = strtoll(at + 1, &end, 10);
		if (*end == ' ' && is_hex(end + 1)) {
			memcpy(anchor->head, end + 1, JOURNAL_HASH);
			found = 1;	/* a resumed run: the last counts */
		}
	}
	fclose(f);
	return found;
}

static int bad_end(struct journal_report *r, const char *problem)
{
	snprintf(r->problem, sizeof r->problem, "%s", problem);
	return 1;
}

int journal_verify(const char *runs_dir, const char *run, const char *head,
		   struct journal_report *r, struct err *e)
{
	struct flock lk = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct anchor anchor = { 0 };
	char path[3300];
	int fd, found, noted;

	snprintf(path, sizeof path, "%s/%s/journal.jsonl", runs_dir, run);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 && (errno == EACCES || errno == EROFS))
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		err_set(e, ERR_USAGE, "", "cannot open '%s': %s", path,
			strerror(errno));
		return -1;
	}
	noted = find_anchor(runs_dir, run, &anchor);
	found = scan(fd, run, &anchor, r);
	r->busy = !fcntl(fd, F_OFD_GETLK, &lk) && lk.l_type != F_UNLCK;
	close(fd);
	if (found)
		return 1;
	if (head && strcmp(head, r->head))
		return bad_end(r, "the head is not the one given: the tail was "
			       "cut, or the chain was made anew");
	if (noted && anchor.records > r->records)
		return bad_end(r, "the tail was cut: fewer records than noted "
			       "at the end of the run");
	if (noted && strcmp(anchor.head, anchor.seen))
		return bad_end(r, "the chain is not the one noted at the end of "
			       "the run");
	return 0;
}
