-- report_spec: results, steps, errors and ends as text and as JSON lines; show.
-- The one writer is replaced by a list while a case runs. Owns nothing else; must
-- not begin a run.
local err = require "opsh.c.err"
local json = require "opsh.c.json"
local report = require "run.report"
local session = require "run.session"
local show = require "run.show"
local term = require "opsh.c.term"

-- Runs f; what was written to stdout and to stderr.
local function written(f)
	local write, ours = term.write, term.ours
	local texts = { "", "" }
	local _ <close> = setmetatable({}, { __close = function()
		term.write, term.ours = write, ours
	end })
	function term.write(fd, text) texts[fd] = texts[fd] .. text end
	term.ours = term.write
	f()
	return texts[1], texts[2]
end

-- The objects that f(a report) wrote; each line must be one.
local function objects(f)
	local out = written(function() f(report.new "jsonl") end)
	local list = {}
	for line in out:gmatch "([^\n]*)\n" do
		list[#list + 1] = json.decode(line, { binary = "escape" })
	end
	ok(out == "" or out:sub(-1) == "\n")
	return list
end

-- What a value is as the result of a run.
local function value_of(v)
	local list = objects(function(r) r:result(v) end)
	eq(#list, 1)
	eq(list[1].type, "result")
	return list[1].value
end

describe("jsonl values", function()
	it("are what they are", function()
		for _, v in ipairs { 1, -1.5, "a", "", true, false, { 1, 2 },
			{ a = { b = { "c" } } }, "\u{202e}", "a\0b" } do
			eq(value_of(v), v)
		end
		eq(value_of(math.mininteger), math.mininteger)
	end)
	it("keep bytes that are no text", function()
		eq(value_of "\xff\xfe", "\xff\xfe")
		eq(value_of { ["\xff"] = "\x80" }, { ["\xff"] = "\x80" })
	end)
	it("that are nothing are null", function()
		local out = written(function() report.new "jsonl":result(nil, term.null) end)
		eq(out, '{"type":"result","value":null}\n'
			.. '{"type":"result","value":null}\n')
	end)
	it("that JSON has no word for are words", function()
		eq(value_of(0 / 0), "nan")
		eq(value_of(math.huge), "inf")
		eq(value_of(-math.huge), "-inf")
		eq(value_of(print), "function")
		eq(value_of(io.stdout), tostring(io.stdout))
		eq(value_of(require("opsh.secret").env "X"), "[secret X]")
		eq(value_of(setmetatable({}, { __tostring = function() return "me" end })),
			"me")
		eq(value_of(setmetatable({}, { __tostring = function() error "no" end })),
			"table")
	end)
	it("that are lists or records are data, whatever they print as", function()
		local function me() return "me" end
		local named = { __tostring = me }
		eq(value_of(setmetatable({ 1, 2, { a = 1 } }, named)), { 1, 2, { a = 1 } })
		eq(value_of { setmetatable({ a = 1 }, named) }, { { a = 1 } })
		eq(value_of(setmetatable({ "x" }, { __tostring = me, __index = {} })),
			{ "x" })
		-- objects are what they print as: they have methods, or are to be closed
		eq(value_of(setmetatable({ a = 1 }, { __tostring = me, __index = {} })),
			"me")
		eq(value_of(setmetatable({ a = 1 }, { __tostring = me,
			__close = function() end })), "me")
	end)
	it("that say what they are by __tojson are that", function()
		local rows = setmetatable({}, { __tostring = function() return "(1 row)" end,
			__index = {}, __tojson = function() return { { id = 7 } } end })
		eq(value_of(rows), { { id = 7 } })
		eq(value_of { rows = rows }, { rows = { { id = 7 } } })
		local endless = setmetatable({}, {})
		getmetatable(endless).__tojson = function() return endless end
		eq(value_of(endless), "...")
	end)
	it("with holes have null there", function()
		eq(value_of { 1, nil, 3 }, { 1, json.null, 3 })
		eq(value_of { nil, 2 }, { json.null, 2 })
		-- a few in a large space are no list
		eq(value_of { [1000] = 1 }, { ["1000"] = 1 })
	end)
	it("of mixed keys have names", function()
		eq(value_of { 1, a = 2 }, { ["1"] = 1, a = 2 })
		eq(value_of { [1.5] = 1, [true] = 2, [-1] = 3 },
			{ ["1.5"] = 1, ["true"] = 2, ["-1"] = 3 })
		eq(value_of { [print] = 1 }, { [tostring(print)] = 1 })
		eq(value_of { [{}] = 1 }, { table = 1 })
	end)
	it("stay lists when they are empty", function()
		local out = written(function()
			report.new "jsonl":result(json.array(), {}, { json.array() })
		end)
		eq(out, '{"type":"result","value":[]}\n{"type":"result","value":{}}\n'
			.. '{"type":"result","value":[[]]}\n')
	end)
	it("within themselves end", function()
		local t = { 1 }
		t[2], t[3] = t, { t }
		eq(value_of(t), { 1, "(a table within itself)",
			{ "(a table within itself)" } })
		local same = { "x" }
		eq(value_of { same, same }, { { "x" }, { "x" } })
	end)
	it("that are deep end", function()
		local t = {}
		for _ = 1, 5000 do t = { t } end
		local depth, v = 0, value_of(t)
		while type(v) == "table" do depth, v = depth + 1, v[1] end
		eq(v, "...")
		ok(depth > 90 and depth < 128, depth)
	end)
	it("that are errors show their fields", function()
		eq(value_of(err.new { kind = "timeout", message = "late", code = "X" }),
			{ kind = "timeout", message = "late", code = "X" })
	end)
	it("whose metamethods raise raise here", function()
		raises("from pairs", value_of, setmetatable({}, { __pairs = function()
			error "from pairs"
		end }))
	end)
end)

describe("jsonl prints", function()
	it("are one object each", function()
		eq(objects(function(r)
			r.print "a\n"
			r.print "b\nc\n"
			r.print "\n"
		end), { { type = "print", text = "a" }, { type = "print", text = "b\nc" },
			{ type = "print", text = "" } })
	end)
	it("are gathered up to the end of the line", function()
		eq(objects(function(r)
			r.print "a"
			r.print "b"
			r.print "c\n"
		end), { { type = "print", text = "abc" } })
	end)
	it("come before what follows them", function()
		eq(objects(function(r)
			r.print "a"
			r:result(1)
		end), { { type = "print", text = "a" }, { type = "result", value = 1 } })
	end)
end)

describe("jsonl errors", function()
	it("have the fields of the error", function()
		eq(objects(function(r)
			r:error(err.new { kind = "server", code = "WRONGTYPE",
				message = "no", target = "cache", op = "GET", phase = "read",
				outcome = "failed", hint = "look" }, 1)
		end), { { type = "error", kind = "server", code = "WRONGTYPE",
			message = "no", target = "cache", op = "GET", phase = "read",
			outcome = "failed", hint = "look", exit = 1 } })
	end)
	it("may be any value", function()
		for _, case in ipairs { { "text", "text" }, { 12, "number" },
			{ { a = 1 }, 'error value {"a":1}' }, { print, "function" } } do
			local o = objects(function(r) r:error(case[1], 1) end)[1]
			eq({ o.type, o.kind, o.message }, { "error", "lua", case[2] })
		end
		local o = objects(function(r)
			r:error(setmetatable({}, { __pairs = function() error "no" end }), 1)
		end)[1]
		eq(o.message, "table")
	end)
end)

describe("text errors", function()
	local function told(e, code)
		local _, text = written(function() report.new():error(e, code or 1) end)
		return text
	end
	it("say what, where, and what to do", function()
		eq(told(err.new { kind = "server", code = "WRONGTYPE", message = "no",
			target = "cache", op = "GET", phase = "read", outcome = "failed",
			hint = "look" }), "opsh: server: no\n"
			.. "  target cache · op GET · code WRONGTYPE · phase read · "
			.. "outcome failed\n  hint: look\n")
	end)
	it("of many lines can't pass for another's", function()
		local text = told(err.new { kind = "server",
			message = "a\nrun X: exit 0" })
		eq(text, "opsh: server: a\n  run X: exit 0\n")
	end)
	it("are followed by the writes in doubt", function()
		local function doubt(intents)
			local _, text = written(function() report.new():doubt(intents) end)
			return text
		end
		eq(doubt {}, "  in doubt: look at the target before you run anything "
			.. "again\n")
		eq(doubt { { request = "SET a\nb 1", target = "cache" },
			{ verb = "produce", target = "events" } }, "  in doubt: 'SET "
			.. "a\\nb 1' on 'cache', 'produce' on 'events': look at the target "
			.. "before you run anything again\n")
		eq(objects(function(r)
			r:doubt { { step = "s", request = "SET a 1", verb = "SET",
				target = "cache", t = "now", seq = 3 } }
		end), { { type = "doubt", step = "s", target = "cache", verb = "SET",
			write = "SET a 1", at = "now" } })
	end)
	it("that are any value are shown", function()
		eq(told "text", "opsh: text\n")
		eq(told { 1, 2 }, "opsh: error value [1,2]\n")
	end)
	it("of Lua show the user's frames only", function()
		local function text(message, trace)
			return told(err.new { kind = "lua", message = message,
				traceback = "stack traceback:\n\t" .. trace })
		end
		eq(text("a.lua:3: no", "[C]: in function 'error'\n\ta.lua:3: in f\n\t"
			.. "a.lua:9: in g\n\topsh:run/script.lua:40: in h\n\t[C]: in ?"),
			"opsh: lua: a.lua:3: no\nstack traceback:\n"
			.. "\ta.lua:3: in f\n\ta.lua:9: in g\n")
		eq(text("a.lua:3: no", "a.lua:3: in f\n\t[C]: in function 'table.sort'"
			.. "\n\topsh:run/step.lua:1: in s\n\t[C]: in function 'xpcall'\n\t"
			.. "a.lua:9: in g"), "opsh: lua: a.lua:3: no\nstack traceback:\n"
			.. "\ta.lua:3: in f\n\t[C]: in function 'table.sort'\n"
			.. "\ta.lua:9: in g\n")
		eq(text("a.lua:3: no", "a.lua:3: in chunk\n\topsh:x.lua:1: in ?"),
			"opsh: lua: a.lua:3: no\n")
		-- an error of ours is shown whole
		ok(text("opsh:x.lua:1: bug", "opsh:x.lua:1: in f"):find "stack traceback")
	end)
end)

describe("text steps", function()
	local function told(fields)
		fields.name, fields.duration = fields.name or "one", 0.0123
		local _, text = written(function() report.new().step(fields) end)
		return (text:gsub("\27%[[%d;]*m", ""))
	end
	it("say how they ended", function()
		eq(told { state = "begin", writes = 0 }, "")
		eq(told { state = "done", writes = 0 }, "ok  one  (12 ms)\n")
		eq(told { state = "done", writes = 1, verified = true },
			"ok  one  (12 ms, 1 write)\n")
		eq(told { state = "done", writes = 2, verified = false },
			"done, unverified  one  (12 ms, 2 writes)\n")
		eq(told { state = "failed", writes = 0 }, "failed  one  (12 ms)\n")
	end)
	it("have names that can't pass for others", function()
		eq(told { state = "done", writes = 0, name = "a\nok  b\27[31m" },
			"ok  a\\nok  b\\x1b[31m  (12 ms)\n")
	end)
end)

describe("show", function()
	it("chooses the form by the value", function()
		eq(show.text(nil), "")
		eq(show.text "a\nb", "a\nb\n")
		eq(show.text(1.5), "1.5\n")
		eq(show.text(false), "false\n")
		eq(show.text { a = 1 }, "a  1\n")
		eq(show.text { 1, 2 }, "1\n2\n(2 values)\n")
		eq(show.text { { a = 1 } }, "a\n-\n1\n(1 row)\n")
		eq(show.text {}, "(0 rows)\n")
		eq(show.text(err.new { kind = "usage", message = "m" }), "usage: m\n")
	end)
	it("follows --output", function()
		local before = session.report
		local _ <close> = setmetatable({}, { __close = function()
			session.report = before
		end })
		session.report = report.new "jsonl"
		eq(written(function() show.show { 1 } end),
			'{"type":"result","value":[1]}\n')
		session.report = report.new "text"
		eq(written(function() show.show { 1 } end), "1\n(1 value)\n")
		session.report = false
		eq(written(function() show.show "x" end), "x\n")
	end)
	it("takes the options of a table", function()
		eq(show.text({ { a = 1, b = 2 } }, { columns = { "b" } }),
			"b\n-\n2\n(1 row)\n")
	end)
end)
