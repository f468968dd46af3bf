-- consume: reading messages: a list of them, one after the other, or as they come.
-- A partition is assigned, no group is joined, nothing is committed: it changes
-- nothing, and is a read. Waiting and decoding are the C module's.
local c = require "opsh.c.kafka"
local json = require "opsh.c.json"
local err = require "opsh.c.err"
local groups = require "opsh.kafka.groups"
local topics = require "opsh.kafka.topics"

local COLUMNS <const> = { "partition", "offset", "time", "key", "value",
	"headers" }

-- --- how a list looks ----------------------------------------------------------

local function time_of(seconds)
	if not seconds then return nil end
	return os.date("!%Y-%m-%dT%H:%M:%S", seconds // 1 | 0)
		.. (".%03dZ"):format(seconds % 1 * 1000 // 1 | 0)
end

local function headers_of(m)
	local parts = {}
	for n, h in ipairs(m.header_list) do
		parts[n] = h.value and h.name .. "=" .. h.value or h.name
	end
	return parts[1] and table.concat(parts, " ")
end

-- What opsh.table shows of it: the first of its rows, and the columns that hold
-- anything.
local function rows_of(list, most)
	local rows, any = {}, {}
	for n = 1, math.min(#list, most) do
		local m = list[n]
		rows[n] = { partition = m.partition, offset = m.offset,
			time = time_of(m.timestamp), key = m.key, value = m.value,
			headers = headers_of(m) }
		for name in pairs(rows[n]) do any[name] = true end
	end
	local columns = {}
	for _, name in ipairs(COLUMNS) do
		if any[name] then columns[#columns + 1] = name end
	end
	return rows, columns
end

local function made(list, reached, offsets)
	return setmetatable(list, { __rows = rows_of,
		__index = { reached = reached, next = offsets } })
end

-- --- reading ---------------------------------------------------------------------

-- Where a group has committed, as a table for `from`; partitions without a commit
-- are read as `from` said before.
local function from_group(client, o)
	local given, at, from = { timeout = o.timeout }, {}, {}
	local _, committed = groups.find(client, o.group, given)
	for _, row in ipairs(committed) do
		if row.topic == o.topic then at[row.partition] = row.offset end
	end
	local wanted = o.partitions or o.partition and { o.partition }
	if not wanted then
		wanted = {}
		local found = topics.find(topics.metadata(client, given), o.topic)
		for n, p in ipairs(found.partitions) do wanted[n] = p.partition end
	end
	local map = type(o.from) == "table" and o.from.time == nil and o.from
	for _, partition in ipairs(wanted) do
		local other = o.from
		if map then other = map[partition] end
		from[partition] = at[partition] or other or "earliest"
	end
	return from
end

local function start(client, opts, how)
	if type(opts) ~= "table" then
		error(err.new { kind = "usage",
			message = "expected a table of options: { topic = \"orders\" }" }, 0)
	end
	local o = {}
	for k, v in pairs(opts) do o[k] = v end
	if o.group ~= nil and not o.join then
		o.from = from_group(client, o)
		o.group = nil
	end
	return c.read(client, o, how, o.json and json.decode or nil)
end

local M = {}

---Puts the methods into a client's.
---@param Client table
---@param words table<string, function> of `events "consume TOPIC"`
function M.install(Client, words)
	---Messages of a topic, as a list; at most 64 MiB of them unless max_bytes says.
	---Its field `reached` says why it ends ("end", "max", "timeout"), `next` the
	---offset of each partition after it: `from = list.next` goes on there.
	---A message has topic, partition, offset, timestamp (seconds since 1970), key,
	---value (nil: a tombstone), headers (of one name the last), header_list, json.
	---
	---    events:consume { topic = "orders", from = -10 }
	---@param opts {topic: string, partition?: integer, partitions?: integer[], from?: string|integer|table, to?: string|integer|table, max?: integer, max_bytes?: integer, group?: string, isolation?: string, json?: boolean, timeout?: number}
	---  from: "earliest" (default), "latest", an offset, minus a count of the last,
	---    { time = seconds }, or a table of these by partition;
	---  to: "end" as it is now (default), the first offset that is not read, { time
	---    = seconds }, or a table by partition;
	---  group: from its commits, where it has some, else as `from` says; it is not
	---    joined, and its offsets stay;
	---  isolation: "read_committed" (default) or "read_uncommitted";
	---  json: values are JSON, decoded in m.json;
	---  timeout: for all of it (default: the target's)
	---@return table[] messages
	function Client:consume(opts)
		local list, _, _, _ <close> = start(self, opts, "list")
		return made(list())
	end

	---The same messages one after the other, in constant memory; timeout is for
	---each wait. reuse: one table for all of them, the fastest way when none is
	---kept.
	---
	---    for m in events:messages { topic = "orders" } do print(m.value) end
	---@param opts table as of consume
	---@return fun(): table? next, nil, nil, userdata reader
	function Client:messages(opts) return start(self, opts, "each") end

	---Messages as they come, without an end; from "latest" unless `from` says.
	---timeout: ends it after so many seconds (default: never).
	---
	---join = true makes it a member of `group`, a write: the group gives and takes
	---partitions; where it has no commit, `from` is "earliest" or "latest". commit =
	---true commits what was dealt with, which is when the next message is asked for;
	---of a partition that was taken away nothing is committed any more.
	---@param opts table as of consume, without `to`; join, commit: boolean
	---@return fun(): table? next, nil, nil, userdata reader
	function Client:follow(opts) return start(self, opts, "follow") end

	words.consume = function(client, args, opts)
		opts.topic = opts.topic or args[1]
		return client:consume(opts)
	end
end

return M
