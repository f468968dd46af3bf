/*
 * tls_impl: what tls.c and tls_cert.c share and nobody else sees.
 */
#ifndef OPSH_BIND_TLS_IMPL_H
#define OPSH_BIND_TLS_IMPL_H

#include "bind/tls.h"

struct x509_st;		/* OpenSSL's X509 */

unsigned tls_cert_flags(void);	/* how names are compared */
/* What of a refused certificate belongs into the message; NULL: nothing. */
void tls_cert_offered(int verify, struct x509_st *cert, char *out,
		      size_t size);
/* The message: who was asked for, what was offered. */
void tls_cert_refused(int verify, const char *name, const char *peer,
		      const char *offered, struct err *e);
/* Names and addresses it is for, ", " between them. */
void tls_cert_names(struct x509_st *cert, char *out, size_t size);
void tls_cert_read(struct x509_st *cert, struct tls_cert *out);

#endif
