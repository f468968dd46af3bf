/*
 * pg_sql_func: what Postgres' own functions and operators do, by name: the
 * ones with an effect, and the harmless ones that runbooks use. Hand-written;
 * what is on neither list has to be looked up in pg_proc. Knows no tree.
 */
#ifndef OPSH_BIND_PG_SQL_FUNC_H
#define OPSH_BIND_PG_SQL_FUNC_H

#include "effect/effect.h"

struct pg_sql_func {
	const char *name;
	enum effect_class cls;
	unsigned flags;		/* enum pg_sql_flag, and those below */
	const char *why;	/* "ends a session" */
};

/* An argument is SQL text, which is run. */
#define PG_SQL_RUNS_TEXT 0x10000u
/* set_config: what it sets decides. */
#define PG_SQL_SETS 0x20000u
/* Takes effect at once, ROLLBACK or not: a reply that is lost leaves it unknown,
 * so it is sent bare. */
#define PG_SQL_AT_ONCE 0x40000u

/* NULL: not known to have an effect. */
const struct pg_sql_func *pg_sql_func_effect(const char *name);
/* In pg_catalog, and every one of that name is without an effect. */
int pg_sql_func_harmless(const char *name);
int pg_sql_operator_known(const char *name);
/* Settings that widen what a read may do, or how a text is read. */
int pg_sql_setting_escapes(const char *name);

#endif
