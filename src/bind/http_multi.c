/*
 * http_multi: libcurl's multi handle, one for the process: its sockets on the
 * loop's watches, its timer, the end of each attempt and what it says. Connections
 * are kept alive by it, for all targets. Its callbacks call no function of
 * libcurl's that may call back.
 */
#include "bind/http_node.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "bind/http_sock.h"

#define CONNS_MAX 256		/* connections kept alive, all targets */
#define FILES_MAX 65536		/* descriptors that we ask for, at most */
#define TURNS 3			/* of libcurl, before others have theirs */

static CURLM *multi;		/* owned while users > 0 */
static int users;
static struct http_xfer *running;
static struct loop_timer *timer;	/* owned */
static double armed_at;		/* loop_now() when it fires */
static double want_at = INFINITY;	/* when libcurl wants to be called */
static int busy;		/* settle is on the stack */
static int starving;		/* a running call may be starved */

static void settle(void);

/* --- sockets and timer ---------------------------------------------------------- */
static void on_ready(int fd, int events, int status)
{
	int mask = 0, n;

	if (events & LOOP_READ)
		mask |= CURL_CSELECT_IN;
	if (events & LOOP_WRITE)
		mask |= CURL_CSELECT_OUT;
	if (status < 0)
		mask |= CURL_CSELECT_ERR;
	curl_multi_socket_action(multi, fd, mask, &n);
	settle();
}

static void starve(struct http_xfer *x)
{
	x->starved = starving = 1;
}

static int on_socket(CURL *curl, curl_socket_t fd, int what, void *arg,
		     void *mine)
{
	struct http_node *node = NULL;
	int events = 0;

	(void)arg;
	(void)mine;
	if (what == CURL_POLL_REMOVE) {
		http_sock_leave(fd);
		return 0;
	}
	if (what & CURL_POLL_IN)
		events |= LOOP_READ;
	if (what & CURL_POLL_OUT)
		events |= LOOP_WRITE;
	if (http_sock_want(fd, events, on_ready) == 0)
		return 0;
	/* refusing here would end every transfer there is: only this one */
	curl_easy_getinfo(curl, CURLINFO_PRIVATE, (char **)&node);
	if (node && node->x)
		starve(node->x);
	return 0;
}

static int on_timer_wanted(CURLM *m, long ms, void *arg)
{
	(void)m;
	(void)arg;
	/* 0: at once, whatever the time */
	want_at = ms < 0 ? INFINITY : !ms ? 0 : loop_now() + (double)ms / 1000;
	return 0;
}

static void on_timer(void *arg)
{
	int n;

	(void)arg;
	loop_timer_free(timer);
	timer = NULL;
	if (loop_now() >= want_at) {
		want_at = INFINITY;
		curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &n);
	}
	settle();
}

/* One timer for libcurl's: one that comes too early is left and set again. */
static void arm(void)
{
	struct http_xfer *x;
	double now;

	if (!running || want_at == INFINITY) {
		loop_timer_free(timer);
		timer = NULL;
		return;
	}
	if (timer && armed_at <= want_at + 0.0005)
		return;
	loop_timer_free(timer);
	now = loop_now();
	timer = loop_timer_new(want_at > now ? want_at - now : 0, 0, on_timer,
			       NULL);
	armed_at = want_at;
	for (x = timer ? NULL : running; x; x = x->run_next)
		starve(x);
}

/* --- the end of an attempt -------------------------------------------------------- */
void http_curl_stop(struct http_xfer *x)
{
	struct http_node *node = x->easy;

	if (!node)
		return;
	x->running = 0;
	*x->run_at = x->run_next;
	if (x->run_next)
		x->run_next->run_at = x->run_at;
	curl_multi_remove_handle(multi, node->curl);
	http_curl_give_back(x);
	if (!running && !busy)
		arm();
}

static const struct { CURLcode code; enum http_fault fault; } faults[] = {
	{ CURLE_OK, HTTP_OK },
	{ CURLE_COULDNT_RESOLVE_HOST, HTTP_F_DNS },
	{ CURLE_COULDNT_RESOLVE_PROXY, HTTP_F_DNS },
	{ CURLE_COULDNT_CONNECT, HTTP_F_CONNECT },
	{ CURLE_OPERATION_TIMEDOUT, HTTP_F_TIMEOUT },
	{ CURLE_SSL_CONNECT_ERROR, HTTP_F_TLS },
	{ CURLE_PEER_FAILED_VERIFICATION, HTTP_F_TLS },
	{ CURLE_SSL_CIPHER, HTTP_F_TLS },
	{ CURLE_SSL_INVALIDCERTSTATUS, HTTP_F_TLS },
	{ CURLE_SSL_CLIENTCERT, HTTP_F_TLS },
	{ CURLE_SSL_CERTPROBLEM, HTTP_F_TLS_FILE },
	{ CURLE_SSL_CACERT_BADFILE, HTTP_F_TLS_FILE },
	{ CURLE_SSL_CRL_BADFILE, HTTP_F_TLS_FILE },
	{ CURLE_GOT_NOTHING, HTTP_F_LOST },
	{ CURLE_SEND_ERROR, HTTP_F_LOST },
	{ CURLE_RECV_ERROR, HTTP_F_LOST },
	{ CURLE_PARTIAL_FILE, HTTP_F_LOST },
	{ CURLE_SEND_FAIL_REWIND, HTTP_F_LOST },
	{ CURLE_UNSUPPORTED_PROTOCOL, HTTP_F_PROTOCOL },
	{ CURLE_WEIRD_SERVER_REPLY, HTTP_F_PROTOCOL },
	{ CURLE_BAD_CONTENT_ENCODING, HTTP_F_PROTOCOL },
	{ CURLE_HTTP2, HTTP_F_PROTOCOL },
	{ CURLE_HTTP2_STREAM, HTTP_F_PROTOCOL },
	{ CURLE_FILESIZE_EXCEEDED, HTTP_F_LIMIT },
	{ CURLE_OUT_OF_MEMORY, HTTP_F_MEMORY },
	{ CURLE_ABORTED_BY_CALLBACK, HTTP_F_OURS },
	{ CURLE_WRITE_ERROR, HTTP_F_OURS },
	{ CURLE_READ_ERROR, HTTP_F_OURS },
	{ CURLE_PROXY, HTTP_F_PROXY },
};

static enum http_fault fault_of(CURLcode code, const char *text)
{
	size_t i;

	/* a lie in the framing, not a lost connection */
	if (code == CURLE_RECV_ERROR && strstr(text, "chunk"))
		return HTTP_F_PROTOCOL;
	for (i = 0; i < sizeof faults / sizeof *faults; i++)
		if (faults[i].code == code)
			return faults[i].fault;
	return HTTP_F_OTHER;
}

static double seconds(CURL *curl, CURLINFO what)
{
	curl_off_t us = 0;

	curl_easy_getinfo(curl, what, &us);
	return (double)us / 1e6;
}

static void collect(struct http_xfer *x, CURL *curl)
{
	double name = seconds(curl, CURLINFO_NAMELOOKUP_TIME_T);
	double tcp = seconds(curl, CURLINFO_CONNECT_TIME_T);
	double tls = seconds(curl, CURLINFO_APPCONNECT_TIME_T);
	double first = seconds(curl, CURLINFO_STARTTRANSFER_TIME_T);
	curl_off_t wait = 0, wire = 0;
	curl_socket_t fd = CURL_SOCKET_BAD;
	long made = 0, version = 0;

	curl_easy_getinfo(curl, CURLINFO_NUM_CONNECTS, &made);
	/* it stands, and its close callback is ours */
	if (made && !curl_easy_getinfo(curl, CURLINFO_ACTIVESOCKET, &fd))
		http_sock_keep(fd);
	curl_easy_getinfo(curl, CURLINFO_HTTP_VERSION, &version);
	curl_easy_getinfo(curl, CURLINFO_SIZE_DOWNLOAD_T, &wire);
	if (x->status == 429 || x->status == 503)
		curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &wait);
	x->version = version == CURL_HTTP_VERSION_2_0 ? 2 :
		     version == CURL_HTTP_VERSION_1_0 ? 0 : 1;
	x->wire = wire;
	x->retry_after = (double)wait;
	x->timing.dns = x->dns_took;
	x->timing.connect = made && tcp > name ? tcp - name : 0;
	x->timing.tls = made && tls > tcp ? tls - tcp : 0;
	x->timing.first_byte = first > 0 ? x->started - x->began + first : 0;
	x->timing.total = loop_now() - x->began;
}

static void end_attempt(CURL *curl, CURLcode code)
{
	struct http_node *node = NULL;
	struct http_xfer *x;
	enum http_fault fault;
	long os = 0;

	curl_easy_getinfo(curl, CURLINFO_PRIVATE, (char **)&node);
	x = node->x;
	fault = fault_of(code, node->error);
	collect(x, curl);
	if (fault != HTTP_OK)
		curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os);
	if (fault != HTTP_OK) {
		snprintf(x->fault, sizeof x->fault, "%s", node->error[0] ?
			 node->error : curl_easy_strerror(code));
		node->plain = 0;	/* its state is not worth a doubt */
	}
	http_curl_stop(x);
	x->ended(x, fault, (int)os);
}

static int end_starved(void)
{
	struct http_xfer *x = running;

	if (!starving)
		return 0;
	while (x && !x->starved)
		x = x->run_next;
	starving = x != NULL;
	if (!x)
		return 0;
	http_curl_stop(x);
	snprintf(x->fault, sizeof x->fault, "out of memory");
	x->ended(x, HTTP_F_MEMORY, 0);
	return 1;
}

/* After each call of libcurl's: what has ended, what it wants at once. */
static void settle(void)
{
	int turns = TURNS, left, n;
	CURLMsg *m;

	if (busy)
		return;
	busy = 1;
	for (;;) {
		while (end_starved())
			;
		while ((m = curl_multi_info_read(multi, &left)))
			if (m->msg == CURLMSG_DONE)
				end_attempt(m->easy_handle, m->data.result);
		if (!running || (want_at > 0 && want_at > loop_now()) ||
		    !turns--)
			break;
		want_at = INFINITY;
		curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &n);
	}
	arm();
	while (end_starved())
		;
	busy = 0;
}

/* --- beginning and going on ------------------------------------------------------------ */
int http_curl_start(struct http_xfer *x)
{
	struct http_node *node;
	int bad;

	x->starved = x->sends = x->send_waits = x->recv_waits = 0;
	x->started = loop_now();
	x->phase = PHASE_CONNECT;
	bad = http_curl_prepare(x) < 0;
	node = x->easy;
	if (!node)
		return -1;
	x->run_at = &running;
	x->run_next = running;
	if (running)
		running->run_at = &x->run_next;
	running = x;
	x->running = 1;
	if (bad || curl_multi_add_handle(multi, node->curl) != CURLM_OK) {
		node->plain = 0;
		http_curl_stop(x);
		return -1;
	}
	settle();
	return 0;
}

void http_curl_wake(struct http_xfer *x)
{
	struct http_node *node = x->easy;

	if (!node)
		return;
	x->send_waits = x->recv_waits = 0;
	curl_easy_pause(node->curl, CURLPAUSE_CONT);
	settle();
}

/* --- the process ------------------------------------------------------------------- */
/* Each connection is a descriptor: the soft limit is for programs that use
 * select, and we do not. */
static void raise_files(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur >= FILES_MAX)
		return;
	r.rlim_cur = r.rlim_max == RLIM_INFINITY || r.rlim_max > FILES_MAX ?
		FILES_MAX : r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

int http_curl_open(struct err *e)
{
	if (users++)
		return 0;
	raise_files();
	if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		multi = curl_multi_init();
	if (!multi ||
	    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket) ||
	    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted) ||
	    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)CONNS_MAX)) {
		err_set(e, ERR_LIMIT, "ENOMEM", "cannot set up libcurl");
		http_curl_close();
		return -1;
	}
	return 0;
}

void http_curl_close(void)
{
	if (--users)
		return;
	if (multi)
		curl_multi_cleanup(multi);
	multi = NULL;
	http_sock_release();
	want_at = INFINITY;
	loop_timer_free(timer);
	timer = NULL;
	curl_global_cleanup();
}
