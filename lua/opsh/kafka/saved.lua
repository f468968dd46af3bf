-- kafka.saved: what is needed to make topics again, as plain data: partitions,
-- replicas and the settings that are the topic's own. Taken from a cluster, written
-- to and read from a file, compared with what a cluster has. Messages and offsets
-- are not in it: a topic made again is empty.
local fs = require "opsh.fs"
local json = require "opsh.json"
local say = require "opsh.kafka.say"
local task = require "opsh.task"

local M = {}

local FORMAT <const> = "opsh kafka topics 1"

---@class opsh.kafka.saved
---@field format string
---@field cluster_id? string
---@field taken string when, ISO 8601, UTC
---@field topics {topic: string, partitions: integer, replication: integer, config: {[string]: string}}[]

---What topics are, to be kept; of all but Kafka's own, or of those named.
---@param client userdata
---@param names? string[]
---@param opts? {timeout?: number}
---@return opsh.kafka.saved
function M.take(client, names, opts)
	opts = say.options("saved.take", opts, "timeout")
	local given = { timeout = opts.timeout }
	if not names then
		names = {}
		for n, row in ipairs(client:topics(given)) do names[n] = row.topic end
	end
	return { format = FORMAT, cluster_id = client:identity(given).cluster_id,
		taken = os.date "!%Y-%m-%dT%H:%M:%SZ",
		topics = task.map(names, { limit = 8 }, function(name)
			local d = client:describe(name, given)
			return { topic = name, partitions = #d.partitions,
				replication = d.replication, config = d.dynamic }
		end) }
end

local function check(topic, n)
	local fine = type(topic) == "table" and type(topic.topic) == "string"
		and math.type(topic.partitions) == "integer" and topic.partitions >= 1
		and math.type(topic.replication) == "integer"
		and (topic.config == nil or type(topic.config) == "table")
	if not fine then
		say.usage("topic %d of the description is wrong: topic, partitions, "
			.. "replication and config are needed", n)
	end
	topic.config = topic.config or {}
	return topic
end

---The description in a file, checked.
---@param path string
---@return opsh.kafka.saved
function M.read(path)
	local fine, all = pcall(json.decode, fs.read(path, { max = 64 << 20 }))
	if not fine or type(all) ~= "table" or all.format ~= FORMAT
		or type(all.topics) ~= "table" then
		say.usage("'%s' is no saved description of topics (\"format\": \"%s\")",
			path, FORMAT)
	end
	for n, topic in ipairs(all.topics) do check(topic, n) end
	return all
end

---Writes a description to a file.
---@param path string
---@param saved opsh.kafka.saved
---@return table result
function M.write(path, saved)
	return fs.write(path, json.encode(saved) .. "\n", { mode = "0600" })
end

-- "retention.ms: 1000 -> 2000"; nil when they agree.
local function differences(d, want)
	local list = {}
	if #d.partitions ~= want.partitions then
		list[1] = ("partitions: %d, saved %d"):format(#d.partitions,
			want.partitions)
	end
	if d.replication ~= want.replication then
		list[#list + 1] = ("replication: %d, saved %d"):format(d.replication,
			want.replication)
	end
	local names = {}
	for name in pairs(want.config) do names[#names + 1] = name end
	for name in pairs(d.dynamic) do
		if want.config[name] == nil then names[#names + 1] = name end
	end
	table.sort(names)
	for _, name in ipairs(names) do
		if d.dynamic[name] ~= want.config[name] then
			list[#list + 1] = ("%s: %s, saved %s"):format(name,
				d.dynamic[name] or "default", want.config[name] or "default")
		end
	end
	return #list > 0 and table.concat(list, "; ") or nil
end

---What a cluster has of a description.
---@param client userdata
---@param saved opsh.kafka.saved
---@param opts? {timeout?: number}
---@return {topic: string, state: "missing"|"same"|"different", detail?: string, want: table}[]
function M.compare(client, saved, opts)
	opts = say.options("saved.compare", opts, "timeout")
	local there, given = {}, { timeout = opts.timeout }
	for _, row in ipairs(client:topics(given)) do there[row.topic] = true end
	return task.map(saved.topics, { limit = 8 }, function(want)
		if not there[want.topic] then
			return { topic = want.topic, state = "missing", want = want,
				detail = ("%d partitions, %d replicas"):format(want.partitions,
					want.replication) }
		end
		local detail = differences(client:describe(want.topic, given), want)
		return { topic = want.topic, state = detail and "different" or "same",
			detail = detail, want = want }
	end)
end

---Makes a topic as it is described.
---@param client userdata
---@param want {topic: string, partitions: integer, replication: integer, config: {[string]: string}}
---@param opts? {replication?: integer, timeout?: number} replication: over the saved one
---@return table result
function M.create(client, want, opts)
	opts = say.options("saved.create", opts, "replication timeout")
	return client:create_topic(want.topic, { partitions = want.partitions,
		replication = opts.replication or want.replication, config = want.config,
		timeout = opts.timeout })
end

return M
