/*
 * kafka_producer: a handle that writes, for one call or one transaction at a time,
 * so that giving up what it holds touches nobody else; and the count of what the
 * brokers said of its messages. Idle ones are kept by the client.
 */
#ifndef OPSH_BIND_KAFKA_PRODUCER_H
#define OPSH_BIND_KAFKA_PRODUCER_H

#include "bind/kafka.h"

#define KAFKA_TX_ID 200		/* bytes of a transactional id, at most */
#define KAFKA_REQUEST 8000	/* messages in a request, at most */

struct kafka_part {		/* what was written to a partition */
	int32_t partition;
	int64_t first, last;	/* offsets; -1: not told */
	long long count;
};

struct kafka_tally {		/* of one call */
	long long done, failed, unknown;
	struct kafka_part *parts;	/* owned: those with a message */
	int n_parts, room;
	struct err first;	/* the first failure; kind NONE */
};

struct kafka_producer {
	struct kafka_producer *next;	/* of the client's idle ones */
	struct kafka_handle *h;		/* held */
	char tx_id[KAFKA_TX_ID + 1];	/* "" none */
	int tx_ready;		/* init_transactions was done */
	int spoiled;		/* its messages were given up: not used again */
	long long out, bytes;	/* without a report yet */
	long long low, low_bytes;	/* the wait ends below both */
	struct kafka_tally tally;
	int held;		/* by its owner, by a call within a transaction */
	struct op *wait;	/* borrowed: who waits for reports */
	void (*told)(struct op *wait);	/* they are here; or the producer is
					   gone, and forgotten by now */
};

/* An idle one of that transactional id ("": none), or a new one. NULL: *e */
struct kafka_producer *kafka_producer_take(struct kafka_client *kc,
					   const char *tx_id, struct err *e);
/* Back to the client when it can be used again. kc may be closed. */
void kafka_producer_give(struct kafka_client *kc, struct kafka_producer *p);
void kafka_producer_free(struct kafka_producer *p);	/* by each holder; NULL ok */
/* What it has not got a report for is given up: reports say so soon. */
void kafka_producer_purge(struct kafka_producer *p);
void kafka_tally_clear(struct kafka_tally *t);
/* A message that never left: counted as failed. */
void kafka_tally_fail(struct kafka_tally *t, rd_kafka_resp_err_t code,
		      long long count);

/* --- transactions (kafka_tx.c) --------------------------------------------------- */
#define KAFKA_TX "opsh.kafka.tx"

struct kafka_tx {
	struct kafka_producer *p;	/* owned; NULL before and after */
	char id[KAFKA_TX_ID + 1];
	int failed;		/* something of it failed: to be aborted */
};

/* --- messages (kafka_draft.c) ----------------------------------------------------- */
struct kafka_draft {		/* borrowed: from the Lua stack */
	const char *value, *key;	/* NULL: none */
	size_t value_len, key_len;
	int64_t timestamp;		/* ms; 0: now */
	int32_t partition;
	rd_kafka_headers_t *headers;	/* owned: to be passed on or destroyed */
};

/* [-0, +0, v] Is the message at idx (the n-th) one that can be sent? bytes: of
 * its value and key. */
void kafka_draft_check(lua_State *L, int idx, lua_Integer n,
			 const struct kafka_topic *topic, long long *bytes);
/* [-0, +2, v] Reads it; two values stay on the stack, they hold its strings. m
 * is zeroed but for headers, which were destroyed or are NULL. */
void kafka_draft_read(lua_State *L, int idx, int32_t partition,
			struct kafka_draft *m);

/* --- a call that writes (kafka_produce.c, kafka_reports.c) ----------------------------- */
struct kafka_produce {		/* a call that writes */
	struct op op;			/* never parked itself */
	struct kafka_client *kc;	/* borrowed: argument 1 */
	struct kafka_producer *p;	/* owned while it works; of tx: borrowed */
	struct kafka_tx *tx;		/* borrowed: argument 5; NULL none */
	struct kafka_topic topic;
	rd_kafka_topic_t *rkt;		/* owned */
	rd_kafka_message_t *batch;	/* owned: some */
	struct kafka_draft m;		/* its headers are owned */
	struct effect effect;
	struct buf request;		/* owned */
	double timeout, until;
	int32_t partition;
	lua_Integer n, next;		/* messages; the next to be sent, from 1 */
	long long total;		/* bytes */
	int run;			/* messages that still go where the last went */
	int met, begun, hurried, over, keep, single;
};

/* The producer goes back; what it still holds is given up. */
void kafka_produce_end(struct kafka_produce *c);
/* What became of it, by the counts so far. */
enum outcome kafka_produce_outcome(const struct kafka_produce *c);
/* Fills in outcome, target and op. */
void kafka_produce_name(const struct kafka_produce *c, struct err *e);
/* [-0, +0, v] Waits until no more than that is in flight; c->over: the deadline has
 * passed, and all is counted. Raises the cancel. The last thing of a C function with
 * continuation k, whose context is c. */
void kafka_produce_await(lua_State *L, struct kafka_produce *c, long long low,
			 long long low_bytes, lua_KFunction k);

#endif
