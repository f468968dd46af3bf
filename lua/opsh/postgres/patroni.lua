-- patroni: a failover of a pair that Patroni manages: its members as it sees them, the
-- switchover or failover asked for over its REST API, and what became of that when the
-- reply was lost. Fencing and promotion are Patroni's; checks before and proof after
-- are those of any failover. Promotes nothing itself.
local err = require "opsh.c.err"
local task = require "opsh.task"

local M = {}

---@class opsh.postgres.patroni
---@field members {name: string, role: string, state: string, host: string, port: integer, timeline?: integer, lag?: integer}[]
---@field paused boolean nobody is promoted by it
---@field synchronous boolean only a synchronous standby may be switched over to
---@field leader? string

---What GET /cluster and GET /config say, in a common form.
---@param json table
---@param config? table
---@return opsh.postgres.patroni
function M.read(json, config)
	local mode = (config or {}).synchronous_mode
	local out = { members = {}, paused = json.pause == true,
		synchronous = mode == true or mode == "on" or mode == "quorum" }
	for n, m in ipairs(json.members or {}) do
		out.members[n] = { name = m.name, role = m.role, state = m.state,
			host = m.host, port = math.tointeger(tonumber(m.port)),
			timeline = m.timeline, lag = math.tointeger(tonumber(m.lag)) }
		if m.role == "leader" or m.role == "master"
			or m.role == "standby_leader" then
			out.leader = m.name
		end
	end
	return out
end

---Asks a node.
---@param client opsh.http.client
---@return opsh.postgres.patroni
function M.cluster(client)
	return M.read(client:get("/cluster", { expect = 200, timeout = 10 }).json,
		client:get("/config", { expect = 200, timeout = 10 }).json)
end

---The member at an address "host:port"; nil when none is there.
---@param cluster opsh.postgres.patroni
---@param address string?
---@return table? member
function M.member(cluster, address)
	for _, m in ipairs(cluster.members) do
		if ("%s:%d"):format(m.host, m.port or 0) == address then return m end
	end
	return nil
end

---What is against it, as Patroni sees its members.
---@param cluster opsh.postgres.patroni
---@param from table? the member that is to be left
---@param to table? the one to be promoted
---@param mode "planned"|"emergency"
---@return string[]
function M.judge(cluster, from, to, mode)
	local out = {}
	local function refuse(fmt, ...) out[#out + 1] = fmt:format(...) end
	if cluster.paused then
		refuse "Patroni is paused: it promotes nobody (patronictl resume)"
	end
	if not to then
		refuse "the standby is no member of Patroni's cluster"
		return out
	elseif cluster.leader == to.name then
		return out
	end
	if mode == "planned" and (not from or cluster.leader ~= from.name) then
		refuse("Patroni's leader is '%s', not the primary", tostring(cluster.leader))
	end
	if to.state ~= "running" and to.state ~= "streaming" then
		refuse("member '%s' is %s", to.name, to.state)
	end
	if mode == "planned" and cluster.synchronous and to.role ~= "sync_standby"
		and to.role ~= "quorum_standby" then
		refuse("member '%s' is no synchronous standby now (%s), and Patroni switches "
			.. "over to no other: wait until it has caught up", to.name, to.role)
	end
	return out
end

-- Asks until the candidate leads, or time is up: nil then.
local function settle(client, name, seconds)
	local until_ = task.now() + seconds
	local why
	while true do
		local ok, c = pcall(M.cluster, client)
		if ok and c.leader == name then
			for _, m in ipairs(c.members) do
				if m.name == name and m.state == "running" then return true end
			end
			why = "it is not running yet"
		elseif ok then
			why = "the leader is " .. tostring(c.leader)
		elseif not err.is(c) or c.kind == "cancelled" then
			error(c, 0)
		else
			why = c.message
		end
		if task.now() >= until_ then return nil, why end
		task.sleep(0.3)
	end
end

---Whether the candidate leads; nil: it can't be told, it still may.
---@param client opsh.http.client
---@param to table member
---@param seconds number
---@return boolean? leads, string? why
function M.probe(client, to, seconds) return settle(client, to.name, seconds) end

---Has Patroni make this member the leader; returns when it is. Raises kind unknown when
---that may still happen.
---@param client opsh.http.client
---@param from table? member; nil: whoever leads
---@param to table member
---@param mode "planned"|"emergency"
---@param seconds number
---@return {how: string}
function M.switch(client, from, to, mode, seconds)
	local path = mode == "planned" and "/switchover" or "/failover"
	local ok, r = pcall(client.post, client, path, { json = { candidate = to.name,
		leader = mode == "planned" and from.name or nil }, expect = { 200, 202 },
		effect = "destructive", timeout = seconds,
		expect_result = { status = 200 } })
	if require("opsh.c.effect").mode() == "plan" then return { how = "planned" } end
	if not ok and (not err.is(r) or r.kind == "cancelled"
		or r.outcome ~= "unknown") then
		error(r, 0)
	end
	local how = ok and "answered" or "its reply was lost: " .. r.message
	local leads, why = settle(client, to.name, seconds)
	if not leads then
		error(err.new { kind = "unknown", code = "PROMOTE", outcome = "unknown",
			op = path, message = ("it is not known whether Patroni promotes '%s' "
			.. "(%s)"):format(to.name, why or "?"), hint = "look at GET /cluster; "
			.. "ask for nothing else before that is known" }, 0)
	end
	return { how = how }
end

return M
