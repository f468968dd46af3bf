/*
 * processor.c: works off the orders of the flash sale: takes the item out of the
 * inventory in Redis and notes the order's status, by one script; what can't be
 * processed goes to `orders-dlq` with headers that say why and where it comes from.
 * An offset is committed when its order is done or in the DLQ. Some payments are
 * made to fail. Must not take an order twice: its status tells.
 *
 *     processor PORT      settings: the environment, by the names of its runbook
 */
#include "sale.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char TAKE[] =
	"if redis.call('exists', KEYS[2]) == 1 then return 'again' end "
	"local left = tonumber(redis.call('get', KEYS[1]) or '0') "
	"local said = 'sold_out' "
	"if left >= tonumber(ARGV[1]) then "
	"  redis.call('decrby', KEYS[1], ARGV[1]) said = 'processed' end "
	"redis.call('set', KEYS[2], cjson.encode({status = said, item_id = ARGV[2], "
	"quantity = tonumber(ARGV[1])}), 'EX', 86400) return said";

static rd_kafka_t *consumer, *producer;
static const char *orders, *dlq;
static atomic_bool ending;
static atomic_ulong processed, success, failure, sold_out, moved;
static struct histogram durations;
static struct {
	pthread_mutex_t lock;
	double size, age;
} depth = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* --- clients ----------------------------------------------------------------- */

static void told(rd_kafka_t *rk, const rd_kafka_message_t *m, void *arg)
{
	(void)rk;
	(void)arg;
	*(rd_kafka_resp_err_t *)m->_private = m->err;
}

static rd_kafka_t *client(rd_kafka_type_t type, const char *group)
{
	const char *settings[][2] = {
		{ "bootstrap.servers", sale_setting("KAFKA_ADDR", "127.0.0.1:9092") },
		{ "client.id", "processor" }, { "reconnect.backoff.max.ms", "500" },
		{ "allow.auto.create.topics", "false" },
		{ "group.id", group }, { "auto.offset.reset", "earliest" },
		{ "enable.auto.commit", "false" }, { "session.timeout.ms", "6000" },
		{ "heartbeat.interval.ms", "500" },
	};
	size_t n = type == RD_KAFKA_CONSUMER ? 9 : 4;
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *rk = NULL;
	char why[512] = "";

	rd_kafka_conf_set_log_cb(conf, NULL);
	rd_kafka_conf_set_dr_msg_cb(conf, told);
	for (size_t i = 0; i < n; i++)
		if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why,
			sizeof(why)))
			goto bad;
	rk = rd_kafka_new(type, conf, why, sizeof(why));
	if (rk)
		return rk;
bad:
	sale_log("ERROR", "kafka_config", NULL, "%s", why);
	exit(1);
}

/* --- the DLQ ----------------------------------------------------------------- */

/* How often it was replayed: what a replay has written into it, else 0. */
static long replays(rd_kafka_headers_t *headers)
{
	char text[16];
	const void *value;
	size_t len;

	if (!headers || rd_kafka_header_get_last(headers, "replay-count", &value,
		&len))
		return 0;
	snprintf(text, sizeof(text), "%.*s", (int)len, (const char *)value);
	return strtol(text, NULL, 10);
}

static rd_kafka_headers_t *reasons(const rd_kafka_message_t *m, const char *id,
	const char *reason)
{
	rd_kafka_headers_t *given = NULL, *h = rd_kafka_headers_new(8);
	char where[4][24];
	const char *const names[] = { "origin-partition", "origin-offset",
		"failed-at", "replay-count" };

	rd_kafka_message_headers(m, &given);
	snprintf(where[0], sizeof(where[0]), "%d", m->partition);
	snprintf(where[1], sizeof(where[1]), "%lld", (long long)m->offset);
	snprintf(where[2], sizeof(where[2]), "%lld", (long long)time(NULL) * 1000);
	snprintf(where[3], sizeof(where[3]), "%ld", replays(given));
	rd_kafka_header_add(h, "error-reason", -1, reason, -1);
	rd_kafka_header_add(h, "origin-topic", -1, rd_kafka_topic_name(m->rkt), -1);
	for (int i = 0; i < 4; i++)
		rd_kafka_header_add(h, names[i], -1, where[i], -1);
	rd_kafka_header_add(h, "correlation_id", -1, id ? id : "", -1);
	return h;
}

/* The same key and value, with the headers; tried until Kafka has it. False when
 * we are to end. */
static bool bury(const rd_kafka_message_t *m, const char *id, const char *reason)
{
	rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR__IN_PROGRESS;

	while (err && !ending) {
		rd_kafka_headers_t *h = reasons(m, id, reason);

		err = rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(dlq),
			RD_KAFKA_V_KEY(m->key, m->key_len),
			RD_KAFKA_V_VALUE(m->payload, m->len),
			RD_KAFKA_V_HEADERS(h), RD_KAFKA_V_OPAQUE(&err),
			RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
		if (err)
			rd_kafka_headers_destroy(h);
		else
			err = RD_KAFKA_RESP_ERR__IN_PROGRESS;
		while (err == RD_KAFKA_RESP_ERR__IN_PROGRESS && !ending)
			rd_kafka_poll(producer, 100);
		if (err && !ending) {
			sale_log("ERROR", "dlq_failed", id, "the DLQ takes no order: %s",
				rd_kafka_err2str(err));
			nanosleep(&(struct timespec){ .tv_nsec = 500000000 }, NULL);
		}
	}
	rd_kafka_purge(producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	while (err == RD_KAFKA_RESP_ERR__IN_PROGRESS)
		rd_kafka_poll(producer, 100);	/* `err` is told before it goes */
	if (err)
		return false;
	moved++;
	sale_log("WARN", "order_moved_to_dlq", id, "order moved to DLQ: %s", reason);
	return true;
}

/* Time of the oldest message of the DLQ, in ms, or 0. */
static double oldest(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *parts)
{
	double first = 0, until = sale_now() + 3;

	rd_kafka_assign(rk, parts);
	while (!first && !ending && sale_now() < until) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 200);

		if (m && !m->err)
			first = (double)rd_kafka_message_timestamp(m, NULL);
		if (m)
			rd_kafka_message_destroy(m);
	}
	rd_kafka_assign(rk, NULL);
	return first;
}

static void measure(rd_kafka_t *rk)
{
	rd_kafka_topic_partition_list_t *parts =
		rd_kafka_topic_partition_list_new(1);
	int64_t low = 0, high = 0;
	double age = 0, at;

	/* One partition: a DLQ is read by people, in its order. */
	if (!rd_kafka_query_watermark_offsets(rk, dlq, 0, &low, &high, 2000)) {
		rd_kafka_topic_partition_list_add(parts, dlq, 0)->offset = low;
		if (high > low && (at = oldest(rk, parts)) > 0)
			age = (double)time(NULL) - at / 1e3;
		pthread_mutex_lock(&depth.lock);
		depth.size = (double)(high - low);
		depth.age = age < 0 ? 0 : age;
		pthread_mutex_unlock(&depth.lock);
	}
	rd_kafka_topic_partition_list_destroy(parts);
}

static void *watch(void *arg)
{
	rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, "processor-dlq-watch");

	rd_kafka_poll_set_consumer(rk);
	while (!ending) {
		measure(rk);
		nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL);
	}
	return arg;
}

/* --- orders ------------------------------------------------------------------ */

/* NULL when it was processed, or why it was not. */
static const char *process(const char *id, const char *item, long quantity)
{
	char *inventory, *status, amount[24], *said;
	const char *why = NULL;

	if (rand() % 100 < sale_number("PAYMENT_FAILURE_PERCENT", 10))
		return "Payment Timeout";
	inventory = sale_text("inventory:%s", item);
	status = sale_text("order_status:%s", id);
	snprintf(amount, sizeof(amount), "%ld", quantity);
	said = sale_redis(7, (const char *[]) { "EVAL", TAKE, "2", inventory,
		status, amount, item });
	if (!said) {
		why = "Redis Failure";
	} else if (!strcmp(said, "sold_out")) {
		sold_out++;
		sale_log("INFO", "order_sold_out", id, "item %s is sold out", item);
	} else {
		success++;
		sale_log("INFO", "order_processed", id, "order processed");
	}
	free(said);
	free(inventory);
	free(status);
	return why;
}

/* True when it is done with, one way or the other. */
static bool work(const rd_kafka_message_t *m)
{
	double t0 = sale_now();
	json_t *order = json_loadb(m->payload, m->len, 0, NULL), *quantity;
	const char *id = json_string_value(json_object_get(order, "order_id"));
	const char *item = json_string_value(json_object_get(order, "item_id"));
	const char *why = "Invalid Order Format";
	bool done = true;
	long n = 1;

	quantity = json_object_get(order, "quantity");
	if (quantity)
		n = (long)json_integer_value(quantity);
	if (id && item && n > 0)
		why = process(id, item, n);
	processed++;
	if (why) {
		failure++;
		done = bury(m, id, why);
	}
	json_decref(order);
	histogram_add(&durations, sale_now() - t0);
	return done;
}

static void *consume(void *arg)
{
	rd_kafka_topic_partition_list_t *list =
		rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(list, orders, RD_KAFKA_PARTITION_UA);
	rd_kafka_subscribe(consumer, list);
	rd_kafka_topic_partition_list_destroy(list);
	while (!ending) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(consumer, 100);

		if (!m)
			continue;
		if (m->err)
			sale_log("WARN", "kafka_error", NULL, "%s",
				rd_kafka_message_errstr(m));
		else if (work(m))
			rd_kafka_commit_message(consumer, m, 0);
		rd_kafka_message_destroy(m);
	}
	rd_kafka_consumer_close(consumer);
	return arg;
}

/* --- pages ------------------------------------------------------------------- */

static void inventory(char **text)
{
	char *keys = sale_redis(2, (const char *[]) { "KEYS", "inventory:*" });
	char *rest = keys, *key;
	const char *type = "gauge";

	while ((key = rest ? strsep(&rest, "\n") : NULL)) {
		char *value, *name;

		if (strncmp(key, "inventory:", 10))
			continue;
		value = sale_redis(2, (const char *[]) { "GET", key });
		name = sale_text("processor_inventory_level{item_id=\"%s\"}", key + 10);
		if (value)
			metric_print(text, name, type, strtod(value, NULL));
		type = NULL;
		free(name);
		free(value);
	}
	free(keys);
}

static void answer(const struct request *req, struct reply *reply)
{
	const struct {
		const char *name;
		atomic_ulong *n;
	} counters[] = {
		{ "processor_orders_processed_total", &processed },
		{ "processor_orders_processed_success_total", &success },
		{ "processor_orders_processed_failed_total", &failure },
		{ "processor_orders_sold_out_total", &sold_out },
		{ "processor_orders_moved_to_dlq_total", &moved },
	};
	char *text = sale_text("%s", "");

	reply->type = "text/plain; version=0.0.4";
	reply->body = text;
	reply->status = 404;
	if (strcmp(req->path, "/metrics"))
		return;
	for (size_t i = 0; i < sizeof(counters) / sizeof(*counters); i++)
		metric_print(&text, counters[i].name, "counter",
			(double)atomic_load(counters[i].n));
	pthread_mutex_lock(&depth.lock);
	metric_print(&text, "processor_dlq_size", "gauge", depth.size);
	metric_print(&text, "processor_dlq_oldest_message_age_seconds", "gauge",
		depth.age);
	pthread_mutex_unlock(&depth.lock);
	inventory(&text);
	histogram_print(&text, &durations,
		"processor_order_processing_duration_seconds");
	reply->status = 200;
	reply->body = text;
}

int main(int argc, char **argv)
{
	pthread_t worker, watcher;
	int rc;

	if (argc != 2) {
		fprintf(stderr, "usage: processor PORT\n");
		return 2;
	}
	sale_begin("processor");
	srand((unsigned)time(NULL));
	orders = sale_setting("ORDERS_TOPIC", "orders");
	dlq = sale_setting("DLQ_TOPIC", "orders-dlq");
	consumer = client(RD_KAFKA_CONSUMER, sale_setting("GROUP", "processor"));
	producer = client(RD_KAFKA_PRODUCER, "");
	rd_kafka_poll_set_consumer(consumer);
	if (pthread_create(&worker, NULL, consume, NULL) ||
		pthread_create(&watcher, NULL, watch, NULL))
		return 1;
	rc = sale_serve(atoi(argv[1]), answer);
	ending = true;
	pthread_join(worker, NULL);
	return rc;
}
