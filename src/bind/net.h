/*
 * net: one byte stream to a server: TCP or unix socket, with TLS or without,
 * never blocking. Resolves in the pool, tries each address, bounds the whole
 * opening by one deadline. Reads into its owner's buffer; the owner's
 * callbacks run on the loop, never inside a call of the owner's.
 */
#ifndef OPSH_BIND_NET_H
#define OPSH_BIND_NET_H

#include <stddef.h>

#include "core/buf.h"
#include "core/err.h"

struct net;
struct tls_ctx;

struct net_options {
	const char *host;	/* TCP; name or address */
	const char *port;
	const char *path;	/* unix socket, instead */
	struct tls_ctx *tls;	/* NULL: plain; borrowed, outlives the net */
	const char *server_name;	/* that the certificate must carry */
	double timeout;		/* seconds to open, DNS and TLS included */
};

struct net_events {
	void (*opened)(void *arg);
	void (*readable)(void *arg);	/* bytes were added to `in` */
	void (*writable)(void *arg);	/* after a short net_write */
	/* Once: failed or closed by the peer; phase and kind say where. The
	 * owner still has to net_close. */
	void (*closed)(void *arg, const struct err *e);
};

/* NULL: out of memory. `in` is the owner's, and must outlive the net. */
struct net *net_open(const struct net_options *o, const struct net_events *ev,
		     void *arg, struct buf *in);
void net_close(struct net *n);		/* NULL ok; also inside a callback */

/* Takes what goes without waiting: the number of bytes (0 when none, or when
 * the stream has failed: `closed` follows). */
size_t net_write(struct net *n, const char *data, size_t len);
/* Bytes after the last taken one that TLS has sealed already: they may go out
 * although they aren't counted as taken. */
size_t net_sealed(const struct net *n);
/* Is there something to read (the peer's end too) that nobody has seen yet? */
int net_waiting(const struct net *n);
void net_pause(struct net *n, int paused);	/* stops or starts reading */
enum err_phase net_phase(const struct net *n);	/* of the opening; or READ */
const char *net_peer(const struct net *n);	/* "host:port" or the path */
/* "host:port", "[::1]:port" */
void net_name(char *out, size_t size, const char *host, const char *port);

#endif
