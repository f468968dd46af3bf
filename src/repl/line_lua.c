/*
 * line_lua: `opsh.c.line`, what lua/repl may do with the line, the history's
 * file and Ctrl-C. Owns who waits for the line's next event. Must not decide what
 * an entry is: that is lua/repl/chunk.lua.
 */
#include <lauxlib.h>
#include <lua.h>
#include <signal.h>
#include <string.h>

#include "core/lx.h"
#include "core/op.h"
#include "core/sig.h"
#include "core/task.h"
#include "repl/edit.h"
#include "repl/history.h"
#include "repl/line.h"
#include "repl/tty.h"
#include "term/out.h"
#include "term/prompt.h"

#define HOG 0.3		/* seconds without a wait: it keeps all others from theirs */

static struct op *waiting;	/* borrowed: who waits for an event */
static enum line_event came;

/* --- reading -------------------------------------------------------------- */

static void on_event(enum line_event ev)
{
	struct op *op = waiting;

	came = ev;
	waiting = NULL;
	if (op)
		op_done(op);
}

static enum op_answer read_cancel(struct op *op)
{
	(void)op;
	waiting = NULL;
	line_stop();
	return OP_NOW;
}

static int read_push(lua_State *L, struct op *op)
{
	static const char *const names[] = {
		[LINE_NONE] = "gone", [LINE_TEXT] = "line", [LINE_EOF] = "eof",
		[LINE_INT] = "int", [LINE_GONE] = "gone",
		[LINE_COMPLETE] = "complete"
	};
	const char *text;
	size_t len;

	(void)op;
	lua_pushstring(L, names[came]);
	if (came != LINE_TEXT && came != LINE_COMPLETE)
		return 1;
	text = edit_text(&len);
	lua_pushlstring(L, text, len);
	if (came == LINE_TEXT)
		return 2;
	lua_pushinteger(L, (lua_Integer)edit_cursor());
	lua_pushboolean(L, edit_again());
	return 4;
}

static void read_release(struct op *op)
{
	if (waiting == op) {
		waiting = NULL;
		line_stop();
	}
}

static const struct op_class read_class = {
	"line", read_cancel, read_push, read_release
};

/* read(prompt [, text]) -> "line", text | "eof" | "int" | "gone" | "complete",
 * text, cursor, again */
static int l_line_read(lua_State *L)
{
	const char *prompt = lx_checkcstr(L, 1);
	const char *text = luaL_optstring(L, 2, "");
	struct op *op;

	if (waiting)
		return luaL_error(L, "a line is being read already");
	op = op_new(L, &read_class, sizeof *op);
	op_start(op);
	waiting = op;
	line_start(prompt, text, on_event);
	return op_park(L, op);
}

/* replace(from, to, text): bytes from to to, counted from 1, both included */
static int l_line_replace(lua_State *L)
{
	lua_Integer from = luaL_checkinteger(L, 1);
	lua_Integer to = luaL_checkinteger(L, 2);
	const char *text = lx_checkcstr(L, 3);

	luaL_argcheck(L, from >= 1, 1, "1 or more expected");
	luaL_argcheck(L, to >= from - 1, 2, "not before 'from'");
	edit_replace((size_t)from - 1, (size_t)to, text);
	return 0;
}

/* interrupt(): the line that is read is dropped, as by Ctrl-C */
static int l_line_interrupt(lua_State *L)
{
	(void)L;
	line_interrupt();
	return 0;
}

/* prompt(text): another one for the line that is edited */
static int l_line_prompt(lua_State *L)
{
	line_set_prompt(lx_checkcstr(L, 1));
	return 0;
}

/* --- Ctrl-C --------------------------------------------------------------- */

/* Who is it for: the line, the entry that runs, or what keeps both from their
 * turn. What was typed ahead belongs to what is stopped. */
static void on_int(void)
{
	struct task *hog;

	tty_drop();
	if (task_foreground()) {
		out_echoed();		/* ^C */
		task_cancel(task_foreground(), CANCEL_INT);
		return;
	}
	hog = task_hog(HOG);
	if (hog)
		task_cancel(hog, CANCEL_INT);
	else
		line_interrupt();
}

static void on_resize(void)
{
	edit_resize();
}

static void on_leave(void)
{
	tty_restore();
	prompt_restore();
}

/* open(): this is a session at a terminal from now on. Raises kind io. */
static int l_line_open(lua_State *L)
{
	const char *why = line_init();

	if (why)
		err_raisef(L, ERR_IO, "", "%s", why);
	sig_on_int(on_int);
	sig_on_resize(on_resize);
	sig_on_leave(on_leave);
	signal(SIGQUIT, SIG_IGN);	/* a slip on the keys ends no session */
	return 0;
}

/* close(): gives the terminal back; Ctrl-C is the root's again. */
static int l_line_close(lua_State *L)
{
	(void)L;
	line_release();
	sig_on_int(NULL);
	sig_on_resize(NULL);
	sig_on_leave(prompt_restore);
	signal(SIGQUIT, SIG_DFL);
	return 0;
}

/* --- history -------------------------------------------------------------- */

/* remember(text): the newest that Up and Ctrl-R find */
static int l_line_remember(lua_State *L)
{
	edit_remember(lx_checkcstr(L, 1));
	return 0;
}

/* forget() */
static int l_line_forget(lua_State *L)
{
	(void)L;
	edit_forget();
	return 0;
}

int luaopen_opsh_c_line(lua_State *L);

int luaopen_opsh_c_line(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "open", l_line_open }, { "close", l_line_close },
		{ "read", l_line_read }, { "prompt", l_line_prompt },
		{ "replace", l_line_replace },
		{ "interrupt", l_line_interrupt },
		{ "remember", l_line_remember }, { "forget", l_line_forget },
		{ "append", history_append_lua },
		{ "rewrite", history_rewrite_lua },
		{ NULL, NULL }
	};

	luaL_newlib(L, funcs);
	return 1;
}
