/*
 * http: what the files of the HTTP binding share. A transfer (http_xfer) is one
 * call: it resolves, runs on libcurl's multi handle, follows redirects within
 * its origin, tries again where that is legal, and tells its owner once that it
 * is over. Only http_node.c, http_curl.c, http_multi.c and http_url.c know libcurl;
 * only http_value.c, http_spec.c, http_call.c, http_stream.c, http_push.c,
 * http_show.c, http_client.c know Lua.
 */
#ifndef OPSH_BIND_HTTP_H
#define OPSH_BIND_HTTP_H

#include <lua.h>
#include <stddef.h>

#include "bind/tls.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/loop.h"
#include "effect/effect.h"

#define HTTP_CLIENT "opsh.http.client"
#define HTTP_STREAM "opsh.http.stream"
#define HTTP_RESPONSE "opsh.http.response"

#define HTTP_MAX_BODY (64LL << 20)	/* decoded, in memory */
#define HTTP_MAX_FILE (16LL << 30)	/* to a file */
#define HTTP_MAX_HEAD (256 * 1024)	/* bytes of all header lines */
#define HTTP_MAX_LINES 1000		/* header lines */
#define HTTP_HIGH (256 * 1024)		/* bytes of a stream in memory */
#define HTTP_START 512			/* kept of a body for messages */
#define HTTP_EXPECT 16
#define HTTP_SPARES 128			/* buffers that a client keeps.. */
#define HTTP_SPARE_MAX 8192		/* ..of so many bytes at most */
#define HTTP_IDLE_WRITE 1		/* s that a connection may have idled
					   for a write to go on it */
#define HTTP_DNS_FRESH 30		/* s that addresses are taken for */

/* --- a target's client ------------------------------------------------------- */
struct http_options {
	int tls;
	char *host, *port;	/* owned; NULL for a unix socket */
	char *socket;		/* owned */
	char *base;		/* owned: path before each path, "" or "/x" */
	char *ca, *cert, *key, *server_name;	/* owned, NULL none */
	char *proxy;		/* owned: http:// or socks5h://, no user */
	char *proxy_host, *proxy_port;		/* owned: of it */
	char *proxy_auth;	/* owned: "user:password" */
	char *auth;		/* owned: header line, NULL none */
	struct buf headers;	/* lines, each ended by NUL */
	int insecure;		/* verify = false */
	int http2;
	double timeout, connect_timeout;
	long long max_body;
};

struct http_client {
	struct target *target;	/* borrowed: uservalue 1 */
	struct http_options o;
	char where[288];	/* host:port, or the socket's path */
	char origin[320];	/* scheme://where */
	void *idle;		/* owned: easy handles, a list of http_node.c's */
	int n_idle;
	struct buf spare[HTTP_SPARES];	/* memory for calls to come */
	int n_spare;
	void *slist;		/* owned: the default header lines */
	void *connect_to;	/* owned: where the server_name is reached */
	struct loop_resolve *resolve;	/* owned until it answers */
	struct http_xfer *waiting;	/* borrowed: for the addresses */
	char *addrs;		/* owned: "a,b,c"; NULL not known */
	double addrs_at;
	int addrs_new;		/* not handed to libcurl yet */
	int met;		/* identity was told */
	int opened;		/* holds libcurl open */
	int closed;
};

/* [-0, +0, v] */
struct http_client *http_check(lua_State *L, int arg);
void http_options_read(lua_State *L, int arg, struct http_options *o);
void http_options_release(struct http_options *o);
void http_open_client(lua_State *L);

/* --- a transfer --------------------------------------------------------------- */
enum http_body { HTTP_NONE, HTTP_MEM, HTTP_FILE, HTTP_CHUNKS, HTTP_MIME };

struct http_part {		/* of a multipart body */
	char *name, *filename, *type;	/* owned, NULL none */
	char *path;		/* owned: a file's; NULL: data */
	struct buf data;
	long long size;
};

/* How an attempt of libcurl's ended. */
enum http_fault {
	HTTP_OK, HTTP_F_DNS, HTTP_F_CONNECT, HTTP_F_TIMEOUT, HTTP_F_TLS,
	HTTP_F_TLS_FILE, HTTP_F_LOST, HTTP_F_PROTOCOL, HTTP_F_LIMIT,
	HTTP_F_MEMORY, HTTP_F_OURS, HTTP_F_PROXY, HTTP_F_OTHER
};

struct http_timing { double dns, connect, tls, first_byte, total; };

struct http_retry {
	int attempts;		/* 1: none */
	double delay, factor, max_delay, each;
};

enum http_take {		/* what a callback did with its bytes */
	HTTP_TOOK, HTTP_PAUSE, HTTP_STOP
};

struct http_xfer {
	struct http_client *hc;	/* borrowed: its userdata is on the frame */
	struct http_xfer *next;	/* of hc->waiting */
	struct http_xfer *run_next, **run_at;	/* http_multi.c's list */
	void *easy;		/* owned while it runs */
	void *mime, *lines, *addrs;	/* owned: http_curl.c's */
	struct effect effect;
	struct effect file_effect;	/* of the file that a body goes to */
	struct err err;		/* kind none: fine */
	/* the request */
	enum effect_class cls;
	char method[24];
	struct buf url;
	struct buf text;	/* for the record */
	struct buf headers;	/* lines, each ended by NUL */
	int own_headers;	/* instead of the client's */
	char *auth;		/* owned: header line instead of the client's */
	int no_auth;
	enum http_body kind;
	struct buf body;
	size_t body_at;		/* chunks: bytes of it that are sent */
	char *body_path;	/* owned */
	int body_fd;		/* owned, -1 */
	long long body_size;
	int body_ended;		/* chunks: no more will come */
	struct http_part *parts;	/* owned */
	int n_parts;
	double began, until, timeout, connect_timeout;
	long long max_body;
	int follow, followed;
	int expect[HTTP_EXPECT], n_expect, any_status;
	int keyed;		/* carries an idempotency key */
	struct http_retry retry;
	int attempt;
	int cert_only;		/* the handshake is all that is wanted */
	int streamed;		/* the owner takes the body as it comes */
	/* how it stands */
	enum err_phase phase;
	int running, over;
	int starved;		/* no memory to watch its socket */
	int sends;		/* of this attempt, as libcurl began them */
	double started;		/* of this attempt */
	int sent;		/* something may have left, in any attempt */
	int send_waits, recv_waits;	/* paused */
	double dns_began, dns_took;
	struct loop_timer *later;	/* owned: until the next attempt, or
					   until a resolver is too late */
	struct tls_seen *seen;	/* owned reference */
	char fault[256];	/* libcurl's words */
	/* the response */
	int status, version;
	int head_lines;
	size_t head_bytes;
	int head_done;
	int discard;		/* the body is of no use */
	struct buf head;
	struct buf in;
	char start[HTTP_START];
	size_t start_len;
	long long got, wire;
	double retry_after;	/* s, 0 none */
	struct http_timing timing;
	struct target *host;	/* borrowed: the machine that the file is on */
	char *to, *to_tmp;	/* owned: the file, and its temporary one */
	int to_fd;
	void *to_job;		/* borrowed: its sync, in the pool */
	/* the owner, told once each / as often as it happens */
	void (*done)(struct http_xfer *x);
	void (*progress)(struct http_xfer *x);	/* NULL: not asked for */
	/* http_xfer.c, told when an attempt of libcurl's is over */
	void (*ended)(struct http_xfer *x, enum http_fault fault, int os_errno);
};

void http_xfer_init(struct http_xfer *x, struct http_client *hc);
void http_xfer_release(struct http_xfer *x);	/* stops it too */
/* Begins; `done` may come before it returns. */
void http_go(struct http_xfer *x);
/* Ends it: libcurl, resolver and timer forget it; done is not called. */
void http_stop(struct http_xfer *x);
/* Frees what is left of the client. */
void http_dns_forget(struct http_client *hc);

/* --- http_flow.c: its bytes, from libcurl's callbacks on the loop ---------------- */
enum http_take http_on_head(struct http_xfer *x, const char *line, size_t len);
enum http_take http_on_body(struct http_xfer *x, const char *data, size_t len);
/* -1: stop, 0: the end or (paused) nothing yet */
long http_on_send(struct http_xfer *x, char *out, size_t size, int *paused);

/* --- http_end.c: what became of it ----------------------------------------------- */
void http_judge_fault(struct http_xfer *x, enum http_fault fault, int os_errno);
void http_judge_status(struct http_xfer *x);
void http_judge_cancel(struct http_xfer *x, struct err *e);
void http_judge_redirect(struct http_xfer *x, const char *to, int within);
int http_expected(const struct http_xfer *x);
int http_is_redirect(const struct http_xfer *x);
int http_is_busy(const struct http_xfer *x);	/* an answer for now only */
int http_may_try_again(const struct http_xfer *x);
void http_limit(struct http_xfer *x, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Ends the effect by x->err. */
void http_close_effect(struct http_xfer *x);
/* The header's value in the final response, NULL none. */
const char *http_header(const struct http_xfer *x, const char *name,
			size_t *len);

/* --- http_file.c: bodies that go to a file ------------------------------------------ */
int http_file_write(struct http_xfer *x, const char *data, size_t len);
/* Makes it the file it is to be, then tells the owner. */
void http_file_finish(struct http_xfer *x);
void http_file_drop(struct http_xfer *x);

/* --- http_multi.c: attempts on libcurl ------------------------------------------------ */
int http_curl_open(struct err *e);	/* counted; the first sets it up */
void http_curl_close(void);
int http_curl_start(struct http_xfer *x);	/* 0, or -1: no memory */
void http_curl_stop(struct http_xfer *x);
void http_curl_wake(struct http_xfer *x);	/* goes on where it paused */

/* --- http_node.c: the handles of a client ----------------------------------------------- */
void http_nodes_forget(struct http_client *hc);	/* those that are idle */

/* --- http_url.c -------------------------------------------------------------------------- */
/* Is `url` (maybe relative to the transfer's) of the same origin? Then x->url
 * is set to it. 1 yes, 0 no, -1 no URL */
int http_curl_follow(struct http_xfer *x, const char *url);

/* --- http_value.c: what Lua gives -------------------------------------------------------- */
#define HTTP_UNRESERVED "-._~"	/* not to be encoded, in any place */
_Noreturn void http_no_memory(lua_State *L);
/* A field of the table at idx: a copy to own, NULL none. [-0, +0, v] */
char *http_copy_field(lua_State *L, int idx, const char *name);
/* One above 0; `kind` is what is raised for another. [-0, +0, v] */
double http_seconds(lua_State *L, int idx, const char *name, double def,
		    enum err_kind kind);
/* A string or a secret, borrowed. [-0, +0, v] */
const char *http_value(lua_State *L, int idx, size_t *len);
/* A string, secret or list of them at idx, appended. [-0, +0, v] */
void http_add_value(lua_State *L, int idx, struct buf *b);
void http_add_encoded(struct buf *b, const char *s, size_t len,
		      const char *keep);
/* {name, value, name, value, ..} at idx as name=value&.. [-0, +0, v] */
void http_add_pairs(lua_State *L, int idx, struct buf *b);
/* The same as lines, each ended by NUL. [-0, +0, v] */
void http_read_headers(lua_State *L, int idx, struct buf *b);
/* Header line of HTTP basic authentication; the words are registered. */
char *http_basic(lua_State *L, int user, int password);
char *http_bearer(lua_State *L, int token);

/* --- Lua ---------------------------------------------------------------------------------- */
/* [-0, +0, v] reads the description of a call at idx (0: none) into x. */
void http_spec_read(lua_State *L, struct http_xfer *x, int idx);
/* Method and path, [-0, +0, v] */
void http_spec_target(lua_State *L, struct http_xfer *x, int method, int path,
		      int spec);
void http_describe(struct http_xfer *x);
/* Asks the boundary. [-0, +0, v] */
enum effect_verdict http_begin(lua_State *L, struct http_xfer *x);
/* What a withheld call returns: expect_result of the table at spec (0 none), or
 * an unknown value. [-0, +1, m] */
int http_push_withheld(lua_State *L, struct http_xfer *x, int spec);
int http_push(lua_State *L, struct http_xfer *x);	/* [-0, +1, m] */
void http_open_show(lua_State *L);	/* how a response prints */
void http_push_certificate(lua_State *L, struct tls_seen *s);
void http_open_call(lua_State *L);
void http_open_stream(lua_State *L);
void http_open_push(lua_State *L);

#endif
