-- compose: targets of kind compose: the services of a compose file on a Docker
-- engine, by the interface of opsh.orchestrator. Writes go through compose's own
-- program, as people type them; what runs is read from the engine itself. Owns
-- the class of each verb. Files and definitions: compose.project; what set_image
-- and set_env write: compose.override.
local docker = require "opsh.docker"
local effect = require "opsh.c.effect"
local err = require "opsh.c.err"
local orchestrator = require "opsh.orchestrator"
local override = require "opsh.compose.override"
local project = require "opsh.compose.project"
local rows = require "opsh.docker.rows"
local sys = require "opsh.c.sys"

local M = {}

---@class opsh.compose.client: opsh.orchestrator
local Client = {}
Client.__index = Client
Client.__call = function(o, ...) return orchestrator.call(o, ...) end
Client.__name = "opsh.compose.client"

local options, seconds = docker.options, docker.seconds
local MINUTE <const>, HOUR <const> = 60, 3600

-- --- names -----------------------------------------------------------------------

---Names of the services that the files define, sorted.
---@return string[]
function Client:services()
	local names = {}
	for name in pairs(self.project:services()) do names[#names + 1] = name end
	table.sort(names)
	return names
end

-- The list of services meant; raises for one that is not defined.
local function known(self, services)
	if services == nil then return {} end
	local all = self.project:services()
	local names = orchestrator.names(services)
	for _, name in ipairs(names) do
		if all[name] == nil then
			error(err.new { kind = "usage", target = self.target:name(),
				message = ("there is no service '%s' in '%s' (there are: %s)")
				:format(name, self.project:path(), table.concat(self:services(),
				", ")) }, 0)
		end
	end
	return names
end

local function one(self, service)
	if type(service) ~= "string" then
		error(err.new { kind = "usage", message = ("a service's name expected, "
			.. "got a %s"):format(type(service)) }, 0)
	end
	return known(self, service)[1]
end

---What the files say of a service. The health check of an image alone is not seen.
---@param service string
---@return opsh.orchestrator.definition
function Client:definition(service)
	return project.definition(service, self.project:services()[one(self, service)])
end

-- --- reads -------------------------------------------------------------------------

-- The containers of the project, those of `compose run` left out.
local function containers(self, names)
	local wanted = {}
	for _, name in ipairs(names) do wanted[name] = true end
	local ids = {}
	for _, listed in ipairs(self.docker:ps { all = true, filters = {
		"label=com.docker.compose.project=" .. self.project:name() } }) do
		if #names == 0 or wanted[listed.service] then ids[#ids + 1] = listed.id end
	end
	local list = {}
	if #ids == 0 then return list end
	for _, c in ipairs(self.docker:inspect(ids, { skip = true })) do
		local row = rows.container(c)
		if not rows.is_one_off(c) and (#names == 0 or wanted[row.service]) then
			list[#list + 1] = row
		end
	end
	table.sort(list, function(a, b)
		if a.service ~= b.service then return a.service < b.service end
		if a.number ~= b.number then return a.number < b.number end
		return a.name < b.name
	end)
	return list
end

-- What rows of status have; the rest is for this module.
local PUBLIC = { "service", "name", "state", "ready", "health", "restarts",
	"started", "exit_code", "signal", "reason", "message", "image", "ports" }

---Every container of these services, and a row "missing" for a service that should
---run and has none. After a stop by signal (143) a container is "exited"; one that
---ended otherwise with a status that is not 0 is "failed".
---@param services? string|string[]
---@return opsh.orchestrator.row[]
function Client:status(services)
	local names = known(self, services)
	local list, seen = {}, {}
	for n, row in ipairs(containers(self, names)) do
		seen[row.service] = true
		list[n] = {}
		for _, field in ipairs(PUBLIC) do list[n][field] = row[field] end
	end
	for _, name in ipairs(#names > 0 and names or self:services()) do
		local def = not seen[name] and self:definition(name)
		if def and def.replicas > 0 then
			seen[name] = true
			list[#list + 1] = { service = name, name = name, state = "missing",
				ready = false, image = def.image }
		end
	end
	return list
end

-- One container of a service: `instance` (name or number), or the first that runs.
local function instance(self, service, wanted)
	local list = containers(self, { one(self, service) })
	for _, row in ipairs(list) do
		if wanted and (row.name == wanted or row.number == wanted)
			or not wanted and (row.state == "running" or row.state == "starting") then
			return row
		end
	end
	local states = {}
	for n, row in ipairs(list) do states[n] = row.name .. " is " .. row.state end
	error(err.new { kind = "check", target = self.target:name(),
		message = ("%s of '%s': %s"):format(wanted and ("no instance '%s'"):format(
		tostring(wanted)) or "no instance runs", service, #states > 0
		and table.concat(states, ", ") or "it has no container") }, 0)
end

---Lines of the logs: what is there, merged by time; with `follow` also what comes,
---until the loop is left. `previous`: what containers wrote before their last start
---(docker keeps one log a container, over all its starts).
---
---Example:
---  for line in t.orchestrator:logs("gateway", { tail = 50 }) do print(line.text) end
---@param services? string|string[]
---@param opts? {tail?: integer, since?: number, follow?: boolean, previous?: boolean, instance?: string, timeout?: number} since: seconds ago; tail: lines of each container; timeout: the whole time
---@return fun(): opsh.orchestrator.line?
function Client:logs(services, opts)
	opts = options(opts, "tail since follow previous instance timeout")
	if opts.tail and (math.type(opts.tail) ~= "integer" or opts.tail < 0) then
		error(err.new { kind = "usage",
			message = "option 'tail' must be a number of lines" }, 0)
	end
	local names = known(self, services)
	local logs = require "opsh.compose.logs"
	local list = containers(self, names)
	if opts.follow then return logs.follow(self.project, list, names, opts) end
	if opts.instance then
		list = { instance(self, names[1] or "", opts.instance) }
	end
	return logs.past(self.docker, list, opts)
end

---What containers use now; docker takes about 2 s to measure. A memory limit is
---the container's own, nil where it has none.
---@param services? string|string[]
---@return table[] rows service name cpu (cores) memory memory_limit (bytes) pids
function Client:top(services)
	local ids, by = {}, {}
	for _, row in ipairs(containers(self, known(self, services))) do
		if row.state == "running" or row.state == "starting" then
			ids[#ids + 1], by[row.name] = row.id, row
		end
	end
	local out = {}
	if #ids == 0 then return out end
	for _, use in ipairs(self.docker:stats(ids)) do
		local row = by[use.name]
		if row then
			out[#out + 1] = { service = row.service, name = row.name,
				cpu = use.cpu, memory = use.memory, pids = use.pids,
				memory_limit = row.memory_limit }
		end
	end
	return out
end

---What happened to the containers. The engine keeps its last 256 events only; the
---steps of health checks among them are left out here, but have pushed others out.
---@param services? string|string[]
---@param opts? {since?: number} seconds ago (default 3600)
---@return table[] rows time type reason service name message count
function Client:events(services, opts)
	opts = options(opts, "since")
	local wanted, out = {}, {}
	local names = known(self, services)
	for _, name in ipairs(names) do wanted[name] = true end
	for _, event in ipairs(self.docker:events { since = opts.since, filters = {
		"label=com.docker.compose.project=" .. self.project:name() } }) do
		if #names == 0 or wanted[event.service] then out[#out + 1] = event end
	end
	return out
end

---How far the containers are at what the files say: `updated` counts those whose
---definition is the files' of now. Compose forgets a `scale`: `desired` is the
---number of containers where there are more than the files want.
---@param service string
---@return {done: boolean, ready: integer, desired: integer, updated: integer, message: string}
function Client:rollout_status(service)
	local desired = self:definition(service).replicas
	local r = self.project:run({ "config", "--hash", service }, { class = "read",
		verb = "config", timeout = MINUTE })
	local hash = r.stdout:match "%s(%x+)%s*$"
	local list = containers(self, { service })
	local ready, updated = 0, 0
	for _, row in ipairs(list) do
		if row.ready then ready = ready + 1 end
		if row.hash == hash then updated = updated + 1 end
	end
	desired = math.max(desired, #list)
	return { done = ready >= desired and updated >= desired, ready = ready,
		desired = desired, updated = updated,
		message = ("%d of %d ready, %d of the current definition"):format(ready,
		desired, updated) }
end

---Does compose accept the files? Raises kind config in its words when not.
---@return {ok: boolean, warnings: string[]} report warnings: such as of variables that are not set
function Client:config_check()
	local _, warnings = self.project:read()
	return { ok = true, warnings = warnings }
end

-- --- writes ------------------------------------------------------------------------

-- Reads who the engine is: another one than before stops the write that follows.
local function meet(self)
	self.target:at((self.docker.host and self.docker.host .. " " or "")
		.. self.project:path())
	self.target:seen(("engine=%s project=%s"):format(self.docker:id(),
		self.project:name()), "")
end

-- A compose command that changes something: words, then services. No name of one
-- begins with '-' (they are known ones), and `start` of version 1 takes no "--".
local function change(self, class, verb, words, names, opts)
	meet(self)
	table.move(names, 1, #names, #words + 1, words)
	return self.project:run(words, { class = class, verb = verb,
		request = "compose " .. table.concat(words, " "), expect = opts.expect,
		timeout = opts.timeout or 5 * MINUTE })
end

local function add(words, flag, value)
	if value then table.move({ flag, value }, 1, 2, #words + 1, words) end
	return words
end

---Starts containers that have stopped, and makes those that are missing as they
---are defined; one that runs stays as it is. A write.
---@param services? string|string[]
---@param opts? {timeout?: number, expect?: any}
---@return table result
function Client:start(services, opts)
	opts = options(opts, "timeout expect")
	local names = known(self, services)
	local missing
	for _, row in ipairs(self:status(services)) do
		missing = missing or row.state == "missing"
	end
	if missing then
		local words = { "up", "-d", "--no-recreate" }
		if #names > 0 then words[4] = "--no-deps" end
		return change(self, "write", "start", words, names, opts)
	end
	return change(self, "write", "start", { "start" }, names, opts)
end

---Restarts containers, all at once, or `instance` of one service alone;
---destructive, verb "restart". What the files say now counts only after `up`.
---@param services? string|string[]
---@param opts? {instance?: string|integer, grace?: number, timeout?: number, expect?: any} grace: seconds between TERM and KILL (default: the file's, or 10)
---@return table result
function Client:restart(services, opts)
	opts = options(opts, "instance grace timeout expect")
	if opts.instance then
		local row = instance(self, services, opts.instance)
		meet(self)
		return self.docker:restart(row.name, { grace = opts.grace,
			timeout = opts.timeout, expect = opts.expect })
	end
	return change(self, "destructive", "restart", add({ "restart" }, "-t",
		seconds(opts.grace, "grace")), known(self, services), opts)
end

---Ends containers and keeps them; destructive, verb "stop".
---@param services? string|string[]
---@param opts? {grace?: number, timeout?: number, expect?: any}
---@return table result
function Client:stop(services, opts)
	opts = options(opts, "grace timeout expect")
	return change(self, "destructive", "stop", add({ "stop" }, "-t",
		seconds(opts.grace, "grace")), known(self, services), opts)
end

---Sends a signal to the containers; destructive, verb "kill".
---@param services? string|string[]
---@param opts? {signal?: string, timeout?: number, expect?: any}
---@return table result
function Client:kill(services, opts)
	opts = options(opts, "signal timeout expect")
	return change(self, "destructive", "kill", add({ "kill" }, "-s", opts.signal),
		known(self, services), opts)
end

---Makes so many instances of a service. To fewer it is destructive, verb "scale";
---else a write. Compose does not remember the number: the next `up` by hand goes
---back to the file's.
---@param service string
---@param replicas integer
---@param opts? {timeout?: number, expect?: any}
---@return table result
function Client:scale(service, replicas, opts)
	opts = options(opts, "timeout expect")
	one(self, service)
	if math.type(replicas) ~= "integer" or replicas < 0 or replicas > 1000 then
		error(err.new { kind = "usage",
			message = "a number of instances from 0 to 1000 expected" }, 0)
	end
	local class = replicas < #containers(self, { service }) and "destructive"
		or "write"
	return change(self, class, "scale", { "up", "-d", "--no-recreate", "--no-deps",
		"--scale", ("%s=%d"):format(service, replicas) }, { service }, opts)
end

---Makes what runs what the files say: starts, and replaces containers whose
---definition has changed. A write; with `force_recreate` or `remove_orphans`
---destructive, verb "up".
---@param services? string|string[]
---@param opts? {build?: boolean, no_deps?: boolean, force_recreate?: boolean, no_recreate?: boolean, remove_orphans?: boolean, scale?: table<string, integer>, timeout?: number, expect?: any}
---@return table result
function Client:up(services, opts)
	opts = options(opts, "build no_deps force_recreate no_recreate remove_orphans "
		.. "scale timeout expect")
	local words = { "up", "-d" }
	for _, flag in ipairs { "build", "no_deps", "force_recreate", "no_recreate",
		"remove_orphans" } do
		if opts[flag] then words[#words + 1] = "--" .. flag:gsub("_", "-") end
	end
	for service, n in pairs(opts.scale or {}) do
		add(words, "--scale", ("%s=%d"):format(one(self, service), n))
	end
	return change(self, (opts.force_recreate or opts.remove_orphans)
		and "destructive" or "write", "up", words, known(self, services),
		{ expect = opts.expect, timeout = opts.timeout or HOUR })
end

---Removes all containers and networks of the project, with `volumes` its data too;
---destructive, verb "down".
---@param opts? {volumes?: boolean, remove_orphans?: boolean, grace?: number, timeout?: number, expect?: any}
---@return table result
function Client:down(opts)
	opts = options(opts, "volumes remove_orphans grace timeout expect")
	local words = add({ "down" }, "-t", seconds(opts.grace, "grace"))
	if opts.volumes then words[#words + 1] = "--volumes" end
	if opts.remove_orphans then words[#words + 1] = "--remove-orphans" end
	return change(self, "destructive", "down", words, {}, opts)
end

---Removes containers that have stopped; destructive, verb "rm".
---@param services? string|string[]
---@param opts? {volumes?: boolean, timeout?: number, expect?: any}
---@return table result
function Client:rm(services, opts)
	opts = options(opts, "volumes timeout expect")
	return change(self, "destructive", "rm", { "rm", "-f", opts.volumes and "-v"
		or nil }, known(self, services), opts)
end

---Fetches the images of services; a write.
---@param services? string|string[]
---@param opts? {timeout?: number, expect?: any}
---@return table result
function Client:pull(services, opts)
	opts = options(opts, "timeout expect")
	return change(self, "write", "pull", { "pull", "-q" }, known(self, services),
		{ expect = opts.expect, timeout = opts.timeout or HOUR })
end

---Builds the images of services; a write.
---@param services? string|string[]
---@param opts? {no_cache?: boolean, pull?: boolean, timeout?: number, expect?: any}
---@return table result
function Client:build(services, opts)
	opts = options(opts, "no_cache pull timeout expect")
	local words = { "build" }
	if opts.no_cache then words[#words + 1] = "--no-cache" end
	if opts.pull then words[#words + 1] = "--pull" end
	return change(self, "write", "build", words, known(self, services),
		{ expect = opts.expect, timeout = opts.timeout or HOUR })
end

---A program in a container, as sh.run: destructive, verb "exec", unless `effect`
---says what it does. The deadline ends docker's own program; what it started in the
---container may go on.
---
---Example:
---  t.orchestrator:exec("cache", { "redis-cli", "ping" }, { effect = "read" }).stdout
---@param service string
---@param argv string[]
---@param opts? table those of sh.run, and env, cwd (in the container), user, instance (name or number)
---@return table result status stdout stderr
function Client:exec(service, argv, opts)
	local o = {}
	for name, value in pairs(opts or {}) do o[name] = value end
	local row = instance(self, service, o.instance)
	o.instance = nil
	if o.effect ~= "read" then meet(self) end
	return self.docker:exec(row.name, argv, o)
end

---Copies a file or folder into or out of a container, "SERVICE:/path"; a write.
---@param from string
---@param to string
---@param opts? {instance?: string|integer, timeout?: number, expect?: any}
---@return table result
function Client:cp(from, to, opts)
	opts = options(opts, "instance timeout expect")
	local function place(path)
		local service, rest = tostring(path):match "^([%w_.-]+):(.*)$"
		if not service then return path end
		return instance(self, service, opts.instance or containers(self,
			{ one(self, service) })[1] and containers(self, { service })[1].name)
			.name .. ":" .. rest
	end
	from, to = place(from), place(to)
	meet(self)
	return self.docker:cp(from, to, { timeout = opts.timeout, expect = opts.expect })
end

-- --- another image, another environment --------------------------------------------

-- Replaces the file at once, or removes it (text nil).
local function replace(path, text)
	if not text then return os.remove(path) end
	local new = path .. ".new"
	local f, why = io.open(new, "w")
	if not f then return nil, why end
	local done
	done, why = f:write(text)
	local closed, late = f:close()
	if not done or not closed then return nil, why or late end
	return os.rename(new, path)
end

local function lay_over(self, verb, path, text, request)
	return effect.call(self.target, "write", verb, request, { expect = true },
		replace, path, text)
end

-- Changes the file of ours and brings the service to it; when that fails the file
-- is as it was.
local function apply(self, verb, service, path, state, request, opts)
	local base = self.project:path():match "[^/]*$"
	local before = sys.stat(path) and sys.read(path, 4 << 20) or nil
	state.version = state.version or not self.project:is_v2()
		and self.project:file_version() or nil
	meet(self)
	local ok, why = lay_over(self, verb, path, override.text(state, base), request)
	if not ok then
		error(err.new { kind = "io", target = self.target:name(), op = verb,
			outcome = "failed", message = tostring(why) }, 0)
	end
	local fine, r = pcall(change, self, "write", verb, { "up", "-d", "--no-deps" },
		{ service }, opts)
	if fine then return r end
	if err.is(r) and r.outcome ~= "unknown" then
		lay_over(self, verb, path, before, "put " .. path .. " back")
	end
	error(r, 0)
end

-- The file of ours, or that a service of it has another image or environment.
local function overlay(self)
	local path, automatic = self.project:override_path()
	return path, override.read(path), automatic
end

---Another image for a service, by a file beside the compose file
---(docker-compose.override.yml, or NAME.opsh.yml where that one is taken, which
---compose reads only with -f), then `up` of this service alone. A write.
---@param service string
---@param image string
---@param opts? {timeout?: number, expect?: any}
---@return table result
function Client:set_image(service, image, opts)
	opts = options(opts, "timeout expect")
	one(self, service)
	if type(image) ~= "string" or not image:find "^%w[%w._/:@-]*$" then
		error(err.new { kind = "usage", message = ("'%s' is no name of an image")
			:format(tostring(image)) }, 0)
	end
	local path, state = overlay(self)
	return apply(self, "set_image", service, path, override.change(state, service,
		function(entry) override.set(entry, image) end), ("%s: %s: image %s"):format(
		path, service, image), { expect = opts.expect, timeout = opts.timeout
		or HOUR })
end

---Other values of environment variables for a service, by the same file; not for
---secrets, which would stand in it. A write.
---@param service string
---@param env table<string, string>
---@param opts? {timeout?: number, expect?: any}
---@return table result
function Client:set_env(service, env, opts)
	opts = options(opts, "timeout expect")
	one(self, service)
	local names = {}
	for name, value in pairs(type(env) == "table" and env or {}) do
		if type(name) ~= "string" or not name:find "^[%a_][%w_]*$"
			or type(value) ~= "string" then
			error(err.new { kind = "usage", message = ("'%s' must be a name, and "
				.. "its value a string (a secret belongs in an env_file)"):format(
				tostring(name)) }, 0)
		end
		names[#names + 1] = name
	end
	if #names == 0 then
		error(err.new { kind = "usage",
			message = "{ NAME = value, ... } expected" }, 0)
	end
	table.sort(names)
	local path, state = overlay(self)
	return apply(self, "set_env", service, path, override.change(state, service,
		function(entry) override.set(entry, nil, env) end), ("%s: %s: environment "
		.. "%s"):format(path, service, table.concat(names, " ")), opts)
end

---Takes the last set_image or set_env of a service back. What people changed in the
---compose file itself is not known here: that is git's. A write.
---@param service string
---@param opts? {timeout?: number, expect?: any}
---@return table result
function Client:undo(service, opts)
	opts = options(opts, "timeout expect")
	one(self, service)
	local path, state = overlay(self)
	local back = override.back(state, service)
	if not back then
		error(err.new { kind = "check", code = "NO_HISTORY",
			target = self.target:name(), op = "undo", message = ("no earlier "
			.. "definition of '%s': opsh has changed nothing of it"):format(service),
			hint = "what stands in the compose file is git's to take back" }, 0)
	end
	return apply(self, "undo", service, path, back, path .. ": " .. service
		.. " as before", opts)
end

-- --- the kind ------------------------------------------------------------------------

local function connect(target, o)
	local u = o.url or {}
	if next(u.query or {}) then
		error(err.new { kind = "config", message = ("URL of target '%s' has an "
			.. "unknown parameter '%s'"):format(target:name(),
			tostring(next(u.query))) }, 0)
	end
	if o.project and not o.project:find "^[%l%d][%l%d_-]*$" then
		error(err.new { kind = "config", message = ("field 'project' of target "
			.. "'%s' must be of small letters, digits, '_' and '-'"):format(
			target:name()) }, 0)
	end
	local p = project.new(target, { file = o.file or u.path, project = o.project,
		env_file = o.env_file, docker_host = o.docker_host,
		profiles = o.profiles, env = o.env })
	return setmetatable({ target = target, project = p, docker = p.docker }, Client)
end

M.kind = {
	name = "compose",
	schemes = { "compose" },
	connect = connect,
	ping = meet,
	options = {
		file = { type = "string", help = "path of the compose file, over the "
			.. "URL's (default: the one of this folder)" },
		project = { type = "string", help = "name of the project (default: as "
			.. "compose finds it)" },
		env_file = { type = "string", help = "in place of .env" },
		docker_host = { type = "string", help = "of the engine, such as "
			.. "ssh://ops@web1 (default: $DOCKER_HOST)" },
		profiles = { type = "list", items = "string", help = "that are on" },
		env = { type = "table", help = "variables for the file, besides those "
			.. "of the environment" },
	},
}

return M
