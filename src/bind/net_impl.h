/*
 * net_impl: what net.c, net_io.c and net_open.c share and nobody else sees.
 */
#ifndef OPSH_BIND_NET_IMPL_H
#define OPSH_BIND_NET_IMPL_H

#include "bind/net.h"
#include "bind/tls.h"
#include "core/loop.h"

#define NET_ADDRS 16
#define NET_READ_FIRST 4096	/* bytes; grows while reads fill it */

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
	struct loop_addr addrs[NET_ADDRS];
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

/* --- net.c ------------------------------------------------------------------ */
/* Fills n->err from errno. */
void net_errno(struct net *n, int code, const char *what,
	       enum err_phase phase);
/* Tells the owner, once; n->err says what. */
void net_fail(struct net *n);
void net_fail_memory(struct net *n, const char *what);
void net_close_fd(struct net *n);	/* with its watcher and its TLS */
void net_free(struct net *n);
void net_leave(struct net *n);		/* after n->busy++: a callback ends */
int net_arm(struct net *n, int events);	/* 0 or -1 */
void net_rearm(struct net *n);		/* after paused or write_waits changed */

/* --- net_io.c --------------------------------------------------------------- */
/* last: the descriptor has failed, no more events will come. */
void net_read(struct net *n, int last);

#endif
