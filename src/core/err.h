/*
 * err: the one error. In C a fixed-size struct that callbacks can fill
 * without memory; in Lua a table with metatable `opsh.error` and the fields
 * kind, code, message, target, op, phase, outcome, hint, traceback.
 * Kinds are a closed list; each has its exit code (core/exit.def).
 */
#ifndef OPSH_CORE_ERR_H
#define OPSH_CORE_ERR_H

#include <lua.h>

#define ERR_KINDS(X) \
	X(USAGE, "usage")		/* called the wrong way */ \
	X(CONFIG, "config")		/* targets file, playbook, parameter */ \
	X(CONNECT, "connect")		/* target can't be reached */ \
	X(TLS, "tls") \
	X(AUTH, "auth") \
	X(TIMEOUT, "timeout")		/* a deadline of ours passed */ \
	X(CANCELLED, "cancelled")	/* Ctrl-C, signal, sibling failed */ \
	X(REFUSED, "refused")		/* mode, role, policy: nothing sent */ \
	X(GUARD, "guard")		/* refused by a guard */ \
	X(CHANGED, "changed")		/* the target is not the one it was */ \
	X(BUSY, "busy")			/* a lock is held */ \
	X(UNKNOWN, "unknown")		/* may have been applied */ \
	X(WITHHELD, "withheld")		/* plan needs a result it hasn't got */ \
	X(SERVER, "server")		/* the server said no */ \
	X(PROTOCOL, "protocol")		/* the server broke its protocol */ \
	X(LIMIT, "limit")		/* a size, count, depth cap of ours */ \
	X(IO, "io")			/* files, pipes, journal */ \
	X(JOURNAL, "journal")		/* the record can't be written */ \
	X(VERIFY, "verify")		/* a verification failed */ \
	X(CHECK, "check")		/* a check before the first write failed */ \
	X(LUA, "lua")			/* a plain Lua error, wrapped */

enum err_kind {
	ERR_NONE,
#define X(sym, name) ERR_##sym,
	ERR_KINDS(X)
#undef X
	ERR_N_KINDS
};

enum err_phase {
	PHASE_NONE, PHASE_DNS, PHASE_CONNECT, PHASE_TLS, PHASE_AUTH,
	PHASE_SEND, PHASE_WAIT, PHASE_READ, PHASE_N
};

/* What became of a call (DESIGN 1.1). */
enum outcome {
	OUTCOME_NONE, OUTCOME_DONE, OUTCOME_FAILED, OUTCOME_UNKNOWN,
	OUTCOME_WITHHELD, OUTCOME_REFUSED, OUTCOME_N
};

struct err {
	enum err_kind kind;		/* ERR_NONE: no error */
	enum err_phase phase;
	enum outcome outcome;
	int exit_code;			/* 0: the kind's */
	char code[48];			/* the protocol's own, "" if none */
	char target[64];		/* name of the target, "" if none */
	char op[64];			/* verb, "" if none */
	char hint[256];			/* what to do, "" if none */
	char message[768];		/* lower case, no full stop */
};

const char *err_kind_name(enum err_kind kind);
const char *err_phase_name(enum err_phase phase);	/* "" for NONE */
const char *outcome_name(enum outcome outcome);
enum err_kind err_kind_find(const char *name);		/* ERR_NONE: unknown */
/* What a connection is lost with, as a code: "ECONNRESET"; "" for others. */
const char *err_errno_name(int code);

/* Fills *e anew (target, op, phase, outcome cleared). */
void err_set(struct err *e, enum err_kind kind, const char *code,
	     const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* [-0, +1, m] pushes the error object of *e. */
void err_push(lua_State *L, const struct err *e);
/* [-0, +0, v] raises it; never returns. */
_Noreturn int err_raise(lua_State *L, const struct err *e);
/* [-0, +0, v] raises kind with a formatted message. */
_Noreturn int err_raisef(lua_State *L, enum err_kind kind, const char *code,
			 const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Is the value at idx an error object? Does not raise. */
int err_is(lua_State *L, int idx);
/* [-0, +0, m] reads an error object (or any value, as kind "lua") at idx. */
void err_from_lua(lua_State *L, int idx, struct err *e);
/* [-1, +1, m] a failure must not look like none: strings, numbers, booleans and
 * nil on top become an error object (kind "lua"; "limit" when status says that
 * memory is gone). Error objects, foreign tables and userdata are kept. */
void err_wrap(lua_State *L, int status);
/* The same, with a traceback once: the message handler of every task. */
int err_msgh(lua_State *L);

/* `opsh.c.err`: new(table) -> object, is(v), kinds. [-0, +1, m] */
int luaopen_opsh_c_err(lua_State *L);

#endif
