-- fields: what a playbook's table may hold, and the form the runner gets it in.
-- Owns the list of fields: a new one is added here and in help/playbooks.md.
-- Reports problems by path, so that the caller can name file and line.
local inert = require "run.inert"
local params = require "run.params"
local words = require "run.words"

local fields = {}

local SEVERITIES = { P0 = true, P1 = true, P2 = true, P3 = true, P4 = true }

-- Each reader gets the value and add(message, key, ...), and gives the value in
-- its final form. nil after a problem.
local READ = {}

function READ.text(value, add)
	if type(value) == "string" and value:find("%S") then
		return value
	end
	add("must be a string that is not empty")
end

function READ.name(value, add)
	if type(value) == "string" and #value <= 128
	   and value:match("^%l[%l%d_-]*/%l[%l%d_-]*$") then
		return value
	end
	add("must be a string such as 'redis/cache-flush' (domain/verb, small "
		.. "letters, digits, '-')")
end

function READ.severity(value, add)
	if SEVERITIES[value] then
		return value
	end
	add(("must be one of %s"):format(words.list(SEVERITIES)))
end

function READ.call(value, add)
	if type(value) == "function" then
		return value
	end
	add(("must be a function, not a %s"):format(type(value)))
end

function READ.seconds(value, add)
	local n = type(value) == "string" and params.duration(value)
		or type(value) == "number" and params.whole(value)
	if n and n > 0 then
		return n
	end
	add("must be a duration above 0: seconds, or text such as '10m'")
end

-- A list of strings; one string stands for a list of one.
function READ.texts(value, add)
	if type(value) == "string" then
		value = { value }
	elseif type(value) ~= "table" then
		return add("must be a string or a list of strings")
	end
	local out = {}
	for key, text in pairs(value) do
		if math.type(key) ~= "integer" or type(text) ~= "string" then
			return add("must be a string or a list of strings", key)
		end
	end
	for n, text in ipairs(value) do
		out[n] = text
	end
	return out
end

local NEED = { kind = true, role = true, optional = true, help = true,
	lock = true, reach = true }

local function need_fields(name, value, add)
	for key in pairs(value) do
		if not NEED[key] then
			add(("unknown field '%s'%s"):format(tostring(key),
				words.hint(tostring(key), NEED)), name, key)
			return nil
		end
	end
	if value.role ~= nil and type(value.role) ~= "string"
	   or value.help ~= nil and type(value.help) ~= "string"
	   or value.optional ~= nil and type(value.optional) ~= "boolean" then
		add("'role' and 'help' must be strings, 'optional' a boolean", name)
		return nil
	end
	if value.lock ~= nil and value.lock ~= false then
		add("'lock' can only be false: the lock must not be kept there", name)
		return nil
	end
	if value.reach ~= nil and value.reach ~= false then
		add("'reach' can only be false: the target may be down", name)
		return nil
	end
	return value
end

-- "redis" | {"compose", "kubernetes"} | {kind = either, role =, optional =}
local function read_need(name, value, add)
	local need = {}
	if type(value) == "table" and value[1] == nil then
		need = need_fields(name, value, add)
		if not need then
			return nil
		end
		value = need.kind
	end
	local kinds = type(value) == "string" and { value } or value
	if type(kinds) ~= "table" or #kinds == 0 then
		return add("needs the kind of the target, such as 'redis'", name)
	end
	local known = require("run.target").known_kinds()
	for _, kind in ipairs(kinds) do
		if type(kind) ~= "string" then
			return add(("'%s' is no kind of target")
				:format(tostring(kind)), name)
		elseif not known[kind] then
			return add(("unknown kind '%s'%s"):format(kind,
				words.hint(kind, known)), name)
		end
	end
	return { kinds = kinds, role = need.role, help = need.help,
		optional = need.optional or false, lock = need.lock,
		reach = need.reach }
end

function READ.needs(value, add)
	if type(value) ~= "table" then
		return add("must be a table: name of the target = its kind")
	end
	local out = {}
	for name, need in pairs(value) do
		if type(name) ~= "string" or not name:match("^%l[%l%d_]*$") then
			add(("'%s' is no name of a target: write cache = \"redis\"")
				:format(tostring(name)), name)
		elseif inert.is(need) then
			add("must be known without a target", name)
		else
			out[name] = read_need(name, need, add)
		end
	end
	return out
end

-- While a playbook is only described, some values may not be known.
local function without_inert(t)
	if type(t) ~= "table" then
		return t
	end
	local out = {}
	for k, v in pairs(t) do
		if not inert.is(v) then
			out[k] = v
		end
	end
	return out
end

function READ.params(value, add)
	if type(value) ~= "table" then
		return add("must be a table: name = { type = \"string\", ... }")
	end
	local out = {}
	for name, def in pairs(value) do
		def = without_inert(def)
		params.check(name, def, function(field, message)
			add(("parameter '%s': %s"):format(tostring(name), message),
				name, field)
		end)
		out[name] = def
	end
	return out
end

-- function | { {"what is checked", function}, name = function, ... }, to a list
-- of {name, run}; named ones are sorted, for the order must not be by chance.
function READ.checks(value, add)
	local out = {}
	if type(value) == "function" then
		return { { name = "checks", run = value } }
	elseif type(value) ~= "table" then
		return add("must be a function or a table of functions")
	end
	for n, entry in ipairs(value) do
		if type(entry) ~= "table" or type(entry[1]) ~= "string"
		   or type(entry[2]) ~= "function" then
			return add("each must be { \"what is checked\", function }", n)
		end
		out[n] = { name = entry[1], run = entry[2] }
	end
	for _, key in ipairs(words.sorted(value)) do
		if type(value[key]) ~= "function" then
			return add("each must be name = function", key)
		end
		out[#out + 1] = { name = key, run = value[key] }
	end
	return out
end

-- The fields, in the order that documentation shows them.
fields.known = {
	{ "name", READ.name, required = true,
	  help = "domain/verb, as the path below playbooks/" },
	{ "summary", READ.text, required = true,
	  help = "one line, shown by opsh list" },
	{ "description", READ.text, help = "what it does and when to use it" },
	{ "severity", READ.severity, help = "of the incident it is for: P0 .. P4" },
	{ "tags", READ.texts, help = "words to find it by" },
	{ "owner", READ.text, help = "the team that keeps it" },
	{ "runbook", READ.text, help = "the text that it stands for: URL or title" },
	{ "needs", READ.needs, help = "name of a target = kind, a list of kinds, "
	  .. "or { kind =, role =, optional =, help =, lock = false }" },
	{ "params", READ.params, help = "name = { type =, required =, default =, "
	  .. "min =, max =, choices =, pattern =, items =, help =, example =, "
	  .. "unit =, secret = }" },
	{ "binaries", READ.texts, help = "programs that must be on the PATH" },
	{ "lock", READ.text, help = "resource that one run at a time may hold" },
	{ "timeout", READ.seconds, help = "deadline of the whole run" },
	{ "checks", READ.checks, help = "function(t, p), or { \"what\", "
	  .. "function(t, p) } in a list: before the first write" },
	{ "run", READ.call, required = true,
	  help = "function(t, p): the procedure itself" },
	{ "verify", READ.call, help = "function(t, p): after it, is all well?" },
	{ "undo", READ.call, help = "function(t, p): offered when it failed" },
	{ "example", READ.texts, help = "command lines to copy" },
}

local BY_NAME = {}
for _, field in ipairs(fields.known) do
	BY_NAME[field[1]] = field
end

---Checks what a playbook's file returned. add(path, message) is called for each
---problem, with the path of keys it is at.
---@param value any
---@param add fun(path: table, message: string)
---@return table spec in final form: needs, params, checks always there
function fields.check(value, add)
	local spec = {}
	if type(value) ~= "table" or inert.is(value) then
		add({}, ("a playbook must return a table, not a %s"):format(
			inert.is(value) and "value of a target" or type(value)))
		return spec
	end
	for _, name in ipairs(words.sorted(value)) do
		if value[name] ~= nil and not BY_NAME[name] then
			add({ name }, ("unknown field '%s' in playbook%s"):format(name,
				words.hint(name, BY_NAME)))
		end
	end
	for key in pairs(value) do
		if type(key) ~= "string" then
			add({ key }, ("unknown field [%s] in playbook"):format(
				tostring(key)))
			break
		end
	end
	for _, field in ipairs(fields.known) do
		local name, read = field[1], field[2]
		local given = value[name]
		if given == nil and field.required then
			add({}, ("field '%s' is missing in playbook (%s)"):format(name,
				field.help))
		elseif inert.is(given) and field.required and name ~= "run" then
			add({ name }, ("field '%s' must be known without a target")
				:format(name))
		elseif given ~= nil and not inert.is(given) then
			spec[name] = read(given, function(message, ...)
				add({ name, ... }, ("field '%s' %s"):format(name, message))
			end)
		end
	end
	spec.needs = spec.needs or {}
	spec.params = spec.params or {}
	spec.checks = spec.checks or {}
	return spec
end

return fields
