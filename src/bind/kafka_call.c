/*
 * kafka_call: a call from its arguments to its results: meets the cluster, asks
 * the boundary, runs in the pool or waits for librdkafka's event. Its parts (what
 * is asked, how an answer looks) are of the files that make calls.
 */
#include "bind/kafka.h"

#include <stdio.h>
#include <string.h>

#include "core/lx.h"
#include "effect/lock.h"
#include "effect/withheld.h"

#define FIRST_SLICE 1000	/* milliseconds */
#define AGAIN 0.1		/* seconds until a coordinator is asked again */

/* --- its life ---------------------------------------------------------------------- */
static void call_release(struct op *op)
{
	struct kafka_call *call = (struct kafka_call *)op;

	kafka_pend_drop(&call->pend);
	loop_timer_free(call->again);
	if (call->clear)
		call->clear(call);
	if (call->ev)
		rd_kafka_event_destroy(call->ev);
	effect_abandon(&call->effect);
	buf_release(&call->request);
	kafka_handle_drop(call->h);
}

static void name_it(const struct kafka_call *call, struct err *e)
{
	snprintf(e->target, sizeof e->target, "%s", call->kc->target->name);
	snprintf(e->op, sizeof e->op, "%s", call->verb);
}

static enum op_answer call_cancel(struct op *op)
{
	struct kafka_call *call = (struct kafka_call *)op;
	int pool = !call->send;

	atomic_store(&call->stop, 1);
	if (op->err.kind == ERR_TIMEOUT && !op->cancelled) {
		err_set(&op->err, ERR_TIMEOUT, "", "'%s' of '%s' was not "
			"answered within %.3g s", call->verb,
			call->kc->target->name, call->timeout);
		op->err.phase = PHASE_WAIT;
		kafka_blame(&op->err, call->h, call->effect.began);
	}
	op->err.outcome = call->cls == EFFECT_READ || call->harmless ?
		OUTCOME_FAILED : OUTCOME_UNKNOWN;
	name_it(call, &op->err);
	effect_end(&call->effect, op->err.outcome, -1, -1, &op->err);
	kafka_pend_drop(&call->pend);
	loop_timer_free(call->again);
	call->again = NULL;
	return pool ? OP_DETACH : OP_NOW;
}

static int call_push(lua_State *L, struct op *op)
{
	struct kafka_call *call = (struct kafka_call *)op;

	return call->push(L, call);
}

static const struct op_class call_class = {
	"kafka call", call_cancel, call_push, call_release
};

struct kafka_call *kafka_call_new(lua_State *L, size_t size, const char *verb,
				  enum effect_class cls, int opts,
				  const char *const *names)
{
	static const char *const always[] = { "timeout", "expect" };
	const char *all[32];
	struct kafka_client *kc = kafka_check(L, 1);
	double timeout = kc->o.timeout;
	struct kafka_call *call;
	struct err e;
	int i, n = 0;

	if (opts && lua_isnoneornil(L, opts))
		opts = 0;
	for (i = 0; names && names[i] && n < 28; i++)
		all[n++] = names[i];
	for (i = 0; i < 2; i++)
		all[n++] = always[i];
	all[n] = NULL;
	if (opts) {
		lx_opt_begin(L, opts, all);
		lua_getfield(L, opts, "timeout");
		timeout = lx_optseconds(L, lua_gettop(L), timeout);
		lua_pop(L, 1);
	}
	call = (struct kafka_call *)op_new(L, &call_class, size);
	buf_init(&call->request);
	call->kc = kc;
	call->verb = verb;
	call->cls = cls;
	call->opts = opts;
	call->timeout = timeout;
	call->until = loop_now() + timeout;
	call->slice = FIRST_SLICE;
	call->h = kafka_admin(kc, &e);
	if (!call->h)
		err_raise(L, &e);
	kafka_handle_hold(call->h);
	return call;
}

/* --- in the pool --------------------------------------------------------------------- */
int kafka_slice(struct kafka_call *call)
{
	double left = (call->until - loop_now()) * 1000;
	int ms = call->slice;

	if (atomic_load(&call->stop) || left <= 0) {
		if (call->failed.kind == ERR_NONE)
			kafka_error_set(&call->failed,
					RD_KAFKA_RESP_ERR__TIMED_OUT, NULL);
		return 0;
	}
	if (call->slice < 8000)
		call->slice *= 2;
	return left < ms ? (int)left + 1 : ms;
}

int kafka_metadata(struct kafka_call *call, int all, const char *only,
		   const struct rd_kafka_metadata **md)
{
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
	rd_kafka_topic_t *topic = NULL;
	int ms;

	if (only)
		topic = rd_kafka_topic_new(call->h->rk, only, NULL);
	while ((ms = kafka_slice(call))) {
		code = rd_kafka_metadata(call->h->rk, all, topic, md, ms);
		if (code != RD_KAFKA_RESP_ERR__TIMED_OUT &&
		    code != RD_KAFKA_RESP_ERR__TRANSPORT)
			break;
	}
	if (topic)
		rd_kafka_topic_destroy(topic);
	if (code)
		kafka_error_set(&call->failed, code, NULL);
	return code ? -1 : 0;
}

static void job_run(void *arg)
{
	struct kafka_call *call = arg;

	call->run(call);
}

static void job_done(void *arg, int abandoned)
{
	(void)abandoned;
	op_done(arg);
}

/* --- an admin request -------------------------------------------------------------------- */
static void ask(struct kafka_call *call);

static void on_again(void *arg)
{
	struct kafka_call *call = arg;

	loop_timer_free(call->again);
	call->again = NULL;
	ask(call);
}

/* A coordinator that has just moved, or is new, has done nothing: librdkafka leaves
 * it to us to ask again. */
static int ask_later(struct kafka_call *call, rd_kafka_event_t *ev,
		     rd_kafka_resp_err_t code)
{
	if (!ev || (code != RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS &&
		    code != RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE &&
		    code != RD_KAFKA_RESP_ERR_NOT_COORDINATOR))
		return 0;
	if (loop_now() + AGAIN >= call->until)
		return 0;
	call->again = loop_timer_new(AGAIN, 0, on_again, call);
	if (!call->again)
		return 0;
	rd_kafka_event_destroy(ev);
	return 1;
}

static void on_answer(struct kafka_pend *p, rd_kafka_event_t *ev)
{
	struct kafka_call *call = (struct kafka_call *)(void *)((char *)p -
					offsetof(struct kafka_call, pend));
	rd_kafka_resp_err_t code = ev ? rd_kafka_event_error(ev) :
		RD_KAFKA_RESP_ERR__DESTROY;

	if (ask_later(call, ev, code))
		return;
	call->ev = ev;
	if (code)
		kafka_error_set(&call->failed, code, ev ?
				rd_kafka_event_error_string(ev) :
				"the target was closed");
	op_done(&call->op);
}

static void set_timeouts(struct kafka_call *call,
			 rd_kafka_AdminOptions_t *options)
{
	double left = (call->until - loop_now()) * 1000;
	char text[256];
	int ms = left < 1 ? 1 : left > 3.6e6 ? 3600000 : (int)left;

	rd_kafka_AdminOptions_set_request_timeout(options, ms, text,
						  sizeof text);
	/* how long the broker itself waits for the others: not for all calls */
	rd_kafka_AdminOptions_set_operation_timeout(options, ms, text,
						    sizeof text);
	rd_kafka_AdminOptions_set_opaque(options, (void *)call->pend.id);
}

static void ask(struct kafka_call *call)
{
	rd_kafka_AdminOptions_t *options;

	call->pend.event = on_answer;
	kafka_pend_add(call->h, &call->pend);
	options = rd_kafka_AdminOptions_new(call->h->rk, call->admin);
	set_timeouts(call, options);
	call->effect.sent = 1;
	op_start(&call->op);
	call->send(call, options, call->h->main.q);
	rd_kafka_AdminOptions_destroy(options);
}

/* --- the stages --------------------------------------------------------------------------- */
/* Offsets are asked for with a group's name. */
static int choose_handle(struct kafka_call *call, struct err *e)
{
	struct kafka_handle *h;

	if (call->admin != RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS)
		return 0;
	h = kafka_grouped(call->kc, e);
	if (!h)
		return -1;
	kafka_handle_drop(call->h);
	call->h = h;
	return 0;
}

static int go(lua_State *L, struct kafka_call *call)
{
	struct effect_call what;
	struct err e;
	double left;

	memset(&what, 0, sizeof what);
	what.target = call->kc->target;
	what.cls = call->cls;
	what.verb = call->verb;
	what.request = call->request.data;
	what.request_len = call->request.len;
	what.items = call->items;
	what.timeout = call->timeout;
	if (!buf_ok(&call->request))
		kafka_no_memory(L);
	if (effect_begin(L, &call->effect, &what) == EFFECT_WITHHELD)
		return effect_push_withheld(L, &call->effect, call->opts);
	if ((call->prepare && call->prepare(call, &e) < 0) ||
	    (call->send && choose_handle(call, &e) < 0)) {
		e.outcome = OUTCOME_FAILED;
		kafka_call_raise(L, call, &e);
	}
	if (call->send) {
		ask(call);
	} else {
		if (!loop_work_new(job_run, job_done, call))
			kafka_no_memory(L);
		call->effect.sent = 1;
		op_start(&call->op);
	}
	left = call->until - loop_now();
	/* the pool's own deadline is told with more */
	op_deadline(&call->op, left > 0 ? left + 0.05 : 0);
	return op_park(L, &call->op);
}

static int call_k(lua_State *L, int status, lua_KContext ctx)
{
	struct kafka_call *call = (struct kafka_call *)ctx;

	(void)status;
	for (;;) {
		if (call->cls != EFFECT_READ)
			lock_ready(L);	/* it may turn the loop: not below */
		if (!kafka_must_meet(call->kc, call->cls) &&
		    (call->met || !call->topic.name[0]))
			break;
		call->met = 1;
		kafka_meet(L, call->kc, call->topic.name[0] ? &call->topic :
			   NULL, call->until, ctx, call_k);
	}
	kafka_topic_must(L, call->kc, &call->topic, call->verb);
	return go(L, call);
}

int kafka_call_go(lua_State *L, struct kafka_call *call)
{
	return call_k(L, LUA_OK, (lua_KContext)call);
}

/* --- the end ---------------------------------------------------------------------------------- */
void kafka_call_done(struct kafka_call *call, long long count)
{
	effect_end(&call->effect, OUTCOME_DONE, count, -1, NULL);
}

/* A write that nobody answered may have been applied. */
static enum outcome outcome_of(const struct kafka_call *call,
			       const struct err *e)
{
	if (e->outcome != OUTCOME_NONE)
		return e->outcome;
	if (call->cls != EFFECT_READ && call->effect.sent && !call->harmless &&
	    (e->kind == ERR_TIMEOUT || !strcmp(e->code, "_TRANSPORT")))
		return OUTCOME_UNKNOWN;
	return OUTCOME_FAILED;
}

void kafka_call_raise(lua_State *L, struct kafka_call *call, struct err *e)
{
	e->outcome = outcome_of(call, e);
	name_it(call, e);
	effect_end(&call->effect, e->outcome, -1, -1, e);
	err_raise(L, e);
}

void kafka_call_fail(lua_State *L, struct kafka_call *call, struct err *e)
{
	e->outcome = outcome_of(call, e);
	if (e->kind == ERR_TIMEOUT) {
		struct err own = *e;

		err_set(e, ERR_TIMEOUT, own.code, "'%s' of '%s' was not "
			"answered within %.3g s", call->verb,
			call->kc->target->name, call->timeout);
		e->phase = PHASE_WAIT;
		e->outcome = own.outcome;
		kafka_blame(e, call->h, call->effect.began);
	}
	kafka_call_raise(L, call, e);
}

int kafka_call_result(lua_State *L, struct kafka_call *call)
{
	(void)call;
	lua_pushboolean(L, 1);
	lua_setfield(L, -2, "ok");
	return effect_push_result(L, lua_gettop(L), 1);
}
