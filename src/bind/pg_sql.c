/*
 * pg_sql: the parser's caller, and the only includer of its header. The
 * library recurses without a limit when it writes a tree: a text that could
 * nest too deep for the stack is refused before it is parsed. Owns what the
 * library allocates only within a call.
 */
#include "bind/pg_sql.h"

#include <ctype.h>
#include <pg_query.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "bind/pg_sql_func.h"
#include "bind/pg_sql_walk.h"
#include "core/mem.h"
#include "core/utf8.h"

/* One level took 129 bytes of stack at most (1 + 1 + 1 ...). */
#define LEVEL_BYTES 256
#define STACK_LEAST (1u << 20)
#define STACK_MOST (8u << 20)
#define PARENS 4096			/* the grammar's own limit is near */
/*
 * Without memory the library ends the process. It took 250 times the text at
 * most, and 500 times one that is deep (and so short): so much must be there
 * before it is called.
 */
#define ROOM 256
#define ROOM_SHORT 512
#define SHORT 32768
#define TEXTS 3				/* texts within texts within texts */
#define NAME 64				/* Postgres' NAMEDATALEN */

struct token {
	const char *text;
	size_t at, len;
};

/* Reads the library's list of tokens, a protobuf message. */
struct tokens {
	PgQueryScanResult scan;
	const char *sql;
	size_t sql_len, at;
};

static int get_varint(struct tokens *s, size_t end, unsigned long long *out)
{
	int shift;

	*out = 0;
	for (shift = 0; shift < 64 && s->at < end; shift += 7) {
		unsigned char c = (unsigned char)s->scan.pbuf.data[s->at++];

		*out |= (unsigned long long)(c & 0x7f) << shift;
		if (!(c & 0x80))
			return 0;
	}
	return -1;
}

/* 1: a token; 0: no more. */
static int next_token(struct tokens *s, struct token *token)
{
	unsigned long long key, value, len, from, to;
	size_t end;

	while (s->at < s->scan.pbuf.len) {
		if (get_varint(s, s->scan.pbuf.len, &key) ||
		    get_varint(s, s->scan.pbuf.len, &len))
			return 0;
		if ((key & 7) != 2)		/* the version */
			continue;
		if (len > s->scan.pbuf.len - s->at)
			return 0;
		end = s->at + (size_t)len;
		from = to = 0;
		while (s->at < end) {
			if (get_varint(s, end, &key) || get_varint(s, end, &value))
				return 0;
			if (key >> 3 == 1)
				from = value;
			else if (key >> 3 == 2)
				to = value;
		}
		if (to > s->sql_len || from > to)
			return 0;
		token->text = s->sql + from;
		token->at = (size_t)from;
		token->len = (size_t)(to - from);
		return 1;
	}
	return 0;
}

static int is_word(const struct token *token, const char *word)
{
	return token->len == strlen(word) &&
		!strncasecmp(token->text, word, token->len);
}

static int scan(struct tokens *s, const char *sql, size_t len)
{
	memset(s, 0, sizeof *s);
	s->sql = sql;
	s->sql_len = len;
	s->scan = pg_query_scan(sql);
	return s->scan.error ? 1 : 0;
}

static int has_room(size_t len)
{
	size_t need = len < SHORT ? len * ROOM_SHORT :
		len * ROOM + (size_t)SHORT * ROOM_SHORT;
	void *room = mem_alloc(need + (1u << 20));

	mem_free(room);
	return room != NULL;
}

static size_t levels_allowed(void)
{
	struct rlimit limit;
	size_t stack = STACK_MOST;

	if (!getrlimit(RLIMIT_STACK, &limit) && limit.rlim_cur < stack)
		stack = (size_t)limit.rlim_cur;
	if (stack < STACK_LEAST)
		stack = STACK_LEAST;
	return stack / 2 / LEVEL_BYTES;
}

/*
 * Could the tree be deeper than that? Only tokens nest, and what commas
 * separate stands side by side, but for UNION: so no deeper than the longest
 * run without a comma at each level of parentheses, together.
 */
static int too_deep(const char *sql, size_t len)
{
	size_t allowed = levels_allowed(), sum = 0, depth = 0, k;
	size_t *run, *most;
	struct tokens s;
	struct token t;
	int rc = 0;

	if (len < allowed)
		return 0;
	run = mem_zalloc(2 * (PARENS + 1) * sizeof *run);
	if (!run)
		return -1;
	most = run + PARENS + 1;
	if (!scan(&s, sql, len)) {
		while (depth <= PARENS && next_token(&s, &t)) {
			char c = t.len == 1 ? *t.text : 0;

			if (c == ',' || (c == ';' && !depth)) {
				run[depth] = 0;
			} else if (++run[depth] > most[depth]) {
				most[depth] = run[depth];
			}
			if (c == '(' || c == '[')
				run[++depth <= PARENS ? depth : 0] = 0;
			else if ((c == ')' || c == ']') && depth)
				depth--;
			sum += is_word(&t, "union") || is_word(&t, "except") ||
				is_word(&t, "intersect");
		}
	}
	for (k = 0; k <= PARENS; k++)
		sum += most[k];
	rc = depth > PARENS || sum > allowed;
	pg_query_free_scan_result(s.scan);
	mem_free(run);
	return rc;
}

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

static int parse(const char *sql, size_t len, int depth,
		 struct pg_sql_verdict *out)
{
	PgQueryParseResult result;
	struct pg_sql_tree tree;
	int rc = has_room(len) ? too_deep(sql, len) : -1;

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
		rc = pg_sql_walk_tree(&tree, out, depth);
	else if (rc > 0)
		rc = fail(out, -1, "the parser's answer can't be read");
	pg_sql_tree_release(&tree);
	pg_query_free_parse_result(result);
	return rc;
}

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

static void judge_word(const struct token *t, struct pg_sql_verdict *out)
{
	const struct pg_sql_func *func;
	size_t k, len = t->len, skip = *t->text == '"';
	char name[NAME];

	for (k = 0; k < sizeof worse / sizeof *worse; k++)
		if (is_word(t, worse[k]))
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
static void judge_run(struct tokens *s, struct pg_sql_verdict *out)
{
	int removes = 0, where = 0, clause = 0, more;
	struct token t;

	do {
		more = next_token(s, &t);
		if (!more || is_word(&t, ";")) {
			if (removes && !where)
				worsen(out, "DELETE or UPDATE",
				       "without WHERE is in its text");
			removes = where = 0;
		}
		if (!more)
			break;
		judge_word(&t, out);
		removes |= is_word(&t, "delete") ||
			(is_word(&t, "update") && !clause);
		where |= is_word(&t, "where");
		clause = is_word(&t, "for") || is_word(&t, "do") ||
			is_word(&t, "key");
	} while (out->cls < EFFECT_DESTRUCTIVE);
}

int pg_sql_judge_words(const char *text, size_t len, int body,
		       struct pg_sql_verdict *out)
{
	struct tokens s;
	char *sql;

	if (out->cls < EFFECT_WRITE) {
		out->cls = EFFECT_WRITE;
		snprintf(out->why, sizeof out->why, "it can't be parsed");
	}
	if (len > PG_SQL_MAX || !utf8_valid(text, len) || memchr(text, 0, len)) {
		worsen(out, "its text", "can't be read");
		return 0;
	}
	sql = has_room(len) ? mem_memdup(text, len) : NULL;
	if (!sql)
		return -1;
	if (!scan(&s, sql, len))
		judge_run(&s, out);
	else if (body)
		worsen(out, "its text", "can't be read");
	pg_query_free_scan_result(s.scan);
	mem_free(sql);
	return 0;
}

void pg_sql_free(struct pg_sql_verdict *verdict)
{
	struct pg_sql_names *all[] = { &verdict->tags, &verdict->relations,
		&verdict->functions, &verdict->operators, &verdict->secrets };
	size_t k;
	int i;

	for (k = 0; k < sizeof all / sizeof *all; k++) {
		for (i = 0; i < all[k]->count; i++)
			mem_free(all[k]->name[i]);
		mem_free(all[k]->name);
		all[k]->name = NULL;
		all[k]->count = 0;
	}
	mem_free(verdict->error);
	verdict->error = NULL;
}

int pg_sql_judge_depth(const char *text, size_t len, int depth,
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
	return pg_sql_judge_depth(text, len, 0, out);
}
