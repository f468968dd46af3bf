-- secret: values that are never shown. A secret is an opaque object that prints
-- as its name; bindings read it, Lua can't. Where it comes from is asked only
-- when it is used, so that a targets file with twenty of them needs none to
-- reach one target. Must not keep a value in a Lua string of its own.
local c = require "opsh.c.secret"
local err = require "opsh.c.err"
local sys = require "opsh.c.sys"

local M = {}

local MAX = 65536

local function refuse(fmt, ...)
	error(err.new { kind = "config", message = fmt:format(...) }, 0)
end

local Lazy = {}
Lazy.__index = Lazy
Lazy.__name = "opsh.secret"
Lazy.__metatable = false
function Lazy:__tostring() return "[secret " .. Lazy.names[self] .. "]" end
Lazy.names = setmetatable({}, { __mode = "k" })
Lazy.sources = setmetatable({}, { __mode = "k" })
Lazy.values = setmetatable({}, { __mode = "k" })

local function wrap(text, name)
	text = text:gsub("\r?\n$", "")
	if text == "" then refuse("secret '%s' is empty", name) end
	local secret, masked = c.new(text, name)
	if not masked then
		require("opsh.log").warn("secret '%s' is too short or too common to "
			.. "be masked in output", name)
	end
	return secret
end

local function lazy(name, source)
	local s = setmetatable({}, Lazy)
	Lazy.names[s], Lazy.sources[s] = name, source
	return s
end

local function name_of(value, what)
	if type(value) ~= "string" or value == "" then
		error(("%s expected, got %s"):format(what, type(value)), 3)
	end
	return value
end

---A secret from an environment variable. What is set by now is masked from now on,
---so that nobody passes it on who reads the variable by himself.
---@param name string
---@return userdata secret
function M.env(name)
	name_of(name, "name of an environment variable")
	local now = (sys.getenv(name) or ""):gsub("\r?\n$", "")
	if now ~= "" then c.new(now, name) end
	return lazy(name, function()
		local text = sys.getenv(name)
		if not text then
			refuse("environment variable '%s' is not set (it holds a secret "
				.. "of the targets file)", name)
		end
		return text
	end)
end

---A secret from the first 64 KiB of a file; one newline at its end is dropped.
---The file must not be readable by others.
---@param path string
---@return userdata secret
function M.file(path)
	name_of(path, "path")
	return lazy(path, function()
		local st, why = sys.stat(path)
		if not st then refuse("cannot read secret file %s", why) end
		if st.mode & 4 ~= 0 then
			refuse("refusing secret file '%s': everybody can read it "
				.. "(chmod o-r)", path)
		end
		local text, problem = sys.read(path, MAX)
		if not text then refuse("cannot read secret file %s", problem) end
		return text
	end)
end

---A secret that a program prints on its stdout, run without a shell, at most
---30 s.
---@param argv string[] for example { "pass", "show", "redis/ops" }
---@return userdata secret
function M.command(argv)
	if type(argv) ~= "table" or type(argv[1]) ~= "string" then
		error("secret.command { PROGRAM, ARGUMENT, ... } expected", 2)
	end
	return lazy(argv[1], function()
		local r = require("opsh.c.child").run(argv, { timeout = 30, max = MAX })
		if r.signal or r.status ~= 0 then
			local said = r.stderr:match "[^\r\n]+"
			refuse("secret command '%s' failed: %s%s", argv[1], r.signal
				and "killed by signal " .. r.signal
				or "exit status " .. tostring(r.status),
				said and ": " .. said or "")
		end
		return r.stdout
	end)
end

---A secret that a person types, without echo. Refused without a terminal.
---@param text string what to ask, for example "Redis password: "
---@return userdata secret
function M.prompt(text)
	name_of(text, "text")
	return lazy("prompt", function()
		local value = require("opsh.c.term").prompt(text, { secret = true })
		if not value then
			refuse("no answer to '%s': a secret that is typed needs a "
				.. "terminal", text)
		end
		return value
	end)
end

---A secret from a string at hand. Better one of the others: the string stands
---in a file.
---@param text string
---@param name? string
---@return userdata secret
function M.value(text, name)
	if type(text) ~= "string" then
		error(("string expected, got %s"):format(type(text)), 2)
	end
	return wrap(text, name or "value")
end

---Is it a secret?
---@param v any
---@return boolean
function M.is(v)
	return c.is(v) or Lazy.names[v] ~= nil
end

---The secret itself of one that was not asked for yet; anything else as it is.
---For whoever hands options to a binding.
---@param v any
---@return any
function M.resolve(v)
	local source = Lazy.sources[v]
	if not source then return v end
	if not Lazy.values[v] then
		Lazy.values[v] = wrap(source(), Lazy.names[v])
	end
	return Lazy.values[v]
end

return M
