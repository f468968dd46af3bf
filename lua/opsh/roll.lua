-- roll: what the playbooks that restart, roll and scale share: how services stand
-- before and after, waiting until one is well again (its instances ready, then its
-- own health), and the watch on the error rate that stops the rest. Drives
-- nothing by itself; what is written, the playbooks write.
local effect = require "opsh.c.effect"
local err = require "opsh.c.err"
local errorrate = require "opsh.errorrate"
local health = require "opsh.health"
local orchestrator = require "opsh.orchestrator"
local service = require "opsh.service"
local task = require "opsh.task"

local M = {}

-- How one service stands.
---@class opsh.roll.row
---@field service string of the targets file
---@field unit string as the orchestrator calls it
---@field instances integer
---@field ready integer
---@field running integer
---@field state string its instances in a word
---@field health? string what it says itself
---@field names string[] of its running instances

---Is this a plan? Then nothing changed that could be waited for.
---@return boolean
function M.is_plan()
	return effect.mode() == "plan"
end

---The services by these names with what the orchestrator calls them, in the order
---they depend on each other. Raises kind check for one that it does not know.
---@param system table
---@param o opsh.orchestrator
---@param kind string
---@param names string[]
---@return {name: string, def: table, unit: string}[]
function M.resolve(system, o, kind, names)
	local known, list = {}, o:services()
	for _, name in ipairs(list) do known[name] = true end
	local status = o:status()
	local out, wanted, all = {}, {}, service.list(system)
	for _, s in ipairs(service.named(system, names)) do
		wanted[s.name] = true
		if not system.services[s.name] then all[#all + 1] = s end
	end
	-- all of them: what is between two that are wanted joins them
	for _, s in ipairs(service.order(all)) do
		local unit = service.resolve(s, kind, status)
		if wanted[s.name] and not known[unit] then
			error(err.new { kind = "check", message = ("the orchestrator has no "
				.. "service '%s' (it has: %s)"):format(unit,
				table.concat(list, ", ")) }, 0)
		end
		if wanted[s.name] then
			out[#out + 1] = { name = s.name, def = s.def, unit = unit }
		end
	end
	return out
end

---How these services stand now.
---@param system table
---@param o opsh.orchestrator
---@param services {name: string, def: table, unit: string}[]
---@param timeout? number of a health request (2)
---@return opsh.roll.row[]
function M.look(system, o, services, timeout)
	local units = {}
	for n, s in ipairs(services) do units[n] = s.unit end
	local status = o:status(units)
	return task.map(services, function(s)
		local rows = {}
		for _, row in ipairs(status) do
			if row.service == s.unit then rows[#rows + 1] = row end
		end
		rows = service.staying(rows)
		local text, ready = service.summary(rows)
		local out = { service = s.name, unit = s.unit, instances = #rows,
			ready = ready, running = 0, state = text or "none", names = {} }
		for _, row in ipairs(rows) do
			if row.state ~= "missing" and row.state ~= "exited"
				and row.state ~= "failed" and not row.leaving then
				out.running = out.running + 1
				table.insert(out.names, row.name)
			end
		end
		if s.def.target then
			local h = health.check(system, s, { timeout = timeout or 2 })
			out.health = h.state .. (h.state ~= "up" and ": " .. h.detail or "")
		end
		return out
	end)
end

---Waits until the service is well: its instances are ready (and `count` in
---number, when given), and what it says itself is "up" or "slow".
---@param system table
---@param o opsh.orchestrator
---@param s {name: string, def: table, unit: string}
---@param opts {timeout: number, count?: integer, on_wait?: fun(text: string)}
---@return boolean ok
---@return string? why
function M.wait(system, o, s, opts)
	local began = task.now()
	local function left() return opts.timeout - (task.now() - began) end
	while opts.count do
		local rows = o:status(s.unit)
		local n = 0
		for _, row in ipairs(rows) do n = n + (row.ready and 1 or 0) end
		if n == opts.count and #rows == opts.count or opts.count == 0
			and n == 0 then
			break
		elseif left() <= 0 then
			return false, ("%d of %d instances are ready after %g s: %s"):format(n,
				opts.count, opts.timeout, service.summary(rows) or "none")
		end
		task.sleep(0.3)
	end
	if opts.count == 0 then return true end
	local _, e = try(orchestrator.wait_ready, o, { s.unit },
		{ timeout = math.max(0.1, left()), on_wait = opts.on_wait })
	if e and e.kind == "timeout" then return false, e.message end
	if e then error(e, 0) end
	while s.def.target do
		local row = health.check(system, s, { timeout = math.max(0.2,
			math.min(5, left())) })
		if row.state == "up" or row.state == "slow"
			or row.state == "not checked" then
			break
		elseif left() <= 0 then
			return false, ("%s is not well after %g s: %s: %s"):format(s.name,
				opts.timeout, row.state, row.detail)
		end
		if opts.on_wait then opts.on_wait(s.name .. ": " .. row.detail) end
		task.sleep(0.3)
	end
	return true
end

---The watch on the whole system's error rate: of Prometheus, or of the health of
---every service that is well now. nil when there is nothing to look at, or in a
---plan.
---@param system table
---@param seconds number for how long a playbook observes; 0: no watch
---@param first? string service whose thresholds count
---@return opsh.errorrate.watch?
---@return string? why none
function M.watch(system, seconds, first)
	if M.is_plan() or seconds <= 0 then return nil, "not asked for" end
	local probed = {}
	for _, s in ipairs(service.list(system)) do
		local row = s.def.target and health.check(system, s, { timeout = 2 })
		if row and (row.state == "up" or row.state == "slow") then
			table.insert(probed, s.name == first and 1 or #probed + 1, s)
		end
	end
	local limit = first and errorrate.limit(system, system.services[first])
	return errorrate.open(system, probed, { interval = 0.25, limit = limit,
		baseline = math.min(1, seconds) })
end

---Before and after in one table.
---@param before opsh.roll.row[]
---@param after opsh.roll.row[]
---@return table[] rows
function M.compare(before, after)
	local rows = {}
	for n, row in ipairs(after) do
		local b = before[n]
		rows[n] = { service = row.service, before = ("%s (%d of %d ready)")
			:format(b.state, b.ready, b.instances),
			after = ("%s (%d of %d ready)"):format(row.state, row.ready,
			row.instances), health = row.health or "-" }
	end
	return rows
end

return M
