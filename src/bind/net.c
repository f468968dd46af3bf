/*
 * net: what a stream is at any time, whoever drives it: its state, its peer, its
 * failure, its end. Freed when no callback of ours is on the stack. Opening is in
 * net_open.c, reading and writing in net_io.c; must not know them.
 */
#include "bind/net_impl.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"

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

void net_errno(struct net *n, int code, const char *what,
	       enum err_phase phase)
{
	char why[128];

	snprintf(why, sizeof why, "%s", strerror(code));
	why[0] = (char)tolower((unsigned char)why[0]);
	err_set(&n->err, ERR_CONNECT, err_errno_name(code), "%s '%s': %s", what,
		n->peer, why);
	n->err.phase = phase;
}

void net_close_fd(struct net *n)
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

void net_free(struct net *n)
{
	if (n->resolve)
		loop_resolve_abandon(n->resolve);
	loop_timer_free(n->deadline);
	loop_timer_free(n->step);
	net_close_fd(n);
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

void net_leave(struct net *n)
{
	if (--n->busy == 0 && n->freed)
		net_free(n);
}

void net_fail(struct net *n)
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
	net_close_fd(n);
	n->ev->closed(n->arg, &e);
}

void net_fail_memory(struct net *n, const char *what)
{
	err_set(&n->err, ERR_LIMIT, "ENOMEM", "%s '%s': out of memory", what,
		n->peer);
	n->err.phase = net_phase(n);
	net_fail(n);
}

int net_arm(struct net *n, int events)
{
	if (n->events == events)
		return 0;
	n->events = events;
	return loop_watch_set(n->watch, events);
}

void net_rearm(struct net *n)
{
	if (n->state == NET_OPEN)
		net_arm(n, (n->paused ? 0 : LOOP_READ) |
			   (n->write_waits ? LOOP_WRITE : 0));
}
