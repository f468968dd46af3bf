-- targets: the targets file (DESIGN section 4) and --target NAME=URL: reads and
-- checks the description of every target and gives it a common form. What a
-- kind of target takes is asked from its public module (`kind` of opsh.redis,
-- listed by the generated run.kinds), so a new kind changes nothing here. Owns
-- the list of the file's fields. Connects to nothing; that is targets.open.
local sys = require "opsh.c.sys"
local bytecode = require "run.bytecode"
local check = require "run.check"
local fail = require "run.fail"
local params = require "run.params"
local source = require "run.source"
local definition = require "run.target"
local words = require "run.words"

local targets = {}

local DEFAULT_FILE = "opsh.lua"
-- Fields of a service; playbooks of services/ read them.
local SERVICE = {
	target = "string", health = "string", readiness = "string",
	metrics = "string", unit = "string", container = "string",
	deployment = "string", port = "number", replicas = "number",
	depends = "table", thresholds = "table", logs = "string",
	labels = "table", description = "string", owner = "string",
	-- expect: status of the health request; timeout: its deadline, seconds;
	-- env: variables that it must have; tls: HOST:PORT whose certificate counts
	expect = "number", timeout = "number", env = "table", tls = "string",
}

local LOCK = { store = "string", path = "string", prefix = "string",
	ttl = "duration" }

-- What the file may use; nothing in it has an effect.
local function environment(secret)
	local env = { secret = secret, os = { getenv = sys.getenv } }
	for _, name in ipairs { "assert", "error", "ipairs", "next", "pairs",
		"select", "tonumber", "tostring", "type" } do
		env[name] = _G[name]
	end
	for _, name in ipairs { "string", "table", "math", "utf8" } do
		local copy = {}
		for k, v in pairs(_G[name]) do
			copy[k] = v
		end
		env[name] = copy
	end
	return env
end

-- The context of one file: where problems are.
local function new_place(path, shape)
	local place = { file = path }
	function place.fail(keys, fmt, ...)
		local line = bytecode.line_of(shape, keys)
		fail.config("%s%s: %s", path, line and ":" .. line or "",
			fmt:format(...))
	end
	return place
end

-- Data that playbooks read: no functions, no secrets, no other objects.
local function check_plain(place, keys, value, depth)
	local kind = type(value)
	if kind == "table" then
		if depth > 16 then
			place.fail(keys, "nested too deeply")
		end
		for k, v in pairs(value) do
			local here = table.move(keys, 1, #keys, 1, {})
			here[#here + 1] = k
			check_plain(place, here, v, depth + 1)
		end
	elseif kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
		place.fail(keys, "a %s can't stand here, only plain data", kind)
	end
	return value
end

local function read_service(place, name, given, config)
	local keys = { "services", name }
	if type(name) ~= "string" or type(given) ~= "table" then
		place.fail(keys, "service '%s' must be name = { ... }", tostring(name))
	end
	for field, value in pairs(given) do
		local wanted = SERVICE[field]
		if not wanted then
			place.fail({ "services", name, field }, "unknown field '%s' in "
				.. "service '%s'%s", tostring(field), name,
				words.hint(tostring(field), SERVICE))
		elseif type(value) ~= wanted then
			place.fail({ "services", name, field }, "field '%s' of service "
				.. "'%s' must be a %s, not a %s", field, name, wanted,
				type(value))
		end
	end
	check_plain(place, keys, given, 0)
	if given.target and not config.targets[given.target] then
		place.fail({ "services", name, "target" }, "service '%s' is of target "
			.. "'%s', which is not there%s", name, given.target,
			words.hint(given.target, config.targets))
	end
	return given
end

local function check_depends(place, services)
	for name, service in pairs(services) do
		for _, other in ipairs(service.depends or {}) do
			if not services[other] then
				place.fail({ "services", name, "depends" }, "service '%s' "
					.. "depends on '%s', which is not there%s", name,
					tostring(other), words.hint(tostring(other), services))
			end
		end
	end
end

local function read_lock(place, given, config)
	local lock = {}
	for field, value in pairs(given) do
		local wanted = LOCK[field]
		if not wanted then
			place.fail({ "lock", field }, "unknown field '%s' in lock%s",
				tostring(field), words.hint(tostring(field), LOCK))
		end
		local got, why = params.convert({ type = wanted }, value, false)
		if got == nil then
			place.fail({ "lock", field }, "field '%s' of lock: %s", field, why)
		end
		lock[field] = got
	end
	local store = lock.store or "file"
	if store ~= "file" and not config.targets[store] then
		place.fail({ "lock", "store" }, "lock store '%s' is neither 'file' "
			.. "nor a target%s", store, words.hint(store, config.targets))
	end
	if lock.ttl and (lock.ttl < 1 or lock.ttl > 3600) then
		place.fail({ "lock", "ttl" }, "field 'ttl' of lock must be between 1 s "
			.. "and 1 h, not %g s", lock.ttl)
	end
	lock.store = store
	return lock
end

-- Fields of the file: type, and what makes the final form, in this order
-- because later ones refer to targets.
local FILE = {
	{ "environment", "string" },
	{ "description", "string" },
	{ "protected", "boolean" },
	{ "targets", "table", function(place, given, config, secret)
		local out = {}
		for _, name in ipairs(words.sorted(given)) do
			if given[name] ~= nil then
				out[name] = definition.read(place, name, given[name], secret)
			end
		end
		if #given > 0 then
			place.fail({ "targets", 1 }, "a target needs a name: "
				.. "cache = { url = ... }")
		end
		config.targets = out
		return out
	end },
	{ "services", "table", function(place, given, config)
		for name, service in pairs(given) do
			read_service(place, name, service, config)
		end
		check_depends(place, given)
		return given
	end },
	{ "lock", "table", read_lock },
	{ "contacts", "table", function(place, given)
		return check_plain(place, { "contacts" }, given, 0)
	end },
	{ "thresholds", "table", function(place, given)
		return check_plain(place, { "thresholds" }, given, 0)
	end },
	{ "patterns", "table", function(place, given)
		return check_plain(place, { "patterns" }, given, 0)
	end },
}

local function read_file(place, value, config, secret)
	if type(value) ~= "table" then
		place.fail({}, "a targets file must return a table, not a %s",
			type(value))
	end
	local known = {}
	for _, field in ipairs(FILE) do
		known[field[1]] = true
	end
	for key in pairs(value) do
		if not known[key] then
			place.fail({ key }, "unknown field '%s' in targets file%s",
				tostring(key), words.hint(tostring(key), known))
		end
	end
	for _, field in ipairs(FILE) do
		local name, wanted, read = field[1], field[2], field[3]
		local given = value[name]
		if given ~= nil and type(given) ~= wanted then
			place.fail({ name }, "field '%s' must be a %s, not a %s", name,
				wanted, type(given))
		elseif given ~= nil then
			config[name] = read and read(place, given, config, secret)
				or not read and given
		end
	end
end

---An empty configuration: no file, no targets.
---@return table config
function targets.empty()
	return { environment = "", protected = false, targets = {}, services = {},
		contacts = {}, thresholds = {}, patterns = {}, lock = { store = "file" } }
end

---The path of the targets file: the one asked for, $OPSH_TARGETS, ./opsh.lua
---when it is there; nil when there is none.
---@param asked string? --targets FILE
---@return string?
function targets.path(asked)
	if asked then
		return asked
	end
	local from_env = sys.getenv "OPSH_TARGETS"
	if from_env and from_env ~= "" then
		return from_env
	end
	return sys.stat(DEFAULT_FILE) and DEFAULT_FILE or nil
end

---Reads and checks the targets file. Raises kind config, "FILE:LINE: why".
---opts.secret: what the file sees as `secret`; its `value(text)` wraps a text.
---@param asked string? --targets FILE; see targets.path
---@param opts {secret: table}
---@return table config path environment protected targets services lock
---contacts thresholds patterns; each target: name kind url role options address
function targets.load(asked, opts)
	local config = targets.empty()
	local path = targets.path(asked)
	if not path then
		return config
	end
	config.path, config.dir = path, source.folder(path)
	local text = source.read(path, "targets file")
	local env = environment(opts.secret)
	local problems, dump = check.source(text, "@" .. path, env)
	local first = check.first_error(problems)
	if first then
		fail.config("%s:%d: %s", path, first.line, first.message)
	end
	local place = new_place(path, bytecode.shape(dump))
	local chunk = load(check.prepare(text), "@" .. path, "t", env)
	local ok, value = pcall(chunk)
	if not ok and fail.is(value) and value.kind ~= "lua" then
		error(value, 0)
	elseif not ok then
		fail.config("cannot load targets file '%s': %s", path,
			fail.text(value))
	end
	read_file(place, value, config, opts.secret)
	return config
end

---Adds the target of `--target NAME=URL`; one of the file with this name is
---replaced. Raises kind usage or config.
---@param config table
---@param text string
---@param opts {secret: table}
---@return table target
function targets.add(config, text, opts)
	local name, address = text:match("^([^=]*)=(.+)$")
	if not name or name == "" then
		fail.raise { kind = "usage", message = "--target needs NAME=URL",
			hint = "for example: --target cache=redis://localhost:6379" }
	end
	local place = { fail = function(_, fmt, ...)
		fail.usage("--target: " .. fmt, ...)
	end }
	local target = definition.read(place, name, { url = address }, opts.secret)
	config.targets[name] = target
	return target
end

local function candidates(config, need)
	local list = {}
	for _, name in ipairs(words.sorted(config.targets)) do
		local target = config.targets[name]
		for _, kind in ipairs(need.kinds) do
			if target and target.kind == kind then
				list[#list + 1] = name
			end
		end
	end
	return list
end

local function missing(config, name, need)
	local kinds = table.concat(need.kinds, " or ")
	local others = candidates(config, need)
	local schemes = require("run.kinds")[need.kinds[1]]
	local hint
	if #others > 0 then
		hint = ("--bind %s=%s"):format(name, others[1])
	else
		hint = ("--target %s=%s://HOST"):format(name,
			schemes and schemes[1] or need.kinds[1])
	end
	fail.raise { kind = "config", message =
		("the playbook needs target '%s' (%s), and there is none%s"):format(
		name, kinds, config.path and " in '" .. config.path .. "'"
		or ", nor a targets file"), hint = hint }
end

---Which target stands for each of a playbook's needs. binds: { "cache=other" }
---of --bind. Raises kind usage or config; an optional need may stay nil.
---@param config table
---@param needs table<string, table> as playbook.load gives it
---@param binds string[]?
---@return table<string, table> name in the playbook -> target
function targets.bind(config, needs, binds)
	local chosen, out = {}, {}
	for _, text in ipairs(binds or {}) do
		local name, other = text:match("^([^=]+)=([^=]+)$")
		if not name then
			fail.usage("--bind needs NAME=TARGET, not '%s'", text)
		elseif not needs[name] then
			fail.usage("--bind: the playbook needs no target '%s'%s", name,
				words.hint(name, needs))
		elseif not config.targets[other] then
			fail.usage("--bind: there is no target '%s'%s", other,
				words.hint(other, config.targets))
		elseif chosen[name] then
			fail.usage("--bind: '%s' is given twice", name)
		end
		chosen[name] = other
	end
	for _, name in ipairs(words.sorted(needs)) do
		local need = needs[name]
		local target = config.targets[chosen[name] or name]
		if target then
			local fits = false
			for _, kind in ipairs(need.kinds) do
				fits = fits or kind == target.kind
			end
			if not fits then
				fail.config("the playbook needs '%s' of kind %s, but target "
					.. "'%s' is of kind '%s'", name,
					table.concat(need.kinds, " or "), target.name, target.kind)
			end
			out[name] = target
		elseif not need.optional then
			missing(config, name, need)
		end
	end
	return out
end

---Makes the client of a target: kind.connect(target object, options). Nothing
---is sent before its first use. options: the target's own and `url` (parsed).
---role: what a playbook's need asks for, over the file's.
---@param target table of config.targets
---@param role string?
---@return any client, any object the opsh.target userdata
function targets.open(target, role)
	local kind = definition.kind(target.kind)
	local options = { url = target.url }
	local secret = require "opsh.secret"
	for k, v in pairs(target.options) do
		options[k] = secret.resolve(v)
	end
	local object = require("opsh.c.target").new {
		name = target.name, kind = target.kind, role = role or target.role,
	}
	return kind.connect(object, options), object
end

return targets
