-- kafka.topics: methods of a client about brokers and topics: what there is, how it
-- is replicated, which offsets it holds; topics made, grown, configured, removed. A
-- name is looked up among all topics, never asked for: asking could make it.
local again = require "opsh.kafka.again"
local c = require "opsh.c.kafka"
local err = require "opsh.c.err"
local near = require "opsh.near"
local say = require "opsh.kafka.say"
local task = require "opsh.task"

local M = {}

-- Topics of Kafka itself.
local INTERNAL <const> = { __consumer_offsets = true, __transaction_state = true,
	__share_group_state = true }

local FIRST <const>, LAST <const> = -2, -1	-- times of ListOffsets

---@class opsh.kafka.topic
---@field topic string
---@field partitions integer
---@field replication integer of the partition that has the fewest
---@field under_replicated integer partitions with fewer in sync than replicas
---@field leaderless integer partitions that nobody leads
---@field internal boolean Kafka's own

---@class opsh.kafka.partition
---@field partition integer
---@field leader? integer nil: nobody leads it
---@field replicas integer[] ids of brokers
---@field isr integer[] those in sync
---@field offline integer[] replicas on brokers that are not there

---@class opsh.kafka.watermark
---@field topic string
---@field partition integer
---@field low? integer offset of the first message
---@field high? integer offset of the next one
---@field error? string why they are not known

local function timeout_of(opts) return { timeout = opts.timeout } end

---All topics, by name; `names` is sorted.
---@param client userdata
---@param opts? {timeout?: number}
---@return table metadata {brokers, controller, cluster_id, topics = {[name] = }, names}
function M.metadata(client, opts)
	local meta = c.metadata(client, opts)
	local by, names = {}, {}
	for _, t in ipairs(meta.topics) do
		by[t.topic], names[#names + 1] = t, t.topic
		table.sort(t.partitions, function(a, b)
			return a.partition < b.partition
		end)
	end
	table.sort(names)
	meta.topics, meta.names = by, names
	return meta
end

-- Names that are not Kafka's own, for messages.
local function public(names)
	local list = {}
	for _, name in ipairs(names) do
		if not INTERNAL[name] then list[#list + 1] = name end
	end
	return list
end

---The topic of that name, or an error with the nearest names.
---@param meta table
---@param name string
---@return table
function M.find(meta, name)
	return meta.topics[name] or say.no_topic(name, public(meta.names))
end

-- --- topics -----------------------------------------------------------------------

local function row_of(t)
	local row = { topic = t.topic, partitions = #t.partitions,
		under_replicated = 0, leaderless = 0,
		internal = INTERNAL[t.topic] or false }
	for _, p in ipairs(t.partitions) do
		row.replication = math.min(row.replication or #p.replicas, #p.replicas)
		if #p.isr < #p.replicas then
			row.under_replicated = row.under_replicated + 1
		end
		if p.leader < 0 then row.leaderless = row.leaderless + 1 end
	end
	row.error = t.error
	return row
end

local function topics(client, opts)
	opts = say.options("topics", opts, "internal timeout")
	local meta, rows = M.metadata(client, timeout_of(opts)), {}
	for _, name in ipairs(meta.names) do
		if opts.internal or not INTERNAL[name] then
			rows[#rows + 1] = row_of(meta.topics[name])
		end
	end
	return say.rows(rows, "topic partitions replication under_replicated "
		.. "leaderless internal error")
end

-- Replicas on brokers that are not in the metadata.
local function offline(p, alive)
	local list = {}
	for _, id in ipairs(p.replicas) do
		if not alive[id] then list[#list + 1] = id end
	end
	return list
end

local NEW <const> = { UNKNOWN_TOPIC_OR_PART = true }

-- Settings of a topic that is there: a broker that has not heard of it is asked again.
local function settings_of(client, topic, opts)
	return again.patiently(NEW, opts, function()
		return false, c.configs(client, "topic", topic, timeout_of(opts))
	end)
end

local function describe(client, topic, opts)
	say.name("describe", topic, "topic")
	opts = say.options("describe", opts, "timeout")
	local meta = M.metadata(client, timeout_of(opts))
	local t = M.find(meta, topic)
	local alive, out = {}, row_of(t)
	for _, b in ipairs(meta.brokers) do alive[b.id] = true end
	out.partitions = {}
	for n, p in ipairs(t.partitions) do
		out.partitions[n] = { partition = p.partition, leader = p.leader >= 0
			and p.leader or nil, replicas = p.replicas, isr = p.isr,
			offline = offline(p, alive), error = p.error }
	end
	out.config, out.dynamic = {}, {}
	for _, e in ipairs(settings_of(client, topic, opts)) do
		out.config[e.name] = e.value
		if e.source == "topic" then out.dynamic[e.name] = e.value end
	end
	return out
end

local function brokers(client, opts)
	opts = say.options("brokers", opts, "timeout")
	local meta = M.metadata(client, timeout_of(opts))
	local rows = task.map(meta.brokers, { limit = 8 }, function(b)
		local row = { id = b.id, host = b.host, port = b.port,
			controller = b.id == meta.controller }
		-- who may not read its settings still sees the broker
		local fine, list = pcall(c.configs, client, "broker", tostring(b.id),
			timeout_of(opts))
		for _, e in ipairs(fine and list or {}) do
			if e.name == "broker.rack" then row.rack = e.value end
		end
		return row
	end)
	table.sort(rows, function(a, b) return a.id < b.id end)
	return say.rows(rows, "id host port rack controller")
end

-- --- offsets ----------------------------------------------------------------------

---The offsets of many partitions at some times, in one question for each. What
---nobody leads is not asked for: the answer would never come.
---@param client userdata
---@param meta table of M.metadata
---@param list {topic: string, partition: integer}[]
---@param times integer[] milliseconds; -2 the first, -1 the next
---@param opts? {timeout?: number}
---@return table[] answers one a partition of the list: {[1] = , ...} or {error = }
function M.offsets(client, meta, list, times, opts)
	local names, numbers, at, out = {}, {}, {}, {}
	for n, p in ipairs(list) do
		local t = meta.topics[p.topic]
		local it = t and t.partitions[p.partition + 1]	-- numbered from 0
		if not it then
			out[n] = { error = "UNKNOWN_TOPIC_OR_PART" }
		elseif it.leader < 0 then
			out[n] = { error = "LEADER_NOT_AVAILABLE" }
		else
			local i = #names + 1
			names[i], numbers[i], at[i], out[n] = p.topic, p.partition, n, {}
		end
	end
	if #names == 0 then return out end
	local answers, errors = c.offsets(client, names, numbers, times, opts)
	for i, n in ipairs(at) do
		if errors[i] then
			out[n].error = errors[i]
		else
			for k in ipairs(times) do out[n][k] = answers[k][i] end
		end
	end
	return out
end

---First and next offsets of partitions.
---@param client userdata
---@param meta table of M.metadata
---@param list {topic: string, partition: integer}[]
---@param opts? {timeout?: number}
---@return opsh.kafka.watermark[]
function M.watermarks(client, meta, list, opts)
	local rows = {}
	for n, a in ipairs(M.offsets(client, meta, list, { FIRST, LAST }, opts)) do
		rows[n] = { topic = list[n].topic, partition = list[n].partition,
			low = a[1], high = a[2], error = a.error }
	end
	return say.rows(rows, "topic partition low high error")
end

-- The partitions of a topic, or the one that was asked for.
local function wanted(t, only)
	local list = {}
	for _, p in ipairs(t.partitions) do
		if only == nil or p.partition == only then
			list[#list + 1] = { topic = t.topic, partition = p.partition }
		end
	end
	if #list == 0 then
		say.usage("topic '%s' has no partition %s, only 0 to %d", t.topic,
			tostring(only), #t.partitions - 1)
	end
	return list
end

local function watermarks(client, topic, opts)
	say.name("watermarks", topic, "topic")
	opts = say.options("watermarks", opts, "partition timeout")
	local meta = M.metadata(client, timeout_of(opts))
	return M.watermarks(client, meta, wanted(M.find(meta, topic),
		opts.partition), timeout_of(opts))
end

-- --- changed ----------------------------------------------------------------------

-- Settings are text for Kafka.
local function texts(what, config)
	local out = {}
	if config ~= nil and type(config) ~= "table" then
		say.usage("%s: a table of settings expected, got %s", what, type(config))
	end
	for name, value in pairs(config or {}) do
		if type(name) ~= "string" or type(value) == "table"
			or type(value) == "function" then
			say.usage("%s: a setting is a name and a value, got '%s' = %s", what,
				tostring(name), type(value))
		end
		out[name] = math.type(value) == "float" and value % 1 == 0
			and ("%d"):format(value) or tostring(value)
	end
	return out
end

-- Waits until it can be seen, so that the next call finds it.
local function settle(result, opts, seen)
	return say.planned() and result or again.settle(result, opts, seen)
end

-- What a broker itself says of a topic's settings: {[name] = own value}, or nil when
-- it knows no such topic. true: it does not answer, and nobody waits for it.
local function told_by(client, broker, name)
	local ok, list = pcall(c.configs, client, "topic", name,
		{ timeout = 2, broker = broker.id })
	if not ok then
		if not err.is(list) or list.kind == "cancelled" then error(list, 0) end
		if list.code == "UNKNOWN_TOPIC_OR_PART" then return nil end
		return true
	end
	local own = {}
	for _, e in ipairs(list) do
		if e.source == "topic" then own[e.name] = e.value end
	end
	return own
end

-- Has it so many partitions, all with a leader, and does each broker know of it?
local function has(client, name, total, opts)
	return function()
		local meta = M.metadata(client, timeout_of(opts))
		local t = meta.topics[name]
		if not t or #t.partitions < total then return false end
		for _, p in ipairs(t.partitions) do
			if p.leader < 0 then return false end
		end
		return again.all(meta.brokers, function(b)
			return told_by(client, b, name) ~= nil
		end)
	end
end

local function call_of(opts)
	return { timeout = opts.timeout, expect = opts.expect }
end

local function create_topic(client, name, opts)
	say.name("create_topic", name, "topic")
	opts = say.options("create_topic", opts,
		"config expect partitions replication timeout")
	local total = opts.partitions or 1
	if math.type(total) ~= "integer" or total < 1 then
		say.usage("create_topic: 'partitions' is a number, 1 or more")
	end
	return settle(c.create_topic(client, name, total, opts.replication or -1,
		texts("create_topic", opts.config), call_of(opts)), opts,
		has(client, name, total, opts))
end

local function add_partitions(client, topic, total, opts)
	say.name("add_partitions", topic, "topic")
	opts = say.options("add_partitions", opts, "expect timeout")
	local t = M.find(M.metadata(client, timeout_of(opts)), topic)
	if math.type(total) ~= "integer" or total <= #t.partitions then
		say.usage("topic '%s' has %d partitions: only more are possible, not %s",
			topic, #t.partitions, tostring(total))
	end
	local result = settle(c.add_partitions(client, topic, total, call_of(opts)),
		opts, has(client, topic, total, opts))
	local n = 1	-- producers that are open count the partitions anew
	while not say.planned() and c.refresh(client, n, timeout_of(opts)) do
		n = n + 1
	end
	return result
end

-- "a=1 -b": what a change does, for the record.
local function told(change, removed)
	local words = {}
	for name, value in pairs(change) do
		words[#words + 1] = name .. "=" .. value
	end
	table.sort(words)
	for _, name in ipairs(removed) do words[#words + 1] = "-" .. name end
	return table.concat(words, " ")
end

-- The broker replaces all of a topic's own settings by what is sent: the ones that
-- are there go with the change.
local function alter_config(client, topic, change, opts)
	say.name("alter_config", topic, "topic")
	opts = say.options("alter_config", opts, "expect remove timeout")
	local meta = M.metadata(client, timeout_of(opts))
	M.find(meta, topic)
	local all, before, known = {}, {}, {}
	for _, e in ipairs(settings_of(client, topic, opts)) do
		known[#known + 1], known[e.name] = e.name, true
		if e.source == "topic" then
			if e.value == nil then
				say.refuse("setting '%s' of topic '%s' can't be read, and would "
					.. "be lost: all are written at once", e.name, topic)
			end
			all[e.name], before[e.name] = e.value, e.value
		end
	end
	local texted = texts("alter_config", change)
	local function check(name)
		if not known[name] then
			say.usage("topics have no setting '%s'%s", tostring(name),
				near.list(tostring(name), known))
		end
	end
	for name, value in pairs(texted) do
		check(name)
		all[name] = value
	end
	for _, name in ipairs(opts.remove or {}) do
		check(name)
		all[name] = nil
	end
	local result = c.set_configs(client, "topic", topic, all,
		told(texted, opts.remove or {}), { timeout = opts.timeout,
			expect = opts.expect or { before = before, after = all } })
	if not say.planned() then result.before, result.after = before, all end
	return settle(result, opts, function()
		return again.all(meta.brokers, function(b)
			local now = told_by(client, b, topic)
			if now == true then return true end
			for name in pairs(known) do
				if known[name] == true and (not now or now[name] ~= all[name]) then
					return false
				end
			end
			return true
		end)
	end)
end

local function delete_topic(client, topic, opts)
	say.name("delete_topic", topic, "topic")
	opts = say.options("delete_topic", opts, "expect timeout")
	M.find(M.metadata(client, timeout_of(opts)), topic)
	return settle(c.delete_topic(client, topic, call_of(opts)), opts, function()
		local meta = M.metadata(client, timeout_of(opts))
		return not meta.topics[topic] and again.all(meta.brokers, function(b)
			local known = told_by(client, b, topic)
			return known == nil or known == true
		end)
	end)
end

local function delete_records(client, topic, before, opts)
	say.name("delete_records", topic, "topic")
	opts = say.options("delete_records", opts, "expect timeout")
	if type(before) ~= "table" or next(before) == nil then
		say.usage("delete_records: {[partition] = offset} expected")
	end
	local meta = M.metadata(client, timeout_of(opts))
	local t, list = M.find(meta, topic), {}
	for p in pairs(before) do
		list[#list + 1] = wanted(t, p)[1]
	end
	for _, w in ipairs(M.watermarks(client, meta, list, timeout_of(opts))) do
		local to = before[w.partition]
		if math.type(to) ~= "integer" or w.high and (to < 0 or to > w.high) then
			say.usage("offset %s of '%s' %d is not between %s and %s",
				tostring(to), topic, w.partition, tostring(w.low),
				tostring(w.high))
		end
	end
	return c.delete_records(client, topic, before, call_of(opts))
end

---Puts the methods into the client's.
---@param Client table
function M.install(Client)
	Client.topics, Client.describe, Client.brokers = topics, describe, brokers
	Client.watermarks = watermarks
	Client.create_topic, Client.add_partitions = create_topic, add_partitions
	Client.alter_config, Client.delete_topic = alter_config, delete_topic
	Client.delete_records = delete_records
end

return M
