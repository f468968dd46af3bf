-- redis.info: the replies of Redis that are texts of lines, as tables. Numbers
-- as numbers, `db0:keys=1,expires=0` as a table of its own. Pure functions: they
-- send nothing and keep nothing.
local M = {}

-- Sections that stand for several.
M.many = { all = true, default = true, everything = true }

-- Fields whose value is a list of name=value.
local NESTED = { "^db%d+$", "^slave%d+$", "^master%d+$", "^cmdstat_",
	"^errorstat_", "^latency_percentiles_", "^module$" }

-- A number when it is written as one; version and hash strings stay.
local function value_of(text)
	if text:match "^-?%d+$" and #text < 19 and not text:match "^-?0%d" then
		return math.tointeger(tonumber(text))
	elseif text:match "^-?%d+%.%d+$" then
		return tonumber(text)
	end
	return text
end

local function pairs_of(text)
	local out = {}
	for name, value in text:gmatch "([^=,]+)=([^,]*)" do
		out[name] = value_of(value)
	end
	return out
end

local function field(name, text)
	for _, pattern in ipairs(NESTED) do
		if name:find(pattern) and text:find("=", 1, true) then
			return pairs_of(text)
		end
	end
	return value_of(text)
end

---INFO's text: a table a section ("Server" -> server), or the fields alone.
---@param text string
---@param flat? boolean one section was asked for
---@return table
function M.sections(text, flat)
	local out, section = {}, nil
	for line in text:gmatch "[^\r\n]+" do
		local title = line:match "^#%s*(.-)%s*$"
		local name, value = line:match "^([^:]+):(.*)$"
		if title then
			section = {}
			out[title:lower()] = section
		elseif name then
			local into = flat and out or section or out
			into[name] = field(name, value)
		end
	end
	if flat then
		for name, value in pairs(out) do
			if type(value) == "table" and next(value) == nil then
				out[name] = nil		-- the title
			end
		end
	end
	return out
end

---CLIENT LIST: a table a client.
---@param text string
---@return table[]
function M.clients(text)
	local out = {}
	for line in text:gmatch "[^\n]+" do
		local client = {}
		for name, value in line:gmatch "([%w_-]+)=(%S*)" do
			client[name] = value_of(value)
		end
		out[#out + 1] = client
	end
	return out
end

---Percent of lookups that hit between two INFO stats, or since the server's start.
---@param now table
---@param before? table
---@return number? percent nil without a lookup
---@return integer lookups
function M.hit_rate(now, before)
	local hits = now.keyspace_hits - (before and before.keyspace_hits or 0)
	local all = hits + now.keyspace_misses
		- (before and before.keyspace_misses or 0)
	return all > 0 and require("opsh.redis.sample").percent(hits, all) or nil, all
end

return M
