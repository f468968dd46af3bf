-- local.definition: the field `services` of a target of kind local: a command, a pid
-- file and what else belongs to a process. Checks it, fills in what is left out.
-- Owns the names of its fields; starts nothing.
local err = require "opsh.c.err"
local secret = require "opsh.secret"

local M = {}

local function is_words(v)
	if type(v) ~= "table" or #v == 0 then return false end
	for k, word in pairs(v) do
		if math.type(k) ~= "integer" or type(word) ~= "string" then return false end
	end
	return true
end

local function is_path(v) return type(v) == "string" and v ~= "" end

local function is_seconds(v)
	return type(v) == "number" and v >= 0 and v < 86400
end

local function is_port(v)
	return math.type(v) == "integer" and v > 0 and v < 65536
end

local function is_env(v)
	if type(v) ~= "table" then return false end
	for name, value in pairs(v) do
		if type(name) ~= "string" or not name:find "^[%a_][%w_]*$"
			or type(value) ~= "string" and not secret.is(value) then
			return false
		end
	end
	return true
end

local function is_names(v)
	if type(v) ~= "table" then return false end
	for k, name in pairs(v) do
		if math.type(k) ~= "integer" or type(name) ~= "string" then return false end
	end
	return true
end

-- Each field: is it right, and what would be.
local FIELDS = {
	command = { is_words, "a list of words" },
	pid = { is_path, "a path" },
	log = { is_path, "a path" },
	cwd = { is_path, "a path" },
	env = { is_env, "names and values" },
	inherit = { function(v) return v == true or is_names(v) end,
		"a list of names, or true" },
	port = { is_port, "a port" },
	depends = { is_names, "a list of services" },
	stop_signal = { function(v)
		return type(v) == "string" and v:find "^%u[%u%d]*$" ~= nil
	end, "a name such as TERM" },
	stop_timeout = { is_seconds, "seconds" },
	ready = { function(v)
		if type(v) ~= "table" then return false end
		for k, value in pairs(v) do
			if k == "tcp" and is_port(value) or k == "http" and is_path(value)
				or k == "command" and is_words(value)
				or k == "grace" and is_seconds(value) then
				goto fine
			end
			do return false end
			::fine::
		end
		return v.tcp ~= nil or v.http ~= nil or v.command ~= nil
	end, "{ tcp = PORT }, { http = URL } or { command = {...} }, with grace = SECONDS" },
}

local function bad(target, name, fmt, ...)
	error(err.new { kind = "config", target = target, message =
		("service '%s' of target '%s': %s"):format(tostring(name), target,
		fmt:format(...)) }, 0)
end

local function known()
	local names = {}
	for name in pairs(FIELDS) do names[#names + 1] = name end
	table.sort(names)
	return table.concat(names, ", ")
end

local function read(target, name, given)
	if type(name) ~= "string" or not name:find "^%w[%w_.-]*$" then
		bad(target, name, "this is no name of a service")
	elseif type(given) ~= "table" then
		bad(target, name, "a table expected, got a %s", type(given))
	end
	local def = { stop_signal = "TERM", stop_timeout = 10 }
	for field, value in pairs(given) do
		local rule = FIELDS[field]
		if not rule then
			bad(target, name, "unknown field '%s' (known: %s)", tostring(field),
				known())
		elseif not rule[1](value) then
			bad(target, name, "field '%s' must be %s", field, rule[2])
		end
		def[field] = value
	end
	if not def.command then bad(target, name, "the field 'command' is missing") end
	if not def.pid then bad(target, name, "the field 'pid' is missing") end
	def.log = def.log or def.pid:gsub("%.pid$", "") .. ".log"
	return def
end

---The services of a target, checked; raises kind config.
---@param target string its name
---@param services? table
---@return table<string, table>
function M.read(target, services)
	local out = {}
	for name, given in pairs(services or {}) do out[name] = read(target, name, given) end
	for name, def in pairs(out) do
		for _, other in ipairs(def.depends or {}) do
			if not out[other] then
				bad(target, name, "it depends on '%s', which is not there", other)
			end
		end
	end
	return out
end

---What a service depends on comes before it; a circle is cut anywhere.
---@param services table<string, table>
---@param names string[]
---@return string[] a new list of these names
function M.order(services, names)
	local wanted, seen, out = {}, {}, {}
	for _, name in ipairs(names) do wanted[name] = true end
	local function visit(name)
		if seen[name] then return end
		seen[name] = true
		for _, other in ipairs(services[name].depends or {}) do visit(other) end
		if wanted[name] then out[#out + 1] = name end
	end
	for _, name in ipairs(names) do visit(name) end
	return out
end

return M
