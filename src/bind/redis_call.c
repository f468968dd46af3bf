/*
 * redis_call: a call from its arguments to the wait for its reply: judge, get
 * the connection ready, ask the boundary, send, park. How it ends is in
 * redis_end.c.
 */
#include "bind/redis.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/loop.h"
#include "core/lx.h"
#include "core/mem.h"
#include "effect/lock.h"

#define LIST_MIN 10		/* arguments that make a call a list */
#define MAX_TRIES 5		/* connections lost while getting ready */
#define STREAM_MIN 256		/* commands from which replies are decoded early */

/* --- judging --------------------------------------------------------------------------- */
static void join_verdict(struct redis_call *call,
			 const struct redis_verdict *v, double *block)
{
	if (v->cls > call->cls)
		call->cls = v->cls;
	if (v->blocking) {
		call->blocking = 1;
		if (v->block < 0 || *block < 0)
			*block = -1;
		else if (v->block > *block)
			*block = v->block;
	}
}

static void refuse_kind(lua_State *L, struct redis_call *call,
			const struct redis_verdict *v)
{
	char shown[REDIS_NAME];
	size_t i;

	if (!v->advice || (call->lent && !strcmp(call->name, "WATCH")))
		return;
	snprintf(shown, sizeof shown, "%s", call->name);
	for (i = 0; shown[i]; i++)
		if (shown[i] == '|')
			shown[i] = ' ';
	err_raisef(L, ERR_USAGE, "", "'%s' can't be sent on its own: %s",
		   shown, v->advice);
}

/* Judges every command: 1, or 0 when call->name has to be learned first. */
static int judge(lua_State *L, struct redis_call *call)
{
	const char *p = call->enc.data, *end = p + call->enc.len;
	struct redis_verdict v;
	double block = 0;
	long long i = 0;

	call->cls = EFFECT_READ;
	call->blocking = 0;
	while (p && p < end) {
		int skip = call->shape == REDIS_ATOMIC &&
			   (i == 0 || i == call->n + 1);

		if (!skip) {
			if (!redis_judge(call->rc, p, end, call->name, &v))
				return 0;
			if (call->lent && !strcmp(call->name, "WATCH"))
				v.cls = EFFECT_READ;
			refuse_kind(L, call, &v);
			join_verdict(call, &v, &block);
			if (call->writes && v.cls != EFFECT_READ)
				call->writes[i - (call->shape ==
						  REDIS_ATOMIC)] = 1;
		}
		if (call->shape == REDIS_FLAT)
			break;		/* one command stands for all */
		p = resp_skip(p, end);
		i++;
	}
	if (call->shape == REDIS_ATOMIC)
		call->blocking = 0;	/* nothing blocks in a transaction */
	if (call->blocking && !call->timeout_given && block > 0)
		call->until += block, call->timeout += block;
	return 1;
}

/* The name in the record: of one command its own. */
static void set_verb(struct redis_call *call)
{
	char *p;

	if (call->shape == REDIS_LIST && call->n != 1)
		snprintf(call->verb, sizeof call->verb, "PIPELINE");
	else if (call->shape == REDIS_ATOMIC)
		snprintf(call->verb, sizeof call->verb, "MULTI");
	else
		snprintf(call->verb, sizeof call->verb, "%s", call->name);
	for (p = call->verb; *p; p++)
		if (*p == '|')
			*p = ' ';
}

/* --- sending ------------------------------------------------------------------------------ */
/* Elements for the record: commands of a batch, or the arguments of one command
 * that takes a list (UNLINK of 600 keys). */
static long long count_items(const struct redis_call *call)
{
	long long args;

	if (call->shape != REDIS_ONE)
		return call->n;
	args = strtoll(call->enc.data + 1, NULL, 10) - 1;	/* "*601\r\n" */
	return args >= LIST_MIN ? args : 0;
}

static int send_call(lua_State *L, struct redis_call *call)
{
	struct effect_call what;
	double left;
	struct err e;

	set_verb(call);
	redis_describe(call);
	if (!buf_ok(&call->text))
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	memset(&what, 0, sizeof what);
	what.target = call->rc->target;
	what.cls = call->cls;
	what.verb = call->verb;
	what.request = call->text.data;
	what.request_len = call->text.len;
	what.items = count_items(call);
	what.timeout = call->timeout;
	if (effect_begin(L, &call->effect, &what) == EFFECT_WITHHELD) {
		if (call->shape == REDIS_LIST || call->shape == REDIS_ATOMIC)
			lua_pushnil(L);
		return (call->shape == REDIS_LIST ||
			call->shape == REDIS_ATOMIC) +
			effect_push_withheld(L, &call->effect, call->opts);
	}
	call->req.want = call->n + 2 * (call->shape == REDIS_ATOMIC);
	call->req.deadline = call->until;
	if (redis_conn_send(call->c, &call->req, call->enc.data,
			    call->enc.len, call->first) < 0) {
		err_set(&e, ERR_LIMIT, "ENOMEM", "out of memory to send");
		e.outcome = OUTCOME_FAILED;
		effect_end(&call->effect, OUTCOME_FAILED, -1, -1, &e);
		err_raise(L, &e);
	}
	call->effect.sent = 1;
	op_start(&call->op);
	if (call->shape == REDIS_FLAT && call->cls == EFFECT_READ &&
	    call->n >= STREAM_MIN) {
		lua_createtable(L, (int)call->n, 0);
		call->table = lua_gettop(L);
		return redis_stream(L, call);
	}
	left = call->until - loop_now();
	op_deadline(&call->op, left > 0 ? left : 0);
	return op_park(L, &call->op);
}

static void check_ready(lua_State *L, struct redis_call *call)
{
	struct err e;

	if (call->lent && call->c->used && call->c->state == REDIS_DOWN)
		err_raisef(L, ERR_CONNECT, "", "connection of the transaction "
			   "was lost: what it watched is not watched any more");
	if (++call->tries <= 2 * MAX_TRIES + call->n)
		return;
	err_set(&e, ERR_CONNECT, "", "connection to '%s' was lost %d times",
		redis_where(call->c), call->tries);
	err_raise(L, &e);
}

/* An idle connection that the server has closed meanwhile would make a write
 * unknown that never had a chance: lets the loop see that first. */
static int must_look(struct redis_call *call)
{
	if (call->cls == EFFECT_READ || call->looked || call->c->head ||
	    !net_waiting(call->c->net))
		return 0;
	call->looked = 1;
	return 1;
}

static int call_k(lua_State *L, int status, lua_KContext ctx)
{
	struct redis_call *call = (struct redis_call *)ctx;
	double after;
	struct err e;

	(void)status;
	for (;;) {
		check_ready(L, call);
		if (!call->judged) {
			call->judged = judge(L, call);
			if (call->judged && call->blocking && !call->lent) {
				call->c = redis_lease(call->rc, &e);
				if (!call->c) {
					call->c = &call->rc->shared;
					err_raise(L, &e);
				}
				call->leased = 1;
			}
		}
		if (call->judged && call->cls != EFFECT_READ)
			lock_ready(L);	/* it may turn the loop: not below */
		after = call->judged && call->cls != EFFECT_READ ?
			loop_now() - REDIS_FRESH : 0;
		if (redis_usable(call->c, call->judged ? "" : call->name,
				 after) && call->judged) {
			if (!must_look(call))
				return send_call(L, call);
			redis_turn(L, ctx, call_k);
			continue;
		}
		redis_await(L, call->c, call->judged ? "" : call->name, after,
			    call->until, ctx, call_k);
	}
}

/* --- entry points ---------------------------------------------------------------------------- */
/* Makes the call of client or lease at 1; its options (or 0) at opts. */
static struct redis_call *new_call(lua_State *L, enum redis_shape shape,
				   int opts)
{
	static const char *const names[] = {
		"timeout", "expect", "errors", NULL
	};
	struct redis_conn *lent;
	struct redis_client *rc = redis_check(L, 1, &lent);
	struct redis_call *call;
	double timeout = rc->o.timeout;
	int given = 0, keep = 0;

	if (opts) {
		const char *errors;

		lx_opt_begin(L, opts, names);
		given = lua_getfield(L, opts, "timeout") != LUA_TNIL;
		timeout = lx_optseconds(L, lua_gettop(L), timeout);
		errors = lx_opt_str(L, opts, "errors", NULL);
		keep = errors && strcmp(errors, "keep") == 0;
		if (errors && !keep)
			err_raisef(L, ERR_USAGE, "", "option 'errors' is "
				   "'keep' or absent, not '%s'", errors);
		lua_pop(L, 2);
	}
	call = (struct redis_call *)op_new(L, &redis_call_class,
					   sizeof *call);
	redis_call_init(call);
	call->rc = rc;
	call->shape = shape;
	call->opts = opts;
	call->keep_errors = keep;
	call->lent = lent != NULL;
	call->c = lent ? lent : &rc->shared;
	call->timeout = timeout;
	call->timeout_given = given;
	call->until = loop_now() + timeout;
	return call;
}

static int run(lua_State *L, struct redis_call *call)
{
	const char *end;

	if (call->shape != REDIS_ATOMIC) {
		end = call->shape == REDIS_ONE ? NULL :
			resp_skip(call->enc.data,
				  call->enc.data + call->enc.len);
		call->first = end ? (size_t)(end - call->enc.data) :
			call->enc.len;
	} else {
		call->first = call->enc.len;
	}
	return call_k(L, LUA_OK, (lua_KContext)call);
}

static int run_one(lua_State *L, const char *const *words, int map)
{
	int last = lua_gettop(L), opts = 0;
	struct redis_call *call;

	if (last >= 2 && redis_is_options(L, last))
		opts = last--;
	call = new_call(L, REDIS_ONE, opts);
	call->map = map ? RESP_MAP : 0;
	redis_encode_one(L, call, 2, last, words);
	return run(L, call);
}

/* method(self, ...): upvalues name, second word or nil, map */
static int l_method_call(lua_State *L)
{
	const char *words[3] = { lua_tostring(L, lua_upvalueindex(1)),
				 lua_tostring(L, lua_upvalueindex(2)), NULL };

	return run_one(L, words, lua_toboolean(L, lua_upvalueindex(3)));
}

/* method(name, sub, map) -> function(self, ...) */
static int l_method(lua_State *L)
{
	lx_checkcstr(L, 1);
	lua_settop(L, 3);
	lua_pushcclosure(L, l_method_call, 3);
	return 1;
}

/* cmd(self, ...): every word given */
static int l_cmd(lua_State *L)
{
	return run_one(L, NULL, 0);
}

/* line(self, text [, opts]): one command as redis-cli reads it */
static int l_line(lua_State *L)
{
	struct redis_call *call;

	lua_settop(L, 3);
	call = new_call(L, REDIS_ONE, lua_isnil(L, 3) ? 0 : 3);
	redis_encode_line(L, call, 2);
	return run(L, call);
}

/* flat(self, words, list, from, to, opts) -> replies, a result when it writes */
static int l_flat(lua_State *L)
{
	lua_Integer from = luaL_checkinteger(L, 4);
	lua_Integer to = luaL_checkinteger(L, 5);
	struct redis_call *call;

	luaL_checktype(L, 3, LUA_TTABLE);
	luaL_argcheck(L, to >= from, 5, "no elements");
	lua_settop(L, 6);
	call = new_call(L, REDIS_FLAT, lua_isnil(L, 6) ? 0 : 6);
	redis_encode_flat(L, call, 2, 3, from, to);
	return run(L, call);
}

/* list(self, commands, opts, atomic) -> results; nil and the withheld value in
 * a plan, when one of them writes */
static int l_list(lua_State *L)
{
	struct redis_call *call;
	int atomic;

	luaL_checktype(L, 2, LUA_TTABLE);
	luaL_argcheck(L, lua_rawlen(L, 2) > 0, 2, "no commands");
	lua_settop(L, 4);
	atomic = lua_toboolean(L, 4);
	call = new_call(L, atomic ? REDIS_ATOMIC : REDIS_LIST,
			lua_isnil(L, 3) ? 0 : 3);
	call->writes = mem_zalloc(lua_rawlen(L, 2));
	if (!call->writes)
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	if (atomic) {
		resp_add_array(&call->enc, 1);
		resp_add_str(&call->enc, "MULTI");
	}
	redis_encode_list(L, call, 2);
	if (atomic) {
		resp_add_array(&call->enc, 1);
		resp_add_str(&call->enc, "EXEC");
		if (!buf_ok(&call->enc))
			err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	}
	return run(L, call);
}

static int class_k(lua_State *L, int status, lua_KContext ctx)
{
	struct redis_conn *c;
	struct redis_client *rc = redis_check(L, 1, &c);
	struct redis_verdict v;
	char name[REDIS_NAME];
	size_t len;
	const char *enc = lua_tolstring(L, -1, &len);

	(void)status;
	c = c ? c : &rc->shared;
	while (!redis_judge(rc, enc, enc + len, name, &v))
		redis_await(L, c, name, 0, lua_tonumber(L, -2), ctx, class_k);
	lua_pushstring(L, effect_class_name(v.cls));
	return 1;
}

/* class(self, word, ...) -> "read", "write", "destructive" */
static int l_class(lua_State *L)
{
	struct redis_call *call;
	int last = lua_gettop(L);
	double until;

	luaL_checkany(L, 2);
	call = new_call(L, REDIS_ONE, 0);
	redis_encode_one(L, call, 2, last, NULL);
	until = call->until;
	lua_pushlstring(L, call->enc.data, call->enc.len);
	lua_pushnumber(L, until);
	lua_insert(L, -2);
	return class_k(L, LUA_OK, 0);
}

void redis_open_call(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "method", l_method }, { "cmd", l_cmd }, { "line", l_line },
		{ "flat", l_flat }, { "list", l_list }, { "class", l_class },
		{ NULL, NULL }
	};

	lx_setfuncs(L, funcs);
}
