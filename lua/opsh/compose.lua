-- compose: targets of kind compose: the services of a compose file on a Docker
-- engine, by the interface of opsh.orchestrator. What runs is read from the engine
-- itself. Owns the options of the kind. Reads are here, writes in compose.drive;
-- files and definitions: compose.project; which containers are meant:
-- compose.containers.
local containers = require "opsh.compose.containers"
local drive = require "opsh.compose.drive"
local err = require "opsh.c.err"
local options = require("opsh.docker").options
local orchestrator = require "opsh.orchestrator"
local project = require "opsh.compose.project"

local M = {}

---@class opsh.compose.client: opsh.orchestrator
local Client = {}
Client.__index = Client
Client.__call = function(o, ...) return orchestrator.call(o, ...) end
Client.__name = "opsh.compose.client"

local MINUTE <const> = 60

-- --- names -----------------------------------------------------------------------

---Names of the services that the files define, sorted.
---@return string[]
function Client:services()
	local names = {}
	for name in pairs(self.project:services()) do names[#names + 1] = name end
	table.sort(names)
	return names
end

---What the files say of a service. The health check of an image alone is not seen.
---@param service string
---@return opsh.orchestrator.definition
function Client:definition(service)
	local name = containers.one(self, service)
	return project.definition(service, self.project:services()[name])
end

-- --- reads -------------------------------------------------------------------------

-- What rows of status have; the rest is for this module.
local PUBLIC = { "service", "name", "state", "ready", "health", "restarts",
	"started", "exit_code", "signal", "reason", "message", "image", "ports" }

---Every container of these services, and a row "missing" for a service that should
---run and has none. After a stop by signal (143) a container is "exited"; one that
---ended otherwise with a status that is not 0 is "failed".
---@param services? string|string[]
---@return opsh.orchestrator.row[]
function Client:status(services)
	local names = containers.known(self, services)
	local list, seen = {}, {}
	for n, row in ipairs(containers.list(self, names)) do
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
	local names = containers.known(self, services)
	local logs = require "opsh.compose.logs"
	local list = containers.list(self, names)
	if opts.follow then return logs.follow(self.project, list, names, opts) end
	if opts.instance then
		list = { containers.instance(self, names[1] or "", opts.instance) }
	end
	return logs.past(self.docker, list, opts)
end

---What containers use now; docker takes about 2 s to measure. A memory limit is
---the container's own, nil where it has none.
---@param services? string|string[]
---@return table[] rows service name cpu (cores) memory memory_limit (bytes) pids
function Client:top(services)
	local ids, by = {}, {}
	for _, row in ipairs(containers.list(self, containers.known(self, services))) do
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
	local names = containers.known(self, services)
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
	local list = containers.list(self, { service })
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

drive.install(Client)

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
	ping = drive.meet,
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
