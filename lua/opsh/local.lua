-- local: targets of kind local: services that are processes of this machine, each
-- with a command to start and a pid file, by the interface of opsh.orchestrator. A
-- service that was started outlives opsh; one whose pid another process has got is
-- never touched. Owns no process: what runs is found by its pid file.
local definition = require "opsh.local.definition"
local err = require "opsh.c.err"
local exec = require "opsh.c.exec"
local options = require("opsh.docker").options
local orchestrator = require "opsh.orchestrator"
local proc = require "opsh.local.proc"
local script = require "opsh.local.script"
local secret = require "opsh.secret"
local sys = require "opsh.c.sys"
local task = require "opsh.task"

local M = {}

---@class opsh.local.client: opsh.orchestrator
local Client = {}
Client.__index = Client
Client.__call = function(o, ...) return orchestrator.call(o, ...) end
Client.__name = "opsh.local.client"

local GRACE <const> = 30	-- seconds that a service may take to be ready
local SAMPLE <const> = 0.5	-- seconds over which the processor is measured

-- --- names -----------------------------------------------------------------------

---Names of the services of the target, sorted.
---@return string[]
function Client:services()
	local names = {}
	for name in pairs(self.defs) do names[#names + 1] = name end
	table.sort(names)
	return names
end

local function known(self, services)
	local names = orchestrator.names(services, function() return self:services() end)
	for _, name in ipairs(names) do
		if not self.defs[name] then
			error(err.new { kind = "usage", target = self.target:name(),
				message = ("there is no service '%s' in target '%s' (there are: "
				.. "%s)"):format(name, self.target:name(),
				table.concat(self:services(), ", ")) }, 0)
		end
	end
	return names
end

local function one(self, service)
	if type(service) ~= "string" then
		error(err.new { kind = "usage", message = ("a service's name expected, "
			.. "got a %s"):format(type(service)) }, 0)
	end
	return self.defs[known(self, service)[1]]
end

---What the target says of a service. No limits: a process has none of its own.
---@param service string
---@return opsh.orchestrator.definition
function Client:definition(service)
	local def = one(self, service)
	local env, depends = {}, table.move(def.depends or {}, 1,
		#(def.depends or {}), 1, {})
	for name, value in pairs(def.env or {}) do env[name] = value ~= "" end
	table.sort(depends)
	return { service = service, image = def.command[1], replicas = 1, env = env,
		ports = { def.port }, depends = depends, health_check = def.ready ~= nil,
		limits = {}, config = { pid = def.pid, log = def.log, cwd = def.cwd } }
end

-- --- is it ready? ------------------------------------------------------------------

local function listens(port)
	local ports = require "opsh.ports"
	for _, path in ipairs { "/proc/net/tcp", "/proc/net/tcp6" } do
		for _, row in ipairs(ports.of_proc(sys.read(path, 4 << 20) or "")) do
			if row.port == port then return true end
		end
	end
	return false, ("nothing listens on port %d"):format(port)
end

local function answers(url)
	local scheme, host, port, path = url:match "^(https?)://([^/:?#]+):?(%d*)([^?#]*)$"
	if not scheme then return false, "'" .. url .. "' is no URL of a check" end
	local target = require("opsh.c.target").new { name = "ready", kind = "http" }
	local tls = scheme == "https"
	local ok, r = pcall(function()
		local client = require("opsh.http").kind.connect(target, { url = {
			scheme = scheme, host = host, tls = tls, path = "",
			port = math.tointeger(tonumber(port)) or tls and 443 or 80 } })
		return client:get(path, { timeout = 2, expect = "any", follow = 0 })
	end)
	if not ok then return false, err.is(r) and r.message or tostring(r) end
	return r.status < 400, ("%s answers %d"):format(url, r.status)
end

local function variables(def)
	local env = {}
	for name, value in pairs(def.env or {}) do env[name] = secret.resolve(value) end
	return env
end

local function succeeds(self, def)
	local ok, r = pcall(exec.run, self.target, { def.ready.command }, {
		class = "read", verb = "ready", cwd = def.cwd, env = variables(def),
		inherit = def.inherit, timeout = 10, accept = true })
	if not ok then return false, err.is(r) and r.message or tostring(r) end
	return r.status == 0, r.stderr:match "[^\r\n]+" or ("its check ended with "
		.. "status %s"):format(tostring(r.status or r.signal))
end

-- true, or false and why; nil without a check.
local function is_ready(self, def)
	local ready = def.ready
	if not ready then return nil end
	if ready.tcp then
		local ok, why = listens(ready.tcp)
		if not ok then return false, why end
	end
	if ready.http then
		local ok, why = answers(ready.http)
		if not ok then return false, why end
	end
	if ready.command then return succeeds(self, def) end
	return true
end

local function row_of(self, name)
	local def = self.defs[name]
	local row = { service = name, name = name, ready = false, image = def.command[1] }
	local p, why = proc.of_file(def.pid)
	if not p then
		row.state = why == "none" and "missing" or "failed"
		if why ~= "none" then
			row.reason = "Died"
			row.message = ("process of '%s' is gone%s; its log is '%s'"):format(
				def.pid, why == "other" and " (its pid is another's now)" or "",
				def.log)
		end
		return row, nil
	end
	row.started = proc.started(p)
	row.state = p.state == "T" and "paused" or "running"
	if def.port then row.ports = { tostring(def.port) } end
	local ready, message = is_ready(self, def)
	row.ready = row.state == "running" and ready ~= false
	if ready == true then
		row.health = "healthy"
	elseif ready == false then
		local young = os.time() - row.started < (def.ready.grace or GRACE)
		row.health, row.message = young and "starting" or "unhealthy", message
		if young and row.state == "running" then
			row.state = "starting"
		else
			row.reason = "Unhealthy"
		end
	end
	return row, p
end

---A row a service: "missing" where there is no pid file, "failed" (reason "Died")
---where its process is gone. A process that opsh did not fork tells nobody its exit
---status.
---@param services? string|string[]
---@return opsh.orchestrator.row[]
function Client:status(services)
	local list = {}
	for n, name in ipairs(known(self, services)) do list[n] = (row_of(self, name)) end
	return list
end

---@param service string
---@return {done: boolean, ready: integer, desired: integer, message: string}
function Client:rollout_status(service)
	one(self, service)
	local row = row_of(self, service)
	return { done = row.ready, ready = row.ready and 1 or 0, desired = 1,
		message = service .. " is " .. row.state }
end

---What the processes of services use now, over half a second.
---@param services? string|string[]
---@return table[] rows service name cpu (cores) memory (bytes) pids fds
function Client:top(services)
	local families, out = {}, {}
	for _, name in ipairs(known(self, services)) do
		local p = proc.of_file(self.defs[name].pid)
		if p then
			local list = proc.family(p)
			families[#families + 1] = { name = name, list = list,
				use = proc.use(list) }
		end
	end
	if #families == 0 then return out end
	local began = task.now()
	task.sleep(SAMPLE)
	local seconds = task.now() - began
	for n, f in ipairs(families) do
		local list = {}
		for _, p in ipairs(f.list) do list[#list + 1] = proc.find(p.pid) end
		out[n] = { service = f.name, name = f.name, memory = f.use.memory,
			fds = f.use.fds, pids = #f.list,
			cpu = proc.cores(f.use.cpu, proc.use(list).cpu, seconds) }
	end
	return out
end

-- --- logs ----------------------------------------------------------------------------

-- "==> PATH <==" of tail, in front of lines of another file than before.
local function switch(line, by_path)
	return by_path[line:match "^==> (.*) <==$" or ""]
end

-- The lines of several logs as `tail -v` prints them.
local function each_line(process, by_path, seconds_ago, tail_only)
	local lines, current, held = process:lines(), nil, false
	local time_of = require("opsh.logs").time
	local after = seconds_ago and os.time() - seconds_ago
	local waiting
	local function emit(text)
		local time = time_of(text)
		if after and (time or current.time or 0) < after then
			current.time = time or current.time
			return nil
		end
		current.time = time or current.time
		return { service = current.name, name = current.name, time = time,
			text = text }
	end
	return function()
		while true do
			local line = waiting
			waiting = nil
			if not line then line = lines(process) end
			if not line then
				if not tail_only then process:wait() end
				return nil
			end
			local other = switch(line, by_path)
			if other then
				current, held = other, false
			elseif held then
				-- the empty line was the log's own
				held, waiting = false, line
				local got = current and emit ""
				if got then return got end
			elseif line == "" and current then
				held = true
			elseif current then
				local got = emit(line)
				if got then return got end
			end
		end
	end
end

---Lines of the logs, service by service; with `follow` also what comes, through a
---rotation too, until the loop is left. `since` needs lines that begin with a time.
---@param services? string|string[]
---@param opts? {tail?: integer, since?: number, follow?: boolean, instance?: string, timeout?: number} tail: lines of each log
---@return fun(): opsh.orchestrator.line?
function Client:logs(services, opts)
	opts = options(opts, "tail since follow previous instance timeout")
	if opts.previous then
		orchestrator.unsupported("local", "previous", "a service keeps one log, "
			.. "over all its starts")
	elseif opts.tail and (math.type(opts.tail) ~= "integer" or opts.tail < 0) then
		error(err.new { kind = "usage",
			message = "option 'tail' must be a number of lines" }, 0)
	end
	local argv = { "tail", "-v", "-n", opts.tail and tostring(opts.tail) or "+1" }
	if opts.follow then argv[#argv + 1] = "-F" end
	argv[#argv + 1] = "--"
	local by_path, n = {}, 0
	for _, name in ipairs(known(self, opts.instance or services)) do
		local path = self.defs[name].log
		if opts.follow or sys.stat(path) then
			n = n + 1
			argv[#argv + 1], by_path[path] = path, { name = name }
		end
	end
	if n == 0 then return function() return nil end end
	local process = exec.start(self.target, argv, { class = "read", verb = "logs",
		max = 1 << 20, timeout = opts.timeout })
	return each_line(process, by_path, opts.since, opts.follow), nil, nil, process
end

-- --- writes --------------------------------------------------------------------------

local function meet(self)
	local id = sys.read("/etc/machine-id", 64) or sys.hostname()
	self.target:at(sys.hostname())
	self.target:seen("machine=" .. id:gsub("%s", ""), "")
end

-- Runs one of our shell programs for a service.
local function run(self, name, text, words, opts)
	local ok, r = pcall(exec.run, self.target, { { "/bin/sh", "-c", text, "opsh-"
		.. opts.verb, table.unpack(words) } }, opts)
	if ok then return r end
	if err.is(r) and r.kind == "server" and type(r.stderr) == "string" then
		r.message = ("cannot %s '%s': %s"):format(opts.verb, name,
			r.stderr:match "[^\r\n]+" or r.message)
	end
	error(r, 0)
end

local function start(self, name, verb, opts)
	local def = self.defs[name]
	local env = variables(def)
	local program = def.command[1]
	if not program:find("/", 1, true) and not exec.which(program, env.PATH) then
		error(err.new { kind = "check", target = self.target:name(), op = verb,
			message = ("cannot start '%s': there is no program '%s'"):format(name,
			program) }, 0)
	end
	return run(self, name, script.start, { def.pid, def.log,
		table.unpack(def.command) }, { class = "write", verb = verb, cwd = def.cwd,
		env = env, inherit = def.inherit, timeout = opts.timeout or 30,
		expect = opts.expect, request = verb .. " " .. name .. ": "
		.. table.concat(def.command, " ") })
end

local function stop(self, name, verb, opts)
	local def = self.defs[name]
	local p = proc.of_file(def.pid)
	if not p then return nil end
	local seconds = math.ceil(opts.grace or def.stop_timeout)
	return run(self, name, script.stop, { tostring(p.pid), tostring(p.ticks),
		def.stop_signal, tostring(seconds) }, { class = "destructive", verb = verb,
		timeout = opts.timeout or seconds + 15, expect = opts.expect,
		request = ("%s %s: %s to process %d"):format(verb, name, def.stop_signal,
		p.pid) })
end

---Starts services that do not run, those that they depend on first (of those that
---are named); one that runs stays as it is. Fails when it has ended within 0.2 s. A
---write.
---@param services? string|string[]
---@param opts? {timeout?: number, expect?: any}
---@return table result of the last one
function Client:start(services, opts)
	opts = options(opts, "timeout expect")
	meet(self)
	local result = { ok = true }
	for _, name in ipairs(definition.order(self.defs, known(self, services))) do
		if not proc.of_file(self.defs[name].pid) then
			result = start(self, name, "start", opts)
		end
	end
	return result
end

---Ends services, those that depend on others first: their signal to the process
---group, then KILL; destructive, verb "stop".
---@param services? string|string[]
---@param opts? {grace?: number, timeout?: number, expect?: any} grace: seconds between the signal and KILL
---@return table result of the last one
function Client:stop(services, opts)
	opts = options(opts, "grace timeout expect")
	meet(self)
	local result = { ok = true }
	local names = definition.order(self.defs, known(self, services))
	for n = #names, 1, -1 do
		result = stop(self, names[n], "stop", opts) or result
	end
	return result
end

---Ends services and starts them again, one after the other; destructive, verb
---"restart". One that does not run is started.
---@param services? string|string[]
---@param opts? {grace?: number, timeout?: number, expect?: any}
---@return table result of the last one
function Client:restart(services, opts)
	opts = options(opts, "grace timeout expect")
	meet(self)
	local result = { ok = true }
	for _, name in ipairs(definition.order(self.defs, known(self, services))) do
		stop(self, name, "restart", opts)
		result = start(self, name, "restart", opts)
	end
	return result
end

---A program with the folder and environment of a service, as sh.run: destructive,
---verb "exec", unless `effect` says what it does.
---@param service string
---@param argv string[]
---@param opts? table of sh.run
---@return table result status stdout stderr
function Client:exec(service, argv, opts)
	opts = options(opts, "stdin timeout kill_after effect accept max expect live "
		.. "stdout stderr env cwd instance")
	local def = one(self, service)
	if type(argv) ~= "table" or type(argv[1]) ~= "string" then
		error(err.new { kind = "usage", message = "exec(service, { PROGRAM, "
			.. "ARGUMENT, ... }) expected" }, 0)
	end
	if opts.effect ~= "read" then meet(self) end
	local env = variables(def)
	for name, value in pairs(opts.env or {}) do env[name] = secret.resolve(value) end
	return exec.run(self.target, { argv }, { class = opts.effect or "destructive",
		verb = "exec", env = env, inherit = def.inherit, cwd = opts.cwd or def.cwd,
		stdin = secret.resolve(opts.stdin), timeout = opts.timeout,
		kill_after = opts.kill_after, accept = opts.accept, max = opts.max,
		expect = opts.expect, live = opts.live, stdout = opts.stdout,
		stderr = opts.stderr })
end

-- --- what a process can't do -----------------------------------------------------------

local IN_FILE <const> = "a service is what the targets file says: change it there"

---Not there: a service is one process.
function Client.scale()
	orchestrator.unsupported("local", "scale", "a service is one process")
end

---Not there: a process has no image.
function Client.set_image() orchestrator.unsupported("local", "set_image", IN_FILE) end

---Not there: the environment stands in the targets file.
function Client.set_env() orchestrator.unsupported("local", "set_env", IN_FILE) end

---Not there: nothing is kept of how a service was before.
function Client.undo() orchestrator.unsupported("local", "undo", IN_FILE) end

---Not there: nobody notes what happens to a process.
function Client.events()
	orchestrator.unsupported("local", "events", "nothing notes what happens to "
		.. "processes")
end

-- --- the kind --------------------------------------------------------------------------

-- The programs that start and stop have another folder than we.
local function absolute(path, here)
	return path:sub(1, 1) == "/" and path or here .. "/" .. path
end

local function connect(target, o)
	local defs = definition.read(target:name(), o.services)
	local here = sys.realpath "." or "."
	for _, def in pairs(defs) do
		def.pid, def.log = absolute(def.pid, here), absolute(def.log, here)
	end
	return setmetatable({ target = target, defs = defs }, Client)
end

M.kind = {
	name = "local",
	schemes = { "local" },
	connect = connect,
	ping = meet,
	options = {
		services = { type = "table", help = "by name: command = {...}, pid = PATH; "
			.. "cwd, env, inherit, log, port, depends, ready = { tcp | http | "
			.. "command }, stop_signal, stop_timeout" },
	},
}

return M
