/*
 * net: the transport. A small state machine driven by one watcher and two
 * timers. The read watcher stays armed; write interest is on only after a
 * short write. Freed when no callback of ours is on the stack.
 */
#include "bind/net.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bind/tls.h"
#include "core/loop.h"
#include "core/mem.h"

#define MAX_ADDRS 16
#define READ_FIRST 4096		/* grows while reads fill it */
#define READ_MAX (256 * 1024)
#define READ_TURN (1024 * 1024)	/* then the owner looks at it */
#define TLS_RECORD 16384

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0		/* the process ignores SIGPIPE */
#endif

enum net_state { NET_BEGIN, NET_RESOLVE, NET_CONNECT, NET_TLS, NET_OPEN,
		 NET_DEAD };

struct net {
	const struct net_events *ev;
	void *arg;		/* borrowed: the owner */
	struct buf *in;		/* borrowed: the owner's */
	struct tls_ctx *tls_ctx;	/* borrowed */
	struct tls *tls;	/* owned */
	struct loop_watch *watch;	/* owned */
	struct loop_timer *deadline;	/* owned: the whole opening */
	struct loop_timer *step;	/* owned: begin, one attempt, try again */
	struct loop_resolve *resolve;	/* owned until it answers */
	char *host, *port, *path, *server_name;	/* owned */
	char peer[288];
	struct loop_addr addrs[MAX_ADDRS];
	int n_addrs, next_addr;
	double timeout, until;	/* of the opening */
	int fd;
	enum net_state state;
	int events;		/* what the watcher is armed for */
	int paused, write_waits;
	size_t sealed;
	size_t chunk;
	struct err err;		/* the last failure of an attempt, or a write's */
	int busy;		/* callbacks of ours on the stack */
	int freed;		/* net_close was called meanwhile */
};

static void try_next(struct net *n);
static void on_watch(void *arg, int events, int status);

/* --- small things ------------------------------------------------------- */
void net_name(char *out, size_t size, const char *host, const char *port)
{
	snprintf(out, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host,
		 port);
}

const char *net_peer(const struct net *n)
{
	return n->peer;
}

size_t net_sealed(const struct net *n)
{
	return n->sealed;
}

enum err_phase net_phase(const struct net *n)
{
	switch (n->state) {
	case NET_BEGIN:
	case NET_RESOLVE:
		return PHASE_DNS;
	case NET_CONNECT:
		return PHASE_CONNECT;
	case NET_TLS:
		return PHASE_TLS;
	default:
		return PHASE_READ;
	}
}

static const char *errno_name(int code)
{
	switch (code) {
	case ECONNREFUSED: return "ECONNREFUSED";
	case ECONNRESET: return "ECONNRESET";
	case EHOSTUNREACH: return "EHOSTUNREACH";
	case ENETUNREACH: return "ENETUNREACH";
	case ETIMEDOUT: return "ETIMEDOUT";
	case EACCES: return "EACCES";
	case ENOENT: return "ENOENT";
	case EPIPE: return "EPIPE";
	case EMFILE: return "EMFILE";
	default: return "";
	}
}

static void errno_err(struct net *n, int code, const char *what,
		      enum err_phase phase)
{
	char why[128];

	snprintf(why, sizeof why, "%s", strerror(code));
	why[0] = (char)tolower((unsigned char)why[0]);
	err_set(&n->err, ERR_CONNECT, errno_name(code), "%s '%s': %s", what,
		n->peer, why);
	n->err.phase = phase;
}

static void close_fd(struct net *n)
{
	loop_watch_free(n->watch);
	n->watch = NULL;
	n->events = 0;
	tls_free(n->tls);
	n->tls = NULL;
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}

static void net_free(struct net *n)
{
	if (n->resolve)
		loop_resolve_abandon(n->resolve);
	loop_timer_free(n->deadline);
	loop_timer_free(n->step);
	close_fd(n);
	mem_free(n->host);
	mem_free(n->port);
	mem_free(n->path);
	mem_free(n->server_name);
	mem_free(n);
}

void net_close(struct net *n)
{
	if (!n)
		return;
	if (n->state == NET_OPEN && n->tls)
		tls_bye(n->tls);
	n->state = NET_DEAD;
	n->freed = 1;
	if (!n->busy)
		net_free(n);
}

static void leave(struct net *n)
{
	if (--n->busy == 0 && n->freed)
		net_free(n);
}

/* Tells the owner, once. n->err says what. */
static void fail(struct net *n)
{
	struct err e = n->err;

	if (n->state == NET_DEAD)
		return;
	n->state = NET_DEAD;
	loop_timer_free(n->deadline);
	loop_timer_free(n->step);
	n->deadline = n->step = NULL;
	if (n->resolve)
		loop_resolve_abandon(n->resolve);
	n->resolve = NULL;
	close_fd(n);
	n->ev->closed(n->arg, &e);
}

static void fail_memory(struct net *n, const char *what)
{
	err_set(&n->err, ERR_LIMIT, "ENOMEM", "%s '%s': out of memory", what,
		n->peer);
	n->err.phase = net_phase(n);
	fail(n);
}

static int arm(struct net *n, int events)
{
	if (n->events == events)
		return 0;
	n->events = events;
	return loop_watch_set(n->watch, events);
}

static void rearm(struct net *n)
{
	if (n->state == NET_OPEN)
		arm(n, (n->paused ? 0 : LOOP_READ) |
		    (n->write_waits ? LOOP_WRITE : 0));
}

/* --- opening -------------------------------------------------------------- */
static void on_deadline(void *arg)
{
	struct net *n = arg;
	enum err_phase phase = net_phase(n);

	n->busy++;
	if (phase == PHASE_DNS)
		err_set(&n->err, ERR_CONNECT, "ETIMEDOUT", "cannot resolve "
			"'%s': no answer within %.3g s", n->host ? n->host :
			n->peer, n->timeout);
	else
		err_set(&n->err, ERR_CONNECT, "ETIMEDOUT", "cannot connect to "
			"'%s': no answer within %.3g s (phase %s)", n->peer,
			n->timeout, err_phase_name(phase));
	n->err.phase = phase;
	fail(n);
	leave(n);
}

static void opened(struct net *n)
{
	n->state = NET_OPEN;
	loop_timer_free(n->deadline);
	loop_timer_free(n->step);
	n->deadline = n->step = NULL;
	rearm(n);
	n->ev->opened(n->arg);
}

static void tls_step(struct net *n)
{
	switch (tls_handshake(n->tls, &n->err)) {
	case TLS_OK:
		opened(n);
		return;
	case TLS_WANT_READ:
		arm(n, LOOP_READ);
		return;
	case TLS_WANT_WRITE:
		arm(n, LOOP_WRITE);
		return;
	case TLS_EOF:
		err_set(&n->err, ERR_TLS, "EOF", "TLS with '%s' failed: the "
			"server closed the connection", n->peer);
		break;
	case TLS_FAILED:
		break;
	}
	n->err.phase = PHASE_TLS;
	fail(n);
}

static void connected(struct net *n)
{
	int on = 1, idle = 30, every = 10;

	loop_timer_free(n->step);
	n->step = NULL;
	if (!n->path) {
		setsockopt(n->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		setsockopt(n->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
#ifdef TCP_KEEPIDLE
		setsockopt(n->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle,
			   sizeof idle);
		setsockopt(n->fd, IPPROTO_TCP, TCP_KEEPINTVL, &every,
			   sizeof every);
#endif
	}
	(void)idle;
	(void)every;
	if (!n->tls_ctx) {
		opened(n);
		return;
	}
	n->state = NET_TLS;
	n->tls = tls_new(n->tls_ctx, n->fd, n->server_name, n->peer, &n->err);
	if (!n->tls) {
		n->err.phase = PHASE_TLS;
		fail(n);
		return;
	}
	tls_step(n);
}

static void on_step(void *arg)
{
	struct net *n = arg;

	n->busy++;
	loop_timer_free(n->step);
	n->step = NULL;
	if (n->fd >= 0) {
		/* this address did not answer in its share of the time */
		errno_err(n, ETIMEDOUT, "cannot connect to", PHASE_CONNECT);
		close_fd(n);
	}
	try_next(n);
	leave(n);
}

static int set_step(struct net *n, double seconds)
{
	loop_timer_free(n->step);
	n->step = loop_timer_new(seconds, 0, on_step, n);
	return n->step ? 0 : -1;
}

static int new_socket(int family)
{
#ifdef SOCK_CLOEXEC
	return socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
#else
	int fd = socket(family, SOCK_STREAM, 0);

	if (fd >= 0) {
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	}
	return fd;
#endif
}

/* Begins an attempt. 1: under way or connected, 0: failed (n->err), -1: wait. */
static int attempt(struct net *n, const struct loop_addr *a)
{
	int r, saved;

	n->fd = new_socket(a->family);
	if (n->fd < 0) {
		errno_err(n, errno, "cannot make a socket for", PHASE_CONNECT);
		return 0;
	}
	do
		r = connect(n->fd, (const struct sockaddr *)&a->addr, a->len);
	while (r < 0 && errno == EINTR);
	saved = errno;
	n->state = NET_CONNECT;
	if (r < 0 && saved == EAGAIN && n->path) {
		/* the server's backlog is full: it may come back */
		close_fd(n);
		return -1;
	}
	if (r < 0 && saved != EINPROGRESS) {
		errno_err(n, saved, "cannot connect to", PHASE_CONNECT);
		close_fd(n);
		return 0;
	}
	n->watch = loop_watch_new(n->fd, on_watch, n);
	if (!n->watch || (r < 0 && arm(n, LOOP_WRITE) < 0)) {
		fail_memory(n, "cannot connect to");
		return 1;
	}
	if (r == 0)
		connected(n);
	return 1;
}

static void try_next(struct net *n)
{
	double left;
	int r;

	while (n->next_addr < n->n_addrs) {
		r = attempt(n, &n->addrs[n->next_addr]);
		if (r < 0) {
			if (set_step(n, 0.02) < 0)
				fail_memory(n, "cannot connect to");
			return;
		}
		n->next_addr++;
		if (r == 0)
			continue;
		/* leave the addresses that follow their share */
		if (n->state == NET_CONNECT && n->next_addr < n->n_addrs) {
			left = n->until - loop_now();
			left /= n->n_addrs - n->next_addr + 1;
			if (set_step(n, left > 0.05 ? left : 0.05) < 0)
				fail_memory(n, "cannot connect to");
		}
		return;
	}
	fail(n);
}

static void on_resolved(void *arg, const struct loop_addr *addrs, int count,
			const struct err *e)
{
	struct net *n = arg;

	n->busy++;
	n->resolve = NULL;
	if (count == 0) {
		n->err = *e;
		n->err.phase = PHASE_DNS;
		fail(n);
	} else {
		n->n_addrs = count > MAX_ADDRS ? MAX_ADDRS : count;
		memcpy(n->addrs, addrs, (size_t)n->n_addrs * sizeof *addrs);
		try_next(n);
	}
	leave(n);
}

/* An address in figures needs no resolver. */
static int numeric(struct net *n)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&n->addrs[0].addr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&n->addrs[0].addr;
	in_port_t port = htons((in_port_t)strtoul(n->port, NULL, 10));

	if (inet_pton(AF_INET, n->host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = port;
		n->addrs[0].len = sizeof *v4;
	} else if (inet_pton(AF_INET6, n->host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = port;
		n->addrs[0].len = sizeof *v6;
	} else {
		return 0;
	}
	n->addrs[0].family = n->addrs[0].addr.ss_family;
	n->n_addrs = 1;
	return 1;
}

static void on_begin(void *arg)
{
	struct net *n = arg;
	struct sockaddr_un *un = (struct sockaddr_un *)&n->addrs[0].addr;

	n->busy++;
	loop_timer_free(n->step);
	n->step = NULL;
	if (n->path) {
		if (strlen(n->path) >= sizeof un->sun_path) {
			errno_err(n, ENAMETOOLONG, "cannot connect to",
				  PHASE_CONNECT);
			fail(n);
			goto out;
		}
		un->sun_family = AF_UNIX;
		memcpy(un->sun_path, n->path, strlen(n->path) + 1);
		n->addrs[0].family = AF_UNIX;
		n->addrs[0].len = sizeof *un;
		n->n_addrs = 1;
		try_next(n);
	} else if (numeric(n)) {
		try_next(n);
	} else {
		n->state = NET_RESOLVE;
		n->resolve = loop_resolve_new(n->host, n->port, on_resolved,
					      n);
		if (!n->resolve)
			fail_memory(n, "cannot resolve");
	}
out:
	leave(n);
}

struct net *net_open(const struct net_options *o, const struct net_events *ev,
		     void *arg, struct buf *in)
{
	struct net *n = mem_zalloc(sizeof *n);

	if (!n)
		return NULL;
	n->ev = ev;
	n->arg = arg;
	n->in = in;
	n->fd = -1;
	n->chunk = READ_FIRST;
	n->tls_ctx = o->tls;
	n->timeout = o->timeout;
	n->until = loop_now() + o->timeout;
	if (o->path) {
		n->path = mem_strdup(o->path);
		snprintf(n->peer, sizeof n->peer, "%s", o->path);
	} else {
		n->host = mem_strdup(o->host);
		n->port = mem_strdup(o->port);
		net_name(n->peer, sizeof n->peer, o->host, o->port);
	}
	n->server_name = mem_strdup(o->server_name ? o->server_name :
				    o->host ? o->host : "localhost");
	/* from the loop, so that no callback comes before we return */
	n->step = loop_timer_new(0, 0, on_begin, n);
	n->deadline = loop_timer_new(o->timeout, 0, on_deadline, n);
	if (!(o->path ? n->path : n->host) || (!o->path && !n->port) ||
	    !n->server_name || !n->step || !n->deadline) {
		net_free(n);
		return NULL;
	}
	return n;
}

/* --- reading and writing -------------------------------------------------- */
static void peer_closed(struct net *n)
{
	err_set(&n->err, ERR_CONNECT, "EOF", "'%s' closed the connection",
		n->peer);
	n->err.phase = PHASE_READ;
}

/* Reads at most `room` bytes at `at`. >0 bytes, 0 nothing now, -1 ended. */
static ssize_t read_some(struct net *n, char *at, size_t room)
{
	ssize_t r;
	size_t got;

	if (n->tls) {
		switch (tls_read(n->tls, at, room, &got, &n->err)) {
		case TLS_OK:
			return (ssize_t)got;
		case TLS_WANT_READ:
		case TLS_WANT_WRITE:
			return 0;
		case TLS_EOF:
			peer_closed(n);
			return -1;
		default:
			n->err.phase = PHASE_READ;
			return -1;
		}
	}
	do
		r = recv(n->fd, at, room, 0);
	while (r < 0 && errno == EINTR);
	if (r > 0)
		return r;
	if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (r == 0)
		peer_closed(n);
	else
		errno_err(n, errno, "lost the connection to", PHASE_READ);
	return -1;
}

/* One read into the owner's buffer: as read_some, and *full when it took all
 * the room (there may be more). */
static ssize_t read_once(struct net *n, int *full)
{
	char *at = buf_reserve(n->in, n->chunk);
	size_t room;
	ssize_t r;

	if (!at) {
		fail_memory(n, "cannot read from");
		return -1;
	}
	room = n->in->cap - n->in->len - 1;
	r = read_some(n, at, room);
	*full = r > 0 && (size_t)r == room;
	if (r > 0) {
		n->in->len += (size_t)r;
		n->in->data[n->in->len] = '\0';
	}
	if (*full && n->chunk < READ_MAX)
		n->chunk *= 2;
	return r;
}

/* last: the descriptor has failed, no more events will come. */
static void do_read(struct net *n, int last)
{
	size_t total = 0;
	ssize_t r;
	int full = 0, more;

	do {
		r = read_once(n, &full);
		total += r > 0 ? (size_t)r : 0;
		/* TLS may hold more, and that wakes nobody */
		more = n->tls || last ? r > 0 : full && total < READ_TURN;
		if (total > 0 && (!more || total >= READ_TURN)) {
			n->ev->readable(n->arg);
			total = 0;
		}
	} while (more && n->state == NET_OPEN);
	if (r == 0 && last && n->state == NET_OPEN)
		errno_err(n, ECONNRESET, "lost the connection to", PHASE_READ);
	if ((r < 0 || (r == 0 && last)) && n->state == NET_OPEN)
		fail(n);
}

size_t net_write(struct net *n, const char *data, size_t len)
{
	size_t done = 0, k = 0;
	ssize_t r;

	if (n->state != NET_OPEN)
		return 0;
	n->sealed = 0;
	while (done < len) {
		if (n->tls) {
			enum tls_result t = tls_write(n->tls, data + done,
						len - done, &k, &n->err);

			if (t == TLS_OK) {
				done += k;
				continue;
			}
			n->sealed = len - done < TLS_RECORD ? len - done :
				    TLS_RECORD;
			break;
		}
		r = send(n->fd, data + done, len - done, MSG_NOSIGNAL);
		if (r < 0 && errno == EINTR)
			continue;
		/* a broken stream is read to its end first: the server may
		 * have said why */
		if (r < 0) {
			n->paused = n->paused && errno == EAGAIN;
			break;
		}
		done += (size_t)r;
	}
	n->write_waits = done < len;
	rearm(n);
	return done;
}

int net_waiting(const struct net *n)
{
	struct pollfd p = { .fd = n->fd, .events = POLLIN };

	return n->state == NET_OPEN && poll(&p, 1, 0) != 0;
}

void net_pause(struct net *n, int paused)
{
	n->paused = paused;
	rearm(n);
}

static void on_connect_ready(struct net *n)
{
	socklen_t len = sizeof(int);
	int why = 0;

	if (getsockopt(n->fd, SOL_SOCKET, SO_ERROR, &why, &len) < 0)
		why = errno;
	if (why == 0) {
		arm(n, 0);
		connected(n);
		return;
	}
	errno_err(n, why, "cannot connect to", PHASE_CONNECT);
	close_fd(n);
	try_next(n);
}

static void on_watch(void *arg, int events, int status)
{
	struct net *n = arg;

	n->busy++;
	if (n->state == NET_CONNECT) {
		on_connect_ready(n);
	} else if (n->state == NET_TLS) {
		tls_step(n);
		if (status < 0 && n->state == NET_TLS) {
			errno_err(n, ECONNRESET, "lost the connection to",
				  PHASE_TLS);
			fail(n);
		}
	} else if (n->state == NET_OPEN) {
		if ((events & LOOP_READ) || status < 0)
			do_read(n, status < 0);
		if ((events & LOOP_WRITE) && n->state == NET_OPEN) {
			n->write_waits = 0;
			n->ev->writable(n->arg);
			rearm(n);
		}
	}
	leave(n);
}
