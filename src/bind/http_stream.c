/*
 * http_stream: a transfer that Lua goes along with: chunks of the request are
 * given, chunks of the response taken, each by a call that waits. Memory is
 * bounded both ways: libcurl is paused while the other side is behind. The
 * userdata owns the transfer; its client is kept by a user value.
 */
#include "bind/http.h"

#include <stdio.h>
#include <string.h>

#include "core/lx.h"
#include "core/op.h"

struct http_stream {
	struct http_xfer x;
	struct op *waiter;	/* borrowed: whose task waits; NULL none */
	int made;		/* x is set up */
	int closed;
};

enum want { WANT_HEAD, WANT_DATA, WANT_ROOM, WANT_END };

struct stream_wait {
	struct op op;
	struct http_stream *s;	/* borrowed: on the frame */
	enum want want;
};

static struct http_stream *check(lua_State *L)
{
	return luaL_checkudata(L, 1, HTTP_STREAM);
}

static void check_open(lua_State *L, const struct http_stream *s)
{
	if (s->closed)
		err_raisef(L, ERR_USAGE, "", "the stream of '%s' is closed",
			   s->x.hc->where);
}

/* --- waiting ------------------------------------------------------------------------ */
static int is_there(const struct http_stream *s, enum want want)
{
	const struct http_xfer *x = &s->x;

	if (x->over || s->closed)
		return 1;
	switch (want) {
	case WANT_HEAD:
		/* of an answer that is not wanted, some text too */
		return x->head_done && !x->discard && (http_expected(x) ||
			x->start_len == sizeof x->start);
	case WANT_DATA:
		return x->in.len > 0;
	case WANT_ROOM:
		return x->body.len - x->body_at < HTTP_HIGH;
	case WANT_END:
		break;
	}
	return 0;
}

static void wake(struct http_xfer *x)
{
	struct http_stream *s = (struct http_stream *)(void *)x;
	struct op *op = s->waiter;

	if (!op || !is_there(s, ((struct stream_wait *)op)->want))
		return;
	s->waiter = NULL;
	op_done(op);
}

static void on_done(struct http_xfer *x)
{
	http_close_effect(x);
	wake(x);
}

static enum op_answer wait_cancel(struct op *op)
{
	struct http_stream *s = ((struct stream_wait *)op)->s;

	s->waiter = NULL;
	if (s->x.over) {
		op->err.outcome = OUTCOME_FAILED;
		return OP_NOW;
	}
	http_judge_cancel(&s->x, &op->err);
	http_stop(&s->x);
	s->x.over = 1;
	http_close_effect(&s->x);
	op->err = s->x.err;
	return OP_NOW;
}

static int push_head(lua_State *L, struct http_stream *s)
{
	struct http_xfer *x = &s->x;

	if (!x->over && !http_expected(x)) {
		http_judge_status(x);
		http_stop(x);
		x->over = 1;
		http_close_effect(x);
	}
	/* what breaks after the head is for the reader of the body */
	if (x->err.kind != ERR_NONE && (!x->head_done || x->discard ||
					!http_expected(x)))
		err_raise(L, &x->err);
	return http_push(L, x);
}

static int push_data(lua_State *L, struct http_stream *s)
{
	struct http_xfer *x = &s->x;

	if (x->in.len) {
		lua_pushlstring(L, x->in.data, x->in.len);
		buf_clear(&x->in);
		if (x->recv_waits)
			http_curl_wake(x);
		return 1;
	}
	if (x->err.kind != ERR_NONE)
		err_raise(L, &x->err);
	lua_pushnil(L);
	return 1;
}

static int wait_push(lua_State *L, struct op *op)
{
	struct stream_wait *w = (struct stream_wait *)op;
	struct http_stream *s = w->s;

	if (s->closed && w->want != WANT_DATA)
		check_open(L, s);
	switch (w->want) {
	case WANT_HEAD:
		return push_head(L, s);
	case WANT_DATA:
		return push_data(L, s);
	case WANT_ROOM:
		lua_pushboolean(L, !s->x.over && !s->closed);
		return 1;
	case WANT_END:
		break;
	}
	if (s->x.err.kind != ERR_NONE)
		err_raise(L, &s->x.err);
	return http_push(L, &s->x);
}

static void wait_release(struct op *op)
{
	struct stream_wait *w = (struct stream_wait *)op;

	if (w->s && w->s->waiter == op)
		w->s->waiter = NULL;
}

static const struct op_class wait_class = {
	"http stream", wait_cancel, wait_push, wait_release
};

/* Waits for what is wanted, and pushes it. */
static int wait_for(lua_State *L, struct http_stream *s, enum want want)
{
	struct stream_wait *w;
	double left = s->x.timeout;

	if (s->waiter)
		err_raisef(L, ERR_USAGE, "", "another task waits for this "
			   "stream");
	w = (struct stream_wait *)op_new(L, &wait_class, sizeof *w);
	w->s = s;
	w->want = want;
	op_start(&w->op);
	if (is_there(s, want)) {
		op_done(&w->op);
		return op_park(L, &w->op);
	}
	s->waiter = &w->op;
	if (!s->x.streamed)
		left = s->x.until - loop_now();
	op_deadline(&w->op, left > 0 ? left : 0);
	return op_park(L, &w->op);
}

/* --- what Lua calls ----------------------------------------------------------------------- */
/* open(client, method, path, spec) -> stream; nil, withheld in a plan. spec.stream:
 * the body is taken by read, its timeout is for each wait */
static int l_open(lua_State *L)
{
	struct http_client *hc = http_check(L, 1);
	struct http_stream *s;

	lx_checkcstr(L, 2);
	luaL_checktype(L, 4, LUA_TTABLE);
	lua_settop(L, 4);
	s = lua_newuserdatauv(L, sizeof *s, 1);
	memset(s, 0, sizeof *s);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, 5, 1);
	http_xfer_init(&s->x, hc);
	s->made = 1;
	luaL_setmetatable(L, HTTP_STREAM);
	s->x.streamed = lx_opt_bool(L, 4, "stream", 0);
	if (s->x.streamed)
		s->x.max_body = -1;
	http_spec_target(L, &s->x, 2, 3, 4);
	http_spec_read(L, &s->x, 4);
	s->x.done = on_done;
	s->x.progress = wake;
	if (http_begin(L, &s->x) == EFFECT_WITHHELD) {
		lua_pushnil(L);
		return 1 + http_push_withheld(L, &s->x, 4);
	}
	s->x.until = loop_now() + s->x.timeout;
	http_go(&s->x);
	lua_settop(L, 5);
	return 1;
}

/* head(stream) -> the response, without its body */
static int l_head(lua_State *L)
{
	struct http_stream *s = check(L);

	check_open(L, s);
	lua_settop(L, 1);
	return wait_for(L, s, WANT_HEAD);
}

/* read(stream) -> the next bytes, or nil at the end */
static int l_read(lua_State *L)
{
	struct http_stream *s = check(L);

	lua_settop(L, 1);
	if (s->closed) {
		lua_pushnil(L);
		return 1;
	}
	return wait_for(L, s, WANT_DATA);
}

/* write(stream, chunk) -> is more wanted? Waits while the server is behind. */
static int l_write(lua_State *L)
{
	struct http_stream *s = check(L);
	size_t len;
	const char *data = lx_checkstr(L, 2, &len);

	check_open(L, s);
	if (!s->x.over)
		buf_add(&s->x.body, data, len);
	if (!buf_ok(&s->x.body))
		http_no_memory(L);
	lua_settop(L, 1);
	if (s->x.send_waits)
		http_curl_wake(&s->x);
	return wait_for(L, s, WANT_ROOM);
}

/* finish(stream) -> the response, when the whole request was given */
static int l_finish(lua_State *L)
{
	struct http_stream *s = check(L);

	check_open(L, s);
	lua_settop(L, 1);
	s->x.body_ended = 1;
	if (s->x.send_waits)
		http_curl_wake(&s->x);
	return wait_for(L, s, WANT_END);
}

static int l_stream_close(lua_State *L)
{
	struct http_stream *s = check(L);

	if (s->closed)
		return 0;
	s->closed = 1;
	if (s->x.effect.open && s->x.cls == EFFECT_READ)
		effect_end(&s->x.effect, OUTCOME_DONE, -1, s->x.got, NULL);
	if (s->made)
		http_xfer_release(&s->x);
	if (s->waiter)
		wake(&s->x);
	return 0;
}

/* tostring(stream) -> "stream of HOST:PORT" */
static int l_stream_tostring(lua_State *L)
{
	lua_pushfstring(L, "stream of %s", check(L)->x.hc->where);
	return 1;
}

void http_open_stream(lua_State *L)
{
	static const luaL_Reg meta[] = {
		{ "__gc", l_stream_close }, { "__close", l_stream_close },
		{ "__call", l_read }, { "__tostring", l_stream_tostring },
		{ NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "open", l_open }, { "head", l_head }, { "read", l_read },
		{ "write", l_write }, { "finish", l_finish },
		{ "close_stream", l_stream_close }, { NULL, NULL }
	};

	lx_metatable(L, HTTP_STREAM, NULL, meta);
	lx_setfuncs(L, funcs);
}
