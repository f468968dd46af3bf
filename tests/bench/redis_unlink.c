/*
 * redis_unlink: the plain C that opsh is measured against: SCAN MATCH COUNT,
 * then UNLINK of what it found, one after the other, on hiredis; the names go
 * from the reply to the request without a copy of ours. Prints the seconds
 * that took (connect not counted) and the number of keys. Must stay what a
 * good C programmer would write by hand.
 *
 *     redis_unlink PORT PATTERN [COUNT]
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct args {
	const char **argv;		/* owned */
	size_t *lens;			/* owned */
	size_t room;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int args_grow(struct args *args, size_t n)
{
	const char **argv;
	size_t *lens;

	if (n <= args->room)
		return 0;
	argv = realloc(args->argv, n * sizeof(*argv));
	if (argv)
		args->argv = argv;
	lens = realloc(args->lens, n * sizeof(*lens));
	if (lens)
		args->lens = lens;
	if (!argv || !lens)
		return -1;
	args->room = n;
	return 0;
}

/* Removes the keys of one SCAN reply; their number, or -1. */
static long unlink_keys(redisContext *rc, struct args *args,
			const redisReply *keys)
{
	size_t i, n = keys->elements;
	redisReply *reply;
	long removed;

	if (n == 0)
		return 0;
	if (args_grow(args, n + 1))
		return -1;
	args->argv[0] = "UNLINK";
	args->lens[0] = 6;
	for (i = 0; i < n; i++) {
		args->argv[i + 1] = keys->element[i]->str;
		args->lens[i + 1] = (size_t)keys->element[i]->len;
	}
	reply = redisCommandArgv(rc, (int)n + 1, args->argv, args->lens);
	if (!reply)
		return -1;
	removed = reply->type == REDIS_REPLY_INTEGER ?
		  (long)reply->integer : -1;
	freeReplyObject(reply);
	return removed;
}

static long sweep(redisContext *rc, struct args *args, const char *pattern,
		  long count)
{
	char cursor[32] = "0";
	long total = 0;

	do {
		redisReply *reply = redisCommand(rc,
			"SCAN %s MATCH %s COUNT %ld", cursor, pattern, count);
		long removed = -1;

		if (reply && reply->type == REDIS_REPLY_ARRAY &&
		    reply->elements == 2) {
			snprintf(cursor, sizeof(cursor), "%s",
				 reply->element[0]->str);
			removed = unlink_keys(rc, args, reply->element[1]);
		}
		if (reply)
			freeReplyObject(reply);
		if (removed < 0)
			return -1;
		total += removed;
	} while (strcmp(cursor, "0") != 0);
	return total;
}

int main(int argc, char **argv)
{
	int port = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0;
	long count = argc > 3 ? strtol(argv[3], NULL, 10) : 10000;
	struct args args = { NULL, NULL, 0 };
	redisContext *rc;
	double start;
	long total = -1;

	if (argc < 3 || port <= 0 || count <= 0) {
		fprintf(stderr, "usage: redis_unlink PORT PATTERN [COUNT]\n");
		return 2;
	}
	rc = redisConnect("127.0.0.1", port);
	if (rc && !rc->err) {
		start = now();
		total = sweep(rc, &args, argv[2], count);
		if (total >= 0)
			printf("%.6f %ld\n", now() - start, total);
	}
	if (total < 0)
		fprintf(stderr, "redis_unlink: %s\n",
			rc && rc->err ? rc->errstr : "unexpected reply");
	if (rc)
		redisFree(rc);
	free(args.argv);
	free(args.lens);
	return total < 0;
}
