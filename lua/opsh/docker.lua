-- docker: a Docker engine through its own command line: containers, logs, use,
-- events, exec. `docker.ps()` asks the engine of this machine (or $DOCKER_HOST),
-- `docker.of { docker_host = ... }` another; opsh.compose is made of it. Owns the
-- class of each verb and what docker's failures mean; rows are docker.rows'.
local c = require "opsh.c.exec"
local err = require "opsh.c.err"
local names_of = require("opsh.orchestrator").names
local program = require "opsh.docker.program"
local rows = require "opsh.docker.rows"
local secret = require "opsh.secret"

local M = {}

---@class opsh.docker.engine
---@field target opsh.target
---@field host? string
local Engine = {}
Engine.__index = Engine
Engine.__name = "opsh.docker.engine"

-- What docker's own program reads of the environment.
local INHERIT = { "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG",
	"DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION",
	"SSH_AUTH_SOCK", "XDG_RUNTIME_DIR" }

-- --- options -------------------------------------------------------------------

---Raises for an option that is not known.
---@param opts? table
---@param known string names, separated by spaces
---@return table opts
function M.options(opts, known)
	if opts == nil then return {} end
	if type(opts) ~= "table" then
		error(err.new { kind = "usage", message = ("options must be a table, "
			.. "not a %s"):format(type(opts)) }, 0)
	end
	for name in pairs(opts) do
		if not (" " .. known .. " "):find(" " .. tostring(name) .. " ", 1, true) then
			error(err.new { kind = "usage", message = ("unknown option '%s' "
				.. "(known: %s)"):format(tostring(name),
				(known:gsub(" ", ", "))) }, 0)
		end
	end
	return opts
end
local options = M.options

-- Whole seconds, as docker's -t and --since take them.
local function seconds(value, name)
	if value == nil then return nil end
	if type(value) ~= "number" or not (value >= 0 and value < 1e9) then
		error(err.new { kind = "usage", message = ("option '%s' must be seconds, "
			.. "0 or more"):format(name) }, 0)
	end
	return tostring(math.ceil(value))
end
M.seconds = seconds

-- --- failures ------------------------------------------------------------------

-- What a message means, and what to do about it; the first that is in it.
local MEANINGS = {
	{ "Cannot connect to the Docker daemon", "connect", "is dockerd running?" },
	{ "Couldn't connect to Docker daemon", "connect", "is dockerd running?" },
	{ "error during connect", "connect" },
	{ "failed to connect to the docker API", "connect", "is dockerd running?" },
	{ "permission denied while trying to connect", "auth",
		"the user needs the group docker, or root" },
	{ "PermissionError(13", "auth", "the user needs the group docker, or root" },
	{ "Error while fetching server API version", "connect" },
	{ "no space left on device", "server", "see docker.df() and docker.prune()" },
	{ "address already in use", "server", "another process has the port" },
	{ "port is already allocated", "server", "another container has the port" },
}

-- The line that says what went wrong: compose prints its progress before it.
local function reason(text)
	local first
	for line in text:gmatch "[^\r\n]+" do
		if line:find "%S" then
			first = first or line
			local said = line:match "^ERROR: *(.+)$" or line:match "^Error[^:]*: *(.+)$"
				or line:match "^No such .+$"
			if said then return said end
		end
	end
	return first
end

---An error of a program of docker's in its own terms: kind connect and auth where
---it means that, the line that matters as the message.
---@param e any
---@param place? string where the engine is
---@return any e
function M.explain(e, place)
	if not err.is(e) or e.kind ~= "server" then return e end
	local text = type(e.stderr) == "string" and e.stderr or e.message or ""
	for _, m in ipairs(MEANINGS) do
		if text:find(m[1], 1, true) then
			if m[2] ~= "server" then
				e.message = ("cannot reach the Docker engine%s: %s"):format(
					place and " at " .. place or "", reason(text))
				e.kind, e.phase = m[2], m[2]
			end
			e.hint = e.hint or m[3]
			break
		end
	end
	if e.kind == "server" and type(e.stderr) == "string" and reason(text) then
		e.message = ("'%s' failed: %s"):format(e.op or "docker", reason(text))
	end
	return e
end

local function environment(engine, opts)
	local env = { DOCKER_HOST = engine.host }
	for _, variables in ipairs { engine.env, opts.env or {} } do
		for name, value in pairs(variables) do env[name] = secret.resolve(value) end
	end
	opts.inherit = opts.inherit or INHERIT
	opts.env = env
	return opts
end

---Runs a program of docker's for an engine: exec.run with its environment, errors
---in docker's terms. For opsh.compose.
---@param engine opsh.docker.engine
---@param argv string[]
---@param opts table as opsh.c.exec takes it
---@return table result
function M.call(engine, argv, opts)
	local ok, r = pcall(c.run, engine.target, { argv }, environment(engine, opts))
	if not ok then error(M.explain(r, engine.host), 0) end
	return r
end

---A program of docker's that goes on, as exec.start.
---@param engine opsh.docker.engine
---@param argv string[]
---@param opts table
---@return table process
function M.open(engine, argv, opts)
	return c.start(engine.target, argv, environment(engine, opts))
end

---Waits for the end of one whose output is over; raises as call does.
---@param engine opsh.docker.engine
---@param process table
function M.finish(engine, process)
	local ok, e = pcall(process.wait, process)
	if not ok then error(M.explain(e, engine.host), 0) end
end

local function read(self, verb, argv, timeout)
	table.insert(argv, 1, "docker")
	return M.call(self, argv, { class = "read", verb = verb, timeout = timeout or 30 })
end

-- A verb that changes containers: docker VERB [flags] NAMES.
local function change(self, class, verb, flags, names, opts)
	local argv = { "docker", verb, table.unpack(flags) }
	table.move(names_of(names), 1, #names_of(names), #argv + 1, argv)
	return M.call(self, argv, { class = class, verb = verb, expect = opts.expect,
		timeout = opts.timeout or 120 })
end

local function needed(names)
	if names == nil or type(names) == "table" and #names == 0 then
		error(err.new { kind = "usage", message = "the name of a container, or a "
			.. "list of names expected" }, 0)
	end
	return names
end

-- --- reads -----------------------------------------------------------------------

---Containers, as `docker ps`.
---@param opts? {all?: boolean, filters?: string[]} filters as docker's --filter takes them: "status=exited"
---@return table[] rows id name image state status ports project service
function Engine:ps(opts)
	opts = options(opts, "all filters")
	local argv = { "ps", "--no-trunc", "--format", "{{json .}}" }
	if opts.all then argv[#argv + 1] = "--all" end
	for _, filter in ipairs(opts.filters or {}) do
		table.move({ "--filter", filter }, 1, 2, #argv + 1, argv)
	end
	return rows.each(read(self, "ps", argv).stdout, "containers", rows.listed)
end

---All that docker knows of containers. One that is not there raises kind server,
---unless `skip` says that it may be gone.
---@param names string|string[]
---@param opts? {skip?: boolean}
---@return table[] list as docker's JSON has it
function Engine:inspect(names, opts)
	opts = options(opts, "skip")
	names = names_of(needed(names))
	local argv = { "docker", "container", "inspect", table.unpack(names) }
	local r = M.call(self, argv, { class = "read", verb = "inspect", timeout = 30,
		accept = opts.skip and { 0, 1 } or nil })
	if r.status ~= 0 and not r.stderr:find "[Nn]o such container" then
		error(M.explain(err.new { kind = "server", code = tostring(r.status),
			message = r.stderr, stderr = r.stderr, op = "inspect",
			target = self.target:name() }, self.host), 0)
	end
	local list = rows.decode(r.stdout, "containers")
	if type(list) ~= "table" then
		error(err.new { kind = "protocol",
			message = "docker inspect gave no list" }, 0)
	end
	return list
end

---What containers use now; docker takes about 2 s to measure.
---@param names? string|string[] all that run by default
---@return table[] rows name cpu (cores) memory memory_limit (bytes) pids
function Engine:stats(names)
	local argv = { "stats", "--no-stream", "--no-trunc", "--format", "{{json .}}" }
	for _, name in ipairs(names_of(names)) do argv[#argv + 1] = name end
	return rows.each(read(self, "stats", argv).stdout, "the use of containers",
		rows.stats)
end

---What the engine says of itself.
---@return table info as docker's JSON has it: ID, ServerVersion, NCPU, MemTotal ...
function Engine:info()
	return rows.decode(read(self, "info", { "info", "--format", "{{json .}}" })
		.stdout, "the engine")
end

---Who the engine is.
---@return string id
function Engine:id()
	local r = read(self, "info", { "info", "--format", "{{.ID}}" }, 10)
	return r.stdout:match "%S+" or "?"
end

---What images, containers and volumes take of the disk.
---@return table[] rows type total active size reclaimable (bytes)
function Engine:df()
	return rows.each(read(self, "df", { "system", "df", "--format",
		"{{json .}}" }).stdout, "the disk", rows.usage)
end

---What happened. The engine keeps the last 256 events only, and each health check
---makes three (which are left out here): a busy engine forgets within minutes.
---@param opts? {since?: number, filters?: string[]} since: seconds ago (default 3600)
---@return table[] rows time type reason service name message count
function Engine:events(opts)
	opts = options(opts, "since filters")
	local argv = { "events", "--since", (seconds(opts.since, "since") or "3600")
		.. "s", "--until", "0s", "--format", "{{json .}}" }
	for _, filter in ipairs(opts.filters or {}) do
		table.move({ "--filter", filter }, 1, 2, #argv + 1, argv)
	end
	return rows.each(read(self, "events", argv).stdout, "events", rows.event)
end

-- "2026-01-02T03:04:05.678901234Z text" -> seconds, text
local function stamped(line)
	local stamp, text = line:match "^(%d%d%d%d%-%d%d%-%d%dT%S+) ?(.*)$"
	local time = rows.time(stamp)
	if not time then return nil, line end
	return time, text
end
M.stamped = stamped

---Lines of a container's log, its stdout and stderr in the order they came.
---
---Example:
---  for line in docker.logs("web_1", { tail = 50 }) do print(line.text) end
---@param name string
---@param opts? {tail?: integer, since?: number, until_time?: string, follow?: boolean, timeout?: number} since: seconds ago
---@return fun(): {time: number?, text: string, name: string}? iterator closed by `for`
function Engine:logs(name, opts)
	opts = options(opts, "tail since until_time follow timeout")
	local argv = { "docker", "logs", "--timestamps" }
	local function add(flag, value)
		if value then table.move({ flag, value }, 1, 2, #argv + 1, argv) end
	end
	if opts.follow then argv[#argv + 1] = "--follow" end
	add("--tail", opts.tail and tostring(opts.tail))
	add("--since", opts.since and seconds(opts.since, "since") .. "s")
	add("--until", opts.until_time)
	argv[#argv + 1] = names_of(needed(name))[1]
	local process = M.open(self, argv, { class = "read", verb = "logs",
		stderr = "stdout", timeout = opts.timeout or 86400 })
	local lines = process:lines()
	return function()
		local line = lines(process)
		if not line then
			M.finish(self, process)
			return nil
		end
		local time, text = stamped(line)
		return { time = time, text = text, name = name }
	end, nil, nil, process
end

-- --- writes ----------------------------------------------------------------------

---A program in a container, as sh.run: destructive unless `effect` says what it
---does. Its environment goes by the environment, never by arguments. The deadline
---ends docker's own program; what it started in the container may go on.
---@param name string
---@param argv string[]
---@param opts? table of sh.run, and env, cwd, user
---@return table result status stdout stderr
function Engine:exec(name, argv, opts)
	opts = options(opts, program.RUN .. " env cwd user")
	local line, o = program.line("exec", argv, opts)
	line[#line + 1] = names_of(needed(name))[1]
	table.move(argv, 1, #argv, #line + 1, line)
	return M.call(self, line, o)
end

---A program in a container of its own, which is removed after it (`docker
---run --rm`): destructive, verb "run", unless `effect` says what it does.
---
---Example:
---  docker.run("alpine", { "tar", "czf", "/backup/data.tgz", "/data" },
---    { volumes = { "shop_data:/data:ro", "/srv/backup:/backup" } })
---@param image string
---@param argv string[]
---@param opts? table of sh.run, and volumes (a list of "NAME_OR_PATH:/path"), network, env, cwd, user
---@return table result status stdout stderr
function Engine:run(image, argv, opts)
	opts = options(opts, program.RUN .. " env cwd user volumes network")
	local line, o = program.line("run", argv, opts)
	line[#line + 1] = "--rm"
	for _, volume in ipairs(opts.volumes or {}) do
		table.move({ "--volume", volume }, 1, 2, #line + 1, line)
	end
	if opts.network then
		table.move({ "--network", opts.network }, 1, 2, #line + 1, line)
	end
	line[#line + 1] = names_of(needed(image))[1]
	table.move(argv, 1, #argv, #line + 1, line)
	return M.call(self, line, o)
end

local CHANGE = "timeout expect"

---Ends containers and starts them again; destructive, verb "restart".
---@param names string|string[]
---@param opts? {grace?: number, timeout?: number, expect?: any} grace: seconds between TERM and KILL
---@return table result
function Engine:restart(names, opts)
	opts = options(opts, CHANGE .. " grace")
	local grace = seconds(opts.grace, "grace")
	return change(self, "destructive", "restart", { grace and "-t", grace },
		needed(names), opts)
end

---Ends containers; destructive, verb "stop".
---@param names string|string[]
---@param opts? {grace?: number, timeout?: number, expect?: any}
---@return table result
function Engine:stop(names, opts)
	opts = options(opts, CHANGE .. " grace")
	local grace = seconds(opts.grace, "grace")
	return change(self, "destructive", "stop", { grace and "-t", grace },
		needed(names), opts)
end

---Starts containers that are there and do not run; a write.
---@param names string|string[]
---@param opts? {timeout?: number, expect?: any}
---@return table result
function Engine:start(names, opts)
	return change(self, "write", "start", {}, needed(names),
		options(opts, CHANGE))
end

---Removes containers; destructive, verb "rm".
---@param names string|string[]
---@param opts? {force?: boolean, volumes?: boolean, timeout?: number, expect?: any}
---@return table result
function Engine:rm(names, opts)
	opts = options(opts, CHANGE .. " force volumes")
	local flags = { opts.force and "--force" or nil }
	if opts.volumes then flags[#flags + 1] = "--volumes" end
	return change(self, "destructive", "rm", flags, needed(names), opts)
end

---Sends a signal to containers; destructive, verb "kill".
---@param names string|string[]
---@param opts? {signal?: string, timeout?: number, expect?: any} signal: KILL by default
---@return table result
function Engine:kill(names, opts)
	opts = options(opts, CHANGE .. " signal")
	return change(self, "destructive", "kill", { "--signal", opts.signal
		or "KILL" }, needed(names), opts)
end

---Copies a file or folder into or out of a container ("NAME:/path"); a write.
---@param from string
---@param to string
---@param opts? {timeout?: number, expect?: any}
---@return table result
function Engine:cp(from, to, opts)
	opts = options(opts, CHANGE)
	for _, path in ipairs { from, to } do
		if type(path) ~= "string" or path == "" or path:sub(1, 1) == "-" then
			error(err.new { kind = "usage", message = ("'%s' is no path"):format(
				tostring(path)) }, 0)
		end
	end
	return M.call(self, { "docker", "cp", from, to }, { class = "write", verb = "cp",
		timeout = opts.timeout or 600, expect = opts.expect })
end

---Removes what nothing uses: stopped containers, networks, images without a name;
---destructive, verb "prune".
---@param opts? {all?: boolean, volumes?: boolean, timeout?: number, expect?: any} all: every image that no container uses; volumes: those too
---@return table result
function Engine:prune(opts)
	opts = options(opts, CHANGE .. " all volumes")
	local argv = { "docker", "system", "prune", "--force" }
	if opts.all then argv[#argv + 1] = "--all" end
	if opts.volumes then argv[#argv + 1] = "--volumes" end
	return M.call(self, argv, { class = "destructive", verb = "prune",
		timeout = opts.timeout or 600, expect = opts.expect })
end

-- --- engines ---------------------------------------------------------------------

---An engine. Its effects are those of `target` (default: this machine, so that
---`guard(sh, {...})` is what lets destructive calls through).
---
---Example: docker.of({ docker_host = "ssh://ops@web1" }):ps()
---@param opts? {docker_host?: string, env?: table<string, any>, target?: opsh.target} env: variables for docker's programs
---@return opsh.docker.engine
function M.of(opts)
	opts = options(opts, "docker_host env target")
	return setmetatable({ host = opts.docker_host, env = opts.env or {},
		target = opts.target or require("opsh.c.target").host() }, Engine)
end

-- docker.ps(...) and so on: the engine of this machine.
local engine
for name, method in pairs(Engine) do
	if type(method) == "function" and not M[name] then
		M[name] = function(...)
			engine = engine or M.of()
			return method(engine, ...)
		end
	end
end

return M
