/*
 * pg_sql_call: what the functions, operators and relations that a tree names
 * add to its verdict: an effect that is known, or a name to look up. Must not
 * judge statements.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "bind/pg_sql_func.h"
#include "bind/pg_sql_walk.h"

static void add_identifier(struct buf *out, const char *name)
{
	const char *p = name;

	if (islower((unsigned char)*p) || *p == '_') {
		while (islower((unsigned char)*p) || isdigit((unsigned char)*p) ||
		       *p == '_')
			p++;
	}
	if (!*p && *name) {
		buf_adds(out, name);
		return;
	}
	buf_addc(out, '"');
	for (p = name; *p; p++) {
		if (*p == '"')
			buf_addc(out, '"');
		buf_addc(out, *p);
	}
	buf_addc(out, '"');
}

static void add_name(struct pg_sql_walk *walk, struct pg_sql_names *names,
		     struct buf *name)
{
	int rc = buf_ok(name) ? pg_sql_name_add(names, name->data, 1) : -1;

	if (rc < 0)
		walk->bad = 1;
	else if (rc)
		pg_sql_raise(walk, EFFECT_WRITE, "it has too many names to check");
}

/* The last name of a list of String nodes; its schema, or 0. */
static uint32_t last_name(const struct pg_sql_tree *t, uint32_t list,
			  uint32_t *schema)
{
	uint32_t item, node = 0;

	*schema = 0;
	for (item = pg_sql_tree_first(t, list); item;
	     item = pg_sql_tree_next(t, item)) {
		*schema = node;
		node = pg_sql_tree_get(t, pg_sql_tree_get(t, item, "String"),
				       "sval");
	}
	return node;
}

/* An argument that is a string as it stands; 0 when it is none. */
static uint32_t string_of(const struct pg_sql_tree *t, uint32_t arg)
{
	uint32_t node = pg_sql_tree_get(t, arg, "A_Const");
	uint32_t cast = pg_sql_tree_get(t, arg, "TypeCast");
	uint32_t named = pg_sql_tree_get(t, arg, "NamedArgExpr");

	if (named)
		arg = pg_sql_tree_get(t, named, "arg");
	if (named)
		node = pg_sql_tree_get(t, arg, "A_Const");
	if (cast)
		node = pg_sql_tree_get(t, pg_sql_tree_get(t, cast, "arg"),
				       "A_Const");
	node = pg_sql_tree_get(t, node, "sval");
	return pg_sql_tree_get(t, node, "sval");
}

static uint32_t argument(const struct pg_sql_tree *t, uint32_t call, int n)
{
	uint32_t arg = pg_sql_tree_first(t, pg_sql_tree_get(t, call, "args"));

	while (arg && n-- > 0)
		arg = pg_sql_tree_next(t, arg);
	return arg;
}

static int is_true(const struct pg_sql_tree *t, uint32_t arg)
{
	uint32_t cast = pg_sql_tree_get(t, arg, "TypeCast");
	uint32_t node = pg_sql_tree_get(t, arg, "A_Const");

	if (cast)
		node = pg_sql_tree_get(t, pg_sql_tree_get(t, cast, "arg"),
				       "A_Const");
	if (pg_sql_tree_true(t, pg_sql_tree_get(t, node, "boolval"), "boolval"))
		return 1;
	node = pg_sql_tree_get(t, pg_sql_tree_get(t, node, "sval"), "sval");
	return pg_sql_tree_is(t, node, "t") || pg_sql_tree_is(t, node, "true");
}

/* set_config(name, value, is_local): with names as they stand, it is judged
 * like SET; named arguments and expressions are writes. */
static void see_setting(struct pg_sql_walk *walk, uint32_t call)
{
	const struct pg_sql_tree *t = walk->tree;
	uint32_t first = argument(t, call, 0);
	uint32_t name = string_of(t, first);
	int local = is_true(t, argument(t, call, 2));
	char *p, *text;

	if (!name || pg_sql_tree_get(t, first, "NamedArgExpr")) {
		walk->out->flags |= PG_SQL_ESCAPE | PG_SQL_SESSION;
		pg_sql_raise(walk, EFFECT_WRITE,
			     "set_config changes a setting that can't be seen");
		return;
	}
	pg_sql_text(walk, name);
	text = walk->text.data;
	for (p = text; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	if (pg_sql_setting_escapes(text)) {
		walk->out->flags |= PG_SQL_ESCAPE |
			(local ? 0 : PG_SQL_SESSION);
		pg_sql_raise(walk, EFFECT_WRITE, "set_config changes %.40s", text);
	} else if (!local) {
		walk->out->flags |= PG_SQL_SESSION;
		pg_sql_raise(walk, EFFECT_WRITE,
			     "set_config changes a setting of the session");
	}
}

void pg_sql_see_text(struct pg_sql_walk *walk, const char *text, size_t len)
{
	struct pg_sql_verdict inner;
	int rc = walk->judge(text, len, walk->depth + 1, &inner);

	if (rc < 0)
		walk->bad = 1;
	else if (inner.cls == EFFECT_DESTRUCTIVE)
		pg_sql_raise(walk, inner.cls, "%s", inner.why);
	pg_sql_free(&inner);
}

/* SQL in an argument that can be read may be worse than a write. */
static void see_texts(struct pg_sql_walk *walk, uint32_t call)
{
	const struct pg_sql_tree *t = walk->tree;
	struct buf copy = BUF_INIT;
	uint32_t arg, text;

	for (arg = argument(t, call, 0); arg && !walk->inert && !walk->bad;
	     arg = pg_sql_tree_next(t, arg)) {
		text = string_of(t, arg);
		if (!text)
			continue;
		buf_clear(&copy);
		pg_sql_tree_text(t, text, &copy);
		if (buf_ok(&copy))
			pg_sql_see_text(walk, copy.data, copy.len);
		else
			walk->bad = 1;
	}
	buf_release(&copy);
}

static void see_effect(struct pg_sql_walk *walk, uint32_t call,
		       const struct pg_sql_func *func)
{
	if (func->flags & PG_SQL_SETS) {
		see_setting(walk, call);
		return;
	}
	walk->out->flags |= func->flags & 0xffffu;
	if (func->flags & PG_SQL_AT_ONCE)
		pg_sql_block(walk, PG_SQL_BARE);
	pg_sql_raise(walk, func->cls, "%s %s", func->name, func->why);
	if (func->flags & PG_SQL_RUNS_TEXT)
		see_texts(walk, call);
}

void pg_sql_see_call(struct pg_sql_walk *walk, uint32_t node)
{
	const struct pg_sql_tree *t = walk->tree;
	uint32_t schema, name;
	const struct pg_sql_func *func;
	struct buf full = BUF_INIT;
	int own;

	name = last_name(t, pg_sql_tree_get(t, node, "funcname"), &schema);
	if (!name || walk->inert)
		return;
	own = !schema || pg_sql_tree_is(t, schema, "pg_catalog");
	func = pg_sql_func_effect(pg_sql_text(walk, name));
	if (func) {
		see_effect(walk, node, func);
		return;
	}
	/* CALL is a write: its procedure needs no look. */
	if ((own && pg_sql_func_harmless(walk->text.data)) ||
	    pg_sql_tree_key(t, node, "funccall"))
		return;
	if (schema) {
		add_identifier(&full, pg_sql_text(walk, schema));
		buf_addc(&full, '.');
	}
	add_identifier(&full, pg_sql_text(walk, name));
	add_name(walk, &walk->out->functions, &full);
	buf_release(&full);
}

void pg_sql_see_operator(struct pg_sql_walk *walk, uint32_t node)
{
	static const char *const lists[] = { "name", "operName", "useOp" };
	const struct pg_sql_tree *t = walk->tree;
	uint32_t schema, name = 0, k;
	struct buf full = BUF_INIT;

	for (k = 0; k < 3 && !name; k++)
		name = last_name(t, pg_sql_tree_get(t, node, lists[k]), &schema);
	if (!name || walk->inert || isalpha((unsigned char)
					    *pg_sql_text(walk, name)))
		return;
	if ((!schema || pg_sql_tree_is(t, schema, "pg_catalog")) &&
	    pg_sql_operator_known(walk->text.data))
		return;
	if (schema) {
		add_identifier(&full, pg_sql_text(walk, schema));
		buf_addc(&full, '.');
	}
	buf_adds(&full, pg_sql_text(walk, name));
	add_name(walk, &walk->out->operators, &full);
	buf_release(&full);
}

static int is_cte(struct pg_sql_walk *walk, uint32_t node, uint32_t name)
{
	const struct pg_sql_tree *t = walk->tree;
	const struct pg_sql_node *n = &t->node[name], *cte;
	uint32_t k;

	/* The target of a statement is no CTE. */
	if (!pg_sql_tree_key(t, node, "RangeVar") ||
	    pg_sql_tree_get(t, node, "schemaname"))
		return 0;
	for (k = walk->ctes; k > 0; k--) {
		cte = &t->node[walk->cte[k - 1]];
		if (cte->len == n->len &&
		    !memcmp(t->json + cte->text, t->json + n->text, n->len))
			return 1;
	}
	return 0;
}

void pg_sql_see_relation(struct pg_sql_walk *walk, uint32_t node)
{
	const struct pg_sql_tree *t = walk->tree;
	uint32_t name = pg_sql_tree_get(t, node, "relname"), schema;
	struct buf full = BUF_INIT;

	if (is_cte(walk, node, name))
		return;
	schema = pg_sql_tree_get(t, node, "schemaname");
	if (schema) {
		add_identifier(&full, pg_sql_text(walk, schema));
		buf_addc(&full, '.');
	}
	add_identifier(&full, pg_sql_text(walk, name));
	add_name(walk, &walk->out->relations, &full);
	buf_release(&full);
}
