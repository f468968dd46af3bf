-- Topics, brokers and settings on a real broker: what is told, what is changed, and
-- that nothing appears or goes by a slip: a mistyped name, a change of one setting.
-- Topics are made when they are not there: a sweep comes by often.
local kafka = dofile "tests/lib/kafka.lua"
local sh = require "opsh.sh"

local on = kafka.on

local function topic(events, name, partitions, config)
	return kafka.topic(events, name, { partitions = partitions, config = config })
end

local function names(events)
	local set = {}
	for _, row in ipairs(events:topics()) do set[row.topic] = row end
	return set
end

-- A topic's own settings, asked of Kafka's tool.
local function own_settings(name)
	local said = sh.run { os.getenv "OPSH_KAFKA_TOOL", "kafka.admin.ConfigCommand",
		"--bootstrap-server", os.getenv "OPSH_KAFKA_BROKERS", "--describe",
		"--topic", name, effect = "read", inherit = true }.stdout
	local out = {}
	for key, value in said:gmatch "\n%s+([%w.]+)=(%S*) sensitive" do
		out[key] = value
	end
	return out
end

describe("kafka topics", function()
	it("are listed, Kafka's own on request", on(function(events)
		topic(events, "spec-list", 3)
		local row = names(events)["spec-list"]
		eq({ row.partitions, row.replication, row.under_replicated, row.leaderless,
			row.internal }, { 3, 1, 0, 0, false })
		topic(events, "spec-list", 3)
		events:commit("spec-makes-internal", { { topic = "spec-list",
			partition = 0, offset = 0 } }, { create = true })
		eq(names(events).__consumer_offsets, nil)
		local found
		for _, t in ipairs(events:topics { internal = true }) do
			found = found or t.topic == "__consumer_offsets" and t.internal
		end
		eq(found, true)
	end))

	it("are described, with leaders, replicas and settings", on(function(events)
		topic(events, "spec-describe", 2, { ["retention.ms"] = 3600000 })
		local d = events:describe "spec-describe"
		eq(#d.partitions, 2)
		eq(d.partitions[2], { partition = 1, leader = 1, replicas = { 1 },
			isr = { 1 }, offline = {} })
		eq(d.dynamic, { ["retention.ms"] = "3600000" })
		eq(d.config["retention.ms"], "3600000")
		eq(d.config["cleanup.policy"], "delete")
	end))

	it("know brokers and their controller", on(function(events)
		local rows = events:brokers()
		eq(#rows, 1)
		eq({ rows[1].id, rows[1].controller }, { 1, true })
		eq(("%s:%d"):format(rows[1].host, rows[1].port),
			os.getenv "OPSH_KAFKA_BROKERS")
	end))

	it("have watermarks, of all partitions at once or of one", on(function(events)
		topic(events, "spec-marks", 40)
		local rows = events:watermarks "spec-marks"
		eq(#rows, 40)
		eq(rows[40], { topic = "spec-marks", partition = 39, low = 0, high = 0 })
		eq(#events:watermarks("spec-marks", { partition = 7 }), 1)
		raises("has no partition 40", events.watermarks, events, "spec-marks",
			{ partition = 40 })
	end))

	it("that are mistyped are errors with the nearest, and are not made",
		on(function(events)
		topic(events, "spec-orders", 1)
		local calls = {
			{ events.describe, "spec-ordres" },
			{ events.watermarks, "spec-ordres" },
			{ events.add_partitions, "spec-ordres", 4 },
			{ events.alter_config, "spec-ordres", { ["retention.ms"] = 1000 } },
			{ events.delete_topic, "spec-ordres" },
			{ events.delete_records, "spec-ordres", { [0] = 1 } },
			{ events.commit, "spec-g", { { topic = "spec-ordres", partition = 0,
				offset = 0 } }, { create = true } },
		}
		for n, call in ipairs(calls) do
			local e = raises("server", call[1], events, table.unpack(call, 2))
			eq(e.code, "UNKNOWN_TOPIC_OR_PART", n)
			ok(e.message:find "spec%-orders", e.message)
		end
		eq(names(events)["spec-ordres"], nil)
	end))

	it("say which options there are", on(function(events)
		local e = raises("usage", events.topics, events, { intern = true })
		ok(e.message:find "unknown option 'intern' of topics", e.message)
		raises("usage", events.describe, events)
		raises("usage", events.create_topic, events, "x", { config = 7 })
		raises("usage", events.create_topic, events, "")
	end))
end)

describe("kafka refusals", function()
	local say = require "opsh.kafka.say"

	it("name what there is", function()
		local e = raises("server", say.no_topic, "ordres", { "orders", "b" })
		eq(e.code, "UNKNOWN_TOPIC_OR_PART")
		ok(e.message:find("there is no topic 'ordres' (there are: orders, b)", 1,
			true), e.message)
		e = raises("server", say.no_group, "g", {})
		ok(e.message:find("there is no group 'g' (there are none)", 1, true))
	end)
end)

describe("kafka changes", function()
	it("grow a topic, and never shrink it", on(function(events)
		local name = "spec-grow"
		topic(events, name, 1)
		local n = names(events)[name].partitions
		events:produce(name, { "old" })		-- a producer that counts n of them
		eq(events:add_partitions(name, n + 1).ok, true)
		eq(#events:watermarks(name), n + 1)
		eq(events:produce(name, { { value = "new", partition = n } }).done, 1)
		raises("only more are possible", events.add_partitions, events, name, n)
	end))

	it("of one setting leave the others as they are", on(function(events)
		local name = topic(events, "spec-settings", 1,
			{ ["retention.ms"] = 7200000, ["cleanup.policy"] = "compact" })
		events:alter_config(name, { ["retention.ms"] = 7200000,
			["cleanup.policy"] = "compact" }, { remove = { "segment.bytes" } })
		local r = events:alter_config(name, { ["segment.bytes"] = 1048576 })
		eq(r.before, { ["retention.ms"] = "7200000",
			["cleanup.policy"] = "compact" })
		eq(events:describe(name).dynamic, { ["retention.ms"] = "7200000",
			["cleanup.policy"] = "compact", ["segment.bytes"] = "1048576" })
		events:alter_config(name, {}, { remove = { "cleanup.policy" } })
		eq(events:describe(name).dynamic, { ["retention.ms"] = "7200000",
			["segment.bytes"] = "1048576" })
		local e = raises("usage", events.alter_config, events, name,
			{ ["retention.sm"] = 1 })
		ok(e.message:find "retention.ms", e.message)
		-- the broker's own refusal changes nothing
		raises("server", events.alter_config, events, name,
			{ ["retention.ms"] = "soon" })
		eq(events:describe(name).dynamic["retention.ms"], "7200000")
	end))

	it("of settings are what Kafka's tool reads", on(function(events)
		local name = topic(events, "spec-tool", 1,
			{ ["retention.ms"] = 7200000, ["max.message.bytes"] = 2000 })
		events:alter_config(name, { ["segment.bytes"] = 1048576 })
		eq(own_settings(name), { ["retention.ms"] = "7200000",
			["max.message.bytes"] = "2000", ["segment.bytes"] = "1048576" })
	end), { plain = true })

	it("remove a topic, and records before an offset", on(function(events)
		local name = "spec-gone"
		topic(events, name, 1)
		eq(events:delete_records(name, { [0] = 0 }).value, { [0] = 0 })
		raises("is not between 0 and 0", events.delete_records, events, name,
			{ [0] = 5 })
		raises("usage", events.delete_records, events, name, {})
		events:produce(name, { "what is written is known" })
		eq(events:delete_topic(name).ok, true)
		eq(names(events)[name], nil)
		local e = raises("server", events.produce, events, name, { "not any more" })
		eq(e.code, "UNKNOWN_TOPIC_OR_PART")
	end))

	it("in a plan are withheld", function()
		kafka.at(os.getenv "OPSH_KAFKA_BROKERS", { mode = "plan" },
			function(events)
			events:create_topic("spec-planned", { expect = {} })
			eq(names(events)["spec-planned"], nil)
		end)
	end)

	it("that the broker refuses say why", on(function(events)
		topic(events, "spec-twice", 1)
		local e = raises("server", events.create_topic, events, "spec-twice")
		eq(e.code, "TOPIC_ALREADY_EXISTS")
		eq(e.outcome, "failed")
		e = raises("server", events.create_topic, events, "spec-three",
			{ replication = 3 })
		eq(e.code, "INVALID_REPLICATION_FACTOR")
		raises("usage", events.create_topic, events, "spec/bad name",
			{ partitions = 0 })
	end))
end)
