/*
 * pg_sql_scan: the parser library's words, and what has to be looked at before it
 * is called: it ends the process without memory and recurses without a limit.
 * The only includer of its header.
 */
#ifndef OPSH_BIND_PG_SQL_SCAN_H
#define OPSH_BIND_PG_SQL_SCAN_H

#include <pg_query.h>
#include <stddef.h>

struct pg_sql_token {
	const char *text;	/* borrowed: of the text */
	size_t at, len;
};

struct pg_sql_tokens {
	PgQueryScanResult scan;	/* owned: a protobuf message */
	const char *sql;	/* borrowed */
	size_t sql_len, at;
};

/* 0; 1: it can't be read. Release it in each case. */
int pg_sql_scan(struct pg_sql_tokens *s, const char *sql, size_t len);
void pg_sql_scan_release(struct pg_sql_tokens *s);
/* 1: a token; 0: no more. */
int pg_sql_next(struct pg_sql_tokens *s, struct pg_sql_token *token);
int pg_sql_is_word(const struct pg_sql_token *token, const char *word);

/* Is there the memory that a text of that size may take? */
int pg_sql_has_room(size_t len);
/* Could its tree be too deep for the stack? -1: no memory. */
int pg_sql_too_deep(const char *sql, size_t len);

#endif
