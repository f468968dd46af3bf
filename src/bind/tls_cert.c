/*
 * tls_cert: what a certificate says, read with OpenSSL's X.509 functions: names,
 * dates, issuer, for messages and results. Knows no connection.
 */
#include "bind/tls_impl.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <time.h>

#include <openssl/x509v3.h>

#include "core/buf.h"

unsigned tls_cert_flags(void)
{
	return X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
}

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

void tls_cert_names(struct x509_st *cert, char *out, size_t size)
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

void tls_cert_offered(int verify, struct x509_st *cert, char *out, size_t size)
{
	if (!cert)
		return;
	if (verify == X509_V_ERR_CERT_HAS_EXPIRED)
		describe_time(X509_get0_notAfter(cert), out, size);
	else if (verify == X509_V_ERR_CERT_NOT_YET_VALID)
		describe_time(X509_get0_notBefore(cert), out, size);
	else if (verify == X509_V_ERR_HOSTNAME_MISMATCH ||
		 verify == X509_V_ERR_IP_ADDRESS_MISMATCH)
		tls_cert_names(cert, out, size);
	else
		describe_issuer(cert, out, size);
}

void tls_cert_refused(int verify, const char *name, const char *peer,
		      const char *offered, struct err *e)
{
	switch (verify) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		err_set(e, ERR_TLS, "HOSTNAME", "certificate of '%s' is not "
			"for '%s': it names %s", peer, name,
			offered);
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
		err_set(e, ERR_TLS, "EXPIRED", "certificate of '%s' for '%s' "
			"expired on %s", peer, name, offered);
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		err_set(e, ERR_TLS, "NOT_YET_VALID", "certificate of '%s' "
			"for '%s' is valid only from %s", peer, name,
			offered);
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		err_set(e, ERR_TLS, "UNTRUSTED", "certificate of '%s' for "
			"'%s' is signed by '%s', which is not trusted (%s)",
			peer, name, offered,
			X509_verify_cert_error_string(verify));
		snprintf(e->hint, sizeof e->hint,
			 "name the authority's file with the option 'ca'");
		break;
	default:
		err_set(e, ERR_TLS, "VERIFY", "certificate of '%s' for '%s' "
			"is refused: %s", peer, name,
			X509_verify_cert_error_string(verify));
	}
}

/* --- reading ------------------------------------------------------------------- */
static long long seconds_of(const ASN1_TIME *time)
{
	struct tm tm;

	return ASN1_TIME_to_tm(time, &tm) == 1 ? (long long)timegm(&tm) : 0;
}

/* "CN=x, O=y", as RFC 2253 writes it. */
static void read_name(const X509_NAME *name, char *out, size_t size)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int n = 0;

	if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 &
				      ~ASN1_STRFLGS_ESC_MSB) >= 0)
		n = BIO_read(bio, out, (int)size - 1);
	out[n > 0 ? n : 0] = '\0';
	BIO_free(bio);
}

static void read_hex(const unsigned char *data, size_t len, char *out,
		     size_t size)
{
	size_t i;

	out[0] = '\0';
	for (i = 0; i < len && 2 * i + 2 < size; i++)
		snprintf(out + 2 * i, 3, "%02x", data[i]);
}

void tls_cert_read(struct x509_st *cert, struct tls_cert *out)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	read_name(X509_get_subject_name(cert), out->subject,
		  sizeof out->subject);
	read_name(X509_get_issuer_name(cert), out->issuer,
		  sizeof out->issuer);
	out->not_before = seconds_of(X509_get0_notBefore(cert));
	out->not_after = seconds_of(X509_get0_notAfter(cert));
	read_hex(ASN1_STRING_get0_data(serial),
		 (size_t)ASN1_STRING_length(serial), out->serial,
		 sizeof out->serial);
	if (X509_digest(cert, EVP_sha256(), md, &len) == 1)
		read_hex(md, len, out->sha256, sizeof out->sha256);
}
