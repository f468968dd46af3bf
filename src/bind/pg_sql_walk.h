/*
 * pg_sql_walk: one pass over a parse tree, which fills a verdict. The walk
 * keeps what surrounds a node: names of CTEs, parts that don't run. The rows
 * of pg_sql_stmt say what each statement is. Internal to pg_sql.
 */
#ifndef OPSH_BIND_PG_SQL_WALK_H
#define OPSH_BIND_PG_SQL_WALK_H

#include "bind/pg_sql.h"
#include "bind/pg_sql_tree.h"

struct pg_sql_todo {
	uint32_t node;
	int what;
};

/* Judges a text that is run by another: texts within texts, `depth` of them. */
typedef int pg_sql_judge_text(const char *text, size_t len, int depth,
			      struct pg_sql_verdict *out);

struct pg_sql_walk {
	struct pg_sql_tree *tree;	/* borrowed */
	struct pg_sql_verdict *out;	/* borrowed */
	struct pg_sql_todo *todo;	/* owned: what is still to see */
	uint32_t todos, todo_cap;
	uint32_t *cte;			/* owned: names in scope, as nodes */
	uint32_t ctes, cte_cap;
	struct buf text;		/* owned: scratch */
	int inert;			/* in a part that doesn't run now */
	int foreign;			/* its $n are not this text's */
	pg_sql_judge_text *judge;	/* of texts within this one */
	int depth;			/* how many this one is within */
	int bad;			/* memory */
};

/* What a row's function answers: look at the children or not. */
enum pg_sql_step { PG_SQL_DOWN, PG_SQL_INERT, PG_SQL_BODY, PG_SQL_FOREIGN };

struct pg_sql_row {
	const char *node;		/* "DeleteStmt" */
	const char *tag;
	enum effect_class cls;
	enum pg_sql_block block;
	unsigned flags;
	const char *why;
	enum pg_sql_step (*judge)(struct pg_sql_walk *walk, uint32_t node);
};

/* pg_sql_walk.c: 0, or -1 for memory. */
int pg_sql_walk_tree(struct pg_sql_tree *tree, struct pg_sql_verdict *out,
		     pg_sql_judge_text *judge, int depth);

/* pg_sql_verdict.c: what is noted. */
void pg_sql_raise(struct pg_sql_walk *walk, enum effect_class cls,
		  const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void pg_sql_block(struct pg_sql_walk *walk, enum pg_sql_block block);
/* The text of a string node, good until the next call. */
const char *pg_sql_text(struct pg_sql_walk *walk, uint32_t node);
/* Adds a name once. 0, 1: the list is full, -1: memory. */
int pg_sql_name_add(struct pg_sql_names *names, const char *name, int once);

/* pg_sql_words.c: by its words alone: destructive when one of them may be, else a
 * write. 0, -1 memory. */
int pg_sql_judge_words(const char *text, size_t len, int body,
		       struct pg_sql_verdict *out);

/* pg_sql_call.c: what a function, operator or relation adds. */
void pg_sql_see_call(struct pg_sql_walk *walk, uint32_t node);
void pg_sql_see_operator(struct pg_sql_walk *walk, uint32_t node);
void pg_sql_see_relation(struct pg_sql_walk *walk, uint32_t node);
/* Takes over what a text that is run adds to its caller's verdict. */
void pg_sql_see_text(struct pg_sql_walk *walk, const char *text, size_t len);

/* pg_sql_stmt.c */
const struct pg_sql_row *pg_sql_row_find(const struct pg_sql_tree *tree,
					 uint32_t node);
/* pg_sql_tag.c: the command tag of a statement, into buf. */
void pg_sql_tag(struct pg_sql_walk *walk, uint32_t node,
		const struct pg_sql_row *row, struct buf *out);
/* pg_sql_where.c: does a WHERE leave rows out, by its looks? */
int pg_sql_where(const struct pg_sql_tree *tree, uint32_t node);

#endif
