/*
 * term_lua: `opsh.c.term`, what Lua may do with the terminal. Owns one scratch
 * buffer (so that a raise between filling and pushing leaks nothing) and the
 * list of writers that wait for room. Must not format results: that is
 * lua/opsh/table.lua.
 */
#include "term/out.h"

#include <lauxlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/loop.h"
#include "core/lx.h"
#include "core/op.h"
#include "core/task.h"
#include "term/escape.h"
#include "term/lend.h"
#include "term/prompt.h"

#define SCRATCH_KEEP (256 * 1024)
#define ELLIPSIS "\xe2\x80\xa6"

static struct buf scratch = BUF_INIT;
static struct buf masked = BUF_INIT;

static enum out_fd check_fd(lua_State *L, int arg)
{
	lua_Integer fd = luaL_checkinteger(L, arg);

	luaL_argcheck(L, fd == 1 || fd == 2, arg, "1 or 2 expected");
	return fd == 1 ? OUT_STDOUT : OUT_STDERR;
}

/* [-0, +1, v] */
static void push_scratch(lua_State *L)
{
	if (!buf_ok(&scratch) || !buf_ok(&masked)) {
		buf_release(&scratch);
		buf_release(&masked);
		err_raisef(L, ERR_LIMIT, "ENOMEM", "out of memory for a text");
	}
	lua_pushlstring(L, scratch.data, scratch.len);
	if (scratch.cap > SCRATCH_KEEP)
		buf_release(&scratch);
	if (masked.cap > SCRATCH_KEEP)
		buf_release(&masked);
}

/* --- writing -------------------------------------------------------------- */

/* A writer waits while too much is queued. */
struct room_op {
	struct op op;
	enum out_fd fd;
	int queued;
};

static struct op *waiting;		/* borrowed: the ops in the list */

static void room_leave(struct op *op)
{
	struct op **at;

	for (at = &waiting; *at; at = &(*at)->next) {
		if (*at == op) {
			*at = op->next;
			break;
		}
	}
	((struct room_op *)op)->queued = 0;
}

static void on_room(enum out_fd fd)
{
	struct op *op = waiting, *next;

	for (; op; op = next) {
		next = op->next;
		if (((struct room_op *)op)->fd == fd) {
			room_leave(op);
			op_done(op);
		}
	}
}

static enum op_answer room_cancel(struct op *op)
{
	room_leave(op);
	return OP_NOW;
}

static void room_release(struct op *op)
{
	if (((struct room_op *)op)->queued)
		room_leave(op);
}

static const struct op_class room_class = {
	"write", room_cancel, NULL, room_release
};

/* The reader's pace is no failure: there is no deadline but the task's. */
static int wait_for_room(lua_State *L, enum out_fd fd)
{
	struct room_op *r;

	if (!out_full(fd) || !task_current())
		return 0;
	r = (struct room_op *)op_new(L, &room_class, sizeof *r);
	op_start(&r->op);
	r->fd = fd;
	r->op.next = waiting;
	waiting = &r->op;
	r->queued = 1;
	return op_park(L, &r->op);
}

/* write(fd, text); raises usage, cancelled while it waits */
static int l_term_write(lua_State *L)
{
	enum out_fd fd = check_fd(L, 1);
	size_t len;
	const char *text = lx_checkstr(L, 2, &len);

	out_text(fd, text, len);
	return wait_for_room(L, fd);
}

/* ours(fd, text); as write */
static int l_term_ours(lua_State *L)
{
	enum out_fd fd = check_fd(L, 1);
	size_t len;
	const char *text = lx_checkstr(L, 2, &len);

	out_ours(fd, text, len);
	return wait_for_room(L, fd);
}

/* flush([seconds]): writes what is queued; waits so long for a slow reader */
static int l_term_flush(lua_State *L)
{
	lua_Number seconds = luaL_optnumber(L, 1, 0);

	if (seconds > 0)
		out_finish(seconds);
	else
		out_flush();
	return 0;
}

/* status(line|nil) */
static int l_term_status(lua_State *L)
{
	if (lua_isnoneornil(L, 1)) {
		out_status(NULL);
	} else {
		size_t len;
		const char *line = lx_checkstr(L, 1, &len);

		/* a NUL would cut the line: show it as the rest is shown */
		buf_clear(&scratch);
		if (strlen(line) != len) {
			escape_to(&scratch, line, len, 0);
			line = scratch.data;
		}
		out_status(line);
	}
	return 0;
}

/* --- texts ---------------------------------------------------------------- */

/* Masks argument `arg` into `masked`. */
static void mask_arg(lua_State *L, int arg)
{
	size_t len;
	const char *text = lx_checkstr(L, arg, &len);

	buf_clear(&masked);
	buf_clear(&scratch);
	out_mask(&masked, text, len);
}

/* mask(text) -> text */
static int l_term_mask(lua_State *L)
{
	mask_arg(L, 1);
	buf_swap(&masked, &scratch);
	push_scratch(L);
	return 1;
}

/* escape(text [, lines]) -> text */
static int l_term_escape(lua_State *L)
{
	size_t len;
	const char *text = lx_checkstr(L, 1, &len);

	buf_clear(&masked);
	buf_clear(&scratch);
	escape_to(&scratch, text, len,
		  lua_toboolean(L, 2) ? ESCAPE_LINES : 0);
	push_scratch(L);
	return 1;
}

/* width(text) -> integer */
static int l_term_width(lua_State *L)
{
	size_t len;
	const char *text = lx_checkstr(L, 1, &len);

	lua_pushinteger(L, escape_width(text, len, -1, NULL));
	return 1;
}

/* cell(text [, max]) -> text, width */
static int l_term_cell(lua_State *L)
{
	lua_Integer max = luaL_optinteger(L, 2, -1);
	size_t used;
	int width;

	luaL_argcheck(L, max >= -1 && max <= 1000000, 2,
		      "columns expected, 0 or more");
	mask_arg(L, 1);
	width = escape_width(masked.data, masked.len, (int)max, &used);
	if (used < masked.len) {
		width = escape_width(masked.data, masked.len,
				     max ? (int)max - 1 : 0, &used);
		escape_to(&scratch, masked.data, used, 0);
		if (max) {
			buf_adds(&scratch, ELLIPSIS);
			width++;
		}
	} else {
		escape_to(&scratch, masked.data, used, 0);
	}
	push_scratch(L);
	lua_pushinteger(L, width);
	return 2;
}

static const struct style {
	const char *name, *sgr;
} styles[] = {
	{ "black", "30" }, { "blue", "34" }, { "bold", "1" },
	{ "cyan", "36" }, { "dim", "2" }, { "error", "1;31" },
	{ "green", "32" }, { "key", "36" }, { "magenta", "35" },
	{ "muted", "2" }, { "ok", "32" }, { "red", "31" },
	{ "reverse", "7" }, { "title", "1" }, { "underline", "4" },
	{ "warn", "33" }, { "yellow", "33" },
};

static const struct style *check_style(lua_State *L, int arg)
{
	const char *name = lx_checkcstr(L, arg);
	size_t i;

	for (i = 0; i < sizeof styles / sizeof styles[0]; i++)
		if (!strcmp(styles[i].name, name))
			return &styles[i];
	luaL_argerror(L, arg, lua_pushfstring(L, "unknown style '%s'", name));
	return NULL;
}

/* style(name, text [, fd]) -> text for ours(); raises on an unknown name */
static int l_term_style(lua_State *L)
{
	const struct style *st = check_style(L, 1);
	enum out_fd fd = lua_isnoneornil(L, 3) ? OUT_STDOUT : check_fd(L, 3);

	mask_arg(L, 2);
	if (out_colour(fd) && masked.len)
		buf_addf(&scratch, "\x1b[%sm", st->sgr);
	escape_to(&scratch, masked.data, masked.len, ESCAPE_LINES);
	if (out_colour(fd) && masked.len)
		buf_adds(&scratch, "\x1b[0m");
	push_scratch(L);
	return 1;
}

/* --- facts ---------------------------------------------------------------- */

/* is_tty(fd) -> boolean; fd may be 0 */
static int l_term_is_tty(lua_State *L)
{
	if (lua_isinteger(L, 1) && lua_tointeger(L, 1) == 0)
		lua_pushboolean(L, isatty(0));
	else
		lua_pushboolean(L, out_is_tty(check_fd(L, 1)));
	return 1;
}

/* colour(fd) -> boolean */
static int l_term_colour(lua_State *L)
{
	lua_pushboolean(L, out_colour(check_fd(L, 1)));
	return 1;
}

/* columns() -> integer */
static int l_term_columns(lua_State *L)
{
	lua_pushinteger(L, out_columns());
	return 1;
}

/* lines() -> integer */
static int l_term_lines(lua_State *L)
{
	lua_pushinteger(L, out_lines());
	return 1;
}

/* clock() -> monotonic seconds, UTC seconds since 1970 */
static int l_term_clock(lua_State *L)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	lua_pushnumber(L, loop_now());
	lua_pushnumber(L, (double)ts.tv_sec + (double)ts.tv_nsec / 1e9);
	return 2;
}

int luaopen_opsh_c_term(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "cell", l_term_cell },
		{ "clock", l_term_clock },
		{ "colour", l_term_colour },
		{ "columns", l_term_columns },
		{ "escape", l_term_escape },
		{ "flush", l_term_flush },
		{ "is_tty", l_term_is_tty },
		{ "lend", lend_lua },
		{ "lines", l_term_lines },
		{ "mask", l_term_mask },
		{ "ours", l_term_ours },
		{ "prompt", prompt_lua },
		{ "status", l_term_status },
		{ "style", l_term_style },
		{ "width", l_term_width },
		{ "write", l_term_write },
		{ NULL, NULL }
	};

	lend_open(L);
	lua_newtable(L);
	lx_setfuncs(L, funcs);
	lua_pushlightuserdata(L, NULL);
	lua_setfield(L, -2, "null");
	out_on_room(on_room);
	return 1;
}
