/*
 * pg_sql_tree: the parse tree, read from the JSON that libpg_query writes, as
 * flat nodes that refer into that text. No recursion, so depth costs only
 * memory. Knows JSON, not SQL; places in the text ("location") are left out.
 */
#ifndef OPSH_BIND_PG_SQL_TREE_H
#define OPSH_BIND_PG_SQL_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

enum pg_sql_kind { PG_SQL_OBJECT, PG_SQL_ARRAY, PG_SQL_STRING, PG_SQL_OTHER };

struct pg_sql_node {
	uint32_t key, text;		/* offsets into json */
	uint32_t key_len : 8, kind : 2;
	uint32_t len;			/* of text: a string's, a number's */
	uint32_t first, next;		/* 0: none */
};

struct pg_sql_tree {
	const char *json;		/* borrowed */
	struct pg_sql_node *node;	/* owned; 0 is nothing, 1 the root */
	uint32_t count, cap;
};

/* 0; 1: not the JSON it should be; -1: memory. Release it in each case. */
int pg_sql_tree_read(struct pg_sql_tree *tree, const char *json, size_t len);
void pg_sql_tree_release(struct pg_sql_tree *tree);

/* All take node 0, which has nothing. */
uint32_t pg_sql_tree_get(const struct pg_sql_tree *tree, uint32_t node,
			 const char *key);
uint32_t pg_sql_tree_first(const struct pg_sql_tree *tree, uint32_t node);
uint32_t pg_sql_tree_next(const struct pg_sql_tree *tree, uint32_t node);
/* Is the node's own key, or its text, this one? */
int pg_sql_tree_key(const struct pg_sql_tree *tree, uint32_t node,
		    const char *key);
int pg_sql_tree_is(const struct pg_sql_tree *tree, uint32_t node,
		   const char *text);
int pg_sql_tree_true(const struct pg_sql_tree *tree, uint32_t node,
		     const char *key);
/* The integer under key; 0 when it is absent: zeros aren't written. */
long pg_sql_tree_int(const struct pg_sql_tree *tree, uint32_t node,
		     const char *key);
/* Adds a string's text, its escapes read. */
void pg_sql_tree_text(const struct pg_sql_tree *tree, uint32_t node,
		      struct buf *out);

#endif
