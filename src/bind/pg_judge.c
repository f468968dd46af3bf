/*
 * pg_judge: the class of a statement for the binding: libpg_query's verdict
 * (pg_sql), and what the server says of functions and operators that the
 * verdict does not know: volatile ones, and missing ones, make it a write.
 */
#include "bind/pg.h"

#include <stdio.h>
#include <string.h>

#include "core/lx.h"
#include "core/mem.h"
#include "effect/redact.h"

#define KNOWN_MAX 4096
#define KNOWN_TIME 60.0		/* a function may be replaced meanwhile */

/* --- what can't be sent --------------------------------------------------------- */
void pg_judge(lua_State *L, struct pg_sql_verdict *v, const char *sql,
	      size_t len, int copy)
{
	const char *nul = memchr(sql, 0, len);
	struct pg_error e;
	int r, i;

	if (nul)
		err_raisef(L, ERR_USAGE, "", "the statement has a NUL byte at "
			   "%d", (int)(nul - sql) + 1);
	r = pg_sql_judge(sql, len, v);
	for (i = 0; r >= 0 && i < v->secrets.count; i++)
		if (redact_add(v->secrets.name[i],
			       strlen(v->secrets.name[i])) < 0)
			r = -1;
	if (r < 0)
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory to judge a "
			   "statement");
	if (!r && v->statements == 0)
		err_raisef(L, ERR_USAGE, "", "the statement is empty");
	if (!r && v->statements > 1)
		err_raisef(L, ERR_USAGE, "", "%d statements in one call: send "
			   "one at a time; transaction() keeps them together",
			   v->statements);
	if (!r && (v->flags & PG_SQL_TRANSACTION))
		err_raisef(L, ERR_USAGE, "", "'%s' can't be sent on its own: "
			   "use transaction()", v->tags.count ?
			   v->tags.name[0] : "BEGIN");
	if (!r && !copy && (v->flags & (PG_SQL_COPY_IN | PG_SQL_COPY_OUT)))
		err_raisef(L, ERR_USAGE, "", "COPY from or to the client: use "
			   "%s", v->flags & PG_SQL_COPY_IN ? "copy_in()" :
			   "copy_out()");
	if (r && v->error_at < 0) {
		memset(&e, 0, sizeof e);
		err_set(&e.e, ERR_USAGE, "42601", "%s", v->error ? v->error :
			"the statement can't be read");
		pg_error_raise(L, &e, NULL, 0);
	}
}

/* --- functions of the server's ----------------------------------------------------- */
void pg_judge_forget(struct pg_client *pc)
{
	int i;

	for (i = 0; i < pc->n_known; i++)
		mem_free(pc->known[i].name);
	mem_free(pc->known);
	pc->known = NULL;
	pc->n_known = 0;
}

static struct pg_known *find(struct pg_client *pc, const char *name)
{
	int i;

	for (i = 0; i < pc->n_known; i++)
		if (!strcmp(pc->known[i].name, name))
			return &pc->known[i];
	return NULL;
}

static void make_write(struct pg_sql_verdict *v, const char *name)
{
	if (v->cls != EFFECT_READ)
		return;
	v->cls = EFFECT_WRITE;
	snprintf(v->why, sizeof v->why, "'%.50s' may have an effect or is missing", name);
}

/* Appends the unknown ones to an array; a known one with an effect counts at
 * once. The kind stands before the name. */
static void ask_names(struct pg_client *pc, struct pg_sql_verdict *v,
		      char kind, const struct pg_sql_names *names,
		      struct buf *array)
{
	char key[300];
	struct pg_known *k;
	const char *p;
	int i, n = 0;

	buf_addc(array, '{');
	for (i = 0; i < names->count; i++) {
		snprintf(key, sizeof key, "%c%s", kind, names->name[i]);
		k = find(pc, key);
		if (k && k->effect)
			make_write(v, k->name + 1);
		if (k)
			continue;
		if (n++)
			buf_addc(array, ',');
		buf_addc(array, '"');
		for (p = names->name[i]; *p; p++) {
			if (*p == '"' || *p == '\\')
				buf_addc(array, '\\');
			buf_addc(array, *p);
		}
		buf_addc(array, '"');
	}
	buf_addc(array, '}');
	buf_addc(array, '\0');
}

int pg_judge_asks(struct pg_client *pc, struct pg_sql_verdict *v,
		  struct buf *arrays)
{
	if (v->cls != EFFECT_READ || (!v->functions.count &&
				      !v->operators.count &&
				      !v->relations.count))
		return 0;
	if (loop_now() - pc->known_at > KNOWN_TIME ||
	    pc->n_known > KNOWN_MAX)
		pg_judge_forget(pc);
	if (!pc->n_known)
		pc->known_at = loop_now();
	buf_clear(arrays);
	ask_names(pc, v, 'f', &v->functions, arrays);
	ask_names(pc, v, 'o', &v->operators, arrays);
	ask_names(pc, v, 'r', &v->relations, arrays);
	/* three times "{}"; without memory the caller must not go on */
	return !buf_ok(arrays) || arrays->len > 9;
}

int pg_judge_send(struct pg_conn *c, void *arg)
{
	const struct buf *arrays = arg;
	const char *value[3] = { arrays->data };

	value[1] = value[0] + strlen(value[0]) + 1;
	value[2] = value[1] + strlen(value[1]) + 1;
	return PQsendQueryParams(c->pg, pg_sql_lookup, 3, NULL, value, NULL,
				 NULL, 0);
}

int pg_judge_learn(struct pg_client *pc, const PGresult *res)
{
	int i, n = res ? PQntuples(res) : 0;
	struct pg_known *more;
	char key[300];

	more = mem_realloc(pc->known, ((size_t)pc->n_known + (size_t)n + 1) *
			   sizeof *more);
	if (!more)
		return -1;
	pc->known = more;
	for (i = 0; i < n; i++) {
		snprintf(key, sizeof key, "%c%s", *PQgetvalue(res, i, 0),
			 PQgetvalue(res, i, 1));
		more[pc->n_known].name = mem_strdup(key);
		more[pc->n_known].effect = *PQgetvalue(res, i, 2) == 't';
		if (!more[pc->n_known].name)
			return -1;
		pc->n_known++;
	}
	return 0;
}

/* --- judge(text), for people and playbooks --------------------------------------------- */
static void push_names(lua_State *L, const char *field,
		       const struct pg_sql_names *names)
{
	int i;

	lua_createtable(L, names->count, 0);
	for (i = 0; i < names->count; i++) {
		lua_pushstring(L, names->name[i]);
		lua_rawseti(L, -2, i + 1);
	}
	lua_setfield(L, -2, field);
}

static int l_verdict_gc(lua_State *L)
{
	pg_sql_free(lua_touserdata(L, 1));
	return 0;
}

static void set_flags(lua_State *L, unsigned flags)
{
	static const struct { unsigned flag; const char *name; } names[] = {
		{ PG_SQL_TRANSACTION, "transaction" },
		{ PG_SQL_SESSION, "session" }, { PG_SQL_ESCAPE, "escape" },
		{ PG_SQL_COPY_IN, "copy_in" }, { PG_SQL_COPY_OUT, "copy_out" },
		{ PG_SQL_CURSOR, "cursor" }, { PG_SQL_OPAQUE, "opaque" },
		{ PG_SQL_LOCKS, "locks" },
	};
	size_t i;

	for (i = 0; i < sizeof names / sizeof *names; i++) {
		if (!(flags & names[i].flag))
			continue;
		lua_pushboolean(L, 1);
		lua_setfield(L, -2, names[i].name);
	}
}

/* judge(text) -> {class, why, tags, statements, parameters, relations,
 * functions, operators, block, error, error_at, flags by name} */
static int l_judge(lua_State *L)
{
	static const char *const blocks[] = { "any", "bare", "outside" };
	static const luaL_Reg meta[] = { { "__gc", l_verdict_gc },
					 { NULL, NULL } };
	struct pg_sql_verdict *v;
	const char *sql;
	size_t len;

	sql = lx_checkstr(L, 1, &len);
	lx_metatable(L, "opsh.pg.verdict", NULL, meta);
	v = lua_newuserdatauv(L, sizeof *v, 0);
	memset(v, 0, sizeof *v);
	luaL_setmetatable(L, "opsh.pg.verdict");
	if (pg_sql_judge(sql, len, v) < 0)
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory to judge a "
			   "statement");
	lua_createtable(L, 0, 12);
	lua_pushstring(L, effect_class_name(v->cls));
	lua_setfield(L, -2, "class");
	lua_pushstring(L, blocks[v->block]);
	lua_setfield(L, -2, "block");
	lua_pushinteger(L, v->statements);
	lua_setfield(L, -2, "statements");
	lua_pushinteger(L, v->parameters);
	lua_setfield(L, -2, "parameters");
	lua_pushstring(L, v->why);
	lua_setfield(L, -2, "why");
	push_names(L, "tags", &v->tags);
	push_names(L, "relations", &v->relations);
	push_names(L, "functions", &v->functions);
	push_names(L, "operators", &v->operators);
	set_flags(L, v->flags);
	if (v->error) {
		lua_pushstring(L, v->error);
		lua_setfield(L, -2, "error");
		lua_pushinteger(L, v->error_at);
		lua_setfield(L, -2, "error_at");
	}
	return 1;
}

void pg_open_judge(lua_State *L)
{
	static const luaL_Reg funcs[] = { { "judge", l_judge }, { NULL, NULL } };

	lx_setfuncs(L, funcs);
}
