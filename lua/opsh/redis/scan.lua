-- redis.scan: walks keyspaces and big keys in constant memory. While a batch is
-- worked on, the next is being fetched. SCAN may name a key twice (while the
-- server resizes its table) and says nothing of keys that come or go meanwhile.
local c = require "opsh.c.redis"
local task = require "opsh.c.task"

local M = {}

local COUNT = 1000	-- keys that the server looks at in one call

local function check(opts, allowed)
	for name in pairs(opts or {}) do
		if not allowed[name] then
			local known = {}
			for k in pairs(allowed) do known[#known + 1] = k end
			table.sort(known)
			error(("unknown option '%s' (known: %s)"):format(tostring(name),
				table.concat(known, ", ")), 3)
		end
	end
	return opts or {}
end

local KEYS = { match = true, count = true, type = true, timeout = true }
local ITEMS = { match = true, count = true, timeout = true }

-- One call: next cursor ("0": the end) and what it found.
local function fetch(client, words, cursor, o)
	local args = { n = 0 }
	local function add(...)
		for _, v in ipairs { ... } do
			args.n = args.n + 1
			args[args.n] = v
		end
	end
	add(table.unpack(words))
	add(cursor)
	if o.match then add("MATCH", o.match) end
	add("COUNT", o.count or COUNT)
	if o.type then add("TYPE", o.type) end
	if o.timeout then add { timeout = o.timeout } end
	local r = c.cmd(client, table.unpack(args, 1, args.n))
	return r[1], r[2]
end

-- A fetch under way in a task of its own; sent when this returns.
local function begin(client, words, cursor, o)
	local ahead = task.spawn(function()
		return pcall(fetch, client, words, cursor, o)
	end)
	task.sleep(0)
	return ahead
end

-- Iterator over batches that are not empty.
local function batches(client, words, o)
	local cursor, ahead = "0", nil
	local done = false
	local function step()
		local items
		repeat
			if done then return nil end
			if ahead then
				local ok
				ok, cursor, items = ahead:wait()
				ahead = nil
				if not ok then error(cursor, 0) end
			else
				cursor, items = fetch(client, words, cursor, o)
			end
			done = cursor == "0"
			if not done then ahead = begin(client, words, cursor, o) end
		until #items > 0
		return items
	end
	local closing = setmetatable({}, { __close = function()
		done = true
		if ahead then
			ahead:cancel()
			pcall(ahead.wait, ahead)
		end
	end })
	return step, nil, nil, closing
end

-- Iterator over single items, `width` of them a step.
local function items(client, words, o, width, convert)
	local step, _, _, closing = batches(client, words, o)
	local list, i = {}, 1
	return function()
		if i > #list then
			list, i = step(), 1
			if not list then
				list = {}
				return nil
			end
		end
		local at = i
		i = i + width
		if width == 1 then return list[at] end
		return list[at], convert and convert(list[at + 1]) or list[at + 1]
	end, nil, nil, closing
end

function M.install(Client)
	-- Every key: `for key in cache:scan { match = "flights::*" } do`.
	function Client:scan(opts)
		return items(self, { "SCAN" }, check(opts, KEYS), 1)
	end

	-- Lists of keys, about `count` looked at for each.
	function Client:scan_batches(opts)
		return batches(self, { "SCAN" }, check(opts, KEYS))
	end

	-- Fields and values of a hash.
	function Client:hscan(key, opts)
		return items(self, { "HSCAN", key }, check(opts, ITEMS), 2)
	end

	-- Members of a set.
	function Client:sscan(key, opts)
		return items(self, { "SSCAN", key }, check(opts, ITEMS), 1)
	end

	-- Members and scores of a sorted set.
	function Client:zscan(key, opts)
		return items(self, { "ZSCAN", key }, check(opts, ITEMS), 2, tonumber)
	end

	-- How many keys match, and some of them, from anywhere among them.
	function Client:count(opts)
		local o = check(opts, { match = true, count = true, type = true,
			timeout = true, sample = true })
		local want, n, sample = o.sample or 20, 0, {}
		local scanned = c.cmd(self, "DBSIZE")
		for keys in batches(self, { "SCAN" }, { match = o.match, type = o.type,
			count = o.count or 10000, timeout = o.timeout }) do
			for i = 1, #keys do
				n = n + 1
				local at = n <= want and n or math.random(n)
				if at <= want then sample[at] = keys[i] end
			end
		end
		table.sort(sample)
		return { count = n, sample = sample, scanned = scanned }
	end
end

return M
