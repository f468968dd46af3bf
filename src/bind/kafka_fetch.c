/*
 * kafka_fetch: the library's side of reading: a consumer's handle, the queue of all
 * its partitions, and what was taken from it. Keeps the queue small, so that memory
 * is bounded, and wakes the fetcher, which else sleeps up to a second after the
 * queue was full. Joins a group when it is asked to, else none.
 */
#include "bind/kafka_read.h"

#include <string.h>

#include "core/mem.h"

/* A queued message takes some 500 bytes beside its own. */
#define QUEUE_MESSAGES 30000
#define QUEUE_BYTES (16LL << 20)
#define NUDGE_MS 1000
#define NUDGE_PARTITIONS 64

/* --- waking the fetcher ----------------------------------------------------------- */
/*
 * librdkafka 2.0 looks at a full queue again only when its broker's thread wakes up,
 * by the answer to any request, or after a second. So the leaders of what is left
 * to read are asked something.
 */
struct kafka_nudge {
	struct kafka_handle *h;	/* held */
	struct kafka_fetch *f;	/* borrowed; NULL: closed */
	rd_kafka_topic_partition_list_t *list;	/* owned */
};

static void nudge(struct kafka_fetch *f);

static void nudge_run(void *arg)
{
	struct kafka_nudge *n = arg;

	rd_kafka_offsets_for_times(n->h->rk, n->list, NUDGE_MS);
}

static void nudge_done(void *arg, int abandoned)
{
	struct kafka_nudge *n = arg;
	struct kafka_fetch *f = n->f;

	(void)abandoned;
	rd_kafka_topic_partition_list_destroy(n->list);
	kafka_handle_drop(n->h);
	mem_free(n);
	if (!f)
		return;
	f->nudge = NULL;
	if (f->again)
		nudge(f);
}

/* Partitions of which more is there than was taken. */
static rd_kafka_topic_partition_list_t *behind(const struct kafka_fetch *f)
{
	rd_kafka_topic_partition_list_t *list =
		rd_kafka_topic_partition_list_new(8);
	const char *topic = rd_kafka_topic_name(f->rkt);
	int64_t low, high;
	int i;

	for (i = 0; i < f->range->n && list->cnt < NUDGE_PARTITIONS; i++) {
		const struct kafka_part *p = &f->range->part[i];

		if (!p->over && !rd_kafka_get_watermark_offsets(f->h->rk, topic,
				p->id, &low, &high) && p->next < high)
			rd_kafka_topic_partition_list_add(list, topic, p->id)
				->offset = RD_KAFKA_OFFSET_END;
	}
	return list;
}

static void nudge(struct kafka_fetch *f)
{
	rd_kafka_topic_partition_list_t *list;
	struct kafka_nudge *n;

	f->again = f->nudge != NULL;
	if (f->again)
		return;
	f->full = 0;
	f->nudged = f->count;
	f->nudged_bytes = f->bytes;
	list = behind(f);
	n = list->cnt ? mem_zalloc(sizeof *n) : NULL;
	if (!n) {
		rd_kafka_topic_partition_list_destroy(list);
		return;
	}
	n->h = f->h;
	n->f = f;
	n->list = list;
	kafka_handle_hold(f->h);
	f->nudge = n;
	if (!loop_work_new(nudge_run, nudge_done, n))
		nudge_done(n, 1);
}

/* Was the queue full, and is it half empty by now, or empty after as much as makes
 * it full? */
static void look(struct kafka_fetch *f)
{
	long long left = (long long)rd_kafka_queue_length(f->queue.q);
	long long one = f->count ? f->bytes / f->count + 1 : 1;
	long long room = QUEUE_BYTES / one;

	if (room > QUEUE_MESSAGES)
		room = QUEUE_MESSAGES;
	if (left + f->n >= room - room / 8)
		f->full = 1;
	if ((f->full && left < room / 2) ||
	    (!left && (f->count - f->nudged >= QUEUE_MESSAGES / 2 ||
		       f->bytes - f->nudged_bytes >= QUEUE_BYTES / 2)))
		nudge(f);
}

/* --- messages ------------------------------------------------------------------------ */
int kafka_fetch_take(struct kafka_fetch *f)
{
	ssize_t n;

	n = rd_kafka_consume_batch_queue(f->queue.q, 0, f->batch, KAFKA_BATCH);
	f->at = 0;
	f->n = n < 0 ? 0 : (int)n;
	look(f);
	return f->n;
}

rd_kafka_message_t *kafka_fetch_next(struct kafka_fetch *f)
{
	return f->at < f->n ? f->batch[f->at] : NULL;
}

void kafka_fetch_drop(struct kafka_fetch *f)
{
	rd_kafka_message_t *m = f->batch[f->at++];

	if (!m->err) {
		f->count++;
		f->bytes += (long long)(m->len + m->key_len);
	}
	rd_kafka_message_destroy(m);
}

void kafka_fetch_store(struct kafka_fetch *f, const struct kafka_part *p)
{
	/* of a partition that was taken from us nothing is committed */
	if (f->stores && !p->over)
		rd_kafka_offset_store(f->rkt, p->id, p->next - 1);
}

/* --- groups ---------------------------------------------------------------------------- */
/* The group gives us these partitions, or takes what we have. In the pool, at the
 * end, arg is NULL. */
static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
			 rd_kafka_topic_partition_list_t *list, void *opaque)
{
	struct kafka_handle *h = opaque;
	struct kafka_fetch *f = h->arg;
	int given = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS, i;

	for (i = 0; f && i < list->cnt; i++) {
		struct kafka_part *p = kafka_range_find(f->range,
						list->elems[i].partition);

		if (!p)
			continue;
		p->over = !given;
		p->next = 0;
	}
	rd_kafka_assign(rk, given ? list : NULL);
}

static int join(struct kafka_fetch *f, struct kafka_client *kc,
		const struct kafka_plan *plan, const char *const *more,
		struct err *e)
{
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t code;

	f->h = kafka_handle_member(kc, more, on_rebalance, e);
	if (!f->h)
		return -1;
	f->h->arg = f;
	f->stores = plan->commit;
	list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, plan->topic,
					  RD_KAFKA_PARTITION_UA);
	code = rd_kafka_subscribe(f->h->rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (code)
		kafka_error_set(e, code, NULL);
	return code ? -1 : 0;
}

/* --- life ------------------------------------------------------------------------------ */
static int start(struct kafka_fetch *f, struct err *e)
{
	const struct kafka_range *r = f->range;
	int i;

	for (i = 0; i < r->n; i++) {
		if (r->part[i].over)
			continue;
		if (!rd_kafka_consume_start_queue(f->rkt, r->part[i].id,
						  r->part[i].next, f->queue.q))
			continue;
		kafka_error_set(e, rd_kafka_last_error(), NULL);
		return -1;
	}
	return 0;
}

static int open_handle(struct kafka_fetch *f, struct kafka_client *kc,
		       const struct kafka_plan *plan, struct err *e)
{
	int latest = plan->group && plan->range->n &&
		plan->range->part[0].from.kind == KAFKA_END;
	const char *const more[] = {
		"isolation.level", plan->committed ? "read_committed" :
		"read_uncommitted", "enable.partition.eof", "true",
		"queued.min.messages", "30000",
		"queued.max.messages.kbytes", "16384",
		"fetch.max.bytes", "4194304", "fetch.wait.max.ms", "100",
		plan->group ? "group.id" : NULL, plan->group,
		"auto.offset.reset", latest ? "latest" : "earliest",
		"auto.commit.interval.ms", "1000",
		"enable.auto.commit", plan->commit ? "true" : "false", NULL
	};

	if (plan->group)
		return join(f, kc, plan, more, e);
	f->h = kafka_handle_new(kc, RD_KAFKA_CONSUMER, more, e);
	return f->h ? 0 : -1;
}

int kafka_fetch_open(struct kafka_fetch *f, struct kafka_client *kc,
		     const struct kafka_plan *plan, struct err *e)
{
	memset(f, 0, sizeof *f);
	f->range = plan->range;
	f->batch = mem_alloc(KAFKA_BATCH * sizeof *f->batch);
	if (!f->batch)
		goto memory;
	if (open_handle(f, kc, plan, e) < 0)
		goto fail;
	f->rkt = rd_kafka_topic_new(f->h->rk, plan->topic, NULL);
	if (!f->rkt) {
		kafka_error_set(e, rd_kafka_last_error(), NULL);
		goto fail;
	}
	if (kafka_queue_open(&f->queue, plan->group ?
			     rd_kafka_queue_get_consumer(f->h->rk) :
			     rd_kafka_queue_new(f->h->rk), plan->ready,
			     plan->arg) < 0)
		goto memory;
	if (plan->group || start(f, e) == 0)
		return 0;
fail:
	kafka_fetch_close(f);
	return -1;
memory:
	err_set(e, ERR_LIMIT, "ENOMEM", "out of memory to read '%s'",
		plan->topic);
	goto fail;
}

void kafka_fetch_close(struct kafka_fetch *f)
{
	while (f->at < f->n)
		rd_kafka_message_destroy(f->batch[f->at++]);
	mem_free(f->batch);
	f->batch = NULL;
	f->at = f->n = 0;
	if (f->nudge)
		f->nudge->f = NULL;
	f->nudge = NULL;
	if (f->queue.q)
		kafka_queue_close(&f->queue);
	if (f->rkt)
		rd_kafka_topic_destroy(f->rkt);
	f->rkt = NULL;
	if (f->h && f->h->rebalance)
		f->h->arg = NULL;
	kafka_handle_drop(f->h);
	f->h = NULL;
}
