/*
 * pg_sql_rule: what the options of a statement add to its row: the functions
 * that rows of pg_sql_stmt.c name, each for one kind of node.
 */
#ifndef OPSH_BIND_PG_SQL_RULE_H
#define OPSH_BIND_PG_SQL_RULE_H

#include "bind/pg_sql_walk.h"

enum pg_sql_step pg_sql_rule_delete(struct pg_sql_walk *walk, uint32_t node);
enum pg_sql_step pg_sql_rule_update(struct pg_sql_walk *walk, uint32_t node);
enum pg_sql_step pg_sql_rule_merge(struct pg_sql_walk *walk, uint32_t node);
enum pg_sql_step pg_sql_rule_explain(struct pg_sql_walk *walk, uint32_t node);
enum pg_sql_step pg_sql_rule_copy(struct pg_sql_walk *walk, uint32_t node);
enum pg_sql_step pg_sql_rule_drop(struct pg_sql_walk *walk, uint32_t node);
enum pg_sql_step pg_sql_rule_alter_table(struct pg_sql_walk *walk,
					uint32_t node);
enum pg_sql_step pg_sql_rule_alter_domain(struct pg_sql_walk *walk,
					uint32_t node);
enum pg_sql_step pg_sql_rule_alter_drop(struct pg_sql_walk *walk,
					uint32_t node);
enum pg_sql_step pg_sql_rule_subscription(struct pg_sql_walk *walk,
					uint32_t node);
enum pg_sql_step pg_sql_rule_stored(struct pg_sql_walk *walk, uint32_t node);
enum pg_sql_step pg_sql_rule_database(struct pg_sql_walk *walk, uint32_t node);
enum pg_sql_step pg_sql_rule_lock(struct pg_sql_walk *walk, uint32_t node);
enum pg_sql_step pg_sql_rule_reindex(struct pg_sql_walk *walk, uint32_t node);
enum pg_sql_step pg_sql_rule_vacuum(struct pg_sql_walk *walk, uint32_t node);
enum pg_sql_step pg_sql_rule_cluster(struct pg_sql_walk *walk, uint32_t node);
enum pg_sql_step pg_sql_rule_refresh(struct pg_sql_walk *walk, uint32_t node);
enum pg_sql_step pg_sql_rule_index(struct pg_sql_walk *walk, uint32_t node);
enum pg_sql_step pg_sql_rule_transaction(struct pg_sql_walk *walk,
					uint32_t node);
enum pg_sql_step pg_sql_rule_set(struct pg_sql_walk *walk, uint32_t node);
enum pg_sql_step pg_sql_rule_discard(struct pg_sql_walk *walk, uint32_t node);
enum pg_sql_step pg_sql_rule_do(struct pg_sql_walk *walk, uint32_t node);
enum pg_sql_step pg_sql_rule_body(struct pg_sql_walk *walk, uint32_t node);
enum pg_sql_step pg_sql_rule_prepare(struct pg_sql_walk *walk, uint32_t node);

#endif
