/*
 * redis_client: a target's connections. Calls that need a connection, a class
 * or a fresh identity wait here until the pump has got it; connections are
 * opened on demand, and again after a loss. Sends no command of a user's.
 */
#include "bind/redis.h"

#include <stdio.h>
#include <string.h>

#include "core/loop.h"
#include "core/lx.h"
#include "core/mem.h"

struct redis_lease {
	struct redis_conn *c;	/* owned; NULL once given back */
};

const char *redis_where(const struct redis_conn *c)
{
	return c->peer[0] ? c->peer : c->rc->target->name;
}

struct redis_client *redis_check(lua_State *L, int arg, struct redis_conn **c)
{
	struct redis_lease *lease = luaL_testudata(L, arg, REDIS_LEASE);
	struct redis_client *rc;

	*c = NULL;
	if (!lease) {
		rc = luaL_checkudata(L, arg, REDIS_CLIENT);
	} else if (!lease->c) {
		err_raisef(L, ERR_USAGE, "", "this transaction has ended");
	} else {
		rc = lease->c->rc;
		*c = lease->c;
	}
	if (rc->closed)
		err_raisef(L, ERR_USAGE, "", "target '%s' is closed",
			   rc->target->name);
	return rc;
}

/* --- what is missing ------------------------------------------------------ */
static int class_known(struct redis_client *rc, const char *name)
{
	struct redis_known *k = redis_known(&rc->classes, name);

	return k && (k->flags & ~(unsigned)REDIS_F_ASKED);
}

int redis_usable(struct redis_conn *c, const char *name, double after)
{
	return c->state == REDIS_READY && !redis_conn_stuck(c) &&
	       (!name[0] || class_known(c->rc, name)) &&
	       (after <= 0 || c->rc->ident_at >= after);
}

static void unlink_wait(struct redis_wait *w)
{
	struct redis_wait **at = &w->rc->waits;

	if (!w->linked)
		return;
	while (*at && *at != w)
		at = &(*at)->next;
	if (*at)
		*at = w->next;
	w->linked = 0;
}

static void end_wait(struct redis_wait *w, const struct err *e)
{
	unlink_wait(w);
	if (e)
		w->why = *e;
	op_done(&w->op);
}

/* Asks for what w misses on its connection, which is up or greeting. */
static int ask(struct redis_wait *w)
{
	struct redis_conn *c = w->c;
	struct redis_known *k;

	if (w->name[0] && !class_known(w->rc, w->name)) {
		k = redis_known(&w->rc->classes, w->name);
		if (!(k && (k->flags & REDIS_F_ASKED)) &&
		    redis_learn(c, w->name) < 0)
			return -1;
	}
	if (c->state == REDIS_READY && w->ident_after > 0 &&
	    w->rc->ident_at < w->ident_after && !c->asking)
		return redis_greet(c, 0);
	return 0;
}

/* Moves one wait on; 1 when it ended (the list has changed). */
static int pump_wait(struct redis_wait *w)
{
	struct redis_conn *c = w->c;
	struct err e;

	if (redis_usable(c, w->name, w->ident_after)) {
		end_wait(w, NULL);
		return 1;
	}
	if (c->state == REDIS_READY && redis_conn_stuck(c)) {
		err_set(&e, ERR_CONNECT, "ETIMEDOUT", "connection to '%s' is "
			"stuck: its last reply is overdue", redis_where(c));
		redis_conn_down(c, &e);
		return 1;
	}
	if (c->state == REDIS_DOWN && redis_conn_start(c, &e) < 0) {
		end_wait(w, &e);
		return 1;
	}
	if ((c->state == REDIS_READY || c->state == REDIS_GREETING) &&
	    ask(w) < 0) {
		err_set(&e, ERR_LIMIT, "ENOMEM", "out of memory");
		end_wait(w, &e);
		return 1;
	}
	return 0;
}

void redis_pump(struct redis_client *rc)
{
	struct redis_wait *w, *next;
	struct err e;

	rc->again = 1;
	if (rc->pumping || rc->closed)
		return;
	rc->pumping = 1;
	while (rc->again) {
		rc->again = 0;
		for (w = rc->waits; w && !rc->again; w = next) {
			next = w->next;
			if (pump_wait(w))
				rc->again = 1;
		}
		if (!rc->again && rc->resend &&
		    rc->shared.state == REDIS_DOWN &&
		    redis_conn_start(&rc->shared, &e) < 0)
			redis_resend_fail(rc, &e);
	}
	rc->pumping = 0;
}

void redis_client_up(struct redis_conn *c)
{
	if (c == &c->rc->shared)
		redis_resend(c->rc);
	redis_pump(c->rc);
}

/* Waits on a connection that could not be opened fail; one that was lost is
 * opened again, once for each wait. */
static void fail_waits(struct redis_conn *c, const struct err *e,
		       int was_ready)
{
	struct redis_wait *w = c->rc->waits, *next;

	for (; w; w = next) {
		next = w->next;
		if (w->c == c && (!was_ready || w->tries++ > 0))
			end_wait(w, e);
	}
}

void redis_client_down(struct redis_conn *c, const struct err *e,
		       int was_ready)
{
	struct redis_client *rc = c->rc;

	if (c->dead || rc->closed)
		return;
	fail_waits(c, e, was_ready);
	if (c == &rc->shared && !was_ready)
		redis_resend_fail(rc, e);
	if (c->idle)
		redis_unlease(c, 0);
	redis_pump(rc);
}

/* --- dedicated connections -------------------------------------------------- */
struct redis_conn *redis_lease(struct redis_client *rc, struct err *e)
{
	struct redis_conn *c;

	for (c = rc->dedicated; c; c = c->next) {
		if (c->idle && c->state == REDIS_READY) {
			c->idle = 0;
			return c;
		}
	}
	if (rc->n_dedicated >= REDIS_DEDICATED) {
		err_set(e, ERR_LIMIT, "", "%d connections of '%s' are in use "
			"by blocking calls", rc->n_dedicated,
			rc->target->name);
		return NULL;
	}
	c = mem_alloc(sizeof *c);
	if (!c) {
		err_set(e, ERR_LIMIT, "ENOMEM", "out of memory to connect");
		return NULL;
	}
	redis_conn_init(c, rc);
	snprintf(c->peer, sizeof c->peer, "%s", rc->shared.peer);
	c->dedicated = 1;
	c->next = rc->dedicated;
	rc->dedicated = c;
	rc->n_dedicated++;
	return c;
}

void redis_unlease(struct redis_conn *c, int clean)
{
	struct redis_client *rc = c->rc;
	struct redis_conn **at = &rc->dedicated, *i;
	int idle = 0;

	if (c->dead)
		return;
	for (i = rc->dedicated; i; i = i->next)
		idle += i->idle;
	if (clean && c->state == REDIS_READY && !c->head && !c->pushing &&
	    idle < REDIS_IDLE) {
		c->idle = 1;
		return;
	}
	while (*at && *at != c)
		at = &(*at)->next;
	if (*at) {
		*at = c->next;
		rc->n_dedicated--;
	}
	redis_conn_free(c);
}

/* --- waiting ------------------------------------------------------------------ */
static enum op_answer wait_cancel(struct op *op)
{
	struct redis_wait *w = (struct redis_wait *)op;
	struct target *t = w->rc->target;
	enum err_phase phase = redis_conn_phase(w->c);

	unlink_wait(w);
	if (op->err.kind == ERR_TIMEOUT) {
		err_set(&op->err, ERR_TIMEOUT, "", "no connection to '%s' "
			"within %.3g s (phase %s)", redis_where(w->c),
			op->timeout, err_phase_name(phase));
		op->err.outcome = OUTCOME_FAILED;
	}
	op->err.phase = phase;
	snprintf(op->err.target, sizeof op->err.target, "%s", t->name);
	return OP_NOW;
}

/* The attempt left the process: it gets a record. */
static int wait_push(lua_State *L, struct op *op)
{
	struct redis_wait *w = (struct redis_wait *)op;
	struct effect_call call;
	struct effect f;
	struct err e = w->why;

	if (e.kind == ERR_NONE)
		return 0;
	memset(&call, 0, sizeof call);
	call.target = w->rc->target;
	call.cls = EFFECT_READ;
	call.verb = "CONNECT";
	call.request = redis_where(w->c);
	call.request_len = strlen(call.request);
	call.timeout = w->rc->o.connect_timeout;
	e.outcome = OUTCOME_FAILED;
	snprintf(e.target, sizeof e.target, "%s", call.target->name);
	if (effect_begin(L, &f, &call) == EFFECT_GO)
		effect_end(&f, OUTCOME_FAILED, -1, -1, &e);
	err_raise(L, &e);
}

static void wait_release(struct op *op)
{
	unlink_wait((struct redis_wait *)op);
}

static const struct op_class wait_class = {
	"redis connection", wait_cancel, wait_push, wait_release
};

/* --- one turn of the loop: lets it see what came while Lua ran ------------- */
struct turn_op {
	struct op op;
	struct loop_timer *timer;	/* owned */
};

static void on_turn(void *arg)
{
	struct turn_op *turn = arg;

	op_done(&turn->op);
}

static int turn_push(lua_State *L, struct op *op)
{
	(void)L;
	(void)op;
	return 0;
}

static void turn_release(struct op *op)
{
	loop_timer_free(((struct turn_op *)op)->timer);
}

static const struct op_class turn_class = {
	"redis turn", NULL, turn_push, turn_release
};

/* turn(): waits until the loop has turned once; raises when it is cancelled */
static int l_turn(lua_State *L)
{
	struct turn_op *turn = (struct turn_op *)op_new(L, &turn_class,
							sizeof *turn);

	turn->timer = loop_timer_new(0, 0, on_turn, turn);
	if (!turn->timer)
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory for a timer");
	op_start(&turn->op);
	return op_park(L, &turn->op);
}

void redis_turn(lua_State *L, lua_KContext ctx, lua_KFunction k)
{
	luaL_checkstack(L, 4, NULL);
	lua_pushcfunction(L, l_turn);
	lua_callk(L, 0, 0, ctx, k);
}

struct await {
	struct redis_conn *c;
	const char *name;
	double after, until;
};

/* (await) Parks until the connection is usable. */
static int l_await(lua_State *L)
{
	struct await a = *(struct await *)lua_touserdata(L, 1);
	struct redis_wait *w = (struct redis_wait *)op_new(L, &wait_class,
							   sizeof *w);
	double left = a.until - loop_now();

	w->rc = a.c->rc;
	w->c = a.c;
	snprintf(w->name, sizeof w->name, "%s", a.name);
	w->ident_after = a.after;
	w->next = w->rc->waits;
	w->rc->waits = w;
	w->linked = 1;
	op_start(&w->op);
	op_deadline(&w->op, left > 0 ? left : 0);
	redis_pump(w->rc);
	return op_park(L, &w->op);
}

void redis_await(lua_State *L, struct redis_conn *c, const char *name,
		 double after, double until, lua_KContext ctx, lua_KFunction k)
{
	struct await a = { c, name, after, until };

	luaL_checkstack(L, 4, NULL);
	lua_pushcfunction(L, l_await);
	lua_pushlightuserdata(L, &a);
	lua_callk(L, 1, 0, ctx, k);
}

/* --- the userdata ---------------------------------------------------------------- */
static void client_close(struct redis_client *rc)
{
	struct redis_conn *c;
	struct err e;

	if (rc->closed)
		return;
	err_set(&e, ERR_CANCELLED, "", "target '%s' was closed",
		rc->target ? rc->target->name : "?");
	while (rc->waits)
		end_wait(rc->waits, &e);
	redis_resend_fail(rc, &e);
	rc->closed = 1;
	if (rc->shared.state != REDIS_DOWN)
		redis_conn_down(&rc->shared, &e);
	while ((c = rc->dedicated)) {
		if (c->state != REDIS_DOWN)
			redis_conn_down(c, &e);
		/* a lease in Lua's hands frees its own */
		if (rc->dedicated == c) {
			rc->dedicated = c->next;
			redis_conn_stop(c);
			if (c->idle)
				redis_conn_free(c);
		}
	}
	tls_ctx_free(rc->tls);
	rc->tls = NULL;
	buf_release(&rc->spare);
}

/* client:close() */
static int l_client_close(lua_State *L)
{
	struct redis_client *rc = luaL_checkudata(L, 1, REDIS_CLIENT);

	client_close(rc);
	return 0;
}

static int l_client_gc(lua_State *L)
{
	struct redis_client *rc = luaL_checkudata(L, 1, REDIS_CLIENT);

	client_close(rc);
	redis_options_release(&rc->o);
	mem_free(rc->classes.at);
	rc->classes.at = NULL;
	rc->classes.cap = rc->classes.used = 0;
	return 0;
}

/* tostring(client) -> "NAME (redis ADDRESS)" */
static int l_client_tostring(lua_State *L)
{
	struct redis_client *rc = luaL_checkudata(L, 1, REDIS_CLIENT);

	lua_pushfstring(L, "%s (redis%s%s)", rc->target->name,
			rc->target->address[0] ? " " : "",
			rc->target->address);
	return 1;
}

/* connect(target, options) -> client; connects when first used */
static int l_connect(lua_State *L)
{
	struct target *t = target_check(L, 1);
	struct redis_client *rc;

	rc = lua_newuserdatauv(L, sizeof *rc, 1);
	memset(rc, 0, sizeof *rc);
	rc->target = t;
	redis_conn_init(&rc->shared, rc);
	buf_init(&rc->spare);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	luaL_setmetatable(L, REDIS_CLIENT);
	redis_options_read(L, 2, &rc->o);
	if (rc->o.path)
		snprintf(t->address, sizeof t->address, "%s", rc->o.path);
	else if (rc->o.addr.host)
		net_name(t->address, sizeof t->address, rc->o.addr.host,
			 rc->o.addr.port);
	return 1;
}

/* target(client or lease) -> the target */
static int l_target(lua_State *L)
{
	struct redis_conn *c;

	redis_check(L, 1, &c);
	if (c)
		lua_getiuservalue(L, 1, 1);	/* -- client */
	else
		lua_pushvalue(L, 1);
	lua_getiuservalue(L, -1, 1);
	return 1;
}

/* db(client or lease) -> number of its database */
static int l_db(lua_State *L)
{
	struct redis_conn *c;

	lua_pushinteger(L, redis_check(L, 1, &c)->o.db);
	return 1;
}

static int refresh_k(lua_State *L, int status, lua_KContext ctx)
{
	struct redis_conn *c;
	struct redis_client *rc = redis_check(L, 1, &c);
	double asked = lua_tonumber(L, 2);

	(void)status;
	c = c ? c : &rc->shared;
	while (!redis_usable(c, "", asked))
		redis_await(L, c, "", asked, asked + rc->o.timeout, ctx,
			    refresh_k);
	lua_pushstring(L, rc->target->identity);
	lua_pushstring(L, rc->target->role);
	lua_pushstring(L, redis_where(c));
	return 3;
}

/* refresh(client) -> identity, role, address: read from the server now */
static int l_refresh(lua_State *L)
{
	lua_settop(L, 1);
	lua_pushnumber(L, loop_now());
	return refresh_k(L, LUA_OK, 0);
}

/* --- leases: a connection of one's own, for WATCH ----------------------------------- */
/* lease(client) -> lease */
static int l_lease(lua_State *L)
{
	struct redis_conn *c;
	struct redis_client *rc = redis_check(L, 1, &c);
	struct redis_lease *lease;
	struct err e;

	lease = lua_newuserdatauv(L, sizeof *lease, 1);
	lease->c = NULL;
	luaL_setmetatable(L, REDIS_LEASE);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	lease->c = redis_lease(rc, &e);
	if (!lease->c)
		return err_raise(L, &e);
	lease->c->used = lease->c->state == REDIS_READY;
	return 1;
}

/* lease_end(lease, clean): clean when nothing is watched on it any more */
static int l_lease_end(lua_State *L)
{
	struct redis_lease *lease = luaL_checkudata(L, 1, REDIS_LEASE);
	struct redis_conn *c = lease->c;

	lease->c = NULL;
	if (c && c->rc->closed)
		redis_conn_free(c);
	else if (c)
		redis_unlease(c, lua_toboolean(L, 2) == 1 &&
			      lua_isboolean(L, 2));
	return 0;
}

void redis_open_client(lua_State *L)
{
	static const luaL_Reg client[] = {
		{ "__gc", l_client_gc }, { "__tostring", l_client_tostring },
		{ NULL, NULL }
	};
	static const luaL_Reg lease[] = {
		{ "__gc", l_lease_end }, { "__close", l_lease_end },
		{ NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "connect", l_connect }, { "close", l_client_close },
		{ "target", l_target }, { "db", l_db },
		{ "refresh", l_refresh }, { "lease", l_lease },
		{ "lease_end", l_lease_end }, { NULL, NULL }
	};

	lx_metatable(L, REDIS_CLIENT, NULL, client);
	lx_metatable(L, REDIS_LEASE, NULL, lease);
	lx_setfuncs(L, funcs);
}
