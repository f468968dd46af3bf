-- compose.drive: methods of a client that change something: each reads first whose
-- engine it is, then is a command of compose's own program, as people type it, or
-- one of docker's. Owns the class of each verb, and what happens when a service
-- with another image or environment (compose.override) does not come up.
local containers = require "opsh.compose.containers"
local docker = require "opsh.docker"
local effect = require "opsh.c.effect"
local err = require "opsh.c.err"
local override = require "opsh.compose.override"
local sys = require "opsh.c.sys"

local M = {}

---@class opsh.compose.client
local drive = {}

local options, seconds = docker.options, docker.seconds
local MINUTE <const>, HOUR <const> = 60, 3600

---Reads who the engine is: another one than before stops the write that follows.
---@param self opsh.compose.client
function M.meet(self)
	self.target:at((self.docker.host and self.docker.host .. " " or "")
		.. self.project:path())
	self.target:seen(("engine=%s project=%s"):format(self.docker:id(),
		self.project:name()), "")
end

-- A compose command that changes something: words, then services. No name of one
-- begins with '-' (they are known ones), and `start` of version 1 takes no "--".
local function change(self, class, verb, words, names, opts)
	M.meet(self)
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
function drive:start(services, opts)
	opts = options(opts, "timeout expect")
	local names = containers.known(self, services)
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
function drive:restart(services, opts)
	opts = options(opts, "instance grace timeout expect")
	if opts.instance then
		local row = containers.instance(self, services, opts.instance)
		M.meet(self)
		return self.docker:restart(row.name, { grace = opts.grace,
			timeout = opts.timeout, expect = opts.expect })
	end
	return change(self, "destructive", "restart", add({ "restart" }, "-t",
		seconds(opts.grace, "grace")), containers.known(self, services), opts)
end

---Ends containers and keeps them; destructive, verb "stop".
---@param services? string|string[]
---@param opts? {grace?: number, timeout?: number, expect?: any}
---@return table result
function drive:stop(services, opts)
	opts = options(opts, "grace timeout expect")
	return change(self, "destructive", "stop", add({ "stop" }, "-t",
		seconds(opts.grace, "grace")), containers.known(self, services), opts)
end

---Sends a signal to the containers; destructive, verb "kill".
---@param services? string|string[]
---@param opts? {signal?: string, timeout?: number, expect?: any}
---@return table result
function drive:kill(services, opts)
	opts = options(opts, "signal timeout expect")
	return change(self, "destructive", "kill", add({ "kill" }, "-s", opts.signal),
		containers.known(self, services), opts)
end

---Makes so many instances of a service. To fewer it is destructive, verb "scale";
---else a write. Compose does not remember the number: the next `up` by hand goes
---back to the file's.
---@param service string
---@param replicas integer
---@param opts? {timeout?: number, expect?: any}
---@return table result
function drive:scale(service, replicas, opts)
	opts = options(opts, "timeout expect")
	containers.one(self, service)
	if math.type(replicas) ~= "integer" or replicas < 0 or replicas > 1000 then
		error(err.new { kind = "usage",
			message = "a number of instances from 0 to 1000 expected" }, 0)
	end
	local class = replicas < #containers.list(self, { service }) and "destructive"
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
function drive:up(services, opts)
	opts = options(opts, "build no_deps force_recreate no_recreate remove_orphans "
		.. "scale timeout expect")
	local words = { "up", "-d" }
	for _, flag in ipairs { "build", "no_deps", "force_recreate", "no_recreate",
		"remove_orphans" } do
		if opts[flag] then words[#words + 1] = "--" .. flag:gsub("_", "-") end
	end
	for service, n in pairs(opts.scale or {}) do
		add(words, "--scale", ("%s=%d"):format(containers.one(self, service), n))
	end
	return change(self, (opts.force_recreate or opts.remove_orphans)
		and "destructive" or "write", "up", words, containers.known(self, services),
		{ expect = opts.expect, timeout = opts.timeout or HOUR })
end

---Removes all containers and networks of the project, with `volumes` its data too;
---destructive, verb "down".
---@param opts? {volumes?: boolean, remove_orphans?: boolean, grace?: number, timeout?: number, expect?: any}
---@return table result
function drive:down(opts)
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
function drive:rm(services, opts)
	opts = options(opts, "volumes timeout expect")
	return change(self, "destructive", "rm",
		{ "rm", "-f", opts.volumes and "-v" or nil },
		containers.known(self, services), opts)
end

---Fetches the images of services; a write.
---@param services? string|string[]
---@param opts? {timeout?: number, expect?: any}
---@return table result
function drive:pull(services, opts)
	opts = options(opts, "timeout expect")
	return change(self, "write", "pull", { "pull", "-q" },
		containers.known(self, services),
		{ expect = opts.expect, timeout = opts.timeout or HOUR })
end

---Builds the images of services; a write.
---@param services? string|string[]
---@param opts? {no_cache?: boolean, pull?: boolean, timeout?: number, expect?: any}
---@return table result
function drive:build(services, opts)
	opts = options(opts, "no_cache pull timeout expect")
	local words = { "build" }
	if opts.no_cache then words[#words + 1] = "--no-cache" end
	if opts.pull then words[#words + 1] = "--pull" end
	return change(self, "write", "build", words, containers.known(self, services),
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
function drive:exec(service, argv, opts)
	local o = {}
	for name, value in pairs(opts or {}) do o[name] = value end
	local row = containers.instance(self, service, o.instance)
	o.instance = nil
	if o.effect ~= "read" then M.meet(self) end
	return self.docker:exec(row.name, argv, o)
end

---Copies a file or folder into or out of a container, "SERVICE:/path"; a write.
---@param from string
---@param to string
---@param opts? {instance?: string|integer, timeout?: number, expect?: any}
---@return table result
function drive:cp(from, to, opts)
	opts = options(opts, "instance timeout expect")
	local function place(path)
		local service, rest = tostring(path):match "^([%w_.-]+):(.*)$"
		if not service then return path end
		local wanted = opts.instance
			or containers.list(self, { containers.one(self, service) })[1]
			and containers.list(self, { service })[1].name
		return containers.instance(self, service, wanted).name .. ":" .. rest
	end
	from, to = place(from), place(to)
	M.meet(self)
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
	M.meet(self)
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
function drive:set_image(service, image, opts)
	opts = options(opts, "timeout expect")
	containers.one(self, service)
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
function drive:set_env(service, env, opts)
	opts = options(opts, "timeout expect")
	containers.one(self, service)
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
function drive:undo(service, opts)
	opts = options(opts, "timeout expect")
	containers.one(self, service)
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

---Adds the writes to the client.
---@param Client table
function M.install(Client)
	for name, method in pairs(drive) do Client[name] = method end
end

return M
