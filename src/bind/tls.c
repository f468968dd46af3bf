/*
 * tls: the one user of OpenSSL. A failed verification keeps what the peer's
 * certificate said (names, dates, issuer) for the message, since OpenSSL's own
 * text names neither what was wanted nor what was offered.
 */
#include "bind/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "core/buf.h"
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

/* --- what a refused certificate says -------------------------------------- */
static void add_name(struct buf *b, const GENERAL_NAME *gn)
{
	const unsigned char *data;
	char ip[INET6_ADDRSTRLEN];
	int len;

	if (gn->type == GEN_DNS) {
		data = ASN1_STRING_get0_data(gn->d.dNSName);
		len = ASN1_STRING_length(gn->d.dNSName);
		buf_addf(b, "%s%.*s", b->len ? ", " : "", len,
			 (const char *)data);
	} else if (gn->type == GEN_IPADD) {
		data = ASN1_STRING_get0_data(gn->d.iPAddress);
		len = ASN1_STRING_length(gn->d.iPAddress);
		if (inet_ntop(len == 4 ? AF_INET : AF_INET6, data, ip,
			      sizeof ip))
			buf_addf(b, "%s%s", b->len ? ", " : "", ip);
	}
}

static void describe_names(X509 *cert, char *out, size_t size)
{
	GENERAL_NAMES *names;
	struct buf b;
	char cn[128];
	int i;

	buf_init(&b);
	names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (i = 0; i < sk_GENERAL_NAME_num(names); i++)
		add_name(&b, sk_GENERAL_NAME_value(names, i));
	GENERAL_NAMES_free(names);
	if (!b.len && X509_NAME_get_text_by_NID(X509_get_subject_name(cert),
						NID_commonName, cn,
						sizeof cn) > 0)
		buf_addf(&b, "%s", cn);
	snprintf(out, size, "%s", b.len && buf_ok(&b) ? b.data : "no name");
	buf_release(&b);
}

static void describe_time(const ASN1_TIME *time, char *out, size_t size)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(time, &tm) != 1 ||
	    !strftime(out, size, "%Y-%m-%d %H:%M:%S UTC", &tm))
		snprintf(out, size, "%s", "an unreadable date");
}

static void describe_issuer(X509 *cert, char *out, size_t size)
{
	char cn[128];

	if (X509_NAME_get_text_by_NID(X509_get_issuer_name(cert),
				      NID_commonName, cn, sizeof cn) <= 0)
		snprintf(cn, sizeof cn, "%s", "no name");
	snprintf(out, size, "%s", cn);
}

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
	if (t->verify == X509_V_ERR_CERT_HAS_EXPIRED)
		describe_time(X509_get0_notAfter(cert), t->offered,
			      sizeof t->offered);
	else if (t->verify == X509_V_ERR_CERT_NOT_YET_VALID)
		describe_time(X509_get0_notBefore(cert), t->offered,
			      sizeof t->offered);
	else if (t->verify == X509_V_ERR_HOSTNAME_MISMATCH ||
		 t->verify == X509_V_ERR_IP_ADDRESS_MISMATCH)
		describe_names(cert, t->offered, sizeof t->offered);
	else
		describe_issuer(cert, t->offered, sizeof t->offered);
	return 0;
}

static void fail_verify(const struct tls *t, struct err *e)
{
	switch (t->verify) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		err_set(e, ERR_TLS, "HOSTNAME", "certificate of '%s' is not "
			"for '%s': it names %s", t->peer, t->name,
			t->offered);
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
		err_set(e, ERR_TLS, "EXPIRED", "certificate of '%s' for '%s' "
			"expired on %s", t->peer, t->name, t->offered);
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		err_set(e, ERR_TLS, "NOT_YET_VALID", "certificate of '%s' "
			"for '%s' is valid only from %s", t->peer, t->name,
			t->offered);
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		err_set(e, ERR_TLS, "UNTRUSTED", "certificate of '%s' for "
			"'%s' is signed by '%s', which is not trusted (%s)",
			t->peer, t->name, t->offered,
			X509_verify_cert_error_string(t->verify));
		snprintf(e->hint, sizeof e->hint,
			 "name the authority's file with the option 'ca'");
		break;
	default:
		err_set(e, ERR_TLS, "VERIFY", "certificate of '%s' for '%s' "
			"is refused: %s", t->peer, t->name,
			X509_verify_cert_error_string(t->verify));
	}
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
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
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
		fail_verify(t, e);
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

void tls_sha1(const void *data, size_t len, char out[41])
{
	unsigned char md[SHA_DIGEST_LENGTH];
	int i;

	SHA1(data, len, md);
	for (i = 0; i < SHA_DIGEST_LENGTH; i++)
		snprintf(out + 2 * i, 3, "%02x", md[i]);
}
