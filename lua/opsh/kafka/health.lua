-- kafka.health: how a cluster is, check by check: brokers, the controller, partitions
-- that nobody leads, that have too few replicas in sync, groups that have lost their
-- members. Reads only; one that may not be asked hides no other.
local err = require "opsh.c.err"
local say = require "opsh.kafka.say"
local task = require "opsh.task"
local topics = require "opsh.kafka.topics"

local M = {}

---@class opsh.kafka.check
---@field name string
---@field state "critical"|"warning"|"ok"|"not checked"
---@field value? string
---@field detail? string
---@field next? string

local RANK <const> = { critical = 1, warning = 2, ["not checked"] = 3, ok = 4 }

-- "orders/3, payments/0 and 7 more"
local function names_of(list)
	local shown = table.concat(list, ", ", 1, math.min(#list, 4))
	return #list > 4 and ("%s and %d more"):format(shown, #list - 4) or shown
end

-- Partitions by what is wrong with them.
local function sort_out(meta, only)
	local found = { leaderless = {}, under = {}, total = 0, topics = {} }
	for _, name in ipairs(only or meta.names) do
		for _, p in ipairs(topics.find(meta, name).partitions) do
			found.total = found.total + 1
			local label = name .. "/" .. p.partition
			if p.leader < 0 then
				table.insert(found.leaderless, label)
			end
			if #p.isr < #p.replicas then
				table.insert(found.under, label)
				found.topics[name] = found.topics[name] or {}
				table.insert(found.topics[name], p)
			end
		end
	end
	return found
end

-- Partitions that take no write with acks=all: fewer in sync than min.insync.replicas.
local function below_minimum(client, found, opts)
	local names, list = {}, {}
	for name in pairs(found.topics) do names[#names + 1] = name end
	table.sort(names)
	task.map(names, { limit = 8 }, function(name)
		local least = math.tointeger(tonumber(client:describe(name, opts)
			.config["min.insync.replicas"])) or 1
		for _, p in ipairs(found.topics[name]) do
			if #p.isr < least then
				list[#list + 1] = ("%s/%d (%d of %d)"):format(name, p.partition,
					#p.isr, least)
			end
		end
	end)
	table.sort(list)
	return list
end

local CHECKS <const> = {
	{ "brokers", function(_, at, opts)
		local n, want = #at.meta.brokers, opts.brokers
		-- replicas name brokers that are not there any more
		local known, gone = {}, {}
		for _, b in ipairs(at.meta.brokers) do known[b.id] = true end
		for _, t in pairs(at.meta.topics) do
			for _, p in ipairs(t.partitions) do
				for _, id in ipairs(p.replicas) do
					if not known[id] then gone[id] = true end
				end
			end
		end
		local lost = {}
		for id in pairs(gone) do lost[#lost + 1] = id end
		table.sort(lost)
		local detail = #lost > 0 and "replicas on brokers that are gone: "
			.. table.concat(lost, ", ") or nil
		if want and n < want then
			return "critical", ("%d of %d"):format(n, want), detail,
				"opsh run services/triage"
		end
		return #lost > 0 and "critical" or "ok", tostring(n), detail,
			"opsh run services/triage"
	end },
	{ "controller", function(_, at)
		local id = at.meta.controller
		if not id then return "critical", "none", nil, "opsh run services/logs" end
		-- with KRaft any broker stands for the quorum
		return "ok", "reached by broker " .. id
	end },
	{ "leaders", function(_, at)
		local list = at.found.leaderless
		if #list == 0 then
			return "ok", ("%d partitions, all led"):format(at.found.total)
		end
		return "critical", ("%d of %d partitions have no leader"):format(#list,
			at.found.total), names_of(list), "opsh run kafka/topics state=leaderless"
	end },
	{ "replicas", function(_, at)
		local list = at.found.under
		if #list == 0 then return "ok", "all in sync" end
		return "warning", ("%d of %d partitions are under-replicated"):format(#list,
			at.found.total), names_of(list), "opsh run kafka/topics state=under"
	end },
	{ "minimum in sync", function(client, at, opts)
		local list = below_minimum(client, at.found, { timeout = opts.timeout })
		if #list == 0 then return "ok", "all take writes with acks=all" end
		return "critical", #list .. " partitions refuse writes with acks=all",
			names_of(list), "opsh run services/triage"
	end },
	{ "groups", function(client, _, opts)
		local bad, n = {}, 0
		for _, g in ipairs(client:groups { timeout = opts.timeout }) do
			n = n + 1
			if g.state ~= "Stable" and g.state ~= "Empty" then
				bad[#bad + 1] = ("%s (%s)"):format(g.group, g.state or g.error
					or "?")
			end
		end
		if #bad == 0 then return "ok", n .. " groups" end
		return "warning", #bad .. " are between states", names_of(bad),
			"opsh run kafka/lag"
	end },
	{ "round trip", function(client, _, opts)
		if not opts.probe then return nil end
		local p = client:round_trip { topic = opts.probe, timeout = opts.timeout }
		if p.planned then return "not checked", nil, "a plan writes nothing" end
		return p.total > (opts.slow or 1) and "warning" or "ok",
			("%.0f ms: %.0f to write, %.0f to read"):format(p.total * 1000,
			p.produce * 1000, p.consume * 1000), nil, "opsh run kafka/health"
	end },
}

-- What ends the run instead of being a row.
local function passes_on(e)
	return not err.is(e) or e.kind == "cancelled" or e.kind == "usage"
		or e.kind == "changed" or e.kind == "journal"
end

local function run(check, client, at, opts)
	local ok, state, value, detail, next_ = pcall(check[2], client, at, opts)
	if not ok then
		local e = state
		if passes_on(e) then error(e, 0) end
		-- what was asked for and fails is no "not checked"
		state = check[1] == "round trip" and "critical" or "not checked"
		value, detail, next_ = nil, e.message, nil
	end
	if not state then return nil end
	return { name = check[1], state = state, value = value, detail = detail,
		next = state ~= "ok" and next_ or nil }
end

---All checks, the worst first.
---@param client userdata
---@param opts? {brokers?: integer, topics?: string[], only?: string[], probe?: string, slow?: number, timeout?: number} brokers: so many there have to be; topics: only these; only: names of checks; probe: a topic to write to and read from; slow: seconds
---@return opsh.kafka.check[]
function M.look(client, opts)
	opts = say.options("health", opts, "brokers only probe slow timeout topics")
	local wanted = {}
	for _, name in ipairs(opts.only or {}) do wanted[name] = true end
	local meta = topics.metadata(client, { timeout = opts.timeout })
	local at, rows = { meta = meta, found = sort_out(meta, opts.topics) }, {}
	for n, check in ipairs(CHECKS) do
		local row = (not opts.only or wanted[check[1]])
			and run(check, client, at, opts)
		if row then
			row.at = n
			rows[#rows + 1] = row
		end
	end
	table.sort(rows, function(a, b)
		if a.state ~= b.state then return RANK[a.state] < RANK[b.state] end
		return a.at < b.at
	end)
	for _, row in ipairs(rows) do row.at = nil end
	return rows
end

---One line: "critical: leaders · warning: replicas".
---@param rows opsh.kafka.check[]
---@return string
function M.verdict(rows)
	local parts = {}
	for _, state in ipairs { "critical", "warning", "not checked" } do
		local names = {}
		for _, row in ipairs(rows) do
			if row.state == state then names[#names + 1] = row.name end
		end
		if #names > 0 then
			parts[#parts + 1] = state .. ": " .. table.concat(names, ", ")
		end
	end
	return #parts > 0 and table.concat(parts, " · ")
		or ("all %d well"):format(#rows)
end

return M
