/*
 * kafka_read: what the files share that read messages: kafka_message (one message
 * as a table), kafka_range (from where to where), kafka_fetch (the library's side:
 * a consumer's handle, its queue, what was taken from it), kafka_reader (iterator and
 * list) and kafka_consume (its options). Nobody else includes it.
 */
#ifndef OPSH_BIND_KAFKA_READ_H
#define OPSH_BIND_KAFKA_READ_H

#include "bind/kafka.h"

#define KAFKA_READER "opsh.kafka.reader"
#define KAFKA_MESSAGE "opsh.kafka.message"
#define KAFKA_BATCH 1000	/* messages taken from the queue at once */

/* --- one message (kafka_message.c) ------------------------------------------- */
struct kafka_view {		/* what a message is made of; all borrowed */
	int32_t partition;
	int64_t offset, timestamp;	/* ms since 1970; -1 none */
	const void *key, *value;	/* NULL: there is none */
	size_t key_len, value_len;
	rd_kafka_headers_t *headers;	/* NULL: none */
};

/* Upvalues that a function needs which pushes messages, from the first on. */
#define KAFKA_UPVALUES 10

/* [-0, +KAFKA_UPVALUES, m] topic at idx; decode: of JSON, at idx or 0. */
void kafka_message_upvalues(lua_State *L, int topic, int decode);
/* [-0, +1, v] first: the first of those upvalues. Raises kind protocol when the
 * value should be JSON and is not. */
void kafka_message_push(lua_State *L, const struct kafka_view *m, int first);
/* [-0, +0, v] The message on top, used before, gets the fields of m but headers.
 * what: to be set beside those of every message: KAFKA_FILL_*. */
#define KAFKA_FILL_PARTITION 1
#define KAFKA_FILL_KEY 2	/* it had one */
#define KAFKA_FILL_HEADERS 4	/* the same: they go */
void kafka_message_refill(lua_State *L, const struct kafka_view *m, int first,
			  int what);
/* [-0, +0, v] headers and header_list into the message on top; NULL: empty. */
void kafka_message_headers(lua_State *L, rd_kafka_headers_t *headers);
/* Is 2 the name of a field of headers? Does not raise. */
int kafka_message_lacks(lua_State *L);
/* [-0, +0, m] the metatable of messages */
void kafka_open_message(lua_State *L);

/* --- from where to where (kafka_range.c) --------------------------------------- */
enum kafka_bound_kind { KAFKA_BEGIN, KAFKA_END, KAFKA_OFFSET, KAFKA_LAST,
			KAFKA_TIME, KAFKA_NEVER };

struct kafka_bound {
	enum kafka_bound_kind kind;
	int64_t value;		/* offset, count, ms */
};

struct kafka_part {
	int32_t id;
	struct kafka_bound from, to;
	int64_t low, high;	/* of the log, when asked */
	int64_t next, end;	/* to be read: [next, end) */
	int over;		/* read to its end, or taken from us */
};

struct kafka_range {
	struct kafka_part *part;	/* owned: n, by id */
	int n, left;		/* not over */
};

/* [-0, +0, v] Reads `partition`, `partitions`, `from`, `to` of the table at arg,
 * for a topic of whose partitions nothing is known yet: n 0 is all of them. def:
 * of `from`; endless: `to` may not be given. */
void kafka_range_read(lua_State *L, int arg, struct kafka_range *r,
		      struct kafka_bound all[2], enum kafka_bound_kind def,
		      int endless);
/* Any thread: the partitions that there are come in. -1: *e. */
int kafka_range_fit(struct kafka_range *r, const struct kafka_bound all[2],
		    const char *topic, int partitions, struct err *e);
/* In run() of a call: asks for what the bounds need. -1: call->failed. */
int kafka_range_ask(struct kafka_call *call, struct kafka_range *r,
		    const char *topic);
/* Of a group: which of them are read the group says. */
void kafka_range_of_group(struct kafka_range *r);
struct kafka_part *kafka_range_find(const struct kafka_range *r, int32_t id);
void kafka_range_release(struct kafka_range *r);
/* "0-3 from earliest to end" for the record. */
void kafka_range_text(struct buf *b, const struct kafka_range *r,
		      const struct kafka_bound all[2]);

/* --- the library's side (kafka_fetch.c) ---------------------------------------------- */
struct kafka_fetch {
	struct kafka_handle *h;	/* held; NULL: closed */
	rd_kafka_topic_t *rkt;	/* owned */
	struct kafka_queue queue;	/* owned: messages */
	rd_kafka_message_t **batch;	/* owned: at of n are still ours */
	int at, n;
	struct kafka_range *range;	/* borrowed: the reader's */
	int stores;		/* what is read is to be committed */
	struct kafka_nudge *nudge;	/* borrowed: in the pool */
	int again;		/* another one is wanted after it */
	int full;		/* the queue was so full that the fetcher slept */
	long long count, bytes;	/* taken .. */
	long long nudged, nudged_bytes;	/* .. at the last nudge */
};

struct kafka_plan {		/* how it is read; all borrowed */
	const char *topic;
	struct kafka_range *range;
	int committed;		/* of transactions */
	const char *group;	/* joined; NULL: none is */
	int commit;		/* in that group: what was read */
	void (*ready)(struct kafka_queue *kq);
	void *arg;
};

/* Opens a consumer and begins to read. -1: *e. */
int kafka_fetch_open(struct kafka_fetch *f, struct kafka_client *kc,
		     const struct kafka_plan *plan, struct err *e);
/* It was dealt with: to be committed. */
void kafka_fetch_store(struct kafka_fetch *f, const struct kafka_part *p);
/* Takes what there is; the number of messages. Wakes the fetcher if need be. */
int kafka_fetch_take(struct kafka_fetch *f);
/* The next of them, NULL: take more. Ours until kafka_fetch_drop. */
rd_kafka_message_t *kafka_fetch_next(struct kafka_fetch *f);
void kafka_fetch_drop(struct kafka_fetch *f);
void kafka_fetch_close(struct kafka_fetch *f);	/* zeroed is fine */

/* --- the reader (kafka_reader.c) ------------------------------------------------------- */
struct kafka_reader {		/* user values: 1 client, 2 the reused table */
	struct kafka_fetch f;
	struct kafka_range range;
	struct effect effect;
	struct op *waiter;	/* borrowed */
	struct loop_timer *timer;	/* owned: of its end */
	long long count, bytes, max, max_bytes;
	double timeout, until;	/* of a wait, of the whole; 0: none */
	double last_at;		/* when a message came last */
	int open, turns;
	int list, reuse, joined;	/* how it is read */
	struct kafka_part *last;	/* borrowed: of the message handed over last */
	int used;		/* KAFKA_FILL_*: what the reused table had */
	int32_t partition;	/* of it */
	rd_kafka_message_t *current;	/* borrowed: what the reused table is of;
				   still the first of the batch */
	const char *reached;	/* why it has ended; NULL: not yet */
	char topic[256];
};

/* [-0, +1, m] The function that gives its messages, one by one or as a list; decode:
 * index of a function or nil. */
void kafka_reader_push(lua_State *L, int idx, int topic, int decode);
/* It ends then at the latest. -1: no memory. */
int kafka_reader_until(struct kafka_reader *kr, double until);
void kafka_reader_ready(struct kafka_queue *kq);	/* of kafka_fetch_open */
void kafka_reader_close(struct kafka_reader *kr, enum outcome outcome,
			const struct err *e);
/* [-0, +0, v] Closes it and raises *e. */
_Noreturn void kafka_reader_fail(lua_State *L, struct kafka_reader *kr,
				 struct err *e);
void kafka_open_reader(lua_State *L);

#endif
