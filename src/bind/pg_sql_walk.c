/*
 * pg_sql_walk: visits every node of a tree, outermost first, with a list of
 * its own of what is still to see. What it finds goes into the verdict
 * (pg_sql_verdict.c). Must not recurse, nor know single statements.
 */
#include "bind/pg_sql_walk.h"

#include <ctype.h>
#include <string.h>

#include "core/mem.h"

enum todo { SEE, SEE_KIDS, CTE_ADD, CTE_DROP, INERT_END, BODY_END, FOREIGN_END };

static void later(struct pg_sql_walk *walk, uint32_t node, int what)
{
	if (walk->todos == walk->todo_cap) {
		uint32_t cap = walk->todo_cap ? walk->todo_cap * 2 : 256;
		struct pg_sql_todo *todo;

		todo = mem_realloc(walk->todo, cap * sizeof *todo);
		if (!todo) {
			walk->bad = 1;
			return;
		}
		walk->todo = todo;
		walk->todo_cap = cap;
	}
	walk->todo[walk->todos].node = node;
	walk->todo[walk->todos++].what = what;
}

static void add_cte(struct pg_sql_walk *walk, uint32_t node)
{
	if (walk->ctes == walk->cte_cap) {
		uint32_t cap = walk->cte_cap ? walk->cte_cap * 2 : 16;
		uint32_t *cte = mem_realloc(walk->cte, cap * sizeof *cte);

		if (!cte) {
			walk->bad = 1;
			return;
		}
		walk->cte = cte;
		walk->cte_cap = cap;
	}
	walk->cte[walk->ctes++] = pg_sql_tree_get(walk->tree, node, "ctename");
}

/* The list is worked off from its end: what comes first is put in last, so a
 * run of siblings is put in and then turned round. */
static void turn_round(struct pg_sql_walk *walk, uint32_t from)
{
	uint32_t to = walk->todos;
	struct pg_sql_todo swap;

	while (from + 1 < to) {
		swap = walk->todo[from];
		walk->todo[from++] = walk->todo[--to];
		walk->todo[to] = swap;
	}
}

/* The children of a node with WITH: each CTE sees those before it, all of
 * them when it is recursive, and the rest of the node sees all. */
static void later_with(struct pg_sql_walk *walk, uint32_t node, uint32_t with)
{
	struct pg_sql_tree *t = walk->tree;
	uint32_t list = pg_sql_tree_get(t, with, "ctes"), cte, kid;
	int recursive = pg_sql_tree_true(t, with, "recursive");

	for (cte = pg_sql_tree_first(t, list); recursive && cte;
	     cte = pg_sql_tree_next(t, cte))
		later(walk, pg_sql_tree_first(t, cte), CTE_ADD);
	for (cte = pg_sql_tree_first(t, list); cte; cte = pg_sql_tree_next(t, cte)) {
		later(walk, cte, SEE_KIDS);
		if (!recursive)
			later(walk, pg_sql_tree_first(t, cte), CTE_ADD);
	}
	for (kid = pg_sql_tree_first(t, node); kid; kid = pg_sql_tree_next(t, kid))
		if (kid != with)
			later(walk, kid, SEE);
	later(walk, list, CTE_DROP);
}

static int is_type(const struct pg_sql_tree *t, uint32_t node)
{
	const struct pg_sql_node *n = &t->node[node];

	return n->key_len && isupper((unsigned char)t->json[n->key]);
}

/* The library writes "{}" for what it doesn't know, as for an item that is not
 * there (SELECT DISTINCT, a function without a list of columns), a zero, a "*". */
static void see_gap(struct pg_sql_walk *walk, uint32_t node, uint32_t kid)
{
	static const char *const empty[] = { "distinctClause", "items" };
	static const char *const zero[] = { "ival", "fval", "boolval", "sval",
		"bsval" };
	const struct pg_sql_tree *t = walk->tree;
	size_t k;

	if (pg_sql_tree_first(t, kid) || t->node[kid].kind != PG_SQL_OBJECT ||
	    is_type(t, kid))
		return;
	for (k = 0; k < sizeof empty / sizeof *empty; k++)
		if (pg_sql_tree_key(t, node, empty[k]))
			return;
	for (k = 0; k < sizeof zero / sizeof *zero; k++)
		if (pg_sql_tree_key(t, kid, zero[k]))
			return;
	pg_sql_raise(walk, EFFECT_WRITE, "a part of it can't be seen");
}

static void later_kids(struct pg_sql_walk *walk, uint32_t node)
{
	struct pg_sql_tree *t = walk->tree;
	uint32_t with = pg_sql_tree_get(t, node, "withClause"), kid;
	uint32_t from = walk->todos;

	if (with) {
		later_with(walk, node, with);
	} else {
		for (kid = pg_sql_tree_first(t, node); kid;
		     kid = pg_sql_tree_next(t, kid)) {
			see_gap(walk, node, kid);
			later(walk, kid, SEE);
		}
	}
	turn_round(walk, from);
}

static void drop_ctes(struct pg_sql_walk *walk, uint32_t list)
{
	struct pg_sql_tree *t = walk->tree;
	uint32_t cte;

	for (cte = pg_sql_tree_first(t, list); cte; cte = pg_sql_tree_next(t, cte))
		if (walk->ctes)
			walk->ctes--;
}

static void see_parameter(struct pg_sql_walk *walk, uint32_t node)
{
	long n = pg_sql_tree_int(walk->tree, node, "number");

	if (walk->foreign)
		return;
	if (n > 65535)
		n = 65535;
	if (n > walk->out->parameters)
		walk->out->parameters = (int)n;
}

static void see_locking(struct pg_sql_walk *walk)
{
	if (!walk->inert)
		walk->out->flags |= PG_SQL_LOCKS;
	pg_sql_raise(walk, EFFECT_WRITE, "FOR UPDATE or FOR SHARE locks rows");
}

/* {"defname": "password", "arg": {"String": ...}}, or a "conninfo". */
static void see_secret(struct pg_sql_walk *walk, uint32_t value)
{
	if (value && *pg_sql_text(walk, value) &&
	    pg_sql_name_add(&walk->out->secrets, walk->text.data, 1) < 0)
		walk->bad = 1;
}

static void see_option(struct pg_sql_walk *walk, uint32_t node)
{
	const struct pg_sql_tree *t = walk->tree;
	uint32_t arg = pg_sql_tree_get(t, node, "arg");

	if (pg_sql_tree_is(t, pg_sql_tree_get(t, node, "defname"), "password"))
		see_secret(walk, pg_sql_tree_get(t, pg_sql_tree_get(t, arg,
			   "String"), "sval"));
}

/* What isn't a statement: names, parameters, locks. */
static void see_part(struct pg_sql_walk *walk, uint32_t node)
{
	struct pg_sql_tree *t = walk->tree;

	if (pg_sql_tree_key(t, node, "FuncCall") ||
	    pg_sql_tree_key(t, node, "funccall"))
		pg_sql_see_call(walk, node);
	else if (pg_sql_tree_key(t, node, "ParamRef"))
		see_parameter(walk, node);
	else if (pg_sql_tree_key(t, node, "A_Expr") ||
		 pg_sql_tree_key(t, node, "SubLink") ||
		 pg_sql_tree_key(t, node, "SortBy"))
		pg_sql_see_operator(walk, node);
	else if (pg_sql_tree_key(t, node, "DefElem"))
		see_option(walk, node);
	else if (pg_sql_tree_key(t, node, "lockingClause"))
		see_locking(walk);
	else if (pg_sql_tree_key(t, node, "intoClause"))
		pg_sql_raise(walk, EFFECT_WRITE, "SELECT INTO makes a table");
	if (t->node[node].kind == PG_SQL_OBJECT &&
	    pg_sql_tree_get(t, node, "relname"))
		pg_sql_see_relation(walk, node);
}

/* Type names end so; what has no row is not known: a write. */
static int is_statement(const struct pg_sql_tree *t, uint32_t node)
{
	const struct pg_sql_node *n = &t->node[node];

	return n->key_len > 4 && is_type(t, node) &&
		!memcmp(t->json + n->key + n->key_len - 4, "Stmt", 4);
}

static void see(struct pg_sql_walk *walk, uint32_t node)
{
	struct pg_sql_tree *t = walk->tree;
	const struct pg_sql_row *row = NULL;
	enum pg_sql_step step = PG_SQL_DOWN;

	if (t->node[node].kind > PG_SQL_ARRAY)
		return;
	if (is_statement(t, node)) {
		row = pg_sql_row_find(t, node);
		if (!row) {
			pg_sql_raise(walk, EFFECT_WRITE,
				     "it is of an unknown kind");
		} else {
			if (!walk->inert)
				walk->out->flags |= row->flags;
			pg_sql_block(walk, row->block);
			if (row->cls)
				pg_sql_raise(walk, row->cls, "%s", row->why);
			if (row->judge)
				step = row->judge(walk, node);
			see_secret(walk, pg_sql_tree_get(t, node, "conninfo"));
		}
	} else {
		see_part(walk, node);
	}
	if (step == PG_SQL_INERT) {
		walk->inert++;
		later(walk, 0, INERT_END);
	} else if (step == PG_SQL_BODY) {
		walk->inert++;
		walk->foreign++;
		later(walk, 0, BODY_END);
	} else if (step == PG_SQL_FOREIGN) {
		walk->foreign++;
		later(walk, 0, FOREIGN_END);
	}
	later_kids(walk, node);
}

static void work_off(struct pg_sql_walk *walk)
{
	while (walk->todos && !walk->bad) {
		struct pg_sql_todo todo = walk->todo[--walk->todos];

		switch ((enum todo)todo.what) {
		case SEE:
			see(walk, todo.node);
			break;
		case SEE_KIDS:
			later_kids(walk, todo.node);
			break;
		case CTE_ADD:
			add_cte(walk, todo.node);
			break;
		case CTE_DROP:
			drop_ctes(walk, todo.node);
			break;
		case BODY_END:
			walk->foreign--;
			walk->inert--;
			break;
		case INERT_END:
			walk->inert--;
			break;
		case FOREIGN_END:
			walk->foreign--;
			break;
		}
	}
}

/* One element of "stmts": {"stmt": {"SelectStmt": ...}}. */
static void see_statement(struct pg_sql_walk *walk, uint32_t raw)
{
	struct pg_sql_tree *t = walk->tree;
	uint32_t holder = pg_sql_tree_get(t, raw, "stmt");
	uint32_t node = pg_sql_tree_first(t, holder);
	struct buf tag = BUF_INIT;

	walk->out->statements++;
	if (!node) {
		pg_sql_raise(walk, EFFECT_WRITE, "it is of an unknown kind");
		return;
	}
	pg_sql_tag(walk, node, pg_sql_row_find(t, node), &tag);
	if (!buf_ok(&tag) ||
	    pg_sql_name_add(&walk->out->tags, tag.data, 0) < 0)
		walk->bad = 1;
	buf_release(&tag);
	later(walk, node, SEE);
	work_off(walk);
}

static int is_plain_select(const struct pg_sql_walk *walk, uint32_t list)
{
	const struct pg_sql_tree *t = walk->tree;
	uint32_t raw = pg_sql_tree_first(t, list);
	uint32_t node = pg_sql_tree_get(t, pg_sql_tree_get(t, raw, "stmt"),
					"SelectStmt");

	return node && walk->out->statements == 1 &&
		walk->out->cls == EFFECT_READ;
}

int pg_sql_walk_tree(struct pg_sql_tree *tree, struct pg_sql_verdict *out,
		     pg_sql_judge_text *judge, int depth)
{
	struct pg_sql_walk walk = { .tree = tree, .out = out, .judge = judge,
				    .depth = depth };
	uint32_t list = pg_sql_tree_get(tree, 1, "stmts"), raw;

	buf_init(&walk.text);
	for (raw = pg_sql_tree_first(tree, list); raw && !walk.bad;
	     raw = pg_sql_tree_next(tree, raw))
		see_statement(&walk, raw);
	if (is_plain_select(&walk, list))
		out->flags |= PG_SQL_CURSOR;
	mem_free(walk.todo);
	mem_free(walk.cte);
	buf_release(&walk.text);
	return walk.bad ? -1 : 0;
}
