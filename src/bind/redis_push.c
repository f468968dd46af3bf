/*
 * redis_push: what came back. In the callback: was it an error, how many did
 * it touch, the effect's end. In the task: decoding straight from the receive
 * buffer, with the collector stopped for large replies.
 */
#include "bind/redis.h"

#include <stdio.h>
#include <string.h>

#include "core/lx.h"

/* Bytes of reply from which the collector rests meanwhile. Not below: starting
 * it again begins a cycle at once, whatever its pause. */
#define GC_STOP_ABOVE (1024 * 1024)

/* --- in the callback --------------------------------------------------------- */
/* May a script or a migration that ended in this error have changed something? */
static int error_in_doubt(const struct redis_call *call, const struct err *e)
{
	if (call->cls == EFFECT_READ)
		return 0;
	if (strcmp(e->code, "IOERR") == 0)
		return 1;
	if (strncmp(call->verb, "EVAL", 4) != 0 &&
	    strncmp(call->verb, "FCALL", 5) != 0)
		return 0;
	/* one that does not compile has not begun */
	return strcmp(e->code, "ERR") == 0 &&
	       strncmp(e->message, "ERR Error compiling", 19) != 0;
}

/* A server's refusal as the call's error. */
static void set_error(struct redis_call *call, const struct resp_item *it)
{
	struct err *e = &call->op.err;

	resp_error(e, it->str, it->len);
	e->phase = PHASE_READ;
	e->outcome = error_in_doubt(call, e) ? OUTCOME_UNKNOWN :
		     OUTCOME_FAILED;
	snprintf(e->target, sizeof e->target, "%s", call->rc->target->name);
	snprintf(e->op, sizeof e->op, "%s", call->verb);
	/* demoted: the next write asks who it is first, and is refused */
	if (strcmp(e->code, "READONLY") == 0)
		call->rc->ident_at = 0;
}

/* Rows or keys: elements of a read's array, the integer of a write. */
static long long count_of(const struct redis_call *call,
			  const struct resp_item *it)
{
	if (call->cls == EFFECT_READ)
		return it->type == '*' ? it->num : -1;
	return it->type == ':' ? it->num : -1;
}

static void settle_one(struct redis_call *call)
{
	struct err *e = &call->op.err;
	struct resp_item it;

	if (!resp_item(call->data, call->data + call->len, &it)) {
		err_set(e, ERR_PROTOCOL, "RESP", "reply is not whole");
		e->outcome = OUTCOME_UNKNOWN;
		effect_end(&call->effect, e->outcome, -1, -1, e);
	} else if (it.type == '-') {
		set_error(call, &it);
		effect_end(&call->effect, e->outcome, -1,
			   (long long)call->len, e);
	} else {
		effect_end(&call->effect, OUTCOME_DONE, count_of(call, &it),
			   (long long)call->len, NULL);
	}
}

struct tally {
	long long replies, errors, sum;
	long long first;		/* number of the first error, from 1 */
	struct resp_item error;
	int ints;			/* all that are no errors are integers */
};

/* Walks `n` replies from p. */
static void tally(struct tally *t, const char *p, const char *end, long long n)
{
	struct resp_item it;
	const char *next;

	memset(t, 0, sizeof *t);
	t->ints = 1;
	while (p && p < end && t->replies < n) {
		next = resp_item(p, end, &it);
		if (!next)
			return;
		t->replies++;
		if (it.type == '-' && t->errors++ == 0) {
			t->first = t->replies;
			t->error = it;
		}
		if (it.type == ':')
			t->sum += it.num;
		else if (it.type != '-')
			t->ints = 0;
		p = it.type == '*' ? resp_skip(p, end) : next;
	}
}

/* Some of several commands failed: the first one's error, and how many. */
static void set_some_failed(struct redis_call *call, const struct tally *t)
{
	struct err *e = &call->op.err;
	char said[512];

	set_error(call, &t->error);
	snprintf(said, sizeof said, "%.511s", e->message);
	snprintf(e->message, sizeof e->message, "%lld of %lld commands failed,"
		 " first number %lld: %s", t->errors, call->n, t->first, said);
	if (t->errors < t->replies && call->cls != EFFECT_READ)
		e->outcome = OUTCOME_DONE;	/* the others are applied */
}

/* Replies to a pipeline, or of an EXEC, from p. */
static void settle_many(struct redis_call *call, const char *p,
			long long errors)
{
	const char *end = call->data + call->len;
	struct tally t = { call->n, 0, 0, 0, { 0 }, 0 };
	struct err *e = &call->op.err;
	long long count;

	if (errors || call->cls != EFFECT_READ)
		tally(&t, p, end, call->n - call->handed);
	t.first += call->handed;
	count = t.ints && call->cls != EFFECT_READ ? t.sum :
		call->n - t.errors;
	if (!t.errors || call->keep_errors) {
		effect_end(&call->effect, OUTCOME_DONE, count,
			   (long long)call->len, NULL);
		return;
	}
	set_some_failed(call, &t);
	effect_end(&call->effect, e->outcome, count, (long long)call->len, e);
}

/* MULTI, QUEUED.., EXEC: the last reply decides. */
static void settle_atomic(struct redis_call *call)
{
	const char *p = call->data, *end = p + call->len;
	struct err *e = &call->op.err;
	struct resp_item it, refused = { 0 };
	long long i;

	for (i = 0; p && i <= call->n; i++) {
		p = resp_item(p, end, &it);
		if (p && it.type == '-' && !refused.str)
			refused = it;
	}
	p = p ? resp_item(p, end, &it) : NULL;
	if (p && it.type == '*') {
		settle_many(call, p, 1);
		return;
	}
	if (p && it.type == '_') {
		err_set(e, ERR_SERVER, "WATCH", "a watched key was changed by "
			"somebody else: nothing was applied");
		e->outcome = OUTCOME_FAILED;
	} else if (p && it.type == '-') {
		set_error(call, refused.str ? &refused : &it);
	} else {
		err_set(e, ERR_PROTOCOL, "RESP", "EXEC has an odd reply");
		e->outcome = OUTCOME_UNKNOWN;
	}
	snprintf(e->target, sizeof e->target, "%s", call->rc->target->name);
	snprintf(e->op, sizeof e->op, "%s", call->verb);
	effect_end(&call->effect, e->outcome, -1, (long long)call->len, e);
}

void redis_settle(struct redis_call *call, long long errors)
{
	struct err *e = &call->op.err;

	if (!buf_ok(&call->reply)) {
		err_set(e, ERR_LIMIT, "ENOMEM", "out of memory for the reply");
		e->outcome = call->cls == EFFECT_READ ? OUTCOME_FAILED :
			     OUTCOME_UNKNOWN;
		effect_end(&call->effect, e->outcome, -1, -1, e);
	} else if (call->shape == REDIS_ONE) {
		settle_one(call);
	} else if (call->shape == REDIS_ATOMIC) {
		settle_atomic(call);
	} else {
		settle_many(call, call->data, errors);
	}
}

/* --- in the task -------------------------------------------------------------- */
/* The value on top becomes a write's result. */
static void wrap_result(lua_State *L, char type)
{
	lua_createtable(L, 0, 3);		/* -- value result */
	lua_pushboolean(L, type != '_');
	lua_setfield(L, -2, "ok");
	lua_insert(L, -2);			/* -- result value */
	if (type == ':') {
		lua_pushvalue(L, -1);
		lua_setfield(L, -3, "count");
	}
	lua_setfield(L, -2, "value");
	luaL_setmetatable(L, "opsh.result");
}

/* nil would leave a hole in a list. */
static void no_hole(lua_State *L)
{
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		lua_pushlightuserdata(L, NULL);
	}
}

static void push_list(lua_State *L, struct redis_call *call, const char **p,
		      const char *end)
{
	long long i;
	char type;

	if (call->table)
		lua_pushvalue(L, call->table);
	else
		lua_createtable(L, (int)call->n, 0);
	for (i = call->handed; i < call->n; i++) {
		type = resp_push(L, p, end, 0);
		if (call->writes && call->writes[i] && type != '-')
			wrap_result(L, type);
		else if (type == '_')
			no_hole(L);
		lua_rawseti(L, -2, i + 1);
	}
}

/* A pipeline of one writing command: .value the replies, .count their sum. */
static void wrap_flat(lua_State *L, struct redis_call *call)
{
	struct tally t;

	tally(&t, call->data, call->data + call->len, call->n);
	wrap_result(L, '*');
	if (t.ints) {
		lua_pushinteger(L, t.sum);
		lua_setfield(L, -2, "count");
	}
}

static void push_replies(lua_State *L, struct redis_call *call)
{
	const char *p = call->data, *end = p + call->len;
	struct resp_item it;
	long long i;
	char type;

	switch (call->shape) {
	case REDIS_ONE:
		type = resp_push(L, &p, end, call->map);
		if (call->cls != EFFECT_READ)
			wrap_result(L, type);
		return;
	case REDIS_FLAT:
		push_list(L, call, &p, end);
		if (call->cls != EFFECT_READ)
			wrap_flat(L, call);
		return;
	case REDIS_LIST:
		push_list(L, call, &p, end);
		return;
	case REDIS_ATOMIC:
		for (i = 0; p && i <= call->n; i++)
			p = resp_skip(p, end);
		p = p ? resp_item(p, end, &it) : NULL;
		if (!p || it.num != call->n)
			err_raisef(L, ERR_PROTOCOL, "RESP", "EXEC has an odd "
				   "number of replies");
		push_list(L, call, &p, end);
		return;
	}
}

void redis_push_early(lua_State *L, struct redis_call *call)
{
	struct redis_conn *c = call->c;
	const char *p = redis_conn_reply(c), *at = p;
	const char *end = p + redis_conn_early(c);

	while (p < end) {
		if (resp_push(L, &p, end, 0) == '_')
			no_hole(L);
		lua_rawseti(L, call->table, ++call->handed);
		redis_conn_early_taken(c, (size_t)(p - at));
		at = p;
	}
}


/* (call, table begun or anything) -> results */
static int l_push(lua_State *L)
{
	struct redis_call *call = lua_touserdata(L, 1);

	if (call->table)
		call->table = 2;
	push_replies(L, call);
	return 1;
}

int redis_push(lua_State *L, struct op *op)
{
	struct redis_call *call = (struct redis_call *)op;
	int status;

	if (call->len < GC_STOP_ABOVE || !lua_gc(L, LUA_GCISRUNNING)) {
		push_replies(L, call);
		return 1;
	}
	/* protected: an error must not leave the collector stopped */
	lua_pushcfunction(L, l_push);
	lua_pushlightuserdata(L, call);
	lua_pushvalue(L, call->table ? call->table : -1);
	lua_gc(L, LUA_GCSTOP);
	status = lua_pcall(L, 2, 1, 0);
	lua_gc(L, LUA_GCRESTART);
	if (status != LUA_OK)
		lua_error(L);
	return 1;
}
