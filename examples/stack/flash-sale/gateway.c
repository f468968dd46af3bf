/*
 * gateway.c: takes orders of the flash sale (POST /orders) and puts them into the
 * topic `orders`; each is answered when Kafka has it. A circuit breaker opens after
 * too many failures of Kafka in a row and refuses orders with 503 until its time is
 * over; then one order at a time may try. Must not touch the inventory.
 *
 *     gateway PORT        settings: the environment, by the names of its runbook
 */
#include "sale.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLOSED, OPEN, HALF_OPEN };	/* as the metric counts */

static struct {
	pthread_mutex_t lock;
	int state, failures, successes;
	bool trying;			/* half-open: one is under way */
	double timeout, until;		/* seconds */
	long failure_threshold, success_threshold;
	double base, max;
} breaker = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t told;
} delivery = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER };

struct sending {
	bool done;
	rd_kafka_resp_err_t err;
};

static const char *const states[] = { "closed", "open", "half-open" };
static rd_kafka_t *kafka;
static const char *topic;
static atomic_ulong received, successful, failed, invalid, duplicate, limited, refused;
static struct histogram durations;

/* --- the breaker ------------------------------------------------------------- */

static void turn(int state, const char *why)
{
	static const char *const events[] = { "circuit_closed", "circuit_opened",
		"circuit_half_open" };

	breaker.state = state;
	breaker.failures = breaker.successes = 0;
	breaker.trying = false;
	if (state == OPEN)
		breaker.until = sale_now() + breaker.timeout;
	sale_log(state == OPEN ? "WARN" : "INFO", events[state], NULL,
		"circuit breaker %s: %s", states[state], why);
}

/* The state now; time alone makes open half-open. */
static int breaker_state(double *left)
{
	int state;

	pthread_mutex_lock(&breaker.lock);
	if (breaker.state == OPEN && sale_now() >= breaker.until)
		turn(HALF_OPEN, "its time is over, the next order may try");
	state = breaker.state;
	if (left)
		*left = state == OPEN ? breaker.until - sale_now() : 0;
	pthread_mutex_unlock(&breaker.lock);
	return state;
}

static bool breaker_admits(double *left)
{
	bool yes = breaker_state(left) != OPEN;

	pthread_mutex_lock(&breaker.lock);
	if (breaker.state == HALF_OPEN) {
		yes = !breaker.trying;
		breaker.trying = true;
	}
	pthread_mutex_unlock(&breaker.lock);
	return yes;
}

static void breaker_told(bool well)
{
	pthread_mutex_lock(&breaker.lock);
	breaker.trying = false;
	if (well && breaker.state == HALF_OPEN) {
		if (++breaker.successes >= breaker.success_threshold) {
			breaker.timeout = breaker.base;
			turn(CLOSED, "Kafka takes orders again");
		}
	} else if (well) {
		breaker.failures = 0;
	} else if (breaker.state == HALF_OPEN) {
		breaker.timeout *= 2;
		if (breaker.timeout > breaker.max)
			breaker.timeout = breaker.max;
		turn(OPEN, "the order that tried has failed");
	} else if (breaker.state == CLOSED &&
		++breaker.failures >= breaker.failure_threshold) {
		turn(OPEN, "Kafka has failed too often");
	}
	pthread_mutex_unlock(&breaker.lock);
}

/* --- Kafka ------------------------------------------------------------------- */

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *arg)
{
	struct sending *sending = message->_private;

	(void)rk;
	(void)arg;
	pthread_mutex_lock(&delivery.lock);
	sending->done = true;
	sending->err = message->err;
	pthread_cond_broadcast(&delivery.told);
	pthread_mutex_unlock(&delivery.lock);
}

static void *deliver(void *arg)
{
	for (;;)
		rd_kafka_poll(kafka, 1000);
	return arg;
}

static bool connect_kafka(void)
{
	const char *settings[][2] = {
		{ "bootstrap.servers", sale_setting("KAFKA_ADDR", "127.0.0.1:9092") },
		{ "client.id", "gateway" }, { "acks", "all" },
		{ "message.timeout.ms", "1500" }, { "linger.ms", "0" },
		{ "reconnect.backoff.max.ms", "500" },
		{ "allow.auto.create.topics", "false" },
	};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char why[512] = "";

	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
		if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why,
			sizeof(why)))
			goto bad;
	rd_kafka_conf_set_dr_msg_cb(conf, delivered);
	rd_kafka_conf_set_log_cb(conf, NULL);
	kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (kafka)
		return true;
bad:
	sale_log("ERROR", "kafka_config", NULL, "%s", why);
	return false;
}

/* Waits for the broker's word; the timeout above bounds it. */
static rd_kafka_resp_err_t send_order(const char *item, const char *id,
	const char *text)
{
	struct sending sending = { 0 };
	rd_kafka_resp_err_t err = rd_kafka_producev(kafka, RD_KAFKA_V_TOPIC(topic),
		RD_KAFKA_V_KEY(item, strlen(item)),
		RD_KAFKA_V_VALUE((void *)text, strlen(text)),
		RD_KAFKA_V_HEADER("correlation_id", id, strlen(id)),
		RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
		RD_KAFKA_V_OPAQUE(&sending), RD_KAFKA_V_END);

	if (err)
		return err;
	pthread_mutex_lock(&delivery.lock);
	while (!sending.done)
		pthread_cond_wait(&delivery.told, &delivery.lock);
	pthread_mutex_unlock(&delivery.lock);
	return sending.err;
}

static bool kafka_lives(void)
{
	const struct rd_kafka_metadata *md;

	if (rd_kafka_metadata(kafka, 0, NULL, &md, 1000))
		return false;
	rd_kafka_metadata_destroy(md);
	return true;
}

/* --- orders ------------------------------------------------------------------ */

static void say(struct reply *reply, int status, const char *error)
{
	sale_json(reply, status, json_pack("{ss}", "error", error));
}

/* 1: go on; 0: one too many or seen before; -1: Redis does not answer. */
static int admitted(const char *user, const char *key, struct reply *reply)
{
	char *name = sale_text("ratelimit:%s", user), *n, window[24];

	snprintf(window, sizeof(window), "%ld",
		sale_duration("RATE_LIMIT_WINDOW", 60000));
	n = sale_redis(5, (const char *[]) { "EVAL",
		"local n = redis.call('incr', KEYS[1]) if n == 1 then "
		"redis.call('pexpire', KEYS[1], ARGV[1]) end return n", "1", name,
		window });
	free(name);
	if (!n)
		return -1;
	if (strtol(n, NULL, 10) > sale_number("RATE_LIMIT_MAX_REQUESTS", 60)) {
		free(n);
		limited++;
		say(reply, 429, "too many requests");
		return 0;
	}
	free(n);
	if (!*key)
		return 1;
	name = sale_text("idempotency:%s", key);
	n = sale_redis(6, (const char *[]) { "SET", name, "1", "NX", "EX", "3600" });
	free(name);
	if (!n)
		return -1;
	if (*n) {
		free(n);
		return 1;
	}
	free(n);
	duplicate++;
	say(reply, 409, "this order was taken already");
	return 0;
}

static void forget(const char *key)
{
	char *name = sale_text("idempotency:%s", key);

	if (*key)
		free(sale_redis(2, (const char *[]) { "DEL", name }));
	free(name);
}

/* An order that is well formed: to Kafka. */
static void queue(json_t *order, const char *key, struct reply *reply)
{
	const char *item = json_string_value(json_object_get(order, "item_id"));
	rd_kafka_resp_err_t err;
	char id[37], *text;

	sale_id(id);
	json_object_set_new(order, "order_id", json_string(id));
	text = json_dumps(order, JSON_COMPACT);
	err = send_order(item, id, text);
	free(text);
	breaker_told(!err);
	if (err) {
		failed++;
		forget(key);
		sale_log("ERROR", "order_failed", id, "order not queued: %s",
			rd_kafka_err2str(err));
		say(reply, 503, "Kafka did not take the order");
		return;
	}
	successful++;
	sale_log("INFO", "order_queued", id, "Order queued successfully");
	sale_json(reply, 202, json_pack("{ss ss ss}", "status", "queued",
		"order_id", id, "correlation_id", id));
}

static void take_order(const struct request *req, struct reply *reply)
{
	json_t *order = json_loads(req->body, 0, NULL);
	const char *user = json_string_value(json_object_get(order, "user_id"));
	const char *item = json_string_value(json_object_get(order, "item_id"));
	double left;
	int go;

	received++;
	if (!user || !item || !*item) {
		invalid++;
		say(reply, 400, "user_id and item_id expected");
	} else if ((go = admitted(user, req->key, reply)) < 0) {
		failed++;
		say(reply, 503, "Redis does not answer");
	} else if (go && !breaker_admits(&left)) {
		refused++;
		failed++;
		forget(req->key);
		reply->retry_after = (int)left + 1;
		say(reply, 503, "circuit breaker is open");
	} else if (go) {
		queue(order, req->key, reply);
	}
	json_decref(order);
}

/* --- pages ------------------------------------------------------------------- */

static void health(struct reply *reply)
{
	char *pong = sale_redis(1, (const char *[]) { "PING" });
	bool redis = pong != NULL, lives = kafka_lives();
	int state = breaker_state(NULL);
	bool well = redis && lives && state != OPEN;

	free(pong);
	sale_json(reply, well ? 200 : 503, json_pack("{ss sb sb ss}", "status",
		well ? "healthy" : "unhealthy", "redis", redis, "kafka", lives,
		"circuit_breaker_state", states[state]));
}

static void metrics(struct reply *reply)
{
	const struct {
		const char *name;
		atomic_ulong *n;
	} counters[] = {
		{ "gateway_orders_received_total", &received },
		{ "gateway_orders_successful_total", &successful },
		{ "gateway_orders_failed_total", &failed },
		{ "gateway_orders_validation_failed_total", &invalid },
		{ "gateway_orders_idempotency_rejected_total", &duplicate },
		{ "gateway_orders_rate_limited_total", &limited },
		{ "gateway_orders_circuit_rejected_total", &refused },
	};
	char *text = sale_text("%s", "");

	for (size_t i = 0; i < sizeof(counters) / sizeof(*counters); i++)
		metric_print(&text, counters[i].name, "counter",
			(double)atomic_load(counters[i].n));
	metric_print(&text, "gateway_circuit_breaker_state", "gauge",
		breaker_state(NULL));
	histogram_print(&text, &durations, "gateway_request_duration_seconds");
	reply->status = 200;
	reply->type = "text/plain; version=0.0.4";
	reply->body = text;
}

static void answer(const struct request *req, struct reply *reply)
{
	double t0 = sale_now();

	if (!strcmp(req->path, "/health")) {
		health(reply);
	} else if (!strcmp(req->path, "/metrics")) {
		metrics(reply);
	} else if (strcmp(req->path, "/orders")) {
		say(reply, 404, "no such page");
	} else if (strcmp(req->method, "POST")) {
		say(reply, 405, "POST expected");
	} else {
		take_order(req, reply);
		histogram_add(&durations, sale_now() - t0);
	}
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int rc;

	if (argc != 2) {
		fprintf(stderr, "usage: gateway PORT\n");
		return 2;
	}
	sale_begin("gateway");
	topic = sale_setting("ORDERS_TOPIC", "orders");
	breaker.failure_threshold = sale_number("CIRCUIT_BREAKER_FAILURE_THRESHOLD", 5);
	breaker.success_threshold = sale_number("CIRCUIT_BREAKER_SUCCESS_THRESHOLD", 2);
	breaker.base = (double)sale_duration("CIRCUIT_BREAKER_BASE_TIMEOUT", 30000) / 1e3;
	breaker.max = (double)sale_duration("CIRCUIT_BREAKER_MAX_TIMEOUT", 300000) / 1e3;
	breaker.timeout = breaker.base;
	if (!connect_kafka() || pthread_create(&thread, NULL, deliver, NULL))
		return 1;
	pthread_detach(thread);
	rc = sale_serve(atoi(argv[1]), answer);
	rd_kafka_flush(kafka, 2000);
	return rc;
}
