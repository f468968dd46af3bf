-- write: what a Kafka client writes: messages, one or many, and transactions of
-- messages with the offsets that they were made of. Installs methods of the client.
-- Waiting, counting and the boundary are the C module's.
local c = require "opsh.c.kafka"
local err = require "opsh.c.err"

local M = {}

local function usage(fmt, ...)
	error(err.new { kind = "usage", message = fmt:format(...) }, 0)
end

-- {topic=, value=, ..} -> topic, message, options
local MESSAGE <const> = { value = true, key = true, headers = true,
	partition = true, timestamp = true }

local function of_one(t)
	local message, opts = {}, { single = true }
	for name, value in pairs(t) do
		if MESSAGE[name] then
			message[name] = value
		elseif name ~= "topic" then
			opts[name] = value
		end
	end
	if type(t.topic) ~= "string" then
		usage("expected produce { topic = \"NAME\", value = … }, or "
			.. "produce(\"NAME\", { messages })")
	end
	return t.topic, message, opts
end

local function produce(client, tx, topic, list, opts)
	if type(topic) == "table" then
		local message
		topic, message, opts = of_one(topic)
		list = { message }
	elseif type(list) ~= "table" then
		usage("expected a list of messages after the topic '%s'",
			tostring(topic))
	elseif opts and opts.single ~= nil then
		usage "unknown option 'single'"
	end
	return c.produce(client, topic, list, opts, tx)
end

-- --- transactions -------------------------------------------------------------

---@class opsh.kafka.transaction
local Tx = {}
Tx.__index = Tx

---As of the client; what it writes counts when the transaction is committed.
---@param topic string|table
---@param list? (string|table)[]
---@param opts? {partition?: integer, timeout?: number, errors?: "keep", expect?: any}
---@return opsh.kafka.produced
function Tx:produce(topic, list, opts)
	return produce(self.client, self.tx, topic, list, opts)
end

---Commits a group's offsets with the transaction: what it has read and will not read
---again. offset: of the next message to be read.
---@param group string
---@param list {topic: string, partition: integer, offset: integer}[]
---@param opts? {timeout?: number}
---@return {ok: boolean, count: integer}
function Tx:offsets(group, list, opts)
	return c.tx_offsets(self.client, self.tx, group, list, opts)
end

-- --- the client's methods -------------------------------------------------------

---@param Client opsh.kafka.client its table of methods
---@param words table<string, function> of `events "produce TOPIC VALUE"`
function M.install(Client, words)
	---Writes one message or many; returns when the brokers have said of each what
	---became of it (acks=all, idempotent: none is written twice). A topic that is
	---not there is an error, none is made. One that is not written raises, with the
	---counts in the error (done, failed, unknown); errors = "keep" returns them.
	---
	---    events:produce { topic = "orders", key = "7", value = "…",
	---        headers = { origin = "ops" } }
	---    events:produce("orders", { "one", "two", { key = "3", value = "three" } })
	---@param topic string|{topic: string, value?: string, key?: string, headers?: table, partition?: integer, timestamp?: number, timeout?: number}
	---@param list? (string|{value?: string, key?: string, headers?: table, partition?: integer, timestamp?: number})[] headers: {name = value} or a list of {name, value}; no value: a tombstone
	---@param opts? {partition?: integer, timeout?: number, errors?: "keep", expect?: any}
	---@return opsh.kafka.produced
	function Client:produce(topic, list, opts)
		return produce(self, nil, topic, list, opts)
	end

	words.produce = function(client, args, opts)
		opts.topic = opts.topic or args[1]
		if opts.value == nil then opts.value = args[2] end
		for _, name in ipairs { "value", "key" } do
			opts[name] = opts[name] ~= nil and tostring(opts[name]) or nil
		end
		return client:produce(opts)
	end

	---Runs f(tx): all that it writes by tx:produce and tx:offsets counts together
	---when f returns, or not at all when it raises. Whoever begins a transaction of
	---the same id ends the other one: that raises kind busy. When the reply to the
	---commit is lost the outcome is unknown.
	---
	---    events:transaction("replay-1", function(tx)
	---        tx:produce("orders", messages)
	---        tx:offsets("replay", { { topic = "dlq", partition = 0, offset = 7 } })
	---    end)
	---@param id string transactional id
	---@param f fun(tx: opsh.kafka.transaction)
	---@param opts? {timeout?: number} of its beginning and its commit
	---@return {ok: boolean, id: string}
	function Client:transaction(id, f, opts)
		local handle <close> = c.tx_new(self, id)
		-- aborts what has not ended, also on Ctrl-C
		local _ <close> = setmetatable({}, { __close = function()
			pcall(c.tx_abort, self, handle, opts)
		end })
		c.tx_begin(self, handle, opts)
		f(setmetatable({ client = self, tx = handle, id = id }, Tx))
		return c.tx_commit(self, handle, opts)
	end
end

---@class opsh.kafka.produced
---@field done integer
---@field failed integer
---@field unknown integer
---@field count integer as done
---@field ok boolean
---@field topic string
---@field partitions table<integer, {count: integer, first?: integer, last?: integer}>
---@field partition? integer of a single message
---@field offset? integer of a single message

return M
