/*
 * sale.h: what the gateway and the processor of the flash sale share: a small HTTP
 * server with a thread a connection, histograms, one connection to Redis, log lines
 * and settings from the environment. Owns nothing of Kafka. Written for examples and
 * tests: must not be taken for a server to build on.
 */
#ifndef SALE_H
#define SALE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define SALE_BUCKETS 7

struct request {
	char method[8];
	char path[128];
	char key[128];			/* Idempotency-Key, or "" */
	char *body;			/* owned by the connection */
};

struct reply {
	int status;
	int retry_after;		/* seconds, 0: not said */
	const char *type;
	char *body;			/* malloc'ed, freed by the server */
};

struct histogram {
	unsigned long count, buckets[SALE_BUCKETS];
	double sum;
};

typedef void (*sale_handler)(const struct request *req, struct reply *reply);

/* settings: of the environment, or the other value; "30s", "500ms", "1m" in ms */
const char *sale_setting(const char *name, const char *other);
long sale_number(const char *name, long other);
long sale_duration(const char *name, long other);

double sale_now(void);			/* seconds, monotonic */
void sale_id(char out[37]);		/* a random UUID */
char *sale_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void sale_log(const char *level, const char *event, const char *id,
	const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* first of all, before any thread: who we are; signals are for sale_serve alone,
 * which returns when it was told to stop and no request is left */
void sale_begin(const char *service);
int sale_serve(int port, sale_handler handler);
void sale_json(struct reply *reply, int status, json_t *owned);

void histogram_add(struct histogram *h, double seconds);
void histogram_print(char **text, struct histogram *h, const char *name);
void metric_print(char **text, const char *name, const char *type, double value);

/* Redis: an answer as text ("" for nil; malloc'ed), or NULL when there is none */
char *sale_redis(int argc, const char **argv);

#endif
