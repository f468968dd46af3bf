-- fail: how the runner's Lua modules raise. One error object a failure
-- (DESIGN 1.5), so that the exit code follows from its kind. Owns nothing;
-- must not format anything but the message it is given.
local err = require "opsh.c.err"

local fail = {}

---Raises an error object with these fields; kind and message are required.
---@param fields table kind, message, and optionally code, target, hint
function fail.raise(fields)
	error(err.new(fields), 0)
end

---Raises kind "config": the targets file, a playbook or a parameter of it.
---@param fmt string as string.format
function fail.config(fmt, ...)
	fail.raise { kind = "config", message = fmt:format(...) }
end

---Raises kind "usage": the command line, or a call made the wrong way.
---@param fmt string as string.format
function fail.usage(fmt, ...)
	fail.raise { kind = "usage", message = fmt:format(...) }
end

---Text of any error value, an error object's message first.
---@param e any
---@return string
function fail.text(e)
	if err.is(e) then
		return e.message or tostring(e)
	end
	return tostring(e)
end

fail.is = err.is

local function keep_trace(e)
	if type(e) ~= "string" then return e end
	return err.new { kind = "lua", message = e,
		traceback = debug.traceback(nil, 2) }
end

---As pcall, for what is raised again: an error of Lua keeps the frames that it
---came from, as those are what its author looks for.
---@param f function
---@return boolean ok, any ... its results, or the error
function fail.protect(f, ...)
	return xpcall(f, keep_trace, ...)
end

return fail
