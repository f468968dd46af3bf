/*
 * redis_lease: a client's dedicated connections, for what would hold up the
 * shared one: given out, taken back; some clean ones are kept for the next.
 * Opens none and sends nothing.
 */
#include "bind/redis.h"

#include <stdio.h>

#include "core/mem.h"

struct redis_conn *redis_lease(struct redis_client *rc, struct err *e)
{
	struct redis_conn *c;

	for (c = rc->dedicated; c; c = c->next) {
		if (c->idle && c->state == REDIS_READY) {
			c->idle = 0;
			return c;
		}
	}
	if (rc->n_dedicated >= REDIS_DEDICATED) {
		err_set(e, ERR_LIMIT, "", "%d connections of '%s' are in use "
			"by blocking calls", rc->n_dedicated,
			rc->target->name);
		return NULL;
	}
	c = mem_alloc(sizeof *c);
	if (!c) {
		err_set(e, ERR_LIMIT, "ENOMEM", "out of memory to connect");
		return NULL;
	}
	redis_conn_init(c, rc);
	snprintf(c->peer, sizeof c->peer, "%s", rc->shared.peer);
	c->dedicated = 1;
	c->next = rc->dedicated;
	rc->dedicated = c;
	rc->n_dedicated++;
	return c;
}

void redis_unlease(struct redis_conn *c, int clean)
{
	struct redis_client *rc = c->rc;
	struct redis_conn **at = &rc->dedicated, *i;
	int idle = 0;

	if (c->dead)
		return;
	for (i = rc->dedicated; i; i = i->next)
		idle += i->idle;
	if (clean && c->state == REDIS_READY && !c->head && !c->pushed &&
	    idle < REDIS_IDLE) {
		c->idle = 1;
		return;
	}
	while (*at && *at != c)
		at = &(*at)->next;
	if (*at) {
		*at = c->next;
		rc->n_dedicated--;
	}
	redis_conn_free(c);
}
