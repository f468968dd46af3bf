-- redis.sample: what a keyspace is made of, judged by some of its keys: types,
-- lifetimes, sizes, prefixes. Reads only, in pipelines; a key that goes while
-- it is looked at is left out. Owns the words by which keys are grouped.
local M = {}

-- First words of keys that are no cache: losing one breaks what is going on.
local KEPT = {
	lock = "lock", locks = "lock", mutex = "lock", redlock = "lock",
	sess = "session", session = "session", sessions = "session",
	queue = "queue", queues = "queue", bull = "queue", celery = "queue",
	rq = "queue", sidekiq = "queue", resque = "queue",
}

-- Upper ends of the lifetimes that are told apart, in seconds.
local LIVES = {
	{ 60, "under 1 m" }, { 600, "1 m to 10 m" }, { 3600, "10 m to 1 h" },
	{ 86400, "1 h to 1 d" }, { math.huge, "over 1 d" },
}

---@class opsh.redis.sample.row
---@field key string
---@field type string "string", "hash", ... as TYPE says
---@field ttl integer? seconds; nil: it has none
---@field bytes integer? MEMORY USAGE, when asked for

-- Keys from anywhere in the keyspace, each once: n at most, fewer when the
-- same ones are drawn; all of them when there are no more than n.
---@param client opsh.redis.client
---@param n integer
---@return string[] keys sorted
---@return boolean whole there are no others
function M.keys(client, n)
	local seen, keys = {}, {}
	local function add(key)
		if type(key) == "string" and not seen[key] then
			seen[key] = true
			keys[#keys + 1] = key
		end
	end
	local whole = client:dbsize() <= n
	if whole then
		for key in client:scan {} do add(key) end
	else
		for _, key in ipairs(client:pipeline(function(p)
			for _ = 1, n do p:randomkey() end
		end)) do add(key) end
	end
	table.sort(keys)
	return keys, whole
end

-- Keys in the order of a scan, n at most: cheaper than M.keys, and as good
-- where the hash table decides the order.
---@param client opsh.redis.client
---@param n integer
---@param match? string
---@return string[]
function M.scanned(client, n, match)
	local seen, keys, cursor = {}, {}, "0"
	local words = { "COUNT", 1000 }
	if match then words[3], words[4] = "MATCH", match end
	repeat
		local reply = client:cmd("SCAN", cursor, words)
		cursor = reply[1]
		for _, key in ipairs(reply[2]) do
			if not seen[key] and #keys < n then
				seen[key] = true
				keys[#keys + 1] = key
			end
		end
	until cursor == "0" or #keys >= n
	return keys
end

-- n of a list's items, spread evenly over it.
---@param list any[]
---@param n integer
---@return any[]
function M.spread(list, n)
	if #list <= n then return table.move(list, 1, #list, 1, {}) end
	local out = {}
	for i = 0, n - 1 do out[i + 1] = list[i * #list // n + 1] end
	return out
end

-- Type and lifetime of each key, with `bytes` its size too.
--
-- Example:
--   local sample = require "opsh.redis.sample"
--   local rows = sample.describe(cache, (sample.keys(cache, 1000)))
---@param client opsh.redis.client
---@param keys string[]
---@param opts? {bytes?: boolean}
---@return opsh.redis.sample.row[]
function M.describe(client, keys, opts)
	local rows = {}
	if #keys == 0 then return rows end
	local types = client:pipeline("TYPE", keys)
	local ttls = client:pipeline("TTL", keys)
	local bytes = opts and opts.bytes
		and client:pipeline("MEMORY USAGE", keys) or {}
	for i, key in ipairs(keys) do
		if ttls[i] ~= -2 and types[i] ~= "none" then
			rows[#rows + 1] = { key = key, type = types[i],
				ttl = ttls[i] >= 0 and ttls[i] or nil,
				bytes = math.type(bytes[i]) == "integer" and bytes[i] or nil }
		end
	end
	return rows
end

-- What a key's name begins with: "flights::UAL123" -> "flights::".
---@param key string
---@return string prefix "(none)" when there is no separator
function M.prefix(key)
	return key:match "^[^:/|]+[:/|]+" or "(none)"
end

-- Is it by its name something that is no cache?
---@param key string
---@return "lock"|"session"|"queue"|nil
function M.kept(key)
	if key:find "^spring:session" then return "session" end
	local first = key:match "^{?(%a+)[:/|.}]"
	return first and KEPT[first:lower()]
end

-- How many of the rows live how long: rows of {lifetime, keys, share}.
---@param rows opsh.redis.sample.row[]
---@return {lifetime: string, keys: integer, percent: number}[]
function M.lifetimes(rows)
	local out = { { lifetime = "no TTL", keys = 0 } }
	for i, life in ipairs(LIVES) do
		out[i + 1] = { lifetime = life[2], keys = 0 }
	end
	for _, row in ipairs(rows) do
		local at = 1
		if row.ttl then
			repeat at = at + 1 until row.ttl < LIVES[at - 1][1]
		end
		out[at].keys = out[at].keys + 1
	end
	for _, row in ipairs(out) do
		row.percent = #rows > 0 and M.percent(row.keys, #rows) or 0
	end
	return out
end

-- Rows counted by type, by prefix or by what a function says of them.
---@param rows opsh.redis.sample.row[]
---@param by fun(row: opsh.redis.sample.row): string?
---@return {name: string, keys: integer, bytes: integer, no_ttl: integer}[]
---  the largest first
function M.groups(rows, by)
	local out, known = {}, {}
	for _, row in ipairs(rows) do
		local name = by(row)
		if name then
			local group = known[name]
			if not group then
				group = { name = name, keys = 0, bytes = 0, no_ttl = 0 }
				known[name] = group
				out[#out + 1] = group
			end
			group.keys = group.keys + 1
			group.bytes = group.bytes + (row.bytes or 0)
			group.no_ttl = group.no_ttl + (row.ttl and 0 or 1)
		end
	end
	table.sort(out, function(a, b)
		if a.bytes ~= b.bytes then return a.bytes > b.bytes end
		if a.keys ~= b.keys then return a.keys > b.keys end
		return a.name < b.name
	end)
	return out
end

-- part of whole, in percent with one decimal; 0 of nothing.
---@param part number
---@param whole number
---@return number
function M.percent(part, whole)
	if whole == 0 then return 0 end
	return math.floor(1000 * part / whole + 0.5) / 10
end

-- A size as people read it: 1536 -> "1.5 KiB".
---@param n number
---@return string
function M.size(n)
	local units = { "B", "KiB", "MiB", "GiB", "TiB" }
	local at = 1
	while n >= 1024 and at < #units do
		n, at = n / 1024, at + 1
	end
	return (at == 1 and "%d %s" or "%.1f %s"):format(n, units[at])
end

return M
