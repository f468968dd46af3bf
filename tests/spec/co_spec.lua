-- co_spec: plain Lua 5.4 as the judge. Each chunk below calls W() where Lua code
-- can stand; in lua5.4 W only passes its arguments on, here it waits as well.
-- What a chunk returns must be the same in every setting: no waits, waits, in a
-- coroutine, in a chain of coroutines, beside other tasks.
require "harness"
package.loaded.harness = nil	-- it is _G: messages would name it so
local task = require "opsh.task"
local err = require "opsh.c.err"

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

-- Chunks, "name" then source.
local CHUNKS = {
-- generators ----------------------------------------------------------------
"generator", [=[
	local out = {}
	for a, b in coroutine.wrap(function()
		for i = 1, 5 do W() coroutine.yield(i, W(i * 2)) W() end
	end) do W() out[#out + 1] = a .. ":" .. b end
	return table.concat(out, " ")]=],
"generator of generators", [=[
	local function gen(n) return coroutine.wrap(function()
		for i = 1, n do W() coroutine.yield(i) W() end end) end
	local out = {}
	for i in gen(3) do for j in gen(i) do for k in gen(j) do
		out[#out + 1] = W(i .. j .. k) end end end
	return table.concat(out, " ")]=],
"yields and waits interleaved through three levels", [=[
	local log = {}
	local inner = coroutine.wrap(function(...)
		log[#log + 1] = show{...}
		for i = 1, 3 do W() log[#log + 1] = show{coroutine.yield("i" .. i)}
			W() end
		return "inner done"
	end)
	local middle = coroutine.wrap(function(x)
		W() coroutine.yield("m1") local a = inner(x, 1) W()
		coroutine.yield(a) a = inner(W(2)) coroutine.yield(a)
		coroutine.yield((inner(3))) return W(inner(4))
	end)
	local outer = coroutine.wrap(function()
		for i = 1, 5 do W() coroutine.yield("o" .. i .. W(middle(i))) end
	end)
	for i = 1, 5 do log[#log + 1] = outer() end
	return log]=],
"values through yield and resume, nils and none", [=[
	local co = coroutine.create(function(...)
		W() local n = select("#", ...)
		local r = table.pack(coroutine.yield(n, nil, ...)) W()
		return r.n, W(table.unpack(r, 1, r.n)) end)
	local a = table.pack(coroutine.resume(co, nil, 2, nil))
	local b = table.pack(coroutine.resume(co, nil, nil))
	local c = table.pack(coroutine.resume(co))
	return a.n, a[2], a[5], b.n, b[2], c[1], c[2]]=],
"error in a generator inside a for loop", [=[
	for i in coroutine.wrap(function() W() coroutine.yield(1) W()
		error("broken") end) do W() end]=],
"error with a level and a position", [=[
	local co = coroutine.create(function() W() error("plain", 0) end)
	local co2 = coroutine.create(function() W()
		local function f() error("lev2", 2) end
		f() return 1 end)
	return {coroutine.resume(co)}, {coroutine.resume(co2)}]=],
"error through nested wraps gathers positions", [=[
	local function deep(n) if n == 0 then W() error("deep") end
		return coroutine.wrap(function() W() deep(n - 1) end)() end
	return pcall(deep, 4)]=],
"table errors pass wraps unchanged", [=[
	local e = {}
	local ok, got = pcall(coroutine.wrap(function() W() error(e) end))
	return ok, got == e]=],
"nil as an error", [=[
	return pcall(coroutine.wrap(function() W() error(nil) end))]=],
"error() in a coroutine, resume", [=[
	return coroutine.resume(coroutine.create(function() W() error() end))]=],
"resume of a dead one", [=[
	local co = coroutine.create(function() W() return 1 end)
	return {coroutine.resume(co)}, {coroutine.resume(co)},
		coroutine.status(co)]=],
"wrap of a dead one", [=[
	local f = coroutine.wrap(function() W() return 1 end)
	return f(), pcall(f)]=],
"resume of oneself and of the one around", [=[
	local outer
	outer = coroutine.create(function()
		W() local inner = coroutine.create(function()
			W() return coroutine.status(outer), coroutine.resume(outer) end)
		local r = {coroutine.resume(inner)}
		return r, {coroutine.resume(coroutine.running())} end)
	return coroutine.resume(outer)]=],
"wrap of the one around", [=[
	local f f = coroutine.wrap(function() W() return pcall(f) end)
	return f()]=],
"status at every point", [=[
	local log, co = {}
	local function note(c) log[#log + 1] = coroutine.status(c) end
	co = coroutine.create(function() note(co) W() note(co)
		local co2 = coroutine.create(function() W() note(co) end)
		note(co2) coroutine.resume(co2) note(co2)
		coroutine.yield() W() note(co) end)
	note(co) coroutine.resume(co) note(co) coroutine.resume(co) note(co)
	return log]=],
"running and isyieldable inside", [=[
	local co co = coroutine.create(function() W()
		local c, main = coroutine.running()
		return c == co, main, coroutine.isyieldable(),
			coroutine.isyieldable(co) end)
	return coroutine.resume(co)]=],
"isyieldable outside, in sort, in a metamethod", [=[
	local seen = {}
	local co = coroutine.wrap(function()
		table.sort({1, 2}, function(a, b) W()
			seen.sort = coroutine.isyieldable() return a < b end)
		local t = setmetatable({}, {__index = function() W()
			return coroutine.isyieldable() end})
		seen.index = t.x
		return seen end)
	return co()]=],
"yield across sort is refused, the sort's error is clean", [=[
	return coroutine.resume(coroutine.create(function()
		W() table.sort({3, 2, 1}, function(a, b) W() coroutine.yield(1)
			return a < b end) end))]=],
"yield inside pcall, xpcall, error after it", [=[
	local f = coroutine.wrap(function()
		local a = {pcall(function() W() coroutine.yield(1) W()
			error("after") end)}
		local b = {xpcall(function() W() coroutine.yield(2) W()
			error("x") end, function(m) return "h:" .. m end)}
		coroutine.yield(3)
		return a, b end)
	return f(), f(), f(), f()]=],
"arguments of the wrong type", [=[
	return {pcall(coroutine.create, 1)}, {pcall(coroutine.wrap)},
		{pcall(coroutine.resume, 1)}, {pcall(coroutine.status)},
		{pcall(coroutine.close, nil)}, {pcall(coroutine.isyieldable, 1)},
		{pcall(pcall)}, {pcall(xpcall)}, {pcall(xpcall, print)}]=],
"resume with too many arguments", [=[
	local co = coroutine.create(function(...) W() return select("#", ...) end)
	return coroutine.resume(co, table.unpack({}, 1, 5000))]=],
"many results", [=[
	local co = coroutine.create(function() W()
		return table.unpack({}, 1, 10000) end)
	return select("#", coroutine.resume(co))]=],
-- close -------------------------------------------------------------------------
"close of a suspended one runs handlers", [=[
	local log = {}
	local co = coroutine.create(function()
		local a <close> = setmetatable({}, {__close = function(_, e)
			W() log[#log + 1] = "a" .. tostring(e) end})
		local b <close> = setmetatable({}, {__close = function(_, e)
			W() log[#log + 1] = "b" .. tostring(e) end})
		W() coroutine.yield(1) end)
	coroutine.resume(co)
	log[#log + 1] = show{coroutine.close(co)}
	log[#log + 1] = coroutine.status(co)
	return log]=],
"close whose handler fails", [=[
	local co = coroutine.create(function()
		local a <close> = setmetatable({}, {__close = function(_, e)
			W() error("handler", 0) end})
		W() coroutine.yield(1) end)
	coroutine.resume(co)
	return {coroutine.close(co)}, {coroutine.close(co)},
		coroutine.status(co)]=],
"close of a failed one", [=[
	local co = coroutine.create(function() W() error("why", 0) end)
	coroutine.resume(co)
	return {coroutine.close(co)}, {coroutine.close(co)}]=],
"close of a new one, of a dead one", [=[
	local co = coroutine.create(function() end)
	local a = {coroutine.close(co)}
	return a, coroutine.status(co), {coroutine.close(co)},
		{coroutine.resume(co)}]=],
"close of the running one, and of the one around", [=[
	local outer outer = coroutine.create(function() W()
		return {pcall(coroutine.close, coroutine.running())},
			coroutine.wrap(function() W()
				return pcall(coroutine.close, outer) end)() end)
	return coroutine.resume(outer)]=],
"a wrap that fails closes its variables, last error wins", [=[
	local log = {}
	local ok, e = pcall(coroutine.wrap(function()
		local a <close> = setmetatable({}, {__close = function(_, e)
			W() log[#log + 1] = tostring(e) error("second", 0) end})
		W() error("first", 0) end))
	return ok, e, log]=],
-- to-be-closed variables ------------------------------------------------------------
"closing by return, break, goto, error", [=[
	local log = {}
	local function c(name) return setmetatable({}, {__close = function(_, e)
		W() log[#log + 1] = name .. ":" .. tostring(e) W() end}) end
	local function f() local x <close> = c "ret" W() return W(1, 2) end
	log[#log + 1] = select("#", f())
	for i = 1, 2 do local x <close> = c("brk" .. i) W() if i == 2 then break
		end end
	do local x <close> = c "goto" W() goto out end
	::out::
	pcall(function() local x <close> = c "err" local y <close> = c "err2"
		W() error("E", 0) end)
	for k in next, {1}, nil, c "for" do W() end
	return log]=],
"an error in __close replaces, and passes the ones below", [=[
	local log = {}
	local function c(name, fail) return setmetatable({}, {
		__close = function(_, e) W() log[#log + 1] = name .. ":"
			.. tostring(e) if fail then error(fail, 0) end end}) end
	local r = {pcall(function()
		local a <close> = c("a") local b <close> = c("b", "B")
		local d <close> = c("d", "D") W() error("body", 0) end)}
	local s = {pcall(function()
		local a <close> = c("a") local b <close> = c("b", "B2") return W(7)
		end)}
	return log, r, s]=],
"results survive handlers that wait", [=[
	local function f() local a <close> = setmetatable({}, {
		__close = function() W() local t = {} for i = 1, 100 do t[i] = {} end
		W() end})
		return W(1, nil, 3, nil) end
	return select("#", f()), f()]=],
"a value that can't be closed", [=[
	return pcall(function() local a <close> = W({}) end)]=],
-- metamethods ----------------------------------------------------------------------
"every metamethod", [=[
	local log = {}
	local function n(name) return function(a, b) W() log[#log + 1] = name
		return W(name) end end
	local mt = {}
	for _, k in ipairs{"add", "sub", "mul", "div", "mod", "pow", "unm",
		"idiv", "band", "bor", "bxor", "shl", "shr", "bnot", "concat", "len",
		"index", "call"} do mt["__" .. k] = n(k) end
	mt.__eq = n "eq" mt.__lt = n "lt" mt.__le = n "le"
	mt.__newindex = function(t, k, v) W() log[#log + 1] = k .. "=" .. v end
	local a, b = setmetatable({}, mt), setmetatable({}, mt)
	local r = {a + b, a - 1, 2 * a, a / b, a % b, a ^ b, -a, a // b, a & b,
		a | b, a ~ b, a << b, a >> b, ~a, a .. b, "x" .. a, a .. 1,
		#a, a.field, a[W(1)], a(1), a == b, a ~= b, a < b, a > b, a <= b,
		a >= b}
	a.k = "v"
	a[W "k2"] = W "v2"
	if a == b then r[#r + 1] = "eqtrue" end
	if a < b then r[#r + 1] = "lttrue" end
	while not (a <= b) do r[#r + 1] = "no" end
	return r, log]=],
"errors in metamethods", [=[
	local mt = {__index = function(t, k) W() error("no " .. k) end,
		__add = function() W() error({code = 7}) end,
		__lt = function() W() local x = nil + 1 end}
	local a = setmetatable({}, mt)
	local ok, e = pcall(function() return a + 1 end)
	return {pcall(function() return a.z end)}, e.code,
		{pcall(function() return a < a end)}]=],
-- two operands at a time: luaV_concat of Lua 5.4.4 reads the old stack when a
-- metamethod in the middle of a longer one makes the stack grow
"concat with metamethods on either side", [=[
	local m = setmetatable({}, {__concat = function(a, b) W()
		return (type(a) == "table" and "M" or a) ..
			(type(b) == "table" and "M" or b) end})
	return "a" .. m, m .. "b", 1 .. m, m .. m, ("a" .. m) .. ("b" .. m)
	]=],
"__index chains and rawget", [=[
	local t = setmetatable({}, {__index = setmetatable({}, {
		__index = function(_, k) W() return W(k .. "!") end})})
	return t.a, t["b"], rawget(t, "a"), (t.c .. t.d)]=],
"__pairs, __call, iterators as tables", [=[
	local p = setmetatable({}, {__pairs = function(t) W()
		return function(_, k) W() k = (k or 0) + 1
			if k < 4 then return k, W(k * k) end end, t, nil end})
	local out = {}
	for k, v in pairs(p) do W() out[#out + 1] = k .. "=" .. v end
	local it = setmetatable({}, {__call = function(_, s, c) W() c = c + 1
		if c <= s then return c end end})
	for i in it, 3, 0 do out[#out + 1] = W(i) end
	return out]=],
"__tostring, __name, tostring of what fails", [=[
	local a = setmetatable({}, {__tostring = function() W() return W "A" end})
	local b = setmetatable({}, {__tostring = function() W() error("ts", 0)
		end})
	local c = setmetatable({}, {__tostring = function() W() return 1 end})
	return tostring(a), {pcall(tostring, b)}, {pcall(tostring, c)},
		string.format("%s|%s", a, a), {pcall(string.format, "%s", b)}]=],
"__len in sort, unpack, concat, ipairs through __index", [=[
	local src = {10, 20, 30}
	local t = setmetatable({}, {__len = function() W() return 3 end,
		__index = function(_, i) W() return src[i] end,
		__newindex = function(_, i, v) W() src[i] = v end})
	local out = {table.unpack(t)}
	out[#out + 1] = table.concat(t, ",")
	table.sort(t, function(a, b) W() return a > b end)
	for i, v in ipairs(t) do out[#out + 1] = i .. "=" .. v end
	table.insert(t, W(40)) out[#out + 1] = src[4]
	return out]=],
"__gc does not disturb", [=[
	local n = 0
	for i = 1, 20 do setmetatable({}, {__gc = function() n = n + 1 end}) end
	collectgarbage() W() collectgarbage()
	return n == 20]=],
-- C functions that call back --------------------------------------------------------
"sort with waits", [=[
	local t = {} for i = 1, 40 do t[i] = (i * 37) % 41 end
	local n = 0
	table.sort(t, function(a, b) n = n + 1 if n % 7 == 0 then W() end
		return a < b end)
	return table.concat(t, " ")]=],
"sort whose comparator fails, or is invalid", [=[
	return {pcall(table.sort, {3, 1, 2}, function() W() error("cmp") end)},
		{pcall(table.sort, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10},
			function() W() return true end)}]=],
"gsub callbacks", [=[
	return string.gsub("a b c d", "%a", function(c) W() return c:upper() end),
		{pcall(string.gsub, "abc", ".", function() W() error("cb") end)},
		string.gsub("abc", "%w", setmetatable({}, {
			__index = function(_, k) W() return k .. k end}))]=],
"a coroutine inside a gsub callback", [=[
	local gen = coroutine.wrap(function() for i = 1, 10 do W()
		coroutine.yield(tostring(i)) end end)
	return (string.gsub("x x x", "x", function() W() return gen() end))]=],
"a wrap whose body sorts, called from a sort", [=[
	local function inner() return coroutine.wrap(function()
		local t = {3, 1, 2} table.sort(t, function(a, b) W() return a < b end)
		coroutine.yield(t[1]) return t[3] end) end
	local log = {}
	table.sort({2, 1}, function(a, b) local f = inner() log[#log + 1] = f()
		log[#log + 1] = W(f()) return a < b end)
	return log[1], log[2] ]=],
"load with a reader", [=[
	local parts = {"return ", "1", " + ", "2"}
	local i = 0
	local f = load(function() W() i = i + 1 return parts[i] end, "=r")
	return f(), {load(function() W() error("reader", 0) end)},
		{load(function() W() return {} end)}]=],
"load: errors and modes", [=[
	return {load("x =")}, {load("x", "=n")}, {pcall(load)}, {pcall(load, nil)},
		{load("return ...", "=n", "t", {})},
		load("return W == nil", "=n", "bt", {})(),
		{load("return 1", "=n", "b")}, {pcall(load, "x", {})}]=],
"load of bytecode as text", [=[
	return (load(string.dump(function() return 1 end), "=b", "t"))]=],
"require body waits", [=[
	package.preload["co_spec_x"] = function(name) W() package.preload[
		"co_spec_x"] = nil return {name = W(name)} end
	local m = require "co_spec_x"
	package.loaded["co_spec_x"] = nil
	return m.name]=],
"require body fails", [=[
	package.preload["co_spec_y"] = function() W() error("body", 0) end
	local r = {pcall(require, "co_spec_y")}
	package.preload["co_spec_y"] = nil
	return r]=],
"select, next, assert, error values", [=[
	return {pcall(assert, W(false))}, {pcall(assert, nil, "why")},
		{pcall(assert, false, {1})}, {pcall(error)}, {pcall(error, nil)},
		{pcall(error, 42)}, {pcall(error, true)}, {pcall(error, {1, 2})},
		{pcall(error, "s", 0)}, {pcall(error, "s", 1)}, {pcall(error, "s", 2)},
		{select(-1, W(1, 2))}]=],
-- protected calls ------------------------------------------------------------------
"pcall results, nested", [=[
	return pcall(pcall, pcall, function(...) W() return W(...) end, 1, nil, 3)
	]=],
"pcall of what can't be called", [=[
	return {pcall(1)}, {pcall(nil)}, {pcall({})},
		{pcall(setmetatable({}, {__call = function(self, x) W()
			return x end}), 5)}]=],
"errors after waits keep their place", [=[
	return {pcall(function() W() local x = nil; return x.y end)},
		{pcall(function() W() return #5 end)},
		{pcall(function() W() return {} .. "x" end)},
		{pcall(function() local t = W({}) t[nil] = 1 end)},
		{pcall(function() for i = 1, W(10), 0 do end end)},
		{pcall(function() return 1 < W("x") end)},
		{pcall(function() return math.tointeger(W(2.5)) + 1 end)},
		{pcall(function() return 1 // W(0) end)},
		{pcall(function() W(nil)() end)}]=],
"xpcall handlers", [=[
	local function h(...) return "H", ... end
	return {xpcall(function(...) W() return W(...) end, h, 1, nil)},
		{xpcall(error, h, "e")}, {xpcall(function() W() error({1}) end, h)},
		{xpcall(error, function(m) error("again", 0) end, "e")},
		{xpcall(error, function(m) return nil end, "e")},
		{xpcall(1, h)}]=],
"a handler sees the stack of the failure", [=[
	local function deep() W() local x = nil + 1 end
	local ok, tb = xpcall(deep, function(m) return debug.traceback(m, 1) end)
	return ok, (tb:gsub("\n.*", "")), tb:find("in upvalue 'deep'", 1, true)
		~= nil or tb:find("in function <c", 1, true) ~= nil
		or tb:find("in local 'deep'", 1, true) ~= nil]=],
"stack overflow is an error like others", [=[
	local function f() return 1 + f() end
	local ok, e = pcall(f)
	return ok, (e:match("stack overflow")), W(1)]=],
"a C stack overflow too", [=[
	local s = string.rep("(", 300) .. "1" .. string.rep(")", 300)
	local f, e = load("return " .. s)
	return f, (e:match("overflow")), W(1)]=],
"error in error handling", [=[
	local ok, e = xpcall(function() error("x") end, function(m) local y = nil
		.. 1 end)
	return ok, type(e)]=],
"deep pcall recursion", [=[
	local function f(n) if n == 0 then W() return "bottom" end
		return select(2, pcall(f, n - 1)) end
	return f(150)]=],
"deep wrap chain", [=[
	local function f(n) if n == 0 then W() coroutine.yield("y") W()
		error("e", 0) end
		local g = coroutine.wrap(function() W() return f(n - 1) end)
		coroutine.yield(g()) return g() end
	local g = coroutine.wrap(function() return f(60) end)
	local first = g()
	return first, pcall(g)]=],
"goto and repeat with upvalues and waits", [=[
	local fs, i = {}, 0
	repeat local j = W(i) fs[#fs + 1] = function() return j end i = i + 1
	until W(j) == 4
	local out = {} for _, f in ipairs(fs) do out[#out + 1] = f() end
	return table.concat(out, ",")]=],
"varargs across waits", [=[
	local function f(...) W() local a = {...} W()
		return select("#", ...), select(2, ...) end
	return f(1, nil, nil)]=],
"tail calls", [=[
	local function f(n) W() if n == 0 then return "end" end
		return f(n - 1) end
	return f(50)]=],
"integer for loops and float keys", [=[
	local out = {}
	for i = W(3), W(1), W(-1) do out[#out + 1] = W(i) end
	for i = 1.0, 2 do out[#out + 1] = W(i) end
	return out]=],
"math, utf8, os through waits", [=[
	return math.max(W(1, 5, 3)), utf8.char(W(8364)), #W("\u{20AC}"),
		("%5.2f|%q"):format(W(3.14159), W("a\nb"))]=],
}

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
