-- env: the environment of user code (playbooks, scripts, -e): Lua's own
-- functions with os and io behind the boundary, opsh's modules, and, for
-- scripts and -e, the targets as globals. User code never sees the real _G,
-- the registry or a private module. Built lazily: start-up is most of it.
local fail = require "run.fail"
local session = require "run.session"

local env = {}

-- Names that are resolved on first use: a public module, or a function here.
local LAZY = {
	task = "opsh.task", json = "opsh.json", log = "opsh.log",
	progress = "opsh.progress", secret = "opsh.secret",
	timer = "opsh.timer", sh = "opsh.sh", fs = "opsh.fs",
	chart = "opsh.chart",
}
-- These reach the machine without a target, as a required module may: the targets
-- file says whether it may be written to.
local HOST = { sh = true, fs = true }
local OPSH = { null = true, step = true, guard = true, show = true,
	fail = true, system = true }

local COPIED = { "assert", "collectgarbage", "error", "getmetatable", "ipairs",
	"next", "pairs", "pcall", "rawequal", "rawget", "rawlen", "rawset",
	"select", "setmetatable", "tonumber", "tostring", "try", "type", "xpcall",
	"_VERSION" }
local LIBRARIES = { string = true, table = true, math = true, utf8 = true,
	coroutine = true }
local OTHERS = { print = true, load = true, dofile = true, loadfile = true,
	require = true, os = true, io = true, debug = true, package = true,
	warn = true }

---Every name that user code may use, without the targets.
---@return table<string, boolean>
function env.names()
	local names = { _G = true }
	for _, name in ipairs(COPIED) do names[name] = true end
	for _, set in ipairs { LAZY, OPSH, LIBRARIES, OTHERS } do
		for name in pairs(set) do names[name] = true end
	end
	return names
end

---The module that a global is, nil when it is none.
---@param name string
---@return string?
function env.module_of(name) return LAZY[name] end

---Is it a module that playbooks may require?
---@param name string
---@return boolean
function env.is_module(name)
	local sys = require "opsh.c.sys"
	return type(name) == "string" and name:match "^opsh%.[%l%d_.]+$" ~= nil
		and not name:match "^opsh%.c%."
		and sys.file("lua/" .. name:gsub("%.", "/") .. ".lua") ~= nil
end

local function copy(t)
	local out = {}
	for k, v in pairs(t) do out[k] = v end
	return out
end

local function say(stream, text)
	require("opsh.c.term").write(stream, text)
end

local function make_print()
	return function(...)
		local parts = table.pack(...)
		for n = 1, parts.n do parts[n] = tostring(parts[n]) end
		local text = table.concat(parts, "\t") .. "\n"
		local report = session.report
		if report and report.print then return report.print(text) end
		say(1, text)
	end
end

-- load and its kin: the user's environment is the default one.
local function make_load(e)
	return function(chunk, name, mode, ...)
		if select("#", ...) > 0 then return load(chunk, name, mode, (...)) end
		return load(chunk, name, mode, e)
	end
end

local function make_loadfile(e)
	return function(path, mode, ...)
		if type(path) ~= "string" then
			error("path of a file expected", 2)
		end
		local source = require "run.source"
		local ok, text = pcall(source.read, path, "file")
		if not ok then return nil, fail.text(text) end
		text = require("run.check").prepare(text)
		if select("#", ...) > 0 then
			return load(text, "@" .. path, mode, (...))
		end
		return load(text, "@" .. path, mode, e)
	end
end

local function make_require()
	return function(name)
		if not env.is_module(name) then
			fail.usage("cannot require '%s': playbooks require only opsh.*, "
				.. "and there is no such module", tostring(name))
		end
		session.host()
		return require(name)
	end
end

-- debug.getinfo without the function: the stack holds the runner's own.
local function getinfo(...)
	local args = table.pack(...)
	local at = type((...)) == "thread" and 2 or 1
	local here = at == 1 or (...) == coroutine.running()
	if here and math.type(args[at]) == "integer" then
		args[at] = args[at] + 2		-- this function and pcall
	end
	local ok, info = pcall(debug.getinfo, table.unpack(args, 1, args.n))
	if not ok then error(info, 2) end
	if info then info.func = nil end
	return info
end

local MAKE = {
	print = make_print, require = make_require, load = make_load,
	loadfile = make_loadfile,
	dofile = function(e)
		return function(path)
			local chunk, why = e.loadfile(path)
			if not chunk then fail.config("%s", why) end
			return chunk()
		end
	end,
	os = function() return require("run.osio").os end,
	io = function() return require("run.osio").io end,
	debug = function()
		return { traceback = debug.traceback, getinfo = getinfo }
	end,
	package = function() return { config = package.config } end,
	warn = function() return require("opsh.log").warn end,
	null = function() return require("opsh.c.term").null end,
	step = function() return require "run.step" end,
	guard = function() return require "run.guard" end,
	show = function() return require("run.show").show end,
	fail = function() return require("run.step_fail") end,
	system = function() return require "run.system" end,
}

local function find(e, name)
	local value
	if LAZY[name] then
		if HOST[name] then session.host() end
		value = require(LAZY[name])
	elseif LIBRARIES[name] then
		value = copy(_G[name])
	elseif MAKE[name] then
		value = MAKE[name](e)
	end
	return value
end

---A new environment. with_targets: targets of the configuration are globals.
---@param with_targets boolean
---@return table
function env.new(with_targets)
	local e = {}
	for _, name in ipairs(COPIED) do e[name] = _G[name] end
	e._G = e
	return setmetatable(e, { __metatable = false, __index = function(_, name)
		local value = find(e, name)
		if value == nil and with_targets and type(name) == "string" then
			local target = session.config().targets[name]
			if target then value = session.client(target) end
		end
		if value ~= nil then rawset(e, name, value) end
		return value
	end })
end

return env
