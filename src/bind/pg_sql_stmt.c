/*
 * pg_sql_stmt: one row a kind of statement: class, tag, block, and a rule
 * (pg_sql_rule.c) where its options decide. The line between a write and a
 * destructive one is drawn here: loses data, or serves no one for a while, and
 * the next call can't undo it. A kind without a row is a write.
 */
#include <stdlib.h>
#include <string.h>

#include "bind/pg_sql_rule.h"

#define R EFFECT_READ
#define W EFFECT_WRITE
#define D EFFECT_DESTRUCTIVE

#define GONE "what is dropped is gone"
#define DDL "it changes the schema"
#define SESSION PG_SQL_SESSION

/* Sorted by node. A tag that ends in "%" gets the kind of object after it. */
static const struct pg_sql_row rows[] = {
	{ "AlterCollationStmt", "ALTER COLLATION", W, 0, 0, DDL, NULL },
	{ "AlterDatabaseRefreshCollStmt", "ALTER DATABASE", W, 0, 0, DDL, NULL },
	{ "AlterDatabaseSetStmt", "ALTER DATABASE", W, 0, 0,
		"it changes stored settings", pg_sql_rule_stored },
	{ "AlterDatabaseStmt", "ALTER DATABASE", W, 0, 0, DDL, pg_sql_rule_database },
	{ "AlterDefaultPrivilegesStmt", "ALTER DEFAULT PRIVILEGES", W, 0, 0,
		"it changes privileges", NULL },
	{ "AlterDomainStmt", "ALTER DOMAIN", W, 0, 0, DDL, pg_sql_rule_alter_domain },
	{ "AlterEnumStmt", "ALTER TYPE", W, PG_SQL_BARE, 0, DDL, NULL },
	{ "AlterEventTrigStmt", "ALTER EVENT TRIGGER", W, 0, 0, DDL, NULL },
	{ "AlterExtensionContentsStmt", "ALTER EXTENSION", W, 0, 0, DDL,
		pg_sql_rule_alter_drop },
	{ "AlterExtensionStmt", "ALTER EXTENSION", W, 0, 0, DDL, NULL },
	{ "AlterFdwStmt", "ALTER FOREIGN DATA WRAPPER", W, 0, 0, DDL, NULL },
	{ "AlterForeignServerStmt", "ALTER SERVER", W, 0, 0, DDL, NULL },
	{ "AlterFunctionStmt", "ALTER %", W, 0, 0, DDL, NULL },
	{ "AlterObjectDependsStmt", "ALTER %", W, 0, 0, DDL, NULL },
	{ "AlterObjectSchemaStmt", "ALTER %", W, 0, 0, DDL, NULL },
	{ "AlterOpFamilyStmt", "ALTER OPERATOR FAMILY", W, 0, 0, DDL,
		pg_sql_rule_alter_drop },
	{ "AlterOperatorStmt", "ALTER OPERATOR", W, 0, 0, DDL, NULL },
	{ "AlterOwnerStmt", "ALTER %", W, 0, 0, DDL, NULL },
	{ "AlterPolicyStmt", "ALTER POLICY", W, 0, 0, DDL, NULL },
	{ "AlterPublicationStmt", "ALTER PUBLICATION", W, 0, 0, DDL,
		pg_sql_rule_alter_drop },
	{ "AlterRoleSetStmt", "ALTER ROLE", W, 0, 0,
		"it changes stored settings", pg_sql_rule_stored },
	{ "AlterRoleStmt", "ALTER ROLE", W, 0, 0, "it changes a role", NULL },
	{ "AlterSeqStmt", "ALTER SEQUENCE", W, 0, 0, DDL, NULL },
	{ "AlterStatsStmt", "ALTER STATISTICS", W, 0, 0, DDL, NULL },
	{ "AlterSubscriptionStmt", "ALTER SUBSCRIPTION", W, PG_SQL_BARE, 0, DDL,
		pg_sql_rule_subscription },
	{ "AlterSystemStmt", "ALTER SYSTEM", W, PG_SQL_OUTSIDE, 0,
		"it changes the server's settings", pg_sql_rule_stored },
	{ "AlterTSConfigurationStmt", "ALTER TEXT SEARCH CONFIGURATION", W, 0, 0,
		DDL, pg_sql_rule_alter_drop },
	{ "AlterTSDictionaryStmt", "ALTER TEXT SEARCH DICTIONARY", W, 0, 0, DDL,
		NULL },
	{ "AlterTableMoveAllStmt", "ALTER %", D, 0, 0,
		"it moves tables, locked against all", NULL },
	{ "AlterTableSpaceOptionsStmt", "ALTER TABLESPACE", W, 0, 0, DDL, NULL },
	{ "AlterTableStmt", "ALTER %", W, 0, 0, DDL, pg_sql_rule_alter_table },
	{ "AlterTypeStmt", "ALTER TYPE", W, 0, 0, DDL, NULL },
	{ "AlterUserMappingStmt", "ALTER USER MAPPING", W, 0, 0, DDL, NULL },
	{ "CallStmt", "CALL", W, PG_SQL_BARE, PG_SQL_OPAQUE,
		"CALL runs what can't be seen", NULL },
	{ "CheckPointStmt", "CHECKPOINT", W, 0, 0, "it flushes the server", NULL },
	{ "ClosePortalStmt", "CLOSE CURSOR", R, 0, 0, "", NULL },
	{ "ClusterStmt", "CLUSTER", D, PG_SQL_BARE, 0, "CLUSTER locks all out",
		pg_sql_rule_cluster },
	{ "CommentStmt", "COMMENT", W, 0, 0, DDL, NULL },
	{ "CompositeTypeStmt", "CREATE TYPE", W, 0, 0, DDL, NULL },
	{ "ConstraintsSetStmt", "SET CONSTRAINTS", R, 0, 0, "", NULL },
	{ "CopyStmt", "COPY", R, 0, 0, "", pg_sql_rule_copy },
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
	{ "CreateFunctionStmt", "CREATE FUNCTION", W, 0, 0, DDL, pg_sql_rule_body },
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
	{ "DeleteStmt", "DELETE", W, 0, 0, "DELETE removes rows", pg_sql_rule_delete },
	{ "DiscardStmt", "DISCARD", W, 0, SESSION, "it resets the session",
		pg_sql_rule_discard },
	{ "DoStmt", "DO", W, 0, PG_SQL_OPAQUE, "DO runs a program", pg_sql_rule_do },
	{ "DropOwnedStmt", "DROP OWNED", D, 0, 0, GONE, NULL },
	{ "DropRoleStmt", "DROP ROLE", D, 0, 0, GONE, NULL },
	{ "DropStmt", "DROP %", D, 0, 0, GONE, pg_sql_rule_drop },
	{ "DropSubscriptionStmt", "DROP SUBSCRIPTION", D, PG_SQL_BARE, 0, GONE,
		NULL },
	{ "DropTableSpaceStmt", "DROP TABLESPACE", D, PG_SQL_OUTSIDE, 0, GONE,
		NULL },
	{ "DropUserMappingStmt", "DROP USER MAPPING", D, 0, 0, GONE, NULL },
	{ "DropdbStmt", "DROP DATABASE", D, PG_SQL_OUTSIDE, 0, GONE, NULL },
	{ "ExecuteStmt", "EXECUTE", W, 0, PG_SQL_OPAQUE,
		"EXECUTE runs what can't be seen", NULL },
	{ "ExplainStmt", "EXPLAIN", R, 0, 0, "", pg_sql_rule_explain },
	{ "FetchStmt", "FETCH", R, 0, 0, "", NULL },
	{ "GrantRoleStmt", "GRANT ROLE", W, 0, 0, "it changes privileges", NULL },
	{ "GrantStmt", "GRANT", W, 0, 0, "it changes privileges", NULL },
	{ "ImportForeignSchemaStmt", "IMPORT FOREIGN SCHEMA", W, 0, 0, DDL, NULL },
	{ "IndexStmt", "CREATE INDEX", W, 0, 0, DDL, pg_sql_rule_index },
	{ "InsertStmt", "INSERT", W, 0, 0, "INSERT adds rows", NULL },
	{ "ListenStmt", "LISTEN", W, 0, SESSION, "it changes the session", NULL },
	{ "LoadStmt", "LOAD", W, 0, SESSION, "it loads a library", NULL },
	{ "LockStmt", "LOCK TABLE", W, 0, PG_SQL_LOCKS, "it locks a table",
		pg_sql_rule_lock },
	{ "MergeStmt", "MERGE", W, 0, 0, "MERGE changes rows", pg_sql_rule_merge },
	{ "NotifyStmt", "NOTIFY", W, 0, 0, "it sends a notification", NULL },
	{ "PrepareStmt", "PREPARE", R, 0, SESSION, "", pg_sql_rule_prepare },
	{ "ReassignOwnedStmt", "REASSIGN OWNED", W, 0, 0, DDL, NULL },
	{ "RefreshMatViewStmt", "REFRESH MATERIALIZED VIEW", W, 0, 0,
		"it replaces the view's rows", pg_sql_rule_refresh },
	{ "ReindexStmt", "REINDEX", W, PG_SQL_BARE, 0, "it rebuilds an index",
		pg_sql_rule_reindex },
	{ "RenameStmt", "ALTER %", W, 0, 0, DDL, NULL },
	{ "RuleStmt", "CREATE RULE", W, 0, 0, DDL, pg_sql_rule_body },
	{ "SecLabelStmt", "SECURITY LABEL", W, 0, 0, DDL, NULL },
	{ "SelectStmt", "SELECT", R, 0, 0, "", NULL },
	{ "TransactionStmt", "TRANSACTION", R, 0, 0, "", pg_sql_rule_transaction },
	{ "TruncateStmt", "TRUNCATE TABLE", D, 0, 0, "TRUNCATE empties a table",
		NULL },
	{ "UnlistenStmt", "UNLISTEN", W, 0, SESSION, "it changes the session",
		NULL },
	{ "UpdateStmt", "UPDATE", W, 0, 0, "UPDATE changes rows", pg_sql_rule_update },
	{ "VacuumStmt", "VACUUM", W, 0, 0, "it works on the table's storage",
		pg_sql_rule_vacuum },
	{ "VariableSetStmt", "SET", R, 0, 0, "", pg_sql_rule_set },
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
