/*
 * tls: OpenSSL's connections. A failed verification keeps what the peer's
 * certificate said (names, dates, issuer) for the message, since OpenSSL's own
 * text names neither what was wanted nor what was offered. Also looks on at the
 * connections of a library that brings its own (tls_seen). What certificates
 * say is read in tls_cert.c.
 */
#include "bind/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "bind/tls_impl.h"
#include "core/mem.h"

struct tls_ctx {
	SSL_CTX *ssl;	/* owned */
};

struct tls {
	SSL *ssl;		/* owned */
	char name[256];		/* asked for */
	char peer[288];
	int verify;		/* X509_V_ERR_* of the first refusal */
	char offered[320];	/* what the certificate said */
};

static int ex_index = -1;

/* The first reason in OpenSSL's queue, its first letter small. */
static void reason(char *out, size_t size)
{
	unsigned long code = ERR_get_error();
	const char *text = code ? ERR_reason_error_string(code) : NULL;

	snprintf(out, size, "%s", text ? text : "no reason given");
	ERR_clear_error();
}

/* --- verifying ------------------------------------------------------------ */
static int on_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store,
				SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *t = ssl ? SSL_get_ex_data(ssl, ex_index) : NULL;
	X509 *cert = X509_STORE_CTX_get_current_cert(store);

	if (ok || !t || t->verify)
		return ok;
	t->verify = X509_STORE_CTX_get_error(store);
	if (!cert)
		return 0;
	tls_cert_offered(t->verify, cert, t->offered, sizeof t->offered);
	return 0;
}

/* --- settings ---------------------------------------------------------------- */
/* A key with a passphrase is an error, not a question on the terminal. */
static int no_passphrase(char *out, int size, int rw, void *arg)
{
	(void)out;
	(void)size;
	(void)rw;
	(void)arg;
	return 0;
}

static int fail_file(struct err *e, const char *what, const char *path)
{
	char why[160];

	reason(why, sizeof why);
	err_set(e, ERR_TLS, "FILE", "cannot use '%s' as %s: %s", path, what,
		why);
	return -1;
}

static int load_files(SSL_CTX *ssl, const struct tls_options *o,
		      struct err *e)
{
	const char *key = o->key ? o->key : o->cert;

	if (o->ca && SSL_CTX_load_verify_locations(ssl, o->ca, NULL) != 1)
		return fail_file(e, "the authorities (ca)", o->ca);
	if (!o->ca)
		SSL_CTX_set_default_verify_paths(ssl);
	if (o->key && !o->cert) {
		err_set(e, ERR_CONFIG, "", "option 'key' needs 'cert' too");
		return -1;
	}
	if (!o->cert)
		return 0;
	if (SSL_CTX_use_certificate_chain_file(ssl, o->cert) != 1)
		return fail_file(e, "the certificate (cert)", o->cert);
	if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1)
		return fail_file(e, "the private key (key)", key);
	return 0;
}

struct tls_ctx *tls_ctx_new(const struct tls_options *o, struct err *e)
{
	struct tls_ctx *ctx = mem_zalloc(sizeof *ctx);
	char why[160];

	ERR_clear_error();
	if (ex_index < 0)
		ex_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	if (ctx)
		ctx->ssl = SSL_CTX_new(TLS_client_method());
	if (!ctx || !ctx->ssl || ex_index < 0) {
		reason(why, sizeof why);
		err_set(e, ERR_TLS, "", "cannot set up TLS: %s", why);
		goto fail;
	}
	SSL_CTX_set_min_proto_version(ctx->ssl, TLS1_2_VERSION);
	SSL_CTX_set_mode(ctx->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
			 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			 SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(ctx->ssl, SSL_VERIFY_PEER, on_verify);
	SSL_CTX_set_default_passwd_cb(ctx->ssl, no_passphrase);
	if (load_files(ctx->ssl, o, e) < 0)
		goto fail;
	return ctx;
fail:
	tls_ctx_free(ctx);
	return NULL;
}

void tls_ctx_free(struct tls_ctx *ctx)
{
	if (!ctx)
		return;
	SSL_CTX_free(ctx->ssl);
	mem_free(ctx);
}

/* --- one connection ------------------------------------------------------------ */
/* Sets the name or address to verify, and SNI for names. */
static int set_name(SSL *ssl, const char *name)
{
	unsigned char raw[16];

	if (inet_pton(AF_INET, name, raw) == 1 ||
	    inet_pton(AF_INET6, name, raw) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl),
						     name) == 1;
	SSL_set_hostflags(ssl, tls_cert_flags());
	return SSL_set1_host(ssl, name) == 1 &&
	       SSL_set_tlsext_host_name(ssl, name) == 1;
}

struct tls *tls_new(struct tls_ctx *ctx, int fd, const char *name,
		    const char *peer, struct err *e)
{
	struct tls *t = mem_zalloc(sizeof *t);
	char why[160];

	ERR_clear_error();
	if (t)
		t->ssl = SSL_new(ctx->ssl);
	if (!t || !t->ssl || SSL_set_fd(t->ssl, fd) != 1 ||
	    SSL_set_ex_data(t->ssl, ex_index, t) != 1 ||
	    !set_name(t->ssl, name)) {
		reason(why, sizeof why);
		err_set(e, ERR_TLS, "", "cannot begin TLS with '%s': %s", peer,
			why);
		tls_free(t);
		return NULL;
	}
	snprintf(t->name, sizeof t->name, "%s", name);
	snprintf(t->peer, sizeof t->peer, "%s", peer);
	SSL_set_connect_state(t->ssl);
	return t;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	mem_free(t);
}

/* Turns a result of an SSL_* call into ours. */
static enum tls_result judge(struct tls *t, int ret, int handshake,
			     struct err *e)
{
	int saved = errno;
	int why = SSL_get_error(t->ssl, ret);
	char text[160];

	switch (why) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_EOF;
	default:
		break;
	}
	if (handshake && t->verify) {
		ERR_clear_error();
		tls_cert_refused(t->verify, t->name, t->peer, t->offered, e);
		return TLS_FAILED;
	}
	if (!ERR_peek_error() || (why == SSL_ERROR_SYSCALL && saved == 0) ||
	    ERR_GET_REASON(ERR_peek_error()) ==
					SSL_R_UNEXPECTED_EOF_WHILE_READING) {
		ERR_clear_error();
		if (saved == 0 || why != SSL_ERROR_SYSCALL)
			return TLS_EOF;
		snprintf(text, sizeof text, "%s", strerror(saved));
	} else {
		reason(text, sizeof text);
	}
	err_set(e, ERR_TLS, "", "TLS with '%s' failed: %s", t->peer, text);
	if (handshake && strstr(text, "wrong version number"))
		snprintf(e->hint, sizeof e->hint,
			 "the port may not speak TLS: redis:// instead of "
			 "rediss://");
	return TLS_FAILED;
}

enum tls_result tls_handshake(struct tls *t, struct err *e)
{
	int ret;

	ERR_clear_error();
	errno = 0;
	ret = SSL_connect(t->ssl);
	return ret == 1 ? TLS_OK : judge(t, ret, 1, e);
}

enum tls_result tls_read(struct tls *t, char *data, size_t size, size_t *n,
			 struct err *e)
{
	int ret;

	ERR_clear_error();
	errno = 0;
	ret = SSL_read(t->ssl, data, size > INT_MAX ? INT_MAX : (int)size);
	if (ret <= 0)
		return judge(t, ret, 0, e);
	*n = (size_t)ret;
	return TLS_OK;
}

enum tls_result tls_write(struct tls *t, const char *data, size_t len,
			  size_t *n, struct err *e)
{
	int ret;

	ERR_clear_error();
	errno = 0;
	ret = SSL_write(t->ssl, data, len > INT_MAX ? INT_MAX : (int)len);
	if (ret <= 0)
		return judge(t, ret, 0, e);
	*n = (size_t)ret;
	return TLS_OK;
}

void tls_bye(struct tls *t)
{
	ERR_clear_error();
	SSL_shutdown(t->ssl);
	ERR_clear_error();
}

/* --- connections of a library's own ------------------------------------------- */
static int seen_index = -1;

static void seen_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx,
		      long argl, void *argp)
{
	(void)parent;
	(void)ad;
	(void)idx;
	(void)argl;
	(void)argp;
	tls_seen_drop(ptr);
}

struct tls_seen *tls_seen_new(const char *name, const char *peer, int strict)
{
	struct tls_seen *s = mem_zalloc(sizeof *s);

	if (!s)
		return NULL;
	s->refs = 1;
	s->strict = strict;
	snprintf(s->name, sizeof s->name, "%s", name);
	snprintf(s->peer, sizeof s->peer, "%s", peer);
	return s;
}

void tls_seen_drop(struct tls_seen *s)
{
	if (s && --s->refs == 0)
		mem_free(s);
}

struct tls_seen *tls_seen_keep(struct tls_seen *s)
{
	if (s)
		s->refs++;
	return s;
}

static int on_seen_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store,
				SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_seen *s = ssl ? SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl),
						       seen_index) : NULL;

	if (!s)
		return ok;
	if (!ok && !s->verify) {
		s->verify = X509_STORE_CTX_get_error(store);
		tls_cert_offered(s->verify,
				 X509_STORE_CTX_get_current_cert(store),
				 s->offered, sizeof s->offered);
	}
	if (!ok && !s->strict)		/* noted; the library need not know */
		X509_STORE_CTX_set_error(store, X509_V_OK);
	return ok || !s->strict;
}

int tls_seen_watch(struct tls_seen *s, void *ssl_ctx)
{
	SSL_CTX *ctx = ssl_ctx;
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
	unsigned char raw[16];

	if (seen_index < 0)
		seen_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL,
						      seen_free);
	if (seen_index < 0 || SSL_CTX_set_ex_data(ctx, seen_index, s) != 1)
		return -1;
	s->refs++;	/* the settings' own, dropped with them */
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_seen_verify);
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	if (inet_pton(AF_INET, s->name, raw) == 1 ||
	    inet_pton(AF_INET6, s->name, raw) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, s->name) == 1 ?
			0 : -1;
	X509_VERIFY_PARAM_set_hostflags(param,
					tls_cert_flags());
	return X509_VERIFY_PARAM_set1_host(param, s->name, 0) == 1 ? 0 : -1;
}

struct tls_seen *tls_seen_of(void *ssl)
{
	struct tls_seen *s;
	STACK_OF(X509) *chain;
	int i;

	if (!ssl || seen_index < 0)
		return NULL;
	s = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), seen_index);
	if (!s || s->n)
		return tls_seen_keep(s);
	chain = SSL_get0_verified_chain(ssl);
	if (!chain)
		chain = SSL_get_peer_cert_chain(ssl);
	snprintf(s->protocol, sizeof s->protocol, "%s", SSL_get_version(ssl));
	snprintf(s->cipher, sizeof s->cipher, "%s", SSL_get_cipher_name(ssl));
	for (i = 0; i < sk_X509_num(chain) && i < TLS_CHAIN; i++)
		tls_cert_read(sk_X509_value(chain, i), &s->certs[s->n++]);
	if (s->n)
		tls_cert_names(sk_X509_value(chain, 0), s->names,
			       sizeof s->names);
	return tls_seen_keep(s);
}

void tls_seen_refused(const struct tls_seen *s, struct err *e)
{
	tls_cert_refused(s->verify, s->name, s->peer, s->offered, e);
}
