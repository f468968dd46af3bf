-- kafka.dlq: dead letter topics: what is in one, by origin, reason, age and number of
-- replays; and replaying it, each message once. A replay has a group and a
-- transactional id of its own: the offsets of what was read are committed together
-- with what was written, so that a run that died is taken up where it stood, and of
-- two at a time the later one ends the earlier. Reads are of committed messages only.
local groups = require "opsh.kafka.groups"
local say = require "opsh.kafka.say"
local task = require "opsh.task"

local M = {}

-- Headers of those who fill dead letter topics: our own names, Kafka Connect's,
-- Spring's. The first that a message has counts.
local HEADERS <const> = {
	topic = { "origin-topic", "__connect.errors.topic",
		"kafka_dlt-original-topic" },
	partition = { "origin-partition", "__connect.errors.partition" },
	offset = { "origin-offset", "__connect.errors.offset" },
	reason = { "error-reason", "__connect.errors.exception.message",
		"kafka_dlt-exception-message" },
	replays = { "replay-count" },
	failed_at = { "failed-at" },
}

local AGES <const> = { { 60, "under 1 min" }, { 3600, "under 1 h" },
	{ 86400, "under 1 d" }, { 7 * 86400, "under 7 d" } }

---@class opsh.kafka.letter
---@field topic? string where it comes from
---@field partition? integer
---@field offset? integer
---@field reason string "none given" when nothing says so
---@field replays integer how often it was replayed
---@field failed_at? number seconds since 1970
---@field age number seconds
---@field written? number seconds since its timestamp

---What the headers of a dead letter say of it.
---@param m table message
---@param now? number seconds since 1970
---@return opsh.kafka.letter
function M.about(m, now)
	local found = {}
	for field, names in pairs(HEADERS) do
		for _, name in ipairs(names) do
			found[field] = found[field] or m.headers and m.headers[name]
		end
	end
	local failed = tonumber(found.failed_at or "")
	if failed and failed > 1e11 then failed = failed / 1000 end
	failed = failed or m.timestamp
	local reason = found.reason ~= "" and found.reason or nil
	return {
		topic = found.topic ~= "" and found.topic or nil,
		partition = math.tointeger(tonumber(found.partition or "")),
		offset = math.tointeger(tonumber(found.offset or "")),
		reason = reason and reason:match "^[^\n]*" or "none given",
		replays = math.max(0, math.tointeger(tonumber(found.replays or "")) or 0),
		failed_at = failed,
		written = m.timestamp and (now or os.time()) - m.timestamp,
		age = failed and math.max(0, (now or os.time()) - failed) or 0,
	}
end

---What is to become of a letter: "replay"; "park" and why; "skip" when it is not
---one of those that were asked for.
---@param letter opsh.kafka.letter
---@param rules {dlq: string, topics: table<string, integer>, keeps?: table<string, number>, parked?: string, replays?: integer, reason?: string} topics: partitions of those that there are; keeps: seconds that they keep messages; replays: as many are enough (3); reason: only those that have it in their reason
---@return "replay"|"park"|"skip"
---@return string? why
function M.judge(letter, rules)
	if rules.reason and not letter.reason:lower():find(rules.reason:lower(), 1,
		true) then
		return "skip", "another reason"
	elseif not letter.topic then
		return "park", "no origin"
	elseif letter.topic == rules.dlq or letter.topic == rules.parked then
		return "park", "its origin is no origin"
	elseif not rules.topics[letter.topic] then
		return "park", "unknown origin"
	elseif letter.replays >= (rules.replays or 3) then
		return "park", "replayed enough"
	elseif letter.written and rules.keeps and rules.keeps[letter.topic]
		and letter.written >= rules.keeps[letter.topic] then
		-- its timestamp stays: it would be deleted there, maybe unread
		return "park", "older than its topic keeps"
	end
	return "replay"
end

---Name of the group, and of the transactional id, of the replays of a topic.
---@param topic string
---@return string
function M.group(topic) return "opsh-replay-" .. topic end

-- {[partition] = offset} that the group has committed in the topic.
local function committed(client, topic, group, timeout)
	local at = {}
	for _, row in ipairs(groups.committed(client, { group },
		{ timeout = timeout })[group]) do
		if row.topic == topic then at[row.partition] = row.offset end
	end
	return at
end

---From where to where a replay would go now: per partition what is there, where the
---last replay stopped, the first that is to be read.
---@param client userdata
---@param topic string
---@param opts? {group?: string, timeout?: number}
---@return {partition: integer, low: integer, high: integer, committed?: integer, start: integer}[]
function M.span(client, topic, opts)
	opts = say.options("span", opts, "group timeout")
	local rows, at = task.all(function()
		return client:watermarks(topic, { timeout = opts.timeout })
	end, function()
		return committed(client, topic, opts.group or M.group(topic),
			opts.timeout)
	end)
	local parts = {}
	for n, row in ipairs(rows) do
		local done = at[row.partition]
		parts[n] = { partition = row.partition, low = row.low, high = row.high,
			committed = done, start = math.min(row.high,
			math.max(row.low, done or row.low)) }
	end
	return parts
end

-- Seconds that a topic keeps messages by their timestamps; nil: for ever.
local function kept(client, topic, timeout)
	local config = client:describe(topic, { timeout = timeout }).config
	local ms = tonumber(config["retention.ms"])
	if config["message.timestamp.type"] == "LogAppendTime" or not ms or ms < 0
		or not config["cleanup.policy"]:find "delete" then
		return nil
	end
	return ms / 1000
end

-- Options of client:messages for that span; nil: there is nothing in it.
local function reading(topic, parts, timeout)
	local from, to, list = {}, {}, {}
	for _, part in ipairs(parts) do
		if part.start < part.high then
			list[#list + 1] = part.partition
			from[part.partition], to[part.partition] = part.start, part.high
		end
	end
	return list[1] and { topic = topic, partitions = list, from = from, to = to,
		isolation = "read_committed", timeout = timeout }
end

local function age_name(age)
	for _, a in ipairs(AGES) do
		if age < a[1] then return a[2] end
	end
	return "older"
end

-- {[name] = count} as rows, the most first.
local function ranked(counts, title)
	local rows = {}
	for name, n in pairs(counts) do rows[#rows + 1] = { [title] = name,
		messages = n } end
	table.sort(rows, function(a, b)
		if a.messages ~= b.messages then return a.messages > b.messages end
		return tostring(a[title]) < tostring(b[title])
	end)
	return rows
end

local function count(t, name) t[name] = (t[name] or 0) + 1 end

local function ages(counts)
	local rows = {}
	for _, a in ipairs(AGES) do
		if counts[a[2]] then
			rows[#rows + 1] = { age = a[2], messages = counts[a[2]] }
		end
	end
	if counts.older then
		rows[#rows + 1] = { age = "7 d and more", messages = counts.older }
	end
	return rows
end

---@class opsh.kafka.dead
---@field topic string
---@field group string
---@field parts table[] of M.span
---@field messages integer in it
---@field replay integer how many a replay would send back
---@field park integer
---@field skip integer
---@field oldest? number seconds, the age of the oldest
---@field origins table[] {origin, messages, replay, park}
---@field reasons table[] {reason, messages}
---@field ages table[] {age, messages}
---@field replays table[] {replays, messages}
---@field why table[] {why, messages} of those that are not replayed
---@field sample table[] the first messages
---@field rules table as of M.judge

---Reads a dead letter topic, from where the last replay stopped to its end now.
---
---    local seen = dlq.look(t.events, "orders-dlq")
---@param client userdata
---@param topic string
---@param opts? {group?: string, parked?: string, replays?: integer, reason?: string, sample?: integer, whole?: boolean, timeout?: number} whole: from the first that is there, whatever was replayed
---@return opsh.kafka.dead
function M.look(client, topic, opts)
	opts = say.options("look", opts,
		"group parked replays reason sample timeout whole")
	local known, keeps = {}, {}
	for _, row in ipairs(client:topics { timeout = opts.timeout }) do
		known[row.topic] = row.partitions
	end
	local group = opts.group or M.group(topic)
	local seen = { topic = topic, group = group, messages = 0, replay = 0,
		park = 0, skip = 0, sample = {}, rules = { dlq = topic,
		parked = opts.parked, replays = opts.replays, reason = opts.reason,
		topics = known, keeps = keeps }, parts = M.span(client, topic, { group = group,
		timeout = opts.timeout }) }
	if opts.whole then
		for _, part in ipairs(seen.parts) do part.start = part.low end
	end
	local origins, reasons, by_age, replays, why = {}, {}, {}, {}, {}
	local wanted = reading(topic, seen.parts, opts.timeout)
	local now, left = os.time(), opts.sample or 5
	if wanted then
		for m in client:messages(wanted) do
			local letter = M.about(m, now)
			local origin = letter.topic
			if origin and known[origin] and keeps[origin] == nil then
				keeps[origin] = kept(client, origin, opts.timeout)
					or math.huge
			end
			local verdict, because = M.judge(letter, seen.rules)
			seen.messages = seen.messages + 1
			seen[verdict] = seen[verdict] + 1
			local o = origins[letter.topic or "none"]
			if not o then
				o = { origin = letter.topic or "none", messages = 0, replay = 0,
					park = 0 }
				origins[letter.topic or "none"], origins[#origins + 1] = o, o
			end
			o.messages = o.messages + 1
			if o[verdict] then o[verdict] = o[verdict] + 1 end
			count(reasons, letter.reason)
			count(by_age, age_name(letter.age))
			count(replays, letter.replays)
			if because then count(why, because) end
			seen.oldest = math.max(seen.oldest or 0, letter.age)
			if left > 0 then
				left, seen.sample[#seen.sample + 1] = left - 1, m
			end
		end
	end
	table.sort(origins, function(a, b) return a.messages > b.messages end)
	seen.origins = table.move(origins, 1, #origins, 1, {})
	seen.reasons, seen.why = ranked(reasons, "reason"), ranked(why, "why")
	seen.ages, seen.replays = ages(by_age), ranked(replays, "replays")
	return seen
end

-- --- replaying -------------------------------------------------------------------

-- The headers, with `set` in the place of those of that name, or after them.
local function headers_with(m, set)
	local list, left = {}, {}
	for name, value in pairs(set) do left[name] = value end
	for _, h in ipairs(m.header_list) do
		if set[h.name] == nil then
			list[#list + 1] = h
		elseif left[h.name] then
			list[#list + 1] = { name = h.name, value = left[h.name] }
			left[h.name] = nil
		end
	end
	for name, value in pairs(left) do
		list[#list + 1] = { name = name, value = value }
	end
	return list
end

-- The message as it was, for the topic that it goes to: key, value, headers and
-- timestamp stay.
local function copy_of(m, partition, set)
	return { key = m.key, value = m.value, timestamp = m.timestamp,
		partition = partition, headers = headers_with(m, set) }
end

-- A batch of messages in what is to be written: {[topic] = list}, counts, offsets.
local function sorted_out(seen, batch)
	local rules = seen.rules
	local out = { to = {}, topics = {}, replayed = 0, parked = 0, skipped = 0,
		offsets = {} }
	local last = {}
	local function put(topic, message)
		if not out.to[topic] then
			out.to[topic], out.topics[#out.topics + 1] = {}, topic
		end
		table.insert(out.to[topic], message)
	end
	for _, m in ipairs(batch) do
		local letter = M.about(m)
		local verdict, why = M.judge(letter, rules)
		last[m.partition] = m.offset + 1
		if verdict == "replay" then
			local partition = letter.partition
			if partition and (partition < 0
				or partition >= rules.topics[letter.topic]) then
				partition = nil
			end
			put(letter.topic, copy_of(m, partition, { ["replay-count"] =
				tostring(letter.replays + 1) }))
			out.replayed = out.replayed + 1
		elseif verdict == "park" and rules.parked then
			put(rules.parked, copy_of(m, nil, { ["parked-because"] = why }))
			out.parked = out.parked + 1
		else
			out.skipped = out.skipped + 1
		end
	end
	for partition, offset in pairs(last) do
		out.offsets[#out.offsets + 1] = { topic = seen.topic,
			partition = partition, offset = offset }
	end
	table.sort(out.topics)
	table.sort(out.offsets, function(a, b) return a.partition < b.partition end)
	return out
end

-- After a transaction of ours nobody else can commit any more, and what one who died
-- had committed is settled: if the group stands elsewhere now, it is looked at again.
local function take_over(client, seen, timeout)
	client:transaction(M.group(seen.topic), function() end, { timeout = timeout })
	local at = committed(client, seen.topic, seen.group, timeout)
	for _, part in ipairs(seen.parts) do
		if at[part.partition] ~= part.committed then
			return M.look(client, seen.topic, { group = seen.group,
				parked = seen.rules.parked, replays = seen.rules.replays,
				reason = seen.rules.reason, timeout = timeout })
		end
	end
	return seen
end

local function write(client, seen, out, timeout)
	client:transaction(M.group(seen.topic), function(tx)
		for _, topic in ipairs(out.topics) do
			local list = out.to[topic]
			tx:produce(topic, list, { timeout = timeout,
				expect = { done = #list } })
		end
		tx:offsets(seen.group, out.offsets, { timeout = timeout,
			expect = { count = #out.offsets } })
	end, { timeout = timeout })
end

-- How many messages the topic has got since it was read.
local function growth(client, seen, timeout)
	local high, n = {}, 0
	for _, part in ipairs(seen.parts) do high[part.partition] = part.high end
	for _, row in ipairs(client:watermarks(seen.topic, { timeout = timeout })) do
		n = n + math.max(0, row.high - (high[row.partition] or 0))
	end
	return n
end

local CANARY <const> = { 1, 10, 100 }

---Sends dead letters back to where they come from, as M.look has found them: first
---one, then 10, 100, then batches, each in a transaction with its offsets. What is
---to be parked goes to rules.parked, or stays where it is. Stops when the topic
---grows meanwhile: they fail again. Ends another replay of the topic, and goes on
---from where that one stood. In a plan the first batch alone is shown.
---@param client userdata
---@param seen opsh.kafka.dead
---@param opts? {batch?: integer, settle?: number, growth?: integer, timeout?: number, each?: fun(state: table)} settle: seconds between the first three batches and the look at what became of them (2); growth: so many new ones are no reason to stop (0)
---@return {snapshot: integer, replayed: integer, parked: integer, skipped: integer, batches: integer, stopped?: string}
function M.replay(client, seen, opts)
	opts = say.options("replay", opts, "batch each growth settle timeout")
	local state = { replayed = 0, parked = 0, skipped = 0, batches = 0 }
	if not say.planned() then seen = take_over(client, seen, opts.timeout) end
	state.snapshot = seen.messages
	local wanted = reading(seen.topic, seen.parts, opts.timeout or 30)
	if not wanted then return state end
	local next_message, _, _, _ <close> = client:messages(wanted)
	while not state.stopped do
		local size, batch = CANARY[state.batches + 1] or opts.batch or 500, {}
		while #batch < size do
			local m = next_message()
			if not m then break end
			batch[#batch + 1] = m
		end
		if #batch == 0 then return state end
		local out = sorted_out(seen, batch)
		write(client, seen, out, opts.timeout)
		state.batches = state.batches + 1
		for _, name in ipairs { "replayed", "parked", "skipped" } do
			state[name] = state[name] + out[name]
		end
		if opts.each then opts.each(state) end
		if say.planned() then return state end
		if CANARY[state.batches] then task.sleep(opts.settle or 2) end
		local grown = growth(client, seen, opts.timeout)
		if grown > (opts.growth or 0) then
			state.stopped = ("'%s' has %d new message%s after %d were replayed")
				:format(seen.topic, grown, grown == 1 and "" or "s",
				state.replayed)
		end
	end
	return state
end

return M
