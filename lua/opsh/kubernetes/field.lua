-- kubernetes.field: reads values out of decoded JSON whose shape nobody promised:
-- a field that is missing or of another type is nil, never an error. Quantities
-- (250m, 64Mi) and times become numbers here. Pure; must not know what the fields
-- mean.
local logs = require "opsh.logs"

local M = {}

local EMPTY = setmetatable({}, { __newindex = function() end })

-- The value at a path of names and indexes, or nil.
local function at(v, ...)
	for n = 1, select("#", ...) do
		if type(v) ~= "table" then return nil end
		v = v[select(n, ...)]
	end
	return v
end
M.at = at

---A table at the path, or an empty one that can't be written.
---@param v any
---@param ... string|integer
---@return table
function M.tab(v, ...)
	v = at(v, ...)
	return type(v) == "table" and v or EMPTY
end

---A text at the path; an empty one counts as none.
---@param v any
---@param ... string|integer
---@return string?
function M.str(v, ...)
	v = at(v, ...)
	return type(v) == "string" and v ~= "" and v or nil
end

---An integer at the path.
---@param v any
---@param ... string|integer
---@return integer?
function M.int(v, ...)
	v = at(v, ...)
	return type(v) == "number" and math.tointeger(v) or nil
end

---Is there a `true` at the path?
---@param v any
---@param ... string|integer
---@return boolean
function M.yes(v, ...) return at(v, ...) == true end

---Seconds since the epoch of a time at the path.
---@param v any
---@param ... string|integer
---@return number?
function M.time(v, ...)
	v = at(v, ...)
	return type(v) == "string" and logs.time(v) or nil
end

local SUFFIX = { n = 1e-9, u = 1e-6, m = 1e-3, [""] = 1, k = 1e3, M = 1e6,
	G = 1e9, T = 1e12, P = 1e15, E = 1e18, Ki = 1 << 10, Mi = 1 << 20,
	Gi = 1 << 30, Ti = 1 << 40, Pi = 1 << 50, Ei = 1 << 60 }

---A quantity such as "250m" (0.25), "64Mi" or 2 as a number.
---@param v any
---@return number?
function M.quantity(v)
	if type(v) == "number" then return v == v and v or nil end
	if type(v) ~= "string" then return nil end
	local digits, suffix = v:match "^([+-]?[%d.]+[eE]?[+-]?%d*)(%a*)$"
	local n = digits and tonumber(digits)
	if not n then
		digits, suffix = v:match "^([+-]?[%d.]+)(%a*)$"
		n = digits and tonumber(digits)
	end
	return n and SUFFIX[suffix] and n * SUFFIX[suffix] or nil
end

---A quantity in bytes, as an integer.
---@param v any
---@return integer?
function M.bytes(v)
	local n = M.quantity(v)
	return n and n > -2^62 and n < 2^62 and math.floor(n) or nil
end

---The elements of a list at the path that are tables.
---@param v any
---@param ... string|integer
---@return table[]
function M.list(v, ...)
	local out = {}
	for _, item in ipairs(M.tab(v, ...)) do
		if type(item) == "table" then out[#out + 1] = item end
	end
	return out
end

---The element of a list whose field `key` is `value`.
---@param list table[]
---@param key string
---@param value any
---@return table
function M.find(list, key, value)
	for _, item in ipairs(list) do
		if item[key] == value then return item end
	end
	return EMPTY
end

---Its name in the namespace, "" when it has none.
---@param item table
---@return string
function M.name(item) return M.str(item, "metadata", "name") or "" end

return M
