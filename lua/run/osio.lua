-- osio: Lua's os and io behind the boundary. Reading is free; what changes the
-- machine is an effect on the target 'local': judged, recorded, withheld in a
-- plan. Output goes through the one writer. os.exit ends the run, not the
-- process. Owns the replacements; must not open a file for writing unasked.
local effect = require "opsh.c.effect"
local err = require "opsh.c.err"
local term = require "opsh.c.term"
local session = require "run.session"
local sys = require "opsh.c.sys"

local real_io, real_os = io, os
local SIGINT = 2
local M = {}

local function quote(...)
	local parts = {}
	for n = 1, select("#", ...) do
		parts[n] = ("%q"):format(tostring((select(n, ...))))
	end
	return table.concat(parts, " ")
end

local function text(value, n, name)
	if type(value) ~= "string" then
		error(("bad argument #%d to '%s' (string expected, got %s)"):format(n,
			name, type(value)), 3)
	end
	return value
end

local function call(class, verb, request, f, ...)
	return effect.call(session.host(), class, verb, request, nil, f, ...)
end

-- os ------------------------------------------------------------------------

M.os = {
	clock = real_os.clock, date = real_os.date, difftime = real_os.difftime,
	getenv = real_os.getenv, time = real_os.time,
	setlocale = function(locale)
		if locale ~= nil then
			error("the locale of opsh is fixed", 2)
		end
		return real_os.setlocale()
	end,
}

function M.os.remove(path)
	return call("destructive", "remove", quote(text(path, 1, "remove")),
		real_os.remove, path)
end

function M.os.rename(from, to)
	return call("destructive", "rename", quote(text(from, 1, "rename"),
		text(to, 2, "rename")), real_os.rename, from, to)
end

function M.os.tmpname()
	return call("write", "tmpname", "", real_os.tmpname)
end

-- While it waits for the child, C ignores the Ctrl-C that ends the child: the
-- run ends with it all the same.
-- In jsonl its stdout is none of ours: it goes to stderr.
local function execute(command)
	if session.globals.output == "jsonl" then
		command = "exec 1>&2\n" .. command
	end
	local done, how, number = real_os.execute(command)
	if how == "signal" and number == SIGINT then sys.interrupt() end
	return done, how, number
end

function M.os.execute(command)
	if command == nil then return true end
	term.flush(1)
	return call("destructive", "execute", text(command, 1, "execute"),
		execute, command)
end

function M.os.exit(code)
	if code == nil or code == true then code = 0 end
	if code == false then code = 1 end
	if math.type(code) ~= "integer" or code < 0 or code > 255 then
		error("os.exit takes an integer from 0 to 255 or a boolean", 2)
	end
	session.exit = code
	sys.leave()		-- no pcall keeps it; returns while unwinding only
	error(err.new { kind = "cancelled", code = "EXIT", exit_code = code,
		message = ("os.exit(%d)"):format(code) }, 0)
end

-- io --------------------------------------------------------------------------

-- stdout and stderr as file objects.
local Stream = { __name = "FILE*" }
Stream.__index = Stream

function Stream:write(...)
	for n = 1, select("#", ...) do
		local v = select(n, ...)
		if type(v) ~= "string" and type(v) ~= "number" then
			error(("bad argument #%d to 'write' (string expected, got %s)")
				:format(n, type(v)), 2)
		end
		local report = self.fd == 1 and session.report
		if report and report.print then
			report.print(tostring(v))
		else
			term.write(self.fd, tostring(v))
		end
	end
	return self
end

function Stream:flush()
	term.flush()
	return self
end

function Stream.setvbuf() return true end
function Stream:seek() return nil, "cannot seek in " .. tostring(self) end
function Stream:close()
	return nil, "cannot close " .. tostring(self)
end
function Stream.lines() error("stream is open for writing only", 2) end
function Stream.read() return nil, "stream is open for writing only" end
function Stream:__tostring() return self.fd == 1 and "stdout" or "stderr" end

local stdout = setmetatable({ fd = 1 }, Stream)
local stderr = setmetatable({ fd = 2 }, Stream)

M.io = {
	stdin = real_io.stdin, stdout = stdout, stderr = stderr,
	lines = real_io.lines, read = real_io.read,
	type = function(f)
		if f == stdout or f == stderr then return "file" end
		return real_io.type(f)
	end,
}

function M.io.write(...) return stdout:write(...) end

function M.io.flush() return stdout:flush() end

function M.io.close(f)
	if f == nil then return stdout:close() end
	return f:close()
end

function M.io.open(path, mode)
	mode = mode or "r"
	if text(mode, 2, "open"):match "^rb?$" then
		return real_io.open(text(path, 1, "open"), mode)
	elseif not mode:match "^[rwa]%+?b?$" then
		error("bad argument #2 to 'open' (invalid mode)", 2)
	end
	-- a file that is there is lost by "w"
	local class = "write"
	if mode:match "^w" then
		local f = real_io.open(text(path, 1, "open"), "rb")
		if f then
			class = "destructive"
			f:close()
		end
	end
	return call(class, "open", quote(path, mode), real_io.open, path, mode)
end

function M.io.popen(command, mode)
	return call("destructive", "popen", quote(text(command, 1, "popen"),
		mode or "r"), real_io.popen, command, mode)
end

function M.io.tmpfile()
	return call("write", "tmpfile", "", real_io.tmpfile)
end

function M.io.input(file)
	if file == nil then return real_io.input() end
	return real_io.input(file)
end

function M.io.output(file)
	if file == nil then return stdout end
	error("io.output can't be redirected: open the file and write to it", 2)
end

return M
