-- kafka_consume: reading messages: from where to where, what a message has, and how a
-- reading ends. On the broker of the stack; messages are written by kcat, which knows
-- headers of one name and without a value. Owns its topics.
local K = dofile "tests/lib/kafka.lua"
local journal = dofile "tests/lib/journal.lua"
local ckafka = require "opsh.c.kafka"
local json = require "opsh.json"
local sh = require "opsh.sh"
local show = require "run.show"
local task = require "opsh.task"
local timer = require "opsh.timer"

local BROKERS = os.getenv "OPSH_KAFKA_BROKERS"

local function topic(events, name, partitions)
	return K.topic(events, name, { partitions = partitions })
end

-- Lines "key:value" into partition 0; more: words of kcat, another's client.
local function write(name, lines, ...)
	local argv = { "kcat", "-P", "-b", BROKERS, "-t", name, "-p", "0", "-K:",
		"-Z", stdin = lines }
	for _, word in ipairs { ... } do argv[#argv + 1] = word end
	sh.run(argv)
end

local FILLED = K.name "filled"
local full
local function filled(events)
	if not full then
		topic(events, FILLED, 3)
		local list = {}
		for n = 0, 9 do list[n + 1] = { key = "k" .. n, value = "v" .. n } end
		-- a sweep may have stopped it half way
		if events:watermarks(FILLED)[1].high == 0 then
			events:produce(FILLED, list, { partition = 0 })
		end
		if events:watermarks(FILLED)[3].high == 0 then
			events:produce { topic = FILLED, key = "a", value = "1",
				partition = 2 }
		end
		full = true
	end
	return FILLED
end

local function offsets(list)
	local out = {}
	for n, m in ipairs(list) do out[n] = m.partition .. ":" .. m.offset end
	return table.concat(out, " ")
end

-- All of a topic, when its last transaction is told to whoever reads committed.
local function settled(events, name, at)
	for _ = 1, 200 do
		local list = events:consume { topic = name, timeout = 20 }
		if list.next[0] == at then return list end
		task.sleep(0.05)
	end
	error("transaction of '" .. name .. "' is not settled", 2)
end

describe("kafka consume", function()
	it("reads a topic to its end", K.on(function(events)
		local list = events:consume { topic = filled(events) }
		eq(#list, 11)
		eq(list.reached, "end")
		eq(list.next, { [0] = 10, [1] = 0, [2] = 1 })
		table.sort(list, function(a, b)
			return a.partition * 100 + a.offset < b.partition * 100 + b.offset
		end)
		local m = list[4]
		eq(m.topic, filled(events))
		eq(m.partition, 0)
		eq(m.offset, 3)
		eq(m.key, "k3")
		eq(m.value, "v3")
		ok(math.abs(m.timestamp - os.time()) < 3600)
		eq(m.headers, {})
		eq(m.header_list, {})
		eq((events("consume " .. filled(events) .. " partition=2"))[1].value, "1")
	end))

	it("begins where it is told", K.on(function(events)
		local function from(at, more)
			local o = { topic = filled(events), partition = 0, from = at }
			for k, v in pairs(more or {}) do o[k] = v end
			return offsets(events:consume(o))
		end
		eq(from(8), "0:8 0:9")
		eq(from(-2), "0:8 0:9")
		eq(from(-100, { max = 2 }), "0:0 0:1")
		eq(from("earliest", { to = 2 }), "0:0 0:1")
		eq(from("latest"), "")
		eq(from(10), "")
		eq(from({ time = 0 }, { max = 1 }), "0:0")
		eq(from({ time = os.time() + 3600 }), "")
		eq(from("earliest", { to = { time = 1 } }), "")
		eq(from({ [0] = 9 }), "0:9")
		eq(offsets(events:consume { topic = filled(events), from = { [0] = 7, [2] = 0 },
			to = { [0] = 8 } }):gsub("2:0", ""):gsub(" ", ""), "0:7")
		eq(offsets(events:consume { topic = filled(events), partitions = { 2, 1 } }),
			"2:0")
	end))

	it("begins where a group has committed", K.on(function(events)
		local group = K.name "group"
		events:commit(group, { { topic = filled(events), partition = 0,
			offset = 8 } }, { create = true })
		eq(offsets(events:consume { topic = filled(events), group = group,
			partition = 0 }), "0:8 0:9")
		local list = events:consume { topic = filled(events), group = group }
		eq(#list, 3)
		eq(list.next, { [0] = 10, [1] = 0, [2] = 1 })
		eq(offsets(events:consume { topic = filled(events), group = group,
			from = "latest" }), "0:8 0:9")
		eq(offsets(events:consume { topic = filled(events), group = group,
			partitions = { 2 }, from = { [2] = { time = 1 } } }), "2:0")
		eq(events:describe_group(group).state, "Empty")
		local e = raises("server", events.consume, events, {
			topic = filled(events), group = group .. "x" })
		ok(e.message:find(group .. "x", 1, true), e.message)
		for _, g in ipairs(events:groups()) do ok(g.group ~= group .. "x") end
	end))

	it("refuses what is not there", K.on(function(events)
		local function consume(o)
			o.topic = o.topic or filled(events)
			return events:consume(o)
		end
		local e = raises("server", consume, { topic = "ordres" })
		ok(e.message:find "no topic 'ordres'", e.message)
		e = raises("check", consume, { partition = 3 })
		ok(e.message:find "has no partition 3: it has 3", e.message)
		e = raises("check", consume, { partition = 0, from = 11 })
		eq(e.code, "OFFSET_OUT_OF_RANGE")
		ok(e.message:find "it has 0 to 9", e.message)
		raises("must be a list", consume, { partitions = {} })
		raises("twice", consume, { partitions = { 1, 1 } })
		raises("say the same", consume, { partition = 1, partitions = { 1 } })
		raises("a partition is a number", consume, { partition = "x" })
		raises("must be 'earliest'", consume, { from = "begin" })
		raises("must be 'earliest'", consume, { from = {} })
		raises("must be 'earliest'", consume, { from = { [0] = {} } })
		raises("must be 'end'", consume, { to = -1 })
		raises("not to be read", consume, { partition = 0, from = { [1] = 0 } })
		raises("'read_committed' or", consume, { isolation = "dirty" })
		raises("1 or more", consume, { max = -1 })
		raises("name of one", consume, { topic = "" })
		raises("unknown option 'form'", consume, { form = 1 })
		raises("for an iteration", consume, { reuse = true })
		raises("table of options", events.consume, events)
	end))

	it("says which partition has no leader", K.mock({ orders = 2 },
		function(events)
		ckafka.mock_leader(events, "orders", 1, -1)
		local e = raises("server", events.consume, events, { topic = "orders" })
		eq(e.code, "LEADER_NOT_AVAILABLE")
		ok(e.message:find "partition 1 of 'orders' has no leader", e.message)
		eq(#events:consume { topic = "orders", partition = 0 }, 0)
	end))

	it("waits for a partition that its leader has not heard of yet",
		K.mock({ orders = 2 }, function(events)
		local LIST_OFFSETS, UNKNOWN_TOPIC_OR_PART = 2, 3
		events:produce("orders", { "a", "b" }, { partition = 1 })
		ckafka.mock_fail(events, LIST_OFFSETS, 2, UNKNOWN_TOPIC_OR_PART)
		eq(#events:consume { topic = "orders", partition = 1 }, 2)
	end), { plain = true })

	it("ends at a count, a size, a time", K.on(function(events)
		local list = events:consume { topic = filled(events), partition = 0, max = 4 }
		eq(list.reached, "max")
		eq(list.next[0], 4)
		eq(offsets(events:consume { topic = filled(events), from = list.next, max = 1 }),
			"0:4")
		list = events:consume { topic = filled(events), partition = 0, max_bytes = 9 }
		eq(offsets(list), "0:0 0:1")
		local began = timer.now()
		list = events:consume { topic = filled(events), partition = 0, from = 9,
			to = 12, timeout = 0.6 }
		eq(list.reached, "timeout")
		eq(offsets(list), "0:9")
		ok(timer.now() - began < 10)
	end))

	it("has headers, keys and tombstones as they are", K.on(function(events)
		local name = topic(events, K.name "headers", 1)
		write(name, "k:{\"a\": [1, 2.5, null]}\n", "-H", "reason=first", "-H",
			"n=1", "-H", "reason=last", "-H", "none")
		write(name, "dead:\n")
		write(name, ":no key\n")
		local list = events:consume { topic = name }
		eq(#list, 3)
		eq(list[1].headers, { reason = "last", n = "1" })
		eq(list[1].header_list, { { name = "reason", value = "first" },
			{ name = "n", value = "1" }, { name = "reason", value = "last" },
			{ name = "none" } })
		eq(list[2].value, nil)
		eq(list[2].key, "dead")
		eq(list[3].key, nil)
		list[2].headers.x = "1"
		eq(list[3].headers, {})
		local seen = {}
		for m in events:messages { topic = name, reuse = true } do
			if m.offset ~= 1 then seen[#seen + 1] = #m.header_list end
			seen[#seen + 1] = m.headers.reason or "-"
			seen[#seen + 1] = m.key or "-"
		end
		eq(seen, { 4, "last", "k", "-", "dead", 0, "-", "-" })
		local text = show.text(list)
		ok(text:find "partition%s+offset%s+time%s+key%s+value%s+headers", text)
		ok(text:find("reason=first n=1 reason=last none", 1, true), text)
		ok(text:find "%(3 rows%)", text)
		local m = events:consume { topic = name, json = true, max = 1 }[1]
		eq(m.json.a[2], 2.5)
		eq(m.json.a[3], json.null)
		eq(events:consume { topic = name, json = true, from = 1, to = 2 }[1].json,
			nil)
		local e = raises("protocol", events.consume, events, { topic = name,
			json = true })
		ok(e.message:find("value of '" .. name .. "' partition 0 offset 2 is no "
			.. "JSON", 1, true), e.message)
	end))

	it("ends behind what was aborted, at what is not committed", K.on(
		function(events)
		local name, id = topic(events, K.name "tx", 1), K.name "id"
		events:transaction(id, function(tx) tx:produce(name, { "1", "2" }) end)
		pcall(events.transaction, events, id, function(tx)
			tx:produce(name, { "aborted", "too" })
			error "no"
		end)
		-- 0 1 a marker, 3 4 aborted, their marker, which comes after the answer
		local list = settled(events, name, 6)
		eq(offsets(list), "0:0 0:1")
		eq(list.reached, "end")
		eq(offsets(events:consume { topic = name, isolation =
			"read_uncommitted" }), "0:0 0:1 0:3 0:4")
		eq(offsets(events:consume { topic = name, from = 3, timeout = 20 }), "")
		events:transaction(id, function(tx)
			tx:produce(name, { "open" })
			list = events:consume { topic = name, timeout = 20 }
			eq(offsets(list), "0:0 0:1")
			eq(list.reached, "end")
			eq(list.next[0], 6)
		end)
		eq(offsets(settled(events, name, 8)), "0:0 0:1 0:6")
	end))

	it("is a read in a plan too, recorded with its messages and bytes", function()
		K.on(filled)()
		local name = FILLED
		local records = journal.run("plan", function()
			K.at(BROKERS, { mode = "plan" }, function(events)
				eq(#events:consume { topic = name, partition = 0 }, 10)
			end)
		end)
		-- the run that all specs share has ended with it: another one begins
		rawset(package.loaded, "spec.clients.run", nil)
		local found = journal.of(records, "read")
		local last = found[#found]
		eq(last.verb, "consume")
		eq(last.request, name .. " 0 from earliest to end")
		eq(last.count, 10)
		eq(last.bytes, 40)
		eq(last.outcome, "done")
	end)
end)

describe("kafka messages", function()
	it("come one by one", K.on(function(events)
		local seen, first = 0, nil
		for m in events:messages { topic = filled(events) } do
			seen = seen + 1
			first = first or m
			ok(rawequal(m, first) == (seen == 1))
		end
		eq(seen, 11)
		seen = 0
		for m in events:messages { topic = filled(events), reuse = true,
			partition = 0 } do
			seen = seen + 1
			first = seen == 1 and m or first
			ok(rawequal(m, first))
			eq(m.value, "v" .. m.offset)
			eq(m.headers, {})
			m.headers.x = 1
		end
		eq(seen, 10)
	end))

	it("stop when nobody wants them", K.on(function(events)
		local next_, _, _, reader = events:messages { topic = filled(events) }
		ok(next_())
		do local _ <close> = reader end
		eq(next_(), nil)
		for m in events:messages { topic = filled(events) } do
			if m.offset == 0 then break end
		end
		for _ in events:messages { topic = filled(events), from = "latest" } do
			error "nothing is there"
		end
		for _ = 1, 200 do	-- the client's own is left
			if ckafka.handles() == 1 then break end
			task.sleep(0.01)
		end
		eq(ckafka.handles(), 1)
	end))

	it("are followed as they come", K.on(function(events)
		local name = topic(events, K.name "follow", 1)
		events:produce { topic = name, value = "old" }
		local got = {}
		local function new()
			events:produce { topic = name, value = "new" }
		end
		local reading = task.spawn(function()
			for m in events:follow { topic = name, timeout = 20 } do
				got[#got + 1] = m.value
				if #got == 2 then break end
			end
		end)
		local _ <close> = setmetatable({}, { __close = function()
			reading:cancel()
		end })
		for _ = 1, 100 do
			new()
			if #got >= 2 then break end
			task.sleep(0.05)
		end
		reading:wait()
		eq(got, { "new", "new" })
		local began = timer.now()
		for _ in events:follow { topic = name, timeout = 0.3 } do
			error "nothing is there"
		end
		ok(timer.now() - began >= 0.25)
		raises("has no end", function()
			events:follow { topic = name, to = "end" }
		end)
	end))
end)

describe("kafka groups that are joined", function()
	-- {[partition] = committed}
	local function committed(events, group)
		local out = {}
		for _, row in ipairs(ckafka.committed(events, group)) do
			out[row.partition] = row.offset
		end
		return out
	end

	local function until_true(f, what)
		for _ = 1, 300 do
			if f() then return end
			task.sleep(0.05)
		end
		error("not within 15 s: " .. what, 2)
	end

	it("share the partitions, and commit what was dealt with", K.on(
		function(events)
		local name, group = topic(events, K.name "joined", 2), K.name "members"
		events:produce(name, { "a0", "a1" }, { partition = 0 })
		events:produce(name, { "b0", "b1" }, { partition = 1 })
		local first, second = {}, {}
		local function member(into)
			return task.spawn(function()
				for m in events:follow { topic = name, group = group, join = true,
					commit = true, from = "earliest" } do
					into[#into + 1] = m.value
				end
			end)
		end
		local one = member(first)
		until_true(function() return #first == 4 end, "all of it")
		until_true(function()
			local at = committed(events, group)
			return at[0] == 2 and at[1] == 2
		end, "the commit")
		local two = member(second)
		until_true(function()
			return #events:describe_group(group).members == 2
				and events:describe_group(group).state == "Stable"
		end, "the second member")
		-- each message goes to one of them
		local want = 4
		until_true(function()
			events:produce(name, { "a" }, { partition = 0 })
			events:produce(name, { "b" }, { partition = 1 })
			want = want + 2
			return #second > 0 and #first > 4
		end, "both to get some")
		until_true(function() return #first + #second == want end, "all")
		local was = second[#second]
		for _, v in ipairs(second) do eq(v, was) end
		two:cancel()
		pcall(two.wait, two)
		until_true(function()
			return #events:describe_group(group).members == 1
		end, "the second to leave")
		one:cancel()
		pcall(one.wait, one)
		until_true(function()
			return events:describe_group(group).state == "Empty"
		end, "both to leave")
		-- what was handed over last may not have been dealt with
		local left = 0
		for _, row in ipairs(events:lag(group)) do left = left + row.lag end
		ok(left <= 2, left)
	end), { plain = true })

	it("are writes, and asked for", K.on(function(events)
		local function follow(o)
			return function()
				o.topic = filled(events)
				events:follow(o)
			end
		end
		raises("needs the name of a group", follow { join = true })
		raises("needs join = true", follow { commit = true })
		raises("where it has no commit", follow { join = true, group = "g",
			from = 3 })
		raises("where it has no commit", follow { join = true, group = "g",
			partition = 0 })
		raises("join' is for follow", events.consume, events, { topic = filled(events),
			join = true, group = "g" })
	end))

	it("are not joined in a plan, nor where nothing may be written", function()
		local group = K.name "plan"
		for mode, kind in pairs { plan = "withheld", read = "refused" } do
			K.at(BROKERS, { mode = mode }, function(events)
				raises(kind, function()
					local step = events:follow { topic = filled(events),
						join = true, group = group }
					step()
				end)
				for _, g in ipairs(events:groups()) do ok(g.group ~= group) end
			end)
		end
	end)
end)
