/*
 * pg_sql_scan: reads the library's list of tokens, and by them how deep a text
 * could nest; asks for the memory that the library would die without. Judges
 * nothing.
 */
#include "bind/pg_sql_scan.h"

#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "core/mem.h"

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

static int get_varint(struct pg_sql_tokens *s, size_t end, unsigned long long *out)
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

int pg_sql_next(struct pg_sql_tokens *s, struct pg_sql_token *token)
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

int pg_sql_is_word(const struct pg_sql_token *token, const char *word)
{
	return token->len == strlen(word) &&
		!strncasecmp(token->text, word, token->len);
}

int pg_sql_scan(struct pg_sql_tokens *s, const char *sql, size_t len)
{
	memset(s, 0, sizeof *s);
	s->sql = sql;
	s->sql_len = len;
	s->scan = pg_query_scan(sql);
	return s->scan.error ? 1 : 0;
}

void pg_sql_scan_release(struct pg_sql_tokens *s)
{
	pg_query_free_scan_result(s->scan);
}

int pg_sql_has_room(size_t len)
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
int pg_sql_too_deep(const char *sql, size_t len)
{
	size_t allowed = levels_allowed(), sum = 0, depth = 0, k;
	size_t *run, *most;
	struct pg_sql_tokens s;
	struct pg_sql_token t;
	int rc = 0;

	if (len < allowed)
		return 0;
	run = mem_zalloc(2 * (PARENS + 1) * sizeof *run);
	if (!run)
		return -1;
	most = run + PARENS + 1;
	if (!pg_sql_scan(&s, sql, len)) {
		while (depth <= PARENS && pg_sql_next(&s, &t)) {
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
			sum += pg_sql_is_word(&t, "union") || pg_sql_is_word(&t, "except") ||
				pg_sql_is_word(&t, "intersect");
		}
	}
	for (k = 0; k <= PARENS; k++)
		sum += most[k];
	rc = depth > PARENS || sum > allowed;
	pg_sql_scan_release(&s);
	mem_free(run);
	return rc;
}
