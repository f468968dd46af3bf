-- Consumer groups from outside, on a real broker: lag as Kafka's own tool prints it,
-- offsets planned, set, read back, put back; refused where somebody is at work or
-- nothing is; no group made by a slip of the pen.
local kafka = dofile "tests/lib/kafka.lua"
local effect = require "opsh.c.effect"
local sh = require "opsh.sh"
local task = require "opsh.task"

local on = kafka.on
local BROKERS = os.getenv "OPSH_KAFKA_BROKERS"
local TOOL = os.getenv "OPSH_KAFKA_TOOL"

local function topic(events, name, partitions)
	return kafka.topic(events, name, { partitions = partitions })
end

-- So many messages, one partition after the other.
local function feed(events, name, n, partitions)
	local list = {}
	for i = 1, n do
		list[i] = { key = "k" .. i, value = "v" .. i,
			partition = i % (partitions or 1) }
	end
	events:produce(name, list)
end

local function names(events)
	local set = {}
	for _, row in ipairs(events:groups()) do set[row.group] = row end
	return set
end

-- What `kafka-consumer-groups.sh --describe --group NAME` prints, by topic and
-- partition.
local function told(name)
	local said = sh.run { TOOL, "org.apache.kafka.tools.consumer.group."
		.. "ConsumerGroupCommand", "--bootstrap-server", BROKERS, "--describe",
		"--group", name, effect = "read", inherit = true }.stdout
	local rows, n = {}, 0
	for group, t, p, committed, high, lag, member, host, client in said:gmatch(
		"([^%s]+)%s+([^%s]+)%s+(%d+)%s+([%d-]+)%s+([%d-]+)%s+([%d-]+)%s+"
		.. "(%S+)%s+(%S+)%s+(%S+)") do
		local function cell(v) if v ~= "-" then return v end end
		rows[t .. " " .. p] = { group = group,
			committed = math.tointeger(tonumber(cell(committed))),
			high = math.tointeger(tonumber(high)),
			lag = math.tointeger(tonumber(cell(lag))), member = cell(member),
			host = cell(host) and host:gsub("^/", "") or nil, client = cell(client) }
		n = n + 1
	end
	return rows, n, said
end

-- Ours are the tool's; what it leaves out has no commit and nobody who reads it.
local function same_as_tool(rows, name, least)
	local want, n, said = told(name)
	ok(n >= least, said)
	local met = 0
	for _, row in ipairs(rows) do
		local w = want[row.topic .. " " .. row.partition]
		if w then
			met = met + 1
			eq({ row.committed, row.high, row.member, row.host, row.client },
				{ w.committed, w.high, w.member, w.host, w.client }, row.partition)
			-- the tool knows no lag without a commit
			eq(row.lag, w.lag or row.high - row.low, row.partition)
		else
			eq({ row.committed, row.member }, {}, row.partition)
		end
	end
	eq(met, n)
end

-- A live member: Kafka's own consumer, ended with the variable.
local function consumer(name, of)
	local process = sh.start { TOOL, "org.apache.kafka.tools.consumer."
		.. "ConsoleConsumer", "--bootstrap-server", BROKERS, "--topic", of,
		"--group", name, "--from-beginning", "--consumer-property",
		"auto.commit.interval.ms=200", inherit = true }
	return process
end

local function joined(events, name)
	for _ = 1, 300 do
		local fine, g = pcall(events.describe_group, events, name)
		if fine and g.state == "Stable" and #g.members == 1
			and #g.members[1].partitions > 0 then
			return g
		end
		task.sleep(0.1)
	end
	error(("nobody joined '%s'"):format(name), 0)
end

-- Its members have read and committed all that they have.
local function drained(events, name)
	for _ = 1, 300 do
		local done = true
		for _, row in ipairs(events:lag(name)) do
			done = done and (not row.member or row.committed == row.high)
		end
		if done then return end
		task.sleep(0.1)
	end
	error(("'%s' is not read to its end"):format(name), 0)
end

describe("kafka groups", function()
	it("that are mistyped are errors with the nearest, and are not made",
		on(function(events)
		topic(events, "spec-groups", 3)
		events:commit("spec-payments", { { topic = "spec-groups", partition = 0,
			offset = 0 } }, { create = true })
		for n, call in ipairs {
			{ events.lag, "spec-paymnets" },
			{ events.describe_group, "spec-paymnets" },
			{ events.reset_offsets, "spec-paymnets", { topic = "spec-groups",
				to = "earliest" } },
			{ events.offsets_plan, "spec-paymnets", { topic = "spec-groups",
				to = "latest" } },
			{ events.commit, "spec-paymnets", { { topic = "spec-groups",
				partition = 0, offset = 0 } } },
			{ events.delete_group, "spec-paymnets" },
		} do
			local e = raises("server", call[1], events, table.unpack(call, 2))
			eq(e.code, "GROUP_ID_NOT_FOUND", n)
			ok(e.message:find "spec%-payments", e.message)
		end
		eq(names(events)["spec-paymnets"], nil)
		eq(names(events)["spec-payments"].state, "Empty")
	end))

	it("are described and removed", on(function(events)
		topic(events, "spec-groups", 3)
		events:commit("spec-leaving", { { topic = "spec-groups", partition = 1,
			offset = 0 } }, { create = true })
		local g = events:describe_group "spec-leaving"
		eq({ g.group, g.state, #g.members, g.coordinator }, { "spec-leaving",
			"Empty", 0, 1 })
		eq(events:delete_group("spec-leaving").ok, true)
		eq(names(events)["spec-leaving"], nil)
	end))

	it("are asked for what they have committed", on(function(events)
		topic(events, "spec-groups", 3)
		events:commit("spec-committed", { { topic = "spec-groups", partition = 2,
			offset = 0 } }, { create = true })
		local list = require("opsh.kafka.groups").committed_of(events,
			"spec-committed")
		eq({ #list, list[1].topic, list[1].partition, list[1].offset },
			{ 1, "spec-groups", 2, 0 })
	end))

	it("say what is wrong with a commit", on(function(events)
		topic(events, "spec-groups", 3)
		raises("has no partition 9", events.commit, events, "spec-payments",
			{ { topic = "spec-groups", partition = 9, offset = 0 } })
		raises("usage", events.commit, events, "spec-payments", {})
		raises("usage", events.reset_offsets, events, "spec-payments",
			{ to = "now" })
		raises("usage", events.reset_offsets, events, "spec-payments",
			{ to = { [0] = 1 } })
		raises("unknown option 'form'", events.lag, events, nil, { form = 1 })
	end))
end)

describe("kafka lag", function()
	it("of a group without members is the tool's, partitions without a commit too",
		on(function(events)
		local name = kafka.name "lag"
		topic(events, name, 4)
		feed(events, name, 200, 4)
		events:commit(name, { { topic = name, partition = 0, offset = 5 },
			{ topic = name, partition = 2, offset = 0 } }, { create = true })
		local rows = events:lag(name)
		eq(#rows, 4)
		eq({ rows[1].committed, rows[2].committed, rows[3].committed },
			{ 5, nil, 0 })
		local all = 0
		for _, row in ipairs(rows) do all = all + row.high end
		eq(all, 200)
		same_as_tool(rows, name, 2)
		-- of all groups: the same rows
		local some = {}
		for _, row in ipairs(events:lag()) do
			if row.group == name then
				row.group = nil
				some[#some + 1] = row
			end
		end
		eq(some, rows)
	end), { plain = true })

	it("of a group with a member is the tool's; its offsets stay as they are",
		on(function(events)
		local name = kafka.name "live"
		topic(events, name, 2)
		feed(events, name, 20, 2)
		local process <close> = consumer(name, name)
		local g = joined(events, name)
		drained(events, name)
		events:add_partitions(name, 3)	-- nobody reads it yet, nothing committed
		feed(events, name, 30, 2)
		drained(events, name)
		same_as_tool(events:lag(name), name, 2)
		local who = g.members[1]
		for _, call in ipairs {
			{ events.reset_offsets, { topic = name, to = "earliest" } },
			{ events.commit, { { topic = name, partition = 0, offset = 0 } } },
			{ events.restore_offsets, { { topic = name, partition = 0,
				committed = 0 } } },
			{ events.delete_group },
		} do
			local e = raises("refused", call[1], events, name, call[2])
			ok(e.message:find(who.member_id, 1, true), e.message)
			ok(e.message:find(who.client_id, 1, true), e.message)
		end
		-- who joins between the look and the request is named too
		local groups = require "opsh.kafka.groups"
		local look, empty = groups.look, { [name] = { group = name, members = {},
			state = "Empty" } }
		groups.look = function()
			groups.look = look
			return empty
		end
		local _ <close> = setmetatable({}, { __close = function()
			groups.look = look
		end })
		local e = raises("refused", events.restore_offsets, events, name,
			{ { topic = name, partition = 0, committed = 0 } })
		ok(e.message:find(who.member_id, 1, true), e.message)
		-- a plan may be asked for all the same
		eq(#events:offsets_plan(name, { topic = name, to = "earliest" }), 3)
		process:kill "TERM"
	end), { plain = true })

	it("counts from the first message that is there when nothing is committed",
		on(function(events)
		local name = kafka.name "low"
		topic(events, name, 1)
		feed(events, name, 10)
		events:commit(name, { { topic = name, partition = 0, offset = 2 } },
			{ create = true })
		eq(events:lag(name)[1].lag, 8)
		eq(events:delete_records(name, { [0] = 4 }).value, { [0] = 4 })
		local rows = events:lag(name)
		eq({ rows[1].low, rows[1].high, rows[1].lag }, { 4, 10, 8 })
		local moves = events:offsets_plan(name, { to = "latest" })
		eq({ moves[1].skips, moves[1].repeats, moves[1].to }, { 6, 0, 10 })
	end), { plain = true })

	it("has rates and a time to drain, over some looks", on(function(events)
		local name = kafka.name "rate"
		topic(events, name, 1)
		feed(events, name, 100)
		events:commit(name, { { topic = name, partition = 0, offset = 0 } },
			{ create = true })
		local looks = {}
		for rows, total in events:lag_watch(name, { interval = 0.2, count = 2 }) do
			looks[#looks + 1] = { rows[1], total }
			events:commit(name, { { topic = name, partition = 0, offset = 50 } })
		end
		eq({ looks[1][2], looks[2][2], looks[1][1].state }, { 100, 50, "new" })
		local row = looks[2][1]
		ok(row.consumed > 50 and row.produced == 0, row.consumed)
		ok(math.abs(row.drain - 50 / row.consumed) < 1e-6, row.drain)
		eq({ row.state, row.members }, { "draining", 0 })
		eq(events:lag_rate(name, { interval = 0.05 })[1].state, "no member")
	end), { plain = true })

	it("of one topic, and of none", on(function(events)
		topic(events, "spec-groups", 3)
		events:commit("spec-one", { { topic = "spec-groups", partition = 0,
			offset = 0 } }, { create = true })
		eq(#events:lag("spec-one", { topic = "spec-groups" }), 3)
		local e = raises("server", events.lag, events, "spec-one",
			{ topic = "spec-gruops" })
		eq(e.code, "UNKNOWN_TOPIC_OR_PART")
	end))
end)

describe("kafka offsets", function()
	local function prepared(events, n)
		local name = kafka.name "reset"
		topic(events, name, 3)
		feed(events, name, n, 3)
		events:commit(name, { { topic = name, partition = 0, offset = 1 },
			{ topic = name, partition = 1, offset = 2 } }, { create = true })
		return name
	end

	it("set are the plan's, and the old ones can be put back", on(function(events)
		local name = prepared(events, 90)
		local before = events:lag(name)
		for _, to in ipairs { "earliest", "latest", { [0] = 3, [1] = 0, [2] = 4 },
			{ time = os.time() + 3600 }, { time = 0 } } do
			local moves = events:offsets_plan(name, { topic = name, to = to })
			local r = events:reset_offsets(name, { topic = name, to = to })
			eq({ r.ok, r.count }, { true, 3 })
			for n, row in ipairs(events:lag(name)) do
				eq(row.committed, moves[n].to)
				eq(row.committed, r.after[n].committed)
				eq(r.before[n].committed, before[n].committed)
			end
			events:restore_offsets(name, r.before)
			eq(events:lag(name), before)
		end
	end), { plain = true })

	it("of a time are those of the first message from then on", on(function(events)
		local name = kafka.name "time"
		topic(events, name, 1)
		feed(events, name, 5)
		task.sleep(1.1)
		local now = os.time()
		feed(events, name, 5)
		events:commit(name, { { topic = name, partition = 0, offset = 0 } },
			{ create = true })
		local moves = events:offsets_plan(name, { to = { time = now } })
		eq({ moves[1].to, moves[1].skips }, { 5, 5 })
	end), { plain = true })

	it("outside what is there are refused", on(function(events)
		local name = topic(events, "spec-groups", 3)
		events:commit("spec-outside", { { topic = name, partition = 0,
			offset = 0 } }, { create = true })
		raises("is not between 0 and 0", events.reset_offsets, events,
			"spec-outside", { topic = name, to = { [0] = 1 } })
		raises("has no partition 7", events.reset_offsets, events, "spec-outside",
			{ topic = name, to = { [7] = 0 } })
	end))

	it("in a plan are told and not set", on(function(events)
		local name = topic(events, "spec-groups", 3)
		events:commit("spec-plan", { { topic = name, partition = 0, offset = 0 } },
			{ create = true })
		effect.mode "plan"
		local r = events:reset_offsets("spec-plan", { topic = name,
			to = "latest" })
		eq(#r.after, 3)
		eq(r.before[2].committed, nil)
		events:commit("spec-never", { { topic = name, partition = 0,
			offset = 0 } }, { create = true, expect = {} })
		effect.mode "write"
		eq(events:lag("spec-plan")[2].committed, nil)
		eq(names(events)["spec-never"], nil)
	end))
end)
