/*
 * http_node: libcurl's easy handles, as a client has them: its options (TLS, proxy,
 * header lines), the callbacks of all calls, the idle ones that are used again. The
 * callbacks copy and return; libcurl is never called from inside them. What one
 * call adds is http_curl.c's.
 */
#include "bind/http_node.h"

#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bind/http_sock.h"
#include "core/mem.h"

#define IDLE_MAX 64		/* easy handles that a client keeps */

/* --- callbacks ------------------------------------------------------------------------ */
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
struct curl_slist *http_node_lines(const struct http_client *hc,
				   const struct buf *headers, const char *auth,
				   int with_body, int *bad)
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

/* --- those of a client -------------------------------------------------------------------- */
static int make_lists(struct http_client *hc)
{
	const struct http_options *o = &hc->o;
	struct buf b = BUF_INIT;
	int bad = 0;

	if (!hc->slist)
		hc->slist = http_node_lines(hc, &o->headers, o->auth, 0,
					    &bad);
	if (!hc->connect_to && o->server_name && o->host) {
		buf_addf(&b, strchr(o->host, ':') ? "::[%s]:%s" : "::%s:%s",
			 o->host, o->port);
		hc->connect_to = add_line(NULL, b.data, &bad);
		bad |= !buf_ok(&b);
		buf_release(&b);
	}
	return bad;
}

struct http_node *http_node_take(struct http_client *hc)
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

void http_node_give(struct http_client *hc, struct http_node *node)
{
	node->x = NULL;
	if (hc->closed || hc->n_idle >= IDLE_MAX || !node->plain) {
		curl_easy_cleanup(node->curl);
		mem_free(node);
	} else {
		node->next = hc->idle;
		hc->idle = node;
		hc->n_idle++;
	}
}

void http_nodes_forget(struct http_client *hc)
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
