/*
 * http_end: what became of a call. Decides what a status means (an end, a redirect,
 * another attempt), kind, phase and message of a failure, and the outcome: a write
 * that may have left and was not answered is unknown; nothing here guesses. Ends
 * the effect.
 */
#include "bind/http.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The library's words, as ours begin. */
static const char *words(struct http_xfer *x)
{
	if (isupper((unsigned char)x->fault[0]) &&
	    !isupper((unsigned char)x->fault[1]))
		x->fault[0] = (char)tolower((unsigned char)x->fault[0]);
	return x->fault;
}

static void judge_connect(struct http_xfer *x, int os_errno)
{
	char why[160];

	if (os_errno) {
		snprintf(why, sizeof why, "%s", strerror(os_errno));
		why[0] = (char)tolower((unsigned char)why[0]);
	} else {
		snprintf(why, sizeof why, "%.*s", (int)sizeof why - 1,
			 words(x));
	}
	err_set(&x->err, ERR_CONNECT, err_errno_name(os_errno),
		"cannot connect to '%s': %s", x->hc->where, why);
	x->err.phase = PHASE_CONNECT;
}

static void judge_timeout(struct http_xfer *x)
{
	const char *phase = err_phase_name(x->phase);

	if (x->phase >= PHASE_SEND) {
		err_set(&x->err, ERR_TIMEOUT, "", "no answer to '%s' from '%s' "
			"within %g s (phase %s)", x->method, x->hc->where,
			x->retry.each, phase);
	} else {
		err_set(&x->err, ERR_CONNECT, "ETIMEDOUT", "cannot connect to "
			"'%s': no answer within %g s (phase %s)",
			x->hc->where, x->connect_timeout, phase);
	}
	x->err.phase = x->phase;
}

static void judge_tls(struct http_xfer *x, int files)
{
	if (x->seen && x->seen->verify)
		tls_seen_refused(x->seen, &x->err);
	else if (files)
		err_set(&x->err, ERR_TLS, "FILE", "cannot use the certificate "
			"files for '%s': %s", x->hc->where, words(x));
	else
		err_set(&x->err, ERR_TLS, "", "TLS with '%s' failed: %s",
			x->hc->where, words(x));
	if (strstr(x->err.message, "wrong version number"))
		snprintf(x->err.hint, sizeof x->err.hint,
			 "the port may not speak TLS: http:// instead of "
			 "https://");
	x->err.phase = PHASE_TLS;
}

/* The connection is gone under a request. */
static void judge_lost(struct http_xfer *x, int os_errno)
{
	static const char *const when[PHASE_N] = {
		[PHASE_TLS] = "during the handshake",
		[PHASE_SEND] = "while the request was sent",
		[PHASE_WAIT] = "before the response came",
		[PHASE_READ] = "in the middle of the response"
	};

	err_set(&x->err, ERR_CONNECT, err_errno_name(os_errno), "lost the "
		"connection to '%s' %s: %s", x->hc->where, when[x->phase] ?
		when[x->phase] : "before the request was sent", words(x));
	x->err.phase = x->phase;
}

/* A write without its answer: may it have been applied? */
static void set_outcome(struct http_xfer *x)
{
	struct err *e = &x->err;
	char text[sizeof e->message];

	e->outcome = OUTCOME_FAILED;
	if (x->cls == EFFECT_READ)
		return;
	snprintf(text, sizeof text, "%s", e->message);
	if (!x->sent) {
		snprintf(e->message, sizeof e->message, "%.700s (nothing was "
			 "sent)", text);
		return;
	}
	e->outcome = OUTCOME_UNKNOWN;
	if (e->kind == ERR_CONNECT)
		e->kind = ERR_UNKNOWN;
	snprintf(e->message, sizeof e->message, "%.700s; '%s' may have been "
		 "applied", text, x->method);
}

void http_limit(struct http_xfer *x, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (x->err.kind != ERR_NONE)
		return;
	err_set(&x->err, ERR_LIMIT, "", "response of '%s': ", x->hc->where);
	n = (int)strlen(x->err.message);
	va_start(ap, fmt);
	vsnprintf(x->err.message + n, sizeof x->err.message - (size_t)n, fmt,
		  ap);
	va_end(ap);
	x->err.phase = PHASE_READ;
}

void http_judge_fault(struct http_xfer *x, enum http_fault fault, int os_errno)
{
	struct err *e = &x->err;

	if (e->kind != ERR_NONE)
		fault = HTTP_F_OURS;
	switch (fault) {
	case HTTP_OK:
		break;
	case HTTP_F_DNS:
		err_set(e, ERR_CONNECT, "", "%s", words(x));
		e->phase = PHASE_DNS;
		break;
	case HTTP_F_CONNECT:
		judge_connect(x, os_errno);
		break;
	case HTTP_F_TIMEOUT:
		judge_timeout(x);
		break;
	case HTTP_F_TLS:
	case HTTP_F_TLS_FILE:
		judge_tls(x, fault == HTTP_F_TLS_FILE);
		break;
	case HTTP_F_PROTOCOL:
		err_set(e, ERR_PROTOCOL, "", "'%s' broke the protocol: %s",
			x->hc->where, words(x));
		e->phase = x->phase;
		break;
	case HTTP_F_LIMIT:
		http_limit(x, "body is longer than %lld bytes", x->max_body);
		break;
	case HTTP_F_MEMORY:
		err_set(e, ERR_LIMIT, "ENOMEM", "out of memory for a call to "
			"'%s'", x->hc->where);
		e->phase = x->phase;
		break;
	case HTTP_F_PROXY:
		err_set(e, ERR_CONNECT, "PROXY", "proxy of '%s' failed: %s",
			x->hc->where, words(x));
		e->phase = x->phase;
		break;
	case HTTP_F_OURS:
		if (e->kind == ERR_NONE)
			judge_lost(x, 0);
		break;
	case HTTP_F_LOST:
	case HTTP_F_OTHER:
		judge_lost(x, os_errno);
		break;
	}
	set_outcome(x);
}

/* --- statuses ------------------------------------------------------------------ */
int http_expected(const struct http_xfer *x)
{
	int i;

	if (x->any_status)
		return 1;
	for (i = 0; i < x->n_expect; i++)
		if (x->expect[i] == x->status)
			return 1;
	if (x->n_expect)
		return 0;
	if (x->to)
		return x->status / 100 == 2;
	return x->cls == EFFECT_READ || x->status < 400;
}

const char *http_header(const struct http_xfer *x, const char *name,
			size_t *len)
{
	size_t want = strlen(name);
	const char *p = x->head.data, *end = p + x->head.len, *eol;

	for (; p < end; p = eol + 1) {
		eol = memchr(p, '\n', (size_t)(end - p));
		if (!eol)
			break;
		if ((size_t)(eol - p) <= want || p[want] != ':' ||
		    strncasecmp(p, name, want))
			continue;
		for (p += want + 1; p < eol && (*p == ' ' || *p == '\t'); p++)
			;
		*len = (size_t)(eol - p);
		while (*len && (p[*len - 1] == '\r' || p[*len - 1] == ' '))
			--*len;
		return p;
	}
	return NULL;
}

/* One that is for us: followed, or an error. What may have an effect goes to
 * another place only when the server says that it took none. */
int http_is_redirect(const struct http_xfer *x)
{
	size_t len;

	return x->follow > 0 && !x->any_status &&
		(x->cls == EFFECT_READ || x->status >= 307) &&
		!(x->n_expect && http_expected(x)) &&
		(x->status == 301 || x->status == 302 || x->status == 303 ||
		 x->status == 307 || x->status == 308) &&
		http_header(x, "location", &len);
}

int http_may_try_again(const struct http_xfer *x)
{
	if (x->attempt - x->followed >= x->retry.attempts)
		return 0;
	return (x->cls == EFFECT_READ || x->keyed) && x->kind != HTTP_CHUNKS;
}

int http_is_busy(const struct http_xfer *x)
{
	return (x->status == 429 || x->status == 502 || x->status == 503 ||
		x->status == 504) && !(x->n_expect && http_expected(x));
}

/* A redirect that is not followed. within: 1 its origin, too often; 0 another
 * origin; -1 no URL. */
void http_judge_redirect(struct http_xfer *x, const char *to, int within)
{
	struct err *e = &x->err;
	char code[16];

	snprintf(code, sizeof code, "%d", x->status);
	if (within > 0)
		err_set(e, ERR_LIMIT, code, "'%s' of '%s' was answered by more "
			"than %d redirects, the last to '%.300s'", x->method,
			x->hc->where, x->follow, to);
	else if (within == 0)
		err_set(e, ERR_REFUSED, code, "'%s' of '%s' was redirected to "
			"another origin, '%.300s', and that is not followed",
			x->method, x->hc->where, to);
	else
		err_set(e, ERR_PROTOCOL, code, "'%s' of '%s' was redirected to "
			"'%.300s', which is no URL of HTTP", x->method,
			x->hc->where, to);
	if (within == 0)
		snprintf(e->hint, sizeof e->hint, "give that origin a target of "
			 "its own, or `follow = 0` to get the %d", x->status);
	e->phase = PHASE_READ;
	set_outcome(x);
}

/* A gateway that got no answer doesn't know either. */
static enum outcome outcome_of(const struct http_xfer *x)
{
	if (x->cls == EFFECT_READ)
		return OUTCOME_DONE;
	if (x->status == 502 || x->status == 504)
		return OUTCOME_UNKNOWN;
	return x->status < 400 ? OUTCOME_DONE : OUTCOME_FAILED;
}

/* The body's start in one line. */
static void body_start(const struct http_xfer *x, char *out, size_t size)
{
	size_t i, n = 0;

	for (i = 0; i < x->start_len && n + 2 < size && n < 300; i++) {
		unsigned char c = (unsigned char)x->start[i];

		if (c <= ' ')
			c = ' ';
		if (c == ' ' && (!n || out[n - 1] == ' '))
			continue;
		out[n++] = (char)c;
	}
	while (n && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
}

static void reason(const struct http_xfer *x, char *out, size_t size)
{
	const char *eol = strpbrk(x->head.data, "\r\n");
	const char *p = strchr(x->head.data, ' ');

	out[0] = '\0';
	p = p ? strchr(p + 1, ' ') : NULL;
	if (p && p < eol && eol - p < 64)
		snprintf(out, size, "%.*s", (int)(eol - p), p);
}

void http_judge_status(struct http_xfer *x)
{
	char code[16], why[80], start[320];
	struct err *e = &x->err;

	if (http_expected(x))
		return;
	snprintf(code, sizeof code, "%d", x->status);
	reason(x, why, sizeof why);
	body_start(x, start, sizeof start);
	err_set(e, ERR_SERVER, code, "'%s' of '%s' was answered %d%s%s%s",
		x->method, x->hc->where, x->status, why, *start ? ": " : "",
		start);
	e->phase = PHASE_READ;
	e->outcome = outcome_of(x);
	if (x->cls == EFFECT_READ)
		e->outcome = OUTCOME_FAILED;
	if (e->outcome == OUTCOME_UNKNOWN)
		e->kind = ERR_UNKNOWN;
}

/* --- given up --------------------------------------------------------------------- */
void http_judge_cancel(struct http_xfer *x, struct err *e)
{
	enum err_kind kind = e->kind;
	const char *phase = err_phase_name(x->phase);

	if (kind == ERR_TIMEOUT)
		err_set(&x->err, kind, "", "no answer to '%s' from '%s' within "
			"%g s (phase %s)", x->method, x->hc->where,
			x->timeout, phase);
	else
		err_set(&x->err, kind, "", "gave '%s' of '%s' up (phase %s)",
			x->method, x->hc->where, phase);
	x->err.phase = x->phase;
	set_outcome(x);
	*e = x->err;
}

/* Who answered: a target is known by its origin. */
static void meet(struct http_xfer *x)
{
	struct http_client *hc = x->hc;

	if (hc->met || !x->status)
		return;
	hc->met = 1;
	target_seen(hc->target, hc->origin, "");
}

void http_close_effect(struct http_xfer *x)
{
	struct err *e = &x->err;

	meet(x);
	if (x->file_effect.open)
		effect_end(&x->file_effect, e->kind == ERR_NONE ?
			   OUTCOME_DONE : OUTCOME_FAILED, -1, x->got, e);

	if (e->kind == ERR_NONE) {
		effect_end(&x->effect, outcome_of(x), -1, x->got, NULL);
		return;
	}
	snprintf(e->target, sizeof e->target, "%s", x->hc->target->name);
	snprintf(e->op, sizeof e->op, "%s", x->method);
	effect_end(&x->effect, e->outcome, -1, x->got ? x->got : -1, e);
}
