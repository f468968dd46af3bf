-- sh: programs of this machine, by argv: sh.run { "pg_dump", "-Fc", "flights" }.
-- No shell reads the arguments; sh.shell is there for those who want one. What
-- is not declared a read (effect = "read") is a write: recorded, withheld in a
-- plan. Waiting, killing and recording are the C module's. Owns no process.
local exec = require "opsh.c.exec"
local err = require "opsh.c.err"
local secret = require "opsh.secret"
local host = require("opsh.c.target").host()

local M = {}

---What stands beside the arguments of a program.
---@class opsh.sh.options
---@field effect? "read"|"write"|"destructive" what it does (default: write)
---@field timeout? number seconds (60; sh.start: none); then TERM to its group
---@field kill_after? number seconds from TERM to KILL (1)
---@field env? table<string, string|userdata|false> names and values, or secrets
---@field inherit? string[]|true names of ours that it gets too; true: all
---@field cwd? string folder that it runs in
---@field stdin? string|userdata|{file: string}|fun(): string?
---@field stdout? string|{file: string, append?: boolean} a path; sh.start: none
---@field stderr? "stdout"|string|{file: string, append?: boolean}
---@field max? integer bytes kept of each output (16 MiB)
---@field accept? integer[]|integer|true exit statuses that are no failure
---@field live? boolean its output is shown while it comes
---@field verb? string for the record and the guard
---@field request? string for the record
---@field expect? any the result that a plan goes on with

-- Options as playbooks write them -> what the binding takes.
local COMMON = { effect = "class", verb = "verb", request = "request",
	timeout = "timeout", kill_after = "kill_after", env = "env",
	inherit = "inherit", cwd = "cwd", stdin = "stdin", stderr = "stderr",
	max = "max", accept = "accept", expect = "expect" }
local RUN = setmetatable({ stdout = "stdout", live = "live" },
	{ __index = COMMON })

local function usage(level, fmt, ...)
	error(err.new { kind = "usage", message = fmt:format(...) }, level + 1)
end

local function known(names)
	local list = {}
	for _, set in ipairs { COMMON, names ~= COMMON and names or {} } do
		for name in pairs(set) do list[#list + 1] = name end
	end
	table.sort(list)
	return table.concat(list, ", ")
end

-- The values of env may be secrets that nobody has asked for yet.
local function resolve_env(env)
	if type(env) ~= "table" then return env end
	local out = {}
	for name, value in pairs(env) do out[name] = secret.resolve(value) end
	return out
end

local function as_file(value)
	if type(value) == "string" then return { file = value } end
	return value
end

-- The list part and the options of one table.
local function split(spec, names, what)
	if type(spec) ~= "table" then
		usage(3, "%s { PROGRAM, ARGUMENT, ... } expected, got a %s", what,
			type(spec))
	end
	local list, opts, n = {}, {}, #spec
	for key, value in pairs(spec) do
		if math.type(key) == "integer" and key >= 1 and key <= n then
			list[key] = value
		elseif type(key) == "string" and names[key] then
			opts[names[key]] = value
		else
			usage(3, "unknown option '%s' of %s (known: %s)", tostring(key),
				what, known(names))
		end
	end
	opts.env = resolve_env(opts.env)
	opts.stdin = secret.resolve(opts.stdin)
	opts.stdout = as_file(opts.stdout)
	if opts.stderr ~= "stdout" then opts.stderr = as_file(opts.stderr) end
	return list, opts
end

---Runs a program and waits for its end. Options stand beside the arguments:
---`effect` ("read": it changes nothing; "destructive"), `timeout` (60 s; TERM
---to its process group, then KILL after `kill_after`, 1 s), `env` (names and
---values, or secrets; false takes one away), `inherit` (names of ours that it
---gets too, or true for all: it has a clean environment else), `cwd`, `stdin`
---(a string, a secret, `{ file = PATH }`, a function that returns chunks and
---nil at the end; none: empty), `stdout` and `stderr` (a path or `{ file =,
---append = true }`; `stderr = "stdout"` joins them), `max` (bytes kept of each,
---16 MiB), `accept` (exit statuses that are no failure, or true), `live` (its
---output is shown while it comes), `verb` and `request` (for the record),
---`expect` (the result in a plan). Raises kind server (code: the exit status, or
---the signal as "SIGTERM") with the fields status, signal, stdout, stderr;
---timeout, limit, io (it can't be started), refused (a secret in an argument).
---
---Example:
---  sh.run { "pg_dump", "-Fc", "flights", stdout = "flights.dump", timeout = 600 }
---@param spec opsh.sh.options|table the program and its arguments, and options
---@return {status?: integer, signal?: string, stdout: string, stderr: string, seconds: number, statuses: (integer|string)[]}
function M.run(spec)
	local argv, opts = split(spec, RUN, "sh.run")
	return exec.run(host, { argv }, opts)
end

---Programs joined by pipes, each an argv list; the options of `sh.run` stand
---beside them. All statuses are in `statuses`; the first that fails decides. One
---whose reader stopped early (SIGPIPE) has not failed.
---
---Example:
---  sh.pipe { { "pg_dump", "flights" }, { "gzip" }, stdout = "flights.sql.gz" }
---@param spec opsh.sh.options|table the program and its arguments, and options
---@return table as sh.run
function M.pipe(spec)
	local commands, opts = split(spec, RUN, "sh.pipe")
	return exec.run(host, commands, opts)
end

---Runs a command line by a shell (bash, or sh where there is none): with its
---quoting, globs and pipes. Destructive unless `effect` says less: nobody can
---know what it does. Verb "shell", so a guard is `guard(sh, { verb = "shell" })`.
---
---Example:
---  sh.shell("df -h / | tail -n 1", { effect = "read" }).stdout
---@param command string
---@param opts? opsh.sh.options
---@return table as sh.run
function M.shell(command, opts)
	if type(command) ~= "string" then
		usage(2, "command line expected, got a %s", type(command))
	end
	local list, given = split(opts or {}, RUN, "sh.shell")
	if #list > 0 then usage(2, "sh.shell takes one string, then options") end
	given.class = given.class or "destructive"
	given.verb = given.verb or "shell"
	given.request = given.request or command
	local shell = exec.which "bash"
	return exec.run(host, { { shell or "/bin/sh", "-c", command } }, given)
end

---Starts a program that goes on: `for line in p:lines()`, `p:write(text)` and
---`p:close_stdin()` (with `stdin = true`), `p:kill([signal])`, `p:pid()`,
---`p:wait { timeout = 60 }`. Give it to a `<close>` variable: its process group is
---ended with it. `timeout` is the whole time it may run (none by default).
---
---Example:
---  local p <close> = sh.start { "tail", "-f", "app.log", effect = "read" }
---@param spec opsh.sh.options|table but stdout and live
---@return userdata process
function M.start(spec)
	local argv, opts = split(spec, COMMON, "sh.start")
	return exec.start(host, argv, opts)
end

---The lines of a program's stdout, as they come: it waits when you do, so that a
---gigabyte passes in little memory. Leaving the loop ends the program; at its
---end a status that is not accepted raises as in `sh.run`. `max` is the length of
---a line here.
---
---Example:
---  for line in sh.lines { "journalctl", "-u", "gateway", effect = "read" } do
---    if line:find "ERROR" then print(line) end
---  end
---@param spec opsh.sh.options|table but stdout and live
---@return fun(): string? next
---@return any process
---@return nil
---@return any process closed by `for`
function M.lines(spec)
	local argv, opts = split(spec, COMMON, "sh.lines")
	local timeout = opts.timeout
	local p = exec.start(host, argv, opts)
	local next_line = p:lines()
	return function()
		local line = next_line(p)
		if line == nil then p:wait { timeout = timeout or 60 } end
		return line
	end, p, nil, p
end

---Where a program stands, by PATH: what sh.run would start. nil: nowhere.
---@param name string
---@return string?
function M.which(name)
	return exec.which(name)
end

return M
