/*
 * http_node: what http_curl.c, http_multi.c and http_sock.c share: an easy handle
 * with what its callbacks are given, and the sockets.
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

/* --- http_sock.c: sockets on the loop, by descriptor ---------------------------- */
int http_sock_want(int fd, int events);	/* 0, -1: no memory */
void http_sock_leave(int fd);		/* nobody waits for it any more */
/* It is a connection that can serve more calls: its watch may stay until
 * http_sock_gone, which has to come before it is closed. */
void http_sock_keep(int fd);
void http_sock_gone(int fd);
void http_sock_release(void);
/* http_multi.c: it is ready. */
void http_curl_ready(int fd, int events, int status);

#endif
