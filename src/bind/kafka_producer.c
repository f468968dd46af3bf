/*
 * kafka_producer: handles that write, and the count of delivery reports: done,
 * failed or unknown, by partition. Sends nothing itself.
 */
#include "bind/kafka_producer.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"

#define KEPT 2			/* idle ones without a transactional id */
#define TEXT(x) #x
#define TEXT_OF(x) TEXT(x)
#define REQUEST TEXT_OF(KAFKA_REQUEST)

/* --- counting --------------------------------------------------------------------- */
void kafka_tally_clear(struct kafka_tally *t)
{
	mem_free(t->parts);
	memset(t, 0, sizeof *t);
}

static struct kafka_part *find_part(struct kafka_tally *t, int32_t partition)
{
	struct kafka_part *bigger;
	int i, room;

	for (i = 0; i < t->n_parts; i++)
		if (t->parts[i].partition == partition)
			return &t->parts[i];
	if (t->n_parts == t->room) {
		room = t->room ? t->room * 2 : 8;
		bigger = mem_realloc(t->parts, (size_t)room * sizeof *bigger);
		if (!bigger)
			return NULL;	/* the counts stay right */
		t->parts = bigger;
		t->room = room;
	}
	t->parts[i].partition = partition;
	t->parts[i].first = t->parts[i].last = -1;
	t->parts[i].count = 0;
	t->n_parts++;
	return &t->parts[i];
}

static void persisted(struct kafka_tally *t, const rd_kafka_message_t *m)
{
	struct kafka_part *part = find_part(t, m->partition);

	t->done++;
	if (!part)
		return;
	part->count++;
	if (m->offset < 0)
		return;		/* a repeated batch: the broker tells none */
	if (part->first < 0 || m->offset < part->first)
		part->first = m->offset;
	if (m->offset > part->last)
		part->last = m->offset;
}

static void set_first(struct kafka_tally *t, rd_kafka_resp_err_t code)
{
	if (t->first.kind == ERR_NONE || t->first.kind == ERR_CANCELLED)
		kafka_error_set(&t->first, code, NULL);
}

void kafka_tally_fail(struct kafka_tally *t, rd_kafka_resp_err_t code,
		      long long count)
{
	t->failed += count;
	set_first(t, code);
}

static void report(struct kafka_producer *p, const rd_kafka_message_t *m)
{
	p->out--;
	p->bytes -= (long long)(m->len + m->key_len);
	switch (rd_kafka_message_status(m)) {
	case RD_KAFKA_MSG_STATUS_PERSISTED:
		persisted(&p->tally, m);
		return;
	case RD_KAFKA_MSG_STATUS_NOT_PERSISTED:
		p->tally.failed++;
		break;
	default:
		p->tally.unknown++;
	}
	set_first(&p->tally, m->err);
}

static void on_event(struct kafka_handle *h, rd_kafka_event_t *ev)
{
	struct kafka_producer *p = h->arg;
	const rd_kafka_message_t *m;

	while (rd_kafka_event_type(ev) == RD_KAFKA_EVENT_DR &&
	       (m = rd_kafka_event_message_next(ev)))
		report(p, m);
	rd_kafka_event_destroy(ev);
	if (p->wait && p->out <= p->low && p->bytes <= p->low_bytes)
		p->told(p->wait);
}

/* --- life ---------------------------------------------------------------------------- */
static struct kafka_producer *make(struct kafka_client *kc, const char *tx_id,
				   struct err *e)
{
	/* the call's own deadline ends a message's wait */
	static const char *const plain[] = {
		"enable.idempotence", "true", "batch.num.messages", REQUEST,
		"message.timeout.ms", "0", NULL
	};
	const char *tx[] = { "enable.idempotence", "true", "batch.num.messages",
			     REQUEST, "transactional.id", tx_id, NULL };
	struct kafka_producer *p = mem_zalloc(sizeof *p);

	if (!p) {
		err_set(e, ERR_LIMIT, "ENOMEM", "out of memory for a producer");
		return NULL;
	}
	p->h = kafka_handle_new(kc, RD_KAFKA_PRODUCER, *tx_id ? tx : plain, e);
	if (!p->h) {
		mem_free(p);
		return NULL;
	}
	p->held = 1;
	p->h->event = on_event;
	p->h->arg = p;
	snprintf(p->tx_id, sizeof p->tx_id, "%s", tx_id);
	return p;
}

struct kafka_producer *kafka_producer_take(struct kafka_client *kc,
					   const char *tx_id, struct err *e)
{
	struct kafka_producer **at, *p;

	for (at = &kc->producers; (p = *at); at = &p->next) {
		if (strcmp(p->tx_id, tx_id) != 0)
			continue;
		*at = p->next;
		p->next = NULL;
		if (p->h->fatal.kind == ERR_NONE)
			return p;
		kafka_producer_free(p);
		break;
	}
	return make(kc, tx_id, e);
}

void kafka_producer_give(struct kafka_client *kc, struct kafka_producer *p)
{
	struct kafka_producer *other;
	int n = 0;

	if (!p)
		return;
	kafka_tally_clear(&p->tally);
	for (other = kc->producers; other; other = other->next)
		n++;
	if (kc->closed || p->held > 1 || p->spoiled || p->out || n >= KEPT ||
	    p->h->fatal.kind != ERR_NONE) {
		kafka_producer_free(p);
		return;
	}
	p->next = kc->producers;
	kc->producers = p;
}

void kafka_producer_free(struct kafka_producer *p)
{
	if (!p || --p->held > 0)
		return;
	p->h->event = NULL;
	p->h->arg = NULL;
	kafka_handle_drop(p->h);
	kafka_tally_clear(&p->tally);
	mem_free(p);
}

void kafka_producer_purge(struct kafka_producer *p)
{
	p->spoiled = 1;
	p->low = p->low_bytes = 0;
	rd_kafka_purge(p->h->rk, RD_KAFKA_PURGE_F_QUEUE |
		       RD_KAFKA_PURGE_F_INFLIGHT |
		       RD_KAFKA_PURGE_F_NON_BLOCKING);
}

void kafka_producers_close(struct kafka_client *kc)
{
	struct kafka_producer *p;

	while ((p = kc->producers)) {
		kc->producers = p->next;
		kafka_producer_free(p);
	}
}
