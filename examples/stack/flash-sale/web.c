/*
 * web.c: the part of the flash sale that knows nothing of orders: see sale.h. One
 * request a connection. SIGTERM and SIGINT end the server: it takes no more, answers
 * what it has for 5 seconds at most. Must not know Kafka.
 */
#include "sale.h"

#include <arpa/inet.h>
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MAX_HEAD 8192
#define MAX_BODY 65536

static const double limits[SALE_BUCKETS] = { .005, .01, .05, .1, .5, 1, 5 };
static const char *service = "sale";
static sale_handler handle;
static sigset_t ends;
static int running;			/* requests in work; under lock */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t redis_lock = PTHREAD_MUTEX_INITIALIZER;
static redisContext *redis;		/* under redis_lock */
static double redis_again;		/* not asked before this; under redis_lock */

/* --- settings, time, text ---------------------------------------------------- */

const char *sale_setting(const char *name, const char *other)
{
	const char *value = getenv(name);

	return value && *value ? value : other;
}

long sale_number(const char *name, long other)
{
	const char *value = getenv(name);

	return value && *value ? strtol(value, NULL, 10) : other;
}

long sale_duration(const char *name, long other)
{
	const char *value = getenv(name);
	char *unit;
	double n;

	if (!value || !*value)
		return other;
	n = strtod(value, &unit);
	if (!strcmp(unit, "ms"))
		return (long)n;
	return (long)(n * (*unit == 'm' ? 60e3 : *unit == 'h' ? 3600e3 : 1e3));
}

double sale_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void sale_id(char out[37])
{
	unsigned char b[16] = { 0 };
	FILE *f = fopen("/dev/urandom", "rb");
	int at = 0;

	if (!f || fread(b, 1, 16, f) != 16)
		abort();
	fclose(f);
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	for (int i = 0; i < 16; i++)
		at += sprintf(out + at, "%s%02x", i == 4 || i == 6 || i == 8 ||
			i == 10 ? "-" : "", b[i]);
}

static char *vtext(const char *fmt, va_list ap)
{
	char *text = NULL;

	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	return text;
}

char *sale_text(const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = vtext(fmt, ap);
	va_end(ap);
	return text;
}

void sale_log(const char *level, const char *event, const char *id,
	const char *fmt, ...)
{
	struct timeval tv;
	char when[32], *message, *line;
	va_list ap;
	json_t *row;

	gettimeofday(&tv, NULL);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S",
		gmtime(&(time_t){ tv.tv_sec }));
	va_start(ap, fmt);
	message = vtext(fmt, ap);
	va_end(ap);
	line = sale_text("%s.%03ldZ", when, (long)tv.tv_usec / 1000);
	row = json_pack("{ss ss ss ss ss}", "timestamp", line, "level", level,
		"message", message, "service", service, "event", event);
	free(line);
	free(message);
	if (id)
		json_object_set_new(row, "correlation_id", json_string(id));
	line = json_dumps(row, JSON_COMPACT);
	fprintf(stderr, "%s\n", line);
	free(line);
	json_decref(row);
}

/* --- metrics ----------------------------------------------------------------- */

void histogram_add(struct histogram *h, double seconds)
{
	pthread_mutex_lock(&lock);
	h->count++;
	h->sum += seconds;
	for (int i = 0; i < SALE_BUCKETS; i++)
		if (seconds <= limits[i])
			h->buckets[i]++;
	pthread_mutex_unlock(&lock);
}

/* Appends to a malloc'ed text. */
static void append(char **text, char *owned)
{
	char *all = sale_text("%s%s", *text, owned);

	free(*text);
	free(owned);
	*text = all;
}

void metric_print(char **text, const char *name, const char *type, double value)
{
	const char *label = strchr(name, '{');
	int n = label ? (int)(label - name) : (int)strlen(name);

	if (type)
		append(text, sale_text("# TYPE %.*s %s\n", n, name, type));
	append(text, sale_text("%s %.17g\n", name, value));
}

void histogram_print(char **text, struct histogram *h, const char *name)
{
	append(text, sale_text("# TYPE %s histogram\n", name));
	pthread_mutex_lock(&lock);
	for (int i = 0; i < SALE_BUCKETS; i++)
		append(text, sale_text("%s_bucket{le=\"%g\"} %lu\n", name,
			limits[i], h->buckets[i]));
	append(text, sale_text("%s_bucket{le=\"+Inf\"} %lu\n%s_sum %g\n%s_count "
		"%lu\n", name, h->count, name, h->sum, name, h->count));
	pthread_mutex_unlock(&lock);
}

/* --- Redis ------------------------------------------------------------------- */

static void redis_dial(void)
{
	char host[256], *colon;
	struct timeval tv = { .tv_sec = 1 };

	snprintf(host, sizeof(host), "%s", sale_setting("REDIS_ADDR",
		"127.0.0.1:6379"));
	colon = strrchr(host, ':');
	if (colon)
		*colon++ = '\0';
	redis = redisConnectWithTimeout(host, colon ? atoi(colon) : 6379, tv);
	if (redis && !redis->err) {
		redisSetTimeout(redis, tv);
		return;
	}
	if (redis)
		redisFree(redis);
	redis = NULL;
}

static char *redis_text(const redisReply *reply)
{
	char *all;

	switch (reply->type) {
	case REDIS_REPLY_INTEGER:
		return sale_text("%lld", reply->integer);
	case REDIS_REPLY_NIL:
		return sale_text("%s", "");
	case REDIS_REPLY_ERROR:
		sale_log("ERROR", "redis_error", NULL, "%s", reply->str);
		return NULL;
	case REDIS_REPLY_ARRAY:		/* a line each */
		all = sale_text("%s", "");
		for (size_t i = 0; i < reply->elements; i++)
			append(&all, sale_text("%s\n", reply->element[i]->str ?
				reply->element[i]->str : ""));
		return all;
	default:
		return sale_text("%s", reply->str);
	}
}

char *sale_redis(int argc, const char **argv)
{
	redisReply *reply = NULL;
	char *text = NULL;

	pthread_mutex_lock(&redis_lock);
	/* Those who waited meanwhile need not wait for it one after the other. */
	if (sale_now() < redis_again)
		goto out;
	/* A connection may be dead since its last use: once more on a new one,
	 * but only then; a command whose reply is late is not sent twice. */
	for (int i = 0; i < 2 && !reply; i++) {
		bool fresh = !redis;

		if (fresh)
			redis_dial();
		if (!redis)
			break;
		reply = redisCommandArgv(redis, argc, argv, NULL);
		if (reply)
			break;
		fresh |= redis->err != REDIS_ERR_EOF;
		redisFree(redis);
		redis = NULL;
		if (fresh)
			break;
	}
	if (reply)
		text = redis_text(reply);
	else
		redis_again = sale_now() + 0.5;
	freeReplyObject(reply);
out:
	pthread_mutex_unlock(&redis_lock);
	return text;
}

/* --- HTTP -------------------------------------------------------------------- */

void sale_json(struct reply *reply, int status, json_t *owned)
{
	reply->status = status;
	reply->type = "application/json";
	reply->body = json_dumps(owned, JSON_COMPACT);
	json_decref(owned);
}

/* The value of a header in the head, cut to the room. */
static void header(const char *head, const char *name, char *out, size_t room)
{
	size_t n = strlen(name);
	const char *line = strchr(head, '\n');

	for (*out = '\0'; line; line = strchr(line + 1, '\n')) {
		if (strncasecmp(line + 1, name, n) || line[n + 1] != ':')
			continue;
		line += n + 2;
		line += strspn(line, " \t");
		snprintf(out, room, "%.*s", (int)strcspn(line, "\r\n"), line);
		return;
	}
}

/* Reads a whole request; its body begins in the buffer behind the head. */
static bool read_request(int fd, char *buf, struct request *req)
{
	size_t len = 0, want = 0;
	char *end = NULL, length[16];

	while (!end || len < want) {
		ssize_t n = read(fd, buf + len, MAX_HEAD + MAX_BODY - len);

		if (n <= 0)
			return false;
		len += (size_t)n;
		buf[len] = '\0';
		if (end || !(end = strstr(buf, "\r\n\r\n")))
			continue;
		header(buf, "Content-Length", length, sizeof(length));
		want = (size_t)(end + 4 - buf) + strtoul(length, NULL, 10);
		if (want > MAX_HEAD + MAX_BODY)
			return false;
	}
	if (sscanf(buf, "%7s %127s", req->method, req->path) != 2)
		return false;
	header(buf, "Idempotency-Key", req->key, sizeof(req->key));
	req->body = end + 4;
	return true;
}

static void write_reply(int fd, const struct reply *reply)
{
	char *retry = reply->retry_after ? sale_text("Retry-After: %d\r\n",
		reply->retry_after) : sale_text("%s", "");
	char *all = sale_text("HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%s"
		"Content-Length: %zu\r\nConnection: close\r\n\r\n%s", reply->status,
		reply->status < 400 ? "OK" : "Error", reply->type, retry,
		strlen(reply->body), reply->body);
	size_t len = strlen(all), at = 0;

	while (at < len) {
		ssize_t n = write(fd, all + at, len - at);

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	free(all);
	free(retry);
}

static void *converse(void *arg)
{
	int fd = (int)(long)arg;
	struct request req = { 0 };
	struct reply reply = { 0 };
	char *buf = malloc(MAX_HEAD + MAX_BODY + 1);

	if (buf && read_request(fd, buf, &req)) {
		handle(&req, &reply);
		write_reply(fd, &reply);
		free(reply.body);
	}
	free(buf);
	close(fd);
	pthread_mutex_lock(&lock);
	running--;
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void *take(void *arg)
{
	int fd, at = (int)(long)arg;
	struct timeval tv = { .tv_sec = 5 };
	pthread_t thread;

	while ((fd = accept4(at, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
		pthread_mutex_lock(&lock);
		running++;
		pthread_mutex_unlock(&lock);
		if (pthread_create(&thread, NULL, converse, (void *)(long)fd))
			abort();
		pthread_detach(thread);
	}
	return NULL;
}

static int listen_on(int port)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	at.sin_port = htons((uint16_t)port);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd >= 0 && !bind(fd, (struct sockaddr *)&at, sizeof(at)) &&
		!listen(fd, 128))
		return fd;
	perror(service);
	return -1;
}

void sale_begin(const char *name)
{
	service = name;
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stderr, NULL, _IOLBF, 0);
}

int sale_serve(int port, sale_handler handler)
{
	double until;
	int fd, sig, left = 1;
	pthread_t thread;

	handle = handler;
	fd = listen_on(port);
	if (fd < 0 || pthread_create(&thread, NULL, take, (void *)(long)fd))
		return 1;
	sale_log("INFO", "started", NULL, "%s listens on port %d", service, port);
	sigwait(&ends, &sig);
	shutdown(fd, SHUT_RDWR);
	pthread_join(thread, NULL);
	for (until = sale_now() + 5; left && sale_now() < until; usleep(10000)) {
		pthread_mutex_lock(&lock);
		left = running;
		pthread_mutex_unlock(&lock);
	}
	sale_log("INFO", "stopped", NULL, "%s stops", service);
	return 0;
}
