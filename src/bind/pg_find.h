/*
 * pg_find: the addresses of a target's hosts, and which of them are left to try.
 * Names are looked up beside the loop: libpq would block on them. Connects to
 * nothing.
 */
#ifndef OPSH_BIND_PG_FIND_H
#define OPSH_BIND_PG_FIND_H

#include <netinet/in.h>

#include "core/buf.h"
#include "core/err.h"
#include "core/loop.h"

#define PG_ADDRS 6		/* of one name, at most */

struct pg_options;

struct pg_find_host {
	struct pg_find *f;
	struct loop_resolve *resolve;	/* owned: while it is looked up */
	int n, tried[PG_ADDRS];
	char addr[PG_ADDRS][INET6_ADDRSTRLEN];
};

struct pg_find {
	const struct pg_options *o;	/* borrowed: of the client */
	void (*found)(void *arg);	/* from the loop: no name is pending */
	void *arg;
	struct err why;		/* of the last name that has no address */
	int n, pending;
	struct pg_find_host host[];
};

struct pg_lists {		/* as libpq takes them, with commas */
	struct buf host, addr, port;	/* owned */
	int n;
};

/* NULL: no memory. */
struct pg_find *pg_find_new(const struct pg_options *o,
			    void (*found)(void *arg), void *arg);
void pg_find_free(struct pg_find *f);	/* NULL ok */
/* Those that are left to try. */
void pg_find_lists(const struct pg_find *f, struct pg_lists *l);
void pg_lists_release(struct pg_lists *l);
/* This one is not tried again. How many are left? */
int pg_find_tried(struct pg_find *f, const char *host, const char *addr,
		  const char *port);

#endif
