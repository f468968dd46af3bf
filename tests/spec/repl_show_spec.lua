-- repl_show_spec: how the prompt shows what an entry gave, and the names `_`, `_1`.
-- The terminal is a table: width, height, what was written. Owns nothing; no pager is
-- started here (tests/pty/repl_show_test.py).
local err = require "opsh.c.err"
local json = require "opsh.c.json"
local pager = require "repl.pager"
local pretty = require "repl.pretty"
local secret = require "opsh.secret"
local show = require "repl.show"
local term = require "opsh.c.term"

-- Much data: too slow with a collection at every allocation.
local PLAIN <const> = { plain = true }

local function context(settings, width)
	local ctx = { env = {}, last = {}, settings = settings or {},
		screen = { tty = false, width = width or 80, height = 24 }, out = {} }
	function ctx.write(text) ctx.out[#ctx.out + 1] = text end
	return ctx
end

-- What is printed for values, at a width.
local function shown(ctx, ...)
	ctx.out = {}
	show.values(ctx, ...)
	return table.concat(ctx.out)
end

local function is(v, text, settings, width)
	eq(shown(context(settings, width), v), text)
end

local function result(fields)
	return setmetatable(fields, { __name = "opsh.result",
		__tostring = function() return "result" end })
end

local function answer(fields)
	return setmetatable(fields, { __name = "opsh.result",
		__show = function() return "answer" end })
end

describe("values alone", function()
	it("are told apart", function()
		is(nil, "nil\n")
		is(term.null, "NULL\n")
		is("", '""\n')
		is("nil", '"nil"\n')
		is("NULL", '"NULL"\n')
		is("false", '"false"\n')
		is("  ", '"  "\n')
		is(false, "false\n")
		is({}, "{}\n")
		is(1, "1\n")
		is(1.0, "1.0\n")
		is(0 / 0, tostring(0 / 0) .. "\n")
		is(math.mininteger, "-9223372036854775808\n")
	end)
	it("are strings as they are, their lines kept", function()
		is("hello", "hello\n")
		is("42", "42\n")
		is(" a", " a\n")
		is("a\nb\n", "a\nb\n")
		is("a\r\nb", "a\nb\n")
		is("日本", "日本\n")
		is('{"a":1}', '{"a":1}\n')
	end)
	it("are escaped where a terminal would obey, or can't read", function()
		is("a\27[31mb", "a\\x1b[31mb\n")
		is("caf\xe9", "caf\\xe9\n")
		is("\u{202e}x", "\\u{202e}x\n")
	end)
	it("are bytes with their number", function()
		is("a\0b\255", "4 bytes\n00000000  61 00 62 ff" .. (" "):rep(38)
			.. "|a.b.|\n")
		local out = shown(context(), ("\0"):rep(1000))
		ok(out:find "^1,000 bytes\n", out)
		ok(out:find("\n… 744 bytes more\n$"), out)
	end)
	it("are cut when they are long, and the whole is said", function()
		local out = shown(context(), ("x"):rep(10 * 1024 * 1024))
		ok(#out < 70000, #out)
		ok(out:find("… 10,420,224 more bytes (10,485,760 in all); "
			.. 'fs.write("FILE", _) keeps it whole\n', 1, true), out:sub(-200))
		out = shown(context(), ("日"):rep(30000))
		ok(utf8.len(out), "cut within a character")
	end, PLAIN)
	it("are functions with their place, and objects by their name", function()
		ok(shown(context(), function() end):find
			"^function %(.*repl_show_spec.lua:%d+%)\n$")
		is(print, "function (of C)\n")
		is(setmetatable({}, { __tostring = function() return "me\27" end }),
			"me\\x1b\n")
		is(coroutine.create(function() end), "coroutine (suspended)\n")
		is(secret.env "NO_SUCH_VARIABLE", "[secret NO_SUCH_VARIABLE]\n")
		is(err.new { kind = "check", message = "no" }, "check: no\n")
	end)
	it("say what their own code raises", function()
		local out = shown(context(), setmetatable({}, { __tostring =
			function() error "boo" end }))
		eq(out, "<table that can't be printed>\n")
		out = shown(context(), setmetatable({}, { __pairs =
			function() error("boo", 0) end }))
		ok(out:find "boo" or out == "{}\n", out)
		out = shown(context(), setmetatable({ 1 }, { __len =
			function() error("boo", 0) end }))
		eq(out, "<table that can't be shown: boo>\n")
	end)
end)

describe("several values", function()
	it("are an iterator when a loop would take them so", function()
		local closing = setmetatable({}, { __close = function() end })
		eq(shown(context(), function() end, nil, nil, closing),
			"an iterator: for value in EXPRESSION do print(value) end\n")
		ok(shown(context(), function() end, nil, nil):find "^function.*\nnil\nnil\n$")
	end)
	it("are shown each, and none is nothing", function()
		eq(shown(context(), 1, nil, "x"), "1\nnil\nx\n")
		eq(shown(context()), "")
		eq(shown(context(), io.stdout and nil), "nil\n")
	end)
end)

describe("the results so far", function()
	it("move on, but not for nil", function()
		local ctx = context()
		for n = 1, 12 do shown(ctx, n, "second") end
		eq(ctx.env._, 12)
		for n = 1, 9 do eq(ctx.env["_" .. n], 12 - n) end
		eq(ctx.env._10, nil)
		shown(ctx, nil)
		shown(ctx)
		eq(ctx.env._, 12)
		eq(ctx.env._1, 11)
		shown(ctx, false)
		eq(ctx.env._, false)
		eq(ctx.env._1, 12)
		eq(ctx.last[1], false)
		eq(#ctx.last, 10)
	end)
	it("are there even when showing them fails", function()
		local ctx = context()
		local bad = setmetatable({ 1 }, { __len = function() error "boo" end })
		shown(ctx, bad)
		ok(rawequal(ctx.env._, bad))
	end)
end)

describe("tables", function()
	it("are rows with a cap and the whole number", function()
		local rows = {}
		for i = 1, 1000 do rows[i] = { n = i } end
		local out = shown(context { rows = 2 }, rows)
		eq(out, "n\n-\n1\n2\n… 998 more rows (1,000 in all); :set rows N shows more\n")
		out = shown(context(), rows)
		ok(out:find "\n100\n… 900 more rows", out)
		eq(select(2, shown(context { rows = 0 }, rows):gsub("\n", "")), 1003)
	end, PLAIN)
	it("tell NULL, nil and the empty string apart", function()
		is({ { a = 1, v = term.null }, { a = 2 }, { a = 3, v = "" },
			{ a = 4, v = false }, { a = 5, v = {} }, { a = 6, v = "\0" } },
			"a  v\n-  -------------\n1  NULL\n2\n3  \"\"\n4  false\n5  {}\n"
			.. "6  \\x00 (1 byte)\n(6 rows)\n")
	end)
	it("are lists of values, what is missing among them too", function()
		is({ 1, nil, "x", { 2 } }, "1\nnil\nx\n{2}\n(4 values)\n")
	end)
	it("are names and values", function()
		is({ b = 1, a = "x" }, "a  x\nb  1\n")
	end)
	it("go down the page when they are too wide, or when told", function()
		local row = { a = ("x"):rep(30), b = ("y"):rep(30), c = 1 }
		is({ row }, "-- row 1 --\na  " .. ("x"):rep(16) .. "…\nb  " .. ("y"):rep(16)
			.. "…\nc  1\n(1 row)\n", { expanded = "auto" }, 14 + 6)
		local out = shown(context({ expanded = "on" }, 80), { row })
		ok(out:find("^%-%- row 1 %-%-\n"), out)
		out = shown(context({ expanded = "off" }, 20), { row })
		ok(not out:find("-- row", 1, true), out)
	end)
	it("are wide characters in columns", function()
		is({ { name = "日本語", n = 1 }, { name = "é", n = 20 }, { name = "caf\xe9",
			n = 3 } }, " n  name\n--  -------\n 1  日本語\n20  é\n 3  caf\\xe9\n"
			.. "(3 rows)\n")
	end)
end)

describe("values within values", function()
	it("are JSON when they are that", function()
		is(json.decode('{"status":"UP","parts":{"db":{"up":true,"n":[1,2.5]}},'
			.. '"none":[],"s":"a\\"b"}'), [[
{
  "none": [],
  "parts": {
    "db": {
      "n": [1, 2.5],
      "up": true
    }
  },
  "s": "a\"b",
  "status": "UP"
}
]])
		is({ { a = { { b = 1 } } } }, [[
[
  {
    "a": [
      { "b": 1 }
    ]
  }
]
]])
		is({ { a = { 1, 2 } } }, "a\n------\n{1, 2}\n(1 row)\n")
	end)
	it("are Lua when they are not", function()
		local loop = { x = 1, [3] = true, ["a b"] = { "y" } }
		loop.me = loop
		is(loop, '{\n  [3] = true,\n  ["a b"] = {"y"},\n  me = (itself),\n  x = 1\n}\n')
		local out = shown(context(), { { f = print } , n = { 1 } })
		ok(out:find("f = function (of C)", 1, true), out)
	end)
	it("end somewhere", function()
		local deep = { x = { 1 } }
		for _ = 1, 1000 do deep = { x = deep } end
		ok(shown(context(), deep):find("{…}", 1, true))
		local wide = { { 1 } }
		for i = 1, 100000 do wide.t = wide.t or {}; wide.t[i] = { i } end
		local out = shown(context(), wide)
		ok(out:find("…", 1, true) and #out < 1000000, #out)
	end, PLAIN)
	it("are cut at the width", function()
		for _, line in ipairs(pretty.lines({ a = { b = ("x"):rep(500) } }, 40)) do
			ok(term.width(line) <= 41, line)
		end
	end)
end)

describe("text of JSON", function()
	it("keeps its order and its numbers", function()
		eq(table.concat(pretty.json(
			'{"z":1.50,"a":12345678901234567890123,"l":[{},[],{"k":null}],'
			.. '"t":"x,]}\\"y"}', 80) or { "none" }, "\n"), "none")
		eq(table.concat(pretty.json('{"z":1.50,"a":1e2,"l":[{},[],{"k":null}],'
			.. '"t":"x,]}\\"y"}', 80), "\n"), [[
{
  "z": 1.50,
  "a": 1e2,
  "l": [
    {},
    [],
    { "k": null }
  ],
  "t": "x,]}\"y"
}]])
		eq(pretty.json("[1, 2", 80), nil)
		eq(pretty.json("plain", 80), nil)
		eq(pretty.json("[]", 80), { "[]" })
	end)
end)

describe("results of calls", function()
	it("of a write are one line", function()
		local ctx = context()
		ctx.took = 0.0123
		eq(shown(ctx, result { value = "OK", ok = true }), "done OK, in 12 ms\n")
		eq(shown(ctx, result { value = 3, count = 3, ok = true }),
			"done 3, in 12 ms\n")
		eq(shown(ctx, result { command = "UPDATE 5", count = 5, ok = true }),
			"done UPDATE, 5 rows, in 12 ms\n")
		eq(shown(ctx, result { command = "INSERT 0 1", count = 1, ok = true }),
			"done INSERT, 1 row, in 12 ms\n")
		eq(shown(ctx, result { done = 99, failed = 0, unknown = 1, ok = false }),
			"not done 99, 1 unknown, in 12 ms\n")
		ctx.took = nil
		eq(shown(ctx, result { ok = true }), "done\n")
	end)
	it("of a file are its name and size", function()
		is(result { path = "/tmp/x", bytes = 3, count = 0, ok = true },
			"done /tmp/x, 3 bytes\n")
		is(result { path = "/tmp/d", bytes = 0, count = 7, ok = true },
			"done /tmp/d, 7\n")
	end)
	it("of a write with rows are these too", function()
		is(result { command = "INSERT 0 1", count = 1, ok = true,
			rows = { { id = 7 } } }, "id\n--\n 7\n(1 row)\ndone INSERT, 1 row\n")
	end)
	it("of a program are its output and its end", function()
		is(result { stdout = "a\nb\n", status = 0, seconds = 0.5, ok = true },
			"a\nb\n(exit 0, in 500 ms)\n")
		is(result { stdout = "", stderr = "bad", signal = "SIGTERM", seconds = 2 },
			"bad\n(exit SIGTERM, in 2.0 s)\n")
	end)
	it("of HTTP are status, time, and the body", function()
		local r = answer { status = 200, headers = { ["content-type"] =
			"application/json" }, body = '{"state":"open","n":{"a":1}}',
			timing = { total = 0.012, first_byte = 0.01 } }
		is(r, [[
200 · application/json · 28 bytes · 12 ms (first byte after 10 ms)
{
  "state": "open",
  "n": { "a": 1 }
}
]])
		is(answer { status = 503, headers = {}, body = "no\n" },
			"503 · 3 bytes\nno\n")
		is(answer { status = 204, headers = {}, body = "" }, "204 · 0 bytes\n")
	end)
end)

describe("the pager", function()
	local function command(set)
		return pager.command { settings = { pager = set } }
	end
	it("is what was set, less by itself, or none", function()
		eq(command "off", nil)
		eq(command "less", { "less", "-R", "-F", "-X", "-S" })
		eq(select(2, command "less").LESSSECURE, "1")
		eq(command "less -N", { "less", "-N" })
		eq(command "more", { "more" })
		eq(command "cat", nil)
		eq(command "grep x | less", { "/bin/sh", "-c", "grep x | less" })
	end)
	it("gets nothing that is no terminal's", function()
		local ctx = context()
		local rows = {}
		for i = 1, 500 do rows[i] = "line" end
		show.page(ctx, rows)
		eq(table.concat(ctx.out), ("line\n"):rep(500) .. "(500 values)\n")
	end, PLAIN)
	it("is given whole lines in pieces", function()
		local ctx = context()
		local out = pager.open(ctx)
		out:write(("0123456789\n"):rep(10000))
		out:close()
		ok(#ctx.out > 5)
		for _, piece in ipairs(ctx.out) do eq(piece:sub(-1), "\n") end
		eq(#table.concat(ctx.out), 110000)
	end, PLAIN)
end)
