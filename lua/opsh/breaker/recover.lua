-- breaker.recover: the parts of a recovery that only look: what is known before
-- anything is done, waiting until the breaker is closed, the proof that orders flow.
-- Steps, guards and starts are the playbook's (gateway/circuit-breaker), whose targets
-- `t` and parameters `p` these take.
local breaker = require "opsh.breaker"
local depend = require "opsh.breaker.depend"
local service = require "opsh.service"
local task = require "opsh.task"

local M = {}

local LOSSES <const> = 3	-- so often lost while we wait: it flaps
local SHOWN <const> = 6		-- lines of the log

---What breaker.look takes, of the parameters.
---@param p table health metrics probe state_metric received_metric successful_metric
---@return table
function M.options(p)
	return { health = p.health, metrics = p.metrics, timeout = p.probe,
		names = { state = p.state_metric, received = p.received_metric,
			successful = p.successful_metric } }
end

-- What is known before anything is done.
---@class opsh.breaker.survey
---@field unit string the gateway, as the orchestrator calls it
---@field kind? string of the orchestrator
---@field status? opsh.orchestrator.row[]
---@field deps opsh.breaker.dependency[]
---@field sample opsh.breaker.sample
---@field checks table<string, table> of the dependencies, by name
---@field lines? opsh.logs.entry[] of its log, with the word
---@field count? integer of these in all

---Asks the gateway, its dependencies and what runs them.
---@param system table
---@param t table gateway, and events, cache, orchestrator where there are
---@param p table
---@return opsh.breaker.survey
function M.survey(system, t, p)
	local seen = { unit = p.service }
	if t.orchestrator then
		seen.kind = service.kind(system, t.orchestrator)
		seen.status = t.orchestrator:status()
		seen.unit = service.resolve(service.named(system, { p.service })[1],
			seen.kind, seen.status)
	end
	seen.deps = depend.list(system, { kafka = t.events, redis = t.cache },
		seen.kind, seen.status)
	task.all(function()
		seen.sample = breaker.look(t.gateway, M.options(p))
	end, function()
		seen.checks = depend.check_all(seen.deps, p.probe)
	end, function()
		if not t.orchestrator then return end
		try(function()
			seen.lines, seen.count = depend.said(t.orchestrator, seen.unit,
				p.word, { tail = p.tail, shown = SHOWN })
		end)
	end)
	return seen
end

---The survey as rows: the gateway, then each dependency.
---@param p table
---@param seen opsh.breaker.survey
---@return {what: string, state: string, detail: string, runs?: string}[]
function M.rows(p, seen)
	local s = seen.sample
	local rows = { { what = p.service, detail = s.error or s.status
		and "health " .. s.status or "", state = not s.answers and "down"
		or s.state and "breaker " .. s.state or "answers" } }
	for _, dep in ipairs(seen.deps) do
		local check, said = seen.checks[dep.name], s.dependencies[dep.name]
		local runs = {}
		for _, one in ipairs(seen.status and depend.broken(dep, seen.status)
			or {}) do
			runs[#runs + 1] = ("%s: %s"):format(one.unit, one.text)
		end
		rows[#rows + 1] = { what = dep.name, detail = check.detail,
			state = not check.ok and "down" or said == false and "not reached"
			or "up", runs = #runs > 0 and table.concat(runs, ", ") or nil }
	end
	return rows
end

---The dependencies that are down: they do not answer by their own protocol, and the
---gateway does not say that it reaches them (then the address we have is wrong).
---@param seen opsh.breaker.survey
---@return opsh.breaker.dependency[]
---@return string[] doubtful names of those that only we do not reach
function M.down(seen)
	local out, doubtful = {}, {}
	for _, dep in ipairs(seen.deps) do
		if not seen.checks[dep.name].ok then
			if seen.sample.dependencies[dep.name] then
				doubtful[#doubtful + 1] = dep.name
			else
				out[#out + 1] = dep
			end
		end
	end
	return out, doubtful
end

-- What of the dependencies ends the waiting: one that is lost for longer than the
-- grace, that comes and goes, or that the gateway does not reach.
local function ends(s, checks, track, grace)
	for name, check in pairs(checks) do
		local said = s.dependencies[name]
		if (track.lost[name] or 0) >= LOSSES then return "flapping" end
		if not check.ok and not said and track:held(name) > grace then
			return name
		end
		if check.ok and said == false and track:held(name) > grace
			and s.state ~= "half-open" then
			return "address"
		end
	end
end

---Looks until the breaker is closed and its service well, twice in a row. What ends
---it otherwise: "time", "flapping", "address", or the name of a dependency that is
---lost.
---@param t table
---@param p table breaker_timeout grace interval probe
---@param seen opsh.breaker.survey
---@param track opsh.breaker.track
---@param on {change?: fun(text: string), half_open?: fun()} half_open: each time that it is
---@return string? ended nil: it is closed
---@return table<string, table> checks of the dependencies, the last
function M.await(t, p, seen, track, on)
	local limit, good = task.now() + p.breaker_timeout, 0
	while true do
		local s, checks
		task.all(function()
			s = breaker.look(t.gateway, M.options(p))
		end, function()
			checks = depend.check_all(seen.deps, p.probe)
		end)
		local change = track:add(s, checks)
		if change and on.change then on.change(change) end
		good = breaker.recovered(s) and good + 1 or 0
		if good >= 2 then return nil, checks end
		local ended = ends(s, checks, track, p.grace)
		if ended then return ended, checks end
		if task.now() >= limit then return "time", checks end
		if s.state == "half-open" and on.half_open then on.half_open() end
		task.sleep(p.interval)
	end
end

---What breaker.why is asked with.
---@param system table
---@param t table
---@param p table
---@param seen opsh.breaker.survey
---@param track opsh.breaker.track
---@param checks table<string, table>
---@return opsh.breaker.facts
function M.facts(system, t, p, seen, track, checks)
	local def = system.services[p.service] or {}
	return { gateway = p.service, track = track, deps = checks,
		settings = t.orchestrator and depend.settings(t.orchestrator, seen.unit,
		def.env) or nil }
end

local KEPT <const> = 3600 * 1000	-- milliseconds that messages of a probe are kept

---A message through a topic of our own, which is made when it is not there: metadata
---may be well where messages are not taken. A write.
---@param events userdata of kind kafka
---@param topic string
---@param timeout number
---@return opsh.kafka.probe
function M.round_trip(events, topic, timeout)
	local there = false
	for _, row in ipairs(events:topics { timeout = timeout }) do
		there = there or row.topic == topic
	end
	if not there then
		local brokers = events:identity({ timeout = timeout }).brokers
		events:create_topic(topic, { partitions = 1, timeout = timeout,
			replication = math.min(#brokers, 3),
			config = { ["retention.ms"] = KEPT } })
	end
	return events:round_trip { topic = topic, timeout = timeout }
end

local function lag_of(t, p)
	if not (t.events and p.group) then return nil end
	local rows = try(t.events.lag, t.events, p.group)
	return rows and breaker.lag(rows)
end

local function prove_once(t, p)
	local before, lag_before = breaker.look(t.gateway, M.options(p)), lag_of(t, p)
	task.sleep(p.watch)
	local after, lag_after = breaker.look(t.gateway, M.options(p)), lag_of(t, p)
	local flows, text = breaker.flow(before, after, lag_before, lag_after)
	if not breaker.recovered(after) then
		flows, text = false, ("it did not stay so: %s%s"):format(after.state
			and "breaker " .. after.state or after.error or "?", after.status
			and ", health " .. after.status or "")
	end
	return { flows = flows, text = text, state = after.state }
end

---Watches orders, `p.watch` seconds at a time: do they flow, and is the breaker still
---closed? Again until they do, for `p.flow_timeout`: what works them off needs its time
---to find its broker again.
---@param t table
---@param p table
---@return {flows?: boolean, text: string, state?: string} proof flows nil: nobody ordered
function M.prove(t, p)
	local began = task.now()
	while true do
		local proof = prove_once(t, p)
		if proof.flows ~= false or task.now() - began >= p.flow_timeout then
			return proof
		end
	end
end

return M
