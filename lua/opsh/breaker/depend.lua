-- breaker.depend: what a service with a breaker depends on: is it well by its own
-- protocol, which services of the orchestrator it is, which of their instances are
-- down, and waiting until it is well and stays so. Reads only; starts and restarts are
-- the playbook's. Must not know an orchestrator's backend.
local err = require "opsh.c.err"
local logs = require "opsh.logs"
local service = require "opsh.service"
local task = require "opsh.task"

local M = {}

-- A dependency, as a playbook was given it.
---@class opsh.breaker.dependency
---@field name string as the service's health calls it: "kafka", "redis"
---@field client any
---@field target? string its target
---@field address? string
---@field services {name: string, unit: string}[] what runs it
---@field service? string the first of them

local LOSSES <const> = 3	-- so often lost while we wait: it flaps

local function text_of(e)
	return err.is(e) and e.message or tostring(e)
end

-- --- by its own protocol --------------------------------------------------------

local CHECK = {}

function CHECK.redis(client, timeout)
	client:ping { timeout = timeout }
	return true, "answers PING"
end

-- A partition without a leader takes nothing; without all replicas it does.
function CHECK.kafka(client, timeout)
	local brokers = client:identity({ timeout = timeout }).brokers
	local leaderless, behind, where = 0, 0, nil
	for _, topic in ipairs(client:topics { internal = true, timeout = timeout }) do
		leaderless = leaderless + (topic.leaderless or 0)
		behind = behind + (topic.under_replicated or 0)
		if (topic.leaderless or 0) > 0 then where = where or topic.topic end
	end
	if #brokers == 0 then return false, "no broker is known" end
	if leaderless > 0 then
		return false, ("%d brokers, but %d partitions have no leader (of '%s')")
			:format(#brokers, leaderless, where)
	end
	return true, ("%d broker%s, all partitions have leaders%s"):format(#brokers,
		#brokers == 1 and "" or "s", behind > 0 and
		(", %d lack replicas"):format(behind) or "")
end

---Is it well, by its own protocol?
---@param dep opsh.breaker.dependency
---@param timeout number seconds
---@return {ok: boolean, detail: string, address?: string, service?: string}
function M.check(dep, timeout)
	local r, e = try(task.timeout, timeout + 0.5, function()
		return { CHECK[dep.name](dep.client, timeout) }
	end)
	return { ok = r ~= nil and r[1], detail = r and r[2] or text_of(e),
		address = dep.address, service = dep.service }
end

---All of them at once, by their names.
---@param deps opsh.breaker.dependency[]
---@param timeout number
---@return table<string, table>
function M.check_all(deps, timeout)
	local out = {}
	local rows = task.map(deps, function(dep) return M.check(dep, timeout) end)
	for n, dep in ipairs(deps) do out[dep.name] = rows[n] end
	return out
end

-- --- what runs it ---------------------------------------------------------------

---The dependencies among these clients, with the services of the targets file that
---have the same target, and what the orchestrator calls them.
---@param system table
---@param clients table<string, any> by the name of the dependency
---@param kind? string of the orchestrator; nil: there is none
---@param status? opsh.orchestrator.row[]
---@return opsh.breaker.dependency[] by name
function M.list(system, clients, kind, status)
	local out = {}
	local targets = {}
	for _, target in ipairs(system.targets()) do
		if target.built_in then targets[target.name] = target end
	end
	for name, client in pairs(clients) do
		local dep = { name = name, client = client, services = {} }
		for target in pairs(targets) do
			if system.target(target) == client then
				dep.target, dep.address = target, targets[target].address
			end
		end
		for _, s in ipairs(service.list(system)) do
			if dep.target and s.def.target == dep.target then
				table.insert(dep.services, { name = s.name,
					unit = kind and service.resolve(s, kind, status or {}) })
			end
		end
		dep.service = dep.services[1] and dep.services[1].name
		out[#out + 1] = dep
	end
	table.sort(out, function(a, b) return a.name < b.name end)
	return out
end

-- Instances of a unit that are not ready, whether one runs at all, and their words.
local function state_of(rows, unit)
	local ready, running, coming, mine = 0, 0, 0, {}
	for _, row in ipairs(rows) do
		if row.service == unit and not row.leaving then
			mine[#mine + 1] = row
			ready = ready + (row.ready and 1 or 0)
			if row.state ~= "missing" and row.state ~= "failed"
				and row.state ~= "exited" then
				running = running + 1
			end
			if row.ready or row.state == "starting" then coming = coming + 1 end
		end
	end
	return { unit = unit, ready = ready, running = running, instances = #mine,
		coming = coming > ready and coming == #mine,
		text = service.summary(mine) or "not there" }
end

---What has to be started or restarted for a dependency that is not well: the units
---that are not ready, or all when the orchestrator takes each for ready.
---@param dep opsh.breaker.dependency
---@param rows opsh.orchestrator.row[] of orchestrator:status()
---@return {name: string, unit: string, starts: boolean, text: string}[]
---@return boolean coming all of it is just starting: somebody did that already
function M.broken(dep, rows)
	local bad, all, coming = {}, {}, 0
	for _, s in ipairs(dep.services) do
		local state = state_of(rows, s.unit)
		local one = { name = s.name, unit = s.unit, starts = state.running == 0,
			text = state.text }
		all[#all + 1] = one
		if state.ready < math.max(1, state.instances) then
			bad[#bad + 1] = one
			coming = coming + (state.coming and 1 or 0)
		end
	end
	if #bad == 0 then return all, false end
	return bad, coming == #bad
end

---Has this Redis started with nothing? It loaded no key (INFO of Redis 7 says how
---many), or has none.
---@param client opsh.redis.client
---@return boolean
function M.is_bare(client)
	local info = client:info "persistence"
	local loaded = info.rdb_last_load_keys_loaded
	if loaded == nil or info.aof_enabled == 1 then return client:dbsize() == 0 end
	return loaded == 0
end

---What to look at when it does not come up.
---@param dep opsh.breaker.dependency
---@return string[]
function M.next(dep)
	local name = dep.service or dep.name
	return { "opsh run services/triage service=" .. name,
		("opsh run services/logs service=%s level=error since=15m"):format(name) }
end

-- Every unit of it is dead: nothing that we could wait for.
local function dead(dep, o)
	local rows = try(o.status, o)
	if not rows or #dep.services == 0 then return false end
	for _, s in ipairs(dep.services) do
		if state_of(rows, s.unit).running > 0 then return false end
	end
	return true, state_of(rows, dep.services[1].unit).text
end

---Waits until a dependency is well by its own protocol, and has been for `steady`
---seconds.
---@param dep opsh.breaker.dependency
---@param o opsh.orchestrator
---@param opts {timeout: number, steady: number, probe: number, interval?: number, on_wait?: fun(text: string)}
---@return boolean ok
---@return "dead"|"flapping"|"unreachable"|nil cause
---@return string detail
function M.wait(dep, o, opts)
	local began, well, losses, ended = task.now(), nil, 0, nil
	while true do
		local row = M.check(dep, opts.probe)
		local now = task.now()
		if row.ok then
			well, ended = well or now, nil
			if now - well >= opts.steady then return true, nil, row.detail end
		else
			if well then losses, well = losses + 1, nil end
			if losses >= LOSSES then
				return false, "flapping", ("it answered and was lost %d times in "
					.. "%.0f s: %s"):format(losses, now - began, row.detail)
			end
			local gone, text = dead(dep, o)
			ended = gone and (ended or now) or nil
			if ended and now - ended >= 1 then
				local flaps = losses > 0
				return false, flaps and "flapping" or "dead",
					("it %s again: %s"):format(flaps and "answered and ended"
					or "ended", text)
			end
		end
		if now - began >= opts.timeout then
			return false, "unreachable", ("not well within %g s: %s"):format(
				opts.timeout, row.detail)
		end
		if opts.on_wait then opts.on_wait(row.detail) end
		task.sleep(opts.interval or 0.5)
	end
end

-- --- what the service says of it ---------------------------------------------------

---The last lines of a service's log with a word, and how many there were among the
---last `tail` lines.
---@param o opsh.orchestrator
---@param unit string
---@param word string
---@param opts {tail: integer, shown: integer}
---@return opsh.logs.entry[] entries
---@return integer count
function M.said(o, unit, word, opts)
	local found, count = {}, 0
	for line in o:logs(unit, { tail = opts.tail }) do
		local entry = logs.parse(line.text, line.time)
		entry.service, entry.name = line.service, line.name
		if logs.matches(entry, { grep = word }) then
			count = count + 1
			found[#found + 1] = entry
			if #found > opts.shown then table.remove(found, 1) end
		end
	end
	return found, count
end

-- Variables that hold an address; others may hold what is secret.
local ADDRESS <const> = { "ADDR", "BROKER", "BOOTSTRAP", "HOST", "URL" }

---The addresses that a service was given, of the variables that it is known to have;
---a password in a URL is left out. {} when it can't be asked.
---@param o opsh.orchestrator
---@param unit string
---@param names? string[]
---@return table<string, string>
function M.settings(o, unit, names)
	local out = {}
	for _, name in ipairs(names or {}) do
		for _, word in ipairs(ADDRESS) do
			if name:find(word, 1, true) then
				local r = try(function()
					return o:exec(unit, { "printenv", name }, { effect = "read",
						accept = true, timeout = 10 })
				end)
				local value = r and r.status == 0 and r.stdout:match "^[^\r\n]+"
				out[name] = value and value:gsub("//[^/@]*@", "//") or nil
				break
			end
		end
	end
	return out
end

return M
