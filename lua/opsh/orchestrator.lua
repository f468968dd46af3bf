-- orchestrator: what services run on, seen and driven the same way whatever it
-- is: the interface of the kinds compose, kubernetes and local, and what they
-- share: rows, waiting, what one of them can't do. A playbook takes any of the
-- three (`needs = { orchestrator = { kind = orchestrator.kinds } }`). Owns no
-- connection; must not know a backend.
local err = require "opsh.c.err"
local task = require "opsh.task"

local M = {}

---The kinds that have this interface.
M.kinds = { "compose", "kubernetes", "local" }

-- One instance (container, pod, process) of a service. A service that should
-- run and has none is a row of state "missing".
---@class opsh.orchestrator.row
---@field service string as its definition calls it
---@field name string of the instance
---@field state "running"|"starting"|"restarting"|"exited"|"failed"|"pending"|"paused"|"missing"
---@field ready boolean takes work now: running, and healthy where it says
---@field health? "healthy"|"unhealthy"|"starting" nil: it has no health check
---@field restarts? integer since it was made
---@field started? number seconds since the epoch
---@field exit_code? integer of its last end
---@field signal? integer that ended it
---@field reason? string one word: OOMKilled, CrashLoopBackOff, ImagePullBackOff
---@field last_reason? string why it ended last, when it has run before
---@field message? string what the orchestrator says of it
---@field image? string
---@field ports? string[] such as "127.0.0.1:8080->80"
---@field node? string
---@field leaving? boolean it is ending, or was replaced: nothing waits for it

-- A line of a log.
---@class opsh.orchestrator.line
---@field service string
---@field name string of the instance
---@field time? number seconds since the epoch, where the orchestrator knows it
---@field text string without its newline

-- What a service is meant to be. No values of the environment: they may be secret.
---@class opsh.orchestrator.definition
---@field service string
---@field image? string
---@field replicas integer how many instances there should be
---@field env table<string, boolean> names of its variables; false: set, but empty
---@field ports integer[] that it publishes or listens on
---@field depends string[] other services
---@field health_check boolean it has one
---@field limits {cpu?: number, memory?: integer} cores, bytes
---@field config? table what else the backend knows

-- The interface. `services` is a name, a list of names, or nil for all. Waits take
-- `timeout` in seconds. Raises the error objects of `opsh help errors`; what a
-- backend can't do raises kind usage, code "UNSUPPORTED".
---@class opsh.orchestrator
---@field services fun(self): string[] names defined, sorted
---@field definition fun(self, service: string): opsh.orchestrator.definition
---@field status fun(self, services?: string|string[]): opsh.orchestrator.row[]
---@field logs fun(self, services?: string|string[], opts?: table): fun(): opsh.orchestrator.line? an iterator that is closed by `for`; opts: tail (lines), since (seconds ago), follow, previous (the instance before the last restart), instance
---@field top fun(self, services?: string|string[]): table[] rows service name cpu (cores) memory (bytes) memory_limit
---@field events fun(self, services?: string|string[], opts?: {since?: number}): table[] rows time type reason service name message count
---@field exec fun(self, service: string, argv: string[], opts?: table): table as sh.run; opts: those of sh.run (stdin, timeout, effect, accept), instance
---@field start fun(self, services?: string|string[], opts?: table): table a write
---@field restart fun(self, services?: string|string[], opts?: table): table destructive, verb "restart", where instances go down together; a write where they roll; opts: instance (only this one of the service: compose, local)
---@field stop fun(self, services?: string|string[], opts?: table): table destructive, verb "stop"
---@field scale fun(self, service: string, replicas: integer, opts?: table): table a write; to fewer, destructive, verb "scale"
---@field set_image fun(self, service: string, image: string, opts?: table): table a write
---@field set_env fun(self, service: string, env: table<string, string>, opts?: table): table a write
---@field rollout_status fun(self, service: string): {done: boolean, ready: integer, desired: integer, updated?: integer, message: string}
---@field undo fun(self, service: string, opts?: table): table a write: the revision before the last change

---A list of names of what callers may give: nil, a name, a list.
---@param services? string|string[]
---@param all? fun(): string[] asked when services is nil
---@return string[]
function M.names(services, all)
	if services == nil then return all and all() or {} end
	if type(services) == "string" then services = { services } end
	if type(services) ~= "table" then
		error(err.new { kind = "usage", message = ("a service's name or a list "
			.. "of names expected, got a %s"):format(type(services)) }, 0)
	end
	for n, name in ipairs(services) do
		if type(name) ~= "string" or name == "" or name:sub(1, 1) == "-"
			or name:find "[%c%s]" then
			error(err.new { kind = "usage", message = ("'%s' (number %d) is no "
				.. "name of a service"):format(tostring(name), n) }, 0)
		end
	end
	return services
end

---Raises what a backend can't do.
---@param kind string
---@param what string such as "undo"
---@param why string
function M.unsupported(kind, what, why)
	error(err.new { kind = "usage", code = "UNSUPPORTED", op = what,
		message = ("'%s' is not there for %s: %s"):format(what, kind, why) }, 0)
end

-- What of these services is not ready or not there, as text; nil: nothing.
local function unready(o, names)
	local seen, parts = {}, {}
	for _, row in ipairs(o:status(names)) do
		seen[row.service] = true
		if not row.ready and not row.leaving then
			parts[#parts + 1] = ("%s is %s%s%s"):format(row.name, row.state,
				row.health and " (" .. row.health .. ")" or "",
				row.reason and ": " .. row.reason or "")
		end
	end
	for _, name in ipairs(names) do
		if not seen[name] then parts[#parts + 1] = name .. " is not there" end
	end
	return #parts > 0 and table.concat(parts, "; ") or nil
end

---Waits until every instance of these services is ready; asks again each
---`interval` seconds. Raises kind timeout that says what was not ready.
---
---Example:
---  orchestrator.wait_ready(t.orchestrator, { "gateway" }, { timeout = 60 })
---@param o opsh.orchestrator
---@param services string|string[]
---@param opts? {timeout?: number, interval?: number, on_wait?: fun(text: string)}
---@return number seconds that it took
function M.wait_ready(o, services, opts)
	opts = opts or {}
	local names = M.names(services)
	local began, limit = task.now(), opts.timeout or 60
	while true do
		local text = unready(o, names)
		if not text then return task.now() - began end
		local left = limit - (task.now() - began)
		if left <= 0 then
			error(err.new { kind = "timeout", code = "NOT_READY",
				message = ("not ready within %g s: %s"):format(limit, text) }, 0)
		end
		if opts.on_wait then opts.on_wait(text) end
		task.sleep(math.min(opts.interval or 0.5, left))
	end
end

-- What a word of a call takes: services, one of them and what else.
local CALLS = {
	services = "", top = "services", status = "services", events = "services",
	start = "services", stop = "services", restart = "services",
	definition = "", rollout_status = "", undo = "", set_image = "",
	scale = "number",
}

local LOG_LINES = 100	-- of a log that is asked for by one word

local function take(o, word, args, opts)
	if word == "logs" then
		opts.tail = opts.tail or LOG_LINES
		local lines = {}
		for line in o:logs(#args > 0 and args or nil, opts) do
			lines[#lines + 1] = line
		end
		return lines
	elseif word == "set_env" then
		return o:set_env(args[1], opts)
	elseif word == "exec" then
		return o:exec(table.remove(args, 1), args,
			next(opts) and opts or nil)
	end
	opts = next(opts) and opts or nil
	if CALLS[word] == "services" then
		return o[word](o, #args > 0 and args or nil, opts)
	end
	args[#args + 1] = opts
	return o[word](o, table.unpack(args))
end

---A call by one string, as it is typed at a prompt: `status`, `logs api tail=20`,
---`restart api`, `scale api 3`, `exec api ls /tmp`, `set_env api A=b`. It is the
---method of that name, judged as that is; a log is a list of lines here.
---@param o opsh.orchestrator
---@param text string
---@return any
function M.call(o, text)
	local line = require "opsh.words"
	if type(text) ~= "string" then
		error(err.new { kind = "usage", message = ("expected one string, got a %s")
			:format(type(text)), hint = "\"status\", \"logs SERVICE tail=20\", "
			.. "\"restart SERVICE\"" }, 0)
	end
	local args, opts = line.split(text)
	local word = tostring(table.remove(args, 1) or "")
	if not (CALLS[word] or word == "logs" or word == "exec"
		or word == "set_env") then
		local known = { logs = true, exec = true, set_env = true }
		for name in pairs(CALLS) do known[name] = true end
		line.unknown(word, known)
	elseif not o[word] then
		error(err.new { kind = "usage", code = "UNSUPPORTED", op = word,
			message = ("'%s' is not there for this orchestrator"):format(word) },
			0)
	end
	for n, arg in ipairs(args) do
		-- names and arguments of programs; a number only where one is meant
		if not (CALLS[word] == "number" and n == 2) then
			args[n] = tostring(arg)
		end
	end
	return take(o, word, args, opts)
end

return M
