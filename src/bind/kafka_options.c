/*
 * kafka_options: the options of a client, copied out of the Lua table that
 * opsh.kafka has made of URL and targets file: librdkafka's properties, and what
 * is ours. Adds the safe defaults. Secrets are given to the redactor, and wiped
 * when the client goes.
 */
#include "bind/kafka.h"

#include <math.h>
#include <string.h>

#include "core/lx.h"

#define MAX_MOCK 16

static double seconds(lua_State *L, int arg, const char *name, double def)
{
	double v = lx_opt_num(L, arg, name, def);

	if (!isfinite(v) || v <= 0 || v > 1e6)
		err_raisef(L, ERR_CONFIG, "", "option '%s' must be a number "
			   "of seconds above 0", name);
	return v;
}

void kafka_options_read(lua_State *L, int arg, struct kafka_options *o)
{
	static const char *const names[] = {
		"properties", "mock", "timeout", "connect_timeout", NULL
	};
	rd_kafka_conf_t *conf;
	lua_Integer n;
	struct err e;

	lx_opt_begin(L, arg, names);
	keywords_read(L, arg, "properties", &o->properties);
	n = lx_opt_int(L, arg, "mock", 0);
	if (n < 0 || n > MAX_MOCK)
		err_raisef(L, ERR_CONFIG, "", "a mock cluster has 1 to %d "
			   "brokers", MAX_MOCK);
	o->mock = (int)n;
	o->timeout = seconds(L, arg, "timeout", 30);
	o->connect_timeout = seconds(L, arg, "connect_timeout", 10);
	conf = kafka_conf(o, NULL, &e);
	if (!conf)
		err_raise(L, &e);
	rd_kafka_conf_destroy(conf);
}

void kafka_options_release(struct kafka_options *o)
{
	keywords_release(&o->properties);
}

/* What no target may be without; a target's own `conf` can't change it. */
static const char *const fixed[] = {
	"client.id", "opsh",
	"log_level", "0",
	"enable.auto.commit", "false",
	"enable.auto.offset.store", "false",
	"allow.auto.create.topics", "false",
	"auto.offset.reset", "error",
	"queue.buffering.max.messages", "1000000",	/* kafka_produce.c waits */
	"queue.buffering.max.kbytes", "1048576",	/* before these */
	NULL
};

/* What suits a shell better than librdkafka's own. */
static const char *const preset[] = {
	"socket.keepalive.enable", "true",
	"reconnect.backoff.ms", "50",
	"reconnect.backoff.max.ms", "1000",
	"topic.metadata.refresh.interval.ms", "60000",
	"partitioner", "murmur2_random",	/* as Java's clients do */
	"linger.ms", "1",
	NULL
};

static int set(rd_kafka_conf_t *conf, const char *key, const char *value,
	       struct err *e)
{
	char text[256];

	if (rd_kafka_conf_set(conf, key, value, text, sizeof text) ==
	    RD_KAFKA_CONF_OK)
		return 0;
	err_set(e, ERR_CONFIG, "", "librdkafka does not take the property "
		"'%s': %s", key, strstr(key, "password") ? "bad value" : text);
	return -1;
}

static int set_all(rd_kafka_conf_t *conf, const char *const *list,
		   struct err *e)
{
	for (; list && *list; list += 2)
		if (set(conf, list[0], list[1], e) < 0)
			return -1;
	return 0;
}

static int is_fixed(const char *key)
{
	int i;

	for (i = 0; fixed[i]; i += 2)
		if (!strcmp(fixed[i], key))
			return 1;
	return 0;
}

rd_kafka_conf_t *kafka_conf(const struct kafka_options *o,
			    const char *const *more, struct err *e)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	int i;

	if (set_all(conf, preset, e) < 0)
		goto fail;
	for (i = 0; i < o->properties.n; i++) {
		if (is_fixed(o->properties.key[i])) {
			err_set(e, ERR_CONFIG, "", "the property '%s' can't be "
				"set: opsh decides about it", o->properties.key[i]);
			goto fail;
		}
		if (set(conf, o->properties.key[i], o->properties.value[i], e) < 0)
			goto fail;
	}
	if (set_all(conf, fixed, e) < 0 || set_all(conf, more, e) < 0)
		goto fail;
	return conf;
fail:
	rd_kafka_conf_destroy(conf);
	return NULL;
}
