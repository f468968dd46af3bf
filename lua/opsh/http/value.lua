-- http.value: what callers give, in the form that opsh.c.http takes: flat lists of
-- names and values, sorted by name, so that the same call is the same request. Knows
-- which headers must not show; sends nothing.
local c = require "opsh.c.http"
local err = require "opsh.c.err"
local secret = require "opsh.secret"

local M = {}

---Raises kind usage.
---@param fmt string
---@param ... any
function M.usage(fmt, ...)
	error(err.new { kind = "usage", message = fmt:format(...) }, 0)
end

---Raises for an option that is not known.
---@param opts table
---@param known table<string, true>
function M.check(opts, known)
	if type(opts) ~= "table" then
		M.usage("the options must be a table, not a %s", type(opts))
	end
	for name in pairs(opts) do
		if not known[name] then
			local list = {}
			for k in pairs(known) do list[#list + 1] = k end
			table.sort(list)
			M.usage("unknown option '%s' (known: %s)", tostring(name),
				table.concat(list, ", "))
		end
	end
end

---A string or a secret as it is, numbers and booleans as text.
---@param v any
---@param what string that it is, for messages
---@return string|userdata
function M.text(v, what)
	local kind = type(v)
	if kind == "string" then return v end
	if kind == "number" or kind == "boolean" then return tostring(v) end
	v = secret.resolve(v)
	if secret.is(v) then return v end
	M.usage("%s must be a string, a number, a boolean or a secret, not a %s", what,
		kind)
end

---{name = value or list} -> {name, value, name, value, ..}, by name.
---@param t table
---@param what string
---@return table flat
function M.pairs(t, what)
	if type(t) ~= "table" then
		M.usage("option '%s' must be a table, not a %s", what, type(t))
	end
	local names, flat = {}, {}
	for name in pairs(t) do
		if type(name) ~= "string" then
			M.usage("the names in '%s' must be strings", what)
		end
		names[#names + 1] = name
	end
	table.sort(names)
	for _, name in ipairs(names) do
		local v = t[name]
		for _, item in ipairs(type(v) == "table" and not secret.is(v) and v
			or { v }) do
			flat[#flat + 1] = name
			flat[#flat + 1] = M.text(item, what .. "." .. name)
		end
	end
	return flat
end

-- Headers whose value must not show, by a word of their name.
local HIDDEN = { "authorization", "cookie", "token", "secret", "password",
	"api-key", "apikey", "x-auth", "credential" }

local function hide(name, v)
	if type(v) ~= "string" then return end
	name = name:lower()
	for _, word in ipairs(HIDDEN) do
		if name:find(word, 1, true) then
			c.register(v)
			local rest = v:match "^%a+%s+(%S.*)$"	-- "Bearer x"
			if rest then c.register(rest) end
			return
		end
	end
end

---As pairs; values that must not show are registered.
---@param t table
---@param what string
---@return table flat
function M.headers(t, what)
	local flat = M.pairs(t, what)
	for i = 1, #flat, 2 do hide(flat[i], flat[i + 1]) end
	return flat
end

---Is the name among these headers?
---@param flat table
---@param name string in small letters
---@return boolean
function M.has(flat, name)
	for i = 1, #flat, 2 do
		if flat[i]:lower() == name then return true end
	end
	return false
end

---The target's headers, those of the call in their place.
---@param base table flat
---@param own table flat
---@return table flat
function M.merge(base, own)
	local out = {}
	for i = 1, #base, 2 do
		if not M.has(own, base[i]:lower()) then
			out[#out + 1] = base[i]
			out[#out + 1] = base[i + 1]
		end
	end
	return table.move(own, 1, #own, #out + 1, out)
end

return M
