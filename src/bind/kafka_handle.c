/*
 * kafka_handle: a handle of librdkafka's (rd_kafka_t): made, served on the loop,
 * ended in the pool. Hears which broker can't be reached and why, and tells who
 * waits for one. Handles of a mock cluster's client are made for the cluster, which
 * one of them has. Owns the handle; must not know what it is used for.
 */
#include "bind/kafka.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"

#define MOCK "test.mock.num.brokers"

static int alive;

int kafka_handles(void)
{
	return alive;
}

/* --- pending answers -------------------------------------------------------------- */
void kafka_pend_add(struct kafka_handle *h, struct kafka_pend *p)
{
	p->h = h;
	p->id = ++h->last_id;
	p->next = h->pends;
	h->pends = p;
}

void kafka_pend_drop(struct kafka_pend *p)
{
	struct kafka_pend **at;

	if (!p->h)
		return;
	for (at = &p->h->pends; *at && *at != p; )
		at = &(*at)->next;
	if (*at)
		*at = p->next;
	p->h = NULL;
}

static void dispatch(struct kafka_handle *h, rd_kafka_event_t *ev)
{
	uintptr_t id = (uintptr_t)rd_kafka_event_opaque(ev);
	struct kafka_pend *p;

	for (p = h->pends; p && p->id != id; )
		p = p->next;
	if (!p) {
		rd_kafka_event_destroy(ev);	/* nobody waits any more */
		return;
	}
	kafka_pend_drop(p);
	p->event(p, ev);
}

/* --- brokers ------------------------------------------------------------------------ */
void kafka_watch_add(struct kafka_handle *h, struct kafka_watch *w)
{
	w->h = h;
	w->next = h->watches;
	h->watches = w;
}

void kafka_watch_drop(struct kafka_watch *w)
{
	struct kafka_watch **at;

	if (!w->h)
		return;
	for (at = &w->h->watches; *at && *at != w; )
		at = &(*at)->next;
	if (*at)
		*at = w->next;
	w->h = NULL;
}

static void tell_down(struct kafka_handle *h)
{
	struct kafka_watch *w, *next;

	for (w = h->watches; w; w = next) {
		next = w->next;
		w->down(w, 0);
	}
}

void kafka_blame(struct err *e, const struct kafka_handle *h, double since)
{
	struct err own = *e;

	if (!h || h->fault.kind == ERR_NONE || h->fault_at < since ||
	    (e->kind != ERR_TIMEOUT && e->kind != ERR_CONNECT))
		return;
	*e = h->fault;
	e->outcome = own.outcome;
	if (!e->hint[0])
		snprintf(e->hint, sizeof e->hint, "%s", own.hint);
	memcpy(e->target, own.target, sizeof e->target);
	memcpy(e->op, own.op, sizeof e->op);
}

/* librdkafka connects again by itself; who answers then is asked again. */
static void lost(struct kafka_client *kc)
{
	struct err e;

	err_set(&e, ERR_CONNECT, "", "all brokers are down");
	target_lost(kc->target, &e);
}

static void on_error(struct kafka_handle *h, rd_kafka_event_t *ev)
{
	rd_kafka_resp_err_t code = rd_kafka_event_error(ev);
	const char *text = rd_kafka_event_error_string(ev);
	char why[256];

	if (rd_kafka_event_error_is_fatal(ev)) {
		code = rd_kafka_fatal_error(h->rk, why, sizeof why);
		kafka_error_set(&h->fatal, code, why);
	} else if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
		h->all_down = 1;
		if (h->kc && h->kc->met_at)
			lost(h->kc);
		tell_down(h);
	} else {
		kafka_error_broker(&h->fault, code, text ? text : "",
				   atomic_load(&h->x509));
		h->fault_at = loop_now();
		if (h->all_down)
			tell_down(h);
	}
}

static void serve(struct kafka_queue *kq)
{
	struct kafka_handle *h = kq->arg;
	rd_kafka_event_t *ev;

	while ((ev = rd_kafka_queue_poll(kq->q, 0))) {
		switch (rd_kafka_event_type(ev)) {
		case RD_KAFKA_EVENT_ERROR:
			on_error(h, ev);
			rd_kafka_event_destroy(ev);
			break;
		case RD_KAFKA_EVENT_DR:
			if (h->event)
				h->event(h, ev);
			else
				rd_kafka_event_destroy(ev);
			break;
		case RD_KAFKA_EVENT_CREATETOPICS_RESULT:
		case RD_KAFKA_EVENT_DELETETOPICS_RESULT:
		case RD_KAFKA_EVENT_CREATEPARTITIONS_RESULT:
		case RD_KAFKA_EVENT_ALTERCONFIGS_RESULT:
		case RD_KAFKA_EVENT_DESCRIBECONFIGS_RESULT:
		case RD_KAFKA_EVENT_DELETERECORDS_RESULT:
		case RD_KAFKA_EVENT_DELETEGROUPS_RESULT:
		case RD_KAFKA_EVENT_DELETECONSUMERGROUPOFFSETS_RESULT:
		case RD_KAFKA_EVENT_LISTCONSUMERGROUPS_RESULT:
		case RD_KAFKA_EVENT_DESCRIBECONSUMERGROUPS_RESULT:
		case RD_KAFKA_EVENT_LISTCONSUMERGROUPOFFSETS_RESULT:
		case RD_KAFKA_EVENT_ALTERCONSUMERGROUPOFFSETS_RESULT:
			dispatch(h, ev);
			break;
		default:
			if (h->event)
				h->event(h, ev);
			else
				rd_kafka_event_destroy(ev);
		}
	}
}

/* In a thread of librdkafka's: keeps why OpenSSL refuses, decides nothing. */
static int on_certificate(rd_kafka_t *rk, const char *broker, int32_t id,
			  int *x509, int depth, const char *der, size_t len,
			  char *text, size_t size, void *opaque)
{
	struct kafka_handle *h = opaque;

	(void)rk;
	(void)broker;
	(void)id;
	(void)depth;
	(void)der;
	(void)len;
	if (!*x509)
		return 1;
	atomic_store(&h->x509, *x509);
	snprintf(text, size, "refused (%d)", *x509);
	return 0;
}

/* --- life ------------------------------------------------------------------------------ */
static rd_kafka_t *make(struct kafka_handle *h, struct kafka_client *kc,
			rd_kafka_type_t type, const char *const *more,
			struct err *e)
{
	rd_kafka_conf_t *conf = kafka_conf(&kc->o, more, e);
	const char *brokers = NULL;
	char text[512];
	rd_kafka_t *rk;

	if (!conf)
		return NULL;
	if (kc->o.mock && (!more || strcmp(more[0], MOCK))) {
		brokers = kafka_mock_brokers(kc, e);
		if (!brokers)
			goto fail;
		rd_kafka_conf_set(conf, "bootstrap.servers", brokers, NULL, 0);
	}
	rd_kafka_conf_set_opaque(conf, h);
	rd_kafka_conf_set_log_cb(conf, NULL);
	rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_ERROR |
				 (type == RD_KAFKA_PRODUCER ?
				  RD_KAFKA_EVENT_DR : 0));
	if (h->rebalance)
		rd_kafka_conf_set_rebalance_cb(conf, h->rebalance);
	rd_kafka_conf_set_ssl_cert_verify_cb(conf, on_certificate);
	rk = rd_kafka_new(type, conf, text, sizeof text);
	if (rk)
		return rk;
	err_set(e, strstr(text, "ssl.") ? ERR_TLS : ERR_CONFIG, "",
		"cannot set up a client of '%s': %s", kc->target->name, text);
fail:
	rd_kafka_conf_destroy(conf);
	return NULL;
}

static struct kafka_handle *new_handle(struct kafka_client *kc,
				       rd_kafka_type_t type,
				       const char *const *more,
				       kafka_rebalance *rebalance,
				       struct err *e)
{
	struct kafka_handle *h = mem_zalloc(sizeof *h);

	if (!h) {
		err_set(e, ERR_LIMIT, "ENOMEM", "out of memory for a client");
		return NULL;
	}
	h->rebalance = rebalance;
	h->rk = make(h, kc, type, more, e);
	if (!h->rk)
		goto fail;
	if (kafka_queue_open(&h->main, rd_kafka_queue_get_main(h->rk), serve,
			     h) < 0) {
		err_set(e, ERR_LIMIT, "ENOMEM", "out of memory for a queue");
		rd_kafka_destroy(h->rk);
		goto fail;
	}
	alive++;
	h->held = 1;
	h->kc = kc;
	h->next = kc->handles;
	kc->handles = h;
	return h;
fail:
	mem_free(h);
	return NULL;
}

struct kafka_handle *kafka_handle_new(struct kafka_client *kc,
				      rd_kafka_type_t type,
				      const char *const *more, struct err *e)
{
	return new_handle(kc, type, more, NULL, e);
}

struct kafka_handle *kafka_handle_member(struct kafka_client *kc,
					 const char *const *more,
					 kafka_rebalance *rebalance,
					 struct err *e)
{
	return new_handle(kc, RD_KAFKA_CONSUMER, more, rebalance, e);
}

const char *kafka_mock_brokers(struct kafka_client *kc, struct err *e)
{
	char count[16];
	const char *more[] = { MOCK, count, NULL };

	snprintf(count, sizeof count, "%d", kc->o.mock);
	if (!kc->mock)
		kc->mock = kafka_handle_new(kc, RD_KAFKA_PRODUCER, more, e);
	if (!kc->mock)
		return NULL;
	return rd_kafka_mock_cluster_bootstraps(
		rd_kafka_handle_mock_cluster(kc->mock->rk));
}

void kafka_handle_hold(struct kafka_handle *h)
{
	h->held++;
}

static void unlink_handle(struct kafka_handle *h)
{
	struct kafka_handle **at;

	if (!h->kc)
		return;
	for (at = &h->kc->handles; *at && *at != h; )
		at = &(*at)->next;
	if (*at)
		*at = h->next;
	h->kc = NULL;
}

void kafka_handle_deafen(struct kafka_handle *h)
{
	struct kafka_pend *p;

	unlink_handle(h);
	kafka_queue_close(&h->main);
	while ((p = h->pends)) {
		kafka_pend_drop(p);
		p->event(p, NULL);
	}
	while (h->watches)
		h->watches->down(h->watches, 1);
}

static void end_run(void *arg)
{
	struct kafka_handle *h = arg;

	/* a member leaves its group, so that nobody waits for it */
	rd_kafka_destroy_flags(h->rk, h->rebalance ? 0 :
			       RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

static void end_done(void *arg, int abandoned)
{
	struct kafka_handle *h = arg;

	(void)abandoned;
	alive--;
	mem_free(h);
}

void kafka_handle_drop(struct kafka_handle *h)
{
	if (!h || --h->held > 0)
		return;
	unlink_handle(h);
	kafka_queue_close(&h->main);
	if (loop_work_new(end_run, end_done, h))
		return;
	end_run(h);
	end_done(h, 0);
}
