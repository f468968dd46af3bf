/*
 * pg_sql_tag: command tags, as the server's CommandComplete gives them where
 * the kind of object is a part of it ("DROP INDEX", "ALTER TABLE"). For
 * records and messages; must not judge.
 */
#include <ctype.h>
#include <string.h>

#include "bind/pg_sql_walk.h"

/* Kinds of object whose words are not those of their enum. */
static const char *const kinds[][2] = {
	{ "OBJECT_ATTRIBUTE", "TYPE" },
	{ "OBJECT_COLUMN", "TABLE" },
	{ "OBJECT_DOMCONSTRAINT", "DOMAIN" },
	{ "OBJECT_FDW", "FOREIGN DATA WRAPPER" },
	{ "OBJECT_FOREIGN_SERVER", "SERVER" },
	{ "OBJECT_LARGEOBJECT", "LARGE OBJECT" },
	{ "OBJECT_MATVIEW", "MATERIALIZED VIEW" },
	{ "OBJECT_OPCLASS", "OPERATOR CLASS" },
	{ "OBJECT_OPFAMILY", "OPERATOR FAMILY" },
	{ "OBJECT_STATISTIC_EXT", "STATISTICS" },
	{ "OBJECT_TABCONSTRAINT", "TABLE" },
	{ "OBJECT_TSCONFIGURATION", "TEXT SEARCH CONFIGURATION" },
	{ "OBJECT_TSDICTIONARY", "TEXT SEARCH DICTIONARY" },
	{ "OBJECT_TSPARSER", "TEXT SEARCH PARSER" },
	{ "OBJECT_TSTEMPLATE", "TEXT SEARCH TEMPLATE" },
};

static void add_kind(const struct pg_sql_tree *t, uint32_t kind,
		     struct buf *out)
{
	const struct pg_sql_node *n = &t->node[kind];
	const char *p;
	size_t k;

	for (k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		if (pg_sql_tree_is(t, kind, kinds[k][0])) {
			buf_adds(out, kinds[k][1]);
			return;
		}
	}
	if (n->len <= 7)
		return;
	for (p = t->json + n->text + 7; p < t->json + n->text + n->len; p++)
		buf_addc(out, *p == '_' ? ' ' : *p);
}

static void add_object(const struct pg_sql_tree *t, uint32_t node,
		       struct buf *out)
{
	static const char *const keys[] = { "removeType", "renameType",
		"objectType", "objtype", "kind" };
	uint32_t kind = 0;
	size_t k;

	for (k = 0; k < sizeof keys / sizeof *keys && !kind; k++)
		kind = pg_sql_tree_get(t, node, keys[k]);
	/* A column or constraint is renamed in its table, view or type. */
	if (pg_sql_tree_is(t, kind, "OBJECT_COLUMN"))
		kind = pg_sql_tree_get(t, node, "relationType");
	add_kind(t, kind, out);
}

/* TRANS_STMT_ROLLBACK_TO, VAR_RESET_ALL, DISCARD_PLANS ... */
static const char *const words[][3] = {
	{ "TransactionStmt", "TRANS_STMT_BEGIN", "BEGIN" },
	{ "TransactionStmt", "TRANS_STMT_START", "START TRANSACTION" },
	{ "TransactionStmt", "TRANS_STMT_COMMIT", "COMMIT" },
	{ "TransactionStmt", "TRANS_STMT_ROLLBACK", "ROLLBACK" },
	{ "TransactionStmt", "TRANS_STMT_SAVEPOINT", "SAVEPOINT" },
	{ "TransactionStmt", "TRANS_STMT_RELEASE", "RELEASE" },
	{ "TransactionStmt", "TRANS_STMT_ROLLBACK_TO", "ROLLBACK" },
	{ "TransactionStmt", "TRANS_STMT_PREPARE", "PREPARE TRANSACTION" },
	{ "TransactionStmt", "TRANS_STMT_COMMIT_PREPARED", "COMMIT PREPARED" },
	{ "TransactionStmt", "TRANS_STMT_ROLLBACK_PREPARED",
		"ROLLBACK PREPARED" },
	{ "VariableSetStmt", "VAR_RESET", "RESET" },
	{ "VariableSetStmt", "VAR_RESET_ALL", "RESET" },
	{ "DiscardStmt", "DISCARD_ALL", "DISCARD ALL" },
	{ "DiscardStmt", "DISCARD_PLANS", "DISCARD PLANS" },
	{ "DiscardStmt", "DISCARD_SEQUENCES", "DISCARD SEQUENCES" },
	{ "DiscardStmt", "DISCARD_TEMP", "DISCARD TEMP" },
};

/* Options that change the tag: node, key, what it is then. */
static const char *const turns[][3] = {
	{ "CreateFunctionStmt", "is_procedure", "CREATE PROCEDURE" },
	{ "FetchStmt", "ismove", "MOVE" },
	{ "DeallocateStmt", "", "DEALLOCATE ALL" },
	{ "ClosePortalStmt", "", "CLOSE CURSOR ALL" },
	{ "SelectStmt", "intoClause", "SELECT INTO" },
};

static const char *special(const struct pg_sql_tree *t, uint32_t node)
{
	uint32_t kind = pg_sql_tree_get(t, node, "kind");
	size_t k;

	if (!kind)
		kind = pg_sql_tree_get(t, node, "target");
	for (k = 0; k < sizeof words / sizeof *words; k++)
		if (pg_sql_tree_key(t, node, words[k][0]) &&
		    pg_sql_tree_is(t, kind, words[k][1]))
			return words[k][2];
	for (k = 0; k < sizeof turns / sizeof *turns; k++) {
		if (!pg_sql_tree_key(t, node, turns[k][0]))
			continue;
		if (*turns[k][1] ? pg_sql_tree_get(t, node, turns[k][1]) :
		    !pg_sql_tree_first(t, node))
			return turns[k][2];
	}
	if (pg_sql_tree_key(t, node, "VacuumStmt") &&
	    !pg_sql_tree_true(t, node, "is_vacuumcmd"))
		return "ANALYZE";
	if (pg_sql_tree_key(t, node, "GrantStmt") &&
	    !pg_sql_tree_true(t, node, "is_grant"))
		return "REVOKE";
	if (pg_sql_tree_key(t, node, "GrantRoleStmt") &&
	    !pg_sql_tree_true(t, node, "is_grant"))
		return "REVOKE ROLE";
	if (pg_sql_tree_key(t, node, "CreateTableAsStmt") &&
	    pg_sql_tree_is(t, pg_sql_tree_get(t, node, "objtype"),
			   "OBJECT_MATVIEW"))
		return "CREATE MATERIALIZED VIEW";
	return NULL;
}

void pg_sql_tag(struct pg_sql_walk *walk, uint32_t node,
		const struct pg_sql_row *row, struct buf *out)
{
	const struct pg_sql_tree *t = walk->tree;
	const char *tag = special(t, node), *mark;

	if (!tag)
		tag = row ? row->tag : "unknown";
	mark = strchr(tag, '%');
	if (!mark) {
		buf_adds(out, tag);
		return;
	}
	buf_add(out, tag, (size_t)(mark - tag));
	add_object(t, node, out);
}
