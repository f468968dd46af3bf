-- params: the typed parameters of a playbook: the check of their description,
-- and the way from NAME=VALUE on the command line (or values given by a caller)
-- to what `run` gets. Owns the list of types; must not ask or print anything.
local fail = require "run.fail"
local words = require "run.words"

local params = {}

-- Each type: `what` for messages, from_text(text, def) and from_value(value,
-- def) give the value, or nil and why not. `measure` is what min and max limit.
local TYPES = {}

local UNITS = { ms = 0.001, s = 1, m = 60, h = 3600, d = 86400, w = 604800 }

---Seconds of "10m", "1h30m", "500ms", "90": a number, or nil.
---@param text string
---@return number?
function params.duration(text)
	if text:match("^%d+$") or text:match("^%d*%.%d+$") then
		return params.whole(tonumber(text))
	end
	local total, pos = 0, 1
	while pos <= #text do
		local from, to, number, unit = text:find("^([%d.]+)(%l+)", pos)
		local n = from and tonumber(number)
		if not n or not UNITS[unit] then
			return nil
		end
		total = total + n * UNITS[unit]
		pos = to + 1
	end
	return #text > 0 and params.whole(total) or nil
end

---The number as an integer when it is one.
---@param n number?
---@return number?
function params.whole(n)
	if n and (n ~= n or n == math.huge or n == -math.huge) then
		return nil
	end
	return n and (math.tointeger(n) or n)
end

local function is_string(value)
	return type(value) == "string" and value or nil
end

local function text_length(value)
	return utf8.len(value) or #value
end

TYPES.string = {
	what = "a string",
	from_text = function(text) return text end,
	from_value = is_string,
	measure = text_length, unit = " characters",
}

TYPES.pattern = {
	what = "a pattern such as 'prefix:*'",
	from_text = function(text)
		return text ~= "" and not text:find("%c") and text or nil
	end,
	from_value = function(value)
		return is_string(value) and TYPES.pattern.from_text(value)
	end,
	measure = text_length, unit = " characters",
}

TYPES.integer = {
	what = "an integer",
	from_text = function(text)
		if not text:match("^[+-]?%d+$") then
			return nil
		end
		return math.tointeger(tonumber((text:gsub("^%+", ""))))
	end,
	from_value = function(value)
		return type(value) == "number" and math.tointeger(value) or nil
	end,
	measure = function(value) return value end, unit = "",
}

TYPES.number = {
	what = "a number",
	from_text = function(text)
		return text:match("^[+-]?[%d.]+[eE]?[+-]?%d*$")
			and params.whole(tonumber((text:gsub("^%+", "")))) or nil
	end,
	from_value = function(value)
		return type(value) == "number" and params.whole(value) or nil
	end,
	measure = function(value) return value end, unit = "",
}

TYPES.duration = {
	what = "a duration such as '90', '10m' or '1h30m'",
	from_text = params.duration,
	from_value = function(value)
		if type(value) == "string" then
			return params.duration(value)
		end
		return type(value) == "number" and value >= 0
			and params.whole(value) or nil
	end,
	measure = function(value) return value end, unit = " seconds",
}

local BOOLEANS = {
	["true"] = true, yes = true, on = true, ["1"] = true,
	["false"] = false, no = false, off = false, ["0"] = false,
}

TYPES.boolean = {
	what = "true or false",
	from_text = function(text) return BOOLEANS[text:lower()] end,
	from_value = function(value)
		if type(value) == "boolean" then
			return value
		end
		return nil
	end,
}

TYPES.enum = {
	what = "one of its choices",
	from_text = function(text) return text end,
	from_value = is_string,
}

-- "a,b\,c" -> "a" and "b,c"
local function split(text)
	local parts, part = {}, {}
	if text == "" then
		return parts
	end
	local escaped = false
	for c in text:gmatch(".") do
		if escaped then
			part[#part + 1] = c == "," and "," or "\\" .. c
			escaped = false
		elseif c == "\\" then
			escaped = true
		elseif c == "," then
			parts[#parts + 1] = table.concat(part)
			part = {}
		else
			part[#part + 1] = c
		end
	end
	parts[#parts + 1] = table.concat(part) .. (escaped and "\\" or "")
	return parts
end

local function convert_list(list, def, convert)
	local out = {}
	local item = TYPES[def.items or "string"]
	for n, value in ipairs(list) do
		local got = item[convert](value, {})
		if got == nil then
			return nil, ("%s as item %d"):format(item.what, n)
		end
		out[n] = got
	end
	return out
end

TYPES.list = {
	what = "a list, separated by commas",
	from_text = function(text, def)
		return convert_list(split(text), def, "from_text")
	end,
	from_value = function(value, def)
		if type(value) ~= "table" or #value == 0 and next(value) ~= nil then
			return nil
		end
		return convert_list(value, def, "from_value")
	end,
	measure = function(value) return #value end, unit = " items",
}

params.types = TYPES

-- What a parameter's description may hold.
local FIELDS = {
	type = "string", required = "boolean", default = "any", min = "number",
	max = "number", choices = "list", pattern = "string", items = "string",
	help = "string", example = "any", unit = "string", secret = "boolean",
}

-- Why a converted value is not acceptable, or nil.
local function limit_problem(def, value)
	local kind = TYPES[def.type]
	if def.choices then
		local list = def.type == "list" and value or { value }
		for _, v in ipairs(list) do
			local known = false
			for _, choice in ipairs(def.choices) do
				known = known or choice == v
			end
			if not known then
				local names = {}
				for n, choice in ipairs(def.choices) do
					names[n] = tostring(choice)
				end
				return ("expected one of %s"):format(table.concat(names, ", "))
			end
		end
	end
	if def.pattern and type(value) == "string"
	   and not value:match("^" .. def.pattern .. "$") then
		return ("expected a match of the Lua pattern '%s'"):format(def.pattern)
	end
	local size = kind.measure and kind.measure(value)
	if size and def.min and size < def.min then
		return ("expected at least %s%s"):format(def.min, kind.unit)
	elseif size and def.max and size > def.max then
		return ("expected at most %s%s"):format(def.max, kind.unit)
	end
end

---Converts one value (text from the command line, or a Lua value) by a
---parameter's description: the value, or nil and what was expected.
---@param def table
---@param value any
---@param is_text boolean
---@return any, string?
function params.convert(def, value, is_text)
	local kind = TYPES[def.type]
	local got, why = kind[is_text and "from_text" or "from_value"](value, def)
	if got == nil then
		if def.type == "enum" then
			return nil, limit_problem(def, {})
		end
		return nil, "expected " .. (why or kind.what)
	end
	local problem = limit_problem(def, got)
	if problem then
		return nil, problem
	end
	return got
end

local function type_problem(field, value, wanted)
	if wanted == "any" or type(value) == wanted
	   or wanted == "list" and type(value) == "table" then
		return nil
	end
	return ("field '%s' must be a %s, not a %s"):format(field, wanted,
		type(value))
end

-- Is the Lua pattern well-formed? match says so by raising.
local function is_pattern(text)
	return (pcall(string.match, "", "^" .. text .. "$"))
end

-- Rules between the fields of one description.
local function consistency(def, add)
	if not TYPES[def.type] then
		add("type", ("unknown type '%s'%s"):format(tostring(def.type),
			words.hint(tostring(def.type), TYPES)))
		return
	end
	if def.type == "enum" and (not def.choices or #def.choices == 0) then
		add("type", "an enum needs 'choices', a list of strings")
		return
	end
	if def.items and (not TYPES[def.items] or def.items == "list"
	   or def.items == "enum") then
		add("items", ("unknown type '%s'"):format(def.items))
		return
	end
	if def.items and def.type ~= "list" then
		add("items", "'items' is for the type 'list'")
	end
	if def.pattern and not is_pattern(def.pattern) then
		add("pattern", ("malformed Lua pattern '%s'"):format(def.pattern))
		return
	end
	if (def.min or def.max) and not TYPES[def.type].measure then
		add(def.min and "min" or "max",
			("type '%s' has no 'min' and 'max'"):format(def.type))
	end
	if def.secret and def.type ~= "string" then
		add("secret", "a secret parameter must be of type 'string'")
	end
	if def.secret and def.default ~= nil then
		add("default", "a secret parameter can't have a default")
	elseif def.required and def.default ~= nil then
		add("default", "a required parameter can't have a default")
	elseif def.default ~= nil then
		local value, why = params.convert(def, def.default, false)
		if value == nil then
			add("default", "wrong default: " .. why)
		end
	end
end

---Checks the description of one parameter. add(field, message) is called for
---each problem; field is nil for the whole.
---@param name any
---@param def any
---@param add fun(field: string?, message: string)
function params.check(name, def, add)
	local clean = true
	local function problem(field, message)
		clean = false
		add(field, message)
	end
	if type(name) ~= "string" or not name:match("^%l[%l%d_]*$") then
		return problem(nil, ("parameter name '%s' must be of small letters, "
			.. "digits and '_'"):format(tostring(name)))
	elseif type(def) ~= "table" then
		return problem(nil, "must be a table such as { type = \"string\" }")
	end
	for field, value in pairs(def) do
		local wanted = FIELDS[field]
		if not wanted then
			problem(type(field) == "string" and field or nil,
				("unknown field '%s'%s"):format(tostring(field),
				words.hint(tostring(field), FIELDS)))
		else
			local why = type_problem(field, value, wanted)
			if why then
				problem(field, why)
			end
		end
	end
	if def.type == nil then
		problem(nil, "field 'type' is missing")
	end
	if clean then
		consistency(def, problem)
	end
end

-- "; example: rate=20000"
local function example_of(name, def)
	local example = def.example
	if example == nil then
		example = def.default
	end
	if example == nil or def.secret then
		return ""
	end
	if type(example) == "table" then
		local texts = {}
		for n, v in ipairs(example) do
			texts[n] = tostring(v)
		end
		example = table.concat(texts, ",")
	end
	return (" (example: %s=%s)"):format(name, tostring(example))
end

local function wrong(name, def, why, given)
	local shown = ""
	if given ~= nil and not def.secret then
		shown = (", got '%s'"):format(tostring(given))
	end
	fail.usage("parameter '%s': %s%s%s", name, why, shown,
		example_of(name, def))
end

local function finish(spec, given, is_text, opts)
	local out = {}
	for _, name in ipairs(words.sorted(given)) do
		if not spec[name] then
			fail.usage("unknown parameter '%s'%s", name,
				words.hint(name, spec))
		end
	end
	for _, name in ipairs(words.sorted(spec)) do
		local def, value = spec[name], given[name]
		if value == nil and def.required then
			wrong(name, def, ("missing: expected %s%s"):format(
				TYPES[def.type].what, def.help and ", " .. def.help or ""))
		elseif value == nil and def.default ~= nil then
			out[name] = params.convert(def, def.default, false)
		elseif value ~= nil then
			local got, why = params.convert(def, value, is_text)
			if got == nil then
				wrong(name, def, why, value)
			end
			if def.secret and opts and opts.secret then
				got = opts.secret(got, name)
			end
			out[name] = got
		end
	end
	return out
end

---Parses NAME=VALUE arguments by a checked description. Raises kind usage and
---names the parameter, what was expected and an example.
---@param spec table<string, table>
---@param args string[]
---@param opts {secret: fun(text: string, name: string): any}?
---@return table<string, any>
function params.parse(spec, args, opts)
	local given = {}
	for _, arg in ipairs(args) do
		local name, value = arg:match("^([^=]+)=(.*)$")
		if not name then
			fail.usage("expected NAME=VALUE, got '%s' (parameters: %s)", arg,
				words.list(spec))
		elseif given[name] ~= nil then
			fail.usage("parameter '%s' is given twice", name)
		end
		given[name] = value
	end
	return finish(spec, given, true, opts)
end

---The same for values that are Lua values already, as one playbook calls
---another.
---@param spec table<string, table>
---@param values table<string, any>
---@param opts table?
---@return table<string, any>
function params.apply(spec, values, opts)
	return finish(spec, values, false, opts)
end

---One line that describes a parameter, for `opsh doc`.
---@param def table
---@return string
function params.describe(def)
	local parts = { def.help or "" }
	local kind = TYPES[def.type]
	local function add(fmt, ...) parts[#parts + 1] = fmt:format(...) end

	if def.choices then
		local names = {}
		for n, choice in ipairs(def.choices) do
			names[n] = tostring(choice)
		end
		add("one of %s", table.concat(names, ", "))
	end
	if def.min then
		add("at least %s%s", def.min, kind.unit)
	end
	if def.max then
		add("at most %s%s", def.max, kind.unit)
	end
	if def.secret then
		add("secret")
	end
	if parts[1] == "" then
		table.remove(parts, 1)
	end
	return table.concat(parts, "; ")
end

return params
