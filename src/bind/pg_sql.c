/*
 * pg_sql: a text parsed and its tree walked, or judged by its words where that
 * fails. A text that could nest too deep for the stack is refused before it is
 * parsed. Owns what the library allocates only within a call.
 */
#include "bind/pg_sql.h"

#include <stdarg.h>
#include <string.h>

#include "bind/pg_sql_scan.h"
#include "bind/pg_sql_walk.h"
#include "core/mem.h"
#include "core/utf8.h"

#define TEXTS 3				/* texts within texts within texts */

static int fail(struct pg_sql_verdict *out, long at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int fail(struct pg_sql_verdict *out, long at, const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(&text, fmt, ap);
	va_end(ap);
	out->error = buf_ok(&text) ? mem_strdup(text.data) : NULL;
	buf_release(&text);
	out->error_at = at;
	return out->error ? 1 : -1;
}

/* The library counts characters from 1. */
static long byte_of(const char *sql, size_t len, int cursor)
{
	size_t at = 0;
	uint32_t cp;
	int n;

	if (cursor <= 0)
		return -1;
	while (--cursor > 0 && at < len) {
		n = utf8_next(sql + at, len - at, &cp);
		at += n ? (size_t)n : 1;
	}
	return (long)at;
}

/* Before the parser sees it: what it can't take, or takes otherwise. */
static int check_text(const char *text, size_t len, struct pg_sql_verdict *out)
{
	size_t at = 0;
	uint32_t cp;
	int n;

	if (len > PG_SQL_MAX)
		return fail(out, -1, "the text has %zu bytes; at most %u can be "
			    "judged", len, PG_SQL_MAX);
	for (; at < len; at += (size_t)n) {
		n = utf8_next(text + at, len - at, &cp);
		if (!n)
			return fail(out, (long)at, "the text is not UTF-8");
		if (!cp)
			return fail(out, (long)at, "the text has a NUL byte");
	}
	return 0;
}

static int judge(const char *text, size_t len, int depth,
		 struct pg_sql_verdict *out);

static int parse(const char *sql, size_t len, int depth,
		 struct pg_sql_verdict *out)
{
	PgQueryParseResult result;
	struct pg_sql_tree tree;
	int rc = pg_sql_has_room(len) ? pg_sql_too_deep(sql, len) : -1;

	if (rc)
		return rc < 0 ? rc : fail(out, -1, "the text nests too deep to "
					  "be judged");
	result = pg_query_parse(sql);
	if (result.error) {
		rc = fail(out, byte_of(sql, len, result.error->cursorpos), "%s",
			  result.error->message ? result.error->message :
			  "it can't be parsed");
		pg_query_free_parse_result(result);
		return rc;
	}
	if (!result.parse_tree)
		return -1;
	rc = pg_sql_tree_read(&tree, result.parse_tree,
			      strlen(result.parse_tree));
	if (!rc)
		rc = pg_sql_walk_tree(&tree, out, judge, depth);
	else if (rc > 0)
		rc = fail(out, -1, "the parser's answer can't be read");
	pg_sql_tree_release(&tree);
	pg_query_free_parse_result(result);
	return rc;
}

static int judge(const char *text, size_t len, int depth,
		 struct pg_sql_verdict *out)
{
	char *sql;
	int rc;

	memset(out, 0, sizeof *out);
	out->error_at = -1;
	rc = depth > TEXTS ? fail(out, -1, "too many texts within texts") :
		check_text(text, len, out);
	if (!rc) {
		sql = mem_memdup(text, len);
		rc = sql ? parse(sql, len, depth, out) : -1;
		mem_free(sql);
	}
	if (rc > 0 && pg_sql_judge_words(text, len, 0, out) < 0)
		rc = -1;
	if (rc < 0 && !out->cls)
		out->cls = EFFECT_WRITE;
	return rc;
}

int pg_sql_judge(const char *text, size_t len, struct pg_sql_verdict *out)
{
	return judge(text, len, 0, out);
}
