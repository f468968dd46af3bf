/*
 * main: argv to an exit code. Sets the rooms up, runs the command line (Lua,
 * lua/run/cli.lua) as the root task, turns what it ended with into the exit
 * code of the table in core/exit.h. The only place that ends the process.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/exit.h"
#include "core/loop.h"
#include "core/lx.h"
#include "core/sig.h"
#include "core/spawn.h"
#include "core/task.h"
#include "effect/journal.h"
#include "effect/record.h"
#include "effect/redact.h"
#include "run/host.h"
#include "term/out.h"
#include "term/prompt.h"

static struct redact_stream streams[2];

static void filter_feed(int stream, struct buf *out, const char *data,
			size_t len)
{
	redact_stream_feed(&streams[stream], out, data, len);
}

static void filter_flush(int stream, struct buf *out)
{
	redact_stream_flush(&streams[stream], out);
}

static void filter_mask(struct buf *out, const char *data, size_t len)
{
	redact_to(out, data, len);
}

/* The reader of our output went away: a script has nobody to talk to. What
 * writes decides for itself (lua/run/session.lua sets the policy). */
static void on_dead(void)
{
	if (task_root() && !record_writes())
		task_cancel(task_root(), CANCEL_PIPE);
}

static void on_lost(const char *text, size_t len)
{
	out_printf(OUT_STDERR, "opsh: the outcome could not be recorded; this "
		   "is it: {%.*s}\n", (int)len, text);
}

static int signal_exit(void)
{
	switch (task_root_cancelled()) {
	case CANCEL_INT:
		return EXIT_INT;
	case CANCEL_TERM:
		return EXIT_TERM;
	case CANCEL_HUP:
		return EXIT_HUP;
	case CANCEL_PIPE:
		return out_dead(OUT_STDOUT) == EPIPE ? EXIT_PIPE : EXIT_FAILED;
	default:
		return 0;
	}
}

/* finish(code, error): prints the error, writes the run's end record. */
static int finish(lua_State *L, int code, int failed)
{
	lua_getglobal(L, "require");
	lua_pushliteral(L, "run.cli");
	if (lua_pcall(L, 1, 1, 0) == LUA_OK) {
		lua_getfield(L, -1, "finish");
		lua_pushinteger(L, code);
		if (failed)
			lua_pushvalue(L, 1);
		if (lua_pcall(L, failed ? 2 : 1, 1, 0) == LUA_OK)
			return (int)lua_tointeger(L, -1);
	}
	out_printf(OUT_STDERR, "opsh: %s\n",
		   lua_isstring(L, -1) ? lua_tostring(L, -1)
				       : "cannot report the end of the run");
	return code ? code : EXIT_FAILED;
}

static int run(lua_State *L, int argc, char **argv)
{
	int i, nres, status, code;
	struct err e;

	lua_getglobal(L, "require");
	lua_pushliteral(L, "run.cli");
	lua_call(L, 1, 1);
	lua_getfield(L, -1, "main");
#ifdef OPSH_TEST
	if (argc > 2 && !strcmp(argv[1], "--spec"))
		testing_main(L, argv[2]);
#endif
	lua_createtable(L, argc, 1);
	for (i = 0; i < argc; i++) {
		lua_pushstring(L, argv[i]);
		lua_rawseti(L, -2, i);
	}
	status = task_run(L, 1, &nres);
	if (status != LUA_OK) {
		lua_insert(L, 1);
		lua_settop(L, 1);
		err_from_lua(L, 1, &e);
		code = signal_exit();
		if (!code || record_lost())
			code = exit_code_of(&e);
		return finish(L, code, 1);
	}
	code = nres ? (int)lua_tointeger(L, -nres) : 0;
	lua_settop(L, 0);
	return finish(L, code, 0);
}

/* Results that nobody got are no success, unless something was written: what
 * was done is what counts then. */
static int end_output(int code)
{
	int e;

	out_finish(1e9);
	e = out_dead(OUT_STDOUT);
	if (!e)
		return code;
	if (e != EPIPE)
		out_printf(OUT_STDERR, "opsh: cannot write to stdout: %s\n",
			   strerror(e));
	if (code || record_writes())
		return code;
	return e == EPIPE ? EXIT_PIPE : EXIT_FAILED;
}

struct start {
	int argc, code;
	char **argv;
};

/* run(start): the whole program below a pcall; the exit code is start->code */
static int l_run(lua_State *L)
{
	struct start *s = lua_touserdata(L, 1);

	lua_settop(L, 0);
	s->code = run(L, s->argc, s->argv);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct out_filter filter = {
		filter_feed, filter_flush, filter_mask
	};
	struct start start = { argc, EXIT_FAILED, argv };
	lua_State *L;

	unsetenv("SSLKEYLOGFILE");	/* fault 75: it would write keys */
	redact_stream_init(&streams[0]);
	redact_stream_init(&streams[1]);
	out_init();
	out_set_filter(&filter);
	out_on_dead(on_dead);
	record_on_lost(on_lost);
	journal_hold();
	task_heed_signals();
	sig_on_leave(prompt_restore);
	L = host_new();		/* its collector rests until user code runs */
	if (!L) {
		out_finish(1);
		return EXIT_FAILED;
	}
	lua_pushcfunction(L, l_run);
	lua_pushlightuserdata(L, &start);
	if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
		struct err e;

		err_from_lua(L, -1, &e);
		out_printf(OUT_STDERR, "opsh: %s\n", e.message);
	}
	start.code = end_output(start.code);
	host_close(L);
	spawn_kill_all();	/* of tasks that were dropped */
	out_release();
	redact_stream_release(&streams[0]);
	redact_stream_release(&streams[1]);
	record_release();
	redact_release();
	if (loop_release() < 0) {
		/* libuv joins its threads at exit, and one waits for a name
		 * server: all is told and recorded, so go without it */
		fflush(NULL);
		_exit(start.code);
	}
	return start.code;
}
