/*
 * effect_lua: the boundary as the runner sees it, module opsh.c.effect. Only
 * private modules can require it; playbooks can't.
 */
#include <stdio.h>
#include <string.h>

#include "core/lx.h"
#include "core/task.h"
#include "effect/journal.h"
#include "effect/policy.h"
#include "effect/record.h"
#include "effect/redact.h"
#include "effect/withheld.h"

#define DEPTH_MAX 8
#define MEMBER_MAX (192 * 1024)	/* bytes of one member of a record */

static void add_value(lua_State *L, struct buf *b, int idx, int depth);

static void add_list(lua_State *L, struct buf *b, int idx, int depth)
{
	lua_Integer i, n = (lua_Integer)lua_rawlen(L, idx);

	buf_addc(b, '[');
	for (i = 1; i <= n; i++) {
		if (i > 1)
			buf_addc(b, ',');
		lua_rawgeti(L, idx, i);
		add_value(L, b, lua_gettop(L), depth);
		lua_pop(L, 1);
	}
	buf_addc(b, ']');
}

/* A member of a record that is too long is left out, and its size said: the
 * record itself must fit into a line of the journal. */
static void omit_long(struct buf *b, size_t before, const char *key, size_t len)
{
	size_t size = b->len - before;

	if (!buf_ok(b) || size <= MEMBER_MAX)
		return;
	b->len = before;
	record_text(b, key, len, RECORD_REQUEST_MAX);
	b->len--;			/* its closing quote */
	buf_addf(b, "_omitted\":%zu", size);
}

/* ,"key":value for each string key, in no fixed order. */
static void add_members(lua_State *L, struct buf *b, int idx, int depth,
			int comma)
{
	lua_pushnil(L);
	while (lua_next(L, idx)) {
		if (lua_type(L, -2) == LUA_TSTRING) {
			size_t len;
			const char *key = lua_tolstring(L, -2, &len);
			size_t before;

			if (comma++)
				buf_addc(b, ',');
			before = b->len;
			record_text(b, key, len, RECORD_REQUEST_MAX);
			buf_addc(b, ':');
			add_value(L, b, lua_gettop(L), depth);
			if (!depth)
				omit_long(b, before, key, len);
		}
		lua_pop(L, 1);
	}
}

static void add_table(lua_State *L, struct buf *b, int idx, int depth)
{
	if (depth >= DEPTH_MAX || !lua_checkstack(L, 6)) {
		buf_adds(b, "\"...\"");
		return;
	}
	if (lua_rawlen(L, idx)) {
		add_list(L, b, idx, depth + 1);
		return;
	}
	buf_addc(b, '{');
	add_members(L, b, idx, depth + 1, 0);
	buf_addc(b, '}');
}

static void add_number(lua_State *L, struct buf *b, int idx)
{
	lua_Number v = lua_tonumber(L, idx);

	if (lua_isinteger(L, idx))
		buf_addf(b, "%lld", (long long)lua_tointeger(L, idx));
	else if (v - v == 0)
		/* a float stays one when it is read back */
		buf_addf(b, v < 1e15 && v > -1e15 &&
			 v == (double)(long long)v ? "%.1f" : "%.17g", v);
	else
		buf_adds(b, "null");	/* JSON knows no infinity */
}

static void add_value(lua_State *L, struct buf *b, int idx, int depth)
{
	const char *s;
	size_t len;

	switch (lua_type(L, idx)) {
	case LUA_TNIL:
		buf_adds(b, "null");
		break;
	case LUA_TBOOLEAN:
		buf_adds(b, lua_toboolean(L, idx) ? "true" : "false");
		break;
	case LUA_TNUMBER:
		add_number(L, b, idx);
		break;
	case LUA_TSTRING:
		s = lua_tolstring(L, idx, &len);
		record_text(b, s, len, RECORD_ERROR_MAX);
		break;
	case LUA_TTABLE:
		add_table(L, b, idx, depth);
		break;
	default:
		/* what stands for a table (rows) is one here too */
		if (lua_type(L, idx) == LUA_TUSERDATA &&
		    luaL_getmetafield(L, idx, "__pairs") != LUA_TNIL) {
			lua_pop(L, 1);
			if (luaL_callmeta(L, idx, "__tojson")) {
				add_value(L, b, lua_gettop(L), depth);
				lua_pop(L, 1);
				break;
			}
		}
		/* secrets and handles show as their names */
		s = luaL_tolstring(L, idx, &len);
		record_text(b, s, len, RECORD_REQUEST_MAX);
		lua_pop(L, 1);
	}
}

/* A buffer that Lua frees when something raises between. */
static int l_buf_gc(lua_State *L)
{
	buf_release(lua_touserdata(L, 1));
	return 0;
}

static struct buf *new_buf(lua_State *L)
{
	static const luaL_Reg meta[] = { { "__gc", l_buf_gc }, { NULL, NULL } };
	struct buf *b;

	lx_metatable(L, "opsh.buf", NULL, meta);
	b = lua_newuserdatauv(L, sizeof *b, 0);
	buf_init(b);
	luaL_setmetatable(L, "opsh.buf");
	return b;
}

/* begin_run(runs_dir [, run]) -> run: where the journal goes when something is
 * to be recorded. */
static int l_begin_run(lua_State *L)
{
	const char *dir = lx_checkcstr(L, 1);
	char id[27];
	const char *run = id;
	struct err e;

	if (lua_isnoneornil(L, 2))
		journal_new_id(id);
	else
		run = lx_checkcstr(L, 2);
	if (record_begin(dir, run, &e))
		return err_raise(L, &e);
	lua_pushstring(L, run);
	return 1;
}

/* header(fields): the first record, written when the journal is opened. */
static int l_header(lua_State *L)
{
	struct buf *b;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	b = new_buf(L);
	record_start(b, "run");
	add_members(L, b, 1, 0, 1);
	record_header(b);
	return 0;
}

/* open_run(): opens the journal now; raises kind journal when it can't. */
static int l_open_run(lua_State *L)
{
	struct err e;

	if (record_open(&e))
		return err_raise(L, &e);
	lua_pushstring(L, journal_dir());
	return 1;
}

/* resume_run(runs_dir, run) -> bytes of a torn last record, 0 none */
static int l_resume_run(lua_State *L)
{
	long long torn = 0;
	struct err e;

	if (record_begin(lx_checkcstr(L, 1), lx_checkcstr(L, 2), &e) ||
	    journal_reopen(lua_tostring(L, 1), lua_tostring(L, 2), &torn, &e))
		return err_raise(L, &e);
	lua_pushinteger(L, (lua_Integer)torn);
	return 1;
}

/* record(type, fields [, sync]) -> seq: a line that is no effect (step, guard,
 * note, end). */
static int l_record(lua_State *L)
{
	const char *type = lx_checkcstr(L, 1);
	int sync = lua_toboolean(L, 3);
	struct buf *b;
	struct err e;
	long long seq;

	luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 2);
	b = new_buf(L);
	record_start(b, type);
	add_members(L, b, 2, 0, 1);
	seq = record_put(b, sync ? JOURNAL_NOW : JOURNAL_LATER, sync, &e);
	buf_release(b);
	if (seq < 0)
		return err_raise(L, &e);
	lua_pushinteger(L, (lua_Integer)seq);
	return 1;
}

/* step(name) -> label for task.label; its records carry the name. */
static int l_step(lua_State *L)
{
	int label = record_step_add(lx_checkcstr(L, 1));

	if (label < 0)
		return err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	lua_pushinteger(L, label);
	return 1;
}

/* mode([name]) -> "read" | "plan" | "write"; sets it when given. */
static int l_mode(lua_State *L)
{
	if (!lua_isnoneornil(L, 1)) {
		int m = policy_find_mode(lx_checkcstr(L, 1));

		luaL_argcheck(L, m >= 0, 1, "mode must be read, plan or write");
		policy_set_mode((enum mode)m);
	}
	lua_pushstring(L, policy_mode_name(policy_mode()));
	return 1;
}

/* The window is over: in the record, and to whoever asked to be told. */
static void (*on_window)(void);

void effect_on_window(void (*cb)(void))
{
	on_window = cb;
}

static void window_over(void)
{
	struct buf b = BUF_INIT;
	struct err e;

	record_start(&b, "mode");
	buf_adds(&b, ",\"mode\":\"read\",\"how\":\"expired\"");
	record_put(&b, JOURNAL_LATER, 0, &e);
	buf_release(&b);
	if (on_window)
		on_window();
}

/* window([seconds]) -> seconds left, nil: none is open. Opens one: write mode for
 * so long, then what the mode was; setting a mode ends it. */
static int l_window(lua_State *L)
{
	double left;

	if (!lua_isnoneornil(L, 1)) {
		double seconds = luaL_checknumber(L, 1);

		luaL_argcheck(L, seconds > 0 && seconds < 1e9, 1,
			      "seconds above 0");
		if (policy_open_window(seconds, window_over))
			return err_raisef(L, ERR_LIMIT, "ENOMEM",
					  "out of memory for a timer");
	}
	left = policy_window_left();
	if (left > 0)
		lua_pushnumber(L, left);
	else
		lua_pushnil(L);
	return 1;
}

/* session([on]) -> is a person typing? Hints name commands of the REPL then. */
static int l_session(lua_State *L)
{
	if (!lua_isnoneornil(L, 1))
		policy_set_session(lua_toboolean(L, 1));
	lua_pushboolean(L, policy_in_session());
	return 1;
}

/* status() -> {run, dir, open, dead, lost, writes, doubts, withheld, head} */
static int l_status(lua_State *L)
{
	journal_flush();	/* who asks may go on to read it */
	lua_createtable(L, 0, 9);
	lua_pushstring(L, record_run());
	lua_setfield(L, -2, "run");
	lua_pushstring(L, journal_dir());
	lua_setfield(L, -2, "dir");
	lua_pushstring(L, journal_head());
	lua_setfield(L, -2, "head");
	lua_pushboolean(L, journal_is_open());
	lua_setfield(L, -2, "open");
	lua_pushboolean(L, journal_dead());
	lua_setfield(L, -2, "dead");
	lua_pushboolean(L, record_lost());
	lua_setfield(L, -2, "lost");
	lua_pushinteger(L, (lua_Integer)record_writes());
	lua_setfield(L, -2, "writes");
	lua_pushinteger(L, (lua_Integer)record_doubts());
	lua_setfield(L, -2, "doubts");
	lua_pushinteger(L, (lua_Integer)record_withheld());
	lua_setfield(L, -2, "withheld");
	return 1;
}

/* close_run() -> all on disk: after the end record; notes the head beside the
 * runs. */
static int l_close_run(lua_State *L)
{
	lua_pushboolean(L, !journal_close());
	return 1;
}

/* verify(runs_dir, run [, head]) -> intact, report {records, torn, bad_line,
 * problem, head, ended, busy}; raises when the journal can't be read. */
static int l_verify(lua_State *L)
{
	struct journal_report r;
	struct err e;
	int found;

	found = journal_verify(lx_checkcstr(L, 1), lx_checkcstr(L, 2),
			       lua_isnoneornil(L, 3) ? NULL
						     : lx_checkcstr(L, 3),
			       &r, &e);
	if (found < 0)
		return err_raise(L, &e);
	lua_pushboolean(L, !found);
	lua_createtable(L, 0, 7);
	lua_pushinteger(L, (lua_Integer)r.records);
	lua_setfield(L, -2, "records");
	lua_pushinteger(L, (lua_Integer)r.torn);
	lua_setfield(L, -2, "torn");
	if (r.bad_line) {
		lua_pushinteger(L, (lua_Integer)r.bad_line);
		lua_setfield(L, -2, "bad_line");
	}
	lua_pushstring(L, r.problem);
	lua_setfield(L, -2, "problem");
	lua_pushstring(L, r.head);
	lua_setfield(L, -2, "head");
	lua_pushboolean(L, r.ended);
	lua_setfield(L, -2, "ended");
	lua_pushboolean(L, r.busy);
	lua_setfield(L, -2, "busy");
	return 2;
}

/* --- calls of our own that leave the process (os, io) ----------------------- */

struct held {
	struct effect effect;
};

static int l_held_gc(lua_State *L)
{
	effect_abandon(&((struct held *)lua_touserdata(L, 1))->effect);
	return 0;
}

/* call(target, class, verb, request, opts, f, ...) -> f's results. class is
 * "read", "write" or "destructive". A withheld write returns what opts.expect
 * says, else an unknown value. f must not wait. */
static int l_call(lua_State *L)
{
	static const char *const classes[] = {
		"read", "write", "destructive", NULL
	};
	static const luaL_Reg meta[] = {
		{ "__gc", l_held_gc }, { NULL, NULL }
	};
	struct effect_call call = { .target = target_check(L, 1) };
	struct held *h;
	struct err e;
	int n;

	call.cls = (enum effect_class)luaL_checkoption(L, 2, NULL, classes);
	call.verb = lx_checkcstr(L, 3);
	call.request = lx_checkstr(L, 4, &call.request_len);
	luaL_checktype(L, 6, LUA_TFUNCTION);
	task_check(L);
	n = lua_gettop(L) - 6;
	lx_metatable(L, "opsh.held", NULL, meta);
	h = lua_newuserdatauv(L, sizeof *h, 0);
	memset(h, 0, sizeof *h);
	luaL_setmetatable(L, "opsh.held");
	lua_insert(L, 6);			/* .. opts held f args */
	if (effect_begin(L, &h->effect, &call) == EFFECT_WITHHELD)
		return effect_push_withheld(L, &h->effect, 5);
	h->effect.sent = 1;
	if (lua_pcall(L, n, LUA_MULTRET, 0)) {
		err_from_lua(L, -1, &e);
		effect_end(&h->effect, OUTCOME_FAILED, -1, -1, &e);
		return lua_error(L);
	}
	if (lua_isnil(L, 7) && lua_type(L, 8) == LUA_TSTRING) {
		/* Lua's io and os fail by nil, message */
		err_set(&e, ERR_IO, "", "%s", lua_tostring(L, 8));
		effect_end(&h->effect, OUTCOME_FAILED, -1, -1, &e);
	} else {
		effect_end(&h->effect, OUTCOME_DONE, -1, -1, NULL);
	}
	return lua_gettop(L) - 6;
}

/* mask(text) -> text with every secret replaced */
static int l_mask(lua_State *L)
{
	size_t len;
	const char *s = lx_checkstr(L, 1, &len);
	struct buf *b = new_buf(L);

	redact_to(b, s, len);
	if (!buf_ok(b))
		return err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	lua_pushlstring(L, b->data, b->len);
	buf_release(b);
	return 1;
}

int luaopen_opsh_c_effect(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "begin_run", l_begin_run }, { "header", l_header },
		{ "open_run", l_open_run }, { "resume_run", l_resume_run },
		{ "record", l_record }, { "step", l_step },
		{ "mode", l_mode }, { "status", l_status },
		{ "window", l_window }, { "session", l_session },
		{ "close_run", l_close_run }, { "verify", l_verify },
		{ "call", l_call }, { "mask", l_mask }, { NULL, NULL }
	};

	luaL_newlib(L, funcs);
	return 1;
}
