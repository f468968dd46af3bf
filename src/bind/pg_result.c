/*
 * pg_result: rows as Lua sees them. They stay as they came, in one piece of
 * memory; a value is decoded when it is asked for. `rows[i]` is a view of one
 * row, `row.name` and `row[n]` its values. Sends nothing.
 */
#include "bind/pg.h"

#include <string.h>

#include "core/lx.h"

#define GC_MIN 65536		/* bytes that the collector is told of */

struct pg_rows {		/* user values: 1 columns, 2 positions, 3 extra */
	struct pg_store s;
};

struct pg_row {			/* user value 1: the rows */
	struct pg_rows *rows;
	long long n;
};

/* --- rows --------------------------------------------------------------------------- */
struct pg_store *pg_rows_new(lua_State *L)
{
	struct pg_rows *r = lua_newuserdatauv(L, sizeof *r, 3);

	pg_store_init(&r->s, 0);
	luaL_setmetatable(L, PG_ROWS);
	return &r->s;
}

/* Short strings are one object each in Lua: a key is found by its address. */
static void note_names(lua_State *L, int idx)
{
	struct pg_rows *r = lua_touserdata(L, idx);
	int i;

	lua_getiuservalue(L, idx, 1);
	for (i = r->s.columns - 1; i >= 0; i--) {
		lua_rawgeti(L, -1, i + 1);
		r->s.col[i].name = lua_tostring(L, -1);
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
}

/* Columns and their positions; the collector hears of what it can't see. */
void pg_rows_ready(lua_State *L, int idx)
{
	struct pg_rows *r = lua_touserdata(L, idx);
	const char *name = r->s.names.data;
	size_t size = r->s.data.len + r->s.at.len;
	int i;

	idx = lua_absindex(L, idx);
	lua_createtable(L, r->s.columns, 0);
	lua_createtable(L, 0, r->s.columns);
	for (i = 1; i <= r->s.columns; i++) {
		lua_pushstring(L, name);
		lua_pushvalue(L, -1);
		lua_rawseti(L, -4, i);		/* -- columns positions name */
		lua_pushvalue(L, -1);
		if (lua_rawget(L, -3) == LUA_TNIL) {
			lua_pop(L, 1);
			lua_pushinteger(L, i);
			lua_rawset(L, -3);	/* the first of two alike */
		} else {
			lua_pop(L, 2);
		}
		name += strlen(name) + 1;
	}
	lua_setiuservalue(L, idx, 2);
	lua_setiuservalue(L, idx, 1);
	note_names(L, idx);
	if (size > GC_MIN)
		lua_gc(L, LUA_GCSTEP, (int)(size / 1024 > 1000000 ? 1000000 :
					    size / 1024));
}

static struct pg_rows *check_rows(lua_State *L)
{
	return luaL_checkudata(L, 1, PG_ROWS);
}

/* [-0, +0, m] The rows at idx get the columns of those that the cursor at
 * `from` had before, or their own. */
void pg_rows_share(lua_State *L, int idx, int from)
{
	int i, shared;

	idx = lua_absindex(L, idx);
	lua_getiuservalue(L, from, 2);
	shared = lua_isuserdata(L, -1);
	for (i = 1; shared && i <= 2; i++) {
		lua_getiuservalue(L, -1, i);
		lua_setiuservalue(L, idx, i);
	}
	lua_pop(L, 1);
	if (shared)
		note_names(L, idx);
	else
		pg_rows_ready(L, idx);
}

static void push_row(lua_State *L, struct pg_rows *r, int idx, long long n)
{
	struct pg_row *row = lua_newuserdatauv(L, sizeof *row, 1);

	row->rows = r;
	row->n = n;
	lua_pushvalue(L, idx);
	lua_setiuservalue(L, -2, 1);
	luaL_setmetatable(L, PG_ROW);
}

static void push_cell(lua_State *L, const struct pg_store *s, long long row,
		      int column)
{
	size_t len;
	const char *p = pg_store_get(s, row, column, &len);

	if (p)
		pg_push_value(L, s->col[column].type, s->col[column].format,
			      p, len);
	else
		lua_pushnil(L);
}

static void push_types(lua_State *L, const struct pg_store *s)
{
	int i;

	lua_createtable(L, s->columns, 0);
	for (i = 0; i < s->columns; i++) {
		const char *name = pg_type_name(s->col[i].type);

		if (name)
			lua_pushstring(L, name);
		else
			lua_pushfstring(L, "%I",
					(LUAI_UACINT)s->col[i].type);
		lua_rawseti(L, -2, i + 1);
	}
}

/* rows[i] -> a row or nil; rows.columns, .types, .count, .command, .notices */
static int l_rows_index(lua_State *L)
{
	struct pg_rows *r = check_rows(L);
	const char *name;
	lua_Integer n;

	if (lua_isinteger(L, 2)) {
		n = lua_tointeger(L, 2);
		if (n < 1 || n > r->s.rows)
			return 0;
		push_row(L, r, 1, n - 1);
		return 1;
	}
	if (lua_type(L, 2) != LUA_TSTRING)
		return 0;
	name = lua_tostring(L, 2);
	if (!strcmp(name, "columns")) {
		lua_getiuservalue(L, 1, 1);
	} else if (!strcmp(name, "types")) {
		push_types(L, &r->s);
	} else if (!strcmp(name, "count")) {
		lua_pushinteger(L, r->s.rows);
	} else if (lua_getiuservalue(L, 1, 3) == LUA_TTABLE) {
		lua_pushvalue(L, 2);
		lua_rawget(L, -2);
	}
	return 1;
}

/* #rows */
static int l_rows_len(lua_State *L)
{
	lua_pushinteger(L, check_rows(L)->s.rows);
	return 1;
}

/* (rows, i) -> i + 1, row */
static int l_rows_next(lua_State *L)
{
	struct pg_rows *r = check_rows(L);
	lua_Integer n = luaL_optinteger(L, 2, 0);

	if (n < 0 || n >= r->s.rows)
		return 0;
	lua_pushinteger(L, n + 1);
	push_row(L, r, 1, n);
	return 2;
}

/* pairs(rows): as ipairs */
static int l_rows_pairs(lua_State *L)
{
	check_rows(L);
	lua_pushcfunction(L, l_rows_next);
	lua_pushvalue(L, 1);
	lua_pushinteger(L, 0);
	return 3;
}

/* tostring(rows) -> "(12 rows)" */
static int l_rows_tostring(lua_State *L)
{
	long long n = check_rows(L)->s.rows;

	lua_pushfstring(L, "(%I row%s)", (LUAI_UACINT)n, n == 1 ? "" : "s");
	return 1;
}

static int l_rows_gc(lua_State *L)
{
	pg_store_release(&check_rows(L)->s);
	return 0;
}

/* --- one row ------------------------------------------------------------------------- */
/* The row at 1; upvalue 1 is its metatable (a look-up by name for each value is
 * too dear). */
static struct pg_row *check_row(lua_State *L)
{
	struct pg_row *row = lua_touserdata(L, 1);

	if (row && lua_getmetatable(L, 1)) {
		if (!lua_rawequal(L, -1, lua_upvalueindex(1)))
			row = NULL;
		lua_pop(L, 1);
	} else {
		row = NULL;
	}
	return row ? row : luaL_checkudata(L, 1, PG_ROW);
}

/* The column that the key at idx names, from 0; -1 none. Leaves the stack. */
static int column_of(lua_State *L, struct pg_row *row, int idx)
{
	const char *name;
	lua_Integer n;
	int i;

	if (lua_isinteger(L, idx)) {
		n = lua_tointeger(L, idx);
		return n >= 1 && n <= row->rows->s.columns ? (int)n - 1 : -1;
	}
	if (lua_type(L, idx) != LUA_TSTRING)
		return -1;
	name = lua_tostring(L, idx);
	for (i = 0; i < row->rows->s.columns; i++)
		if (row->rows->s.col[i].name == name)
			return i;
	lua_getiuservalue(L, 1, 1);
	lua_getiuservalue(L, -1, 2);
	lua_pushvalue(L, idx);
	lua_rawget(L, -2);
	n = lua_tointeger(L, -1);
	lua_pop(L, 3);
	return (int)n - 1;
}

/* row.name, row[n] -> the value; nil for NULL. A name that is no column raises:
 * a misspelt one must not look like NULL */
static int l_row_index(lua_State *L)
{
	struct pg_row *row = check_row(L);
	int column = column_of(L, row, 2);

	if (column < 0 && lua_type(L, 2) == LUA_TSTRING)
		err_raisef(L, ERR_USAGE, "", "the row has no column '%s'",
			   lua_tostring(L, 2));
	if (column < 0)
		return 0;
	push_cell(L, &row->rows->s, row->n, column);
	return 1;
}

/* (row, name) -> the next column's name and value; upvalue 1: the position */
static int l_row_next(lua_State *L)
{
	struct pg_row *row = luaL_checkudata(L, 1, PG_ROW);
	lua_Integer n = lua_tointeger(L, lua_upvalueindex(1));

	if (n >= row->rows->s.columns)
		return 0;
	lua_pushinteger(L, n + 1);
	lua_replace(L, lua_upvalueindex(1));
	lua_getiuservalue(L, 1, 1);
	lua_getiuservalue(L, -1, 1);
	lua_rawgeti(L, -1, n + 1);
	push_cell(L, &row->rows->s, row->n, (int)n);
	return 2;
}

/* pairs(row): names and values, in the order of the columns */
static int l_row_pairs(lua_State *L)
{
	luaL_checkudata(L, 1, PG_ROW);
	lua_pushinteger(L, 0);
	lua_pushcclosure(L, l_row_next, 1);
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	return 3;
}

/* [-1, +1, m] The row n (from 0) of the rows on top; meta: stack index of the
 * rows' metatable. */
void pg_row_push(lua_State *L, long long n, int meta)
{
	struct pg_rows *r = lua_touserdata(L, -1);
	struct pg_row *row = lua_newuserdatauv(L, sizeof *row, 1);

	row->rows = r;
	row->n = n;
	lua_insert(L, -2);
	lua_setiuservalue(L, -2, 1);
	lua_pushvalue(L, meta);
	lua_setmetatable(L, -2);
}

/* --- one table for all rows ------------------------------------------------------------ */
/* [-0, +0, m] Row n into the table on top, by name; the cursor is at 1. */
void pg_row_fill(lua_State *L, const struct pg_store *s, long long n)
{
	int i, table = lua_gettop(L);

	lua_getiuservalue(L, 1, 2);
	lua_getiuservalue(L, -1, 1);		/* -- table rows columns */
	for (i = 0; i < s->columns; i++) {
		lua_rawgeti(L, -1, i + 1);
		push_cell(L, s, n, i);
		lua_rawset(L, table);
	}
	lua_settop(L, table);
}

/* --- as plain tables, for records and JSON --------------------------------------------- */
/* The row of the userdata at idx as a table by name; NULL is json.null. */
static void push_plain(lua_State *L, struct pg_rows *r, int idx, long long n)
{
	int i;

	lua_getiuservalue(L, idx, 1);		/* -- columns */
	lua_createtable(L, 0, r->s.columns);
	for (i = 0; i < r->s.columns; i++) {
		lua_rawgeti(L, -2, i + 1);
		push_cell(L, &r->s, n, i);
		if (lua_isnil(L, -1)) {
			lua_pop(L, 1);
			lua_pushlightuserdata(L, NULL);
		}
		lua_rawset(L, -3);
	}
	lua_remove(L, -2);
}

/* row:__tojson() -> a table */
static int l_row_plain(lua_State *L)
{
	struct pg_row *row = luaL_checkudata(L, 1, PG_ROW);

	lua_getiuservalue(L, 1, 1);
	push_plain(L, row->rows, lua_gettop(L), row->n);
	return 1;
}

/* rows:__tojson() -> a list of tables */
static int l_rows_plain(lua_State *L)
{
	struct pg_rows *r = check_rows(L);
	long long i;

	lua_createtable(L, r->s.rows > 1000000 ? 1000000 : (int)r->s.rows, 0);
	luaL_getmetatable(L, "opsh.json.array");
	if (lua_istable(L, -1))
		lua_setmetatable(L, -2);
	else
		lua_pop(L, 1);
	for (i = 0; i < r->s.rows; i++) {
		push_plain(L, r, 1, i);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

/* plain(rows or row) -> tables, for what keeps or changes them */
static int l_plain(lua_State *L)
{
	return luaL_testudata(L, 1, PG_ROW) ? l_row_plain(L) : l_rows_plain(L);
}

void pg_open_result(lua_State *L)
{
	static const luaL_Reg rows[] = {
		{ "__index", l_rows_index }, { "__len", l_rows_len },
		{ "__pairs", l_rows_pairs }, { "__tostring", l_rows_tostring },
		{ "__tojson", l_rows_plain }, { "__gc", l_rows_gc },
		{ NULL, NULL }
	};
	static const luaL_Reg row[] = {
		{ "__pairs", l_row_pairs },
		{ "__tojson", l_row_plain }, { NULL, NULL }
	};
	static const luaL_Reg funcs[] = { { "plain", l_plain }, { NULL, NULL } };

	lx_metatable(L, PG_ROWS, NULL, rows);
	lx_metatable(L, PG_ROW, NULL, row);
	luaL_getmetatable(L, PG_ROW);
	lua_pushvalue(L, -1);
	lua_pushcclosure(L, l_row_index, 1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	lx_setfuncs(L, funcs);
}
