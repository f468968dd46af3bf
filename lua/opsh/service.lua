-- service: the services of a targets file as a playbook takes them: which are
-- meant, in which order they depend on each other, what their orchestrator calls
-- them, which instances are theirs. Takes `system` (or a table like it) from the
-- playbook. Asks nothing of any target by itself.
local err = require "opsh.c.err"
local orchestrator = require "opsh.orchestrator"

local M = {}

-- A service of the targets file. Its definition has the file's fields.
---@class opsh.service
---@field name string
---@field def table

local function sorted(t)
	local names = {}
	for name in pairs(t) do names[#names + 1] = name end
	table.sort(names)
	return names
end

local function usage(fmt, ...)
	error(err.new { kind = "usage", message = fmt:format(...) }, 0)
end

---The services that are meant: these, or all of the file, sorted by name.
---Raises kind usage for a name that is not there.
---@param system table
---@param only? string[]
---@return opsh.service[]
function M.list(system, only)
	local all, out = system.services, {}
	if only and #only > 0 then
		for n, name in ipairs(only) do
			if not all[name] then
				usage("there is no service '%s' in the targets file (there are: "
					.. "%s)", name, table.concat(sorted(all), ", "))
			end
			out[n] = { name = name, def = all[name] }
		end
		return out
	end
	for n, name in ipairs(sorted(all)) do out[n] = { name = name, def = all[name] } end
	return out
end

---As list, for playbooks that drive an orchestrator: it may know services that
---the file does not.
---@param system table
---@param names string[]
---@return opsh.service[]
function M.named(system, names)
	local out = {}
	for n, name in ipairs(orchestrator.names(names)) do
		out[n] = { name = name, def = system.services[name] or {} }
	end
	return out
end

---What a service depends on comes before it; a circle is cut anywhere.
---@param services opsh.service[]
---@return opsh.service[] a new list
function M.order(services)
	local by, out, seen = {}, {}, {}
	for _, s in ipairs(services) do by[s.name] = s end
	local function visit(s)
		if seen[s.name] then return end
		seen[s.name] = true
		for _, name in ipairs(s.def.depends or {}) do
			if by[name] then visit(by[name]) end
		end
		out[#out + 1] = s
	end
	for _, s in ipairs(services) do visit(s) end
	return out
end

---What an orchestrator of this kind calls the service.
---@param service opsh.service
---@param kind string
---@return string
function M.unit(service, kind)
	local def = service.def
	if kind == "kubernetes" then
		return def.deployment or def.unit or service.name
	end
	return def.unit or service.name
end

---Its instances among the rows of orchestrator:status(): the container that the
---file names, else those of its unit.
---@param service opsh.service
---@param kind string
---@param rows opsh.orchestrator.row[]
---@return opsh.orchestrator.row[]
function M.instances(service, kind, rows)
	local unit, container, out = M.unit(service, kind), service.def.container, {}
	for _, row in ipairs(rows) do
		if container and row.name == container then return { row } end
		if row.service == unit then out[#out + 1] = row end
	end
	return out
end

---The orchestrator's service: by the unit, or by its container's name.
---@param service opsh.service
---@param kind string
---@param rows opsh.orchestrator.row[]
---@return string
function M.resolve(service, kind, rows)
	local found = M.instances(service, kind, rows)[1]
	return found and found.service or M.unit(service, kind)
end

---The orchestrator of the system: the target `wanted`, else the one called
---'orchestrator', else the only one. nil and why when there is none.
---@param system table
---@param wanted? string
---@return any client
---@return string kind_or_why
function M.orchestrator(system, wanted)
	local found, absent = {}, nil
	local kinds = {}
	for _, kind in ipairs(orchestrator.kinds) do kinds[kind] = true end
	for _, target in ipairs(system.targets()) do
		if kinds[target.kind] and not target.built_in then
			absent = absent or target
		elseif kinds[target.kind] then
			found[#found + 1] = target
			if target.name == (wanted or "orchestrator") then
				return system.target(target.name), target.kind
			end
		end
	end
	if wanted then usage("there is no orchestrator '%s'", wanted) end
	if #found == 1 then return system.target(found[1].name), found[1].kind end
	if #found > 1 then
		local names = {}
		for n, target in ipairs(found) do names[n] = target.name end
		return nil, ("several orchestrators (%s): say which")
			:format(table.concat(names, ", "))
	end
	return nil, absent and ("kind '%s' is not in this build"):format(absent.kind)
		or "no orchestrator in the targets file"
end

---The kind of an orchestrator that a playbook was given (`t.orchestrator`).
---@param system table
---@param client any
---@return string
function M.kind(system, client)
	for _, target in ipairs(system.targets()) do
		for _, kind in ipairs(orchestrator.kinds) do
			if target.kind == kind and target.built_in
				and system.target(target.name) == client then
				return kind
			end
		end
	end
	usage("no orchestrator of the targets file")
end

---The system's Prometheus: its target 'prometheus'; nil without one.
---@param system table
---@return any client of opsh.prometheus
function M.prometheus(system)
	for _, target in ipairs(system.targets()) do
		if target.name == "prometheus" and target.kind == "http"
			and target.built_in then
			return require("opsh.prometheus").of(system.target "prometheus")
		end
	end
end

---One word or two for a row of status(): "running", "exited (1)", "OOMKilled".
---@param row opsh.orchestrator.row
---@return string
function M.state(row)
	-- what docker calls Error and Completed says no more than the state
	local reason = row.reason ~= "Error" and row.reason ~= "Completed"
		and row.reason or nil
	local text = reason or row.state
	if row.state == "exited" or row.state == "failed" then
		if row.signal then
			text = ("%s (signal %d)"):format(text, row.signal)
		elseif row.exit_code then
			text = ("%s (%d)"):format(text, row.exit_code)
		end
	elseif row.state == "running" and row.health and (not reason
		or reason == "Unhealthy") then
		text = row.health == "healthy" and "healthy"
			or "running, " .. row.health
	elseif row.state == "running" and not row.ready and not reason then
		text = "running, not ready"
	end
	return text
end

---The rows that count: without those that are ending or were replaced, unless
---there are no others.
---@param rows opsh.orchestrator.row[]
---@return opsh.orchestrator.row[]
function M.staying(rows)
	local out = {}
	for _, row in ipairs(rows) do
		if not row.leaving then out[#out + 1] = row end
	end
	return #out > 0 and out or rows
end

---The instances of a service in one cell: "healthy", "2 of 3 ready: exited (1)".
---@param rows opsh.orchestrator.row[]
---@return string? nil without any
---@return integer ready how many are
function M.summary(rows)
	local ready, bad, restarts = 0, nil, 0
	rows = M.staying(rows)
	for _, row in ipairs(rows) do
		restarts = restarts + (row.restarts or 0)
		if row.ready then ready = ready + 1 else bad = bad or M.state(row) end
	end
	if #rows == 0 then return nil, 0 end
	local text
	if #rows == 1 then
		text = M.state(rows[1])
	elseif ready == #rows then
		text = ("%d ready"):format(ready)
	else
		text = ("%d of %d ready: %s"):format(ready, #rows, bad)
	end
	if restarts > 0 then
		text = ("%s, %d restart%s"):format(text, restarts, restarts == 1 and ""
			or "s")
	end
	return text, ready
end

return M
