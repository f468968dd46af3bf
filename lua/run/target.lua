-- target: the description of one target, from the targets file or --target, and
-- its common form. What a kind takes is asked from its public module (`kind` of
-- opsh.redis and so on, listed by run.kinds): a new kind changes nothing here.
-- A kind that opsh knows and this build lacks is taken as it is and raises when
-- it is used: one file of a system serves every build. Connects to nothing.
local check = require "run.check"
local fail = require "run.fail"
local params = require "run.params"
local url = require "run.url"
local words = require "run.words"

local target = {}

local MAX_NAME = 63		-- struct target's field holds no more

-- The kinds of opsh and their schemes, built in or not.
local OF_OPSH = {
	redis = { "redis", "rediss", "redis+unix" },
	postgres = { "postgresql", "postgres" },
	kafka = { "kafka" },
	http = { "http", "https", "http+unix" },
	compose = { "compose" },
	kubernetes = { "kubernetes" },
	["local"] = { "local" },
}

-- Fields of each target, whatever its kind.
local COMMON = {
	kind = { type = "string" }, url = { type = "string" },
	role = { type = "string" }, description = { type = "string" },
}

-- Names that a target can't have: they would hide what playbooks use.
local function is_reserved(name)
	return check.globals[name] or not load("local " .. name)
end

local function is_secret(v, secret)
	if secret.is then
		return secret.is(v)
	end
	return type(v) == "userdata"
end

-- The module of a kind, and its description; raises when it is not built in.
function target.kind(name)
	local kinds = require "run.kinds"
	if not kinds[name] then
		fail.config("kind '%s' is not built in%s", name,
			words.hint(name, kinds))
	end
	local module = require("opsh." .. name)
	if type(module) ~= "table" or type(module.kind) ~= "table" then
		fail.config("kind '%s' is not usable: module 'opsh.%s' has no 'kind'",
			name, name)
	end
	return module.kind
end

---The kinds of opsh, built in or not, as keys.
---@return table<string, boolean>
function target.known_kinds()
	local all = {}
	for name in pairs(OF_OPSH) do all[name] = true end
	for name in pairs(require "run.kinds") do all[name] = true end
	return all
end

---The kind that a URL's scheme stands for, built in or known to be of opsh;
---raises for any other.
---@param scheme string
---@return string
function target.kind_of_scheme(scheme)
	local kinds = require "run.kinds"
	for _, list in ipairs { kinds, OF_OPSH } do
		for _, name in ipairs(words.sorted(list)) do
			for _, known in ipairs(list[name] or {}) do
				if known == scheme then
					return name
				end
			end
		end
	end
	fail.config("no kind of target for URLs '%s:' is built in (built in: %s)",
		scheme, words.list(kinds))
end

local READ = {}

function READ.secret(value, _, secret)
	if is_secret(value, secret) then
		return value
	end
	return type(value) == "string" and value ~= "" and secret.value(value)
		or nil, "a secret: secret.env \"NAME\", secret.file \"PATH\" ..."
end

function READ.table(value)
	return type(value) == "table" and value or nil, "a table"
end

READ["function"] = function(value)
	return type(value) == "function" and value or nil, "a function"
end

-- One option by its description; other types are those of parameters.
local function read_option(def, value, secret)
	local read = READ[def.type]
	if read then
		local got, what = read(value, def, secret)
		return got, got == nil and "expected " .. what or nil
	end
	return params.convert(def, value, false)
end

local function check_name(place, name, keys)
	if type(name) ~= "string" or not name:match("^%l[%l%d_]*$") then
		place.fail(keys, "target name '%s' must be of small letters, digits "
			.. "and '_'", tostring(name))
	elseif #name > MAX_NAME then
		place.fail(keys, "target name '%s' is longer than %d letters", name,
			MAX_NAME)
	elseif is_reserved(name) then
		place.fail(keys, "target name '%s' is taken by Lua or opsh", name)
	end
end

-- Runs f and puts the place before its message.
local function at(place, keys, f, ...)
	local ok, value = pcall(f, ...)
	if ok then
		return value
	elseif fail.is(value) and value.kind ~= "config" then
		error(value, 0)
	end
	place.fail(keys, "%s", fail.text(value))
end

local function read_options(place, keys, given, kind, secret)
	local options = {}
	for _, name in ipairs(words.sorted(given)) do
		local def = kind.options and kind.options[name]
		local value = given[name]
		local here = table.move(keys, 1, #keys, 1, {})
		here[#here + 1] = name
		if value ~= nil and not COMMON[name] and not def then
			local known = {}
			for _, t in ipairs { COMMON, kind.options or {} } do
				for field in pairs(t) do
					known[field] = true
				end
			end
			place.fail(here, "unknown field '%s' in target '%s' of kind '%s'%s",
				name, keys[#keys], kind.name, words.hint(name, known))
		elseif value ~= nil and def and not COMMON[name] then
			local got, why = read_option(def, value, secret)
			if got == nil then
				place.fail(here, "field '%s' of target '%s': %s", name,
					keys[#keys], why)
			end
			options[name] = got
		end
	end
	return options
end

local function fill_options(options, kind, place, keys)
	for _, name in ipairs(words.sorted(kind.options or {})) do
		local def = kind.options[name]
		if def and options[name] == nil and def.default ~= nil then
			options[name] = def.default
		elseif def and options[name] == nil and def.required then
			place.fail(keys, "target '%s' of kind '%s' needs the field '%s'%s",
				keys[#keys], kind.name, name,
				def.help and " (" .. def.help .. ")" or "")
		end
	end
end

-- One target in its final form.
function target.read(place, name, given, secret)
	local keys = { "targets", name }
	check_name(place, name, keys)
	if type(given) == "string" then
		given = { url = given }
	elseif type(given) ~= "table" then
		place.fail(keys, "target '%s' must be a table or a URL, not a %s",
			name, type(given))
	end
	for field in pairs(COMMON) do
		if given[field] ~= nil and type(given[field]) ~= "string" then
			place.fail({ "targets", name, field }, "field '%s' of target '%s' "
				.. "must be a string, not a %s", field, name,
				type(given[field]))
		end
	end
	local u, kind_name = nil, given.kind
	if given.url then
		u = at(place, { "targets", name, "url" }, url.parse, given.url,
			secret.value)
		local by_url = at(place, { "targets", name, "url" },
			target.kind_of_scheme, u.scheme)
		if kind_name and by_url ~= kind_name then
			place.fail({ "targets", name, "kind" }, "target '%s' is of kind "
				.. "'%s', but its URL is for '%s'", name, kind_name, by_url)
		end
		kind_name = by_url
	elseif not kind_name then
		place.fail(keys, "target '%s' needs 'kind' or 'url'", name)
	end
	if OF_OPSH[kind_name] and not require("run.kinds")[kind_name] then
		return {
			name = name, kind = kind_name, url = u, role = given.role,
			description = given.description, options = {},
			address = u and u.text or kind_name, absent = true,
		}
	end
	local kind = at(place, { "targets", name, "kind" }, target.kind, kind_name)
	local options = read_options(place, keys, given, kind, secret)
	fill_options(options, kind, place, keys)
	return {
		name = name, kind = kind_name, url = u, role = given.role,
		description = given.description, options = options,
		address = u and u.text or kind_name,
	}
end

return target
