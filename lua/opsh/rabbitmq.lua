-- rabbitmq: a broker by its management API: overview, nodes, queues with depths and
-- rates, consumers, bindings, policies, connections; publish, look at messages,
-- purge. Works on an http client that it is given (user and password stand with the
-- target). Looking at a message is a write: the broker hands it out and takes it
-- back, marked as redelivered. Numbers are the broker's statistics, seconds old.
local err = require "opsh.c.err"

local M = {}

---@class opsh.rabbitmq
local Rabbitmq = {}
Rabbitmq.__index = Rabbitmq

-- A queue. Counts are nil until the broker has made its first statistics of it.
---@class opsh.rabbitmq.queue
---@field name string
---@field vhost string
---@field type string classic, quorum, stream
---@field state string running, idle, down ...
---@field messages? integer ready and unacked
---@field ready? integer
---@field unacked? integer
---@field consumers? integer
---@field publish_rate number messages a second
---@field deliver_rate number
---@field ack_rate number
---@field redeliver_rate number of those delivered, the ones delivered before
---@field growth number of the depth, a second
---@field memory? integer bytes
---@field policy? string
---@field arguments table

-- A message as `get` hands it out.
---@class opsh.rabbitmq.message
---@field payload string
---@field encoding "string"|"base64" of payload: base64 when it is not UTF-8
---@field bytes integer
---@field exchange string "" is the default one
---@field routing_key string
---@field redelivered boolean it was handed out before
---@field deliveries? integer how often, in a quorum queue
---@field deaths integer how often it was dead-lettered (x-death)
---@field properties table as the API gives them; headers among them
---@field remaining integer ready messages that were left behind it

local function usage(fmt, ...)
	error(err.new { kind = "usage", message = fmt:format(...) }, 0)
end

local function only(opts, what, names)
	for key in pairs(opts or {}) do
		if not names[key] then
			usage("%s: unknown option '%s'", what, tostring(key))
		end
	end
	return opts or {}
end

local function encode(name)
	return (name:gsub("[^%w%-._~]", function(c)
		return ("%%%02X"):format(c:byte())
	end))
end

-- /api/KIND/VHOST/NAME/...; every part but the first is encoded.
local function path_of(kind, ...)
	local parts = { "/api", kind }
	for n = 1, select("#", ...) do
		local part = select(n, ...)
		if type(part) ~= "string" then
			usage("expected a name, got %s", type(part))
		end
		parts[#parts + 1] = encode(part)
	end
	return table.concat(parts, "/")
end

-- Raises unless the status is one of these.
local function demand(response, op, ...)
	for n = 1, select("#", ...) do
		if response.status == select(n, ...) then return response end
	end
	local fine, body = pcall(function() return response.json end)
	local reason = fine and type(body) == "table" and (body.reason or body.error)
	error(err.new { kind = response.status == 401 and "auth" or "server", op = op,
		code = tostring(response.status), outcome = "failed",
		message = reason and ("status %d: %s"):format(response.status,
			tostring(reason)) or ("status %d"):format(response.status) }, 0)
end

local function read(self, op, path, query)
	return demand(self.client:get(path, { query = query,
		expect = "any" }), op, 200).json
end

-- A list, of one virtual host or of all.
local function list(self, op, opts)
	opts = only(opts, op, { vhost = true })
	return read(self, op, opts.vhost and path_of(op, opts.vhost)
		or path_of(op))
end

---The client of a broker's management API.
---
---Example:
---  local mq = rabbitmq.of(system.target "queue")
---@param client any an http client with user and password
---@return opsh.rabbitmq
function M.of(client)
	if type(client) ~= "table" and type(client) ~= "userdata" then
		usage("rabbitmq.of: expected an http client, got %s", type(client))
	end
	return setmetatable({ client = client }, Rabbitmq)
end

---What the broker says of itself, as the API gives it: versions, totals, rates,
---listeners.
---@return table
function Rabbitmq:overview()
	return read(self, "overview", "/api/overview")
end

---Its nodes: memory and disk with their alarms, file descriptors, partitions.
---@return {name: string, running: boolean, memory: integer, memory_limit: integer, memory_alarm: boolean, disk_free: integer, disk_limit: integer, disk_alarm: boolean, descriptors: integer, descriptors_limit: integer, partitions: string[]}[]
function Rabbitmq:nodes()
	local rows = {}
	for n, node in ipairs(read(self, "nodes", "/api/nodes")) do
		rows[n] = { name = node.name, running = node.running,
			memory = node.mem_used, memory_limit = node.mem_limit,
			memory_alarm = node.mem_alarm, disk_free = node.disk_free,
			disk_limit = node.disk_free_limit,
			disk_alarm = node.disk_free_alarm, descriptors = node.fd_used,
			descriptors_limit = node.fd_total,
			partitions = node.partitions or {} }
	end
	return rows
end

local function rate(of, name)
	local details = of and of[name .. "_details"]
	return details and details.rate or 0
end

local function queue_of(q)
	local stats = q.message_stats
	return { name = q.name, vhost = q.vhost, type = q.type or "classic",
		state = q.state or "unknown", messages = q.messages,
		ready = q.messages_ready, unacked = q.messages_unacknowledged,
		consumers = q.consumers, publish_rate = rate(stats, "publish"),
		deliver_rate = rate(stats, "deliver_get"),
		ack_rate = rate(stats, "ack"),
		redeliver_rate = rate(stats, "redeliver"),
		growth = rate(q, "messages"), memory = q.memory, policy = q.policy,
		arguments = q.arguments or {}, durable = q.durable,
		idle_since = q.idle_since, stats = stats }
end

---The queues of a virtual host, or of all.
---
---Example:
---  for _, q in ipairs(mq:queues()) do print(q.name, q.messages) end
---@param opts? {vhost?: string}
---@return opsh.rabbitmq.queue[]
function Rabbitmq:queues(opts)
	local rows = {}
	for n, q in ipairs(list(self, "queues", opts)) do rows[n] = queue_of(q) end
	return rows
end

---One queue; nil when there is none of this name. `consumer_details` as the API
---gives them.
---@param name string
---@param opts? {vhost?: string} default "/"
---@return opsh.rabbitmq.queue?
function Rabbitmq:queue(name, opts)
	opts = only(opts, "queue", { vhost = true })
	local response = demand(self.client:get(path_of("queues",
		opts.vhost or "/", name), { expect = "any" }), "queue", 200, 404)
	if response.status == 404 then return nil end
	local row = queue_of(response.json)
	row.consumer_details = response.json.consumer_details or {}
	return row
end

---Who consumes: queue, tag, prefetch, whether by acknowledgement, and from where.
---@param opts? {vhost?: string}
---@return {queue: string, vhost: string, tag: string, prefetch: integer, ack: boolean, active: boolean, connection?: string, peer?: string, user?: string}[]
function Rabbitmq:consumers(opts)
	local rows = {}
	for n, c in ipairs(list(self, "consumers", opts)) do
		local channel = c.channel_details or {}
		rows[n] = { queue = c.queue.name, vhost = c.queue.vhost,
			tag = c.consumer_tag, prefetch = c.prefetch_count,
			ack = c.ack_required, active = c.active ~= false,
			connection = channel.connection_name, user = channel.user,
			peer = channel.peer_host }
	end
	return rows
end

---The bindings, as the API gives them: source, destination, destination_type,
---routing_key, arguments.
---@param opts? {vhost?: string}
---@return table[]
function Rabbitmq:bindings(opts)
	return list(self, "bindings", opts)
end

---The policies, as the API gives them: name, vhost, pattern, priority, definition.
---@param opts? {vhost?: string}
---@return table[]
function Rabbitmq:policies(opts)
	return list(self, "policies", opts)
end

---The connections: who, from where, how many channels, blocked or not.
---@return {name: string, user: string, vhost: string, peer?: string, state: string, channels: integer, client?: string}[]
function Rabbitmq:connections()
	local rows = {}
	for n, c in ipairs(read(self, "connections", "/api/connections")) do
		local properties = c.client_properties or {}
		rows[n] = { name = c.name, user = c.user, vhost = c.vhost,
			peer = c.peer_host, state = c.state, channels = c.channels or 0,
			client = properties.connection_name or properties.product }
	end
	return rows
end

-- --- writes ------------------------------------------------------------------

---Declares a queue, as it is or new. A write. Raises kind server when one of this
---name differs.
---@param name string
---@param opts? {vhost?: string, durable?: boolean, arguments?: table} durable by default
function Rabbitmq:declare(name, opts)
	opts = only(opts, "declare", { vhost = true, durable = true,
		arguments = true })
	local body = { durable = opts.durable ~= false, auto_delete = false,
		arguments = opts.arguments }
	return self.client:put(path_of("queues", opts.vhost or "/", name),
		{ json = body, expect = { 201, 204 } })
end

---Publishes one message; the result's json.routed says whether a queue took it.
---A write that is never sent twice.
---
---Example:
---  mq:publish("orders", "hello", { headers = { origin = "ops" } })
---@param key string routing key; the queue's name for the default exchange
---@param payload string
---@param opts? {vhost?: string, exchange?: string, properties?: table, headers?: table, encoding?: "string"|"base64"}
---@return table result
function Rabbitmq:publish(key, payload, opts)
	opts = only(opts, "publish", { vhost = true, exchange = true,
		properties = true, headers = true, encoding = true })
	local properties = {}
	for name, value in pairs(opts.properties or {}) do
		properties[name] = value
	end
	if opts.headers then properties.headers = opts.headers end
	return self.client:post(path_of("exchanges", opts.vhost or "/",
		opts.exchange and opts.exchange ~= "" and opts.exchange
		or "amq.default") .. "/publish", { expect = 200,
		expect_result = { status = 200, json = { routed = true } },
		json = { properties = properties, routing_key = key, payload = payload,
			payload_encoding = opts.encoding or "string" } })
end

-- How often it was dead-lettered, by all entries of x-death.
local function deaths_of(headers)
	local sum = 0
	for _, death in ipairs(headers["x-death"] or {}) do
		sum = sum + (tonumber(death.count) or 1)
	end
	return sum
end

local function message_of(m)
	local properties = m.properties or {}
	local headers = properties.headers or {}
	return { payload = m.payload, encoding = m.payload_encoding,
		bytes = m.payload_bytes, exchange = m.exchange,
		routing_key = m.routing_key, redelivered = m.redelivered,
		deliveries = tonumber(headers["x-delivery-count"]),
		deaths = deaths_of(headers), properties = properties,
		remaining = m.message_count }
end

---Takes messages from the head of a queue, and by default puts them back where they
---were. Either way it is a write: put back, they are marked as redelivered (and in a
---quorum queue counted as delivered once more, which its delivery limit may end);
---with `requeue = false` they are gone, and that is destructive. A plan withholds it
---and goes on with `expect`.
---
---Example:
---  local sample = mq:get("orders", { count = 5, expect = {} })
---@param queue string
---@param opts? {vhost?: string, count?: integer, requeue?: boolean, expect?: opsh.rabbitmq.message[]}
---@return opsh.rabbitmq.message[]
function Rabbitmq:get(queue, opts)
	opts = only(opts, "get", { vhost = true, count = true, requeue = true,
		expect = true })
	local requeue = opts.requeue ~= false
	local response = self.client:post(path_of("queues", opts.vhost or "/", queue,
		"get"), { effect = requeue and "write" or "destructive", expect = 200,
		expect_result = opts.expect and { status = 200, json = opts.expect },
		json = { count = opts.count or 1, encoding = "auto",
			ackmode = requeue and "ack_requeue_true" or "ack_requeue_false" } })
	local rows = {}
	for n, m in ipairs(response.json) do rows[n] = message_of(m) end
	return rows
end

---Removes every ready message of a queue; unacknowledged ones stay. Destructive.
---@param queue string
---@param opts? {vhost?: string}
---@return table result
function Rabbitmq:purge(queue, opts)
	opts = only(opts, "purge", { vhost = true })
	return self.client:delete(path_of("queues", opts.vhost or "/", queue,
		"contents"), { expect = 204 })
end

---Removes a queue with all that is in it. Destructive.
---@param queue string
---@param opts? {vhost?: string, if_empty?: boolean, if_unused?: boolean}
---@return table result
function Rabbitmq:delete(queue, opts)
	opts = only(opts, "delete", { vhost = true, if_empty = true,
		if_unused = true })
	return self.client:delete(path_of("queues", opts.vhost or "/", queue),
		{ expect = 204, query = {
			["if-empty"] = opts.if_empty and "true" or nil,
			["if-unused"] = opts.if_unused and "true" or nil } })
end

-- --- arithmetic --------------------------------------------------------------

---Seconds until a queue is empty at the rates it has now: 0 when it is, nil when it
---does not shrink.
---@param queue opsh.rabbitmq.queue
---@return number?
function M.time_to_drain(queue)
	if (queue.messages or 0) == 0 then return 0 end
	local shrinks = queue.ack_rate > 0 and queue.ack_rate - queue.publish_rate
		or -queue.growth
	return shrinks > 0 and queue.messages / shrinks or nil
end

-- Headers that the broker itself changes while a message goes round.
local CHANGING <const> = { ["x-delivery-count"] = true, ["x-death"] = true }

---A text that is equal for the same message seen twice: its id when it has one,
---else routing, payload and headers, less what the broker changes.
---@param message opsh.rabbitmq.message
---@return string
function M.fingerprint(message)
	local properties = message.properties or {}
	if properties.message_id then
		return "id:" .. tostring(properties.message_id)
	end
	local parts = {}
	for name, value in pairs(properties.headers or {}) do
		if not CHANGING[name] and not name:find "^x%-first%-death" then
			parts[#parts + 1] = ("%q=%q"):format(name, tostring(value))
		end
	end
	table.sort(parts)
	table.insert(parts, 1, ("%q %q %q"):format(message.exchange,
		message.routing_key, message.payload))
	return table.concat(parts, " ")
end

---A short name of a message for people to type: 16 hex digits (FNV-1a) of its
---fingerprint. It tells messages apart, it protects nothing.
---@param message opsh.rabbitmq.message
---@return string
function M.id(message)
	local hash = 0xcbf29ce484222325
	local text = M.fingerprint(message)
	for n = 1, #text do
		hash = (hash ~ text:byte(n)) * 0x100000001b3
	end
	return ("%016x"):format(hash)
end

return M
