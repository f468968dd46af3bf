/*
 * pg_greet: who the server is, asked when a connection is new and again when
 * that is too long ago: system identifier, timeline, primary or standby, and
 * whether a pooler stands between. Tells the target. Sends nothing else.
 */
#include "bind/pg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind/pg_find.h"

/* The timeline of a primary is in the name of its WAL file: the control file
 * learns it only with the checkpoint after a promotion. */
#define OF_PRIMARY \
	"('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))" \
	"::bit(32)::int"
#define OF_STANDBY \
	"coalesce((select nullif(received_tli, 0) from pg_stat_wal_receiver), " \
	"(select nullif(min_recovery_end_timeline, 0) " \
	"from pg_control_recovery()), " \
	"(select timeline_id from pg_control_checkpoint()))"
#define SYSTEM "select (pg_control_system()).system_identifier, "
/* A crash resets what is counted: after it numbers of transactions may come again,
 * those that were not yet on disk. */
#define CRASH "pg_stat_get_bgwriter_stat_reset_time()::text"
#define REST \
	"pg_is_in_recovery(), pg_backend_pid(), current_database(), " \
	"current_setting('standard_conforming_strings'), " \
	"current_setting('DateStyle'), " CRASH
#define COLUMNS 8

/* The first question: a new session plans the other's view for a while. */
static const char primary[] = SYSTEM
	"case when pg_is_in_recovery() then null else " OF_PRIMARY " end, " REST;
static const char either[] = SYSTEM
	"case when pg_is_in_recovery() then " OF_STANDBY " else " OF_PRIMARY
	" end, " REST;
/* for a role that may not read the control file */
static const char plain[] = "select null, null, " REST;

static int cell_is(const PGresult *res, int column, const char *text)
{
	return !strcmp(PQgetvalue(res, 0, column), text);
}

static void tell(struct pg_conn *c, const char *identity, const char *role)
{
	struct target *t = c->pc->target;

	snprintf(t->address, sizeof t->address, "%s", c->peer);
	target_seen(t, identity, role);
	c->ident_at = c->asked_at;
}

int pg_greet_read(struct pg_conn *c, PGresult *res, struct err *e)
{
	char identity[224];
	struct pg_error said;

	if (PQresultStatus(res) != PGRES_TUPLES_OK) {
		pg_error_read(&said, res);
		*e = said.e;
		return -1;
	}
	if (PQntuples(res) != 1 || PQnfields(res) != COLUMNS) {
		err_set(e, ERR_PROTOCOL, "", "'%s' does not say who it is",
			pg_where(c));
		return -1;
	}
	if (!c->pc)
		return 0;
	c->standby = cell_is(res, 2, "t");
	c->was_standby |= c->standby;
	c->pooled = strtol(PQgetvalue(res, 0, 3), NULL, 10) !=
		PQbackendPID(c->pg);
	snprintf(c->ident, sizeof c->ident, "system=%s timeline=%s",
		 PQgetisnull(res, 0, 0) ? "?" : PQgetvalue(res, 0, 0),
		 PQgetisnull(res, 0, 1) ? "?" : PQgetvalue(res, 0, 1));
	snprintf(c->crash, sizeof c->crash, "%s", PQgetvalue(res, 0, 7));
	snprintf(identity, sizeof identity, "%s database=%.64s", c->ident,
		 PQgetvalue(res, 0, 4));
	tell(c, identity, c->standby ? "standby" : "primary");
	return 0;
}

static int is_standby(const PGresult *res)
{
	return PQresultStatus(res) == PGRES_TUPLES_OK &&
	       PQntuples(res) == 1 && PQnfields(res) == COLUMNS &&
	       cell_is(res, 2, "t");
}

/* --- the job of a new connection --------------------------------------------------- */
static int needs_set(const PGresult *res)
{
	return !cell_is(res, 5, "on") ||
	       strncmp(PQgetvalue(res, 0, 6), "ISO", 3) != 0;
}

static void on_result(struct pg_job *job, struct pg_conn *c, PGresult *res)
{
	const char *code = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	struct err e;

	(void)job;
	if (code && !strcmp(code, "42501") && !c->plain_ident) {
		c->plain_ident = 1;
		c->again = 1;
	} else if (is_standby(res) && !c->plain_ident && !c->standby) {
		c->standby = 1;		/* its timeline is asked otherwise */
		c->again = 1;
	} else if (pg_greet_read(c, res, &e) < 0) {
		PQclear(res);
		snprintf(e.target, sizeof e.target, "%s",
			 c->pc ? c->pc->target->name : "");
		e.phase = PHASE_AUTH;
		pg_conn_down(c, &e);
		return;
	} else if (needs_set(res)) {
		c->again = 2;
	}
	PQclear(res);
}

static void ready(struct pg_conn *c)
{
	loop_timer_free(c->deadline);
	c->deadline = NULL;
	pg_find_free(c->find);
	c->find = NULL;
	c->state = PG_IDLE;
	c->owner->up(c);
}

static void on_set(struct pg_job *job, struct pg_conn *c, PGresult *res)
{
	(void)job;
	(void)c;
	PQclear(res);
}

static void on_set_done(struct pg_job *job, struct pg_conn *c,
			const struct err *lost)
{
	(void)job;
	if (!lost)
		ready(c);
}

/* The judge reads strings as standard_conforming_strings has it. */
static void send_set(struct pg_conn *c)
{
	struct err e;

	c->own.result = on_set;
	c->own.done = on_set_done;
	pg_conn_begin(c, &c->own, 0);
	pg_conn_go(c, PQsendQuery(c->pg, "set standard_conforming_strings = "
				  "on; set datestyle = 'ISO'"), &e);
}

static void on_done(struct pg_job *job, struct pg_conn *c,
		    const struct err *lost)
{
	int again = c->again;

	(void)job;
	c->again = 0;
	if (lost)
		return;
	if (again == 1)
		pg_greet_send(c);
	else if (again == 2)
		send_set(c);
	else
		ready(c);
}

/* pgbouncer's console speaks no SQL: it is who its version says. */
static void greet_console(struct pg_conn *c)
{
	char identity[128];

	snprintf(identity, sizeof identity, "pgbouncer=%.64s",
		 PQparameterStatus(c->pg, "server_version"));
	c->pooled = 1;
	c->asked_at = loop_now();
	snprintf(c->ident, sizeof c->ident, "%s", identity);
	tell(c, identity, "pooler");
	ready(c);
}

const char *pg_greet_text(const struct pg_conn *c)
{
	return c->plain_ident ? plain : c->standby || c->was_standby ? either :
		primary;
}

int pg_greet_send(struct pg_conn *c)
{
	struct err e;

	if (c->console) {
		greet_console(c);
		return 0;
	}
	c->own.row_step = -1;
	c->own.result = on_result;
	c->own.copy = NULL;
	c->own.done = on_done;
	c->asked_at = loop_now();
	pg_conn_begin(c, &c->own, 0);
	return pg_conn_go(c, PQsendQuery(c->pg, pg_greet_text(c)), &e);
}
