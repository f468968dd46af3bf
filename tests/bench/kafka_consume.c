/*
 * kafka_consume: the plain C that opsh is measured against: a topic of 4 partitions
 * read from its beginning to where it ends at the start, by
 * rd_kafka_consume_batch_queue, every payload looked at. Prints the seconds that took
 * (with asking for the end, without connecting) and the bytes.
 * Must stay what a good C programmer would write by hand who knows the library's one
 * trap: a queue above queued.min.messages puts the fetcher to sleep for a second.
 *
 *     kafka_consume BROKERS TOPIC [BATCH]
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PARTITIONS 4

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static rd_kafka_t *connect_to(const char *brokers)
{
	static const char *const set[][2] = {
		{ "log_level", "0" }, { "enable.auto.commit", "false" },
		{ "queued.min.messages", "10000000" },
		{ "queued.max.messages.kbytes", "1000000" }
	};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *rk;
	char why[256];
	size_t i;

	rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof why);
	for (i = 0; i < sizeof set / sizeof *set; i++)
		if (rd_kafka_conf_set(conf, set[i][0], set[i][1], why,
				      sizeof why) != RD_KAFKA_CONF_OK) {
			fprintf(stderr, "kafka_consume: %s\n", why);
			return NULL;
		}
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
	if (!rk)
		fprintf(stderr, "kafka_consume: %s\n", why);
	return rk;
}

/* Where each partition ends now; how many have something. */
static int find_ends(rd_kafka_t *rk, const char *topic, int64_t *ends)
{
	int64_t low;
	int i, left = 0;

	for (i = 0; i < PARTITIONS; i++) {
		if (rd_kafka_query_watermark_offsets(rk, topic, i, &low, &ends[i],
						     10000))
			return -1;
		left += ends[i] > low;
	}
	return left;
}

/* Reads until each partition is at its end. */
static long drain(rd_kafka_queue_t *queue, rd_kafka_message_t **batch,
		  size_t size, const int64_t *ends, int left)
{
	long bytes = 0;
	ssize_t n, i;

	while (left > 0) {
		n = rd_kafka_consume_batch_queue(queue, 100, batch, size);
		for (i = 0; i < n; i++) {
			rd_kafka_message_t *m = batch[i];

			if (m->err)
				return -1;
			bytes += (long)m->len;
			left -= m->offset == ends[m->partition] - 1;
			rd_kafka_message_destroy(m);
		}
	}
	return bytes;
}

int main(int argc, char **argv)
{
	size_t size = argc > 3 ? (size_t)strtol(argv[3], NULL, 10) : 10000;
	rd_kafka_t *rk = argc > 2 ? connect_to(argv[1]) : NULL;
	const struct rd_kafka_metadata *md;
	rd_kafka_message_t **batch;
	rd_kafka_queue_t *queue;
	rd_kafka_topic_t *rkt;
	int64_t ends[PARTITIONS];
	double start;
	long bytes;
	int i, left;

	if (!rk || !size || !(batch = malloc(size * sizeof *batch)))
		return 2;
	rkt = rd_kafka_topic_new(rk, argv[2], NULL);
	if (rd_kafka_metadata(rk, 0, rkt, &md, 10000))
		return 1;
	rd_kafka_metadata_destroy(md);
	queue = rd_kafka_queue_new(rk);
	start = now();
	left = find_ends(rk, argv[2], ends);
	for (i = 0; i < PARTITIONS; i++)
		if (rd_kafka_consume_start_queue(rkt, i, RD_KAFKA_OFFSET_BEGINNING,
						 queue) < 0)
			return 1;
	bytes = drain(queue, batch, size, ends, left);
	printf("%.6f %ld\n", now() - start, bytes);
	fflush(stdout);
	_exit(bytes < 0);
}
