-- kafka.offsets: what a group has committed, planned and set anew: absolute targets
-- worked out first, checked against what there is, set, read back. Only for a group
-- that exists and in which nobody is. What was there before is kept, to be put back.
local c = require "opsh.c.kafka"
local err = require "opsh.c.err"
local groups = require "opsh.kafka.groups"
local say = require "opsh.kafka.say"
local topics = require "opsh.kafka.topics"

local M = {}

local FIRST <const>, LAST <const> = -2, -1

---@class opsh.kafka.move
---@field topic string
---@field partition integer
---@field committed? integer before; nil: nothing
---@field low integer
---@field high integer
---@field to? integer nil: the commit is taken away
---@field skips integer messages that nobody will read: from committed (or low) to `to`
---@field repeats integer messages that will be read again

local function timeout_of(opts) return { timeout = opts.timeout } end

-- --- what is meant ------------------------------------------------------------------

local function is_offset(v) return math.type(v) == "integer" and v >= 0 end

-- {{topic =, partition =, offset = or nil}, ...}: each for itself.
local function is_list(to)
	return type(to) == "table" and type(to[1]) == "table"
end

local function check_list(to)
	for _, row in ipairs(to) do
		if type(row) ~= "table" or type(row.topic) ~= "string"
			or not is_offset(row.partition)
			or row.offset ~= nil and not is_offset(row.offset) then
			return false
		end
	end
	return true
end

-- {time =}, {[partition] = offset}, a list, "earliest", "latest", an offset.
local function check_target(to)
	if to == "earliest" or to == "latest" or is_offset(to) then return end
	local fine = type(to) == "table" and next(to) ~= nil
	if fine and is_list(to) then
		fine = check_list(to)
	elseif fine and to.time ~= nil then
		fine = type(to.time) == "number" and next(to, "time") == nil
			and to.time >= 0 and to.time < 1e11
	elseif fine then
		for p, offset in pairs(to) do
			fine = fine and is_offset(p) and is_offset(offset)
		end
	end
	if not fine then
		say.usage("option 'to' is \"earliest\", \"latest\", an offset, "
			.. "{[partition] = offset}, {time = unix seconds} or a list of "
			.. "{topic =, partition =, offset =}")
	end
end

-- The topics that are meant: the one named, or all that it has committed in.
local function topics_of(committed, opts)
	if opts.topic ~= nil then
		return { say.name("reset_offsets", opts.topic, "topic") }
	end
	local list, seen = {}, {}
	for _, p in ipairs(committed) do
		if not seen[p.topic] then
			seen[p.topic], list[#list + 1] = true, p.topic
		end
	end
	table.sort(list)
	return list
end

local function no_partition(t, p)
	say.usage("topic '%s' has no partition %s, only 0 to %d", t.topic,
		tostring(p), #t.partitions - 1)
end

-- Rows of a list, each with its own offset.
local function listed(meta, before, list)
	local rows, seen = {}, {}
	for n, want in ipairs(list) do
		local t = topics.find(meta, want.topic)
		local k = want.topic .. "\0" .. want.partition
		if not t.partitions[want.partition + 1] then
			no_partition(t, want.partition)
		elseif seen[k] then
			say.usage("partition %d of '%s' is named twice", want.partition,
				want.topic)
		end
		seen[k] = true
		rows[n] = { topic = want.topic, partition = want.partition,
			committed = before[k], offset = want.offset }
	end
	return rows
end

-- The partitions that are meant, with what is committed.
local function meant(meta, committed, opts)
	local before, rows, numbers = {}, {}, nil
	for _, p in ipairs(committed) do
		before[p.topic .. "\0" .. p.partition] = p.offset
	end
	if is_list(opts.to) then return listed(meta, before, opts.to) end
	if type(opts.to) == "table" and opts.to.time == nil then
		numbers = opts.to
		if opts.topic == nil then
			say.usage("reset_offsets: {[partition] = offset} needs the topic")
		end
	end
	for _, topic in ipairs(topics_of(committed, opts)) do
		local t = topics.find(meta, topic)
		for p in pairs(numbers or {}) do
			if not t.partitions[p + 1] then no_partition(t, p) end
		end
		for _, p in ipairs(t.partitions) do
			if not numbers or numbers[p.partition] then
				rows[#rows + 1] = { topic = topic, partition = p.partition,
					committed = before[topic .. "\0" .. p.partition] }
			end
		end
	end
	return rows
end

local function place(row, to)
	if to == "earliest" then return row.low end
	if to == "latest" then return row.high end
	if type(to) == "table" and to.time then
		-- nothing that late: the next message
		return row.timed >= 0 and row.timed or row.high
	end
	local offset = to
	if is_list(to) then
		offset = row.offset
		if not offset then return nil end
	elseif type(to) == "table" then
		offset = to[row.partition]
	end
	if offset < row.low or offset > row.high then
		say.usage("offset %d of '%s' %d is not between %d and %d", offset,
			row.topic, row.partition, row.low, row.high)
	end
	return offset
end

local function resolve(client, meta, rows, opts)
	local to = opts.to
	local times = { FIRST, LAST }
	if type(to) == "table" and to.time then
		times[3] = math.floor(to.time * 1000 + 0.5)
	end
	local answers = topics.offsets(client, meta, rows, times, timeout_of(opts))
	for n, row in ipairs(rows) do
		local a = answers[n]
		if a.error then
			say.refuse("offsets of '%s' %d are not known: %s", row.topic,
				row.partition, a.error)
		end
		row.low, row.high, row.timed = a[1], a[2], a[3]
		row.to = place(row, to)
		row.timed, row.offset = nil, nil
		-- what retention has removed is not there to be skipped or repeated
		local from = math.max(row.committed or row.low, row.low)
		row.skips = math.max((row.to or row.low) - from, 0)
		row.repeats = math.max(from - (row.to or row.low), 0)
	end
	return rows
end

local PLAN <const> = "timeout to topic"

---Where a group's offsets would be set, partition by partition. Reads only; a group
---with members may be asked about. `to`: "earliest", "latest", an offset, {[partition]
---= offset}, {time = unix seconds}, or a list of {topic =, partition =, offset =}, in
---which an offset that is nil takes the commit away.
---@param client userdata
---@param name string
---@param opts {topic?: string, to: any, timeout?: number}
---@return opsh.kafka.move[] rows
---@return opsh.kafka.group group
function M.plan(client, name, opts)
	say.name("offsets_plan", name, "group")
	opts = say.options("offsets_plan", opts, PLAN)
	check_target(opts.to)
	local g, committed = groups.find(client, name, timeout_of(opts))
	local meta = topics.metadata(client, timeout_of(opts))
	local rows = meant(meta, committed, opts)
	if #rows == 0 then
		say.usage("group '%s' has committed nothing: name the topic", name)
	end
	return say.rows(resolve(client, meta, rows, opts),
		"topic partition committed to low high skips repeats"), g
end

-- --- set ----------------------------------------------------------------------------

-- Nobody may be in it: what it has would be overwritten by what they commit.
local function demand_empty(g, name)
	if #g.members > 0 then
		say.refuse("group '%s' has %d live member%s: %s; stop them first", name,
			#g.members, #g.members == 1 and "" or "s", groups.who(g))
	elseif g.state ~= "Empty" and g.state ~= "Dead" then
		say.refuse("group '%s' is not empty, it is '%s'", name, g.state)
	end
end

---The committed offsets of these partitions, as they are now.
---@param client userdata
---@param name string
---@param rows {topic: string, partition: integer}[]
---@param opts? {timeout?: number}
---@return {topic: string, partition: integer, committed?: integer}[]
function M.read(client, name, rows, opts)
	local by, out = {}, {}
	for _, p in ipairs(groups.committed_of(client, name, opts)) do
		by[p.topic .. "\0" .. p.partition] = p.offset
	end
	for n, row in ipairs(rows) do
		out[n] = { topic = row.topic, partition = row.partition,
			committed = by[row.topic .. "\0" .. row.partition] }
	end
	return out
end

-- Reads back: it must be what was set.
local function demand_set(client, name, want, opts)
	local after = M.read(client, name, want, timeout_of(opts))
	for n, row in ipairs(after) do
		if row.committed ~= want[n].offset then
			say.differs("offset of group '%s' in '%s' %d is %s, %s was set", name,
				row.topic, row.partition, tostring(row.committed),
				tostring(want[n].offset))
		end
	end
	return after
end

-- Somebody has joined between the look and the request: the broker refuses it by an
-- error that nobody understands.
local JOINED <const> = { UNKNOWN_MEMBER_ID = true, REBALANCE_IN_PROGRESS = true,
	GROUP_SUBSCRIBED_TO_TOPIC = true, ILLEGAL_GENERATION = true }

local function order(f, client, name, list, given)
	local ok, result = pcall(f, client, name, list, given)
	if ok then return result end
	if err.is(result) and JOINED[result.code] then
		demand_empty(groups.look(client, { name },
			{ timeout = given.timeout })[name], name)
	end
	error(result, 0)
end

-- {{topic, partition, offset|nil}}: an offset that is nil is taken away. `fields` are
-- the result's.
local function put(client, name, want, fields, opts)
	local set, forget = {}, {}
	fields.after, fields.ok = {}, true
	for n, row in ipairs(want) do
		local list = row.offset and set or forget
		list[#list + 1] = row
		fields.after[n] = { topic = row.topic, partition = row.partition,
			committed = row.offset }
	end
	local given = { timeout = opts.timeout, expect = fields }
	local result
	if #set > 0 then result = order(c.set_offsets, client, name, set, given) end
	if #forget > 0 then
		result = order(c.forget_offsets, client, name, forget, given)
	end
	if say.planned() then return result end
	for field, value in pairs(fields) do result[field] = value end
	result.count = #want
	result.after = demand_set(client, name, want, opts)
	return result
end

local function befores(rows)
	local out = {}
	for n, row in ipairs(rows) do
		out[n] = { topic = row.topic, partition = row.partition,
			committed = row.committed }
	end
	return out
end

---Sets a group's offsets. It must exist, and nobody may be in it.
---@param client userdata
---@param name string
---@param opts {topic?: string, to: any, timeout?: number}
---@return table result {before, after, skips, repeats}; after: as read back
function M.reset(client, name, opts)
	opts = say.options("reset_offsets", opts, PLAN)
	local rows, g = M.plan(client, name, opts)
	demand_empty(g, name)
	local want, skips, repeats = {}, 0, 0
	for n, row in ipairs(rows) do
		want[n] = { topic = row.topic, partition = row.partition,
			offset = row.to }
		skips, repeats = skips + row.skips, repeats + row.repeats
	end
	return put(client, name, want, { before = befores(rows), skips = skips,
		repeats = repeats }, opts)
end

---Puts back what a group had committed: `before` of a reset. A partition that had
---no commit has none again.
---@param client userdata
---@param name string
---@param before {topic: string, partition: integer, committed?: integer}[]
---@param opts? {timeout?: number}
---@return table result
function M.restore(client, name, before, opts)
	say.name("restore_offsets", name, "group")
	opts = say.options("restore_offsets", opts, "timeout")
	local g = groups.look(client, { name }, timeout_of(opts))[name]
	demand_empty(g, name)
	local want = {}
	for n, row in ipairs(before) do
		want[n] = { topic = row.topic, partition = row.partition,
			offset = row.committed }
	end
	if #want == 0 then say.usage("restore_offsets: no partitions") end
	return put(client, name, want, {}, opts)
end

---Commits offsets for a group in which nobody is.
---@param client userdata
---@param name string
---@param list {topic: string, partition: integer, offset: integer}[]
---@param opts? {create?: boolean, timeout?: number, expect?: any} create: it need not exist
---@return table result
function M.commit(client, name, list, opts)
	say.name("commit", name, "group")
	opts = say.options("commit", opts, "create expect timeout")
	if type(list) ~= "table" or #list == 0 then
		say.usage("commit: a list of {topic=, partition=, offset=} expected")
	end
	local meta = topics.metadata(client, timeout_of(opts))
	for _, p in ipairs(list) do
		local t = topics.find(meta, type(p) == "table" and p.topic or nil)
		if not t.partitions[(p.partition or -1) + 1] then
			say.usage("topic '%s' has no partition %s, only 0 to %d", p.topic,
				tostring(p.partition), #t.partitions - 1)
		end
	end
	local g
	if opts.create then
		g = groups.look(client, { name }, timeout_of(opts))[name]
	else
		g = groups.find(client, name, timeout_of(opts))
	end
	demand_empty(g, name)
	return order(c.set_offsets, client, name, list,
		{ timeout = opts.timeout, expect = opts.expect })
end

---Puts the methods into the client's.
---@param Client table
function M.install(Client)
	Client.offsets_plan = function(client, name, opts)
		return (M.plan(client, name, opts))
	end
	Client.reset_offsets = M.reset
	Client.restore_offsets = M.restore
	Client.commit = M.commit
end

return M
