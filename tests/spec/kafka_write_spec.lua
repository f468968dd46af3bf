-- kafka_write: messages that are written and what became of each; transactions. On
-- librdkafka's mock cluster, where faults are made to order, and on the broker of
-- the stack. Owns the topics that it makes.
local K = dofile "tests/lib/kafka.lua"
local ckafka = require "opsh.c.kafka"
local task = require "opsh.task"

local PRODUCE <const>, INIT <const>, END <const> = 0, 22, 26	-- of the protocol

-- All that a topic holds, as committed.
local function read(events, topic, opts)
	local o = { topic = topic, from = "earliest" }
	for k, v in pairs(opts or {}) do o[k] = v end
	return events:consume(o)
end

local function values(list)
	local out = {}
	for n, m in ipairs(list) do out[n] = m.value end
	return out
end

-- A commit is answered before its markers are in the partitions.
local function comes(events, topic, opts, expected)
	local got
	for _ = 1, 100 do
		got = values(read(events, topic, opts))
		if #got >= #expected then break end
		task.sleep(0.05)
	end
	eq(got, expected)
end

describe("kafka produce", function()
	it("writes one message, and says where it is", K.mock({ one = 1 },
		function(events)
			local r = events:produce { topic = "one", value = "hello", key = "k",
				headers = { origin = "ops" }, timestamp = 1700000000.5 }
			eq({ r.done, r.failed, r.unknown, r.partition, r.offset, r.ok,
				r.topic, r.count }, { 1, 0, 0, 0, 0, true, "one", 1 })
			eq(tostring(r), "1")
			r = events:produce { topic = "one", key = "k",
				headers = { { "a", "1" }, { name = "a", value = "2" }, { "b" } } }
			eq(r.offset, 1)
			local got = read(events, "one")
			eq({ got[1].value, got[1].key, got[1].headers.origin,
				got[1].timestamp }, { "hello", "k", "ops", 1700000000.5 })
			eq(got[2].value, nil)
			eq(got[2].headers.a, "2")
			eq(#got[2].header_list, 3)
		end))

	it("writes many, counted by partition", K.mock({ many = 4 },
		function(events)
			local list = {}
			for i = 1, 2500 do
				list[i] = i % 3 == 0 and { value = "v" .. i, key = tostring(i) }
					or "v" .. i
			end
			local r = events:produce("many", list)
			eq({ r.done, r.failed, r.unknown }, { 2500, 0, 0 })
			local sum = 0
			for p, part in pairs(r.partitions) do
				ok(p >= 0 and p < 4 and part.last - part.first
					== part.count - 1, p)
				sum = sum + part.count
			end
			eq(sum, 2500)
			r = events:produce("many", { "a", "b" }, { partition = 2 })
			eq(r.partitions[2].count, 2)
			eq(r.partition, nil)
			eq(events:produce("many", {}).done, 0)
		end))

	it("keeps the order of a partition", K.mock({ order = 1 }, function(events)
		local list = {}
		for i = 1, 3000 do
			list[i] = i % 7 == 0 and { value = tostring(i) } or tostring(i)
		end
		events:produce("order", list)
		eq(values(read(events, "order")), (function()
			local out = {}
			for i = 1, 3000 do out[i] = tostring(i) end
			return out
		end)())
	end), { plain = true })

	it("refuses what it can't send, before anything is sent", K.mock({ t = 2 },
		function(events)
			for what, message in pairs { ["message 2: its value must be"] =
				{ value = 7 }, ["message 2: it has no value"] = { headers = {} },
				["message 2: unknown field 'val'"] = { val = "x" },
				["message 2: topic 't' has 2 partitions, there is no 2"] =
				{ value = "x", partition = 2 }, ["message 2: its partition"] =
				{ value = "x", partition = -1 }, ["message 2: its timestamp"] =
				{ value = "x", timestamp = -1 }, ["message 2: its headers"] =
				{ value = "x", headers = 1 }, ["message 2: a list of headers"] =
				{ value = "x", headers = { "a" } }, ["message 2: a header's name"]
				= { value = "x", headers = { [true] = "a" } },
				["message 2: a header's value"] = { value = "x",
				headers = { a = {} } }, ["message 2: expected a string"] = 5 } do
				raises(what, events.produce, events, "t", { "a", message })
			end
			raises("unknown option 'acks'", events.produce, events,
				{ topic = "t", value = "x", acks = 1 })
			raises("there is no 5", events.produce, events, "t", { "x" },
				{ partition = 5 })
			raises("list of messages", events.produce, events, "t", "x")
			raises("expected produce", events.produce, events, { value = "x" })
			raises("unknown option 'single'", events.produce, events, "t", {},
				{ single = true })
			eq(#read(events, "t"), 0)
		end))

	it("takes words as at a prompt", K.mock({ t = 1 }, function(events)
		eq((events "produce t hello key=7").offset, 0)
		eq((events "produce topic=t value='a b'").offset, 1)
		eq((events "produce t 12 partition=0").offset, 2)
		local got = read(events, "t")
		eq({ values(got), got[1].key }, { { "hello", "a b", "12" }, "7" })
		raises("has no value, and no key", function() events "produce t" end)
	end))

	it("writes nothing to another cluster than before", K.mock({ t = 1 },
		function(events, target)
			events:produce { topic = "t", value = "x" }
			target:seen("cluster_id=other", "")
			local e = raises("changed", events.produce, events, { topic = "t",
				value = "y" })
			ok(e.message:find("cluster_id=other", 1, true))
			eq(#read(events, "t"), 1)
		end))

	it("makes no topic of a mistyped name", K.on(function(events)
		local e = raises("server", events.produce, events, { topic = "ordres",
			value = "x" })
		eq(e.code, "UNKNOWN_TOPIC_OR_PART")
		eq(e.outcome, "failed")
		ok(e.message:find("no topic 'ordres' on 'events'", 1, true))
		for _, row in ipairs(events:topics()) do ok(row.topic ~= "ordres") end
	end))

	it("is withheld in a plan", function()
		K.at("mock://1", { mode = "plan" }, function(events)
			ckafka.mock_topic(events, "t", 1, 1)
			local r = events:produce("t", { "a" }, { expect = { done = 1 } })
			eq(r.done, 1)
			raises("withheld", function()
				return events:produce { topic = "t", value = "x" }.offset
			end)
			events:transaction("id", function(tx)
				tx:produce("t", { "a" })
				tx:offsets("g", { { topic = "t", partition = 0, offset = 0 } })
			end)
			eq(events:watermarks("t", { partition = 0 })[1].high, 0)
		end)
	end)

	it("says of each message what became of it", K.mock({ t = 1 },
		function(events)
			events:produce { topic = "t", value = "x" }
			task.sleep(0.1)	-- its hurry is over
			-- MESSAGE_TOO_LARGE, for one request with both or one with each
			ckafka.mock_fail(events, PRODUCE, 2, 10)
			local e = raises("produce to 't' failed: 0 done, 2 failed",
				events.produce, events, "t", { "a", "b" })
			eq({ e.code, e.outcome, e.done, e.failed, e.unknown },
				{ "MSG_SIZE_TOO_LARGE", "failed", 0, 2, 0 })
			local left = events:produce("t", { "left" }, { errors = "keep" })
			if not left.ok then events:produce("t", { "left" }) end
			ckafka.mock_fail(events, PRODUCE, 1, 10)
			local r = events:produce("t", { "a" }, { errors = "keep" })
			eq({ r.ok, r.failed }, { false, 1 })
			-- what can be tried again is: NOT_LEADER, REQUEST_TIMED_OUT
			ckafka.mock_fail(events, PRODUCE, 2, 6)
			eq(events:produce("t", { "c" }).done, 1)
			eq(values(read(events, "t")), { "x", "left", "c" })
		end), { plain = true })

	it("gives up at its deadline, and counts", K.mock({ t = 1 },
		function(events)
			events:produce { topic = "t", value = "x" }
			for id = 1, 3 do ckafka.mock_delay(events, id, 5) end
			local e = raises("timeout", events.produce, events, "t", { "a", "b" },
				{ timeout = 0.3 })
			eq({ e.outcome, e.done, e.failed + e.unknown }, { "unknown", 0, 2 })
			ok(e.unknown > 0)
			for id = 1, 3 do ckafka.mock_broker(events, id, false) end
			e = raises("within 0.2 s", events.produce, events, "t", { "c" },
				{ timeout = 0.2 })
			eq({ e.outcome, e.failed }, { "failed", 1 })
		end), { plain = true })

	it("is cancelled at once, and counted", K.mock({ t = 1 }, function(events)
		events:produce { topic = "t", value = "x" }
		for id = 1, 3 do ckafka.mock_broker(events, id, false) end
		local began, e = task.now()
		raises("timeout", task.timeout, 0.1, function()
			local _ <close> = setmetatable({}, { __close = function(_, why)
				e = why
			end })
			events:produce("t", { "a", "b" })
		end)
		ok(task.now() - began < 0.8)
		ok(tostring(e):find("was stopped: 0 done, 2 failed, 0 unknown", 1, true),
			tostring(e))
	end), { plain = true })

	it("does not mind a client that is closed", K.mock({ t = 1 },
		function(events)
			for id = 1, 3 do ckafka.mock_delay(events, id, 2) end
			local job = task.spawn(function()
				return pcall(events.produce, events, "t", { "a" })
			end)
			task.sleep(0.02)
			events:close()
			local fine = job:wait()
			eq(fine, false)
		end), { plain = true })
end)

describe("kafka transaction", function()
	it("counts as a whole", K.mock({ t = 2, dlq = 1 }, function(events)
		local r = events:transaction("tx", function(tx)
			eq(tx:produce("t", { "a", "b" }, { partition = 0 }).done, 2)
			eq(tx:offsets("g", { { topic = "dlq", partition = 0, offset = 0 } })
				.count, 1)
		end)
		eq({ r.ok, r.id }, { true, "tx" })
		comes(events, "t", { partition = 0 }, { "a", "b" })
		events:transaction("tx", function(tx)
			tx:produce { topic = "t", value = "c", partition = 0 }
		end)
	end))

	it("is aborted when its function raises", K.on(function(events)
		local name = K.name "tx"
		events:create_topic(name, { partitions = 1 })
		local id = K.name "id"
		raises("enough", events.transaction, events, id, function(tx)
			tx:produce(name, { "a" })
			error "enough"
		end)
		events:transaction(id, function(tx) tx:produce(name, { "b" }) end)
		comes(events, name, nil, { "b" })
		eq(#read(events, name, { isolation = "read_uncommitted" }), 2)
	end), { plain = true })

	it("stops when another one begins with its id", K.on(function(events)
		local name, id = K.name "tx", K.name "id"
		events:create_topic(name, { partitions = 1 })
		local e = raises("busy", events.transaction, events, id, function(tx)
			tx:produce(name, { "a" })
			events:transaction(id, function(other)
				other:produce(name, { "b" })
			end)
			tx:produce(name, { "c" })
		end)
		eq(e.code, "_FENCED")
		ok(e.hint:find("another producer holds", 1, true))
		comes(events, name, nil, { "b" })
	end), { plain = true })

	it("is aborted by Ctrl-C and deadlines", K.on(function(events)
		local name = K.name "tx"
		events:create_topic(name, { partitions = 1 })
		raises("timeout", task.timeout, 0.6, function()
			events:transaction(K.name "id", function(tx)
				tx:produce(name, { "a" })
				task.sleep(9)
			end)
		end)
		-- what comes after an open transaction could not be read
		events:produce(name, { "b" })
		comes(events, name, nil, { "b" })
	end), { plain = true })

	it("is not committed when a part was not written", K.mock({ t = 1 },
		function(events)
			raises("can't be committed", events.transaction, events, "tx",
				function(tx)
					ckafka.mock_fail(events, PRODUCE, 1, 10)
					tx:produce("t", { "a" }, { errors = "keep" })
				end)
			raises("has ended", function()
				local kept
				events:transaction("tx", function(tx) kept = tx end)
				kept:offsets("g", { { topic = "t", partition = 0, offset = 0 } })
			end)
			raises("list of {topic", events.transaction, events, "tx",
				function(tx) tx:offsets("g", { { topic = "t" } }) end)
		end), { plain = true })

	it("goes on when a partition's leader changes within it", K.mock({ t = 2 },
		function(events)
			for leader = 1, 3 do
				events:transaction("tx", function(tx)
					tx:produce("t", { "a" .. leader, "b" .. leader },
						{ partition = 0 })
					ckafka.mock_leader(events, "t", 0, leader % 3 + 1)
					tx:produce("t", { "c" .. leader }, { partition = 0 })
					-- the coordinator has moved: NOT_COORDINATOR
					ckafka.mock_fail(events, END, 1, 16)
				end)
			end
			comes(events, "t", { partition = 0 }, { "a1", "b1", "c1", "a2",
				"b2", "c2", "a3", "b3", "c3" })
		end), { plain = true })

	it("is aborted when the leader is gone for good", K.mock({ t = 1 },
		function(events)
			local e = raises("produce to 't'", events.transaction, events, "tx",
				function(tx)
					tx:produce("t", { "a" })
					for id = 1, 3 do ckafka.mock_broker(events, id, false) end
					tx:produce("t", { "b" }, { timeout = 0.3 })
				end, { timeout = 0.5 })
			-- nothing counts that is not committed
			eq(e.outcome, "failed")
		end), { plain = true })

	it("says when its commit may count or not", K.mock({ t = 1 },
		function(events)
			local e = raises("may or may not", events.transaction, events, "tx",
				function(tx)
					tx:produce("t", { "a" })
					for id = 1, 3 do ckafka.mock_delay(events, id, 9) end
				end, { timeout = 0.5 })
			eq(e.outcome, "unknown")
		end), { plain = true })

	it("says when it can't begin", K.mock({ t = 1 }, function(events)
		ckafka.mock_fail(events, INIT, 1, 53)
		local e = raises("was not begun", events.transaction, events, "tx",
			function() end)
		eq({ e.kind, e.outcome }, { "auth", "failed" })
		raises("1 to 200", events.transaction, events, "", print)
	end), { plain = true })
end)
