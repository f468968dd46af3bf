/*
 * pg_stmt: the prepared statements of one connection, found by their text; the
 * one that was not used for longest makes room. Owns names and what the server
 * said of parameters and columns. Sends nothing.
 */
#include "bind/pg.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"

void pg_stmt_drop(struct pg_stmt *s)
{
	mem_free(s->sql);
	mem_free(s->types);
	memset(s, 0, sizeof *s);
}

void pg_stmt_drop_all(struct pg_conn *c)
{
	int i;

	for (i = 0; i < PG_STMTS; i++)
		pg_stmt_drop(&c->stmts[i]);
	pg_stmt_drop(&c->scratch);
}

struct pg_stmt *pg_stmt_find(struct pg_conn *c, const char *sql, size_t len)
{
	int i;

	for (i = 0; i < PG_STMTS; i++) {
		struct pg_stmt *s = &c->stmts[i];

		if (s->sql && s->len == len && !memcmp(s->sql, sql, len)) {
			s->used = ++c->clock;
			return s;
		}
	}
	return NULL;
}

struct pg_stmt *pg_stmt_make(struct pg_conn *c, const char *sql, size_t len,
			     char old[24])
{
	struct pg_stmt *s = &c->stmts[0];
	int i;

	old[0] = '\0';
	if (c->pooled || c->pc->o.unnamed) {
		pg_stmt_drop(&c->scratch);
		return &c->scratch;
	}
	for (i = 0; i < PG_STMTS && s->sql; i++)
		if (!c->stmts[i].sql || c->stmts[i].used < s->used)
			s = &c->stmts[i];
	if (s->sql)
		snprintf(old, 24, "%s", s->name);
	pg_stmt_drop(s);
	s->sql = mem_memdup(sql, len);
	if (!s->sql)
		return NULL;
	s->len = len;
	s->used = ++c->clock;
	snprintf(s->name, sizeof s->name, "opsh_%llu", s->used);
	return s;
}

int pg_stmt_described(struct pg_stmt *s, const PGresult *res)
{
	int i;

	s->params = PQnparams(res);
	s->columns = PQnfields(res);
	mem_free(s->types);
	s->types = mem_alloc(((size_t)s->params + (size_t)s->columns + 1) *
			     sizeof *s->types);
	if (!s->types)
		return -1;
	for (i = 0; i < s->params; i++)
		s->types[i] = PQparamtype(res, i);
	for (i = 0; i < s->columns; i++)
		s->types[s->params + i] = PQftype(res, i);
	return 0;
}
