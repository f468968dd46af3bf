/*
 * kafka: what the kafka_*.c files share and nobody else sees. A client (one a
 * target) opens librdkafka's handles when they are needed: one for questions and
 * administration, others for producing and consuming. librdkafka has threads of
 * its own; what they have to say comes as events, on our loop. The only file that
 * includes headers of librdkafka's.
 */
#ifndef OPSH_BIND_KAFKA_H
#define OPSH_BIND_KAFKA_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <lua.h>
#include <stdatomic.h>

#include "core/buf.h"
#include "core/loop.h"
#include "core/op.h"
#include "effect/effect.h"
#include "effect/keywords.h"

#define KAFKA_CLIENT "opsh.kafka.client"

#define KAFKA_FRESH 2.0		/* seconds that an identity counts as read */

/* --- options (kafka_options.c) ----------------------------------------------- */
struct kafka_options {		/* librdkafka's properties, as opsh.kafka made
				   them of a target's options */
	struct keywords properties;	/* owned */
	int mock;		/* brokers of a mock cluster; 0: real ones */
	double timeout, connect_timeout;
};

/* [-0, +0, v] reads the table at arg. */
void kafka_options_read(lua_State *L, int arg, struct kafka_options *o);
void kafka_options_release(struct kafka_options *o);
/* Of the client's options and `more` (name, value, .., NULL), which wins. NULL:
 * *e says why. The caller owns it: rd_kafka_new takes it. */
rd_kafka_conf_t *kafka_conf(const struct kafka_options *o,
			    const char *const *more, struct err *e);

/* --- errors (kafka_error.c) ---------------------------------------------------- */
/* Any thread. kind by the code, e->code its name ("_MSG_TIMED_OUT"); text NULL:
 * librdkafka's own for the code. */
void kafka_error_set(struct err *e, rd_kafka_resp_err_t code,
		     const char *text);
/* The same of an error object, which it destroys. */
void kafka_error_take(struct err *e, rd_kafka_error_t *error);
/* Of an event of librdkafka about a broker ("host:9092/1: Connect to .. failed:
 * .."): who, in which phase, why. x509: what the certificate was refused for. */
void kafka_error_broker(struct err *e, rd_kafka_resp_err_t code,
			const char *text, int x509);
/* [-0, +0, v] for NULL of an allocation. */
_Noreturn void kafka_no_memory(lua_State *L);

/* --- queues (kafka_event.c) ------------------------------------------------------ */
/* A queue of librdkafka that the loop hears of. Embed it. ready() is called on
 * the loop when there is something: it has to take all there is (it is told once,
 * when the queue was empty before), touches no lua_State, copies, op_done. Does not
 * keep the loop alive by itself. */
struct kafka_queue {
	rd_kafka_queue_t *q;	/* owned */
	int fd;			/* owned: eventfd */
	struct loop_watch *watch;	/* owned */
	void (*ready)(struct kafka_queue *kq);
	void *arg;
};
/* Takes q over, also when it fails: -1, out of memory. */
int kafka_queue_open(struct kafka_queue *kq, rd_kafka_queue_t *q,
		     void (*ready)(struct kafka_queue *kq), void *arg);
void kafka_queue_close(struct kafka_queue *kq);	/* zeroed is fine; on the loop */

/* --- handles (kafka_handle.c) ------------------------------------------------------ */
struct kafka_handle;
struct kafka_client;
struct kafka_producer;

/* An answer that will come on the handle's queue, known by its number: it is the
 * opaque of rd_kafka_AdminOptions_set_opaque. Embed it. */
struct kafka_pend {
	struct kafka_pend *next;
	struct kafka_handle *h;	/* borrowed; NULL: not waiting */
	uintptr_t id;
	/* On the loop; the event is the callee's; NULL: the client was closed.
	 * Off the list already. */
	void (*event)(struct kafka_pend *p, rd_kafka_event_t *ev);
};
void kafka_pend_add(struct kafka_handle *h, struct kafka_pend *p);
void kafka_pend_drop(struct kafka_pend *p);	/* the answer is thrown away */

/* Somebody who waits until a broker of the handle's answers. Embed it. */
struct kafka_watch {
	struct kafka_watch *next;
	struct kafka_handle *h;	/* borrowed; NULL: not waiting */
	/* On the loop: no broker is connected; closed: the client was closed, and
	 * it has to leave the list. */
	void (*down)(struct kafka_watch *w, int closed);
};
void kafka_watch_add(struct kafka_handle *h, struct kafka_watch *w);
void kafka_watch_drop(struct kafka_watch *w);

typedef void kafka_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
			     rd_kafka_topic_partition_list_t *list,
			     void *opaque);

/* A handle lives as long as it is held: by the client, by a call in the pool, by
 * a producer or consumer in Lua. Its end runs in the pool (rd_kafka_destroy). */
struct kafka_handle {
	struct kafka_client *kc;	/* borrowed; NULL: the client is closed */
	struct kafka_handle *next;	/* of the client's */
	rd_kafka_t *rk;			/* owned */
	struct kafka_queue main;	/* owned: its events */
	struct kafka_pend *pends;
	uintptr_t last_id;
	int held;
	_Atomic int x509;	/* set by librdkafka's threads */
	int all_down;		/* no broker is connected */
	struct err fault;	/* the last trouble with a broker; kind NONE */
	double fault_at;
	struct err fatal;	/* the handle is of no use any more: fenced .. */
	struct kafka_watch *watches;
	/* Delivery reports and what else has no pend: on the loop, the event is
	 * the callee's. NULL: dropped. */
	void (*event)(struct kafka_handle *h, rd_kafka_event_t *ev);
	void *arg;		/* of event(); of rebalance() */
	kafka_rebalance *rebalance;	/* a member of a group */
};

/* A new handle, held once by the caller; more as in kafka_conf, or NULL. Starts
 * threads and connects beside the program. NULL: *e. Not to be used before the
 * client was met (kafka_meet), so that its target is known. */
struct kafka_handle *kafka_handle_new(struct kafka_client *kc,
				      rd_kafka_type_t type,
				      const char *const *more, struct err *e);
/* The same of a consumer in a group (more names it): rebalance() is called by
 * rd_kafka_consume_batch_queue, and in the pool at the end, with the handle as opaque.
 * It leaves the group when it ends. */
struct kafka_handle *kafka_handle_member(struct kafka_client *kc,
					 const char *const *more,
					 kafka_rebalance *rebalance,
					 struct err *e);
void kafka_handle_hold(struct kafka_handle *h);
void kafka_handle_drop(struct kafka_handle *h);	/* on the loop; NULL ok */
/* The client goes: nothing is heard of the handle any more, whoever holds it. */
void kafka_handle_deafen(struct kafka_handle *h);
int kafka_handles(void);	/* that librdkafka has not ended yet */
/* Puts the last trouble with a broker in the place of *e, when *e only says that
 * time is over, and the trouble is of later than `since`. */
void kafka_blame(struct err *e, const struct kafka_handle *h, double since);
/* "host:port,.." of the client's mock cluster, which it starts. NULL: *e */
const char *kafka_mock_brokers(struct kafka_client *kc, struct err *e);

/* --- the client (kafka_client.c, kafka_meet.c) ------------------------------ */
/* What a meeting is asked beside the identity: is there such a topic? */
struct kafka_topic {
	char name[256];
	rd_kafka_resp_err_t error;
	int partitions;
	int leaderless;		/* of them */
};
struct kafka_client {
	struct target *target;	/* borrowed: user value 1 */
	struct kafka_options o;	/* owned */
	struct kafka_handle *handles;	/* borrowed list of those that live */
	struct kafka_handle *admin;	/* held: a consumer without a group, as a
					   producer's questions may make topics */
	struct kafka_handle *grouped;	/* held: the same with a group's name */
	struct kafka_handle *mock;	/* held: has the mock cluster */
	struct kafka_producer *producers;	/* owned: kafka_produce.c's */
	char brokers[256];	/* bootstrap list, for messages */
	double met_at;		/* when its identity was last read; 0 never */
	struct kafka_topic topic;	/* the last one asked for, then */
	double topic_at;
	int closed;
};

/* [-0, +0, v] the client at arg, open. */
struct kafka_client *kafka_check(lua_State *L, int arg);
/* The handle for questions, opened when needed; not held for the caller. It
 * serves metadata, watermarks, offsets_for_times, all of the admin API. */
struct kafka_handle *kafka_admin(struct kafka_client *kc, struct err *e);
/* The handle for what groups have committed; held for the caller. librdkafka 2.0.2
 * dies of NOT_COORDINATOR in that answer when its handle has no group's name
 * (rd_kafka_cgrp_op of NULL). It joins none. */
struct kafka_handle *kafka_grouped(struct kafka_client *kc, struct err *e);

/* [-0, +0, v] Waits until the cluster has answered, told the target who it is
 * (target_seen), and said of the topic (NULL: none). Raises what is wrong: connect,
 * tls, auth, timeout, and leaves a record of it. The last thing of a C function with
 * continuation k. */
void kafka_meet(lua_State *L, struct kafka_client *kc,
		struct kafka_topic *topic, double until, lua_KContext ctx,
		lua_KFunction k);
/* Was the topic asked for a moment ago? Then *topic is filled. */
int kafka_topic_known(const struct kafka_client *kc, struct kafka_topic *topic);
/* [-0, +0, v] Raises when it is not there, or can't be looked at. */
void kafka_topic_must(lua_State *L, const struct kafka_client *kc,
		      const struct kafka_topic *topic, const char *verb);
/* Is a meeting needed before a call of this class? */
int kafka_must_meet(const struct kafka_client *kc, enum effect_class cls);
void kafka_open_client(lua_State *L);

/* --- calls (kafka_call.c) --------------------------------------------------------------- */
/*
 * One question or one order: meets the cluster, passes the boundary, then either
 * runs in the pool or is an admin request, and its results are pushed.
 *
 *	struct my_call { struct kafka_call call; ... };		(call first)
 *
 *	static int l_client_groups(lua_State *L) {
 *		struct my_call *m = (struct my_call *)kafka_call_new(L,
 *			sizeof *m, "groups", EFFECT_READ, OPTS, names);
 *		... the arguments, copied into *m; buf_adds(&m->call.request, ..)
 *		m->call.run = groups_run;	(or .send)
 *		m->call.push = groups_push;
 *		m->call.clear = groups_clear;	(frees what *m owns)
 *		return kafka_call_go(L, &m->call);
 *	}
 *
 * run(): in a thread of the pool. No lua_State, no kc, nothing of the loop: only
 * *m and call->h->rk. Waits by kafka_slice and gives up when it says 0, so that
 * nobody waits for a call that was cancelled. What goes wrong: call->failed.
 * send(): on the loop: rd_kafka_CreateTopics(call->h->rk, .., options, queue);
 * the event is in call->ev when push() comes, unless call->failed was set.
 * push(): in the task; returns the number of results or raises call->failed by
 * kafka_call_fail. It ends the effect by kafka_call_done.
 */
struct kafka_call {
	struct op op;
	struct kafka_client *kc;	/* borrowed: argument 1 of the frame */
	struct kafka_handle *h;		/* held; default: the client's admin */
	struct effect effect;
	enum effect_class cls;
	const char *verb;
	struct buf request;		/* owned: for the record */
	long long items;		/* of a batch; 0 */
	int opts;			/* stack index of the options, 0 none */
	double timeout, until;
	struct kafka_topic topic;	/* name set: is asked with the meeting,
					   and must be there */
	/* NULL, or: on the loop, when the boundary has let it pass; may put
	 * another handle in h (held). -1: *e */
	int (*prepare)(struct kafka_call *call, struct err *e);
	void (*run)(struct kafka_call *call);
	rd_kafka_admin_op_t admin;	/* of send() */
	void (*send)(struct kafka_call *call, rd_kafka_AdminOptions_t *options,
		     rd_kafka_queue_t *queue);
	int (*push)(lua_State *L, struct kafka_call *call);
	void (*clear)(struct kafka_call *call);
	rd_kafka_event_t *ev;		/* owned */
	struct err failed;
	struct kafka_pend pend;
	struct loop_timer *again;	/* owned: until it is asked again */
	_Atomic int stop;		/* nobody waits any more */
	int slice;
	int met;
	int harmless;			/* a write that nothing comes of when
					   its reply is lost: failed then */
};

/* [-0, +1, v] Makes it for the client at 1 (size: of the whole); zeroed but for
 * this. opts: index of its options table or 0; names: the options it takes beside
 * `timeout` and `expect` (NULL: none); an unknown one raises. */
struct kafka_call *kafka_call_new(lua_State *L, size_t size, const char *verb,
				  enum effect_class cls, int opts,
				  const char *const *names);
/* [-0, +n, v] `return kafka_call_go(L, call);` */
int kafka_call_go(lua_State *L, struct kafka_call *call);
/* In run(): milliseconds to wait next, growing; 0: it is over, call->failed says
 * why. */
int kafka_slice(struct kafka_call *call);
/* In run(): brokers and topics. all: each topic; only: that one; neither: brokers
 * alone. 0 and *md (rd_kafka_metadata_destroy), or -1 and call->failed. A topic that
 * is not there has its error in *md. */
int kafka_metadata(struct kafka_call *call, int all, const char *only,
		   const struct rd_kafka_metadata **md);
/* In push(): the effect ends as done. count: rows, -1 none. */
void kafka_call_done(struct kafka_call *call, long long count);
/* [-0, +0, v] In push(): ends the effect (a write whose reply was lost is
 * unknown when *e says so; failed otherwise) and raises *e. */
_Noreturn void kafka_call_fail(lua_State *L, struct kafka_call *call,
			       struct err *e);
/* [-0, +0, v] The same, *e as it is (its outcome set, or NONE). */
_Noreturn void kafka_call_raise(lua_State *L, struct kafka_call *call,
				struct err *e);
/* [-1, +1, m] In push(), of a write: the table of fields on top becomes a result,
 * with ok = true. */
int kafka_call_result(lua_State *L, struct kafka_call *call);

/* --- the parts' functions, into the table on top ------------------------------------------ */
void kafka_open_mock(lua_State *L);		/* kafka_mock.c */
void kafka_open_produce(lua_State *L);		/* kafka_produce.c */
void kafka_open_tx(lua_State *L);		/* kafka_tx.c */
void kafka_open_meta(lua_State *L);		/* kafka_meta.c: questions, orders */
void kafka_open_consume(lua_State *L);		/* kafka_consume.c: reading */

/* kafka_produce.c: what the client still has, at its end. */
void kafka_producers_close(struct kafka_client *kc);

#endif
