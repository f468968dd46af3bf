/*
 * redis_sub: subscriptions. Each has a connection of its own, whose replies
 * belong to no request: whole ones stay raw in the receive buffer until they
 * are asked for. A lost subscription is an error: messages may be missing.
 */
#include "bind/redis.h"

#include <stdio.h>
#include <string.h>

#include "core/loop.h"
#include "core/lx.h"

struct redis_sub {
	struct redis_client *rc;	/* borrowed: user value 1 */
	struct redis_conn *c;		/* owned; NULL once closed */
	double timeout;			/* for the next message */
};

struct sub_op {
	struct op op;
	struct redis_sub *sub;		/* borrowed: on the waiting frame */
};

#define BACKLOG (1024 * 1024)	/* bytes of unread messages; then we stop reading */

/* --- the connection's side --------------------------------------------------- */
static void read_pushed(struct redis_conn *c)
{
	struct err e;
	long long n = resp_scan(&c->scan, c->in.data, c->in.len, 1LL << 40,
				&e);

	if (n < 0) {
		redis_conn_down(c, &e);
		return;
	}
	c->whole += n;
	if (c->in.len - c->in_at > BACKLOG)
		net_pause(c->net, 1);
	if (c->whole > 0 && c->reader) {
		op_done(c->reader);
		c->reader = NULL;
	}
}

static void push_mode(struct redis_conn *c)
{
	c->pushed = read_pushed;
	c->whole = 0;
	c->gone.kind = ERR_NONE;
}

static void consumed(struct redis_conn *c, size_t len)
{
	size_t unread;

	c->whole--;
	c->in_at += len;
	unread = c->in.len - c->in_at;
	if (c->in_at > unread) {
		resp_scan_shift(&c->scan, c->in_at);
		buf_consume(&c->in, c->in_at);
		c->in_at = 0;
	}
	if (c->net && unread < BACKLOG / 2)
		net_pause(c->net, 0);
}

static struct redis_sub *check_sub(lua_State *L)
{
	return luaL_checkudata(L, 1, REDIS_SUB);
}

/* --- the next message --------------------------------------------------------- */
static enum op_answer next_cancel(struct op *op)
{
	struct redis_sub *sub = ((struct sub_op *)op)->sub;

	if (op->err.kind == ERR_TIMEOUT)
		err_set(&op->err, ERR_TIMEOUT, "", "no message from '%s' "
			"within %g s", redis_where(sub->c), op->timeout);
	op->err.phase = PHASE_WAIT;
	snprintf(op->err.target, sizeof op->err.target, "%s",
		 sub->rc->target->name);
	if (sub->c && sub->c->reader == op)
		sub->c->reader = NULL;
	return OP_NOW;
}

/* Decodes the message at the front. */
static int push_message(lua_State *L, struct redis_sub *sub)
{
	struct redis_conn *c = sub->c;
	const char *p, *end;
	struct err e;
	size_t len;

	if (!c || c->whole == 0) {
		if (c && c->gone.kind != ERR_NONE) {
			e = c->gone;
			snprintf(e.hint, sizeof e.hint, "messages may have "
				 "been missed: subscribe again");
			err_raise(L, &e);
		}
		return 0;
	}
	p = redis_conn_reply(c);
	end = c->in.data + c->scan.start;
	len = (size_t)(resp_skip(p, end) - p);
	resp_push(L, &p, end, 0);
	consumed(c, len);
	return 1;
}

static int next_push(lua_State *L, struct op *op)
{
	return push_message(L, ((struct sub_op *)op)->sub);
}

static void next_release(struct op *op)
{
	struct redis_sub *sub = ((struct sub_op *)op)->sub;

	if (sub && sub->c && sub->c->reader == op)
		sub->c->reader = NULL;
}

static const struct op_class next_class = {
	"redis message", next_cancel, next_push, next_release
};

/* sub_next(sub) -> {type, channel, payload}; nil when it was closed */
static int l_sub_next(lua_State *L)
{
	struct redis_sub *sub = check_sub(L);
	struct sub_op *s;

	lua_settop(L, 1);
	if (!sub->c || sub->c->whole > 0 || sub->c->gone.kind != ERR_NONE)
		return push_message(L, sub);
	if (sub->c->reader)
		err_raisef(L, ERR_USAGE, "", "two tasks wait for the messages "
			   "of one subscription");
	s = (struct sub_op *)op_new(L, &next_class, sizeof *s);
	s->sub = sub;
	sub->c->reader = &s->op;
	op_start(&s->op);
	op_deadline(&s->op, sub->timeout);
	return op_park(L, &s->op);
}

/* --- subscribing --------------------------------------------------------------- */
static void close_sub(struct redis_sub *sub)
{
	struct redis_conn *c = sub->c;

	sub->c = NULL;
	if (!c)
		return;
	if (c->reader)
		op_done(c->reader);
	c->reader = NULL;
	redis_unlease(c, 0);
}

/* sub_close(sub) */
static int l_sub_close(lua_State *L)
{
	close_sub(check_sub(L));
	return 0;
}

static void add_names(lua_State *L, struct buf *b, struct buf *text,
		      const char *verb, int list)
{
	lua_Integer i, n = (lua_Integer)lua_rawlen(L, list);
	const char *s;
	size_t len;

	if (n == 0)
		return;
	resp_add_array(b, n + 1);
	resp_add_str(b, verb);
	buf_addf(text, "%s%s", text->len ? "; " : "", verb);
	for (i = 1; i <= n; i++) {
		lua_rawgeti(L, list, i);
		s = lua_tolstring(L, -1, &len);
		resp_add_bulk(b, s ? s : "", len);
		buf_addc(text, ' ');
		resp_quote(text, s ? s : "", len);
		lua_pop(L, 1);
	}
}

/* The boundary lets it pass, or raises; `b` holds bytes and text behind it. */
static void begin(lua_State *L, struct redis_sub *sub, struct effect *f,
		  const char *text, size_t len)
{
	struct effect_call what;

	memset(&what, 0, sizeof what);
	what.target = sub->rc->target;
	what.cls = EFFECT_READ;
	what.verb = "SUBSCRIBE";
	what.request = text;
	what.request_len = len;
	what.timeout = sub->timeout;
	effect_begin(L, f, &what);
}

static int subscribe_k(lua_State *L, int status, lua_KContext ctx)
{
	struct redis_sub *sub = lua_touserdata(L, 5);
	struct redis_req none = { 0 };
	double until = lua_tonumber(L, 6);
	struct effect f;
	struct buf b, text;
	struct err e;
	int r;

	(void)status;
	while (!redis_usable(sub->c, "", 0))
		redis_await(L, sub->c, "", 0, until, ctx, subscribe_k);
	buf_init(&b);
	buf_init(&text);
	add_names(L, &b, &text, "SUBSCRIBE", 2);
	add_names(L, &b, &text, "PSUBSCRIBE", 3);
	/* both to Lua before anything may raise */
	if (!buf_ok(&b) || !buf_ok(&text)) {
		buf_release(&b);
		buf_release(&text);
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	}
	lua_pushlstring(L, text.data, text.len);
	lua_pushlstring(L, b.data, b.len);
	buf_release(&b);
	buf_release(&text);
	begin(L, sub, &f, lua_tostring(L, -2), lua_rawlen(L, -2));
	push_mode(sub->c);
	r = redis_conn_send(sub->c, &none, lua_tostring(L, -1),
			    lua_rawlen(L, -1), 0);
	sub->c->head = sub->c->tail = NULL;	/* replies are messages */
	err_set(&e, ERR_LIMIT, "ENOMEM", "out of memory to send");
	effect_end(&f, r < 0 ? OUTCOME_FAILED : OUTCOME_DONE, -1, -1,
		   r < 0 ? &e : NULL);
	if (r < 0)
		err_raise(L, &e);
	lua_settop(L, 5);
	return 1;
}

/* sub_open(client, channels, patterns, timeout) -> sub; the confirmations are
 * the first messages */
static int l_sub_open(lua_State *L)
{
	struct redis_conn *lent;
	struct redis_client *rc = redis_check(L, 1, &lent);
	double timeout = lx_optseconds(L, 4, rc->o.timeout);
	struct redis_sub *sub;
	struct err e;

	luaL_checktype(L, 2, LUA_TTABLE);
	luaL_checktype(L, 3, LUA_TTABLE);
	if (lent)
		err_raisef(L, ERR_USAGE, "", "a transaction can't subscribe");
	lua_settop(L, 4);
	sub = lua_newuserdatauv(L, sizeof *sub, 1);
	memset(sub, 0, sizeof *sub);
	luaL_setmetatable(L, REDIS_SUB);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	sub->rc = rc;
	sub->timeout = timeout;
	sub->c = redis_lease(rc, &e);
	if (!sub->c)
		err_raise(L, &e);
	lua_pushnumber(L, loop_now() + rc->o.timeout);
	return subscribe_k(L, LUA_OK, 0);
}

void redis_open_sub(lua_State *L)
{
	static const luaL_Reg meta[] = {
		{ "__gc", l_sub_close }, { "__close", l_sub_close },
		{ NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "sub_open", l_sub_open }, { "sub_next", l_sub_next },
		{ "sub_close", l_sub_close }, { NULL, NULL }
	};

	lx_metatable(L, REDIS_SUB, NULL, meta);
	lx_setfuncs(L, funcs);
}
