/*
 * pg_sql_rule: the kinds of statement whose options decide: a function a row of
 * pg_sql_stmt.c that names it. Raises the class by what it finds; which part of
 * the tree is looked at further is its answer.
 */
#include "bind/pg_sql_rule.h"

#include <string.h>
#include <strings.h>

#include "bind/pg_sql_func.h"

#define W EFFECT_WRITE
#define D EFFECT_DESTRUCTIVE

/* The value of a boolean option as Postgres reads it; -1: not among them. */
static int option(struct pg_sql_walk *walk, uint32_t list, const char *name)
{
	const struct pg_sql_tree *t = walk->tree;
	uint32_t item, elem, arg;
	int value = -1;

	for (item = pg_sql_tree_first(t, list); item;
	     item = pg_sql_tree_next(t, item)) {
		elem = pg_sql_tree_get(t, item, "DefElem");
		if (!pg_sql_tree_is(t, pg_sql_tree_get(t, elem, "defname"), name))
			continue;
		arg = pg_sql_tree_get(t, elem, "arg");
		value = 1;
		if (pg_sql_tree_get(t, arg, "Integer")) {
			value = pg_sql_tree_int(t, pg_sql_tree_get(t, arg,
							"Integer"), "ival") != 0;
		} else if (arg) {
			const char *text;

			arg = pg_sql_tree_get(t, arg, "String");
			text = pg_sql_text(walk, pg_sql_tree_get(t, arg, "sval"));
			value = strcasecmp(text, "off") && strcasecmp(text, "false");
		}
	}
	return value;
}

static uint32_t get(const struct pg_sql_walk *walk, uint32_t node,
		    const char *key)
{
	return pg_sql_tree_get(walk->tree, node, key);
}

static int is(const struct pg_sql_walk *walk, uint32_t node, const char *key,
	      const char *value)
{
	return pg_sql_tree_is(walk->tree, get(walk, node, key), value);
}

static int yes(const struct pg_sql_walk *walk, uint32_t node, const char *key)
{
	return pg_sql_tree_true(walk->tree, node, key);
}

enum pg_sql_step pg_sql_rule_delete(struct pg_sql_walk *walk, uint32_t node)
{
	if (!pg_sql_where(walk->tree, get(walk, node, "whereClause")))
		pg_sql_raise(walk, D, "a DELETE whose WHERE leaves no row out");
	return PG_SQL_DOWN;
}

enum pg_sql_step pg_sql_rule_update(struct pg_sql_walk *walk, uint32_t node)
{
	if (!pg_sql_where(walk->tree, get(walk, node, "whereClause")))
		pg_sql_raise(walk, D, "an UPDATE whose WHERE leaves no row out");
	return PG_SQL_DOWN;
}

/* What is matched goes or changes, unless ON or the clause leaves some out. */
enum pg_sql_step pg_sql_rule_merge(struct pg_sql_walk *walk, uint32_t node)
{
	const struct pg_sql_tree *t = walk->tree;
	uint32_t item, when;

	if (pg_sql_where(t, get(walk, node, "joinCondition")))
		return PG_SQL_DOWN;
	for (item = pg_sql_tree_first(t, get(walk, node, "mergeWhenClauses"));
	     item; item = pg_sql_tree_next(t, item)) {
		when = get(walk, item, "MergeWhenClause");
		if ((is(walk, when, "commandType", "CMD_DELETE") ||
		     is(walk, when, "commandType", "CMD_UPDATE")) &&
		    !pg_sql_where(t, get(walk, when, "condition")))
			pg_sql_raise(walk, D, "a MERGE whose ON leaves no row out");
	}
	return PG_SQL_DOWN;
}

enum pg_sql_step pg_sql_rule_explain(struct pg_sql_walk *walk, uint32_t node)
{
	return option(walk, get(walk, node, "options"), "analyze") == 1 ?
		PG_SQL_DOWN : PG_SQL_INERT;
}

enum pg_sql_step pg_sql_rule_copy(struct pg_sql_walk *walk, uint32_t node)
{
	int from = yes(walk, node, "is_from");

	if (yes(walk, node, "is_program"))
		pg_sql_raise(walk, D, "COPY runs a program on the server");
	else if (get(walk, node, "filename") && !from)
		pg_sql_raise(walk, D, "COPY replaces a file of the server");
	else if (!get(walk, node, "filename") && !walk->inert)
		walk->out->flags |= from ? PG_SQL_COPY_IN : PG_SQL_COPY_OUT;
	if (from)
		pg_sql_raise(walk, W, "COPY adds rows");
	return PG_SQL_DOWN;
}

enum pg_sql_step pg_sql_rule_drop(struct pg_sql_walk *walk, uint32_t node)
{
	if (yes(walk, node, "concurrent"))
		pg_sql_block(walk, PG_SQL_OUTSIDE);
	return PG_SQL_DOWN;
}

static void judge_alter_cmd(struct pg_sql_walk *walk, uint32_t cmd)
{
	static const char *const worse[] = {
		"AT_DropColumn", "AT_DropConstraint", "AT_DropExpression",
		"AT_DropIdentity", "AT_DropOids",
	}, *const slow[] = {
		"AT_AlterColumnType", "AT_SetTableSpace", "AT_SetLogged",
		"AT_SetUnLogged", "AT_SetAccessMethod",
	};
	uint32_t type = get(walk, cmd, "subtype"), part;
	size_t k;

	for (k = 0; k < sizeof worse / sizeof *worse; k++)
		if (pg_sql_tree_is(walk->tree, type, worse[k]))
			pg_sql_raise(walk, D, "ALTER ... DROP loses what it drops");
	for (k = 0; k < sizeof slow / sizeof *slow; k++)
		if (pg_sql_tree_is(walk->tree, type, slow[k]))
			pg_sql_raise(walk, D,
				     "it rewrites the table, locked against all");
	part = get(walk, get(walk, cmd, "def"), "PartitionCmd");
	if (yes(walk, part, "concurrent"))
		pg_sql_block(walk, PG_SQL_OUTSIDE);
}

enum pg_sql_step pg_sql_rule_alter_table(struct pg_sql_walk *walk,
					uint32_t node)
{
	uint32_t cmd;

	for (cmd = pg_sql_tree_first(walk->tree, get(walk, node, "cmds")); cmd;
	     cmd = pg_sql_tree_next(walk->tree, cmd))
		judge_alter_cmd(walk, get(walk, cmd, "AlterTableCmd"));
	return PG_SQL_DOWN;
}

enum pg_sql_step pg_sql_rule_alter_domain(struct pg_sql_walk *walk,
					uint32_t node)
{
	if (is(walk, node, "subtype", "X"))
		pg_sql_raise(walk, D, "ALTER ... DROP loses what it drops");
	return PG_SQL_DOWN;
}

/* ALTER ... DROP of the other kinds: a mark of its own in each. */
enum pg_sql_step pg_sql_rule_alter_drop(struct pg_sql_walk *walk, uint32_t node)
{
	if (yes(walk, node, "isDrop") ||
	    is(walk, node, "kind", "ALTER_TSCONFIG_DROP_MAPPING") ||
	    is(walk, node, "action", "AP_DropObjects") ||
	    pg_sql_tree_int(walk->tree, node, "action") < 0)
		pg_sql_raise(walk, D, "ALTER ... DROP loses what it drops");
	return PG_SQL_DOWN;
}

enum pg_sql_step pg_sql_rule_subscription(struct pg_sql_walk *walk,
					uint32_t node)
{
	if (is(walk, node, "kind", "ALTER_SUBSCRIPTION_SKIP"))
		pg_sql_raise(walk, D, "it skips a transaction of the publisher");
	if (is(walk, node, "kind", "ALTER_SUBSCRIPTION_DROP_PUBLICATION"))
		pg_sql_raise(walk, D, "ALTER ... DROP loses what it drops");
	return PG_SQL_DOWN;
}

/* ALTER SYSTEM, ALTER ROLE, ALTER DATABASE ... RESET ALL. */
enum pg_sql_step pg_sql_rule_stored(struct pg_sql_walk *walk, uint32_t node)
{
	if (is(walk, get(walk, node, "setstmt"), "kind", "VAR_RESET_ALL"))
		pg_sql_raise(walk, D, "RESET ALL loses every setting");
	return PG_SQL_DOWN;
}

enum pg_sql_step pg_sql_rule_database(struct pg_sql_walk *walk, uint32_t node)
{
	if (option(walk, get(walk, node, "options"), "tablespace") >= 0) {
		pg_sql_block(walk, PG_SQL_OUTSIDE);
		pg_sql_raise(walk, D, "it moves a database, closed to all");
	}
	return PG_SQL_DOWN;
}

enum pg_sql_step pg_sql_rule_lock(struct pg_sql_walk *walk, uint32_t node)
{
	if (pg_sql_tree_int(walk->tree, node, "mode") >= 5)
		pg_sql_raise(walk, D, "the LOCK keeps all writers out");
	return PG_SQL_DOWN;
}

enum pg_sql_step pg_sql_rule_reindex(struct pg_sql_walk *walk, uint32_t node)
{
	int apart = option(walk, get(walk, node, "params"), "concurrently") == 1;

	if (!apart)
		pg_sql_raise(walk, D, "REINDEX without CONCURRENTLY locks all out");
	if (apart || (!is(walk, node, "kind", "REINDEX_OBJECT_TABLE") &&
		      !is(walk, node, "kind", "REINDEX_OBJECT_INDEX")))
		pg_sql_block(walk, PG_SQL_OUTSIDE);
	return PG_SQL_DOWN;
}

enum pg_sql_step pg_sql_rule_vacuum(struct pg_sql_walk *walk, uint32_t node)
{
	if (!yes(walk, node, "is_vacuumcmd"))
		return PG_SQL_DOWN;
	pg_sql_block(walk, PG_SQL_OUTSIDE);
	if (option(walk, get(walk, node, "options"), "full") == 1)
		pg_sql_raise(walk, D, "VACUUM FULL locks all out");
	return PG_SQL_DOWN;
}

enum pg_sql_step pg_sql_rule_cluster(struct pg_sql_walk *walk, uint32_t node)
{
	if (!get(walk, node, "relation"))
		pg_sql_block(walk, PG_SQL_OUTSIDE);
	return PG_SQL_DOWN;
}

enum pg_sql_step pg_sql_rule_refresh(struct pg_sql_walk *walk, uint32_t node)
{
	if (yes(walk, node, "skipData"))
		pg_sql_raise(walk, D, "WITH NO DATA empties the view");
	return PG_SQL_DOWN;
}

enum pg_sql_step pg_sql_rule_index(struct pg_sql_walk *walk, uint32_t node)
{
	if (yes(walk, node, "concurrent"))
		pg_sql_block(walk, PG_SQL_OUTSIDE);
	return PG_SQL_DOWN;
}

enum pg_sql_step pg_sql_rule_transaction(struct pg_sql_walk *walk,
					uint32_t node)
{
	uint32_t kind = get(walk, node, "kind");
	int undo = pg_sql_tree_is(walk->tree, kind,
				  "TRANS_STMT_ROLLBACK_PREPARED");

	if (undo || pg_sql_tree_is(walk->tree, kind,
				   "TRANS_STMT_COMMIT_PREPARED"))
		pg_sql_block(walk, PG_SQL_OUTSIDE);
	else
		walk->out->flags |= PG_SQL_TRANSACTION;
	if (undo)
		pg_sql_raise(walk, D, "it throws a prepared transaction away");
	pg_sql_raise(walk, W, "it begins or ends a transaction");
	return PG_SQL_DOWN;
}

/* SET TRANSACTION: harmless but for READ WRITE. */
static void judge_modes(struct pg_sql_walk *walk, uint32_t node)
{
	const struct pg_sql_tree *t = walk->tree;
	uint32_t item, elem, value;

	for (item = pg_sql_tree_first(t, get(walk, node, "args")); item;
	     item = pg_sql_tree_next(t, item)) {
		elem = get(walk, item, "DefElem");
		if (!is(walk, elem, "defname", "transaction_read_only"))
			continue;
		value = get(walk, get(walk, elem, "arg"), "A_Const");
		if (pg_sql_tree_int(t, get(walk, value, "ival"), "ival"))
			continue;
		walk->out->flags |= PG_SQL_ESCAPE;
		pg_sql_raise(walk, W, "it makes the transaction READ WRITE");
	}
}

enum pg_sql_step pg_sql_rule_set(struct pg_sql_walk *walk, uint32_t node)
{
	int local = yes(walk, node, "is_local"), escapes;
	const char *name;

	if (walk->inert)
		return PG_SQL_DOWN;
	if (is(walk, node, "kind", "VAR_SET_MULTI") &&
	    !is(walk, node, "name", "SESSION CHARACTERISTICS")) {
		judge_modes(walk, node);
		return PG_SQL_DOWN;
	}
	name = pg_sql_text(walk, get(walk, node, "name"));
	escapes = is(walk, node, "kind", "VAR_RESET_ALL") ||
		is(walk, node, "kind", "VAR_SET_MULTI") ||
		pg_sql_setting_escapes(name);
	if (escapes)
		walk->out->flags |= PG_SQL_ESCAPE;
	if (!local)
		walk->out->flags |= PG_SQL_SESSION;
	if (escapes && !*name)
		pg_sql_raise(walk, W, "it changes all settings of the session");
	else if (escapes)
		pg_sql_raise(walk, W, "it changes %.40s", name);
	else if (!local)
		pg_sql_raise(walk, W, "it changes a setting of the session");
	return PG_SQL_DOWN;
}

enum pg_sql_step pg_sql_rule_discard(struct pg_sql_walk *walk, uint32_t node)
{
	if (is(walk, node, "target", "DISCARD_ALL")) {
		walk->out->flags |= PG_SQL_ESCAPE;
		pg_sql_block(walk, PG_SQL_OUTSIDE);
	}
	return PG_SQL_DOWN;
}

/* DO: its text is judged by its words; of other languages none can be read. */
enum pg_sql_step pg_sql_rule_do(struct pg_sql_walk *walk, uint32_t node)
{
	const struct pg_sql_tree *t = walk->tree;
	uint32_t item, elem, value, body = 0, lang = 0;
	struct buf text = BUF_INIT;

	for (item = pg_sql_tree_first(t, get(walk, node, "args")); item;
	     item = pg_sql_tree_next(t, item)) {
		elem = get(walk, item, "DefElem");
		value = get(walk, get(walk, get(walk, elem, "arg"), "String"),
			    "sval");
		if (is(walk, elem, "defname", "language"))
			lang = value;
		else
			body = value;
	}
	if (lang && !pg_sql_tree_is(t, lang, "plpgsql")) {
		pg_sql_raise(walk, D, "DO in a language that can't be read");
		return PG_SQL_DOWN;
	}
	pg_sql_tree_text(t, body, &text);
	if (!buf_ok(&text) ||
	    (!walk->inert && pg_sql_judge_words(text.data, text.len, 1,
						walk->out) < 0))
		walk->bad = 1;
	buf_release(&text);
	return PG_SQL_DOWN;
}

enum pg_sql_step pg_sql_rule_body(struct pg_sql_walk *walk, uint32_t node)
{
	(void)walk;
	(void)node;
	return PG_SQL_BODY;
}

enum pg_sql_step pg_sql_rule_prepare(struct pg_sql_walk *walk, uint32_t node)
{
	(void)walk;
	(void)node;
	return PG_SQL_FOREIGN;
}
