-- compose.project: which program drives a compose project, from which files, and
-- what these define. `docker compose` (version 2) where it is there, `docker-compose`
-- else. Owns what was read of both. Must not change anything: opsh.compose does.
local docker = require "opsh.docker"
local err = require "opsh.c.err"
local json = require "opsh.json"
local rows = require "opsh.docker.rows"
local sys = require "opsh.c.sys"
local task = require "opsh.c.task"

local M = {}

---@class opsh.compose.project
local Project = {}
Project.__index = Project

local KEPT <const> = 10		-- seconds that a definition is taken for the same

-- What compose looks for when it is given no file, and what it lays over it.
local DEFAULTS = {
	{ "compose.yaml", "compose.override.yaml", "compose.override.yml" },
	{ "compose.yml", "compose.override.yml", "compose.override.yaml" },
	{ "docker-compose.yml", "docker-compose.override.yml",
		"docker-compose.override.yaml" },
	{ "docker-compose.yaml", "docker-compose.override.yaml",
		"docker-compose.override.yml" },
}

local function config_error(self, fmt, ...)
	error(err.new { kind = "config", target = self.target:name(),
		message = fmt:format(...) }, 0)
end

-- --- files ---------------------------------------------------------------------

-- "dir/", "name"
local function split(path)
	return path:match "^(.-)([^/]*)$"
end

local function is_file(path)
	local st = sys.stat(path)
	return st and st.type == "file"
end

---The compose file, absolute. Raises kind config when it isn't there.
---@return string
function Project:path()
	if self.absolute and is_file(self.absolute) then return self.absolute end
	local path = self.file
	if not path then
		for _, names in ipairs(DEFAULTS) do
			if is_file(names[1]) then
				path = names[1]
				break
			end
		end
		if not path then
			config_error(self, "no compose file here: none of %s, %s, %s, %s",
				DEFAULTS[1][1], DEFAULTS[2][1], DEFAULTS[3][1], DEFAULTS[4][1])
		end
	end
	if not is_file(path) then
		config_error(self, "compose file '%s' is not there", path)
	end
	self.absolute = sys.realpath(path) or path
	return self.absolute
end

---The file of ours that lies over the compose file: the one that compose itself
---reads when it is run by hand, where that is free, else NAME.opsh.yml.
---@return string path
---@return boolean automatic compose reads it by itself
function Project:override_path()
	local dir, name = split(self:path())
	local apart = dir .. name:gsub("%.ya?ml$", "") .. ".opsh.yml"
	for _, names in ipairs(DEFAULTS) do
		if names[1] == name then
			for n = 2, #names do
				local path = dir .. names[n]
				if is_file(path) then
					if require("opsh.compose.override").is_ours(path) then
						return path, true
					end
					return apart, false
				end
			end
			return dir .. names[2], true
		end
	end
	return apart, false
end

---The files in the order that they are laid over each other.
---@return string[]
function Project:files()
	local base = self:path()
	local dir, name = split(base)
	local list = { base }
	for _, names in ipairs(DEFAULTS) do
		if names[1] == name then
			for n = 2, #names do
				if is_file(dir .. names[n]) then
					list[2] = dir .. names[n]
					break
				end
			end
		end
	end
	local ours = self:override_path()
	if ours ~= list[2] and is_file(ours) then list[#list + 1] = ours end
	return list
end

-- The value of a variable in the file .env beside the compose file.
local function from_env_file(self, name)
	local dir = split(self:path())
	local text = sys.read(self.env_file or dir .. ".env", 1 << 20)
	for line in (text or ""):gmatch "[^\r\n]+" do
		local value = line:match("^%s*" .. name .. "%s*=%s*(.-)%s*$")
		if value then return (value:gsub("^(['\"])(.*)%1$", "%2")) end
	end
end

-- `name:` at the top of the file, which version 2 takes.
local function from_file(self)
	local text = sys.read(self:path(), 16 << 20)
	return ("\n" .. (text or "")):match "\nname:%s*['\"]?([%w_-]+)"
end

---The project's name, as compose would find it.
---@return string
function Project:name()
	if self.project then return self.project end
	local name = sys.getenv "COMPOSE_PROJECT_NAME"
	if not name or name == "" then
		name = from_env_file(self, "COMPOSE_PROJECT_NAME")
	end
	if not name or name == "" then
		name = self:is_v2() and from_file(self) or nil
	end
	if not name or name == "" then name = self:path():match "([^/]*)/[^/]*$" end
	name = name:lower():gsub("[^%l%d_-]", ""):gsub("^[_-]+", "")
	if name == "" then
		config_error(self, "no name for the compose project of '%s': give the "
			.. "field 'project'", self:path())
	end
	self.project = name
	return name
end

---`version:` of the compose file, which version 1 wants to be the same in each.
---@return string?
function Project:file_version()
	local text = sys.read(self:path(), 16 << 20)
	return ("\n" .. (text or "")):match "\nversion:%s*['\"]?([%d.]+)"
end

-- --- the program -----------------------------------------------------------------

-- Its version as text, or nil when it is not there.
local function version_of(self, argv)
	local ok, r = pcall(docker.call, self.docker, argv, { class = "read",
		verb = "version", timeout = 20, accept = true, inherit = true })
	if not ok then
		if err.is(r) and (r.kind == "cancelled" or r.kind == "timeout") then
			error(r, 0)
		end
		return nil
	end
	return r.status == 0 and r.stdout:match "(%d+%.%d+[%d.]*)" or nil
end

local function find_program(self)
	if self.program then return end
	local version = version_of(self, { "docker", "compose", "version", "--short" })
	local program = { "docker", "compose" }
	if not version then
		version = version_of(self, { "docker-compose", "version", "--short" })
		program = { "docker-compose" }
	end
	if not version then
		error(err.new { kind = "check", target = self.target:name(), message =
			"neither 'docker compose' nor 'docker-compose' runs here",
			hint = "install docker-compose-plugin, or docker-compose" }, 0)
	end
	self.program, self.version = program, version
end

---Is it version 2?
---@return boolean
function Project:is_v2()
	find_program(self)
	return tonumber(self.version:match "^%d+") >= 2
end

---The argument list of a compose command.
---@param ... string
---@return string[]
function Project:argv(...)
	find_program(self)
	local argv = table.move(self.program, 1, #self.program, 1, {})
	local function add(...)
		table.move({ ... }, 1, select("#", ...), #argv + 1, argv)
	end
	for _, file in ipairs(self:files()) do add("-f", file) end
	add("-p", self:name())
	if self.env_file then add("--env-file", self.env_file) end
	for _, profile in ipairs(self.profiles) do add("--profile", profile) end
	add(...)
	return argv
end

---Runs a compose command. Raises its failure in compose's own words.
---@param argv string[] what stands behind the options of compose itself
---@param opts table as opsh.c.exec takes it
---@return table result
function Project:run(argv, opts)
	opts.inherit = true	-- the file's ${NAME} are the environment's
	return docker.call(self.docker, self:argv(table.unpack(argv)), opts)
end

-- --- what is defined -----------------------------------------------------------------

-- What changes when a file does.
local function stamp(self)
	local parts = { self:name() }
	local dir = split(self:path())
	local files = self:files()
	files[#files + 1] = self.env_file or dir .. ".env"
	for _, path in ipairs(files) do
		local st = sys.stat(path)
		parts[#parts + 1] = st and ("%s %d %d %d"):format(path, st.mtime, st.size,
			st.ino) or path
	end
	return table.concat(parts, "\n")
end

-- Lines of stderr that warn, without the program's decoration.
local function warnings(text)
	local list = {}
	for line in (text or ""):gmatch "[^\r\n]+" do
		local said = line:match "^WARNING: *(.+)$"
			or line:match '^time=.-level=warning msg="(.*)"$'
			or line:match "^WARN%S* *(.+)$"
		if said then list[#list + 1] = (said:gsub('\\"', '"')) end
	end
	return list
end

---What the files say, read anew: `services` by name, as the files have them with
---all variables filled in; and what compose warns of. Raises kind config in
---compose's words when they are wrong.
---@return table config
---@return string[] warnings
function Project:read()
	local argv = self:is_v2() and { "config", "--format", "json" } or { "config" }
	local r = self:run(argv, { class = "read", verb = "config", timeout = 60,
		accept = true })
	if r.status ~= 0 then
		local e = docker.explain(err.new { kind = "server", op = "config",
			code = tostring(r.status or r.signal), message = r.stderr,
			stderr = r.stderr, target = self.target:name() }, self.docker.host)
		if e.kind == "server" then
			e.kind, e.message = "config", ("'%s' is wrong: %s"):format(self:path(),
				(r.stderr:gsub("%s+", " "):gsub("^ERROR: ", ""):gsub(" $", "")))
		end
		error(e, 0)
	end
	local config
	if self:is_v2() then
		config = json.decode(r.stdout, { null = json.null })
	else
		config = require("opsh.compose.yaml").read(r.stdout)
	end
	if type(config) ~= "table" or type(config.services) ~= "table" then
		config_error(self, "'%s' defines no services", self:path())
	end
	return config, warnings(r.stderr)
end

-- The profiles that are on.
local function active(self)
	local on = {}
	for _, name in ipairs(self.profiles) do on[name] = true end
	for name in (sys.getenv "COMPOSE_PROFILES" or ""):gmatch "[^,%s]+" do
		on[name] = true
	end
	return on
end

-- Version 1 shows services of profiles that are off as well.
local function is_on(def, on)
	local profiles = type(def) == "table" and def.profiles
	if type(profiles) ~= "table" or #profiles == 0 then return true end
	for _, name in ipairs(profiles) do
		if on[name] or on["*"] then return true end
	end
	return false
end

---The services as read at most 10 s ago from the same files.
---@return table<string, table>
function Project:services()
	local now, is = task.now(), stamp(self)
	if not self.kept or self.kept.stamp ~= is or now - self.kept.at > KEPT then
		local services, on = {}, active(self)
		for name, def in pairs((self:read()).services) do
			if is_on(def, on) then services[name] = def end
		end
		self.kept = { stamp = is, at = now, services = services }
	end
	return self.kept.services
end

-- A list or the names of a map, sorted.
local function names_in(v)
	local out = {}
	if type(v) ~= "table" then return out end
	for k, item in pairs(v) do
		local name = type(k) == "string" and k or item
		if type(name) == "string" then out[#out + 1] = name end
	end
	table.sort(out)
	return out
end

-- {NAME = value} or {"NAME=value"} -> names; false: set, but empty.
local function environment(v)
	local out = {}
	for k, value in pairs(type(v) == "table" and v or {}) do
		if type(k) ~= "string" then
			k, value = tostring(value):match "^([^=]*)=?(.*)$"
		end
		if k then out[k] = value ~= nil and value ~= json.null and value ~= "" end
	end
	return out
end

local function port_number(v)
	return math.tointeger(tonumber(v))
end

-- "127.0.0.1:8080:80/tcp", "80", {published = "8080", target = 80}
local function ports(def)
	local out, seen = {}, {}
	local function add(port)
		if port and not seen[port] then
			seen[port] = true
			out[#out + 1] = port
		end
	end
	for _, p in ipairs(type(def.ports) == "table" and def.ports or {}) do
		if type(p) == "table" then
			add(port_number(p.published) or port_number(p.target))
		else
			local text = tostring(p):gsub("/%a+$", "")
			add(port_number(text:match "(%d+):%d+$" or text:match "(%d+)$"))
		end
	end
	for _, p in ipairs(type(def.expose) == "table" and def.expose or {}) do
		add(port_number((tostring(p):gsub("/%a+$", ""))))
	end
	table.sort(out)
	return out
end

local function table_in(t, ...)
	for _, name in ipairs { ... } do
		t = type(t) == "table" and t[name]
	end
	return type(t) == "table" and t or {}
end

local function has_health_check(def)
	local check = def.healthcheck
	if type(check) ~= "table" or check.disable == true then return false end
	local test = check.test
	return not (type(test) == "table" and test[1] == "NONE" or test == "NONE")
end

local function text(v)
	return type(v) == "string" and v or nil
end

---A service of the files as a definition of opsh.orchestrator. A health check of
---its image alone is not seen.
---@param name string
---@param def any what the files say of it
---@return opsh.orchestrator.definition
function M.definition(name, def)
	if type(def) ~= "table" then def = {} end
	local deploy = table_in(def, "deploy")
	local limits = table_in(deploy, "resources", "limits")
	local cpu = tonumber(limits.cpus) or tonumber(def.cpus)
	return {
		service = name, image = text(def.image),
		replicas = port_number(deploy.replicas) or port_number(def.scale) or 1,
		env = environment(def.environment), ports = ports(def),
		depends = names_in(def.depends_on),
		health_check = has_health_check(def),
		limits = { cpu = cpu and cpu > 0 and cpu or nil,
			memory = rows.bytes(limits.memory) or rows.bytes(def.mem_limit) },
		config = { builds = def.build ~= nil and def.build ~= json.null,
			container_name = text(def.container_name),
			network_mode = text(def.network_mode), restart = text(def.restart),
			profiles = names_in(def.profiles) },
	}
end

---@param target opsh.target
---@param o table fields of the target
---@return opsh.compose.project
function M.new(target, o)
	return setmetatable({ target = target, file = o.file, project = o.project,
		env_file = o.env_file, profiles = o.profiles or {},
		docker = docker.of { docker_host = o.docker_host, env = o.env,
		target = target } },
		Project)
end

return M
