/*
 * http_xfer: the life of a transfer: its memory, addresses, attempts, redirects.
 * Knows neither libcurl nor Lua; what an end means is judged in http_end.c, its
 * bytes are http_flow.c's.
 */
#include "bind/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/mem.h"

static void ended(struct http_xfer *x, enum http_fault fault, int os_errno);

/* --- memory of calls before ------------------------------------------------------ */
/* Calls take and give in the opposite order: a buffer finds its size again. */
static void spare_take(struct http_client *hc, struct buf *b)
{
	buf_init(b);
	if (hc->n_spare)
		buf_swap(b, &hc->spare[--hc->n_spare]);
}

static void spare_give(struct http_client *hc, struct buf *b)
{
	if (!hc || hc->closed || hc->n_spare == HTTP_SPARES || !b->cap ||
	    b->cap > HTTP_SPARE_MAX) {
		buf_release(b);
		return;
	}
	buf_clear(b);
	buf_init(&hc->spare[hc->n_spare]);
	buf_swap(b, &hc->spare[hc->n_spare++]);
}

/* --- life -------------------------------------------------------------------- */
void http_xfer_init(struct http_xfer *x, struct http_client *hc)
{
	x->hc = hc;
	x->body_fd = x->to_fd = -1;
	x->timeout = hc->o.timeout;
	x->connect_timeout = hc->o.connect_timeout;
	x->max_body = hc->o.max_body;
	x->retry.attempts = 1;
	x->began = loop_now();
	x->ended = ended;
	buf_init(&x->headers);
	buf_init(&x->body);
	spare_take(hc, &x->url);
	spare_take(hc, &x->text);
	spare_take(hc, &x->head);
	spare_take(hc, &x->in);
}

static void forget_wait(struct http_xfer *x)
{
	struct http_xfer **at = &x->hc->waiting;

	while (*at && *at != x)
		at = &(*at)->next;
	if (*at)
		*at = x->next;
}

void http_stop(struct http_xfer *x)
{
	if (x->hc)
		forget_wait(x);
	loop_timer_free(x->later);
	x->later = NULL;
	http_curl_stop(x);
	http_file_drop(x);
}

static void wipe(struct buf *b)
{
	if (b->cap)
		mem_wipe(b->data, b->cap);
	buf_release(b);
}

static void free_part(struct http_part *p)
{
	mem_free(p->name);
	mem_free(p->filename);
	mem_free(p->type);
	mem_free(p->path);
	wipe(&p->data);
}

void http_xfer_release(struct http_xfer *x)
{
	int i;

	http_stop(x);
	effect_abandon(&x->effect);
	effect_abandon(&x->file_effect);
	spare_give(x->hc, &x->in);
	spare_give(x->hc, &x->head);
	spare_give(x->hc, &x->text);
	spare_give(x->hc, &x->url);
	wipe(&x->headers);
	buf_release(&x->body);
	if (x->auth)
		mem_wipe(x->auth, strlen(x->auth));
	mem_free(x->auth);
	mem_free(x->body_path);
	if (x->body_fd >= 0)
		close(x->body_fd);
	x->body_fd = -1;
	for (i = 0; i < x->n_parts; i++)
		free_part(&x->parts[i]);
	mem_free(x->parts);
	x->parts = NULL;
	x->n_parts = 0;
	mem_free(x->to);
	tls_seen_drop(x->seen);
	x->seen = NULL;
	x->auth = x->body_path = x->to = NULL;
}

/* --- addresses ------------------------------------------------------------------ */
static void begin(struct http_xfer *x);

static void on_addresses(void *arg, const struct loop_addr *addrs, int n,
			 const struct err *e)
{
	struct http_client *hc = arg;
	struct http_xfer *x, *list = hc->waiting;
	char text[INET6_ADDRSTRLEN];
	struct buf b = BUF_INIT;
	int i;

	hc->resolve = NULL;
	hc->waiting = NULL;
	for (i = 0; i < n; i++) {
		if (getnameinfo((const struct sockaddr *)&addrs[i].addr,
				addrs[i].len, text, sizeof text, NULL, 0,
				NI_NUMERICHOST))
			continue;
		buf_addf(&b, strchr(text, ':') ? "%s[%s]" : "%s%s",
			 b.len ? "," : "", text);
	}
	mem_free(hc->addrs);
	hc->addrs = b.len && buf_ok(&b) ? mem_strdup(b.data) : NULL;
	hc->addrs_new = 1;
	hc->addrs_at = loop_now();
	buf_release(&b);
	while ((x = list)) {
		list = x->next;
		loop_timer_free(x->later);
		x->later = NULL;
		x->dns_took += loop_now() - x->dns_began;
		if (hc->addrs) {
			begin(x);
			continue;
		}
		snprintf(x->fault, sizeof x->fault, "%.*s",
			 (int)sizeof x->fault - 1, n ? "out of memory" :
			 e->message);
		ended(x, n || e->kind == ERR_LIMIT ? HTTP_F_MEMORY :
			   HTTP_F_DNS, 0);
	}
}

void http_dns_forget(struct http_client *hc)
{
	if (hc->resolve)
		loop_resolve_abandon(hc->resolve);
	hc->resolve = NULL;
	mem_free(hc->addrs);
	hc->addrs = NULL;
}

/* The host to connect to, when a resolver has to be asked for it. */
static const char *unresolved(const struct http_client *hc)
{
	const char *host = hc->o.proxy ? hc->o.proxy_host : hc->o.host;
	unsigned char raw[16];

	if (hc->o.socket || !strcasecmp(host, "localhost") ||
	    inet_pton(AF_INET, host, raw) == 1 ||
	    inet_pton(AF_INET6, host, raw) == 1)
		return NULL;
	return host;
}

static void no_memory(struct http_xfer *x)
{
	snprintf(x->fault, sizeof x->fault, "out of memory");
	ended(x, HTTP_F_MEMORY, 0);
}

static void begin(struct http_xfer *x)
{
	if (http_curl_start(x) < 0)
		no_memory(x);
}

/* No address within the time for connecting. */
static void on_dns_late(void *arg)
{
	struct http_xfer *x = arg;

	forget_wait(x);
	loop_timer_free(x->later);
	x->later = NULL;
	x->dns_took += loop_now() - x->dns_began;
	ended(x, HTTP_F_TIMEOUT, 0);
}

void http_go(struct http_xfer *x)
{
	struct http_client *hc = x->hc;
	const char *host = unresolved(hc);

	x->attempt++;
	buf_clear(&x->head);
	buf_clear(&x->in);
	x->status = x->head_lines = x->head_done = x->discard = 0;
	x->head_bytes = x->start_len = 0;
	x->got = 0;
	if (x->kind == HTTP_FILE)
		lseek(x->body_fd, 0, SEEK_SET);
	if (!host || (hc->addrs &&
		      loop_now() - hc->addrs_at < HTTP_DNS_FRESH)) {
		begin(x);
		return;
	}
	x->phase = PHASE_DNS;
	x->dns_began = loop_now();
	if (!hc->resolve)
		hc->resolve = loop_resolve_new(host, hc->o.proxy ?
			hc->o.proxy_port : hc->o.port, on_addresses, hc);
	if (hc->resolve)
		x->later = loop_timer_new(x->connect_timeout, 0, on_dns_late,
					  x);
	if (!x->later) {
		no_memory(x);
		return;
	}
	x->next = hc->waiting;
	hc->waiting = x;
}

/* --- the end of an attempt ------------------------------------------------------------ */
static void finish(struct http_xfer *x)
{
	x->over = 1;
	x->done(x);
}

static void on_later(void *arg)
{
	struct http_xfer *x = arg;

	loop_timer_free(x->later);
	x->later = NULL;
	http_go(x);
}

/* Plans the next attempt: 1, or 0 when there is no time or sense in it. */
static int try_again(struct http_xfer *x)
{
	double wait = x->retry.delay;
	int i;

	if (!http_may_try_again(x))
		return 0;
	for (i = 1; i < x->attempt - x->followed; i++)
		wait *= x->retry.factor;
	if (wait > x->retry.max_delay)
		wait = x->retry.max_delay;
	if (x->retry_after > wait)
		wait = x->retry_after;
	if (loop_now() + wait >= x->until)
		return 0;
	http_file_drop(x);
	x->later = loop_timer_new(wait, 0, on_later, x);
	x->phase = PHASE_WAIT;
	return x->later != NULL;
}

/* Follows a redirect within the origin: 1; 0 when there is none, or x->err says
 * why it is not followed. */
static int redirect(struct http_xfer *x)
{
	struct buf url = BUF_INIT;
	const char *to;
	size_t len;
	int within;

	if (!http_is_redirect(x))
		return 0;
	to = http_header(x, "location", &len);
	buf_add(&url, to, len);
	within = buf_ok(&url) ? http_curl_follow(x, url.data) : 0;
	if (!buf_ok(&url) || !buf_ok(&x->url))
		http_judge_fault(x, HTTP_F_MEMORY, 0);
	else if (within != 1 || x->followed >= x->follow)
		http_judge_redirect(x, url.data, within);
	buf_release(&url);
	if (x->err.kind != ERR_NONE)
		return 0;
	x->followed++;
	http_go(x);
	return 1;
}

static void ended(struct http_xfer *x, enum http_fault fault, int os_errno)
{
	enum err_kind mine = x->err.kind;

	if (x->cert_only && fault == HTTP_F_OURS && x->seen && x->seen->n) {
		finish(x);
		return;
	}
	if (fault != HTTP_OK) {
		if (fault == HTTP_F_CONNECT || fault == HTTP_F_TIMEOUT)
			x->hc->addrs_at = -HTTP_DNS_FRESH;
		http_judge_fault(x, fault, os_errno);
		if (mine == ERR_NONE && fault != HTTP_F_PROTOCOL &&
		    fault != HTTP_F_MEMORY && fault != HTTP_F_LIMIT &&
		    fault != HTTP_F_TLS && fault != HTTP_F_TLS_FILE &&
		    try_again(x)) {
			memset(&x->err, 0, sizeof x->err);
			return;
		}
		finish(x);
		return;
	}
	if (redirect(x))
		return;
	if (http_is_busy(x) && try_again(x))
		return;
	if (x->err.kind == ERR_NONE)
		http_judge_status(x);
	if (x->err.kind == ERR_NONE && x->to) {
		http_file_finish(x);
		return;
	}
	finish(x);
}
