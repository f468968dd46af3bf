/*
 * kafka_meet: who the cluster is. Before the first call, and again before a write
 * when that is some seconds ago: brokers and cluster id are asked in the pool and
 * told to the target. Raises why nobody answers. Sends nothing else.
 */
#include "bind/kafka.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"

#define PATIENCE 1.0	/* seconds that all brokers may be down at the start:
			   a name may have another address */

struct kafka_meeting {
	struct op op;
	struct kafka_watch watch;
	struct kafka_client *kc;	/* borrowed: on the waiting frame */
	struct kafka_handle *h;		/* held */
	struct kafka_topic *topic;	/* borrowed: while the task waits */
	struct kafka_topic found;	/* of the thread */
	double began;
	struct err why;		/* of the thread */
	char cluster[160];	/* of the thread */
	struct loop_timer *look;	/* owned: are all brokers down? */
	_Atomic int stop;
};

static void unlink_meeting(struct kafka_meeting *m)
{
	kafka_watch_drop(&m->watch);
	loop_timer_free(m->look);
	m->look = NULL;
}

/* --- in the pool ------------------------------------------------------------------ */
static void read_topic(struct kafka_meeting *m,
		       const struct rd_kafka_metadata *md)
{
	int i;

	if (!m->found.name[0] || !md->topic_cnt)
		return;
	m->found.error = md->topics[0].err;
	m->found.partitions = md->topics[0].partition_cnt;
	m->found.leaderless = 0;
	for (i = 0; i < m->found.partitions; i++)
		m->found.leaderless += md->topics[0].partitions[i].leader < 0;
}

static void meet_run(void *arg)
{
	struct kafka_meeting *m = arg;
	const struct rd_kafka_metadata *md = NULL;
	rd_kafka_topic_t *topic = NULL;
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
	int slice = 400;
	char *id;

	if (m->found.name[0])
		topic = rd_kafka_topic_new(m->h->rk, m->found.name, NULL);
	while (!atomic_load(&m->stop)) {
		code = rd_kafka_metadata(m->h->rk, 0, topic, &md, slice);
		if (!code || (code != RD_KAFKA_RESP_ERR__TIMED_OUT &&
			      code != RD_KAFKA_RESP_ERR__TRANSPORT))
			break;
		slice = slice < 5000 ? slice * 2 : slice;
	}
	if (!code) {
		read_topic(m, md);
		rd_kafka_metadata_destroy(md);
		id = rd_kafka_clusterid(m->h->rk, 200);
		snprintf(m->cluster, sizeof m->cluster, "%s", id ? id : "");
		if (id)
			rd_kafka_mem_free(m->h->rk, id);
	} else {
		kafka_error_set(&m->why, code, NULL);
	}
	if (topic)
		rd_kafka_topic_destroy(topic);
}

static void meet_done(void *arg, int abandoned)
{
	struct kafka_meeting *m = arg;

	(void)abandoned;
	unlink_meeting(m);
	op_done(&m->op);
}

/* --- on the loop --------------------------------------------------------------------- */
static enum op_answer meet_cancel(struct op *op)
{
	struct kafka_meeting *m = (struct kafka_meeting *)op;

	atomic_store(&m->stop, 1);
	unlink_meeting(m);
	m->topic = NULL;
	if (op->err.kind == ERR_TIMEOUT && !op->cancelled) {
		err_set(&op->err, ERR_TIMEOUT, "", "no answer of '%s' within "
			"%.3g s", m->kc->brokers, op->timeout);
		kafka_blame(&op->err, m->h, m->began);
	}
	op->err.phase = op->err.phase ? op->err.phase : PHASE_CONNECT;
	op->err.outcome = OUTCOME_FAILED;
	snprintf(op->err.target, sizeof op->err.target, "%s",
		 m->kc->target->name);
	return OP_DETACH;
}

static void on_down(struct kafka_watch *w, int closed)
{
	struct kafka_meeting *m = (struct kafka_meeting *)(void *)((char *)w -
				offsetof(struct kafka_meeting, watch));
	struct err e = m->h->fault;
	/* a wrong password or certificate gets no better by waiting */
	int final = e.kind == ERR_TLS || e.kind == ERR_AUTH;

	if (closed)
		err_set(&e, ERR_CANCELLED, "", "target '%s' was closed",
			m->kc->target->name);
	else if (e.kind == ERR_NONE ||
		 (!final && loop_now() - m->began < PATIENCE))
		return;
	op_cancel(&m->op, &e);
}

/* librdkafka says only once that it can't connect. */
static void look(void *arg)
{
	struct kafka_meeting *m = arg;

	if (m->h->all_down)
		on_down(&m->watch, 0);
}

/* The attempt left the process: it gets a record. */
static _Noreturn void raise_failed(lua_State *L, struct kafka_client *kc,
				   struct err *e)
{
	struct effect_call call;
	struct effect f;

	memset(&call, 0, sizeof call);
	call.target = kc->target;
	call.cls = EFFECT_READ;
	call.verb = "CONNECT";
	call.request = kc->brokers;
	call.request_len = strlen(kc->brokers);
	call.timeout = kc->o.connect_timeout;
	e->outcome = OUTCOME_FAILED;
	snprintf(e->target, sizeof e->target, "%s", kc->target->name);
	snprintf(e->op, sizeof e->op, "%s", "CONNECT");
	if (effect_begin(L, &f, &call) == EFFECT_GO)
		effect_end(&f, OUTCOME_FAILED, -1, -1, e);
	err_raise(L, e);
}

static int meet_push(lua_State *L, struct op *op)
{
	struct kafka_meeting *m = (struct kafka_meeting *)op;
	char identity[192];

	if (m->why.kind != ERR_NONE) {
		struct err e = m->why;

		kafka_blame(&e, m->h, m->began);
		raise_failed(L, m->kc, &e);
	}
	snprintf(identity, sizeof identity, "%s%s", m->cluster[0] ?
		 "cluster_id=" : "", m->cluster);
	target_seen(m->kc->target, identity, "");
	m->kc->met_at = loop_now();
	m->h->all_down = 0;
	if (m->topic) {
		*m->topic = m->found;
		m->kc->topic = m->found;
		m->kc->topic_at = loop_now();
	}
	return 0;
}

static void meet_release(struct op *op)
{
	struct kafka_meeting *m = (struct kafka_meeting *)op;

	unlink_meeting(m);
	kafka_handle_drop(m->h);
}

static const struct op_class meet_class = {
	"kafka connection", meet_cancel, meet_push, meet_release
};

struct ask {
	struct kafka_client *kc;
	struct kafka_topic *topic;
	double until;
};

/* (ask) Parks until the cluster has answered. */
static int l_meet(lua_State *L)
{
	struct ask a = *(struct ask *)lua_touserdata(L, 1);
	struct kafka_meeting *m = (struct kafka_meeting *)op_new(L,
						&meet_class, sizeof *m);
	double left = a.until - loop_now();
	struct err e;

	m->kc = a.kc;
	m->h = kafka_admin(a.kc, &e);
	if (!m->h)
		err_raise(L, &e);
	kafka_handle_hold(m->h);
	m->topic = a.topic;
	if (a.topic)
		m->found = *a.topic;
	m->began = loop_now();
	if (left > a.kc->o.connect_timeout)
		left = a.kc->o.connect_timeout;
	if (!loop_work_new(meet_run, meet_done, m))
		kafka_no_memory(L);
	op_start(&m->op);
	m->watch.down = on_down;
	kafka_watch_add(m->h, &m->watch);
	m->look = loop_timer_new(PATIENCE + 0.05, 0.5, look, m);
	op_deadline(&m->op, left > 0 ? left : 0);
	return op_park(L, &m->op);
}

static int meet_caught(lua_State *L, int status, lua_KContext ctx)
{
	struct kafka_client *kc = (struct kafka_client *)ctx;
	struct err e;

	if (status == LUA_OK || status == LUA_YIELD)
		return 0;
	if (!err_is(L, -1))
		lua_error(L);
	err_from_lua(L, -1, &e);
	if (e.kind == ERR_CANCELLED || e.kind == ERR_LIMIT || e.op[0])
		lua_error(L);
	raise_failed(L, kc, &e);
}

/* (ask) As l_meet; a failure is recorded. */
static int l_meet_recorded(lua_State *L)
{
	struct ask *a = lua_touserdata(L, 1);
	lua_KContext ctx = (lua_KContext)a->kc;

	lua_pushcfunction(L, l_meet);
	lua_insert(L, 1);
	return meet_caught(L, lua_pcallk(L, 1, 0, 0, ctx, meet_caught), ctx);
}

int kafka_topic_known(const struct kafka_client *kc, struct kafka_topic *topic)
{
	if (strcmp(kc->topic.name, topic->name) || kc->topic.error ||
	    loop_now() - kc->topic_at > KAFKA_FRESH)
		return 0;
	*topic = kc->topic;
	return 1;
}

void kafka_topic_must(lua_State *L, const struct kafka_client *kc,
		      const struct kafka_topic *topic, const char *verb)
{
	struct err e;

	if (!topic->name[0] || !topic->error)
		return;
	kafka_error_set(&e, topic->error, NULL);
	if (topic->error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
	    topic->error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) {
		err_set(&e, ERR_SERVER, "UNKNOWN_TOPIC_OR_PART", "there is no "
			"topic '%s' on '%s'", topic->name, kc->target->name);
		snprintf(e.hint, sizeof e.hint, "topics() lists them, "
			 "create_topic() makes one");
	}
	e.outcome = OUTCOME_FAILED;
	snprintf(e.target, sizeof e.target, "%s", kc->target->name);
	snprintf(e.op, sizeof e.op, "%s", verb);
	err_raise(L, &e);
}

int kafka_must_meet(const struct kafka_client *kc, enum effect_class cls)
{
	if (!kc->met_at || (cls == EFFECT_READ && kc->target->lost))
		return 1;
	return cls != EFFECT_READ && loop_now() - kc->met_at > KAFKA_FRESH;
}

void kafka_meet(lua_State *L, struct kafka_client *kc,
		struct kafka_topic *topic, double until, lua_KContext ctx,
		lua_KFunction k)
{
	struct ask a = { kc, topic, until };

	luaL_checkstack(L, 4, NULL);
	lua_pushcfunction(L, l_meet_recorded);
	lua_pushlightuserdata(L, &a);
	lua_callk(L, 1, 0, ctx, k);
}
