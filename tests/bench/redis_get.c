/*
 * redis_get: the plain C that opsh is measured against: GETs of bench:0 ..
 * bench:n-1 on hiredis, pipelined in batches, each value looked at. Prints the
 * seconds that took (connect and keys not counted) and the sum of lengths, so
 * that both sides can be seen to have done the same. Must stay what a good C
 * programmer would write by hand.
 *
 *     redis_get PORT [COUNT [BATCH]]
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Adds up the lengths of the values of one batch; -1 on any other reply. */
static long batch(redisContext *rc, char (*keys)[32], const size_t *lens,
		  long n)
{
	const char *argv[2] = { "GET", NULL };
	size_t argl[2] = { 3, 0 };
	long i, sum = 0;

	for (i = 0; i < n; i++) {
		argv[1] = keys[i];
		argl[1] = lens[i];
		if (redisAppendCommandArgv(rc, 2, argv, argl) != REDIS_OK)
			return -1;
	}
	for (i = 0; i < n; i++) {
		redisReply *reply;

		if (redisGetReply(rc, (void **)&reply) != REDIS_OK)
			return -1;
		if (reply->type != REDIS_REPLY_STRING) {
			freeReplyObject(reply);
			return -1;
		}
		sum += (long)reply->len;
		freeReplyObject(reply);
	}
	return sum;
}

int main(int argc, char **argv)
{
	int port = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0;
	long count = argc > 2 ? strtol(argv[2], NULL, 10) : 100000;
	long size = argc > 3 ? strtol(argv[3], NULL, 10) : 1000;
	char (*keys)[32] = NULL;
	size_t *lens = NULL;
	redisContext *rc = NULL;
	long i, sum = 0;
	double start;
	int code = 1;

	if (port <= 0 || count <= 0 || size <= 0) {
		fprintf(stderr, "usage: redis_get PORT [COUNT [BATCH]]\n");
		return 2;
	}
	keys = malloc((size_t)count * sizeof(*keys));
	lens = malloc((size_t)count * sizeof(*lens));
	rc = redisConnect("127.0.0.1", port);
	if (!keys || !lens || !rc || rc->err) {
		fprintf(stderr, "redis_get: %s\n",
			rc && rc->err ? rc->errstr : "out of memory");
		goto out;
	}
	for (i = 0; i < count; i++)
		lens[i] = (size_t)snprintf(keys[i], sizeof(keys[i]),
					   "bench:%ld", i);
	start = now();
	for (i = 0; i < count; i += size) {
		long part = batch(rc, keys + i, lens + i,
				  count - i < size ? count - i : size);

		if (part < 0) {
			fprintf(stderr, "redis_get: %s\n", rc->err ?
				rc->errstr : "a reply was not a string");
			goto out;
		}
		sum += part;
	}
	printf("%.6f %ld\n", now() - start, sum);
	code = 0;
out:
	if (rc)
		redisFree(rc);
	free(lens);
	free(keys);
	return code;
}
