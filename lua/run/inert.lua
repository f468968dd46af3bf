-- inert: an environment in which a playbook's file can be executed to read
-- about it (`opsh list`, `doc`, `check`): pure functions of Lua are real, all
-- else is one stand-in that takes every operation and does nothing. A count of
-- instructions ends what does not end by itself. Owns the stand-in.
local fail = require "run.fail"

local inert = {}

local STEP = 10000

-- How long the top level of a file may take; some 0.1 s.
inert.max_instructions = 10000000

local THING = {}
inert.thing = THING

local function same() return THING end
local function no() return false end

local meta = {
	__name = "opsh.inert", __metatable = false,
	__index = same, __call = same, __newindex = function() end,
	__len = function() return 0 end,
	__lt = no, __le = no,
	__pairs = function() return function() end end,
	__close = function() end,
	__tostring = function() return "(known when it runs)" end,
}
for name in ([[add sub mul div mod pow unm idiv band bor bxor shl shr bnot
	concat]]):gmatch("%a+") do
	meta["__" .. name] = same
end
setmetatable(THING, meta)

---Is it the stand-in?
---@param v any
---@return boolean
function inert.is(v)
	return rawequal(v, THING)
end

local spent		-- the limit of the present run was reached

local function rethrow(ok, ...)
	if spent then
		fail.config("its top level did not end within %d instructions "
			.. "(put the work into 'run')", inert.max_instructions)
	end
	return ok, ...
end

local function copy(t)
	local out = {}
	for k, v in pairs(t) do
		out[k] = v
	end
	return out
end

-- A finalizer would run later, among our own code.
local function set_metatable(t, mt)
	if type(mt) == "table" and rawget(mt, "__gc") ~= nil then
		mt = copy(mt)
		mt.__gc = nil
	end
	return setmetatable(t, mt)
end

local function get_metatable(v)
	return type(v) == "table" and getmetatable(v) or nil
end

local MAX_REP = 1 << 20

local function rep(s, n, sep)
	if type(s) == "string" and math.type(n) == "integer"
	   and (#s + #tostring(sep or "")) * n > MAX_REP then
		error("string.rep: result too large", 2)
	end
	return string.rep(s, n, sep)
end

---The environment; `names` are all the names that real runs have.
---@param names table<string, any>|string[]
---@return table env
function inert.environment(names)
	local env = {}
	for k, v in pairs(names) do
		env[type(k) == "string" and k or v] = THING
	end
	for _, name in ipairs { "assert", "error", "ipairs", "next", "pairs",
		"rawequal", "rawget", "rawlen", "rawset", "select", "tonumber",
		"tostring", "type" } do
		env[name] = _G[name]
	end
	for _, name in ipairs { "string", "table", "math", "utf8" } do
		env[name] = copy(_G[name])
	end
	env.string.rep = rep
	env.os = setmetatable({ time = os.time, date = os.date, clock = os.clock,
		getenv = os.getenv }, { __index = same })
	env.setmetatable, env.getmetatable = set_metatable, get_metatable
	env.pcall = function(...) return rethrow(pcall(...)) end
	env.xpcall = function(...) return rethrow(xpcall(...)) end
	env.print = function() end
	env._VERSION = _VERSION
	env._G = env
	return env
end

---Calls f, as pcall, within the limit of instructions. In a coroutine: a hook
---belongs to one, and that of the caller may be the host's (Ctrl-C).
---@param f function
---@return boolean ok, any value
function inert.run(f)
	local left = inert.max_instructions // STEP
	local co = coroutine.create(f)
	spent = false
	debug.sethook(co, function()
		left = left - 1
		if left <= 0 then
			spent = true
			error("too many instructions", 0)
		end
	end, "", STEP)
	local ok, value = coroutine.resume(co)
	if spent then
		ok, value = pcall(rethrow, false)
	end
	spent = false
	return ok, value
end

return inert
