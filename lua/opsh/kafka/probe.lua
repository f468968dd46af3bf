-- kafka.probe: does a message come through? One is written to a topic of its own and
-- read back from where it was put, by assignment. Writes to that topic alone; joins
-- no group.
local say = require "opsh.kafka.say"
local task = require "opsh.task"

local M = {}

---@class opsh.kafka.probe
---@field ok boolean
---@field topic string
---@field partition integer
---@field offset integer
---@field produce number seconds until the brokers had it
---@field consume number seconds until it was read
---@field total number

local number = 0

---Writes a message and reads it back. In a plan it is withheld.
---@param client userdata
---@param opts? {topic?: string, partition?: integer, timeout?: number} topic: "opsh-probe", which must exist
---@return opsh.kafka.probe
local function round_trip(client, opts)
	opts = say.options("round_trip", opts, "partition timeout topic")
	local topic, timeout = opts.topic or "opsh-probe", opts.timeout or 10
	number = number + 1
	local value = ("probe %d %.6f"):format(number, task.now())
	local began = task.now()
	local sent = client:produce { topic = topic, value = value, key = "opsh",
		partition = opts.partition, timeout = timeout,
		expect = { planned = true } }
	if sent.planned then return sent end
	local produced = task.now()
	local left = math.max(timeout - (produced - began), 0.1)
	local got = client:consume { topic = topic, partition = sent.partition,
		from = sent.offset, max = 1, to = sent.offset + 1, timeout = left }
	local ended = task.now()
	if not got[1] or got[1].value ~= value then
		say.differs("what was written to '%s' %d at %d %s", topic, sent.partition,
			sent.offset, got[1] and "is not what is there"
			or ("was not read within %.3g s"):format(left))
	end
	return { ok = true, topic = topic, partition = sent.partition,
		offset = sent.offset, produce = produced - began,
		consume = ended - produced, total = ended - began }
end

M.round_trip = round_trip

---Puts the method into the client's.
---@param Client table
function M.install(Client)
	Client.round_trip = round_trip
end

return M
