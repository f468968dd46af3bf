/*
 * http_curl: libcurl's easy handles: a transfer translated into options and
 * callbacks, multipart bodies, the idle handles of a client. The callbacks copy
 * and return; libcurl is never called from inside them. What makes the handles go
 * is in http_multi.c.
 */
#include "bind/http_node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include "core/mem.h"

#define IDLE_MAX 64		/* easy handles that a client keeps */

/* --- callbacks of a transfer --------------------------------------------------------- */
static size_t on_header(char *data, size_t one, size_t len, void *arg)
{
	struct http_node *node = arg;

	(void)one;
	return http_on_head(node->x, data, len) == HTTP_TOOK ? len :
		CURL_WRITEFUNC_ERROR;
}

static size_t on_body(char *data, size_t one, size_t len, void *arg)
{
	struct http_node *node = arg;

	(void)one;
	switch (http_on_body(node->x, data, len)) {
	case HTTP_TOOK:
		return len;
	case HTTP_PAUSE:
		return CURL_WRITEFUNC_PAUSE;
	default:
		return CURL_WRITEFUNC_ERROR;
	}
}

static size_t on_send(char *out, size_t one, size_t size, void *arg)
{
	struct http_node *node = arg;
	int paused = 0;
	long n = http_on_send(node->x, out, one * size, &paused);

	if (paused)
		return CURL_READFUNC_PAUSE;
	return n < 0 ? CURL_READFUNC_ABORT : (size_t)n;
}

static int on_seek(void *arg, curl_off_t at, int origin)
{
	struct http_node *node = arg;
	struct http_xfer *x = node->x;

	if (x->kind != HTTP_FILE || origin != SEEK_SET || at ||
	    lseek(x->body_fd, 0, SEEK_SET) < 0)
		return CURL_SEEKFUNC_FAIL;
	return CURL_SEEKFUNC_OK;
}

/* The connection stands, the request is about to be sent: the one place that
 * knows, and the one that keeps libcurl from sending a write again when a
 * connection that it reused turns out to be dead. */
static int on_ready_to_send(void *arg, char *ip, char *local, int port,
			    int local_port)
{
	struct http_node *node = arg;
	struct http_xfer *x = node->x;
	void *ssl = NULL;
	struct curl_tlssessioninfo *info = NULL;

	(void)ip;
	(void)local;
	(void)port;
	(void)local_port;
	if (x->hc->o.tls) {
		curl_easy_getinfo(node->curl, CURLINFO_TLS_SSL_PTR, &info);
		if (info && info->backend == CURLSSLBACKEND_OPENSSL)
			ssl = info->internals;
		if (ssl) {
			tls_seen_drop(x->seen);
			x->seen = tls_seen_of(ssl);
		}
	}
	if (x->cert_only)
		return CURL_PREREQFUNC_ABORT;
	if (x->sends && x->cls != EFFECT_READ && !x->keyed)
		return CURL_PREREQFUNC_ABORT;
	x->sends++;
	x->sent = x->effect.sent = 1;
	x->phase = x->kind == HTTP_NONE ? PHASE_WAIT : PHASE_SEND;
	return CURL_PREREQFUNC_OK;
}

static CURLcode on_tls(CURL *curl, void *ssl_ctx, void *arg)
{
	struct http_node *node = arg;
	struct http_xfer *x = node->x;
	const struct http_options *o = &x->hc->o;

	(void)curl;
	x->phase = PHASE_TLS;
	tls_seen_drop(x->seen);
	x->seen = tls_seen_new(o->server_name ? o->server_name : o->host,
			       x->hc->where, !o->insecure && !x->cert_only);
	if (!x->seen || tls_seen_watch(x->seen, ssl_ctx) < 0)
		return CURLE_OUT_OF_MEMORY;
	return CURLE_OK;
}

static int on_progress(void *arg, curl_off_t all, curl_off_t down,
		       curl_off_t up_all, curl_off_t up)
{
	struct http_node *node = arg;
	struct http_xfer *x = node->x;

	(void)all;
	if (x->phase == PHASE_SEND && up_all > 0 && up >= up_all)
		x->phase = PHASE_WAIT;
	if (x->max_body < 0 || down <= x->max_body)
		return 0;
	http_limit(x, "body is longer than %lld bytes", x->max_body);
	return 1;
}

static curl_socket_t on_open(void *arg, curlsocktype purpose,
			     struct curl_sockaddr *a)
{
	(void)arg;
	(void)purpose;
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static int on_close(void *arg, curl_socket_t fd)
{
	(void)arg;
	http_sock_gone(fd);
	return close(fd);
}

/* --- options ---------------------------------------------------------------------------- */
#define SET(option, value) \
	(bad |= curl_easy_setopt(curl, option, value) != CURLE_OK)

static struct curl_slist *to_slist(const struct buf *lines,
				   struct curl_slist *list, int *bad)
{
	const char *p = lines->data, *end = p + lines->len;

	for (; p < end; p += strlen(p) + 1) {
		struct curl_slist *more = curl_slist_append(list, p);

		if (!more)
			*bad = 1;
		else
			list = more;
	}
	return list;
}

static struct curl_slist *add_line(struct curl_slist *list, const char *line,
				   int *bad)
{
	struct curl_slist *more = line ? curl_slist_append(list, line) : list;

	if (line && !more)
		*bad = 1;
	return more ? more : list;
}

/* The lines of a request: the given, who asks, and no "Expect: 100-continue" when
 * it has a body. With a server_name the URL is not the one that the server knows:
 * Host says it. */
static struct curl_slist *make_lines(const struct http_client *hc,
				     const struct buf *headers,
				     const char *auth, int with_body, int *bad)
{
	const struct http_options *o = &hc->o;
	struct curl_slist *list = to_slist(headers, NULL, bad), *at;
	struct buf b = BUF_INIT;

	list = add_line(list, auth, bad);
	list = add_line(list, with_body ? "Expect:" : NULL, bad);
	if (!o->server_name || !o->host)
		return list;
	for (at = list; at; at = at->next)
		if (!strncasecmp(at->data, "host:", 5))
			return list;
	buf_addf(&b, strchr(o->host, ':') ? "Host: [%s]" : "Host: %s",
		 o->host);
	if (strcmp(o->port, "443"))
		buf_addf(&b, ":%s", o->port);
	*bad |= !buf_ok(&b);
	list = add_line(list, b.data, bad);
	buf_release(&b);
	return list;
}

static int set_tls(struct http_client *hc, struct http_node *node)
{
	const struct http_options *o = &hc->o;
	CURL *curl = node->curl;
	int bad = 0;

	SET(CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);	/* look at each certificate */
	SET(CURLOPT_SSL_CTX_FUNCTION, on_tls);
	SET(CURLOPT_SSL_CTX_DATA, node);
	SET(CURLOPT_SSL_VERIFYHOST, o->insecure ? 0L : 2L);
	SET(CURLOPT_KEYPASSWD, "");	/* no question on the terminal */
	/* `ca` instead of the system's; and libcurl keeps what it has read of
	 * a file for the next connection, of a folder it doesn't */
	SET(CURLOPT_CAPATH, NULL);
	if (o->ca)
		SET(CURLOPT_CAINFO, o->ca);
	if (o->cert)
		SET(CURLOPT_SSLCERT, o->cert);
	if (o->cert)
		SET(CURLOPT_SSLKEY, o->key ? o->key : o->cert);
	if (hc->connect_to)
		SET(CURLOPT_CONNECT_TO, hc->connect_to);
	return bad;
}

/* What each handle of the client has: callbacks, TLS, proxy. */
static int set_client(struct http_client *hc, struct http_node *node)
{
	const struct http_options *o = &hc->o;
	CURL *curl = node->curl;
	int bad = 0;

	SET(CURLOPT_PRIVATE, node);
	SET(CURLOPT_ERRORBUFFER, node->error);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_USERAGENT, "opsh/" OPSH_VERSION);
	SET(CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, node);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, node);
	SET(CURLOPT_PREREQFUNCTION, on_ready_to_send);
	SET(CURLOPT_PREREQDATA, node);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_XFERINFODATA, node);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
	SET(CURLOPT_CLOSESOCKETFUNCTION, on_close);
	SET(CURLOPT_PROXY, o->proxy ? o->proxy : "");
	SET(CURLOPT_NOPROXY, "");
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (o->proxy_auth)
		SET(CURLOPT_PROXYUSERPWD, o->proxy_auth);
	if (hc->slist)
		SET(CURLOPT_HTTPHEADER, hc->slist);
	if (o->socket)
		SET(CURLOPT_UNIX_SOCKET_PATH, o->socket);
	SET(CURLOPT_HTTP_VERSION, !o->http2 ? CURL_HTTP_VERSION_1_1 : o->tls ?
	    CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
	if (o->http2 && o->tls)
		SET(CURLOPT_PIPEWAIT, 1L);
	if (o->http2 && !o->tls && curl_version_info(CURLVERSION_NOW)->
	    version_num < 0x080000) {
		/* a connection that is reused fails (curl's #10634) */
		SET(CURLOPT_FRESH_CONNECT, 1L);
		SET(CURLOPT_FORBID_REUSE, 1L);
	}
	return bad | (o->tls ? set_tls(hc, node) : 0);
}

static int make_lists(struct http_client *hc)
{
	const struct http_options *o = &hc->o;
	struct buf b = BUF_INIT;
	int bad = 0;

	if (!hc->slist)
		hc->slist = make_lines(hc, &o->headers, o->auth, 0, &bad);
	if (!hc->connect_to && o->server_name && o->host) {
		buf_addf(&b, strchr(o->host, ':') ? "::[%s]:%s" : "::%s:%s",
			 o->host, o->port);
		hc->connect_to = add_line(NULL, b.data, &bad);
		bad |= !buf_ok(&b);
		buf_release(&b);
	}
	return bad;
}

static struct http_node *take(struct http_client *hc)
{
	struct http_node *node = hc->idle;

	if (node) {
		hc->idle = node->next;
		hc->n_idle--;
		return node;
	}
	if (make_lists(hc) || !(node = mem_zalloc(sizeof *node)))
		return NULL;
	node->curl = curl_easy_init();
	if (node->curl && !set_client(hc, node)) {
		node->plain = 1;
		return node;
	}
	if (node->curl)
		curl_easy_cleanup(node->curl);
	mem_free(node);
	return NULL;
}

/* --- multipart ------------------------------------------------------------------------- */
struct reader { int fd; };

static size_t part_read(char *out, size_t one, size_t size, void *arg)
{
	struct reader *r = arg;
	ssize_t n;

	do
		n = read(r->fd, out, one * size);
	while (n < 0 && errno == EINTR);
	return n < 0 ? CURL_READFUNC_ABORT : (size_t)n;
}

static int part_seek(void *arg, curl_off_t at, int origin)
{
	struct reader *r = arg;

	return lseek(r->fd, (off_t)at, origin) < 0 ? CURL_SEEKFUNC_FAIL :
		CURL_SEEKFUNC_OK;
}

static void part_free(void *arg)
{
	struct reader *r = arg;

	close(r->fd);
	mem_free(r);
}

static int add_part(curl_mime *mime, const struct http_part *p)
{
	curl_mimepart *part = curl_mime_addpart(mime);
	struct reader *r;
	int bad;

	if (!part)
		return 1;
	bad = curl_mime_name(part, p->name) != CURLE_OK;
	if (p->path) {
		r = mem_zalloc(sizeof *r);
		if (!r)
			return 1;
		r->fd = open(p->path, O_RDONLY | O_CLOEXEC);
		if (r->fd < 0 || curl_mime_data_cb(part, p->size, part_read,
						   part_seek, part_free, r)) {
			if (r->fd >= 0)
				close(r->fd);
			mem_free(r);
			return 1;
		}
	} else {
		bad |= curl_mime_data(part, p->data.data, p->data.len) !=
			CURLE_OK;
	}
	if (p->filename)
		bad |= curl_mime_filename(part, p->filename) != CURLE_OK;
	if (p->type)
		bad |= curl_mime_type(part, p->type) != CURLE_OK;
	return bad;
}

static int make_mime(struct http_xfer *x, CURL *curl)
{
	int i, bad;

	x->mime = curl_mime_init(curl);
	bad = !x->mime;
	for (i = 0; !bad && i < x->n_parts; i++)
		bad = add_part(x->mime, &x->parts[i]);
	return bad;
}

/* --- beginning an attempt ---------------------------------------------------------------- */
static int set_body(struct http_xfer *x, CURL *curl)
{
	int bad = 0;

	switch (x->kind) {
	case HTTP_NONE:
		if (strcmp(x->method, "POST") && strcmp(x->method, "PUT") &&
		    strcmp(x->method, "PATCH"))
			break;
		SET(CURLOPT_POSTFIELDS, "");
		SET(CURLOPT_POSTFIELDSIZE, 0L);
		break;
	case HTTP_MEM:
		SET(CURLOPT_POSTFIELDS, x->body.data);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->body.len);
		break;
	case HTTP_FILE:
	case HTTP_CHUNKS:
		SET(CURLOPT_UPLOAD, 1L);
		SET(CURLOPT_READFUNCTION, on_send);
		SET(CURLOPT_READDATA, x->easy);
		SET(CURLOPT_SEEKFUNCTION, on_seek);
		SET(CURLOPT_SEEKDATA, x->easy);
		SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)x->body_size);
		break;
	case HTTP_MIME:
		bad = make_mime(x, curl);
		SET(CURLOPT_MIMEPOST, x->mime);
		break;
	}
	if (!strcmp(x->method, "HEAD"))
		SET(CURLOPT_NOBODY, 1L);
	else
		SET(CURLOPT_CUSTOMREQUEST, x->method);
	return bad;
}

/* The URL as libcurl takes it: with the name that the certificate carries. */
static int set_url(struct http_xfer *x, CURL *curl)
{
	const struct http_client *hc = x->hc;
	struct buf b = BUF_INIT;
	int bad = 0;

	if (!hc->connect_to) {
		SET(CURLOPT_URL, x->url.data);
		return bad;
	}
	buf_addf(&b, strchr(hc->o.server_name, ':') ? "https://[%s]:%s%s" :
		 "https://%s:%s%s", hc->o.server_name, hc->o.port,
		 x->url.data + strlen(hc->origin));
	if (buf_ok(&b))
		SET(CURLOPT_URL, b.data);
	else
		bad = 1;
	buf_release(&b);
	return bad;
}

static int set_call(struct http_xfer *x, struct http_node *node)
{
	const struct http_client *hc = x->hc;
	CURL *curl = node->curl;
	double left = x->connect_timeout - x->dns_took;
	int bad = set_url(x, curl);

	SET(CURLOPT_CONNECTTIMEOUT_MS, left > 0.001 ? (long)(left * 1000) :
	    1L);
	if (strcmp(x->method, "GET") || x->kind != HTTP_NONE) {
		node->plain = 0;
		bad |= set_body(x, curl);
	}
	if (x->own_headers || x->auth || x->no_auth || x->kind != HTTP_NONE) {
		node->plain = 0;
		x->lines = make_lines(hc, x->own_headers ? &x->headers :
				      &hc->o.headers, x->auth ? x->auth :
				      x->no_auth ? NULL : hc->o.auth,
				      x->kind != HTTP_NONE, &bad);
		SET(CURLOPT_HTTPHEADER, x->lines);
	}
	if (x->cls != EFFECT_READ) {
		node->plain = 0;
		SET(CURLOPT_MAXAGE_CONN, (long)HTTP_IDLE_WRITE);
	}
	if (x->max_body >= 0 && x->max_body != HTTP_MAX_BODY) {
		node->plain = 0;
		SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)x->max_body);
	}
	if (x->retry.each > 0) {
		node->plain = 0;
		SET(CURLOPT_TIMEOUT_MS, (long)(x->retry.each * 1000) + 1);
	}
	if (x->streamed || x->to) {
		node->plain = 0;
		SET(CURLOPT_BUFFERSIZE, 65536L);
	}
	if (x->cert_only) {
		node->plain = 0;
		SET(CURLOPT_SSL_VERIFYHOST, 0L);
		SET(CURLOPT_FRESH_CONNECT, 1L);
		SET(CURLOPT_FORBID_REUSE, 1L);
	}
	return bad;
}

/* Hands the addresses that we have found to libcurl's cache, so that it does
 * not ask a resolver itself. */
static struct curl_slist *set_addresses(struct http_xfer *x, CURL *curl,
					int *failed)
{
	struct http_client *hc = x->hc;
	struct curl_slist *list;
	struct buf b = BUF_INIT;
	int bad = 0;

	if (!hc->addrs || !hc->addrs_new)
		return NULL;
	buf_addf(&b, "%s:%s:%s", hc->o.proxy ? hc->o.proxy_host : hc->o.host,
		 hc->o.proxy ? hc->o.proxy_port : hc->o.port, hc->addrs);
	list = buf_ok(&b) ? curl_slist_append(NULL, b.data) : NULL;
	buf_release(&b);
	if (!list)
		bad = 1;
	else
		SET(CURLOPT_RESOLVE, list);
	hc->addrs_new = bad;
	*failed |= bad;
	return list;
}

int http_curl_prepare(struct http_xfer *x)
{
	struct http_node *node = take(x->hc);
	int bad = 0;

	if (!node)
		return -1;
	node->x = x;
	node->error[0] = '\0';
	x->easy = node;
	x->addrs = set_addresses(x, node->curl, &bad);
	bad |= set_call(x, node);
	return bad ? -1 : 0;
}

void http_curl_give_back(struct http_xfer *x)
{
	struct http_client *hc = x->hc;
	struct http_node *node = x->easy;

	x->easy = NULL;
	node->x = NULL;
	curl_mime_free(x->mime);
	x->mime = NULL;
	if (x->addrs)
		curl_easy_setopt(node->curl, CURLOPT_RESOLVE, NULL);
	if (hc->closed || hc->n_idle >= IDLE_MAX || !node->plain) {
		curl_easy_cleanup(node->curl);
		mem_free(node);
	} else {
		node->next = hc->idle;
		hc->idle = node;
		hc->n_idle++;
	}
	/* only now does nothing point to them */
	curl_slist_free_all(x->lines);
	curl_slist_free_all(x->addrs);
	x->lines = x->addrs = NULL;
}

void http_curl_forget(struct http_client *hc)
{
	struct http_node *node;

	while ((node = hc->idle)) {
		hc->idle = node->next;
		curl_easy_cleanup(node->curl);
		mem_free(node);
	}
	hc->n_idle = 0;
	curl_slist_free_all(hc->slist);
	curl_slist_free_all(hc->connect_to);
	hc->slist = hc->connect_to = NULL;
}
