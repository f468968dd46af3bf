/*
 * pg_sql_words: the class of a text by its words alone, where there is no tree:
 * one that can't be parsed, the body of a DO. Never a read; destructive when one
 * of the words may be.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "bind/pg_sql_func.h"
#include "bind/pg_sql_scan.h"
#include "bind/pg_sql_walk.h"
#include "core/mem.h"
#include "core/utf8.h"

#define NAME 64				/* Postgres' NAMEDATALEN */

/* Words after which rows, objects or sessions may be gone. */
static const char *const worse[] = {
	"alter", "cluster", "copy", "discard", "drop", "execute", "lock",
	"reindex", "truncate", "vacuum",
};

static void worsen(struct pg_sql_verdict *out, const char *name,
		   const char *what)
{
	out->cls = EFFECT_DESTRUCTIVE;
	snprintf(out->why, sizeof out->why, "%s %s", name, what);
}

static void judge_word(const struct pg_sql_token *t, struct pg_sql_verdict *out)
{
	const struct pg_sql_func *func;
	size_t k, len = t->len, skip = *t->text == '"';
	char name[NAME];

	for (k = 0; k < sizeof worse / sizeof *worse; k++)
		if (pg_sql_is_word(t, worse[k]))
			worsen(out, worse[k], "is in its text");
	if (len > 2 && !strncasecmp(t->text, "u&\"", 3))
		worsen(out, "U&\"...\"", "is in its text");
	if (len < 2 * skip + 1 || len - 2 * skip >= sizeof name)
		return;
	len -= 2 * skip;
	for (k = 0; k < len; k++)
		name[k] = (char)tolower((unsigned char)t->text[k + skip]);
	name[len] = 0;
	func = pg_sql_func_effect(name);
	if (func && (func->cls == EFFECT_DESTRUCTIVE ||
		     func->flags & PG_SQL_RUNS_TEXT))
		worsen(out, func->name, func->why);
}

/* DELETE and UPDATE need their WHERE; FOR UPDATE, DO UPDATE have none. */
static void judge_run(struct pg_sql_tokens *s, struct pg_sql_verdict *out)
{
	int removes = 0, where = 0, clause = 0, more;
	struct pg_sql_token t;

	do {
		more = pg_sql_next(s, &t);
		if (!more || pg_sql_is_word(&t, ";")) {
			if (removes && !where)
				worsen(out, "DELETE or UPDATE",
				       "without WHERE is in its text");
			removes = where = 0;
		}
		if (!more)
			break;
		judge_word(&t, out);
		removes |= pg_sql_is_word(&t, "delete") ||
			(pg_sql_is_word(&t, "update") && !clause);
		where |= pg_sql_is_word(&t, "where");
		clause = pg_sql_is_word(&t, "for") || pg_sql_is_word(&t, "do") ||
			pg_sql_is_word(&t, "key");
	} while (out->cls < EFFECT_DESTRUCTIVE);
}

int pg_sql_judge_words(const char *text, size_t len, int body,
		       struct pg_sql_verdict *out)
{
	struct pg_sql_tokens s;
	char *sql;

	if (out->cls < EFFECT_WRITE) {
		out->cls = EFFECT_WRITE;
		snprintf(out->why, sizeof out->why, "it can't be parsed");
	}
	if (len > PG_SQL_MAX || !utf8_valid(text, len) || memchr(text, 0, len)) {
		worsen(out, "its text", "can't be read");
		return 0;
	}
	sql = pg_sql_has_room(len) ? mem_memdup(text, len) : NULL;
	if (!sql)
		return -1;
	if (!pg_sql_scan(&s, sql, len))
		judge_run(&s, out);
	else if (body)
		worsen(out, "its text", "can't be read");
	pg_sql_scan_release(&s);
	mem_free(sql);
	return 0;
}
