/*
 * pg_error: what the server or libpq says went wrong, as our error: kind by
 * SQLSTATE, the place in the SQL as a line with a caret. Owns the mapping; must
 * not decide what became of a call (its outcome).
 */
#include "bind/pg.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "core/lx.h"
#include "core/utf8.h"


/* Prefixes of SQLSTATE, the longest first. */
static const struct {
	const char *code;
	enum err_kind kind;
	const char *hint;
} states[] = {
	{ "25006", ERR_REFUSED, "a read may not write: use exec for it" },
	{ "28", ERR_AUTH, "" },
	{ "42501", ERR_AUTH, "the role lacks the privilege" },
	{ "57P03", ERR_CONNECT, "the server is starting or stopping" },
	{ "57P01", ERR_CONNECT, "the session was ended by the server's "
		"administrator or its shutdown" },
	{ "57P02", ERR_CONNECT, "" },
	{ "53300", ERR_CONNECT, "max_connections are in use" },
	{ "08P01", ERR_SERVER, "" },	/* pgbouncer's for anything */
	{ "08", ERR_CONNECT, "" },
	{ "3D000", ERR_CONNECT, "" },
};

static enum err_kind kind_of(const char *code, const char **hint)
{
	size_t i;

	*hint = "";
	for (i = 0; i < sizeof states / sizeof *states; i++) {
		if (!strncmp(code, states[i].code, strlen(states[i].code))) {
			*hint = states[i].hint;
			return states[i].kind;
		}
	}
	return ERR_SERVER;
}

static void copy_field(char *out, size_t size, const PGresult *res, int field)
{
	const char *s = PQresultErrorField(res, field);

	snprintf(out, size, "%s", s ? s : "");
}

static void read_object(struct pg_error *e, const PGresult *res)
{
	static const struct { int field; const char *name; } parts[] = {
		{ PG_DIAG_CONSTRAINT_NAME, "constraint" },
		{ PG_DIAG_TABLE_NAME, "table" },
		{ PG_DIAG_COLUMN_NAME, "column" },
	};
	size_t i;

	for (i = 0; i < sizeof parts / sizeof *parts; i++) {
		const char *s = PQresultErrorField(res, parts[i].field);

		if (s && *s) {
			snprintf(e->object, sizeof e->object, "%s %s",
				 parts[i].name, s);
			return;
		}
	}
}

/* A deadline of the server's own is not one of ours. */
static void explain_cancel(struct pg_error *e)
{
	if (strstr(e->e.message, "statement timeout"))
		snprintf(e->e.hint, sizeof e->e.hint, "the server's own "
			 "statement_timeout, not a deadline of this call");
	else if (strstr(e->e.message, "lock timeout"))
		snprintf(e->e.hint, sizeof e->e.hint, "the server's own "
			 "lock_timeout, not a deadline of this call");
}

void pg_error_read(struct pg_error *e, const PGresult *res)
{
	const char *code = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	const char *hint = PQresultErrorField(res, PG_DIAG_MESSAGE_HINT);
	const char *at = PQresultErrorField(res, PG_DIAG_STATEMENT_POSITION);
	const char *ours;

	memset(e, 0, sizeof *e);
	code = code ? code : "";
	err_set(&e->e, kind_of(code, &ours), code, "%s",
		text ? text : PQresultErrorMessage(res));
	e->e.phase = PHASE_READ;
	snprintf(e->e.hint, sizeof e->e.hint, "%s", hint ? hint : ours);
	copy_field(e->severity, sizeof e->severity, res,
		   PG_DIAG_SEVERITY_NONLOCALIZED);
	copy_field(e->detail, sizeof e->detail, res, PG_DIAG_MESSAGE_DETAIL);
	copy_field(e->context, sizeof e->context, res, PG_DIAG_CONTEXT);
	read_object(e, res);
	if (at && sscanf(at, "%d", &e->position) != 1)
		e->position = 0;
	e->retryable = !strcmp(code, "40001") || !strcmp(code, "40P01");
	if (!strcmp(code, "57014"))
		explain_cancel(e);
}

/* --- libpq's words ---------------------------------------------------------------- */
/* "FATAL:  28P01: password .." -> the code and what follows it. */
static const char *find_code(const char *text, char code[6])
{
	static const char *const words[] = { "FATAL:  ", "ERROR:  ",
					     "PANIC:  " };
	size_t i, k;

	for (i = 0; i < sizeof words / sizeof *words; i++) {
		const char *p = strstr(text, words[i]);

		if (!p)
			continue;
		p += strlen(words[i]);
		for (k = 0; k < 5 && isalnum((unsigned char)p[k]); k++)
			code[k] = p[k];
		code[k] = '\0';
		if (k == 5 && p[5] == ':')
			return p + 7;
		code[0] = '\0';
		return p;
	}
	return NULL;
}

static const struct {
	const char *text, *code;
	enum err_kind kind;
} known[] = {
	{ "Connection refused", "ECONNREFUSED", ERR_CONNECT },
	{ "No such file or directory", "ENOENT", ERR_CONNECT },
	{ "Network is unreachable", "ENETUNREACH", ERR_CONNECT },
	{ "No route to host", "EHOSTUNREACH", ERR_CONNECT },
	{ "Connection reset by peer", "ECONNRESET", ERR_CONNECT },
	{ "no password supplied", "28P01", ERR_AUTH },
	{ "server closed the connection", "EOF", ERR_CONNECT },
	{ "session is read-only", "ROLE", ERR_CONNECT },
	{ "session is not read-only", "ROLE", ERR_CONNECT },
	{ "server is in hot standby mode", "ROLE", ERR_CONNECT },
	{ "server is not in hot standby mode", "ROLE", ERR_CONNECT },
	{ "server does not support SSL", "NOTLS", ERR_TLS },
	{ "server certificate for", "HOSTNAME", ERR_TLS },
	{ "certificate verify failed", "CERTIFICATE", ERR_TLS },
	{ "SSL error", "TLS", ERR_TLS },
	{ "root certificate file", "TLS", ERR_TLS },
	{ "certificate", "TLS", ERR_TLS },
	{ "out of memory", "ENOMEM", ERR_LIMIT },
	{ "invalid", "", ERR_CONFIG },
};

/* The first line that says something, without its full stop. */
static void first_line(char *out, size_t size, const char *p)
{
	size_t n = strcspn(p, "\n");

	while (n && (p[n - 1] == '.' || p[n - 1] == ' '))
		n--;
	snprintf(out, size, "%.*s", (int)(n < size ? n : size - 1), p);
}

/* Of several hosts each has its lines: the last one's. */
static const char *last_attempt(const char *text)
{
	static const char head[] = "\nconnection to server";
	const char *p;

	while ((p = strstr(text, head)))
		text = p + 1;
	return text;
}

/* libpq keeps the reason to itself. */
static void hint_certificate(struct err *e, const char *where)
{
	snprintf(e->hint, sizeof e->hint, "expired, not yet valid, or not by an "
		 "authority of sslrootcert: openssl s_client -starttls postgres "
		 "-connect '%.100s' shows it", where);
}

void pg_error_text(struct err *e, enum err_phase phase, const char *where,
		   const char *text)
{
	char code[8] = "", line[512];
	const char *said, *hint = "", *failed;
	enum err_kind kind = ERR_CONNECT;
	size_t i;

	text = last_attempt(text);
	said = find_code(text, code);
	if (!said) {
		failed = strstr(text, " failed: ");
		said = failed ? failed + 9 : text;
	}
	if (code[0]) {
		kind = kind_of(code, &hint);
		if (kind == ERR_SERVER || kind == ERR_REFUSED)
			kind = ERR_CONNECT;
	}
	for (i = 0; !code[0] && i < sizeof known / sizeof *known; i++) {
		if (!strstr(text, known[i].text))
			continue;
		kind = known[i].kind;
		first_line(line, sizeof line, said);
		err_set(e, kind, known[i].code, "%s '%s': %s", phase ==
			PHASE_WAIT || phase == PHASE_SEND ?
			"lost the connection to" : "cannot connect to",
			where, line);
		e->phase = kind == ERR_TLS ? PHASE_TLS : kind == ERR_AUTH ?
			PHASE_AUTH : phase;
		if (!strcmp(e->code, "CERTIFICATE"))
			hint_certificate(e, where);
		return;
	}
	first_line(line, sizeof line, *said ? said : "the connection was "
		   "closed");
	err_set(e, kind, code, "%s '%s': %s", phase == PHASE_WAIT ||
		phase == PHASE_SEND ? "lost the connection to" :
		"cannot connect to", where, line);
	snprintf(e->hint, sizeof e->hint, "%s", hint);
	e->phase = kind == ERR_AUTH ? PHASE_AUTH : phase;
}

/* --- raising --------------------------------------------------------------------------- */
/* The line of the text that the character `position` is in, and a caret. */
static void push_place(lua_State *L, const char *sql, size_t len, int position)
{
	char caret[PG_SQL_CARET];
	size_t at = 0;
	uint32_t cp;
	int n, w;

	for (n = 1; n < position && at < len; n++) {
		w = utf8_next(sql + at, len - at, &cp);
		at += w > 0 ? (size_t)w : 1;
	}
	lua_pushlstring(L, caret, pg_sql_caret(sql, len, (long)at, caret));
}

static void set_text(lua_State *L, const char *name, const char *value)
{
	if (!*value)
		return;
	lua_pushstring(L, value);
	lua_setfield(L, -2, name);
}

void pg_error_raise(lua_State *L, const struct pg_error *e, const char *sql,
		    size_t len)
{
	char where[96];

	luaL_checkstack(L, 8, "error object");
	err_push(L, &e->e);
	lx_where(L, 1, where, sizeof where);
	set_text(L, "where", where);
	set_text(L, "severity", e->severity);
	set_text(L, "detail", e->detail);
	set_text(L, "context", e->context);
	set_text(L, "object", e->object);
	if (e->retryable) {
		lua_pushboolean(L, 1);
		lua_setfield(L, -2, "retryable");
	}
	if (e->position && sql) {
		lua_pushinteger(L, e->position);
		lua_setfield(L, -2, "position");
		push_place(L, sql, len, e->position);
		lua_setfield(L, -2, "sql");
	}
	lua_error(L);
	__builtin_unreachable();
}
