-- co_spec: plain Lua 5.4 as the judge. Each chunk of co_corpus.lua calls W() where Lua
-- code can stand; in lua5.4 W only passes its arguments on, here it waits as well.
-- What a chunk returns must be the same in every setting: no waits, waits, in a
-- coroutine, in a chain of coroutines, beside other tasks.
require "harness"
package.loaded.harness = nil	-- it is _G: messages would name it so
local task = require "opsh.task"
local err = require "opsh.c.err"
local CHUNKS = dofile "tests/spec/co_corpus.lua"

-- Runs in both: a value as text, without addresses.
local SHOW = [==[
local function show(v, depth)
	depth = depth or 0
	if type(v) == "string" then return ("%q"):format(v) end
	if type(v) == "function" or type(v) == "thread" or type(v) == "userdata"
		then return type(v) end
	if type(v) ~= "table" or depth > 4 then return tostring(v) end
	local parts, keys = {}, {}
	for k in next, v do keys[#keys + 1] = k end
	table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
	for _, k in ipairs(keys) do
		parts[#parts + 1] = ("[%s]=%s"):format(show(k, depth + 1),
			show(v[k], depth + 1))
	end
	return "{" .. table.concat(parts, ",") .. "}"
end
return function(text, W, wrap)
	local f, why = load(text, "=c", "t", setmetatable({ W = W, show = show },
		{ __index = _G }))
	if not f then return "does not load: " .. why end
	if wrap then f = wrap(f) end
	local out = table.pack(pcall(f))
	for i = 1, out.n do out[i] = show(out[i]) end
	return table.concat(out, " ")
end
]==]

-- The judge ------------------------------------------------------------------------

local function quote(s) return ("%q"):format(s) end

local function judge()
	local path = os.tmpname()
	local f = assert(io.open(path, "w"))
	f:write("local run = (function()\n", SHOW, "\nend)()\n",
		"local function W(...) return ... end\n")
	for i = 2, #CHUNKS, 2 do
		f:write(("io.write(('%%q'):format(run(%s, W)), ',\\n')\n"):format(
			quote(CHUNKS[i])))
	end
	f:close()
	local p = assert(io.popen("lua5.4 " .. path, "r"))
	local out = p:read "a"
	p:close()
	os.remove(path)
	local results = assert(load("return {" .. out .. "}"))()
	eq(#results, #CHUNKS // 2, "results of lua5.4")
	return results
end

local run = assert(load(SHOW))()
local expected = judge()

local function plain(...) return ... end
local function wait(...) task.sleep(0) return ... end
local function wait_deep(...)
	-- a wait at the bottom of coroutines of its own
	coroutine.wrap(function()
		coroutine.wrap(function() task.sleep(0) end)()
	end)()
	return ...
end
local function in_coroutine(f)
	return function()
		local co = coroutine.create(f)
		local out = table.pack(coroutine.resume(co))
		if not out[1] then
			coroutine.close(co)
			error(out[2], 0)
		end
		return table.unpack(out, 2, out.n)
	end
end
local function chain(f)
	for _ = 1, 20 do f = in_coroutine(f) end
	return f
end

local SETTINGS = {
	{ "without waits", plain }, { "with waits", wait },
	{ "with waits in coroutines", wait_deep },
	{ "in a coroutine", wait, in_coroutine },
	{ "in twenty coroutines", wait, chain },
	{ "called from a sort", wait, function(f)
		return function()
			local out
			table.sort({ 2, 1 }, function(a, b)
				if not out then out = table.pack(pcall(f)) end
				return a < b
			end)
			if not out[1] then error(out[2], 0) end
			return table.unpack(out, 2, out.n)
		end
	end },
}

for _, setting in ipairs(SETTINGS) do
	describe("as plain Lua, " .. setting[1], function()
		for i = 1, #CHUNKS, 2 do
			it(CHUNKS[i], function()
				eq(run(CHUNKS[i + 1], setting[2], setting[3]),
					expected[(i + 1) // 2])
			end)
		end
	end)
end

describe("as plain Lua, beside", function()
	it("each other, all chunks at once", function()
		local got = {}
		local fs = {}
		for i = 1, #CHUNKS, 2 do
			-- these use a module name or count collections
			if not CHUNKS[i]:find "require" and not CHUNKS[i]:find "__gc" then
				fs[#fs + 1] = function()
					got[i] = run(CHUNKS[i + 1], wait)
				end
			end
		end
		task.all(fs)
		for i, text in pairs(got) do
			eq(text, expected[(i + 1) // 2], CHUNKS[i])
		end
	end)
end)

-- What plain Lua does not have ------------------------------------------------------

describe("depth", function()
	it("waits at the bottom of 90 coroutines", function()
		local function f(n)
			if n == 0 then
				task.sleep(0)
				return "bottom"
			end
			return coroutine.wrap(f)(n - 1)
		end
		eq(f(90), "bottom")
		eq(task.all(function() return f(60) end, function() return f(60) end),
			"bottom")
	end)

	it("is limited as in plain Lua: an error, no crash", function()
		local function f(n)
			task.sleep(0)
			return coroutine.wrap(f)(n + 1)
		end
		raises("overflow", f, 1)
		local function g(n)
			local r
			table.sort({ 1, 2 }, function(a, b)
				task.sleep(0)
				r = r or g(n + 1)
				return a < b
			end)
		end
		raises("overflow", g, 1)
	end)

	it("as deep as plain Lua goes", function()
		local p = io.popen([[lua5.4 -e '
			local d = 0
			local function f(n) d = n coroutine.wrap(f)(n + 1) end
			pcall(f, 1) print(d)']])
		local limit = tonumber(p:read "l")
		p:close()
		local deepest = 0
		local function f(n)
			deepest = n
			task.sleep(0)
			coroutine.wrap(f)(n + 1)
		end
		raises("overflow", f, 1)
		ok(deepest >= limit - 12, ("%d levels, plain Lua has %d"):format(
			deepest, limit))
	end)
end)

describe("a coroutine that waits", function()
	it("can't be resumed, closed or wrapped by another task", function()
		local co = coroutine.create(function()
			task.sleep(0.02)
			coroutine.yield "mine"
		end)
		local got
		task.all(function()
			got = { coroutine.resume(co) }
		end, function()
			eq(coroutine.status(co), "normal")
			local fine, why = coroutine.resume(co)
			eq(fine, false)
			ok(why:find "non%-suspended")
			raises("cannot close a normal coroutine", coroutine.close, co)
		end)
		eq(got, { true, "mine" })
		eq(coroutine.status(co), "suspended")
		eq(coroutine.close(co), true)
	end)

	it("may be passed from task to task between its waits", function()
		local gen = coroutine.wrap(function()
			for n = 1, 20 do
				task.sleep(0)
				coroutine.yield(n)
			end
		end)
		local sum, busy = 0, false
		local function take()
			for _ = 1, 10 do
				while busy do task.sleep(0) end
				busy = true
				local n = gen()
				busy = false
				sum = sum + n
			end
		end
		task.all(take, take)
		eq(sum, 210)
	end)

	it("is collected while suspended after a wait", function()
		local weak = setmetatable({}, { __mode = "k" })
		do
			local co = coroutine.create(function()
				task.sleep(0)
				coroutine.yield()
			end)
			weak[co] = true
			coroutine.resume(co)
		end
		collectgarbage()
		collectgarbage()
		eq(next(weak), nil)
	end)

	it("a task's own coroutine can't be taken by others", function()
		local co = coroutine.running()
		task.all(function()
			eq(coroutine.status(co), "normal")
			eq((coroutine.resume(co)), false)
			raises("cannot close", coroutine.close, co)
		end)
		local inner
		local h = task.spawn(function()
			inner = coroutine.running()
			task.sleep(0)
			return "kept"
		end)
		task.sleep(0)
		eq((coroutine.resume(inner)), false)
		raises("cannot close", coroutine.close, inner)
		eq(h:wait(), "kept")
		eq(coroutine.status(inner), "dead")
		eq((coroutine.resume(inner)), false)
		coroutine.close(inner)
		eq(h:wait(), "kept")
	end)

	it("yield outside of a coroutine is an error, also in a task", function()
		raises("outside a coroutine", coroutine.yield, 1)
		task.all(function()
			eq(coroutine.isyieldable(), false)
			eq(select(2, coroutine.running()), true)
			raises("outside a coroutine", coroutine.yield)
			raises("", function()
				table.sort({ 2, 1 }, function() coroutine.yield() end)
			end)
		end)
	end)
end)

describe("a wait where Lua can't yield lets others go on", function()
	for name, f in pairs {
		sort = function()
			table.sort({ 2, 1 }, function(a, b)
				task.sleep(0.03)
				return a < b
			end)
		end,
		gsub = function()
			string.gsub("xx", "x", function() task.sleep(0.03) end)
		end,
		tostring = function()
			tostring(setmetatable({}, { __tostring = function()
				task.sleep(0.03)
				return ""
			end }))
		end,
		reader = function()
			load(function() task.sleep(0.03) end)
		end,
		["close of a coroutine"] = function()
			local co = coroutine.create(function()
				local _ <close> = setmetatable({}, { __close = function()
					task.sleep(0.03)
				end })
				coroutine.yield()
			end)
			coroutine.resume(co)
			coroutine.close(co)
		end,
		["wait in a coroutine in sort"] = function()
			table.sort({ 2, 1 }, function(a, b)
				coroutine.wrap(function() task.sleep(0.03) end)()
				return a < b
			end)
		end,
	} do
		it(name, function()
			local n, stop = 0, false
			task.all(function()
				f()
				stop = true
			end, function()
				while not stop do
					n = n + 1
					task.sleep(0)
				end
			end)
			ok(n > 2, "the other task ran " .. n .. " times")
		end)
	end

	it("waits in sorts of many tasks at once", function()
		local done = 0
		local fs = {}
		for i = 1, 30 do
			fs[i] = function()
				table.sort({ 2, 1 }, function(a, b)
					task.sleep(0.002 * (i % 5))
					return a < b
				end)
				done = done + 1
			end
		end
		task.all(fs)
		eq(done, 30)
	end)

	it("more nested loops than are allowed to run others", function()
		local done = 0
		local fs = {}
		for i = 1, 100 do
			fs[i] = function()
				string.gsub("x", "x", function() task.sleep(0.001) end)
				done = done + 1
			end
		end
		task.all(fs)
		eq(done, 100)
	end, { plain = true })
end)

describe("try", function()
	it("returns results, or nil and an error object", function()
		eq({ try(wait, 1, nil, 3) }, { 1, nil, 3 })
		eq(select("#", try(function() end)), 0)
		local v, e = try(function() wait() error "no" end)
		eq(v, nil)
		ok(err.is(e))
		eq(e.kind, "lua")
		ok(e.message:find "co_spec.lua:%d+: no")
		ok(e.traceback:find "traceback")
		local foreign = {}
		eq(select(2, try(error, foreign)), foreign)
	end)

	it("never looks like success", function()
		for _, value in ipairs { "nil", "42", "false", "true" } do
			local v, e = try(load("error(" .. value .. ")"))
			eq(v, nil, value)
			ok(err.is(e), value)
			eq(e.kind, "lua")
			eq(e.message, value)
		end
		local v, e = try(load("error()"))
		eq(v, nil)
		ok(err.is(e))
		raises("value expected", try)
		v, e = try(string.rep, "x", 1 << 30)
		eq(v, nil)
		eq({ e.kind, e.code }, { "limit", "ENOMEM" })
	end)
end)
