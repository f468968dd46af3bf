/*
 * http_node: what http_curl.c and http_multi.c share: an easy handle with what its
 * callbacks are given.
 */
#ifndef OPSH_BIND_HTTP_NODE_H
#define OPSH_BIND_HTTP_NODE_H

#include "bind/http.h"

#define HTTP_NODE_ERROR 256	/* libcurl's CURL_ERROR_SIZE */

struct http_node {
	void *curl;		/* owned: libcurl's handle */
	struct http_node *next;
	struct http_xfer *x;	/* borrowed: whom it runs for */
	int plain;		/* has the client's options, and no others */
	char error[HTTP_NODE_ERROR];
};

/* Sets x->easy up for an attempt: 0; -1: no memory, x->easy may be set. */
int http_curl_prepare(struct http_xfer *x);
/* Takes it back, to be used again or freed; it runs no more. */
void http_curl_give_back(struct http_xfer *x);

#endif
