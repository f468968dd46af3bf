/*
 * redis_args: Lua values to encoded commands, straight from the stack into the
 * call's buffer; and back to text for the record. Raises usage errors that
 * name the argument.
 */
#include "bind/redis.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/lx.h"
#include "effect/secret.h"

#define TEXT_MAX 4200	/* a record holds 4 KiB of a request */
#define TEXT_READS 400	/* enough of a batch of reads, which are many */

static _Noreturn void bad_value(lua_State *L, int idx, long long argno,
				const char *hint)
{
	err_raisef(L, ERR_USAGE, "", "argument %lld can't be sent: it is %s%s%s",
		   argno, lua_isnil(L, idx) ? "" : "a ", luaL_typename(L, idx),
		   hint);
}

/* A float as Redis reads it: integral ones without a point. */
static void add_float(lua_State *L, struct buf *out, double v, long long argno)
{
	char tmp[32];
	int digits;

	if (isnan(v))
		err_raisef(L, ERR_USAGE, "", "argument %lld can't be sent: it "
			   "is not a number (nan)", argno);
	if (isinf(v)) {
		resp_add_str(out, v > 0 ? "+inf" : "-inf");
	} else if (v == floor(v) && fabs(v) < 9e15) {
		resp_add_int(out, (long long)v);
	} else {
		for (digits = 15; digits <= 17; digits++) {
			snprintf(tmp, sizeof tmp, "%.*g", digits, v);
			if (strtod(tmp, NULL) == v)
				break;
		}
		resp_add_str(out, tmp);
	}
}

/* One value that is no table. */
static void add_scalar(lua_State *L, struct buf *out, int idx, long long argno)
{
	const char *s;
	size_t len;

	switch (lua_type(L, idx)) {
	case LUA_TSTRING:
		s = lua_tolstring(L, idx, &len);
		resp_add_bulk(out, s, len);
		return;
	case LUA_TNUMBER:
		if (lua_isinteger(L, idx))
			resp_add_int(out, lua_tointeger(L, idx));
		else
			add_float(L, out, lua_tonumber(L, idx), argno);
		return;
	case LUA_TUSERDATA:
		s = secret_get(L, idx, &len);
		if (s) {
			resp_add_bulk(out, s, len);
			return;
		}
		/* a plan's unknown value: its own error says where from */
		if (luaL_testudata(L, idx, "opsh.unknown"))
			lua_getfield(L, idx, "value");
		bad_value(L, idx, argno, "");
	case LUA_TBOOLEAN:
		bad_value(L, idx, argno, ": Redis has none, write 1 or 0");
	case LUA_TTABLE:
		bad_value(L, idx, argno, " inside a list");
	case LUA_TLIGHTUSERDATA:
		err_raisef(L, ERR_USAGE, "", "argument %lld can't be sent: it "
			   "is opsh.null", argno);
	default:
		bad_value(L, idx, argno, "");
	}
}

/* What a write returned. */
static int is_result(lua_State *L, int idx)
{
	int yes;

	if (!lua_getmetatable(L, idx))
		return 0;
	luaL_getmetatable(L, "opsh.result");
	yes = lua_rawequal(L, -1, -2);
	lua_pop(L, 2);
	return yes;
}

int redis_is_options(lua_State *L, int idx)
{
	int yes;

	if (!lua_istable(L, idx) || lua_rawlen(L, idx) > 0 ||
	    is_result(L, idx))
		return 0;
	idx = lua_absindex(L, idx);
	lua_pushnil(L);
	if (!lua_next(L, idx))
		return 0;
	yes = lua_type(L, -2) == LUA_TSTRING;
	lua_pop(L, 2);
	return yes;
}

/* A secret of opsh.secret that has not been asked for yet: asks, and puts the
 * real one in its place. */
static void settle_secret(lua_State *L, int idx)
{
	int lazy;

	if (!lua_istable(L, idx) || !luaL_getmetafield(L, idx, "__name"))
		return;
	lazy = lua_type(L, -1) == LUA_TSTRING &&
	       strcmp(lua_tostring(L, -1), "opsh.secret") == 0;
	lua_pop(L, 1);
	if (!lazy)
		return;
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	lua_getfield(L, -1, "opsh.secret");
	lua_getfield(L, -1, "resolve");
	lua_pushvalue(L, idx);			/* -- loaded secret resolve v */
	lua_call(L, 1, 1);
	lua_replace(L, idx);
	lua_pop(L, 2);
}

/* How many words the value at idx makes: a list makes as many as it has. */
static lua_Integer count_value(lua_State *L, int idx, long long argno)
{
	settle_secret(L, idx);
	if (!lua_istable(L, idx))
		return 1;
	if (is_result(L, idx))
		err_raisef(L, ERR_USAGE, "", "argument %lld can't be sent: it "
			   "is the result of a write: take .value or .count",
			   argno);
	if (redis_is_options(L, idx))
		err_raisef(L, ERR_USAGE, "", "argument %lld can't be sent: a "
			   "table with names; options stand last", argno);
	return (lua_Integer)lua_rawlen(L, idx);
}

static void add_value(lua_State *L, struct buf *out, int idx, long long argno)
{
	lua_Integer i, n;

	settle_secret(L, idx);
	if (!lua_istable(L, idx)) {
		add_scalar(L, out, idx, argno);
		return;
	}
	n = (lua_Integer)lua_rawlen(L, idx);
	for (i = 1; i <= n; i++) {
		lua_rawgeti(L, idx, i);
		settle_secret(L, lua_gettop(L));
		add_scalar(L, out, lua_gettop(L), argno);
		lua_pop(L, 1);
	}
}

static void check_memory(lua_State *L, struct redis_call *call)
{
	if (!buf_ok(&call->enc))
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory for a "
			   "request");
}

void redis_encode_one(lua_State *L, struct redis_call *call, int first,
		      int last, const char *const *words)
{
	lua_Integer n = 0;
	int i, w;

	for (w = 0; words && words[w]; w++)
		n++;
	for (i = first; i <= last; i++)
		n += count_value(L, i, i - first + 1);
	if (n == 0)
		err_raisef(L, ERR_USAGE, "", "no command given");
	resp_add_array(&call->enc, n);
	for (w = 0; words && words[w]; w++)
		resp_add_str(&call->enc, words[w]);
	for (i = first; i <= last; i++)
		add_value(L, &call->enc, i, i - first + 1);
	call->n = 1;
	check_memory(L, call);
}

void redis_encode_line(lua_State *L, struct redis_call *call, int arg)
{
	const char *line;
	struct buf words;
	size_t len;
	int n;

	line = lx_checkstr(L, arg, &len);
	buf_init(&words);
	n = resp_split(&words, line, len);
	if (n > 0) {
		resp_add_array(&call->enc, n);
		buf_add(&call->enc, words.data, words.len);
	}
	if (!buf_ok(&words))
		call->enc.bad = 1;
	buf_release(&words);
	check_memory(L, call);
	if (n < 0)
		err_raisef(L, ERR_USAGE, "", "quotes are not balanced");
	if (n == 0)
		err_raisef(L, ERR_USAGE, "", "no command given");
	call->n = 1;
}

/* --- pipelines ------------------------------------------------------------- */
/* A command of `words` (encoded, `nwords`) and the element on top. */
static void add_element(lua_State *L, struct buf *out, const struct buf *words,
			int nwords, long long argno)
{
	int idx = lua_gettop(L);

	resp_add_array(out, nwords + count_value(L, idx, argno));
	buf_add(out, words->data, words->len);
	add_value(L, out, idx, argno);
}

void redis_encode_flat(lua_State *L, struct redis_call *call, int name,
		       int list, lua_Integer from, lua_Integer to)
{
	struct buf *words = &call->text;	/* ours until redis_describe */
	struct buf *out = &call->enc;
	const char *s;
	size_t len, head;
	lua_Integer i;
	int nwords;

	s = lx_checkstr(L, name, &len);
	nwords = resp_split(words, s, len);
	if (nwords < 1)
		err_raisef(L, ERR_USAGE, "", "no command given");
	call->words = nwords;
	/* most elements are strings: their command begins the same way */
	head = out->len;
	resp_add_array(out, nwords + 1);
	buf_add(out, words->data, words->len);
	if (buf_ok(out)) {
		buf_clear(words);
		buf_add(words, out->data + head, out->len - head);
		out->len = head;
	}
	if (!buf_ok(words))
		out->bad = 1;
	check_memory(L, call);
	for (i = from; i <= to; i++) {
		if (lua_rawgeti(L, list, i) == LUA_TSTRING) {
			s = lua_tolstring(L, -1, &len);
			buf_add(out, words->data, words->len);
			resp_add_bulk(out, s, len);
		} else {
			size_t skip = strcspn(words->data, "\n") + 1;
			struct buf rest = { words->data + skip,
					    words->len - skip, 0, 0 };

			add_element(L, out, &rest, nwords, i);
		}
		lua_pop(L, 1);
		call->n++;
	}
	buf_clear(words);
	check_memory(L, call);
}

/* {"SET", "k", "v"}, or with n for one that may hold nil. */
static void add_command(lua_State *L, struct redis_call *call, long long argno)
{
	int idx = lua_gettop(L);
	lua_Integer n, i, words = 0;

	if (!lua_istable(L, idx))
		err_raisef(L, ERR_USAGE, "", "command %lld of the pipeline is "
			   "a %s, not a list of words", argno,
			   luaL_typename(L, idx));
	lua_getfield(L, idx, "n");
	n = lua_isinteger(L, -1) ? lua_tointeger(L, -1) :
		(lua_Integer)lua_rawlen(L, idx);
	lua_pop(L, 1);
	for (i = 1; i <= n; i++) {
		lua_rawgeti(L, idx, i);
		words += count_value(L, lua_gettop(L), i - 1);
		lua_pop(L, 1);
	}
	if (words == 0)
		err_raisef(L, ERR_USAGE, "", "command %lld of the pipeline is "
			   "empty", argno);
	resp_add_array(&call->enc, words);
	for (i = 1; i <= n; i++) {
		lua_rawgeti(L, idx, i);
		add_value(L, &call->enc, lua_gettop(L), i - 1);
		lua_pop(L, 1);
	}
}

void redis_encode_list(lua_State *L, struct redis_call *call, int list)
{
	lua_Integer i, n = (lua_Integer)lua_rawlen(L, list);

	for (i = 1; i <= n; i++) {
		lua_rawgeti(L, list, i);
		add_command(L, call, i);
		lua_pop(L, 1);
	}
	call->n = n;
	check_memory(L, call);
}

/* --- the record's text --------------------------------------------------------- */
void redis_describe(struct redis_call *call)
{
	const char *p = call->enc.data, *end = p + call->enc.len;
	struct buf *out = &call->text;
	size_t max = call->shape == REDIS_FLAT && call->cls == EFFECT_READ ?
		     TEXT_READS : TEXT_MAX;
	struct resp_item it, arg;
	long long n = 0, i;

	buf_clear(out);
	while (p && p < end && out->len < max) {
		p = resp_item(p, end, &it);
		if (!p)
			break;
		if (n && call->shape != REDIS_FLAT)
			buf_addc(out, ';');
		for (i = 0; p && i < it.num && out->len < max; i++) {
			p = resp_item(p, end, &arg);
			/* the words of a flat pipeline stand once */
			if (!p || (n && call->shape == REDIS_FLAT &&
				   i < call->words))
				continue;
			if (out->len)
				buf_addc(out, ' ');
			resp_quote(out, arg.str, arg.len > TEXT_MAX ?
				   TEXT_MAX : arg.len);
		}
		n++;
	}
	if (max == TEXT_READS && p && p < end)
		buf_adds(out, " ...");
}
