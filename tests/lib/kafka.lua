-- kafka: what the specs of Kafka share: clients.lua for kind kafka, on the broker of
-- the stack or, as a mock, on librdkafka's own; nothing of librdkafka lives on after
-- a test. Loaded with dofile. Owns no topic: those of a test have a name of their own.
local kafka = require "opsh.kafka"
local ckafka = require "opsh.c.kafka"
local err = require "opsh.c.err"
local task = require "opsh.task"

local M = dofile "tests/lib/clients.lua"(kafka.kind, "events", "OPSH_KAFKA_URL")

-- librdkafka's handles end beside the program: waits for that.
function M.settle()
	for _ = 1, 400 do
		collectgarbage()
		if ckafka.handles() == 0 then return end
		task.sleep(0.01)
	end
	error(("%d handles of librdkafka have not ended"):format(ckafka.handles()), 0)
end

-- f(client, target) with options and mode, as M.with of clients.lua.
function M.at(brokers, opts, f)
	local own = { brokers = brokers }
	for k, v in pairs(opts or {}) do own[k] = v end
	local _ <close> = setmetatable({}, { __close = M.settle })
	return M.with(nil, own, f)
end

-- A body for `it`: f on the broker of the stack.
function M.on(f)
	return function() return M.at(os.getenv "OPSH_KAFKA_BROKERS", nil, f) end
end

-- A body for `it`: f on a mock cluster of three, with these topics {name = partitions}.
function M.mock(topics, f)
	return function()
		return M.at("mock://3", nil, function(client, target)
			for name, partitions in pairs(topics) do
				ckafka.mock_topic(client, name, partitions, 3)
			end
			return f(client, target)
		end)
	end
end

-- The topic, made when it is not there (a sweep comes by often); its name.
function M.topic(events, name, opts)
	local fine, e = pcall(events.create_topic, events, name, opts)
	if not fine and not (err.is(e) and e.code == "TOPIC_ALREADY_EXISTS") then
		error(e, 0)
	end
	return name
end

local count = 0

-- A topic's name that no other test has.
function M.name(of)
	count = count + 1
	return ("%s-%d-%d"):format(of or "t", math.random(1e9), count)
end

return M
