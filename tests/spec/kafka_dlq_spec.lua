-- kafka_dlq: what a dead letter says, what becomes of it, and a replay: on the broker
-- of the stack, whose topics of a test have names of their own. That each letter comes
-- back exactly once, whatever dies, is shown in tests/live/kafka_dlq.sh.
local K = dofile "tests/lib/kafka.lua"
local dlq = require "opsh.kafka.dlq"
local task = require "opsh.task"

local BEGAN <const> = os.time() - 2.5 * 86400

local function letter(headers, timestamp)
	local list = {}
	for name, value in pairs(headers) do
		list[#list + 1] = { name = name, value = value }
	end
	return { headers = headers, header_list = list, timestamp = timestamp or 1000 }
end

describe("kafka.dlq.about", function()
	it("reads the headers of those who bury", function()
		local a = dlq.about(letter { ["origin-topic"] = "orders",
			["origin-partition"] = "2", ["origin-offset"] = "7",
			["error-reason"] = "no\nmore", ["replay-count"] = "1",
			["failed-at"] = "500000000000" }, 500000060)
		eq({ a.topic, a.partition, a.offset, a.reason, a.replays, a.age },
			{ "orders", 2, 7, "no", 1, 60.0 })
		a = dlq.about(letter({ ["kafka_dlt-original-topic"] = "t",
			["kafka_dlt-exception-message"] = "boom" }, 900), 1000)
		eq({ a.topic, a.reason, a.age, a.replays }, { "t", "boom", 100, 0 })
		a = dlq.about(letter({ ["__connect.errors.topic"] = "c",
			["replay-count"] = "x", ["error-reason"] = "" }), 1)
		eq({ a.topic, a.reason, a.replays, a.age }, { "c", "none given", 0, 0 })
		eq(dlq.about({}, 0).topic, nil)
	end)

	it("says what becomes of it", function()
		local rules = { dlq = "d", parked = "p", topics = { orders = 4, d = 1,
			p = 1 } }
		local function judged(t)
			t.reason, t.replays = t.reason or "why", t.replays or 0
			return { dlq.judge(t, rules) }
		end
		eq(judged { topic = "orders" }, { "replay" })
		eq(judged { topic = "orders", replays = 2 }, { "replay" })
		eq(judged { topic = "orders", replays = 3 }, { "park",
			"replayed enough" })
		eq(judged { topic = "gone" }, { "park", "unknown origin" })
		eq(judged {}, { "park", "no origin" })
		eq(judged { topic = "d" }, { "park", "its origin is no origin" })
		eq(judged { topic = "p" }, { "park", "its origin is no origin" })
		rules.keeps = { orders = 60 }
		eq(judged { topic = "orders", written = 59 }, { "replay" })
		eq(judged { topic = "orders", written = 60 }, { "park",
			"older than its topic keeps" })
		rules.reason = "Time"
		eq(judged { topic = "orders" }, { "skip", "another reason" })
		eq(judged { topic = "orders", reason = "a timeout" }, { "replay" })
		eq(dlq.group "d", "opsh-replay-d")
	end)
end)

describe("kafka.dlq", function()
	-- Topics of their own with n letters.
	local function filled(events, n)
		local name = K.name "dead"
		for topic, partitions in pairs { [name] = 2, [name .. "-dlq"] = 1,
			[name .. "-parked"] = 1 } do
			events:create_topic(topic, { partitions = partitions })
		end
		local list = {}
		for i = 1, n do
			list[i] = { value = i % 5 ~= 0 and "v" .. i or nil, key = "k" .. i,
				timestamp = BEGAN + i, headers = { ["origin-topic"] = i % 4 == 0
				and "nowhere" or name, ["origin-partition"] = tostring(i % 3),
				["error-reason"] = i % 2 == 0 and "even" or "odd" } }
		end
		events:produce(name .. "-dlq", list)
		return name
	end

	local function count(events, topic, expected)
		local list
		for _ = 1, 100 do
			list = events:consume { topic = topic }
			if #list >= expected then break end
			task.sleep(0.05)
		end
		eq(#list, expected, topic)
		return list
	end

	it("looks, replays and parks", K.on(function(events)
		local name = filled(events, 40)
		local seen = dlq.look(events, name .. "-dlq", { sample = 2,
			parked = name .. "-parked" })
		eq({ seen.messages, seen.replay, seen.park, seen.skip, #seen.sample },
			{ 40, 30, 10, 0, 2 })
		eq(seen.origins, { { origin = name, messages = 30, replay = 30,
			park = 0 }, { origin = "nowhere", messages = 10, replay = 0,
			park = 10 } })
		eq(seen.reasons, { { reason = "even", messages = 20 },
			{ reason = "odd", messages = 20 } })
		eq(seen.ages, { { age = "under 7 d", messages = 40 } })
		eq(seen.why, { { why = "unknown origin", messages = 10 } })
		local steps = {}
		local state = dlq.replay(events, seen, { settle = 0, batch = 10,
			each = function(s) steps[#steps + 1] = s.replayed + s.parked end })
		eq({ state.snapshot, state.replayed, state.parked, state.skipped,
			state.stopped }, { 40, 30, 10, 0 })
		eq(steps, { 1, 11, 40 })
		local back = count(events, name, 30)
		for _, m in ipairs(back) do
			local i = tonumber(m.key:sub(2))
			eq({ m.headers["replay-count"], m.timestamp, m.value },
				{ "1", BEGAN + i, i % 5 ~= 0 and "v" .. i or nil })
			if i % 3 < 2 then eq(m.partition, i % 3) end
		end
		eq(count(events, name .. "-parked", 10)[1].headers["parked-because"],
			"unknown origin")
		eq(dlq.look(events, name .. "-dlq").messages, 0)
		eq(dlq.look(events, name .. "-dlq", { whole = true }).messages, 40)
		local part = dlq.span(events, name .. "-dlq")[1]
		eq({ part.low, part.committed, part.start, part.high }, { 0, 40, 40, 40 })
		eq(dlq.replay(events, seen, { settle = 0 }).snapshot, 0)
		raises("unknown option", dlq.look, events, "x", { parkd = "x" })
	end), { plain = true })

	it("passes over what it was not asked for, and stops when it grows",
		K.on(function(events)
			local name = filled(events, 8)
			local seen = dlq.look(events, name .. "-dlq", { reason = "odd" })
			eq({ seen.replay, seen.skip, seen.park }, { 4, 4, 0 })
			local state = dlq.replay(events, seen, { settle = 0,
				each = function()
					events:produce { topic = name .. "-dlq", value = "more" }
				end })
			eq({ state.replayed, state.skipped, state.batches }, { 1, 0, 1 })
			ok(state.stopped:find("1 new message after 1 were", 1, true))
			seen = dlq.look(events, name .. "-dlq", { reason = "odd" })
			state = dlq.replay(events, seen, { settle = 0 })
			eq({ state.snapshot, state.replayed, state.skipped },
				{ 8, 3, 5 })
		end), { plain = true })

	it("writes nothing in a plan", K.on(function(events)
		local name = filled(events, 5)
		local seen = dlq.look(events, name .. "-dlq")
		local effect = require "opsh.c.effect"
		effect.mode "plan"
		local ran, state = pcall(dlq.replay, events, seen, {})
		effect.mode "write"
		eq({ ran, ran and state.replayed, ran and state.batches },
			{ true, 1, 1 }, state)
		eq(#events:consume { topic = name }, 0)
		eq(dlq.span(events, name .. "-dlq")[1].committed, nil)
	end), { plain = true })
end)
