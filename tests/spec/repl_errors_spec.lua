-- repl_errors_spec: how the prompt shows an error: what, the place in the entry with
-- a caret, what to try. Text in, text out; owns nothing. What is run is a line that
-- fails; no target is reached.
local advice = require "repl.advice"
local caret = require "repl.caret"
local chunk = require "repl.chunk"
local env = require "run.env"
local err = require "opsh.c.err"
local errors = require "repl.errors"
local term = require "opsh.c.term"

local function context(more)
	local ctx = { env = env.new(false), entries = {}, settings = {}, out = {},
		config = function()
			return { targets = { cache = { name = "cache", kind = "redis" } } }
		end }
	ctx.write_error = function(text) ctx.out[#ctx.out + 1] = text end
	for k, v in pairs(more or {}) do ctx[k] = v end
	return ctx
end

-- What is printed for an error.
local function shown(e, text, ctx)
	ctx = ctx or context()
	errors.show(ctx, e, text)
	return table.concat(ctx.out)
end

-- What is printed when an entry is run.
local function ran(text, ctx)
	ctx = ctx or context()
	ctx.entries[1] = text
	local run, why = chunk.compile(text, "=entry 1", ctx.env)
	if not run then
		return shown(err.new { kind = "usage", message = why }, text, ctx)
	end
	local _, e = pcall(run)
	return shown(e, text, ctx)
end

local function new(fields)
	fields.message = fields.message or "no"
	return err.new(fields)
end

-- Where the caret stands below the entry's line.
local function column(out)
	local line = out:match "\n( *)%^\n"
	return line and #line - 1
end

describe("errors of the parser", function()
	it("have a caret below what can't be read", function()
		eq(ran "return 1 2", "usage: <eof> expected near '2'\n  return 1 2\n"
			.. "           ^\n")
		eq(column(ran "x = = 2"), 5)
		eq(ran "1 + * 2", "usage: unexpected symbol near '*'\n  1 + * 2\n      ^\n")
		eq(column(ran "s = 'abc"), 5)
		eq(column(ran "a = a a = a)"), 12)
		eq(column(ran "f(1,, 2)"), 5)
		eq(column(ran "s = 'abc\nx = 1"), 4 + 5)
		eq(column(ran "日本 = 1"), 1)
		eq(column(ran "x = '日本' 1"), 12)
	end)
	it("name the line of an entry of several", function()
		local out = ran "if true then\n\tx = = 1\nend"
		eq(out, "usage: unexpected symbol near '='\n  2 |  x = = 1\n"
			.. "           ^\n")
	end)
	it("are cut round the place in a long line", function()
		local out = ran(("x = 1 "):rep(50) .. "= " .. ("y = 1 "):rep(50))
		local line, mark = out:match "\n(  …[^\n]*…)\n( *)%^\n"
		ok(line, out)
		eq(line:sub(utf8.offset(line, #mark + 1), utf8.offset(line, #mark + 1)), "=")
	end)
end)

describe("errors at run time", function()
	it("have a caret below the name, and the nearest one", function()
		eq(ran 'jsn.decode "x"', "error: attempt to index a nil value (global "
			.. "'jsn')\n  jsn.decode \"x\"\n  ^\n  try: json (there is no 'jsn')\n")
		ok(ran 'cahce:get "x"':find("try: cache (there is no 'cahce')", 1, true))
		eq(ran 'json.decod "x"', "error: attempt to call a nil value (field "
			.. "'decod')\n  json.decod \"x\"\n       ^\n  try: json.decode\n")
		local ctx = context()
		ctx.env.list = { first = print, second = print }
		ok(ran("list.frist()", ctx):find("try: list.first\n", 1, true))
		ok(ran "qqqqq.x = 1":find("try: :targets, if 'qqqqq' is to be one", 1, true))
	end)
	it("advise nothing where they know nothing", function()
		ok(not ran "x = nil; return x.y":find "try:")
		ok(not ran "local t = {} t.a.b = 1":find "try: t")
		ok(not ran "error 'boom'":find "try:")
	end)
	it("show the line of an entry of several", function()
		local out = ran "local x = 1\nerror 'boom'"
		eq(out, "error: boom\n  2 | error 'boom'\n")
		out = ran "x = 1\ny = x.z.w"
		eq(column(out), 4 + 5)
	end)
	it("leave out a caret that two names could have", function()
		local out = ran "return cash + cash.x"
		ok(not out:find "%^", out)
	end)
end)

describe("what was raised", function()
	it("is shown, whatever it is", function()
		eq(ran "error(nil)", "error: nil\n")
		eq(ran "error(42)", "error: 42\n")
		eq(ran "error({ code = 7 })", 'error: error value {"code":7}\n')
		eq(ran "error({})", "error: error value {}\n")
		eq(ran "error(true)", "error: true\n")
		eq(ran "error(print)", "error: function\n")
		eq(ran [[error(setmetatable({}, { __tostring = function()
			return "mine" end }))]], "error: mine\n")
		eq(ran [[error(setmetatable({}, { __tostring = function()
			error "boom" end }))]], "error: table\n")
		eq(ran [[error(setmetatable({}, { __index = function() error "boom" end,
			__pairs = function() error "boom" end }))]], "error: table\n")
	end)
	it("can't pass for a line of ours, nor obey the terminal", function()
		local out = shown(new { kind = "server", message = "a\nhint: b\27[2J" })
		eq(out, "server: a\n  hint: b\\x1b[2J\n")
		out = ran("error(('x'):rep(100000))")
		ok(#out < 5000 and out:find("(100000 bytes in all)", 1, true), #out)
	end)
	it("has its facts, its detail, its statement and its hint", function()
		eq(shown(new { kind = "server", message = "relation \"f\" does not exist",
			target = "db", op = "SELECT", code = "42P01", phase = "read",
			outcome = "failed", detail = "d", hint = "h", suppressed = "s",
			sql = "line 1: select * from f\n                      ^" }), [[
server: relation "f" does not exist
  target db · op SELECT · code 42P01 · phase read · outcome failed
  detail: d
  line 1: select * from f
                        ^
  also: s
  hint: h
]])
	end)
	it("points at the call in the entry that it is of", function()
		local ctx = context()
		ctx.entries[4] = 'cache:lpush("s", 1)'
		local out = shown(new { kind = "server", message = "wrong type",
			op = "LPUSH", where = "entry 4:1" }, ctx.entries[4], ctx)
		ok(out:find('\n  cache:lpush("s", 1)\n        ^\n', 1, true), out)
		-- of an entry before, as a function that it defined
		ctx.out = {}
		ctx.entries[5] = "f()"
		out = shown(new { kind = "server", message = "wrong type", op = "LPUSH",
			where = "entry 4:1" }, ctx.entries[5], ctx)
		ok(out:find('cache:lpush("s", 1)\n', 1, true), out)
		out = shown(new { kind = "io", message = "x", where = "lib.lua:3" })
		ok(out:find("\n  at lib.lua:3\n", 1, true), out)
	end)
end)

describe("what to try", function()
	it("is there for the kinds of errors that a person can do something about",
		function()
		local function tries(fields)
			fields.message = fields.message or "x"
			return shown(new(fields)):match "try: ([^\n]*)"
		end
		local out = shown(new { kind = "refused", code = "MODE", target = "cache",
			hint = "start with --write to allow it" })
		ok(out:find("try: :write 10m REASON", 1, true), out)
		ok(not out:find "%-%-write", out)
		ok(tries { kind = "refused", code = "ROLE", target = "db" }:find
			":targets shows who 'db' is")
		eq(tries { kind = "refused", code = "25006", target = "db" },
			"db:exec(…) for what writes")
		eq(tries { kind = "refused" }, nil)
		out = shown(new { kind = "guard", target = "cache", op = "FLUSHDB",
			hint = "--approve cache" })
		ok(out:find('try: guard(cache, { verb = "flushdb", count = N })', 1, true),
			out)
		ok(not out:find "approve", out)
		ok(tries { kind = "guard", target = "local", op = "remove" }:find
			"guard%(sh, ")
		ok(tries { kind = "connect", target = "db" }:find ":targets db")
		ok(tries { kind = "tls" }:find ":targets")
		ok(tries { kind = "auth", target = "db" }:find "password of 'db'")
		ok(tries { kind = "timeout", target = "db", phase = "connect" }:find
			":targets db")
		ok(tries { kind = "timeout", target = "db", phase = "wait" }:find
			"timeout = SECONDS")
		ok(tries { kind = "changed", target = "db" }:find ":connect db")
		ok(tries { kind = "busy" }:find "opsh locks")
		ok(tries { kind = "unknown", target = "db" }:find "look at 'db'")
		ok(tries { kind = "withheld" }:find "expect = VALUE")
		ok(tries { kind = "limit", code = "ENOMEM" }:find "less at once")
		ok(tries { kind = "journal" }:find "disk space")
		eq(tries { kind = "server" }, nil)
	end)
	it("knows every kind by name", function()
		local known = {}
		for _, kind in ipairs(err.kinds) do known[kind] = true end
		for kind in pairs(known) do
			local list, no_hint = advice.of(new { kind = kind }, context())
			eq(type(list), "table", kind)
			eq(type(no_hint), "boolean", kind)
		end
	end)
end)

describe("tracebacks", function()
	local trace = "stack traceback:\n\t[C]: in function 'error'\n"
		.. "\tentry 1:1: in function 'f'\n\tentry 2:1: in main chunk\n\t[C]: in ?"

	it("are shown when that was set, or asked for", function()
		local e = new { kind = "lua", message = "boom", traceback = trace }
		eq(shown(e), "error: boom\n")
		for _, on in ipairs { true, "on" } do
			local out = shown(e, nil, context { settings = { traceback = on } })
			ok(out:find("entry 1:1: in function 'f'", 1, true), out)
		end
		ok(errors.text(context(), e, nil, true):find("entry 2:1", 1, true))
	end)
	it("are kept for the last errors", function()
		local ctx = context()
		for n = 1, 30 do
			shown(new { kind = "lua", message = "e" .. n }, "t" .. n, ctx)
		end
		eq(#ctx.errors, 20)
		eq(ctx.errors[1].error.message, "e30")
		eq(ctx.errors[1].text, "t30")
		local list = {}
		for n, kind, message in errors.each(ctx) do
			list[n] = kind .. " " .. message
		end
		eq(#list, 20)
		eq(list[2], "lua e29")
	end)
end)

describe("the caret", function()
	it("stands below wide characters", function()
		local place = caret.find('x = "日本" + nosuch.y', 1,
			"attempt to index a nil value (global 'nosuch')")
		local line, mark = caret.draw(place, term.width)
		eq(line, 'x = "日本" + nosuch.y')
		eq(mark, (" "):rep(13) .. "^")
	end)
	it("is nowhere when the line isn't there", function()
		eq(caret.find("x", 7, "boom"), nil)
		eq(caret.find("x", 1, "boom").column, nil)
		eq(caret.draw(caret.find(("x"):rep(200), 1, "boom"), term.width),
			("x"):rep(76) .. "…")
	end)
end)
