/*
 * pg_sql_where: does a WHERE leave rows out? By its looks: something of a row
 * has to be compared. `where true`, `where 1 = 1 or id = 3` hit every row and
 * count as no WHERE at all; in doubt it leaves none out. Knows no statement.
 */
#include <string.h>

#include "bind/pg_sql_walk.h"

#define DEPTH 64
#define DEPTH_COLUMN 1000	/* levels of JSON, two of an expression */

static int has_column(const struct pg_sql_tree *t, uint32_t node, int depth)
{
	uint32_t kid;

	if (pg_sql_tree_key(t, node, "ColumnRef") ||
	    pg_sql_tree_key(t, node, "CurrentOfExpr"))
		return 1;
	if (depth > DEPTH_COLUMN)
		return 0;
	for (kid = pg_sql_tree_first(t, node); kid; kid = pg_sql_tree_next(t, kid))
		if (has_column(t, kid, depth + 1))
			return 1;
	return 0;
}

static int same(const struct pg_sql_tree *t, uint32_t a, uint32_t b, int depth)
{
	const struct pg_sql_node *x = &t->node[a], *y = &t->node[b];
	uint32_t p, q;

	if (x->kind != y->kind || x->len != y->len || depth > DEPTH ||
	    (x->len && memcmp(t->json + x->text, t->json + y->text, x->len)))
		return 0;
	p = pg_sql_tree_first(t, a);
	q = pg_sql_tree_first(t, b);
	while (p && q) {
		if (!same(t, p, q, depth + 1))
			return 0;
		p = pg_sql_tree_next(t, p);
		q = pg_sql_tree_next(t, q);
	}
	return !p && !q;
}

/* a = a is true for each row, or nearly. */
static int compares_itself(const struct pg_sql_tree *t, uint32_t node)
{
	uint32_t expr = pg_sql_tree_get(t, node, "A_Expr");
	uint32_t a = pg_sql_tree_get(t, expr, "lexpr");
	uint32_t b = pg_sql_tree_get(t, expr, "rexpr");

	return a && b && same(t, a, b, 0);
}

static int leaves_out(const struct pg_sql_tree *t, uint32_t node, int depth)
{
	uint32_t expr = pg_sql_tree_get(t, node, "BoolExpr");
	uint32_t op = pg_sql_tree_get(t, expr, "boolop"), arg;
	int any = pg_sql_tree_is(t, op, "OR_EXPR"), some = 0;

	if (!expr || pg_sql_tree_is(t, op, "NOT_EXPR"))
		return !compares_itself(t, node) && has_column(t, node, 0);
	if (depth > DEPTH)
		return 0;
	for (arg = pg_sql_tree_first(t, pg_sql_tree_get(t, expr, "args")); arg;
	     arg = pg_sql_tree_next(t, arg)) {
		int one = leaves_out(t, arg, depth + 1);

		if (any && !one)
			return 0;
		some |= one;
	}
	return some;
}

int pg_sql_where(const struct pg_sql_tree *tree, uint32_t node)
{
	return node && leaves_out(tree, node, 0);
}
