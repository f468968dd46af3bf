/*
 * pg_sql_tree: reads the JSON of a parse tree in one pass, with a stack of its
 * own for what is open. Owns the nodes; must not recurse, nor trust the text
 * to be well-formed.
 */
#include "bind/pg_sql_tree.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

struct open {
	uint32_t node, last;		/* a container, and its last child */
};

struct reader {
	struct pg_sql_tree *tree;
	const char *json;
	size_t at, len;
	struct open *open;		/* owned */
	uint32_t depth, cap;
};

static uint32_t add_node(struct pg_sql_tree *tree)
{
	if (tree->count == tree->cap) {
		uint32_t cap = tree->cap ? tree->cap * 2 : 256;
		struct pg_sql_node *node;

		node = mem_realloc(tree->node, cap * sizeof *node);
		if (!node)
			return 0;
		tree->node = node;
		tree->cap = cap;
	}
	memset(&tree->node[tree->count], 0, sizeof *tree->node);
	return tree->count++;
}

static int push_open(struct reader *r, uint32_t node)
{
	if (r->depth == r->cap) {
		uint32_t cap = r->cap ? r->cap * 2 : 64;
		struct open *open = mem_realloc(r->open, cap * sizeof *open);

		if (!open)
			return -1;
		r->open = open;
		r->cap = cap;
	}
	r->open[r->depth].node = node;
	r->open[r->depth++].last = 0;
	return 0;
}

static void skip_blanks(struct reader *r)
{
	while (r->at < r->len && strchr(" \t\r\n", r->json[r->at]) && r->json[r->at])
		r->at++;
}

/* The bytes between the quotes, escapes left in. 0 or 1 (no string). */
static int read_string(struct reader *r, uint32_t *at, uint32_t *len)
{
	size_t from;

	if (r->at >= r->len || r->json[r->at] != '"')
		return 1;
	from = ++r->at;
	while (r->at < r->len && r->json[r->at] != '"')
		r->at += r->json[r->at] == '\\' ? 2 : 1;
	if (r->at >= r->len)
		return 1;
	*at = (uint32_t)from;
	*len = (uint32_t)(r->at++ - from);
	return 0;
}

static int is_place(const struct reader *r, uint32_t key, uint32_t len)
{
	static const char *const names[] =
		{ "location", "stmt_location", "stmt_len" };
	size_t k;

	for (k = 0; k < sizeof names / sizeof *names; k++)
		if (len == strlen(names[k]) && !memcmp(r->json + key, names[k], len))
			return 1;
	return 0;
}

static void hang(struct reader *r, uint32_t node)
{
	struct open *parent;

	if (!r->depth)
		return;
	parent = &r->open[r->depth - 1];
	if (parent->last)
		r->tree->node[parent->last].next = node;
	else
		r->tree->node[parent->node].first = node;
	parent->last = node;
}

/* A number or a word; those that are places get no node. */
static int read_plain(struct reader *r, uint32_t key, uint32_t key_len)
{
	size_t from = r->at;
	uint32_t node;
	struct pg_sql_node *n;

	while (r->at < r->len && !strchr(",]} \t\r\n", r->json[r->at]))
		r->at++;
	if (r->at == from)
		return 1;
	if (is_place(r, key, key_len))
		return 0;
	node = add_node(r->tree);
	if (!node)
		return -1;
	n = &r->tree->node[node];
	n->key = key;
	n->key_len = key_len;
	n->kind = PG_SQL_OTHER;
	n->text = (uint32_t)from;
	n->len = (uint32_t)(r->at - from);
	hang(r, node);
	return 0;
}

static int read_value(struct reader *r, uint32_t key, uint32_t key_len)
{
	char c = r->at < r->len ? r->json[r->at] : 0;
	struct pg_sql_node *n;
	uint32_t node;

	if (c != '{' && c != '[' && c != '"')
		return read_plain(r, key, key_len);
	node = add_node(r->tree);
	if (!node)
		return -1;
	n = &r->tree->node[node];
	n->key = key;
	n->key_len = key_len;
	if (c == '"') {
		uint32_t text, len;

		if (read_string(r, &text, &len))
			return 1;
		n->kind = PG_SQL_STRING;
		n->text = text;
		n->len = len;
		hang(r, node);
		return 0;
	}
	n->kind = c == '{' ? PG_SQL_OBJECT : PG_SQL_ARRAY;
	r->at++;
	hang(r, node);
	return push_open(r, node);
}

/* One member or element of the innermost container, or its end. */
static int read_member(struct reader *r)
{
	struct open *top = &r->open[r->depth - 1];
	int object = r->tree->node[top->node].kind == PG_SQL_OBJECT;
	uint32_t key = 0, key_len = 0;

	skip_blanks(r);
	if (r->at < r->len && r->json[r->at] == ',') {
		r->at++;
		skip_blanks(r);
	}
	if (r->at >= r->len)
		return 1;
	if (r->json[r->at] == (object ? '}' : ']')) {
		r->at++;
		r->depth--;
		return 0;
	}
	if (object) {
		if (read_string(r, &key, &key_len) || key_len > 255)
			return 1;
		skip_blanks(r);
		if (r->at >= r->len || r->json[r->at++] != ':')
			return 1;
		skip_blanks(r);
	}
	return read_value(r, key, key_len);
}

int pg_sql_tree_read(struct pg_sql_tree *tree, const char *json, size_t len)
{
	struct reader r = { .tree = tree, .json = json, .len = len };
	int rc;

	memset(tree, 0, sizeof *tree);
	tree->json = json;
	if (len > UINT32_MAX)
		return 1;
	add_node(tree);
	if (!tree->node)
		return -1;
	rc = len && json[0] == '{' ? read_value(&r, 0, 0) : 1;
	while (!rc && r.depth)
		rc = read_member(&r);
	skip_blanks(&r);
	if (!rc && r.at != len)
		rc = 1;
	mem_free(r.open);
	return rc;
}

void pg_sql_tree_release(struct pg_sql_tree *tree)
{
	mem_free(tree->node);
	memset(tree, 0, sizeof *tree);
}

uint32_t pg_sql_tree_first(const struct pg_sql_tree *tree, uint32_t node)
{
	return tree->node[node].first;
}

uint32_t pg_sql_tree_next(const struct pg_sql_tree *tree, uint32_t node)
{
	return tree->node[node].next;
}

int pg_sql_tree_key(const struct pg_sql_tree *tree, uint32_t node,
		    const char *key)
{
	const struct pg_sql_node *n = &tree->node[node];

	return n->key_len == strlen(key) &&
		!memcmp(tree->json + n->key, key, n->key_len);
}

int pg_sql_tree_is(const struct pg_sql_tree *tree, uint32_t node,
		   const char *text)
{
	const struct pg_sql_node *n = &tree->node[node];

	return node && n->len == strlen(text) &&
		!memcmp(tree->json + n->text, text, n->len);
}

uint32_t pg_sql_tree_get(const struct pg_sql_tree *tree, uint32_t node,
			 const char *key)
{
	uint32_t kid;

	for (kid = tree->node[node].first; kid; kid = tree->node[kid].next)
		if (pg_sql_tree_key(tree, kid, key))
			return kid;
	return 0;
}

int pg_sql_tree_true(const struct pg_sql_tree *tree, uint32_t node,
		     const char *key)
{
	return pg_sql_tree_is(tree, pg_sql_tree_get(tree, node, key), "true");
}

long pg_sql_tree_int(const struct pg_sql_tree *tree, uint32_t node,
		     const char *key)
{
	uint32_t kid = pg_sql_tree_get(tree, node, key);

	if (!kid || tree->node[kid].kind != PG_SQL_OTHER)
		return 0;
	return strtol(tree->json + tree->node[kid].text, NULL, 10);
}

static int add_escape(const char *s, const char *end, struct buf *out)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *p;
	char hex[5] = "", utf8[4];
	unsigned long c;

	if (*s != 'u') {
		p = strchr(from, *s);
		buf_addc(out, p && *s ? to[p - from] : *s);
		return 1;
	}
	if (end - s < 5)
		return 1;
	memcpy(hex, s + 1, 4);
	c = strtoul(hex, NULL, 16);
	if (c < 0x80) {
		buf_addc(out, (char)c);
	} else if (c < 0x800) {
		utf8[0] = (char)(0xc0 | c >> 6);
		utf8[1] = (char)(0x80 | (c & 0x3f));
		buf_add(out, utf8, 2);
	} else {
		utf8[0] = (char)(0xe0 | c >> 12);
		utf8[1] = (char)(0x80 | (c >> 6 & 0x3f));
		utf8[2] = (char)(0x80 | (c & 0x3f));
		buf_add(out, utf8, 3);
	}
	return 5;
}

void pg_sql_tree_text(const struct pg_sql_tree *tree, uint32_t node,
		      struct buf *out)
{
	const struct pg_sql_node *n = &tree->node[node];
	const char *s = tree->json + n->text, *end = s + n->len;

	while (s < end) {
		if (*s == '\\' && s + 1 < end) {
			s++;
			s += add_escape(s, end, out);
		} else {
			buf_addc(out, *s++);
		}
	}
}
