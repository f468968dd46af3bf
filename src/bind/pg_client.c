/*
 * pg_client: a target's connections: leased, given back, opened on demand and
 * again after a loss; and the userdata that owns them. What is given back with
 * something open on it is rolled back first. Decides nothing about calls.
 */
#include "bind/pg.h"

#include <stdio.h>
#include <string.h>

#include "core/lx.h"
#include "core/mem.h"

#define CLEAN_TIME 2.0		/* seconds for a rollback beside the program */

/* --- the pool ---------------------------------------------------------------- */
static void unlink_conn(struct pg_client *pc, struct pg_conn *c)
{
	struct pg_conn **at = &pc->conns;

	while (*at && *at != c)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = c->next;
	c->next = NULL;
	pc->n_conns--;
}

void pg_client_up(struct pg_conn *c)
{
	c->pc->n_opening--;
	pg_pump(c->pc);
}

void pg_client_down(struct pg_conn *c, const struct err *e, enum pg_state was)
{
	struct pg_client *pc = c->pc;
	int opening = was == PG_FINDING || was == PG_OPENING ||
		      was == PG_GREETING;

	if (opening)
		pc->n_opening--;
	else if (!pc->closed)
		target_lost(pc->target, e);
	unlink_conn(pc, c);
	c->pc = NULL;
	/* an open one has told whoever holds it; a new one its waiter, but not
	 * one that came after it had begun: it gets an attempt of its own */
	if (opening && pc->waits && !pc->closed &&
	    c->began >= pc->waits->began)
		pg_wait_end(pc->waits, e);
	pg_conn_free(c);
	pg_pump(pc);
}

static int start_one(struct pg_client *pc, struct err *e)
{
	struct pg_conn *c = pg_conn_new(pc);

	if (!c) {
		err_set(e, ERR_LIMIT, "ENOMEM", "out of memory to connect");
		return -1;
	}
	c->next = pc->conns;
	pc->conns = c;
	pc->n_conns++;
	if (pg_conn_open(c, e) == 0) {
		pc->n_opening++;
		return 0;
	}
	unlink_conn(pc, c);
	c->pc = NULL;
	pg_conn_free(c);
	return -1;
}

struct pg_conn *pg_lease(struct pg_client *pc)
{
	struct pg_conn *c, *next;

	for (c = pc->conns; c; c = next) {
		next = c->next;
		if (c->state != PG_IDLE)
			continue;
		c->held = 1;
		c->state = PG_LEASED;
		if (!pg_conn_gone(c))
			return c;
		/* gone while idle: pg_client_down has unlinked it */
		c->held = 0;
		if (c->dead)
			pg_conn_free(c);
		next = pc->conns;
	}
	return NULL;
}

static int count_waits(const struct pg_client *pc)
{
	const struct pg_wait *w;
	int n = 0;

	for (w = pc->waits; w; w = w->next)
		n++;
	return n;
}

static void pump_once(struct pg_client *pc)
{
	struct pg_conn *c;
	struct err e;

	while (pc->waits && (c = pg_lease(pc))) {
		*pc->waits->out = c;
		pg_wait_end(pc->waits, NULL);
		pc->again = 1;
	}
	while (pc->waits && pc->n_opening < count_waits(pc) &&
	       pc->n_conns < pc->o.pool) {
		if (start_one(pc, &e) == 0)
			continue;
		pg_wait_end(pc->waits, &e);
		pc->again = 1;
	}
}

void pg_pump(struct pg_client *pc)
{
	pc->again = 1;
	if (pc->pumping)
		return;
	pc->pumping = 1;
	while (pc->again && !pc->closed) {
		pc->again = 0;
		pump_once(pc);
	}
	pc->pumping = 0;
}

/* --- giving back ---------------------------------------------------------------- */
static void drop_result(struct pg_job *job, struct pg_conn *c, PGresult *res)
{
	(void)job;
	(void)c;
	PQclear(res);
}

static void cleaned(struct pg_job *job, struct pg_conn *c,
		    const struct err *lost)
{
	(void)job;
	if (!lost)
		pg_unlease(c);
}

static void clean(struct pg_conn *c)
{
	struct err e;

	c->own.row_step = -1;
	c->own.result = drop_result;
	c->own.copy = NULL;
	c->own.done = cleaned;
	pg_conn_begin(c, &c->own, 0);
	pg_conn_bound(c, CLEAN_TIME);
	c->single = 0;
	if (c->state != PG_DOWN)
		pg_conn_go(c, PQsendQuery(c->pg, PQtransactionStatus(c->pg) ==
					  PQTRANS_IDLE ? "" : "rollback"), &e);
}

/* Its job has lost whoever waited for it: what comes is thrown away; what was
 * to be sent is given up. */
static int copy_drop(struct pg_job *job, struct pg_conn *c)
{
	char *row;
	int n;

	(void)job;
	if (c->copying == 2)
		return PQputCopyEnd(c->pg, "given up") != 0;
	while ((n = PQgetCopyData(c->pg, &row, 1)) > 0)
		PQfreemem(row);
	return n < 0;
}

static void nobody(struct pg_job *job, struct pg_conn *c,
		   const struct err *lost)
{
	(void)job;
	(void)c;
	(void)lost;
}

void pg_conn_orphan(struct pg_conn *c)
{
	if (!c->job)
		return;
	if (c->job != &c->own)
		c->own = *c->job;
	c->own.result = drop_result;
	c->own.copy = copy_drop;
	c->own.done = nobody;
	c->job = &c->own;
	pg_conn_pause(c, 0);
}

void pg_unlease(struct pg_conn *c)
{
	struct err e;

	c->held = 0;
	c->sink = NULL;
	if (c->state == PG_DOWN) {
		if (c->dead || !c->pc)
			pg_conn_free(c);
		return;
	}
	if (!c->pc) {
		pg_conn_stop(c);
		pg_conn_free(c);
		return;
	}
	pg_conn_enter(c);
	c->state = PG_CLEANING;
	if (c->job) {
		pg_conn_orphan(c);
		c->own.done = cleaned;
		pg_conn_cancel(c, CLEAN_TIME);
		/* what is here already makes no event */
		if (c->pg)
			pg_conn_drain(c);
	} else if (c->cancel) {
		/* it must not meet the next one's statement */
	} else if (c->tainted) {
		err_set(&e, ERR_CANCELLED, "", "the session was changed");
		pg_conn_down(c, &e);
	} else if (PQtransactionStatus(c->pg) == PQTRANS_IDLE && !c->single) {
		loop_timer_free(c->kill);
		c->kill = NULL;
		c->state = PG_IDLE;
		pg_pump(c->pc);
	} else if (PQtransactionStatus(c->pg) == PQTRANS_UNKNOWN) {
		err_set(&e, ERR_CONNECT, "", "the connection was lost");
		pg_conn_down(c, &e);
	} else {
		clean(c);
	}
	pg_conn_leave(c);
}

/* --- the userdata ----------------------------------------------------------------- */
static _Noreturn void raise_lost(lua_State *L)
{
	struct err e;

	err_set(&e, ERR_CONNECT, "", "the connection of this transaction was "
		"lost: nothing of it was applied");
	e.phase = PHASE_SEND;
	e.outcome = OUTCOME_FAILED;
	err_raise(L, &e);
}

struct pg_client *pg_check(lua_State *L, int arg, struct pg_conn **c)
{
	struct pg_tx *tx = luaL_testudata(L, arg, PG_TX);
	struct pg_client *pc;

	*c = NULL;
	if (!tx) {
		pc = luaL_checkudata(L, arg, PG_CLIENT);
	} else if (!tx->c) {
		err_raisef(L, ERR_USAGE, "", "this transaction has ended");
	} else if (!tx->c->pc) {
		raise_lost(L);
	} else {
		pc = tx->c->pc;
		*c = tx->c;
	}
	if (pc->closed)
		err_raisef(L, ERR_USAGE, "", "target '%s' is closed",
			   pc->target->name);
	return pc;
}

static void client_close(struct pg_client *pc)
{
	struct pg_conn *c;
	struct err e;

	if (pc->closed)
		return;
	pc->closed = 1;
	err_set(&e, ERR_CANCELLED, "", "target '%s' was closed",
		pc->target ? pc->target->name : "?");
	while (pc->waits)
		pg_wait_end(pc->waits, &e);
	while ((c = pc->conns)) {
		pg_conn_enter(c);
		if (c->job && c->state != PG_GREETING)
			pg_conn_cancel(c, 0.1);
		if (c->state != PG_DOWN)
			pg_conn_down(c, &e);
		if (pc->conns == c) {
			unlink_conn(pc, c);
			c->pc = NULL;
			pg_conn_free(c);
		}
		pg_conn_leave(c);
	}
	pg_judge_forget(pc);
}

/* close(client) */
static int l_close(lua_State *L)
{
	client_close(luaL_checkudata(L, 1, PG_CLIENT));
	return 0;
}

static int l_client_gc(lua_State *L)
{
	struct pg_client *pc = luaL_checkudata(L, 1, PG_CLIENT);

	client_close(pc);
	pg_options_release(&pc->o);
	return 0;
}

/* tostring(client) -> "NAME (postgres ADDRESS)" */
static int l_client_tostring(lua_State *L)
{
	struct pg_client *pc = luaL_checkudata(L, 1, PG_CLIENT);

	lua_pushfstring(L, "%s (postgres%s%s)", pc->target->name,
			pc->target->address[0] ? " " : "",
			pc->target->address);
	return 1;
}

static int is_console(const struct pg_options *o)
{
	const char *name = keywords_get(&o->words, "dbname");

	return name && !strcmp(name, "pgbouncer");
}

/* connect(target, options) -> client; connects when first used */
static int l_connect(lua_State *L)
{
	struct target *t = target_check(L, 1);
	struct pg_client *pc;

	pc = lua_newuserdatauv(L, sizeof *pc, 1);
	memset(pc, 0, sizeof *pc);
	pc->target = t;
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	luaL_setmetatable(L, PG_CLIENT);
	pg_options_read(L, 2, &pc->o);
	pc->console = is_console(&pc->o);
	if (pc->o.n_hosts)
		snprintf(t->address, sizeof t->address, "%.120s%s%.20s",
			 pc->o.hosts[0].host,
			 *pc->o.hosts[0].port ? ":" : "",
			 pc->o.hosts[0].port);
	return 1;
}

/* target(client) -> the target */
static int l_target(lua_State *L)
{
	struct pg_conn *c;

	pg_check(L, 1, &c);
	lua_getiuservalue(L, 1, 1);
	if (c) {
		lua_getiuservalue(L, -1, 1);
		lua_remove(L, -2);
	}
	return 1;
}

/* cancel(client) -> how many statements were asked to end */
static int l_cancel(lua_State *L)
{
	struct pg_conn *c;
	struct pg_client *pc = pg_check(L, 1, &c);
	int n = 0;

	for (c = pc->conns; c; c = c->next) {
		if (c->state != PG_LEASED || !c->job)
			continue;
		pg_conn_cancel(c, 1e6);
		n++;
	}
	lua_pushinteger(L, n);
	return 1;
}

/* keyword(client, name) -> what it was given, or nil; no secrets */
static int l_keyword(lua_State *L)
{
	struct pg_client *pc = luaL_checkudata(L, 1, PG_CLIENT);
	const char *name = lx_checkcstr(L, 2);

	lua_pushstring(L, strstr(name, "password") ? NULL :
		       keywords_get(&pc->o.words, name));
	return 1;
}

void pg_open_client(lua_State *L)
{
	static const luaL_Reg client[] = {
		{ "__gc", l_client_gc }, { "__tostring", l_client_tostring },
		{ NULL, NULL }
	};
	static const luaL_Reg funcs[] = {
		{ "connect", l_connect }, { "close", l_close },
		{ "target", l_target }, { "cancel", l_cancel },
		{ "keyword", l_keyword },
		{ NULL, NULL }
	};

	lx_metatable(L, PG_CLIENT, NULL, client);
	lx_setfuncs(L, funcs);
}
