/*
 * http_call: a call that waits for its whole response: method, path and
 * description from Lua, the boundary's verdict, the wait. The transfer is a part
 * of the op; nothing here outlives it.
 */
#include "bind/http.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/lx.h"
#include "core/op.h"

struct http_call {
	struct op op;
	struct http_xfer x;
};

static struct http_call *of_xfer(struct http_xfer *x)
{
	return (struct http_call *)(void *)((char *)x -
				offsetof(struct http_call, x));
}

static void call_done(struct http_xfer *x)
{
	struct http_call *call = of_xfer(x);

	http_close_effect(x);
	if (x->err.kind != ERR_NONE)
		call->op.err = x->err;
	op_done(&call->op);
}

static enum op_answer call_cancel(struct op *op)
{
	struct http_call *call = (struct http_call *)op;

	http_judge_cancel(&call->x, &op->err);
	http_stop(&call->x);
	http_close_effect(&call->x);
	op->err = call->x.err;
	return OP_NOW;
}

static int call_push(lua_State *L, struct op *op)
{
	return http_push(L, &((struct http_call *)op)->x);
}

static void call_release(struct op *op)
{
	http_xfer_release(&((struct http_call *)op)->x);
}

static const struct op_class call_class = {
	"http call", call_cancel, call_push, call_release
};

/* The file that the body is to replace: an effect on this machine. */
static enum effect_verdict begin_file(lua_State *L, struct http_xfer *x)
{
	struct effect_call what;

	memset(&what, 0, sizeof what);
	what.target = x->host;
	what.cls = access(x->to, F_OK) ? EFFECT_WRITE : EFFECT_DESTRUCTIVE;
	what.verb = "write";
	what.request = x->to;
	what.request_len = strlen(x->to);
	what.timeout = x->timeout;
	return effect_begin(L, &x->file_effect, &what);
}

enum effect_verdict http_begin(lua_State *L, struct http_xfer *x)
{
	struct effect_call what;

	http_describe(x);
	if (!buf_ok(&x->text) || !buf_ok(&x->url) || !buf_ok(&x->headers) ||
	    !buf_ok(&x->body))
		http_no_memory(L);
	if (x->to && begin_file(L, x) == EFFECT_WITHHELD)
		return EFFECT_WITHHELD;
	memset(&what, 0, sizeof what);
	what.target = x->hc->target;
	what.cls = x->cls;
	what.verb = x->cert_only ? "TLS" : x->method;
	what.request = x->text.data;
	what.request_len = x->text.len;
	what.timeout = x->timeout;
	what.idempotent = x->keyed;
	return effect_begin(L, &x->effect, &what);
}

int http_push_withheld(lua_State *L, struct http_xfer *x, int spec)
{
	lua_createtable(L, 0, 1);
	if (spec && lua_getfield(L, spec, "expect_result") != LUA_TNIL)
		lua_setfield(L, -2, "expect");
	else if (spec)
		lua_pop(L, 1);
	return effect_push_withheld(L, x->effect.target ? &x->effect :
				    &x->file_effect, lua_gettop(L));
}

/* call(client, method, path [, spec]) -> response; spec is what opsh.http has
 * made of the options */
static int l_call(lua_State *L)
{
	struct http_client *hc = http_check(L, 1);
	struct http_call *call;
	int spec;

	lx_checkcstr(L, 2);
	lua_settop(L, 4);
	spec = lua_istable(L, 4) ? 4 : 0;
	call = (struct http_call *)op_new(L, &call_class, sizeof *call);
	http_xfer_init(&call->x, hc);
	call->x.done = call_done;
	http_spec_target(L, &call->x, 2, 3, spec);
	http_spec_read(L, &call->x, spec);
	if (http_begin(L, &call->x) == EFFECT_WITHHELD)
		return http_push_withheld(L, &call->x, spec);
	op_start(&call->op);
	call->x.until = loop_now() + call->x.timeout;
	http_go(&call->x);
	if (!call->op.done)
		op_deadline(&call->op, call->x.timeout);
	return op_park(L, &call->op);
}

void http_open_call(lua_State *L)
{
	static const luaL_Reg funcs[] = { { "call", l_call }, { NULL, NULL } };

	lx_setfuncs(L, funcs);
}
