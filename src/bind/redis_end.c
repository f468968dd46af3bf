/*
 * redis_end: how a call ends: its reply, the loss of its connection, a cancel
 * or its deadline. Decides what became of it (applied, not applied, can't be
 * told) and what may be resent: a read, once.
 */
#include "bind/redis.h"

#include <stdio.h>
#include <string.h>

#include "core/loop.h"
#include "core/mem.h"

#define STREAM_BYTES 4096	/* of replies, at least, decoded at a time */
#define SPARE_MIN 8192		/* a receive buffer worth keeping */
#define SPARE_MAX (1024 * 1024)

static struct redis_call *of_req(struct redis_req *req)
{
	return (struct redis_call *)(void *)((char *)req -
				offsetof(struct redis_call, req));
}

static void give_back(struct redis_call *call, int clean)
{
	struct redis_conn *c = call->c;

	call->c = NULL;
	if (c && call->leased)
		redis_unlease(c, clean);
}

/* The call has ended: its task goes on. */
static void end_call(struct redis_call *call)
{
	struct op *part = call->part;

	call->part = NULL;
	op_done(&call->op);
	if (part)
		op_done(part);
}

/* --- how it ends --------------------------------------------------------------- */
/* Ends it with call->op.err, whose outcome and phase are set. */
static void end_failed(struct redis_call *call)
{
	struct err *e = &call->op.err;

	snprintf(e->target, sizeof e->target, "%s", call->rc->target->name);
	snprintf(e->op, sizeof e->op, "%s", call->verb);
	effect_end(&call->effect, e->outcome, -1, -1, e);
}

/* The connection was lost under it. */
static void end_lost(struct redis_call *call, const struct err *e,
		     const char *where, int maybe)
{
	struct err *mine = &call->op.err;

	*mine = *e;
	mine->outcome = OUTCOME_FAILED;
	if (mine->phase == PHASE_NONE)
		mine->phase = PHASE_READ;
	if (call->cls == EFFECT_READ || (!maybe && e->kind != ERR_LIMIT)) {
		if (call->cls != EFFECT_READ)
			err_set(mine, e->kind, e->code, "connection to '%s' "
				"was lost before '%s' was sent, nothing was "
				"applied: %s", where, call->verb, e->message);
	} else if (e->kind == ERR_LIMIT || e->kind == ERR_PROTOCOL) {
		snprintf(mine->hint, sizeof mine->hint, "the reply can't be "
			 "read: '%s' may have been applied", call->verb);
	} else {
		err_set(mine, ERR_UNKNOWN, e->code, "connection to '%s' was "
			"lost before the reply to '%s' came: it may have been "
			"applied (%s)", where, call->verb, e->message);
	}
	if (call->cls != EFFECT_READ) {
		mine->phase = maybe ? PHASE_WAIT : PHASE_SEND;
		mine->outcome = maybe ? OUTCOME_UNKNOWN : OUTCOME_FAILED;
	}
	end_failed(call);
	end_call(call);
}

static void on_done(struct redis_req *req, struct redis_conn *c, size_t len)
{
	struct redis_call *call = of_req(req);
	long long errors = c->scan.errors;

	if (req->dropped) {
		op_done(&call->op);
		return;
	}
	call->len = len;
	if (len <= sizeof call->small) {
		memcpy(call->small, redis_conn_reply(c), len);
		call->data = call->small;
	} else {
		redis_conn_take(c, len, &call->reply);
		call->data = call->reply.data;
	}
	give_back(call, 1);
	redis_settle(call, errors);
	end_call(call);
}

static int may_resend(const struct redis_call *call, const struct err *e)
{
	return call->cls == EFFECT_READ && !call->resent && !call->leased &&
	       !call->lent && !call->rc->closed && loop_now() < call->until &&
	       e->kind != ERR_LIMIT && e->kind != ERR_PROTOCOL;
}

static void on_lost(struct redis_req *req, struct redis_conn *c,
		    const struct err *e, int maybe)
{
	struct redis_call *call = of_req(req);

	if (req->dropped) {
		op_done(&call->op);
		return;
	}
	if (may_resend(call, e)) {
		call->c = NULL;
		call->handed = 0;
		call->resent = call->waiting = 1;
		call->next = call->rc->resend;
		call->rc->resend = call;
		return;
	}
	end_lost(call, e, redis_where(c), maybe);
	give_back(call, 0);
}

/* --- resending reads ------------------------------------------------------------- */
void redis_resend(struct redis_client *rc)
{
	struct redis_call *call;
	struct err e;

	while ((call = rc->resend)) {
		rc->resend = call->next;
		call->waiting = 0;
		call->c = &rc->shared;
		if (redis_conn_send(call->c, &call->req, call->enc.data,
				    call->enc.len, call->first) == 0)
			continue;
		err_set(&e, ERR_LIMIT, "ENOMEM", "out of memory to resend");
		call->c = NULL;
		end_lost(call, &e, redis_where(&rc->shared), 0);
	}
}

void redis_resend_fail(struct redis_client *rc, const struct err *e)
{
	struct redis_call *call;

	while ((call = rc->resend)) {
		rc->resend = call->next;
		call->waiting = 0;
		end_lost(call, e, redis_where(&rc->shared), 0);
	}
}

static void unlink_resend(struct redis_call *call)
{
	struct redis_call **at = &call->rc->resend;

	if (!call->waiting)
		return;
	while (*at && *at != call)
		at = &(*at)->next;
	if (*at)
		*at = call->next;
	call->waiting = 0;
}

/* --- cancel and deadline ------------------------------------------------------------ */
/* Says what became of a call that is given up. */
static void set_given_up(struct redis_call *call, int maybe)
{
	struct err *e = &call->op.err;
	int timeout = e->kind == ERR_TIMEOUT;
	int doubt = maybe && call->cls != EFFECT_READ;
	const char *where = redis_where(call->c ? call->c :
					&call->rc->shared);
	enum err_kind kind = e->kind;
	char limit[64] = "";

	if (timeout)
		snprintf(limit, sizeof limit, " within %g s", call->timeout);
	err_set(e, kind, "", "%s '%s' from '%s'%s%s",
		timeout ? "no reply to" : "gave up waiting for the reply to",
		call->verb, where, limit, doubt ? ": it may have been applied" :
		call->cls != EFFECT_READ ? ": it was not sent" : "");
	e->outcome = doubt ? OUTCOME_UNKNOWN : OUTCOME_FAILED;
	e->phase = maybe ? PHASE_WAIT : PHASE_SEND;
	if (call->c && call->c->head == &call->req &&
	    call->c->in.len > call->c->in_at)
		e->phase = PHASE_READ;
}

static enum op_answer call_cancel(struct op *op)
{
	struct redis_call *call = (struct redis_call *)op;
	struct redis_conn *c = call->c;
	int maybe = 0, unsent;

	if (!c) {
		unlink_resend(call);
		set_given_up(call, 1);
		end_failed(call);
		return OP_NOW;
	}
	maybe = redis_conn_maybe(c, &call->req);
	set_given_up(call, maybe);
	unsent = redis_conn_unsend(c, &call->req);
	end_failed(call);
	if (unsent) {
		give_back(call, 0);
		return OP_NOW;
	}
	call->req.dropped = 1;
	/* half of a write went out: the other half must not follow */
	if (!call->leased && !call->lent &&
	    (maybe || call->cls == EFFECT_READ))
		return OP_DETACH;
	/* the connection goes; on_lost sees `dropped` and ends the op */
	if (!call->leased)
		redis_conn_down(c, &op->err);
	else
		give_back(call, 0);
	return OP_NOW;
}

static void call_release(struct op *op)
{
	struct redis_call *call = (struct redis_call *)op;

	unlink_resend(call);
	give_back(call, 0);
	effect_abandon(&call->effect);
	buf_release(&call->enc);
	buf_release(&call->text);
	buf_release(&call->reply);
	mem_free(call->writes);
}

/* In the task: the results; a large buffer serves the next reply. */
static int call_push(lua_State *L, struct op *op)
{
	struct redis_call *call = (struct redis_call *)op;
	struct redis_client *rc = call->rc;
	int n = redis_push(L, op);

	if (call->reply.cap >= SPARE_MIN && call->reply.cap <= SPARE_MAX &&
	    rc->spare.cap < call->reply.cap && !rc->closed)
		buf_swap(&rc->spare, &call->reply);
	return n;
}

const struct op_class redis_call_class = {
	"redis call", call_cancel, call_push, call_release
};

void redis_call_init(struct redis_call *call)
{
	buf_init(&call->enc);
	buf_init(&call->text);
	buf_init(&call->reply);
	call->req.done = on_done;
	call->req.lost = on_lost;
}

/* --- large batches of reads ---------------------------------------------------------- */
/*
 * Replies are decoded while the server works on the next ones: the task waits
 * not for the call but for parts of it, one after the other. The call's own op
 * ends as ever; a cancel of the part that is waited for is handed on to it.
 */
struct part_op {
	struct op op;
	struct redis_call *call;	/* borrowed: its slot is on the frame */
};

static void on_progress(struct redis_req *req, struct redis_conn *c)
{
	struct redis_call *call = of_req(req);
	struct op *part = call->part;

	if (!part || redis_conn_early(c) < STREAM_BYTES)
		return;
	call->part = NULL;
	op_done(part);
}

static enum op_answer part_cancel(struct op *op)
{
	struct redis_call *call = ((struct part_op *)op)->call;

	call->part = NULL;
	call->op.err = op->err;
	call->op.asked = 1;
	if (call_cancel(&call->op) == OP_NOW && !call->op.done)
		call->op.started = 0;
	op->err = call->op.err;
	return OP_NOW;
}

static void part_release(struct op *op)
{
	struct redis_call *call = ((struct part_op *)op)->call;

	if (call && call->part == op)
		call->part = NULL;
}

static const struct op_class part_class = {
	"redis replies", part_cancel, NULL, part_release
};

/* (call) Waits until more replies are there, or all. */
static int l_part(lua_State *L)
{
	struct redis_call *call = lua_touserdata(L, 1);
	struct part_op *part;
	double left = call->until - loop_now();

	part = (struct part_op *)op_new(L, &part_class, sizeof *part);
	part->call = call;
	call->part = &part->op;
	op_start(&part->op);
	op_deadline(&part->op, left > 0 ? left : 0);
	return op_park(L, &part->op);
}

static int stream_k(lua_State *L, int status, lua_KContext ctx)
{
	struct redis_call *call = (struct redis_call *)ctx;

	(void)status;
	while (!call->op.done) {
		if (call->c && call->c->head == &call->req &&
		    redis_conn_early(call->c) >= STREAM_BYTES) {
			redis_push_early(L, call);
			continue;
		}
		lua_pushcfunction(L, l_part);
		lua_pushlightuserdata(L, call);
		lua_callk(L, 1, 0, ctx, stream_k);
	}
	return op_park(L, &call->op);
}

int redis_stream(lua_State *L, struct redis_call *call)
{
	call->req.progress = on_progress;
	return stream_k(L, LUA_OK, (lua_KContext)call);
}
