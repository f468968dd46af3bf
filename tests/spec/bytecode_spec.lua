-- Specs of run.bytecode: what it reads from compiled chunks: globals, modules,
-- fields with their lines, tests of a write's result. Compiles, never runs what
-- it reads. Owns nothing.
local bytecode = require "run.bytecode"
local dump_read = require("run.dump").read

local function dump(source)
	return string.dump(assert(load(source, "=x", "t", {})))
end

local function uses(source, write)
	local names = {}
	for _, use in ipairs(bytecode.globals(dump(source))) do
		if use.write == write then
			names[#names + 1] = use.name .. ":" .. use.line
		end
	end
	table.sort(names)
	return table.concat(names, " ")
end

local function is_write(name, first)
	return name == "unlink" or name == "cmd" and first == "SET"
end

local function tests(source)
	local out = {}
	for _, t in ipairs(bytecode.tests(dump(source), is_write)) do
		out[#out + 1] = t.method .. t.how .. t.line
	end
	return table.concat(out, " ")
end

-- More constants than an instruction's field can name.
local function many_constants(tail)
	local lines = { "local t = {" }
	for n = 1, 300 do
		lines[#lines + 1] = ("%q,"):format("constant " .. n)
	end
	lines[#lines + 1] = "}"
	lines[#lines + 1] = tail
	return table.concat(lines, "\n")
end

describe("bytecode.globals", function()
	it("finds reads and writes with their lines", function()
		local source = "local a = foo\n\nbar = a\nfunction baz() return qux end"
		eq(uses(source, false), "foo:1 qux:4")
		eq(uses(source, true), "bar:3 baz:4")
	end)

	it("does not take locals and upvalues for globals", function()
		eq(uses("local x = 1; local function f() x = x + 1; return f end", false), "")
		eq(uses("local x = 1; local function f() x = x + 1; return f end", true), "")
	end)

	it("follows _ENV by where it comes from, not by its name", function()
		eq(uses("local _ENV = {}; foo = bar", false), "")
		eq(uses("local function f(_ENV) return foo end return f", false), "")
		eq(uses("local e = _ENV; return e.foo", false), "foo:1")
		eq(uses("return function() return function() return deep end end",
			false), "deep:1")
	end)

	it("sees the form for many constants", function()
		eq(uses(many_constants("return undefined_name"), false),
			"undefined_name:303")
		eq(uses(many_constants("undefined_name = 1"), true),
			"undefined_name:303")
	end)

	it("sees names too long for a short string", function()
		local name = ("n"):rep(60)
		eq(uses("return " .. name, false), name .. ":1")
		eq(uses(name .. " = 1", true), name .. ":1")
	end)

	it("gives the right line after long jumps between lines", function()
		eq(uses("local a = 1" .. ("\n"):rep(1000) .. "return foo", false),
			"foo:1001")
		local many = {}
		for n = 1, 400 do
			many[n] = "local _ = g" .. n % 7 .. " do _ = nil end do"
		end
		local source = table.concat(many, "\n", 1, 150) .. "\nreturn last "
			.. ("end "):rep(150)
		ok(uses(source, false):find("last:151", 1, true))
	end)
end)

describe("bytecode.requires", function()
	it("finds constant and computed names", function()
		local found = bytecode.requires(dump(
			"local a = require 'opsh.redis'\nlocal b = require('x' .. 'y')"))
		eq(found, { { line = 1, name = "opsh.redis" }, { line = 2 } })
	end)

	it("sees a local alias and a tail call", function()
		local found = bytecode.requires(dump(
			"local r = require\nlocal a = r 'm1'\nreturn require 'm2'"))
		eq(found, { { line = 2, name = "m1" }, { line = 3, name = "m2" } })
	end)
end)

describe("bytecode.fields", function()
	it("names the lines where fields are set", function()
		eq(bytecode.fields(dump("return {\n a = 1,\n b = {\n  a = 2,\n },\n}")),
			{ a = { 2, 4 }, b = { 3 } })
	end)

	it("gives the line where a function or table starts", function()
		local fields = bytecode.fields(dump(
			"return {\n run = function()\n  return 1\n end,\n x = 1,\n}"))
		eq(fields.run, { 2 })
		eq(fields.x, { 5 })
	end)
end)

describe("bytecode.shape", function()
	local shape = bytecode.shape(dump([[
return {
  name = "x",
  params = {
    a = { type = "string", help = "h" },
    b = { type = "number",
      help = "i" },
  },
  list = {
    "one",
    { deep = 1 },
  },
}]]))

	it("leads to the line of a path", function()
		eq(bytecode.line_of(shape, { "name" }), 2)
		eq(bytecode.line_of(shape, { "params" }), 3)
		eq(bytecode.line_of(shape, { "params", "b", "help" }), 6)
		eq(bytecode.line_of(shape, { "list", 2, "deep" }), 10)
	end)

	it("gives the deepest line known for the rest", function()
		eq(bytecode.line_of(shape, { "params", "b", "none" }), 5)
		eq(bytecode.line_of(shape, {}), 1)
		eq(bytecode.line_of(nil, { "x" }), nil)
	end)

	it("follows locals and later assignments", function()
		local s = bytecode.shape(dump(
			"local p = { a = 1 }\nlocal t = {\n params = p }\nt.more = 1\nreturn t"))
		eq(bytecode.line_of(s, { "params" }), 3)
		eq(bytecode.line_of(s, { "params", "a" }), 1)
		eq(bytecode.line_of(s, { "more" }), 4)
	end)

	it("is nil when no constructor is returned", function()
		eq(bytecode.shape(dump("return f { a = 1 }")), nil)
		eq(bytecode.shape(dump("local x = 1")), nil)
	end)
end)

describe("bytecode.returns", function()
	it("tells playbooks from scripts", function()
		eq(bytecode.returns(dump("return {}")), true)
		eq(bytecode.returns(dump("return f()")), true)
		eq(bytecode.returns(dump("if x then return 1 end")), true)
		eq(bytecode.returns(dump("local x = function() return 1 end")), false)
		eq(bytecode.returns(dump("do return end")), false)
		eq(bytecode.returns(dump("")), false)
	end)
end)

describe("bytecode.tests", function()
	it("finds truth tests of a write's result", function()
		eq(tests("if c:unlink('a') then f() end"), "unlinktruth1")
		eq(tests("local r = c:unlink('a')\nif not r then f() end"), "unlinktruth2")
		eq(tests("local r = c:unlink('a')\nlocal x = not r"), "unlinktruth2")
		eq(tests("local x = c:unlink('a') or 5"), "unlinktruth1")
		eq(tests("while c:unlink('a') do f() end"), "unlinktruth1")
	end)

	it("finds comparisons", function()
		eq(tests("local r = c:unlink('a')\nif r == 1 then f() end"), "unlink==2")
		eq(tests("if c:unlink('a') == 'OK' then f() end"), "unlink==1")
		eq(tests("local r = c:unlink('a')\nif r ~= x then f() end"), "unlink==2")
		eq(tests("local r = c:unlink('a')\nif nil == r then f() end"), "unlink==2")
	end)

	it("follows a copy, and stops at another value", function()
		eq(tests("local r = c:unlink('a')\nlocal s = r\nif s then f() end"),
			"unlinktruth3")
		eq(tests("local r = c:unlink('a')\nr = 5\nif r then f() end"), "")
		eq(tests("local r = c:unlink('a').count\nif r == 1 then f() end"), "")
	end)

	it("leaves reads and other calls alone", function()
		eq(tests("if c:get('a') then f() end"), "")
		eq(tests("c:unlink('a') if x then f() end"), "")
		eq(tests("if g(c:unlink('a')) then f() end"), "")
	end)

	it("asks about the first argument", function()
		eq(tests("if c:cmd('SET', 'k', 'v') then f() end"), "cmdtruth1")
		eq(tests("if c:cmd('GET', 'k') then f() end"), "")
	end)
end)

describe("dump.read", function()
	it("refuses what is no dump of this Lua", function()
		local good = dump("return 1")
		raises("wrong signature", function() dump_read("hello") end)
		raises("wrong signature", function() dump_read("") end)
		raises("version 0x53", function()
			dump_read(good:sub(1, 4) .. "\x53" .. good:sub(6))
		end)
		raises("another format", function()
			dump_read(good:sub(1, 5) .. "\1" .. good:sub(7))
		end)
		raises("sizes", function()
			dump_read(good:sub(1, 12) .. "\8" .. good:sub(14))
		end)
	end)

	it("refuses a dump that is cut anywhere", function()
		local good = dump("local a = {x = 1.5, y = 'z'} return function() return a end")
		for n = 0, #good - 1 do
			raises("not a Lua 5.4 function dump", function()
				dump_read(good:sub(1, n))
			end)
		end
		ok(dump_read(good))
	end)
end)
