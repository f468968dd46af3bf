/*
 * pg_sql_verdict: what a walk notes: a name, a class that is never lowered, how
 * it must be sent. Nothing of what doesn't run counts. Owns what a verdict holds.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bind/pg_sql_walk.h"
#include "core/mem.h"

int pg_sql_name_add(struct pg_sql_names *names, const char *name, int once)
{
	char **grown, *copy;
	int k;

	for (k = 0; once && k < names->count; k++)
		if (!strcmp(names->name[k], name))
			return 0;
	if (names->count == PG_SQL_NAMES)
		return 1;
	grown = mem_realloc(names->name, (size_t)(names->count + 1) * sizeof *grown);
	if (!grown)
		return -1;
	names->name = grown;
	copy = mem_strdup(name);
	if (!copy)
		return -1;
	names->name[names->count++] = copy;
	return 0;
}

void pg_sql_raise(struct pg_sql_walk *walk, enum effect_class cls,
		  const char *fmt, ...)
{
	struct pg_sql_verdict *out = walk->out;
	va_list ap;

	if (walk->inert || cls <= out->cls)
		return;
	out->cls = cls;
	va_start(ap, fmt);
	vsnprintf(out->why, sizeof out->why, fmt, ap);
	va_end(ap);
}

void pg_sql_block(struct pg_sql_walk *walk, enum pg_sql_block block)
{
	if (!walk->inert && block > walk->out->block)
		walk->out->block = block;
}

const char *pg_sql_text(struct pg_sql_walk *walk, uint32_t node)
{
	buf_clear(&walk->text);
	pg_sql_tree_text(walk->tree, node, &walk->text);
	if (!buf_ok(&walk->text)) {
		walk->bad = 1;
		return "";
	}
	return walk->text.data;
}

void pg_sql_free(struct pg_sql_verdict *verdict)
{
	struct pg_sql_names *all[] = { &verdict->tags, &verdict->relations,
		&verdict->functions, &verdict->operators, &verdict->secrets };
	size_t k;
	int i;

	for (k = 0; k < sizeof all / sizeof *all; k++) {
		for (i = 0; i < all[k]->count; i++)
			mem_free(all[k]->name[i]);
		mem_free(all[k]->name);
		all[k]->name = NULL;
		all[k]->count = 0;
	}
	mem_free(verdict->error);
	verdict->error = NULL;
}
