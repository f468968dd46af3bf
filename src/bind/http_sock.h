/*
 * http_sock: libcurl's sockets on the loop's watches. For http_multi.c, which waits
 * for them, and http_node.c, whose callback closes them.
 */
#ifndef OPSH_BIND_HTTP_SOCK_H
#define OPSH_BIND_HTTP_SOCK_H

/* `ready` is told each time that it is; 0, -1: no memory */
int http_sock_want(int fd, int events,
		   void (*ready)(int fd, int events, int status));
void http_sock_leave(int fd);	/* nobody waits for it any more */
/* It is a connection that can serve more calls: its watch may stay until
 * http_sock_gone, which has to come before it is closed. */
void http_sock_keep(int fd);
void http_sock_gone(int fd);
void http_sock_release(void);

#endif
