-- co_corpus: what plain Lua and opsh must do alike. Each chunk calls W() where Lua code
-- can stand: it passes its arguments on, and may wait. Used by co_spec.lua, which
-- runs them. Data only: "name", then source.
return {
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
