-- Specs of run.check: the static check of source text: syntax, globals, modules
-- and tests of a write's result, each with its line. Runs nothing of what it
-- checks. Owns nothing.
local check = require "run.check"

local function problems(source, names, opts)
	local out = {}
	for _, p in ipairs((check.source(source, "@dir/x.lua", names, opts))) do
		out[#out + 1] = check.format(p)
	end
	return out
end

local NAMES = { print = true, cache = true, string = true, require = true }

describe("check.source", function()
	it("has nothing to say about good source", function()
		eq(problems("local x = string.rep('a', 2)\nprint(x, cache)", NAMES), {})
		eq(problems("", NAMES), {})
	end)

	it("names undefined globals, with what is near", function()
		eq(problems("print(1)\npirnt(2)", NAMES), {
			"dir/x.lua:2: undefined global 'pirnt' (did you mean 'print'?)" })
		eq(problems("return zzzzzz", NAMES),
			{ "dir/x.lua:1: undefined global 'zzzzzz'" })
		eq(#problems("return zzzzzz, zzzzzz", NAMES), 1)
	end)

	it("takes names as a list, and knows a default", function()
		eq(problems("return foo", { "foo" }), {})
		eq(problems("step('a', function() guard(1) end) log.info(try)"), {})
	end)

	it("warns of assigned globals, and knows them afterwards", function()
		eq(problems("x = 1\nreturn x", NAMES), { "dir/x.lua:1: warning: "
			.. "'x' is assigned as a global: write 'local' before its first use" })
		ok(problems("cache = 1", NAMES)[1]:find("replaced", 1, true))
	end)

	it("gives the line of a syntax error", function()
		local list = check.source("local x = 1\nlocal = 2", "@dir/x.lua", NAMES)
		eq(#list, 1)
		eq(list[1].line, 2)
		eq(list[1].severity, "error")
		eq(list[1].message, "<name> expected near '='")
	end)

	it("is not confused by the name of the file", function()
		local list = check.source("x y", "@a:1: b:2.lua", NAMES)
		eq(list[1].file, "a:1: b:2.lua")
		eq(list[1].line, 1)
	end)

	it("refuses precompiled Lua", function()
		local list = check.source(string.dump(function() end), "@x", NAMES)
		eq(#list, 1)
		ok(list[1].message:find("precompiled", 1, true))
	end)

	it("allows only opsh modules", function()
		eq(problems("local r = require 'opsh.redis'\nreturn r", NAMES), {})
		ok(problems("return require 'socket'", NAMES)[1]:find("opsh.*", 1, true))
		ok(problems("return require 'opsh.c.sys'", NAMES)[1])
		ok(problems("return require 'run.check'", NAMES)[1])
		ok(problems("return require 'opsh.nothing'", NAMES,
			{ is_module = function(n) return n == "opsh.redis" end })[1])
		eq(problems("return function(n) return require(n) end", NAMES), {})
	end)

	it("warns of tests of a write's result", function()
		local list = problems("if cache:unlink('a') then print(1) end\n"
			.. "local r = cache:set('a', 'b')\nif r == 'OK' then print(2) end",
			NAMES)
		eq(#list, 2)
		ok(list[1]:find(":1: warning: the result of 'unlink'", 1, true))
		ok(list[2]:find(":3: warning: '==' on the result of 'set'", 1, true))
		eq(problems("if cache:cmd('DEL', 'a') then print(1) end", NAMES)[2], nil)
		eq(#problems("if cache:cmd('DEL', 'a') then print(1) end", NAMES), 1)
		eq(problems("if cache:get 'a' == 'x' then print(1) end", NAMES), {})
	end)

	it("skips a first line for the shell, and a byte order mark", function()
		eq(problems("#!/usr/bin/env opsh\nprint(1)", NAMES), {})
		eq(problems("\xEF\xBB\xBF#!x\nprnt(1)", NAMES), {
			"dir/x.lua:2: undefined global 'prnt' (did you mean 'print'?)" })
	end)

	it("sorts by line", function()
		local list = problems("local function f() return b end\nreturn a, f", {})
		ok(list[1]:find(":1:", 1, true))
		ok(list[2]:find(":2:", 1, true))
	end)

	it("survives nesting without end", function()
		ok(#problems(("("):rep(100000), NAMES) >= 1)
		ok(#problems(("{"):rep(100000), NAMES) >= 1)
		ok(#problems(("do "):rep(100000), NAMES) >= 1)
	end)
end)
