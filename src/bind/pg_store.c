/*
 * pg_store: rows as they came: in one piece of memory, each value with its length
 * before it, or libpq's own result. Bounded in size. Decodes nothing.
 */
#include "bind/pg.h"

#include <stdint.h>
#include <string.h>

#include "core/mem.h"

#define NULL_LEN UINT32_MAX

void pg_store_init(struct pg_store *s, long long max)
{
	memset(s, 0, sizeof *s);
	buf_init(&s->data);
	buf_init(&s->at);
	buf_init(&s->names);
	s->max = max;
}

void pg_store_release(struct pg_store *s)
{
	buf_release(&s->data);
	buf_release(&s->at);
	buf_release(&s->names);
	mem_free(s->col);
	s->col = NULL;
	PQclear(s->res);
	s->res = NULL;
	s->rows = 0;
	s->columns = 0;
}

int pg_store_header(struct pg_store *s, const PGresult *res)
{
	int i, n = PQnfields(res);

	if (s->col)
		return 0;
	s->col = mem_zalloc(((size_t)n + 1) * sizeof *s->col);
	if (!s->col)
		return -1;
	s->columns = n;
	for (i = 0; i < n; i++) {
		const char *name = PQfname(res, i);

		s->col[i].type = PQftype(res, i);
		s->col[i].format = PQfformat(res, i);
		s->col[i].modifier = PQfmod(res, i);
		buf_add(&s->names, name, strlen(name) + 1);
	}
	return buf_ok(&s->names) ? 0 : -1;
}

void pg_store_add(struct pg_store *s, const PGresult *res)
{
	size_t at = s->data.len, size = 0;
	uint32_t len;
	int i;

	if (pg_store_header(s, res) < 0) {
		s->bad = 1;
		return;
	}
	for (i = 0; i < s->columns; i++)
		size += 4 + (size_t)PQgetlength(res, 0, i);
	if (s->max && (long long)(s->data.len + size) > s->max) {
		s->full = 1;
		return;
	}
	buf_add(&s->at, &at, sizeof at);
	if (!buf_reserve(&s->data, size) || !buf_ok(&s->at)) {
		s->bad = 1;
		return;
	}
	for (i = 0; i < s->columns; i++) {
		len = PQgetisnull(res, 0, i) ? NULL_LEN :
			(uint32_t)PQgetlength(res, 0, i);
		buf_add(&s->data, &len, 4);
		if (len != NULL_LEN)
			buf_add(&s->data, PQgetvalue(res, 0, i), len);
	}
	s->rows++;
}

const char *pg_store_get(const struct pg_store *s, long long row, int column,
			 size_t *len)
{
	const char *p;
	uint32_t n = 0;
	size_t at;

	if (s->res) {
		if (PQgetisnull(s->res, (int)row, column))
			return NULL;
		*len = (size_t)PQgetlength(s->res, (int)row, column);
		return PQgetvalue(s->res, (int)row, column);
	}
	memcpy(&at, s->at.data + (size_t)row * sizeof at, sizeof at);
	p = s->data.data + at;
	for (;; column--) {
		memcpy(&n, p, 4);
		p += 4;
		if (column == 0)
			break;
		if (n != NULL_LEN)
			p += n;
	}
	*len = n;
	return n == NULL_LEN ? NULL : p;
}

void pg_store_drop(struct pg_store *s)
{
	PQclear(s->res);
	s->res = NULL;
	s->rows = 0;
}
