-- What stands on the calls of Kafka: a round trip, the health of a cluster with broken
-- parts (a mock one, in which leaders and brokers go), saved descriptions of topics;
-- and that no mistyped name makes a topic where brokers would make it.
local kafka = dofile "tests/lib/kafka.lua"
local ckafka = require "opsh.c.kafka"
local effect = require "opsh.c.effect"
local err = require "opsh.c.err"
local fs = require "opsh.fs"
local health = require "opsh.kafka.health"
local saved = require "opsh.kafka.saved"

local on = kafka.on

local topic = kafka.topic

local function row_of(rows, name)
	for _, row in ipairs(rows) do
		if row.name == name or row.topic == name then return row end
	end
end

describe("kafka names", function()
	-- the mock cluster makes each topic that it is asked for; tests/live/kafka.sh has
	-- a real one that would
	it("that are mistyped are not asked for",
		kafka.mock({ orders = 3 }, function(events)
		for n, call in ipairs {
			{ events.watermarks, "ordres" },
			{ events.delete_records, "ordres", { [0] = 1 } },
			{ events.add_partitions, "ordres", 9 },
			{ events.commit, "g", { { topic = "ordres", partition = 0,
				offset = 0 } } },
		} do
			local e = raises("server", call[1], events, call[2], call[3])
			eq(e.code, "UNKNOWN_TOPIC_OR_PART", n)
		end
		eq(#events:topics(), 1)
		eq(events:topics()[1].topic, "orders")
		eq(#events:watermarks "orders", 3)
	end), { plain = true })
end)

describe("kafka again", function()
	local again = require "opsh.kafka.again"

	it("is asked as long as it passes", function()
		local n = 0
		local a, b = again.patiently({ SOON = true }, nil, function()
			n = n + 1
			if n == 1 then error(err.new { kind = "server", code = "SOON" }, 0) end
			return n < 3, n, "b"
		end)
		eq({ a, b }, { 3, "b" })
		raises("server", again.patiently, { SOON = true }, { timeout = 0.05 },
			function() error(err.new { kind = "server", code = "SOON" }, 0) end)
		raises("usage", again.patiently, {}, nil, function()
			error(err.new { kind = "usage", code = "" }, 0)
		end)
	end, { plain = true })

	it("looks until it is so, or time is up", function()
		local n = 0
		eq(again.settle({}, {}, function()
			n = n + 1
			return again.all({ 1, 2, 3 }, function(i) return i <= n end)
		end), { seen = true })
		eq(n, 3)
		eq(again.settle({}, { timeout = 0 }, function() return false end),
			{ seen = false })
	end, { plain = true })
end)

describe("kafka round trip", function()
	it("writes a message and reads that one", on(function(events)
		topic(events, "spec-probe", { partitions = 2 })
		local p = events:round_trip { topic = "spec-probe" }
		eq({ p.ok, p.topic }, { true, "spec-probe" })
		ok(p.produce > 0 and p.consume > 0 and p.total >= p.produce + p.consume,
			p.total)
		local q = events:round_trip { topic = "spec-probe", partition = p.partition }
		eq(q.offset, p.offset + 1)
		raises("UNKNOWN_TOPIC_OR_PART", events.round_trip, events,
			{ topic = "spec-porbe" })
		raises("unknown option 'topik'", events.round_trip, events,
			{ topik = "spec-probe" })
	end))

	it("is withheld in a plan", on(function(events)
		topic(events, "spec-probe", { partitions = 2 })
		local function all()
			local sum = 0
			for _, m in ipairs(events:watermarks "spec-probe") do
				sum = sum + m.high
			end
			return sum
		end
		local before = all()
		effect.mode "plan"
		eq(events:round_trip { topic = "spec-probe" }.planned, true)
		effect.mode "write"
		eq(all(), before)
	end))
end)

describe("kafka health", function()
	it("of a cluster that is well", on(function(events)
		topic(events, "spec-health", { partitions = 2 })
		local rows = health.look(events, { brokers = 1, topics = { "spec-health" },
			probe = "spec-health" })
		for _, row in ipairs(rows) do eq(row.state, "ok", row.name) end
		eq(#rows, 7)
		eq(health.verdict(rows), "all 7 well")
		eq(row_of(rows, "leaders").value, "2 partitions, all led")
	end))

	it("counts brokers, and says what it could not ask", on(function(events)
		local rows = health.look(events, { brokers = 3 })
		eq({ rows[1].name, rows[1].state, rows[1].value },
			{ "brokers", "critical", "1 of 3" })
		ok(health.verdict(rows):find("critical: brokers", 1, true))
		rows = health.look(events, { probe = "spec-no-such-topic" })
		eq(row_of(rows, "round trip").state, "critical")
		raises("UNKNOWN_TOPIC_OR_PART", health.look, events,
			{ topics = { "spec-haelth" } })
	end))

	-- without the groups, of which the mock cluster knows nothing: librdkafka 2.0.2
	-- leaks a little when a broker does not
	it("sees partitions that nobody leads", kafka.mock({ orders = 3 },
		function(events)
		ckafka.mock_leader(events, "orders", 1, -1)
		local rows = health.look(events, { only = { "leaders", "brokers" } })
		eq(#rows, 2)
		eq({ rows[1].state, rows[1].detail }, { "critical", "orders/1" })
		eq(events:topics()[1].leaderless, 1)
		local marks = events:watermarks "orders"
		eq({ marks[1].high, marks[2].high, marks[2].error },
			{ 0, nil, "LEADER_NOT_AVAILABLE" })
	end), { plain = true })
end)

describe("kafka descriptions", function()
	it("are taken, kept in a file and compared", on(function(events)
		topic(events, "spec-saved", { partitions = 2,
			config = { ["retention.ms"] = 1000 } })
		local all = saved.take(events, { "spec-saved" })
		eq(all.topics, { { topic = "spec-saved", partitions = 2, replication = 1,
			config = { ["retention.ms"] = "1000" } } })
		eq(all.cluster_id, os.getenv "OPSH_KAFKA_CLUSTER")
		local path = os.tmpname() .. ".json"
		saved.write(path, all)
		local read = saved.read(path)
		eq(read, all)
		eq(saved.compare(events, read)[1].state, "same")
		read.topics[1].partitions = 5
		read.topics[1].config["segment.bytes"] = "2000000"
		read.topics[2] = { topic = "spec-lost", partitions = 1, replication = 1,
			config = {} }
		local rows = saved.compare(events, read)
		eq({ rows[1].state, rows[1].detail }, { "different", "partitions: 2, "
			.. "saved 5; segment.bytes: default, saved 2000000" })
		eq(rows[2].state, "missing")
		local other = os.tmpname() .. ".wrong"
		fs.write(other, "{}")
		raises("is no saved description", saved.read, other)
	end))

	it("make a topic as it was", on(function(events)
		local want = { topic = kafka.name "made", partitions = 3, replication = 3,
			config = { ["cleanup.policy"] = "compact" } }
		saved.create(events, want, { replication = 1 })
		local d = events:describe(want.topic)
		eq({ #d.partitions, d.replication, d.dynamic["cleanup.policy"] },
			{ 3, 1, "compact" })
	end), { plain = true })
end)
