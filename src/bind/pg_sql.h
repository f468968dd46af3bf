/*
 * pg_sql: what an SQL text would do, judged from Postgres' own parse tree
 * (libpg_query, grammar of 15): class, tags, parameters, names, or the parse
 * error and its place. What it can't see is a write. Holds in sessions with
 * standard_conforming_strings on and client_encoding UTF8. It sends nothing,
 * and knows no connection and no Lua.
 */
#ifndef OPSH_BIND_PG_SQL_H
#define OPSH_BIND_PG_SQL_H

#include <stddef.h>

#include "effect/effect.h"

#define PG_SQL_MAX (2u << 20)		/* bytes of one text; more is an error */
#define PG_SQL_NAMES 256		/* of each list; more make it a write */

enum pg_sql_block {
	PG_SQL_ANY,		/* inside a transaction block or not */
	PG_SQL_BARE,		/* some forms refuse a block: send it bare unless
				   the caller has a transaction open */
	PG_SQL_OUTSIDE,		/* must run outside (VACUUM, CREATE DATABASE) */
};

enum pg_sql_flag {
	PG_SQL_TRANSACTION = 1,	/* BEGIN, COMMIT, SAVEPOINT, PREPARE TRANSACTION:
				   refuse in query and exec, use transaction */
	PG_SQL_SESSION = 2,	/* outlives the transaction in the session: SET,
				   PREPARE, LISTEN, DISCARD, advisory locks */
	PG_SQL_ESCAPE = 4,	/* widens what a read may do: role, read_only,
				   standard_conforming_strings. Refuse in reads */
	PG_SQL_COPY_IN = 8,	/* COPY ... FROM STDIN */
	PG_SQL_COPY_OUT = 16,	/* COPY ... TO STDOUT */
	PG_SQL_CURSOR = 32,	/* one plain SELECT: DECLARE CURSOR FOR takes it */
	PG_SQL_OPAQUE = 64,	/* runs what can't be seen: DO, CALL, EXECUTE */
	PG_SQL_LOCKS = 128,	/* locks rows, tables or advisory locks */
};

struct pg_sql_names {
	char **name;		/* owned */
	int count;
};

struct pg_sql_verdict {
	enum effect_class cls;
	enum pg_sql_block block;
	unsigned flags;			/* enum pg_sql_flag */
	int statements;			/* 0: empty, or comments only */
	int parameters;			/* the highest $n */
	char why[96];			/* of the class; "" for a read */
	struct pg_sql_names tags;	/* one a statement: "UPDATE" */
	/* As parse_ident reads them: t, s.t, "Odd"; each once. No names of
	 * CTEs among the relations. */
	struct pg_sql_names relations;
	/* Called (in a read: would run), neither known harmless nor known to
	 * have an effect: pg_sql_lookup says which are volatile or missing; one
	 * such makes a write of a read. */
	struct pg_sql_names functions;
	struct pg_sql_names operators;	/* not Postgres' own: ===, s.<-> */
	/* Passwords that stand in it (ALTER ROLE ... PASSWORD, OPTIONS,
	 * CONNECTION): give them to the redactor before it is recorded. */
	struct pg_sql_names secrets;
	char *error;			/* owned; NULL when it was parsed */
	long error_at;			/* byte offset, -1: no place */
};

/*
 * What can't be seen by names: a function that lies about its volatility, what
 * own types do (casts, domains, their overloads of Postgres' operators), and
 * t.f for f(t). READ ONLY is what holds there.
 *
 * 0: judged. 1: not parsed: error and error_at are set, and class by its
 * words (never a read), for a server whose grammar is newer than ours.
 * -1: memory. Release the verdict in each case.
 */
int pg_sql_judge(const char *text, size_t len, struct pg_sql_verdict *out);
void pg_sql_free(struct pg_sql_verdict *verdict);

/*
 * The question about names that are not known: $1 functions, $2 operators, $3
 * relations, each text[], as a verdict has them. Rows: kind "f", "o" or "r",
 * name, effect (boolean: volatile, missing, or a view that calls such a one).
 * An effect makes a write of a read. The answer holds for the session's
 * search_path, and until the schema changes.
 */
extern const char pg_sql_lookup[];

#define PG_SQL_CARET 640
/* "line N: TEXT", a newline, and a caret under the byte at `place`; the length. */
size_t pg_sql_caret(const char *text, size_t len, long place,
		    char out[PG_SQL_CARET]);

#endif
