/*
 * pg_listen: notifications: a connection of its own that listens to channels,
 * and the queue of what came. A loss of the connection is told once what came
 * before it was read: messages may have been missed. Sends nothing but LISTEN.
 */
#include "bind/pg.h"

#include <stdio.h>
#include <string.h>

#include "core/lx.h"

#define QUEUE_MAX (16u << 20)	/* bytes that wait to be read */
#define CHANNELS_MAX 100

struct listener {		/* user value 1: the client */
	struct pg_sink sink;
	struct pg_client *pc;	/* borrowed: user value 1 */
	struct pg_conn *c;	/* leased; NULL: closed */
	struct op *waiter;	/* borrowed */
	struct buf queue;	/* owned: channel, payload, pid, each NUL-ended */
	struct buf text;	/* owned: LISTEN .. */
	struct pg_reply reply;	/* owned */
	struct err gone;
	int full, ready;
	double until;
};

static struct listener *of_sink(struct pg_sink *sink)
{
	return (struct listener *)sink;
}

static struct listener *check(lua_State *L)
{
	return luaL_checkudata(L, 1, PG_LISTENER);
}

static void wake(struct listener *l)
{
	struct op *op = l->waiter;

	l->waiter = NULL;
	if (op)
		op_done(op);
}

static void on_notify(struct pg_sink *sink, const PGnotify *n)
{
	struct listener *l = of_sink(sink);

	if (l->queue.len > QUEUE_MAX) {
		l->full = 1;
		return;
	}
	buf_add(&l->queue, n->relname, strlen(n->relname) + 1);
	buf_add(&l->queue, n->extra, strlen(n->extra) + 1);
	buf_addf(&l->queue, "%d", n->be_pid);
	buf_addc(&l->queue, '\0');
	wake(l);
}

static void on_lost(struct pg_sink *sink, const struct err *e)
{
	struct listener *l = of_sink(sink);

	l->gone = *e;
	wake(l);
}

/* The session listens: it goes with its connection. */
static int l_listener_close(lua_State *L)
{
	struct listener *l = check(L);
	struct pg_conn *c = l->c;
	struct err e;

	l->c = NULL;
	if (c) {
		c->sink = NULL;
		err_set(&e, ERR_CANCELLED, "", "the listener was closed");
		if (c->state != PG_DOWN)
			pg_conn_down(c, &e);
		pg_unlease(c);
	}
	pg_reply_clear(&l->reply);
	buf_release(&l->queue);
	buf_release(&l->text);
	return 0;
}

/* --- LISTEN ---------------------------------------------------------------------- */
static int send_listen(struct pg_conn *c, void *arg)
{
	return PQsendQuery(c->pg, ((struct listener *)arg)->text.data);
}

static int listen_k(lua_State *L, int status, lua_KContext ctx)
{
	struct listener *l = (struct listener *)ctx;
	struct pg_ask a;

	(void)status;
	while (!l->c)
		pg_await_lease(L, l->pc, &l->c, l->until, NULL, NULL, ctx,
			       listen_k);
	if (l->c->pooled)
		err_raisef(L, ERR_REFUSED, "POOLER", "'%s' is behind a pooler: "
			   "notifications don't come through one",
			   pg_where(l->c));
	if (!l->ready) {
		l->ready = 1;
		memset(&a, 0, sizeof a);
		a.c = l->c;
		a.reply = &l->reply;
		a.send = send_listen;
		a.arg = l;
		a.row_step = -1;
		a.until = l->until;
		a.timeout = l->pc->o.timeout;
		a.verb = "LISTEN";
		pg_await(L, &a, ctx, listen_k);
	}
	l->sink.notify = on_notify;
	l->sink.lost = on_lost;
	l->c->sink = &l->sink;
	lua_settop(L, 3);
	return 1;
}

static void record(lua_State *L, struct listener *l)
{
	struct effect_call what;
	struct effect f;

	memset(&what, 0, sizeof what);
	what.target = l->pc->target;
	what.cls = EFFECT_READ;
	what.verb = "LISTEN";
	what.request = l->text.data;
	what.request_len = l->text.len;
	if (effect_begin(L, &f, &what) == EFFECT_GO)
		effect_end(&f, OUTCOME_DONE, -1, -1, NULL);
}

/* listen(client, channels) -> listener */
static int l_listen(lua_State *L)
{
	struct pg_client *pc = luaL_checkudata(L, 1, PG_CLIENT);
	struct pg_conn *c;
	struct listener *l;
	lua_Integer i, n;

	pg_check(L, 1, &c);
	luaL_checktype(L, 2, LUA_TTABLE);
	n = (lua_Integer)lua_rawlen(L, 2);
	luaL_argcheck(L, n >= 1 && n <= CHANNELS_MAX, 2, "1 to 100 channels");
	lua_settop(L, 2);
	l = lua_newuserdatauv(L, sizeof *l, 1);
	memset(l, 0, sizeof *l);
	buf_init(&l->queue);
	buf_init(&l->text);
	luaL_setmetatable(L, PG_LISTENER);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	l->pc = pc;
	l->until = loop_now() + pc->o.timeout;
	for (i = 1; i <= n; i++) {
		const char *p;

		lua_rawgeti(L, 2, i);
		buf_adds(&l->text, "listen \"");
		for (p = lx_checkcstr(L, -1); *p; p++) {
			if (*p == '"')
				buf_addc(&l->text, '"');
			buf_addc(&l->text, *p);
		}
		buf_adds(&l->text, "\";");
		lua_pop(L, 1);
	}
	if (!buf_ok(&l->text))
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory");
	record(L, l);
	return listen_k(L, LUA_OK, (lua_KContext)l);
}

/* --- the next one ------------------------------------------------------------------- */
struct wait_op {
	struct op op;
	struct listener *l;	/* borrowed: on the frame */
};

static enum op_answer wait_cancel(struct op *op)
{
	struct listener *l = ((struct wait_op *)op)->l;

	l->waiter = NULL;
	if (op->err.kind == ERR_TIMEOUT)
		op->err.kind = ERR_NONE;	/* nil: none came */
	return OP_NOW;
}

static void wait_release(struct op *op)
{
	struct listener *l = ((struct wait_op *)op)->l;

	if (l && l->waiter == op)
		l->waiter = NULL;
}

static const struct op_class wait_class = {
	"postgres notification", wait_cancel, NULL, wait_release
};

/* (listener, seconds) */
static int l_wait(lua_State *L)
{
	struct listener *l = check(L);
	struct wait_op *w;

	if (l->waiter)
		err_raisef(L, ERR_USAGE, "", "two tasks read one listener");
	w = (struct wait_op *)op_new(L, &wait_class, sizeof *w);
	w->l = l;
	l->waiter = &w->op;
	op_start(&w->op);
	if (!lua_isnil(L, 2))
		op_deadline(&w->op, lua_tonumber(L, 2));
	return op_park(L, &w->op);
}

static int push_first(lua_State *L, struct listener *l)
{
	const char *channel = l->queue.data;
	const char *payload = channel + strlen(channel) + 1;
	const char *pid = payload + strlen(payload) + 1;
	size_t size = (size_t)(pid + strlen(pid) + 1 - channel);
	long long n = 0;

	lua_createtable(L, 0, 3);
	lua_pushstring(L, channel);
	lua_setfield(L, -2, "channel");
	lua_pushstring(L, payload);
	lua_setfield(L, -2, "payload");
	if (sscanf(pid, "%lld", &n) == 1)
		lua_pushinteger(L, n);
	else
		lua_pushnil(L);
	lua_setfield(L, -2, "pid");
	buf_consume(&l->queue, size);
	return 1;
}

static int next_k(lua_State *L, int status, lua_KContext ctx)
{
	struct listener *l = (struct listener *)ctx;
	struct err e;

	(void)status;
	if (lua_toboolean(L, 3) == 0 && !l->queue.len &&
	    l->gone.kind == ERR_NONE && l->c) {
		lua_pushboolean(L, 1);
		lua_replace(L, 3);
		lua_pushcfunction(L, l_wait);
		lua_pushvalue(L, 1);
		lua_pushvalue(L, 2);
		lua_callk(L, 2, 0, ctx, next_k);
	}
	if (l->queue.len)
		return push_first(L, l);
	if (l->full || !buf_ok(&l->queue))
		err_raisef(L, ERR_LIMIT, "", "more than %u bytes of "
			   "notifications waited to be read: some are lost",
			   QUEUE_MAX);
	if (l->gone.kind != ERR_NONE) {
		e = l->gone;
		snprintf(e.hint, sizeof e.hint, "notifications may have been "
			 "missed: look at the state, then listen again");
		err_raise(L, &e);
	}
	return 0;
}

/* listen_next(listener, seconds or nil) -> {channel, payload, pid}, or nil when
 * none came in time */
static int l_listen_next(lua_State *L)
{
	struct listener *l = check(L);

	if (!l->c)
		err_raisef(L, ERR_USAGE, "", "this listener is closed");
	lx_optseconds(L, 2, 0);
	lua_settop(L, 2);
	lua_pushboolean(L, 0);
	return next_k(L, LUA_OK, (lua_KContext)l);
}

void pg_open_listen(lua_State *L)
{
	static const luaL_Reg listener[] = {
		{ "__gc", l_listener_close }, { "__close", l_listener_close },
		{ NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "listen", l_listen }, { "listen_next", l_listen_next },
		{ "listen_close", l_listener_close }, { NULL, NULL }
	};

	lx_metatable(L, PG_LISTENER, NULL, listener);
	lx_setfuncs(L, funcs);
}
