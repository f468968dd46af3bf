/*
 * http_curl: one attempt of a transfer, translated into options of an easy handle:
 * URL, header lines, body, multipart, limits. Owns nothing beyond the attempt. What
 * all calls of a client share is http_node.c's; what makes handles go, http_multi.c's.
 */
#include "bind/http_node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"

/* --- the request's bytes -------------------------------------------------------------- */
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
		x->lines = http_node_lines(hc, x->own_headers ? &x->headers :
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
	struct http_node *node = http_node_take(x->hc);
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
	struct http_node *node = x->easy;

	x->easy = NULL;
	curl_mime_free(x->mime);
	x->mime = NULL;
	if (x->addrs)
		curl_easy_setopt(node->curl, CURLOPT_RESOLVE, NULL);
	http_node_give(x->hc, node);
	/* only now does nothing point to them */
	curl_slist_free_all(x->lines);
	curl_slist_free_all(x->addrs);
	x->lines = x->addrs = NULL;
}
