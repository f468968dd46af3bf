/*
 * http_node: what http_node.c, http_curl.c and http_multi.c share: an easy handle
 * of libcurl's with what its callbacks are given, and setting its options.
 */
#ifndef OPSH_BIND_HTTP_NODE_H
#define OPSH_BIND_HTTP_NODE_H

#include <curl/curl.h>

#include "bind/http.h"

struct http_node {
	CURL *curl;		/* owned */
	struct http_node *next;
	struct http_xfer *x;	/* borrowed: whom it runs for */
	int plain;		/* has the client's options, and no others */
	char error[CURL_ERROR_SIZE];
};

/* Of `curl`; `bad` is set when it fails. */
#define SET(option, value) \
	(bad |= curl_easy_setopt(curl, option, value) != CURLE_OK)

/* One with the client's options, idle or new; NULL: no memory. */
struct http_node *http_node_take(struct http_client *hc);
/* It runs no more: to be used again or freed. */
void http_node_give(struct http_client *hc, struct http_node *node);
/* The header lines of a request, to be freed. */
struct curl_slist *http_node_lines(const struct http_client *hc,
				   const struct buf *headers, const char *auth,
				   int with_body, int *bad);

/* --- http_curl.c ---------------------------------------------------------------- */
/* Sets x->easy up for an attempt: 0; -1: no memory, x->easy may be set. */
int http_curl_prepare(struct http_xfer *x);
/* Gives it back, and frees what the attempt had. */
void http_curl_give_back(struct http_xfer *x);

#endif
