-- shared: what the fuzz targets written in Lua have in common: what may come of an
-- input, and documents in which some values are others. Loaded with require, by
-- lua_fuzz.c's path. Knows nothing of what is tested.
local err = require "opsh.c.err"
local json = require "opsh.c.json"

local M = {}

-- The last resort of every input: a table, an error object, or no memory. Gives what
-- f gave, or nil.
function M.judge(f, ...)
	local ok, value = pcall(f, ...)
	if ok and type(value) ~= "table" then
		error("not a table: " .. tostring(value), 0)
	elseif not ok and not err.is(value)
	   and not tostring(value):find "not enough memory" then
		error("not an error object: " .. tostring(value), 0)
	end
	return ok and value or nil
end

-- Values that stand where others are expected; `more` are those of the target.
function M.others(more)
	local list = { 0, -1, 3.5, 0/0, 1/0, 1 << 62, true, false, json.null, "",
		"x", ("x"):rep(300), "12", "-1", "1e999", "%", {}, { {} }, { a = {} },
		"9999-99-99T99:99:99Z", "/" }
	table.move(more, 1, #more, #list + 1, list)
	return list
end

-- The keys of a table, in the same order each time. Documents do not change.
local orders = setmetatable({}, { __mode = "k" })
local function order(v)
	local keys = orders[v]
	if keys then return keys end
	keys = {}
	for k in pairs(v) do keys[#keys + 1] = k end
	table.sort(keys, function(x, y) return tostring(x) < tostring(y) end)
	orders[v] = keys
	return keys
end

-- A copy of v. change() is asked at each place, in the same order each time: true,
-- and what stands there instead.
local function bend(v, change)
	local changed, other = change()
	if changed then return other end
	if type(v) ~= "table" then return v end
	local out = {}
	for _, k in ipairs(order(v)) do out[k] = bend(v[k], change) end
	return out
end
M.bend = bend

-- How many places bend has in v.
function M.count(v)
	local n = 1
	for _, x in pairs(type(v) == "table" and v or {}) do n = n + M.count(x) end
	return n
end

return M
