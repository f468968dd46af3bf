-- kafka.groups: methods of a client about consumer groups: which there are, who is
-- in them, what they have committed. Looks from outside: none is ever joined. A
-- group exists for the broker as soon as offsets are set for it, so a name is
-- looked up first.
local again = require "opsh.kafka.again"
local c = require "opsh.c.kafka"
local say = require "opsh.kafka.say"
local task = require "opsh.task"

local M = {}

local AT_ONCE <const> = 500	-- groups described by one request
local ASKED <const> = 32	-- requests on their way

---@class opsh.kafka.member
---@field member_id string
---@field client_id? string
---@field host? string
---@field instance_id? string of a static member
---@field partitions {topic: string, partition: integer}[] that it has now

---@class opsh.kafka.group
---@field group string
---@field state string "Stable", "Empty", "PreparingRebalance", "CompletingRebalance"
---@field members opsh.kafka.member[]
---@field assignor? string
---@field coordinator? integer id of the broker

local function timeout_of(opts) return { timeout = opts.timeout } end

local function tidy(g)
	for _, m in ipairs(g.members) do
		if m.host then m.host = m.host:gsub("^/", "") end
	end
	table.sort(g.members, function(a, b)
		return (a.member_id or "") < (b.member_id or "")
	end)
	g.protocol, g.simple = g.simple and "simple" or "consumer", nil
	return g
end

local look

---Groups by name, those that don't exist with the state "Dead".
---@param client userdata
---@param names string[]
---@param opts? {timeout?: number}
---@return {[string]: opsh.kafka.group}
function M.look(client, names, opts)
	return again.patiently(again.coordinator, opts, function()
		local by, more = look(client, names, opts), false
		for _, g in pairs(by) do
			more = more or again.coordinator[g.error] or false
		end
		return more, by
	end)
end

---All that a group has committed.
---@param client userdata
---@param name string
---@param opts? {timeout?: number}
---@return table[] rows
function M.committed_of(client, name, opts)
	return again.patiently(again.coordinator, opts, function()
		return false, c.committed(client, name, opts)
	end)
end

function look(client, names, opts)
	local parts = {}
	for n = 1, #names, AT_ONCE do
		parts[#parts + 1] = table.move(names, n,
			math.min(n + AT_ONCE - 1, #names), 1, {})
	end
	local by = {}
	for _, list in ipairs(task.map(parts, { limit = 4 }, function(part)
		return c.describe_groups(client, part, opts)
	end)) do
		for _, g in ipairs(list) do by[g.group] = tidy(g) end
	end
	return by
end

---What groups have committed: {[group] = {{topic, partition, offset}, ...}}.
---@param client userdata
---@param names string[]
---@param opts? {timeout?: number}
---@return {[string]: table[]}
function M.committed(client, names, opts)
	local by = {}
	for n, list in ipairs(task.map(names, { limit = ASKED }, function(name)
		return M.committed_of(client, name, opts)
	end)) do
		by[names[n]] = list
	end
	return by
end

---Names of all groups, sorted, and what brokers did not answer.
---@param client userdata
---@param opts? {timeout?: number}
---@return string[] names
---@return string[] errors
---@return table[] rows
function M.names(client, opts)
	local rows, errors = again.patiently(again.coordinator, opts, function()
		local rows, errors = c.groups(client, opts)
		return #errors > 0, rows, errors
	end)
	local names = {}
	for n, row in ipairs(rows) do names[n] = row.group end
	table.sort(names)
	return names, errors, rows
end

---One group with its members and what it has committed; an error with the nearest
---names when there is none.
---@param client userdata
---@param name string
---@param opts? {timeout?: number}
---@return opsh.kafka.group group
---@return table[] committed
function M.find(client, name, opts)
	local by, committed = task.all(function()
		return M.look(client, { name }, opts)
	end, function()
		return M.committed_of(client, name, opts)
	end)
	local g = by[name]
	if g and g.error and g.error ~= "GROUP_ID_NOT_FOUND" then
		say.refuse("group '%s' can't be described: %s", name, g.why or g.error)
	end
	if (not g or g.error or g.state == "Dead") and #committed == 0 then
		say.no_group(name, (M.names(client, opts)))
	end
	return g, committed
end

---Who is in a group, for messages: "rdkafka-1 (client 'app' at 10.0.0.1)".
---@param g opsh.kafka.group
---@return string
function M.who(g)
	local list = {}
	for n, m in ipairs(g.members) do
		if n > 5 then
			list[n] = ("and %d more"):format(#g.members - 5)
			break
		end
		list[n] = ("%s (client '%s' at %s)"):format(m.instance_id or m.member_id,
			m.client_id or "?", m.host or "?")
	end
	return table.concat(list, ", ")
end

local function groups(client, opts)
	opts = say.options("groups", opts, "timeout")
	local names, errors = M.names(client, timeout_of(opts))
	if #errors > 0 then
		say.refuse("%d broker%s did not list groups: %s", #errors,
			#errors == 1 and "" or "s", errors[1])
	end
	local by, rows = #names > 0 and M.look(client, names, timeout_of(opts)) or {},
		{}
	for n, name in ipairs(names) do
		local g = by[name] or { members = {} }
		rows[n] = { group = name, state = g.state, members = #g.members,
			protocol = g.protocol, assignor = g.assignor,
			coordinator = g.coordinator, error = g.error }
	end
	return say.rows(rows, "group state members protocol assignor coordinator error")
end

local function describe_group(client, name, opts)
	say.name("describe_group", name, "group")
	opts = say.options("describe_group", opts, "timeout")
	return (M.find(client, name, timeout_of(opts)))
end

local function delete_group(client, name, opts)
	say.name("delete_group", name, "group")
	opts = say.options("delete_group", opts, "expect timeout")
	local g = M.find(client, name, timeout_of(opts))
	if #g.members > 0 then
		say.refuse("group '%s' has %d live member%s: %s", name, #g.members,
			#g.members == 1 and "" or "s", M.who(g))
	end
	return c.delete_group(client, name,
		{ timeout = opts.timeout, expect = opts.expect })
end

---Puts the methods into the client's.
---@param Client table
function M.install(Client)
	Client.groups, Client.describe_group = groups, describe_group
	Client.delete_group = delete_group
end

return M
