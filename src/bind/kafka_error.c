/*
 * kafka_error: what a broker or librdkafka says went wrong, as our error: kind by
 * code, host and phase out of librdkafka's sentences. Owns the mapping; must not
 * decide what became of a call (its outcome).
 */
#include "bind/kafka.h"

#include <stdio.h>
#include <string.h>

#define E(name) RD_KAFKA_RESP_ERR_##name

static const struct {
	rd_kafka_resp_err_t code;
	enum err_kind kind;
	enum err_phase phase;
	const char *hint;
} codes[] = {
	{ E(_TRANSPORT), ERR_CONNECT, PHASE_CONNECT, "" },
	{ E(_ALL_BROKERS_DOWN), ERR_CONNECT, PHASE_CONNECT, "" },
	{ E(_RESOLVE), ERR_CONNECT, PHASE_DNS, "" },
	{ E(_SSL), ERR_TLS, PHASE_TLS, "" },
	{ E(_AUTHENTICATION), ERR_AUTH, PHASE_AUTH, "" },
	{ E(SASL_AUTHENTICATION_FAILED), ERR_AUTH, PHASE_AUTH, "" },
	{ E(UNSUPPORTED_SASL_MECHANISM), ERR_AUTH, PHASE_AUTH, "" },
	{ E(TOPIC_AUTHORIZATION_FAILED), ERR_AUTH, PHASE_READ,
		"the user lacks an ACL on the topic" },
	{ E(GROUP_AUTHORIZATION_FAILED), ERR_AUTH, PHASE_READ,
		"the user lacks an ACL on the group" },
	{ E(CLUSTER_AUTHORIZATION_FAILED), ERR_AUTH, PHASE_READ,
		"the user lacks an ACL on the cluster" },
	{ E(TRANSACTIONAL_ID_AUTHORIZATION_FAILED), ERR_AUTH, PHASE_READ,
		"the user lacks an ACL on the transactional id" },
	{ E(_TIMED_OUT), ERR_TIMEOUT, PHASE_WAIT, "" },
	{ E(_MSG_TIMED_OUT), ERR_TIMEOUT, PHASE_WAIT, "" },
	{ E(_TIMED_OUT_QUEUE), ERR_TIMEOUT, PHASE_SEND, "" },
	{ E(_DESTROY), ERR_CANCELLED, PHASE_WAIT, "" },
	{ E(_PURGE_QUEUE), ERR_CANCELLED, PHASE_SEND, "" },
	{ E(_PURGE_INFLIGHT), ERR_CANCELLED, PHASE_WAIT, "" },
	{ E(_INVALID_ARG), ERR_USAGE, PHASE_NONE, "" },
	{ E(_UNKNOWN_PARTITION), ERR_SERVER, PHASE_READ,
		"describe(topic) lists its partitions" },
	{ E(_UNKNOWN_TOPIC), ERR_SERVER, PHASE_READ, "" },
	{ E(UNKNOWN_TOPIC_OR_PART), ERR_SERVER, PHASE_READ, "" },
	{ E(MSG_SIZE_TOO_LARGE), ERR_LIMIT, PHASE_SEND,
		"the topic's max.message.bytes, or message.max.bytes of the "
		"target's conf" },
	{ E(_QUEUE_FULL), ERR_LIMIT, PHASE_SEND, "" },
	{ E(_FENCED), ERR_BUSY, PHASE_WAIT,
		"another producer holds the transactional id now" },
	{ E(PRODUCER_FENCED), ERR_BUSY, PHASE_WAIT,
		"another producer holds the transactional id now" },
	{ E(INVALID_PRODUCER_EPOCH), ERR_BUSY, PHASE_WAIT,
		"another producer holds the transactional id now" },
	{ E(_BAD_MSG), ERR_PROTOCOL, PHASE_READ, "" },
	{ E(_BAD_COMPRESSION), ERR_PROTOCOL, PHASE_READ, "" },
	{ E(_CRIT_SYS_RESOURCE), ERR_LIMIT, PHASE_NONE, "" },
};

void kafka_no_memory(lua_State *L)
{
	err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
}

/* A sentence of librdkafka's as ours: no capital, no full stop. */
static void sentence(char *out, size_t size, const char *text)
{
	size_t n = strlen(text);

	while (n && (text[n - 1] == '.' || text[n - 1] == ' '))
		n--;
	snprintf(out, size, "%.*s", (int)(n < size ? n : size - 1), text);
	if (out[0] >= 'A' && out[0] <= 'Z' && out[1] >= 'a' && out[1] <= 'z')
		out[0] = (char)(out[0] - 'A' + 'a');
}

void kafka_error_set(struct err *e, rd_kafka_resp_err_t code,
		     const char *text)
{
	enum err_kind kind = ERR_SERVER;
	enum err_phase phase = PHASE_READ;
	const char *hint = "", *name;
	char said[600];
	size_t i;

	for (i = 0; i < sizeof codes / sizeof *codes; i++) {
		if (codes[i].code != code)
			continue;
		kind = codes[i].kind;
		phase = codes[i].phase;
		hint = codes[i].hint;
	}
	name = rd_kafka_err2name(code);
	sentence(said, sizeof said, text && *text ? text :
		 rd_kafka_err2str(code));
	err_set(e, kind, name ? name : "", "%s", said);
	e->phase = phase;
	snprintf(e->hint, sizeof e->hint, "%s", hint);
}

void kafka_error_take(struct err *e, rd_kafka_error_t *error)
{
	kafka_error_set(e, rd_kafka_error_code(error),
			rd_kafka_error_string(error));
	rd_kafka_error_destroy(error);
}

/* --- brokers ------------------------------------------------------------------- */
/* What X509_V_ERR_.. means to who reads it. */
static const struct {
	int code;
	const char *name, *text;
} refusals[] = {
	{ 2, "CERTIFICATE", "its issuer is not in the ca file" },
	{ 9, "NOTYETVALID", "the certificate is not valid yet" },
	{ 10, "EXPIRED", "the certificate has expired" },
	{ 18, "CERTIFICATE", "the certificate is self-signed" },
	{ 19, "CERTIFICATE", "its self-signed root is not in the ca file" },
	{ 20, "CERTIFICATE", "its issuer is not in the ca file" },
	{ 21, "CERTIFICATE", "its issuer is not in the ca file" },
	{ 23, "REVOKED", "the certificate was revoked" },
	{ 62, "HOSTNAME", "the certificate is for another host name" },
	{ 64, "HOSTNAME", "the certificate is for another address" },
};

/* Words of librdkafka's, and what they mean. */
static const struct {
	const char *text, *code, *hint;
	enum err_kind kind;
	enum err_phase phase;
} words[] = {
	{ "Connection refused", "ECONNREFUSED", "", ERR_CONNECT,
		PHASE_CONNECT },
	{ "No route to host", "EHOSTUNREACH", "", ERR_CONNECT, PHASE_CONNECT },
	{ "Network is unreachable", "ENETUNREACH", "", ERR_CONNECT,
		PHASE_CONNECT },
	{ "Failed to resolve", "", "", ERR_CONNECT, PHASE_DNS },
	{ "connecting to a SSL listener", "", "the listener may want TLS: "
		"tls = true", ERR_CONNECT, PHASE_CONNECT },
	{ "connecting to a PLAINTEXT", "", "the listener may not speak TLS: "
		"tls = false", ERR_TLS, PHASE_TLS },
	{ "wrong version number", "NOTLS", "the listener does not speak TLS: "
		"tls = false", ERR_TLS, PHASE_TLS },
	{ "unexpected eof while reading", "NOTLS", "the listener may not "
		"speak TLS: tls = false", ERR_TLS, PHASE_TLS },
	{ "setup timed out in state", "ETIMEDOUT", "", ERR_CONNECT,
		PHASE_CONNECT },
	{ "Connection timed out", "ETIMEDOUT", "", ERR_CONNECT,
		PHASE_CONNECT },
	{ "brokers are down", "", "", ERR_CONNECT, PHASE_CONNECT },
};

/* "ssl://host:9093/bootstrap: text (after 3ms in state CONNECT)" in parts. */
static void split(const char *text, char *where, size_t wsize, char *said,
		  size_t ssize)
{
	const char *p = strstr(text, "://"), *colon, *slash, *end;
	size_t n;

	p = p ? p + 3 : text;
	colon = strstr(p, ": ");
	slash = strchr(p, '/');
	where[0] = '\0';
	if (colon && slash && slash < colon) {
		n = (size_t)(slash - p);
		snprintf(where, wsize, "%.*s",
			 (int)(n < wsize ? n : wsize - 1), p);
		p = colon + 2;
	}
	end = strstr(p, " (after ");
	n = end ? (size_t)(end - p) : strlen(p);
	snprintf(said, ssize, "%.*s", (int)(n < ssize ? n : ssize - 1), p);
}

/* "Connect to ipv4#127.0.0.1:1 failed: Connection refused" -> the last part;
 * of TLS what stands before librdkafka's advice. */
static const char *reason(char *said)
{
	char *p = strstr(said, " failed: ");
	char *advice = strstr(said, ": broker certificate could not be");

	if (advice)
		*advice = '\0';
	return p && !strncmp(said, "Connect to ", 11) ? p + 9 : said;
}

void kafka_error_broker(struct err *e, rd_kafka_resp_err_t code,
			const char *text, int x509)
{
	char where[128], said[512], ours[512];
	enum err_kind kind;
	enum err_phase phase;
	const char *why, *name, *hint = "";
	size_t i;

	kafka_error_set(e, code, text);
	kind = e->kind;
	phase = e->phase;
	split(text, where, sizeof where, said, sizeof said);
	why = reason(said);
	name = rd_kafka_err2name(code);
	for (i = 0; i < sizeof words / sizeof *words; i++) {
		if (!strstr(text, words[i].text))
			continue;
		kind = words[i].kind;
		phase = words[i].phase;
		hint = words[i].hint;
		if (words[i].code[0])
			name = words[i].code;
		break;
	}
	for (i = 0; kind == ERR_TLS && x509 &&
	     i < sizeof refusals / sizeof *refusals; i++) {
		if (refusals[i].code != x509)
			continue;
		name = refusals[i].name;
		why = refusals[i].text;
	}
	sentence(ours, sizeof ours, why);
	err_set(e, kind, name ? name : "", "cannot connect to '%s': %s",
		where[0] ? where : "?", ours);
	e->phase = phase;
	snprintf(e->hint, sizeof e->hint, "%s", hint);
	if (kind == ERR_TLS && !hint[0] && where[0])
		snprintf(e->hint, sizeof e->hint, "openssl s_client -connect "
			 "'%.100s' shows its certificate", where);
}
