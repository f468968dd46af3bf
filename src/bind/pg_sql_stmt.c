/*
 * pg_sql_stmt: one row a kind of statement: class, tag, block, and a function
 * where its options decide. The line between a write and a destructive one is
 * drawn here: loses data, or serves no one for a while, and the next call
 * can't undo it. A kind without a row is a write.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bind/pg_sql_func.h"
#include "bind/pg_sql_walk.h"

#define R EFFECT_READ
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

static enum pg_sql_step judge_delete(struct pg_sql_walk *walk, uint32_t node)
{
	if (!pg_sql_where(walk->tree, get(walk, node, "whereClause")))
		pg_sql_raise(walk, D, "a DELETE whose WHERE leaves no row out");
	return PG_SQL_DOWN;
}

static enum pg_sql_step judge_update(struct pg_sql_walk *walk, uint32_t node)
{
	if (!pg_sql_where(walk->tree, get(walk, node, "whereClause")))
		pg_sql_raise(walk, D, "an UPDATE whose WHERE leaves no row out");
	return PG_SQL_DOWN;
}

/* What is matched goes or changes, unless ON or the clause leaves some out. */
static enum pg_sql_step judge_merge(struct pg_sql_walk *walk, uint32_t node)
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

static enum pg_sql_step judge_explain(struct pg_sql_walk *walk, uint32_t node)
{
	return option(walk, get(walk, node, "options"), "analyze") == 1 ?
		PG_SQL_DOWN : PG_SQL_INERT;
}

static enum pg_sql_step judge_copy(struct pg_sql_walk *walk, uint32_t node)
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

static enum pg_sql_step judge_drop(struct pg_sql_walk *walk, uint32_t node)
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

static enum pg_sql_step judge_alter_table(struct pg_sql_walk *walk,
					  uint32_t node)
{
	uint32_t cmd;

	for (cmd = pg_sql_tree_first(walk->tree, get(walk, node, "cmds")); cmd;
	     cmd = pg_sql_tree_next(walk->tree, cmd))
		judge_alter_cmd(walk, get(walk, cmd, "AlterTableCmd"));
	return PG_SQL_DOWN;
}

static enum pg_sql_step judge_alter_domain(struct pg_sql_walk *walk,
					   uint32_t node)
{
	if (is(walk, node, "subtype", "X"))
		pg_sql_raise(walk, D, "ALTER ... DROP loses what it drops");
	return PG_SQL_DOWN;
}

/* ALTER ... DROP of the other kinds: a mark of its own in each. */
static enum pg_sql_step judge_alter_drop(struct pg_sql_walk *walk,
					 uint32_t node)
{
	if (yes(walk, node, "isDrop") ||
	    is(walk, node, "kind", "ALTER_TSCONFIG_DROP_MAPPING") ||
	    is(walk, node, "action", "AP_DropObjects") ||
	    pg_sql_tree_int(walk->tree, node, "action") < 0)
		pg_sql_raise(walk, D, "ALTER ... DROP loses what it drops");
	return PG_SQL_DOWN;
}

static enum pg_sql_step judge_subscription(struct pg_sql_walk *walk,
					   uint32_t node)
{
	if (is(walk, node, "kind", "ALTER_SUBSCRIPTION_SKIP"))
		pg_sql_raise(walk, D, "it skips a transaction of the publisher");
	if (is(walk, node, "kind", "ALTER_SUBSCRIPTION_DROP_PUBLICATION"))
		pg_sql_raise(walk, D, "ALTER ... DROP loses what it drops");
	return PG_SQL_DOWN;
}

/* ALTER SYSTEM, ALTER ROLE, ALTER DATABASE ... RESET ALL. */
static enum pg_sql_step judge_stored(struct pg_sql_walk *walk, uint32_t node)
{
	if (is(walk, get(walk, node, "setstmt"), "kind", "VAR_RESET_ALL"))
		pg_sql_raise(walk, D, "RESET ALL loses every setting");
	return PG_SQL_DOWN;
}

static enum pg_sql_step judge_database(struct pg_sql_walk *walk, uint32_t node)
{
	if (option(walk, get(walk, node, "options"), "tablespace") >= 0) {
		pg_sql_block(walk, PG_SQL_OUTSIDE);
		pg_sql_raise(walk, D, "it moves a database, closed to all");
	}
	return PG_SQL_DOWN;
}

static enum pg_sql_step judge_lock(struct pg_sql_walk *walk, uint32_t node)
{
	if (pg_sql_tree_int(walk->tree, node, "mode") >= 5)
		pg_sql_raise(walk, D, "the LOCK keeps all writers out");
	return PG_SQL_DOWN;
}

static enum pg_sql_step judge_reindex(struct pg_sql_walk *walk, uint32_t node)
{
	int apart = option(walk, get(walk, node, "params"), "concurrently") == 1;

	if (!apart)
		pg_sql_raise(walk, D, "REINDEX without CONCURRENTLY locks all out");
	if (apart || (!is(walk, node, "kind", "REINDEX_OBJECT_TABLE") &&
		      !is(walk, node, "kind", "REINDEX_OBJECT_INDEX")))
		pg_sql_block(walk, PG_SQL_OUTSIDE);
	return PG_SQL_DOWN;
}

static enum pg_sql_step judge_vacuum(struct pg_sql_walk *walk, uint32_t node)
{
	if (!yes(walk, node, "is_vacuumcmd"))
		return PG_SQL_DOWN;
	pg_sql_block(walk, PG_SQL_OUTSIDE);
	if (option(walk, get(walk, node, "options"), "full") == 1)
		pg_sql_raise(walk, D, "VACUUM FULL locks all out");
	return PG_SQL_DOWN;
}

static enum pg_sql_step judge_cluster(struct pg_sql_walk *walk, uint32_t node)
{
	if (!get(walk, node, "relation"))
		pg_sql_block(walk, PG_SQL_OUTSIDE);
	return PG_SQL_DOWN;
}

static enum pg_sql_step judge_refresh(struct pg_sql_walk *walk, uint32_t node)
{
	if (yes(walk, node, "skipData"))
		pg_sql_raise(walk, D, "WITH NO DATA empties the view");
	return PG_SQL_DOWN;
}

static enum pg_sql_step judge_index(struct pg_sql_walk *walk, uint32_t node)
{
	if (yes(walk, node, "concurrent"))
		pg_sql_block(walk, PG_SQL_OUTSIDE);
	return PG_SQL_DOWN;
}

static enum pg_sql_step judge_transaction(struct pg_sql_walk *walk,
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

static enum pg_sql_step judge_set(struct pg_sql_walk *walk, uint32_t node)
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

static enum pg_sql_step judge_discard(struct pg_sql_walk *walk, uint32_t node)
{
	if (is(walk, node, "target", "DISCARD_ALL")) {
		walk->out->flags |= PG_SQL_ESCAPE;
		pg_sql_block(walk, PG_SQL_OUTSIDE);
	}
	return PG_SQL_DOWN;
}

/* DO: its text is judged by its words; of other languages none can be read. */
static enum pg_sql_step judge_do(struct pg_sql_walk *walk, uint32_t node)
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

static enum pg_sql_step judge_body(struct pg_sql_walk *walk, uint32_t node)
{
	(void)walk;
	(void)node;
	return PG_SQL_BODY;
}

static enum pg_sql_step judge_prepare(struct pg_sql_walk *walk, uint32_t node)
{
	(void)walk;
	(void)node;
	return PG_SQL_FOREIGN;
}

#define GONE "what is dropped is gone"
#define DDL "it changes the schema"
#define SESSION PG_SQL_SESSION

/* Sorted by node. A tag that ends in "%" gets the kind of object after it. */
static const struct pg_sql_row rows[] = {
	{ "AlterCollationStmt", "ALTER COLLATION", W, 0, 0, DDL, NULL },
	{ "AlterDatabaseRefreshCollStmt", "ALTER DATABASE", W, 0, 0, DDL, NULL },
	{ "AlterDatabaseSetStmt", "ALTER DATABASE", W, 0, 0,
		"it changes stored settings", judge_stored },
	{ "AlterDatabaseStmt", "ALTER DATABASE", W, 0, 0, DDL, judge_database },
	{ "AlterDefaultPrivilegesStmt", "ALTER DEFAULT PRIVILEGES", W, 0, 0,
		"it changes privileges", NULL },
	{ "AlterDomainStmt", "ALTER DOMAIN", W, 0, 0, DDL, judge_alter_domain },
	{ "AlterEnumStmt", "ALTER TYPE", W, PG_SQL_BARE, 0, DDL, NULL },
	{ "AlterEventTrigStmt", "ALTER EVENT TRIGGER", W, 0, 0, DDL, NULL },
	{ "AlterExtensionContentsStmt", "ALTER EXTENSION", W, 0, 0, DDL,
		judge_alter_drop },
	{ "AlterExtensionStmt", "ALTER EXTENSION", W, 0, 0, DDL, NULL },
	{ "AlterFdwStmt", "ALTER FOREIGN DATA WRAPPER", W, 0, 0, DDL, NULL },
	{ "AlterForeignServerStmt", "ALTER SERVER", W, 0, 0, DDL, NULL },
	{ "AlterFunctionStmt", "ALTER %", W, 0, 0, DDL, NULL },
	{ "AlterObjectDependsStmt", "ALTER %", W, 0, 0, DDL, NULL },
	{ "AlterObjectSchemaStmt", "ALTER %", W, 0, 0, DDL, NULL },
	{ "AlterOpFamilyStmt", "ALTER OPERATOR FAMILY", W, 0, 0, DDL,
		judge_alter_drop },
	{ "AlterOperatorStmt", "ALTER OPERATOR", W, 0, 0, DDL, NULL },
	{ "AlterOwnerStmt", "ALTER %", W, 0, 0, DDL, NULL },
	{ "AlterPolicyStmt", "ALTER POLICY", W, 0, 0, DDL, NULL },
	{ "AlterPublicationStmt", "ALTER PUBLICATION", W, 0, 0, DDL,
		judge_alter_drop },
	{ "AlterRoleSetStmt", "ALTER ROLE", W, 0, 0,
		"it changes stored settings", judge_stored },
	{ "AlterRoleStmt", "ALTER ROLE", W, 0, 0, "it changes a role", NULL },
	{ "AlterSeqStmt", "ALTER SEQUENCE", W, 0, 0, DDL, NULL },
	{ "AlterStatsStmt", "ALTER STATISTICS", W, 0, 0, DDL, NULL },
	{ "AlterSubscriptionStmt", "ALTER SUBSCRIPTION", W, PG_SQL_BARE, 0, DDL,
		judge_subscription },
	{ "AlterSystemStmt", "ALTER SYSTEM", W, PG_SQL_OUTSIDE, 0,
		"it changes the server's settings", judge_stored },
	{ "AlterTSConfigurationStmt", "ALTER TEXT SEARCH CONFIGURATION", W, 0, 0,
		DDL, judge_alter_drop },
	{ "AlterTSDictionaryStmt", "ALTER TEXT SEARCH DICTIONARY", W, 0, 0, DDL,
		NULL },
	{ "AlterTableMoveAllStmt", "ALTER %", D, 0, 0,
		"it moves tables, locked against all", NULL },
	{ "AlterTableSpaceOptionsStmt", "ALTER TABLESPACE", W, 0, 0, DDL, NULL },
	{ "AlterTableStmt", "ALTER %", W, 0, 0, DDL, judge_alter_table },
	{ "AlterTypeStmt", "ALTER TYPE", W, 0, 0, DDL, NULL },
	{ "AlterUserMappingStmt", "ALTER USER MAPPING", W, 0, 0, DDL, NULL },
	{ "CallStmt", "CALL", W, PG_SQL_BARE, PG_SQL_OPAQUE,
		"CALL runs what can't be seen", NULL },
	{ "CheckPointStmt", "CHECKPOINT", W, 0, 0, "it flushes the server", NULL },
	{ "ClosePortalStmt", "CLOSE CURSOR", R, 0, 0, "", NULL },
	{ "ClusterStmt", "CLUSTER", D, PG_SQL_BARE, 0, "CLUSTER locks all out",
		judge_cluster },
	{ "CommentStmt", "COMMENT", W, 0, 0, DDL, NULL },
	{ "CompositeTypeStmt", "CREATE TYPE", W, 0, 0, DDL, NULL },
	{ "ConstraintsSetStmt", "SET CONSTRAINTS", R, 0, 0, "", NULL },
	{ "CopyStmt", "COPY", R, 0, 0, "", judge_copy },
	{ "CreateAmStmt", "CREATE ACCESS METHOD", W, 0, 0, DDL, NULL },
	{ "CreateCastStmt", "CREATE CAST", W, 0, 0, DDL, NULL },
	{ "CreateConversionStmt", "CREATE CONVERSION", W, 0, 0, DDL, NULL },
	{ "CreateDomainStmt", "CREATE DOMAIN", W, 0, 0, DDL, NULL },
	{ "CreateEnumStmt", "CREATE TYPE", W, 0, 0, DDL, NULL },
	{ "CreateEventTrigStmt", "CREATE EVENT TRIGGER", W, 0, 0, DDL, NULL },
	{ "CreateExtensionStmt", "CREATE EXTENSION", W, 0, 0, DDL, NULL },
	{ "CreateFdwStmt", "CREATE FOREIGN DATA WRAPPER", W, 0, 0, DDL, NULL },
	{ "CreateForeignServerStmt", "CREATE SERVER", W, 0, 0, DDL, NULL },
	{ "CreateForeignTableStmt", "CREATE FOREIGN TABLE", W, 0, 0, DDL, NULL },
	{ "CreateFunctionStmt", "CREATE FUNCTION", W, 0, 0, DDL, judge_body },
	{ "CreateOpClassStmt", "CREATE OPERATOR CLASS", W, 0, 0, DDL, NULL },
	{ "CreateOpFamilyStmt", "CREATE OPERATOR FAMILY", W, 0, 0, DDL, NULL },
	{ "CreatePLangStmt", "CREATE LANGUAGE", W, 0, 0, DDL, NULL },
	{ "CreatePolicyStmt", "CREATE POLICY", W, 0, 0, DDL, NULL },
	{ "CreatePublicationStmt", "CREATE PUBLICATION", W, 0, 0, DDL, NULL },
	{ "CreateRangeStmt", "CREATE TYPE", W, 0, 0, DDL, NULL },
	{ "CreateRoleStmt", "CREATE ROLE", W, 0, 0, "it makes a role", NULL },
	{ "CreateSchemaStmt", "CREATE SCHEMA", W, 0, 0, DDL, NULL },
	{ "CreateSeqStmt", "CREATE SEQUENCE", W, 0, 0, DDL, NULL },
	{ "CreateStatsStmt", "CREATE STATISTICS", W, 0, 0, DDL, NULL },
	{ "CreateStmt", "CREATE TABLE", W, 0, 0, DDL, NULL },
	{ "CreateSubscriptionStmt", "CREATE SUBSCRIPTION", W, PG_SQL_BARE, 0, DDL,
		NULL },
	{ "CreateTableAsStmt", "CREATE TABLE AS", W, 0, 0, DDL, NULL },
	{ "CreateTableSpaceStmt", "CREATE TABLESPACE", W, PG_SQL_OUTSIDE, 0, DDL,
		NULL },
	{ "CreateTransformStmt", "CREATE TRANSFORM", W, 0, 0, DDL, NULL },
	{ "CreateTrigStmt", "CREATE TRIGGER", W, 0, 0, DDL, NULL },
	{ "CreateUserMappingStmt", "CREATE USER MAPPING", W, 0, 0, DDL, NULL },
	{ "CreatedbStmt", "CREATE DATABASE", W, PG_SQL_OUTSIDE, 0, DDL, NULL },
	{ "DeallocateStmt", "DEALLOCATE", W, 0, SESSION,
		"it drops prepared statements of the session", NULL },
	{ "DeclareCursorStmt", "DECLARE CURSOR", R, 0, 0, "", NULL },
	{ "DefineStmt", "CREATE %", W, 0, 0, DDL, NULL },
	{ "DeleteStmt", "DELETE", W, 0, 0, "DELETE removes rows", judge_delete },
	{ "DiscardStmt", "DISCARD", W, 0, SESSION, "it resets the session",
		judge_discard },
	{ "DoStmt", "DO", W, 0, PG_SQL_OPAQUE, "DO runs a program", judge_do },
	{ "DropOwnedStmt", "DROP OWNED", D, 0, 0, GONE, NULL },
	{ "DropRoleStmt", "DROP ROLE", D, 0, 0, GONE, NULL },
	{ "DropStmt", "DROP %", D, 0, 0, GONE, judge_drop },
	{ "DropSubscriptionStmt", "DROP SUBSCRIPTION", D, PG_SQL_BARE, 0, GONE,
		NULL },
	{ "DropTableSpaceStmt", "DROP TABLESPACE", D, PG_SQL_OUTSIDE, 0, GONE,
		NULL },
	{ "DropUserMappingStmt", "DROP USER MAPPING", D, 0, 0, GONE, NULL },
	{ "DropdbStmt", "DROP DATABASE", D, PG_SQL_OUTSIDE, 0, GONE, NULL },
	{ "ExecuteStmt", "EXECUTE", W, 0, PG_SQL_OPAQUE,
		"EXECUTE runs what can't be seen", NULL },
	{ "ExplainStmt", "EXPLAIN", R, 0, 0, "", judge_explain },
	{ "FetchStmt", "FETCH", R, 0, 0, "", NULL },
	{ "GrantRoleStmt", "GRANT ROLE", W, 0, 0, "it changes privileges", NULL },
	{ "GrantStmt", "GRANT", W, 0, 0, "it changes privileges", NULL },
	{ "ImportForeignSchemaStmt", "IMPORT FOREIGN SCHEMA", W, 0, 0, DDL, NULL },
	{ "IndexStmt", "CREATE INDEX", W, 0, 0, DDL, judge_index },
	{ "InsertStmt", "INSERT", W, 0, 0, "INSERT adds rows", NULL },
	{ "ListenStmt", "LISTEN", W, 0, SESSION, "it changes the session", NULL },
	{ "LoadStmt", "LOAD", W, 0, SESSION, "it loads a library", NULL },
	{ "LockStmt", "LOCK TABLE", W, 0, PG_SQL_LOCKS, "it locks a table",
		judge_lock },
	{ "MergeStmt", "MERGE", W, 0, 0, "MERGE changes rows", judge_merge },
	{ "NotifyStmt", "NOTIFY", W, 0, 0, "it sends a notification", NULL },
	{ "PrepareStmt", "PREPARE", R, 0, SESSION, "", judge_prepare },
	{ "ReassignOwnedStmt", "REASSIGN OWNED", W, 0, 0, DDL, NULL },
	{ "RefreshMatViewStmt", "REFRESH MATERIALIZED VIEW", W, 0, 0,
		"it replaces the view's rows", judge_refresh },
	{ "ReindexStmt", "REINDEX", W, PG_SQL_BARE, 0, "it rebuilds an index",
		judge_reindex },
	{ "RenameStmt", "ALTER %", W, 0, 0, DDL, NULL },
	{ "RuleStmt", "CREATE RULE", W, 0, 0, DDL, judge_body },
	{ "SecLabelStmt", "SECURITY LABEL", W, 0, 0, DDL, NULL },
	{ "SelectStmt", "SELECT", R, 0, 0, "", NULL },
	{ "TransactionStmt", "TRANSACTION", R, 0, 0, "", judge_transaction },
	{ "TruncateStmt", "TRUNCATE TABLE", D, 0, 0, "TRUNCATE empties a table",
		NULL },
	{ "UnlistenStmt", "UNLISTEN", W, 0, SESSION, "it changes the session",
		NULL },
	{ "UpdateStmt", "UPDATE", W, 0, 0, "UPDATE changes rows", judge_update },
	{ "VacuumStmt", "VACUUM", W, 0, 0, "it works on the table's storage",
		judge_vacuum },
	{ "VariableSetStmt", "SET", R, 0, 0, "", judge_set },
	{ "VariableShowStmt", "SHOW", R, 0, 0, "", NULL },
	{ "ViewStmt", "CREATE VIEW", W, 0, 0, DDL, NULL },
};

struct key {
	const char *text;
	size_t len;
};

static int compare_key(const void *key, const void *row)
{
	const struct key *k = key;
	const char *name = ((const struct pg_sql_row *)row)->node;
	int rc = strncmp(k->text, name, k->len);

	return rc ? rc : -(name[k->len] != 0);
}

const struct pg_sql_row *pg_sql_row_find(const struct pg_sql_tree *tree,
					 uint32_t node)
{
	const struct pg_sql_node *n = &tree->node[node];
	struct key key = { tree->json + n->key, n->key_len };

	return bsearch(&key, rows, sizeof rows / sizeof *rows, sizeof *rows,
		       compare_key);
}
