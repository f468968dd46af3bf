/*
 * pg_find: the addresses of a target's hosts, by the loop's resolver; each is
 * tried once. Owns what is being looked up.
 */
#include "bind/pg_find.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "bind/pg.h"
#include "core/mem.h"

void pg_find_free(struct pg_find *f)
{
	int i;

	if (!f)
		return;
	for (i = 0; i < f->n; i++)
		if (f->host[i].resolve)
			loop_resolve_abandon(f->host[i].resolve);
	mem_free(f);
}

/* --- names ---------------------------------------------------------------------- */
static int is_folder(const char *host)
{
	return host[0] == '/' || host[0] == '@' || !host[0];
}

static int is_numeric(const char *host)
{
	struct in6_addr a;

	return inet_pton(AF_INET, host, &a) == 1 ||
	       inet_pton(AF_INET6, host, &a) == 1;
}

static void add_addr(struct pg_find_host *h, const struct loop_addr *a)
{
	const void *in = a->family == AF_INET ?
		(const void *)&((const struct sockaddr_in *)&a->addr)->sin_addr
		: (const void *)&((const struct sockaddr_in6 *)
				  &a->addr)->sin6_addr;

	if (h->n < PG_ADDRS && inet_ntop(a->family, in, h->addr[h->n],
				      sizeof h->addr[0]))
		h->n++;
}

static void on_resolved(void *arg, const struct loop_addr *addrs, int n,
			const struct err *e)
{
	struct pg_find_host *h = arg;
	struct pg_find *f = h->f;
	int i;

	h->resolve = NULL;
	for (i = 0; i < n; i++)
		add_addr(h, &addrs[i]);
	if (!n)
		f->why = *e;
	if (--f->pending == 0)
		f->found(f->arg);
}

struct pg_find *pg_find_new(const struct pg_options *o,
			    void (*found)(void *arg), void *arg)
{
	struct pg_find *f;
	int i;

	f = mem_zalloc(sizeof *f + (size_t)o->n_hosts * sizeof f->host[0]);
	if (!f)
		return NULL;
	f->o = o;
	f->found = found;
	f->arg = arg;
	f->n = o->n_hosts;
	for (i = 0; i < f->n; i++) {
		struct pg_find_host *h = &f->host[i];
		const char *host = o->hosts[i].host;

		h->f = f;
		if (is_folder(host) || is_numeric(host)) {
			snprintf(h->addr[0], sizeof h->addr[0], "%s",
				 is_folder(host) ? "" : host);
			h->n = 1;
			continue;
		}
		h->resolve = loop_resolve_new(host, NULL, on_resolved, h);
		if (!h->resolve) {
			pg_find_free(f);
			return NULL;
		}
		f->pending++;
	}
	return f;
}

/* --- what is left ---------------------------------------------------------------- */
static void add_entry(struct pg_lists *l, const struct pg_host *h,
		      const char *addr)
{
	if (l->n++) {
		buf_addc(&l->host, ',');
		buf_addc(&l->addr, ',');
		buf_addc(&l->port, ',');
	}
	buf_adds(&l->host, h->host);
	buf_adds(&l->addr, addr);
	buf_adds(&l->port, h->port);
}

void pg_find_lists(const struct pg_find *f, struct pg_lists *l)
{
	int i, k;

	memset(l, 0, sizeof *l);
	buf_init(&l->host);
	buf_init(&l->addr);
	buf_init(&l->port);
	for (i = 0; i < f->n; i++)
		for (k = 0; k < f->host[i].n; k++)
			if (!f->host[i].tried[k])
				add_entry(l, &f->o->hosts[i],
					  f->host[i].addr[k]);
}

void pg_lists_release(struct pg_lists *l)
{
	buf_release(&l->host);
	buf_release(&l->addr);
	buf_release(&l->port);
}

int pg_find_tried(struct pg_find *f, const char *host, const char *addr,
		  const char *port)
{
	const struct pg_options *o = f->o;
	int i, k, left = 0;

	for (i = 0; i < f->n; i++) {
		struct pg_find_host *h = &f->host[i];

		for (k = 0; k < h->n; k++) {
			if (!strcmp(h->addr[k], addr ? addr : "") &&
			    !strcmp(o->hosts[i].host, host ? host : "") &&
			    (!*o->hosts[i].port ||
			     !strcmp(o->hosts[i].port, port)))
				h->tried[k] = 1;
			left += !h->tried[k];
		}
	}
	return left;
}
