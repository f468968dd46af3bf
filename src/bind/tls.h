/*
 * tls: OpenSSL behind a non-blocking descriptor; tls.c (and, for certificates,
 * tls_cert.c) include it. The peer is always verified: chain, dates, and the
 * name (or address) that was asked for. Never prompts for a passphrase.
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

/*
 * What was seen of a connection that a library made with OpenSSL by itself: the
 * library hands its SSL_CTX over before the handshake. Counted references; the
 * SSL_CTX holds one.
 */
#define TLS_CHAIN 8
struct tls_cert {
	char subject[256], issuer[256];
	long long not_before, not_after;	/* seconds since 1970 */
	char serial[72], sha256[72];		/* hexadecimal */
};
struct tls_seen {
	int refs;
	int strict;		/* a refused certificate ends the handshake */
	char name[256];		/* asked for */
	char peer[288];
	int verify;		/* X509_V_ERR_* of the first refusal, 0 none */
	char offered[320];
	char protocol[16], cipher[64];
	int n;			/* of the chain; 0: not read yet */
	struct tls_cert certs[TLS_CHAIN];	/* the server's own first */
	char names[2048];	/* of the first, ", " between them */
};
struct tls_seen *tls_seen_new(const char *name, const char *peer, int strict);
struct tls_seen *tls_seen_keep(struct tls_seen *s);
void tls_seen_drop(struct tls_seen *s);		/* NULL ok */
int tls_seen_watch(struct tls_seen *s, void *ssl_ctx);	/* 0 or -1 */
/* After the handshake: what was seen, chain read, for the caller to drop. */
struct tls_seen *tls_seen_of(void *ssl);
void tls_seen_refused(const struct tls_seen *s, struct err *e);

#endif
