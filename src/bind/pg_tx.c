/*
 * pg_tx: a transaction of the caller's: a connection that is held from BEGIN to
 * COMMIT or ROLLBACK. One that is let go is rolled back. Its statements are
 * calls as others are (pg_call.c).
 */
#include "bind/pg.h"

#include <stdio.h>
#include <string.h>

#include "core/lx.h"

static struct pg_tx *check(lua_State *L)
{
	return luaL_checkudata(L, 1, PG_TX);
}

static int l_tx_close(lua_State *L)
{
	struct pg_tx *tx = check(L);
	struct pg_conn *c = tx->c;

	tx->c = NULL;
	if (c)
		pg_unlease(c);
	return 0;
}

/* tostring(tx) -> "transaction on NAME" */
static int l_tx_tostring(lua_State *L)
{
	struct pg_tx *tx = check(L);

	lua_pushfstring(L, "transaction on %s%s", tx->c ? pg_where(tx->c) :
			"?", tx->c ? "" : " (ended)");
	return 1;
}

/* --- BEGIN ------------------------------------------------------------------------ */
struct begin {			/* an op, so that what it holds is freed */
	struct op op;
	struct pg_client *pc;	/* borrowed */
	struct pg_conn *c;	/* leased */
	struct pg_reply reply;
	struct pg_tx *tx;	/* borrowed: on the frame */
	char text[96];
	double until, timeout, began;
	int asked;
};

static void begin_release(struct op *op)
{
	struct begin *b = (struct begin *)op;
	struct pg_conn *c = b->c;

	pg_reply_clear(&b->reply);
	b->c = NULL;
	if (c)
		pg_unlease(c);
}

static const struct op_class begin_class = {
	"postgres transaction", NULL, NULL, begin_release
};

/* Who it is, and BEGIN: one round trip. A Sync between them: what asks who it is
 * would be the transaction's first query, too late for an isolation level. */
static int send_begin(struct pg_conn *c, void *arg)
{
	struct begin *b = arg;

	c->asked_at = loop_now();
	return PQsendQueryParams(c->pg, pg_greet_text(c), 0, NULL, NULL, NULL,
				 NULL, 0) && PQpipelineSync(c->pg) &&
		PQsendQueryParams(c->pg, b->text, 0, NULL, NULL, NULL, NULL,
				  0) && PQpipelineSync(c->pg);
}

static int begin_k(lua_State *L, int status, lua_KContext ctx)
{
	struct begin *b = (struct begin *)ctx;
	struct pg_ask a;
	struct err e;

	(void)status;
	while (!b->c)
		pg_await_lease(L, b->pc, &b->c, b->until, NULL, NULL, ctx,
			       begin_k);
	if (!b->asked) {
		memset(&a, 0, sizeof a);
		a.c = b->c;
		a.reply = &b->reply;
		a.send = send_begin;
		a.arg = b;
		a.syncs = 2;
		a.row_step = -1;
		a.until = b->until;
		a.timeout = b->timeout;
		a.verb = "BEGIN";
		b->asked = 1;
		pg_await(L, &a, ctx, begin_k);
	}
	if (pg_greet_read(b->c, b->reply.res[0], &e) < 0)
		err_raise(L, &e);
	b->tx->c = b->c;
	b->c = NULL;
	lua_settop(L, 4);		/* db opts op tx */
	return 1;
}

static void read_options(lua_State *L, struct begin *b)
{
	static const char *const names[] = { "timeout", "isolation",
					     "readonly", NULL };
	static const char *const levels[] = { "read committed",
		"repeatable read", "serializable", NULL };
	const char *level;
	int i = 0, readonly;

	lx_opt_begin(L, 2, names);
	readonly = !lua_isnil(L, 2) && lx_opt_bool(L, 2, "readonly", 0);
	level = lua_isnil(L, 2) ? NULL : lx_opt_str(L, 2, "isolation", NULL);
	while (level && levels[i] && strcmp(level, levels[i]) != 0)
		i++;
	if (level && !levels[i])
		err_raisef(L, ERR_USAGE, "", "option 'isolation' is 'read "
			   "committed', 'repeatable read' or 'serializable', "
			   "not '%s'", level);
	snprintf(b->text, sizeof b->text, "begin%s%s%s", level ?
		 " isolation level " : "", level ? level : "",
		 readonly ? " read only" : "");
	b->tx->readonly = readonly;
	if (!lua_isnil(L, 2)) {
		lua_getfield(L, 2, "timeout");
		b->timeout = lx_optseconds(L, lua_gettop(L), b->timeout);
		b->tx->timeout = b->timeout;
	}
	b->until = loop_now() + b->timeout;
	lua_settop(L, 4);
}

/* begin(client, opts) -> tx */
static int l_begin(lua_State *L)
{
	struct pg_client *pc = luaL_checkudata(L, 1, PG_CLIENT);
	struct pg_conn *c;
	struct begin *b;

	pg_check(L, 1, &c);
	lua_settop(L, 2);
	b = (struct begin *)op_new(L, &begin_class, sizeof *b);
	b->pc = pc;
	b->timeout = pc->o.timeout;
	b->tx = lua_newuserdatauv(L, sizeof *b->tx, 1);
	memset(b->tx, 0, sizeof *b->tx);
	luaL_setmetatable(L, PG_TX);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	read_options(L, b);
	return begin_k(L, LUA_OK, (lua_KContext)b);
}

/* --- who it is ---------------------------------------------------------------------- */
static int refresh_push(lua_State *L, struct begin *b)
{
	struct pg_conn *c = b->c;
	const char *tls = PQsslInUse(c->pg) ?
		PQsslAttribute(c->pg, "protocol") : NULL;

	lua_pushstring(L, pg_where(c));
	lua_pushboolean(L, c->pooled);
	if (tls)
		lua_pushstring(L, tls);
	else
		lua_pushboolean(L, 0);
	lua_pushstring(L, c->ident);
	lua_pushstring(L, c->console ? "pooler" : c->standby ? "standby" :
		       "primary");
	b->c = NULL;
	pg_unlease(c);
	return 5;
}

static int send_greet(struct pg_conn *c, void *arg)
{
	(void)arg;
	c->asked_at = loop_now();
	return PQsendQuery(c->pg, pg_greet_text(c));
}

static int refresh_k(lua_State *L, int status, lua_KContext ctx)
{
	struct begin *b = (struct begin *)ctx;
	struct pg_conn *c;
	struct pg_ask a;
	struct err e;

	(void)status;
	for (;;) {
		while (!b->c)
			pg_await_lease(L, b->pc, &b->c, b->until, NULL, NULL,
				       ctx, refresh_k);
		if (b->c->console || b->c->ident_at >= b->began)
			return refresh_push(L, b);
		if (!b->asked) {
			memset(&a, 0, sizeof a);
			a.c = b->c;
			a.reply = &b->reply;
			a.send = send_greet;
			a.row_step = -1;
			a.until = b->until;
			a.timeout = b->timeout;
			a.verb = "identity";
			a.retry = 1;
			b->asked = 1;
			pg_await(L, &a, ctx, refresh_k);
		}
		b->asked = 0;
		if (!b->reply.lost)
			break;
		c = b->c;
		b->c = NULL;
		pg_unlease(c);
	}
	if (pg_greet_read(b->c, b->reply.res[0], &e) < 0)
		err_raise(L, &e);
	return refresh_push(L, b);
}

/* refresh(client) -> address, pooled, tls, ident, role: read from the server
 * now */
static int l_refresh(lua_State *L)
{
	struct pg_conn *c;
	struct pg_client *pc = pg_check(L, 1, &c);
	struct begin *b;

	lua_settop(L, 1);
	b = (struct begin *)op_new(L, &begin_class, sizeof *b);
	b->pc = pc;
	b->timeout = pc->o.timeout;
	b->began = loop_now();
	b->until = b->began + b->timeout;
	return refresh_k(L, LUA_OK, (lua_KContext)b);
}

/* --- COMMIT, ROLLBACK -------------------------------------------------------------------- */
static int push_end(lua_State *L, struct pg_call *call)
{
	(void)L;
	effect_end(&call->effect, OUTCOME_DONE, -1, -1, NULL);
	pg_call_give_back(call);
	return 0;
}

/* The call that ends tx; it has the connection from now. */
static struct pg_call *end_call(lua_State *L, const char *verb)
{
	struct pg_tx *tx = check(L);
	struct pg_conn *c;
	struct pg_client *pc = pg_check(L, 1, &c);
	struct pg_call *call;

	lua_settop(L, 1);
	call = pg_call_make(L, pc, PG_END);
	call->push = push_end;
	snprintf(call->verb, sizeof call->verb, "%s", verb);
	call->sql = verb;
	call->len = strlen(verb);
	call->verdict.cls = tx->wrote && *verb == 'C' ? EFFECT_WRITE :
		EFFECT_READ;
	if (tx->timeout > 0)
		call->timeout = tx->timeout;
	call->until = loop_now() + call->timeout;
	call->c = c;
	tx->c = NULL;
	return call;
}

/* commit(tx) */
static int l_commit(lua_State *L)
{
	struct pg_call *call = end_call(L, "COMMIT");

	if (call->c->pg &&
	    PQtransactionStatus(call->c->pg) == PQTRANS_INERROR)
		err_raisef(L, ERR_SERVER, "25P02", "a statement of the "
			   "transaction failed: it was rolled back, nothing of "
			   "it was applied");
	call->stage = PG_S_LEASE;
	return pg_call_go(L, call);
}

static int drop_k(lua_State *L, int status, lua_KContext ctx)
{
	(void)L;
	(void)status;
	(void)ctx;
	return 0;
}

static int send_rollback(struct pg_conn *c, void *arg)
{
	(void)arg;
	return PQsendQuery(c->pg, "rollback");
}

/* rollback(tx): waits until it is done; one whose connection is gone has been
 * rolled back by the server */
static int l_rollback(lua_State *L)
{
	struct pg_tx *tx = check(L);
	struct effect_call what;
	struct pg_call *call;
	struct pg_ask a;

	if (!tx->c)
		return 0;
	if (!tx->c->pc || tx->c->job)
		return l_tx_close(L);
	call = end_call(L, "ROLLBACK");
	memset(&what, 0, sizeof what);
	what.target = call->pc->target;
	what.cls = EFFECT_READ;
	what.verb = "ROLLBACK";
	what.request = "rollback";
	what.request_len = 8;
	if (effect_begin(L, &call->effect, &what) == EFFECT_GO)
		effect_end(&call->effect, OUTCOME_DONE, -1, -1, NULL);
	pg_call_ask(call, &a, send_rollback, 0);
	a.retry = a.keep = 1;
	a.until = loop_now() + 2;
	pg_await(L, &a, (lua_KContext)call, drop_k);
	return 0;
}

void pg_open_tx(lua_State *L)
{
	static const luaL_Reg tx[] = {
		{ "__gc", l_tx_close }, { "__close", l_tx_close },
		{ "__tostring", l_tx_tostring }, { NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "begin", l_begin }, { "commit", l_commit },
		{ "rollback", l_rollback }, { "refresh", l_refresh },
		{ NULL, NULL }
	};

	lx_metatable(L, PG_TX, NULL, tx);
	lx_setfuncs(L, funcs);
}
