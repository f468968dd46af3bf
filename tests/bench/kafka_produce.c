/*
 * kafka_produce: the plain C that opsh is measured against: COUNT messages of SIZE
 * bytes, one rd_kafka_produce call each, idempotent, acks=all, every delivery report
 * looked at. Prints the seconds that took (the first message, which connects, is not
 * counted) and how many were delivered. Must stay what a good C programmer would
 * write by hand.
 *
 *     kafka_produce BROKERS TOPIC [COUNT [SIZE]]
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static long delivered, failed;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void report(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	(void)rk;
	(void)opaque;
	if (m->err)
		failed++;
	else
		delivered++;
}

static rd_kafka_t *connect_to(const char *brokers)
{
	static const char *const set[][2] = {
		{ "enable.idempotence", "true" },
		{ "allow.auto.create.topics", "false" }, { "log_level", "0" }
	};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *rk;
	char why[256];
	size_t i;

	rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof why);
	for (i = 0; i < sizeof set / sizeof *set; i++)
		if (rd_kafka_conf_set(conf, set[i][0], set[i][1], why,
				      sizeof why) != RD_KAFKA_CONF_OK) {
			fprintf(stderr, "kafka_produce: %s\n", why);
			return NULL;
		}
	rd_kafka_conf_set_dr_msg_cb(conf, report);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
	if (!rk)
		fprintf(stderr, "kafka_produce: %s\n", why);
	return rk;
}

/* 0, or -1: it was not taken. */
static int produce(rd_kafka_t *rk, rd_kafka_topic_t *rkt, char *value,
		   size_t size)
{
	while (rd_kafka_produce(rkt, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY,
				value, size, NULL, 0, NULL) != 0) {
		if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			return -1;
		rd_kafka_poll(rk, 10);
	}
	return 0;
}

int main(int argc, char **argv)
{
	long count = argc > 3 ? strtol(argv[3], NULL, 10) : 1000000;
	long size = argc > 4 ? strtol(argv[4], NULL, 10) : 100;
	rd_kafka_t *rk = argc > 2 ? connect_to(argv[1]) : NULL;
	rd_kafka_topic_t *rkt;
	char *value;
	double start;
	long i;

	if (!rk || count <= 0 || size < 8 || !(value = malloc((size_t)size)))
		return 2;
	rkt = rd_kafka_topic_new(rk, argv[2], NULL);
	memset(value, 'x', (size_t)size);
	produce(rk, rkt, value, (size_t)size);
	rd_kafka_flush(rk, 10000);
	delivered = 0;
	start = now();
	for (i = 0; i < count; i++) {
		if (produce(rk, rkt, value, (size_t)size) < 0)
			return 1;
		if (i % 1000 == 0)
			rd_kafka_poll(rk, 0);
	}
	rd_kafka_flush(rk, 60000);
	printf("%.6f %ld\n", now() - start, delivered);
	rd_kafka_topic_destroy(rkt);
	rd_kafka_destroy(rk);
	free(value);
	return failed != 0;
}
