/*
 * net_open: opening a stream: a small state machine driven by one watcher and two
 * timers, until the owner is told that it is open, or why not. What the watcher
 * tells after that it hands to net_io.c.
 */
#include "bind/net_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/mem.h"

static void try_next(struct net *n);
static void on_watch(void *arg, int events, int status);

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
	net_fail(n);
	net_leave(n);
}

static void opened(struct net *n)
{
	n->state = NET_OPEN;
	loop_timer_free(n->deadline);
	loop_timer_free(n->step);
	n->deadline = n->step = NULL;
	net_rearm(n);
	n->ev->opened(n->arg);
}

static void tls_step(struct net *n)
{
	switch (tls_handshake(n->tls, &n->err)) {
	case TLS_OK:
		opened(n);
		return;
	case TLS_WANT_READ:
		net_arm(n, LOOP_READ);
		return;
	case TLS_WANT_WRITE:
		net_arm(n, LOOP_WRITE);
		return;
	case TLS_EOF:
		err_set(&n->err, ERR_TLS, "EOF", "TLS with '%s' failed: the "
			"server closed the connection", n->peer);
		break;
	case TLS_FAILED:
		break;
	}
	n->err.phase = PHASE_TLS;
	net_fail(n);
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
		net_fail(n);
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
		net_errno(n, ETIMEDOUT, "cannot connect to", PHASE_CONNECT);
		net_close_fd(n);
	}
	try_next(n);
	net_leave(n);
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
		net_errno(n, errno, "cannot make a socket for", PHASE_CONNECT);
		return 0;
	}
	do
		r = connect(n->fd, (const struct sockaddr *)&a->addr, a->len);
	while (r < 0 && errno == EINTR);
	saved = errno;
	n->state = NET_CONNECT;
	if (r < 0 && saved == EAGAIN && n->path) {
		/* the server's backlog is full: it may come back */
		net_close_fd(n);
		return -1;
	}
	if (r < 0 && saved != EINPROGRESS) {
		net_errno(n, saved, "cannot connect to", PHASE_CONNECT);
		net_close_fd(n);
		return 0;
	}
	n->watch = loop_watch_new(n->fd, on_watch, n);
	if (!n->watch || (r < 0 && net_arm(n, LOOP_WRITE) < 0)) {
		net_fail_memory(n, "cannot connect to");
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
				net_fail_memory(n, "cannot connect to");
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
				net_fail_memory(n, "cannot connect to");
		}
		return;
	}
	net_fail(n);
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
		net_fail(n);
	} else {
		n->n_addrs = count > NET_ADDRS ? NET_ADDRS : count;
		memcpy(n->addrs, addrs, (size_t)n->n_addrs * sizeof *addrs);
		try_next(n);
	}
	net_leave(n);
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
			net_errno(n, ENAMETOOLONG, "cannot connect to",
				  PHASE_CONNECT);
			net_fail(n);
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
			net_fail_memory(n, "cannot resolve");
	}
out:
	net_leave(n);
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
	n->chunk = NET_READ_FIRST;
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

static void on_connect_ready(struct net *n)
{
	socklen_t len = sizeof(int);
	int why = 0;

	if (getsockopt(n->fd, SOL_SOCKET, SO_ERROR, &why, &len) < 0)
		why = errno;
	if (why == 0) {
		net_arm(n, 0);
		connected(n);
		return;
	}
	net_errno(n, why, "cannot connect to", PHASE_CONNECT);
	net_close_fd(n);
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
			net_errno(n, ECONNRESET, "lost the connection to",
				  PHASE_TLS);
			net_fail(n);
		}
	} else if (n->state == NET_OPEN) {
		if ((events & LOOP_READ) || status < 0)
			net_read(n, status < 0);
		if ((events & LOOP_WRITE) && n->state == NET_OPEN) {
			n->write_waits = 0;
			n->ev->writable(n->arg);
			net_rearm(n);
		}
	}
	net_leave(n);
}
