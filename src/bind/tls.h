/*
 * tls: OpenSSL behind a non-blocking descriptor; tls.c is the only file that
 * includes it. The peer is always verified: chain, dates, and the name (or
 * address) that was asked for. Never prompts for a passphrase.
 */
#ifndef OPSH_BIND_TLS_H
#define OPSH_BIND_TLS_H

#include <stddef.h>

#include "core/err.h"

struct tls_ctx;		/* settings, shared by the connections of a target */
struct tls;		/* one connection */

struct tls_options {	/* NULL: none */
	const char *ca;		/* PEM file; NULL: the system's */
	const char *cert;	/* PEM file, our own certificate */
	const char *key;	/* PEM file; NULL: in `cert` */
};

/* NULL and *e filled (kind tls). Reads the files, blocking: once a target. */
struct tls_ctx *tls_ctx_new(const struct tls_options *o, struct err *e);
void tls_ctx_free(struct tls_ctx *ctx);		/* NULL ok */

/* `name`: the host name or address that the certificate must carry. `peer`: for
 * messages. The fd stays the caller's. */
struct tls *tls_new(struct tls_ctx *ctx, int fd, const char *name,
		    const char *peer, struct err *e);
void tls_free(struct tls *t);			/* NULL ok */

enum tls_result {
	TLS_OK, TLS_WANT_READ, TLS_WANT_WRITE, TLS_EOF, TLS_FAILED
};

enum tls_result tls_handshake(struct tls *t, struct err *e);
/* On TLS_OK *n is the number of bytes, at least 1. */
enum tls_result tls_read(struct tls *t, char *data, size_t size, size_t *n,
			 struct err *e);
/* After TLS_WANT_* the next call must begin with the same bytes. */
enum tls_result tls_write(struct tls *t, const char *data, size_t len,
			  size_t *n, struct err *e);
void tls_bye(struct tls *t);	/* close_notify, if it goes without waiting */

/* SHA-1 in hexadecimal, as Redis names its scripts. */
void tls_sha1(const void *data, size_t len, char out[41]);

#endif
