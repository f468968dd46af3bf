/*
 * fuzz_sql: whatever comes in is judged, or its error has a place within it;
 * what isn't parsed is no read. A text that parses has the same class with a
 * comment before it, as the query of a CTE, and after EXPLAIN ANALYZE, and
 * EXPLAIN alone makes a read of it. A caret is found. Linked with core.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind/pg_sql.h"
#include "core/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int true_, const char *what, const char *text)
{
	if (true_)
		return;
	fprintf(stderr, "fuzz_sql: %s: %s\n", what, text);
	abort();
}

static void check_verdict(const struct pg_sql_verdict *v, int rc, size_t size,
			  const char *text)
{
	check(rc == 0 || rc == 1, "no memory", text);
	check((rc == 1) == (v->error != NULL), "error", text);
	check(!rc || v->cls > EFFECT_READ, "a read that isn't parsed", text);
	check(v->error_at >= -1 && v->error_at <= (long)size, "place", text);
	check(rc || v->tags.count == v->statements ||
	      v->tags.count == PG_SQL_NAMES, "tags", text);
	check(v->cls == EFFECT_READ || *v->why, "no reason", text);
	check(v->parameters >= 0 && v->parameters <= 65535, "parameters", text);
}

/* The same text within another: -1 when that isn't one parsed statement. */
static int class_within(const char *head, const char *text, size_t size,
			const char *tail)
{
	struct pg_sql_verdict v;
	struct buf b = BUF_INIT;
	int rc, cls = -1;

	buf_adds(&b, head);
	buf_add(&b, text, size);
	buf_adds(&b, tail);
	rc = pg_sql_judge(b.data, b.len, &v);
	check_verdict(&v, rc, b.len, b.data);
	if (!rc && v.statements == 1)
		cls = (int)v.cls;
	pg_sql_free(&v);
	buf_release(&b);
	return cls;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct pg_sql_verdict v;
	struct buf copy = BUF_INIT;
	char caret[PG_SQL_CARET];
	int rc, cls;
	size_t n;

	buf_add(&copy, text, size);
	rc = pg_sql_judge(text, size, &v);
	check_verdict(&v, rc, size, copy.data);
	if (!rc && v.statements == 1) {
		cls = class_within("/* drop */ ", text, size, "\n;");
		check(cls < 0 || cls == (int)v.cls, "comment", copy.data);
		cls = class_within("with opsh_x as (", text, size,
				   "\n) select 1");
		check(cls < 0 || cls == (int)v.cls, "CTE", copy.data);
		cls = class_within("explain analyze ", text, size, "\n");
		check(cls < 0 || cls == (int)v.cls, "ANALYZE", copy.data);
		cls = class_within("explain (costs off) ", text, size, "\n");
		check(cls <= EFFECT_READ, "EXPLAIN", copy.data);
	}
	n = pg_sql_caret(text, size, v.error_at < 0 ? (long)size / 2 : v.error_at,
			 caret);
	check(n > 9 && n < sizeof caret && caret[n - 1] == '^', "caret", caret);
	pg_sql_free(&v);
	buf_release(&copy);
	return 0;
}
