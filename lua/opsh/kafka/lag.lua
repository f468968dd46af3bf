-- kafka.lag: how far groups are behind, per partition: all partitions of each topic
-- that a group has committed in or is assigned, those without a commit too. Rates and
-- the time to drain come from two or more looks. Reads only; joins nothing.
local groups = require "opsh.kafka.groups"
local say = require "opsh.kafka.say"
local task = require "opsh.task"
local topics = require "opsh.kafka.topics"

local M = {}

---A row a partition, as `kafka-consumer-groups --describe` has it.
---@class opsh.kafka.lag
---@field group? string when more than one was asked for
---@field topic string
---@field partition integer
---@field committed? integer nil: nothing
---@field low? integer
---@field high? integer
---@field lag? integer high - committed; without a commit all that is there
---@field client? string of the member that has the partition
---@field host? string
---@field member? string
---@field error? string why there are no offsets

local function key(topic, partition) return topic .. "\0" .. partition end

-- The partitions of a group, {[key] = row}, and in order.
local function rows_of(meta, g, committed, only)
	local by, rows, seen = {}, {}, {}
	local function add(topic, partition)
		local k = key(topic, partition)
		if not by[k] then
			by[k] = { topic = topic, partition = partition }
			rows[#rows + 1] = by[k]
		end
		return by[k]
	end
	local function whole(topic)
		if seen[topic] then return end
		seen[topic] = true
		local t = meta.topics[topic]
		for _, p in ipairs(t and t.partitions or {}) do add(topic, p.partition) end
	end
	for _, p in ipairs(committed) do
		if not only or p.topic == only then
			whole(p.topic)
			add(p.topic, p.partition).committed = p.offset
		end
	end
	for _, m in ipairs(g and g.members or {}) do
		for _, p in ipairs(m.partitions) do
			if not only or p.topic == only then
				whole(p.topic)
				local row = add(p.topic, p.partition)
				row.client, row.host = m.client_id, m.host
				row.member = m.member_id
			end
		end
	end
	table.sort(rows, function(a, b)
		if a.topic ~= b.topic then return a.topic < b.topic end
		return a.partition < b.partition
	end)
	return rows
end

-- Fills in the offsets of all rows by one question.
local function measure(client, meta, rows, opts)
	local at, list = {}, {}
	for _, row in ipairs(rows) do
		local k = key(row.topic, row.partition)
		if not at[k] then
			list[#list + 1] = row
			at[k] = #list
		end
	end
	local marks = topics.watermarks(client, meta, list, opts)
	for _, row in ipairs(rows) do
		local m = marks[at[key(row.topic, row.partition)]]
		row.low, row.high, row.error = m.low, m.high, m.error
		if m.high then row.lag = m.high - (row.committed or m.low) end
	end
	return rows
end

---The lag of one group; of all that there are when `name` is nil.
---@param client userdata
---@param name? string
---@param opts? {topic?: string, timeout?: number}
---@return opsh.kafka.lag[]
function M.look(client, name, opts)
	opts = say.options("lag", opts, "timeout topic")
	local given = { timeout = opts.timeout }
	local meta, names, by, committed
	if name ~= nil then
		say.name("lag", name, "group")
		local g
		meta, g = task.all(function()
			return topics.metadata(client, given)
		end, function()
			local found
			found, committed = groups.find(client, name, given)
			return found
		end)
		names, by, committed = { name }, { [name] = g }, { [name] = committed }
	else
		names = groups.names(client, given)
		if #names == 0 then return {} end
		meta, by, committed = task.all(function()
			return topics.metadata(client, given)
		end, function()
			return groups.look(client, names, given)
		end, function()
			return groups.committed(client, names, given)
		end)
	end
	if opts.topic then topics.find(meta, opts.topic) end
	local all = {}
	for _, n in ipairs(names) do
		for _, row in ipairs(rows_of(meta, by[n], committed[n], opts.topic)) do
			if name == nil then row.group = n end
			all[#all + 1] = row
		end
	end
	if #all > 0 then measure(client, meta, all, given) end
	return say.rows(all, "group topic partition committed low high lag client host "
		.. "error")
end

-- --- rates ------------------------------------------------------------------------

---A row a group and topic, from two or more looks.
---@class opsh.kafka.rate
---@field group string
---@field topic string
---@field lag integer
---@field produced? number messages a second; nil after the first look
---@field consumed? number messages a second
---@field change? number of the lag, a second
---@field drain? number seconds until there is no lag at this rate; nil: never
---@field members integer with a partition of the topic
---@field state "idle"|"steady"|"draining"|"growing"|"stuck"|"no member"|"new"

local function sums(client, name, opts)
	local by, list = {}, {}
	for _, row in ipairs(M.look(client, name, opts)) do
		local group = row.group or name
		local k = key(group, row.topic)
		local sum = by[k]
		if not sum then
			sum = { group = group, topic = row.topic, lag = 0, high = 0, at = 0,
				members = 0, seen = {} }
			by[k], list[#list + 1] = sum, sum
		end
		if row.high then
			sum.lag, sum.high = sum.lag + row.lag, sum.high + row.high
			sum.at = sum.at + (row.committed or row.low)
		end
		if row.member and not sum.seen[row.member] then
			sum.seen[row.member], sum.members = true, sum.members + 1
		end
	end
	return { at = task.now(), by = by, list = list }
end

local function state_of(row)
	if not row.produced then return "new" end
	if row.lag == 0 then return row.produced > 0 and "steady" or "idle" end
	if row.members == 0 and row.consumed <= 0 then return "no member" end
	if row.consumed <= 0 then return "stuck" end
	if row.change < 0 then return "draining" end
	return row.change > 0 and "growing" or "steady"
end

-- What happened between two looks.
local function between(first, last)
	local rows, seconds = {}, last.at - first.at
	for n, sum in ipairs(last.list) do
		local row = { group = sum.group, topic = sum.topic, lag = sum.lag,
			members = sum.members }
		local before = first.by[key(sum.group, sum.topic)]
		if before and seconds > 0 then
			row.produced = (sum.high - before.high) / seconds
			row.consumed = (sum.at - before.at) / seconds
			row.change = (sum.lag - before.lag) / seconds
			if sum.lag == 0 then
				row.drain = 0
			elseif row.change < 0 then
				row.drain = -sum.lag / row.change
			end
		end
		row.state = state_of(row)
		rows[n] = row
	end
	return say.rows(rows, "group topic lag state produced consumed change drain "
		.. "members")
end

---Looks at the lag again and again: each call of the iterator waits until its turn,
---and gives the rates over the last `window` looks.
---
---Example:
---  for rows, total in lag.watch(events, "orders", { interval = 2 }) do print(total) end
---@param client userdata
---@param name? string group; nil for all
---@param opts? {interval?: number, count?: integer, window?: integer, topic?: string, timeout?: number}
---@return fun(): opsh.kafka.rate[]?, integer? rows and the sum of the lag
function M.watch(client, name, opts)
	opts = say.options("watch", opts, "count interval timeout topic window")
	local looks, n = {}, 0
	local interval = opts.interval or 2
	local given = { topic = opts.topic, timeout = opts.timeout }
	local due = task.now()
	return function()
		if opts.count and n >= opts.count then return nil end
		local left = due - task.now()
		if n > 0 and left > 0 then task.sleep(left) end
		due = math.max(due, task.now()) + interval
		n = n + 1
		looks[#looks + 1] = sums(client, name, given)
		if #looks > (opts.window or 6) then table.remove(looks, 1) end
		local rows, total = between(looks[1], looks[#looks]), 0
		for _, row in ipairs(rows) do total = total + row.lag end
		return rows, total
	end
end

---Rates and the time to drain, from `samples` looks, `interval` seconds apart.
---@param client userdata
---@param name? string group; nil for all
---@param opts? {interval?: number, samples?: integer, topic?: string, timeout?: number}
---@return opsh.kafka.rate[]
function M.rate(client, name, opts)
	opts = say.options("lag_rate", opts, "interval samples timeout topic")
	local samples, rows = opts.samples or 2, {}
	for now in M.watch(client, name, { interval = opts.interval or 5,
		count = samples, window = samples, topic = opts.topic,
		timeout = opts.timeout }) do
		rows = now
	end
	return rows
end

---Puts the methods into the client's.
---@param Client table
function M.install(Client)
	Client.lag, Client.lag_rate, Client.lag_watch = M.look, M.rate, M.watch
end

return M
