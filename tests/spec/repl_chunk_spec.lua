-- Specs of repl.chunk and repl.lex: what is an entry, when it is whole, which of
-- its locals the session keeps, and tokens of texts that are cut off anywhere.
-- Pure: no terminal, nothing is run but what a test loads.
local chunk = require "repl.chunk"
local lex = require "repl.lex"

local function state(text)
	local run, why = chunk.compile(text, "=entry 1", {})
	if run then return "whole" end
	return why == "more" and "more" or "wrong"
end

-- What an entry gives, in an environment that outlives it.
local function value(env, text)
	local run, why = chunk.compile(text, "=entry 1", env)
	if not run then error(why, 0) end
	return run()
end

describe("repl.chunk.compile", function()
	it("knows what goes on", function()
		for _, text in ipairs { "(42", "f(", "{ 1,", "x =", "x = 1 +", "do",
			"if a then", "for n = 1, 2 do", "repeat", "function f()",
			"local function f()", "[[one", "s = [==[ ]]", "--[[ open",
			"f{", "a:b", "local t = {", "return (", "x = 'a\\",
			"while true do if x then end", "= 1 +", "goto", "1 +" } do
			eq(state(text), "more", text)
		end
	end)

	it("knows what is whole", function()
		for _, text in ipairs { "", " ", "42", "(42\n)", "f", "f(x)", "x = 1",
			"-- only a comment", "1 -- comment", "--[[ closed ]]", "[[two\nlines]]",
			"do end", "return 1, 2", "= 1", " =1+1", "x", "'a\\\nb'", "f\n(x)",
			"local x <const> = 1", "goto done ::done::", "...", "nil" } do
			eq(state(text), "whole", text)
		end
	end)

	it("knows what is wrong at once", function()
		for _, text in ipairs { "x = = 2", "'open", '"open', "x y z", ")", "end",
			"1 + + 2", "for in", "= x y", "]]", "f(]", "local 1" } do
			eq(state(text), "wrong", text)
		end
	end)

	it("tells an expression's fault as one", function()
		local _, why = chunk.compile("1 + * 2", "=entry 1", {})
		eq(why, "entry 1:1: unexpected symbol near '*'")
		_, why = chunk.compile("x = = 2", "=entry 1", {})
		eq(why, "entry 1:1: unexpected symbol near '='")
	end)

	it("gives all values, and nils between", function()
		eq(select("#", value({}, "nil, 1, nil")), 3)
		eq(select("#", value({}, "local x")), 0)
		eq({ value({}, "= 1, 2 -- both") }, { 1, 2 })
		eq({ value({}, "return 3") }, { 3 })
	end)

	it("places an error in its line, not in a caller's", function()
		local ok, e = pcall(value, { error = error },
			"(function()\nerror 'here' end)()")
		eq(ok, false)
		eq(tostring(e), "entry 1:2: here")
	end)
end)

describe("repl.chunk.lift", function()
	it("keeps top-level locals for what follows", function()
		local env = { tostring = tostring }
		value(env, "local a, b <const> = 1, 2")
		eq(value(env, "a + b"), 3)
		value(env, "local function fact(n) return n < 2 and 1 or n * fact(n - 1) end")
		eq(value(env, "fact(5)"), 120)
		value(env, "local a")
		eq(value(env, "a"), nil)
		value(env, "local x = 1 local y = x + 1 x = y")
		eq({ value(env, "x, y") }, { 2, 2 })
	end)

	it("leaves what is inside, and what is closed", function()
		for _, text in ipairs { "do local x = 1 end", "local x <close> = f()",
			"function f() local x end", "for n = 1, 2 do local x = n end",
			"if a then local x = 1 end", "repeat local x = 1 until x",
			"while a do local x end", "f(function() local x = 1 end)",
			"s = 'local x'", "-- local x", "s = [[\nlocal x\n]]",
			"t = { f = function() local y end }", "localx = 1" } do
			eq(chunk.lift(text), text, text)
		end
	end)

	it("moves no line", function()
		eq(chunk.lift "local a\nlocal b\n= 2\nlocal c <const>,\nd", "      a = nil\n"
			.. "      b\n= 2\n      c        ,\nd = nil")
		eq(chunk.lift "do end local x = 1", "do end       x = 1")
		eq(chunk.lift "local", "local")
		eq(chunk.lift "local function f() end", "      function f() end")
	end)
end)

describe("repl.chunk.empty", function()
	it("is true for blanks and comments", function()
		eq(chunk.empty " \n\t-- x\n--[[ y ]]", true)
		eq(chunk.empty "x", false)
	end)
end)

local function kinds(text)
	local out = {}
	for n, token in ipairs(lex.tokens(text, true)) do
		out[n] = token.kind .. (token.whole and "" or "!") .. ":" .. token.text
	end
	return out
end

describe("repl.lex", function()
	it("reads what Lua reads", function()
		eq(kinds "local x = 0x1p4 + .5e-3 .. 'a\\'b' --c\n[==[l]]]==]", {
			"keyword:local", "name:x", "sign:=", "number:0x1p4", "sign:+",
			"number:.5e-3", "sign:..", "string:'a\\'b'", "comment:--c",
			"string:[==[l]]]==]" })
		eq(kinds "a.b:c(...)", { "name:a", "sign:.", "name:b", "sign::", "name:c",
			"sign:(", "sign:...", "sign:)" })
		eq(kinds "'a\\z  \n b' x", { "string:'a\\z  \n b'", "name:x" })
	end)

	it("says where a text is cut off", function()
		eq(kinds "x = 'ab", { "name:x", "sign:=", "string!:'ab" })
		eq(kinds "'ab\nc", { "string!:'ab", "name:c" })
		eq(kinds "[[ab", { "string!:[[ab" })
		eq(kinds "--[[ab", { "comment!:--[[ab" })
		eq(kinds "'a\\", { "string!:'a\\" })
		eq(kinds "\xff\xfe", { "sign:\xff", "sign:\xfe" })
	end)

	it("covers every text, whatever is in it", function()
		local bytes = { "'", '"', "[", "=", "-", "\\", "\n", "a", "1", ".", "\xc3" }
		local seed = 7
		for _ = 1, 300 do
			local parts = {}
			for n = 1, 12 do
				seed = (seed * 1103515245 + 12345) & 0x7fffffff
				parts[n] = bytes[(seed >> 8) % #bytes + 1]
			end
			local text, at = table.concat(parts), 1
			for _, token in ipairs(lex.tokens(text, true)) do
				ok(token.from >= at and token.to >= token.from, text)
				ok(not text:sub(at, token.from - 1):find "%S", text)
				at = token.to + 1
			end
			ok(not text:sub(at):find "%S", text)
		end
	end)
end)

-- Words of Lua in any order, which random bytes seldom are.
local WORDS = { "local", "x", "y", "=", "1", "function", "end", "(", ")", "{", "}",
	",", ";", "do", "if", "then", "else", "for", "in", "while", "repeat", "until",
	"return", "<const>", "<close>", "'a'", "[[", "]]", "[==[ ]] ]==]", "--", "--[[",
	"\n", ".", ":", "..", "+", "not", "f(x)", "'", "goto", "::l::", "local function",
	"local x", "local x =" }

local function speak(random, n)
	local out = {}
	for k = 1, n do out[k] = WORDS[random(#WORDS)] end
	return table.concat(out, " ")
end

describe("texts of Lua's words", function()
	it("stay Lua, line by line, when their locals are lifted", function()
		local seed, lua = 11, 0
		local function random(n)
			seed = (seed * 1103515245 + 12345) & 0x7fffffff
			return (seed >> 8) % n + 1
		end
		local function lines(text) return select(2, text:gsub("\n", "")) end
		for n = 1, 10000 do
			local text = speak(random, n % 12 + 1)
			local lifted = chunk.lift(text)
			eq(lines(lifted), lines(text), text)
			if load(text, "=x", "t", {}) then
				lua = lua + 1
				ok(load(lifted, "=x", "t", {}), text)
			end
			local run, why = chunk.compile(text, "=entry", {})
			ok(run or type(why) == "string" and why ~= "", text)
		end
		ok(lua > 300, lua)
	end, { plain = true })
end)
