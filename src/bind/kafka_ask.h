/*
 * kafka_ask: a call of the client (kafka_call) that asks or orders one thing of
 * the cluster as a whole: what kafka_meta, kafka_group, kafka_offsets, kafka_admin
 * and kafka_config share. It owns the request as librdkafka wants it, looks at the
 * answer for an error, and makes a write's result.
 */
#ifndef OPSH_BIND_KAFKA_ASK_H
#define OPSH_BIND_KAFKA_ASK_H

#include "bind/kafka.h"

#define KAFKA_ASK_TIMES 4	/* questions in one */

struct kafka_ask {
	struct kafka_call call;		/* first */
	char *name;			/* owned: a topic or a group */
	void *req;			/* owned: freed by req_free */
	void (*req_free)(void *req);
	/* of the pool's calls: what is asked, then what came */
	const struct rd_kafka_metadata *meta;	/* owned */
	int32_t controller;
	char *cluster;			/* owned: librdkafka's */
	rd_kafka_topic_partition_list_t *lists[KAFKA_ASK_TIMES];	/* owned */
	int n;				/* of the lists */
	int32_t broker;			/* that is asked; -1: whoever should */
	/* NULL, or: what the broker says of the one thing in its answer; *part
	 * when it did some of it */
	rd_kafka_resp_err_t (*judge)(const struct kafka_ask *ask,
				     const char **why, int *part);
	/* [-0, +n, v] NULL, or pushes what came: of a read the results, of a
	 * write one value */
	int (*push)(lua_State *L, struct kafka_ask *ask);
};

typedef void kafka_ask_send(struct kafka_call *call,
			    rd_kafka_AdminOptions_t *options,
			    rd_kafka_queue_t *queue);

static inline struct kafka_ask *kafka_ask_of(struct kafka_call *call)
{
	return (struct kafka_ask *)(void *)call;
}

/* [-0, +1, v] for the client at 1, options at opts (nil is none). */
struct kafka_ask *kafka_ask_new(lua_State *L, const char *verb,
				enum effect_class cls, int opts);
/* The same with the option `broker`: the request goes to that one. */
struct kafka_ask *kafka_ask_new_at(lua_State *L, const char *verb,
				   enum effect_class cls, int opts);
void kafka_ask_own(struct kafka_ask *ask, void *req, void (*free_req)(void *));
/* [-0, +0, v] */
void kafka_ask_name(lua_State *L, struct kafka_ask *ask, const char *name);
/* [-0, +n, v] Both: `return kafka_ask_..`. */
int kafka_ask_pool(lua_State *L, struct kafka_ask *ask,
		   void (*run)(struct kafka_call *call));
int kafka_ask_admin(lua_State *L, struct kafka_ask *ask,
		    rd_kafka_admin_op_t api, kafka_ask_send *send);

/* --- what a broker says of one group (kafka_group.c) ------------------------------- */
/* NULL: nothing. */
const rd_kafka_group_result_t *kafka_group_result(const struct kafka_ask *ask);
/* For judge: the group's own error, else the first of its partitions; *part when
 * others of them have none. */
rd_kafka_resp_err_t kafka_group_judge(const struct kafka_ask *ask,
				      const char **why, int *part);

/* The functions of the other files, into the table on top. */
void kafka_open_group(lua_State *L);
void kafka_open_offsets(lua_State *L);
void kafka_open_admin(lua_State *L);
void kafka_open_config(lua_State *L);

#endif
