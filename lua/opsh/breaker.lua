-- breaker: a service with a circuit breaker, watched from outside: its state by the
-- metric and by what the service's health says, how it changes over time, whether
-- orders flow, and, when it does not close, why. Judges and reads; what is done about
-- it the playbook does. What the service depends on is opsh.breaker.depend's.
local err = require "opsh.c.err"
local health = require "opsh.health"
local json = require "opsh.json"
local prometheus = require "opsh.prometheus"
local task = require "opsh.task"

local M = {}

---What the metric's value means.
M.states = { [0] = "closed", [1] = "open", [2] = "half-open" }

-- How the service stands at one moment.
---@class opsh.breaker.sample
---@field at number task.now()
---@field answers boolean
---@field error? string why it does not answer
---@field status? integer of its health
---@field state? "closed"|"open"|"half-open" nil: nobody says
---@field dependencies table<string, boolean> as its health names them
---@field received? number orders, since it was started
---@field successful? number
---@field failed? number

---The state that a word or a number means: "HALF_OPEN", 2, "half-open".
---@param value any
---@return string? nil for anything else
function M.state(value)
	if type(value) == "number" then return M.states[value // 1 | 0] end
	if type(value) ~= "string" then return nil end
	local word = value:lower():gsub("[_ ]", "-")
	if word == "halfopen" then word = "half-open" end
	for _, state in pairs(M.states) do
		if state == word then return state end
	end
	return nil
end

---What the body of a health answer says of the breaker and of dependencies.
---@param text string
---@return string? state
---@return table<string, boolean> dependencies
function M.said(text)
	local deps, state = {}, nil
	for name, word in pairs(health.body(text).dependencies or {}) do
		if not name:lower():find("circuit", 1, true) then
			deps[name] = word == "ok"
		end
	end
	local ok, body = pcall(json.decode, text)
	for name, value in pairs(ok and type(body) == "table" and body or {}) do
		if type(name) == "string" and name:lower():find("circuit", 1, true) then
			if type(value) == "table" then value = value.state or value.status end
			state = state or M.state(value)
		end
	end
	return state, deps
end

local function sum_of(families, name)
	local list = name and prometheus.find(families, name) or {}
	local sum
	for _, sample in ipairs(list) do sum = (sum or 0) + sample.value end
	return sum
end

-- Of several breakers the worst: open, then half-open.
local function state_of(families, name)
	local found = {}
	for _, sample in ipairs(prometheus.find(families, name)) do
		found[M.state(sample.value) or ""] = true
	end
	return found.open and "open" or found["half-open"] and "half-open"
		or found.closed and "closed" or nil
end

---Asks the service for its health and its metrics, at once.
---@param client any of kind http
---@param o {health: string, metrics: string, timeout: number, names: {state: string, received: string, successful: string, failed?: string}}
---@return opsh.breaker.sample
function M.look(client, o)
	local s = { at = task.now(), dependencies = {}, answers = false }
	local r, e, families
	task.all(function()
		r, e = try(client.get, client, o.health, { timeout = o.timeout,
			connect_timeout = o.timeout, follow = 0, max_body = 1 << 20 })
	end, function()
		families = try(function()
			return prometheus.of(client):metrics(o.metrics, { timeout = o.timeout })
		end)
	end)
	if r then
		s.answers, s.status = true, r.status
		s.state, s.dependencies = M.said(r.body or "")
	else
		s.error = err.is(e) and e.message or tostring(e)
	end
	if families then
		-- the metric is the breaker's own word; health may be a moment older
		s.answers = true
		s.state = state_of(families, o.names.state) or s.state
		for _, name in ipairs { "received", "successful", "failed" } do
			s[name] = sum_of(families, o.names[name])
		end
	end
	return s
end

-- --- over time ----------------------------------------------------------------

-- What was seen since it began.
---@class opsh.breaker.track
---@field began number
---@field attempts integer how often the breaker has let an order try
---@field refused integer of these, how many failed
---@field opened integer how often it went from closed to open
---@field lost table<string, integer> how often a dependency was lost
---@field last? opsh.breaker.sample
---@field first? opsh.breaker.sample
local Track = {}
Track.__index = Track

---Begins to follow a breaker.
---@return opsh.breaker.track
function M.track()
	return setmetatable({ began = task.now(), attempts = 0, refused = 0,
		opened = 0, lost = {}, well = {}, since = {} }, Track)
end

local CHANGES <const> = {
	["open>half-open"] = function(t)
		t.attempts = t.attempts + 1
		return ("half-open: attempt %d, the next order may try"):format(t.attempts)
	end,
	["half-open>open"] = function(t)
		t.refused = t.refused + 1
		return ("open again: attempt %d failed"):format(math.max(1, t.attempts))
	end,
	["closed>open"] = function(t)
		t.opened = t.opened + 1
		return "open: it has opened (again)"
	end,
	["half-open>closed"] = function() return "closed: the attempt succeeded" end,
	["open>closed"] = function() return "closed" end,
	["closed>half-open"] = function() return "half-open" end,
}

---Takes a sample and how the dependencies stand; says what changed, as text.
---@param s opsh.breaker.sample
---@param deps? table<string, {ok: boolean, detail: string}>
---@return string? change nil: nothing
function Track:add(s, deps)
	local last, change = self.last, nil
	if last and last.state and s.state and last.state ~= s.state then
		change = CHANGES[last.state .. ">" .. s.state](self)
	end
	for name, dep in pairs(deps or {}) do
		if self.well[name] and not dep.ok then
			self.lost[name] = (self.lost[name] or 0) + 1
		end
		if self.well[name] ~= dep.ok then self.since[name] = s.at end
		self.well[name] = dep.ok
	end
	-- a restarted service counts from 0 again
	if not self.first or s.received and (self.first.received or 0) > s.received then
		self.first = s
	end
	self.last = s
	return change
end

---For how long a dependency has been as it is.
---@param name string
---@return number seconds
function Track:held(name)
	return self.since[name] and task.now() - self.since[name] or 0
end

---Orders that came since it began; nil when nobody counts them.
---@return number?
function Track:orders()
	local a, b = self.first and self.first.received, self.last and self.last.received
	return a and b and b - a or nil
end

---Closed, and each dependency that its health names is well.
---@param s opsh.breaker.sample
---@return boolean
function M.recovered(s)
	if s.state ~= "closed" or not s.answers then return false end
	for _, ok in pairs(s.dependencies) do
		if not ok then return false end
	end
	return true
end

-- --- why not --------------------------------------------------------------------

-- What is known when it did not close in time.
---@class opsh.breaker.facts
---@field gateway string the service's name
---@field track opsh.breaker.track
---@field deps table<string, {ok: boolean, detail: string, address?: string, service?: string}>
---@field settings? table<string, string> addresses that the service was given

local function sorted(t)
	local names = {}
	for name in pairs(t) do names[#names + 1] = name end
	table.sort(names)
	return names
end

local function settings_of(facts)
	local parts = {}
	for _, name in ipairs(sorted(facts.settings or {})) do
		parts[#parts + 1] = name .. "=" .. facts.settings[name]
	end
	return #parts > 0 and table.concat(parts, ", ") or nil
end

local function triage(service)
	return "opsh run services/triage service=" .. service
end

local function of_dependency(facts, name)
	local dep, track = facts.deps[name], facts.track
	local said = track.last and track.last.dependencies[name]
	local service = dep.service or name
	if (track.lost[name] or 0) >= 2 then
		return "flapping", ("%s comes and goes: it was lost %d times in %.0f s, "
			.. "last: %s"):format(name, track.lost[name], task.now() - track.began,
			dep.detail), { triage(service), ("opsh run services/logs service=%s "
			.. "since=15m"):format(service), "do not restart it again before "
			.. "you know what ends it" }
	elseif not dep.ok then
		return "unreachable", ("%s still does not answer%s: %s"):format(name,
			dep.address and " (" .. dep.address .. ")" or "", dep.detail),
			{ triage(service), ("opsh run services/logs service=%s level=error "
			.. "since=15m"):format(service) }
	elseif said == false then
		local settings = settings_of(facts)
		return "address", ("%s answers here%s, but '%s' does not reach it: wrong "
			.. "address, or a network between them%s"):format(name,
			dep.address and " (" .. dep.address .. ")" or "", facts.gateway,
			settings and "; it has " .. settings or ""), {
			("look at the address that '%s' was given"):format(facts.gateway),
			("opsh run services/restart service=%s"):format(facts.gateway) }
	end
end

local function of_breaker(facts)
	local track = facts.track
	local state, orders = track.last and track.last.state, track:orders()
	if state == "half-open" and orders == 0 then
		return "pending", "it is half-open, success is pending: no order came that "
			.. "could try", { "wait for an order, or send one: order='{...}'" }
	elseif state == "half-open" then
		return "pending", ("it is half-open, success is pending after %d attempts, "
			.. "%d failed"):format(track.attempts, track.refused), {
			"run it again, it goes on where this ended" }
	elseif state == "open" then
		return "time", ("it is still open: its time is not over (it grows with each "
			.. "attempt that fails: %d of %d did)"):format(track.refused,
			track.attempts), { "wait, and run it again: breaker_timeout=10m",
			("opsh run services/restart service=%s, which begins anew")
			:format(facts.gateway) }
	elseif state == "closed" then
		return "unwell", "it is closed, but the service does not call itself well",
			{ "opsh run services/health" }
	end
	return "unknown", ("'%s' does not say how its breaker is"):format(
		facts.gateway), { "opsh run services/health" }
end

---Why a breaker did not close: one word, a line for people, what to try.
---@param facts opsh.breaker.facts
---@return "gateway"|"flapping"|"unreachable"|"address"|"pending"|"time"|"unwell"|"unknown" cause
---@return string text
---@return string[] try
function M.why(facts)
	local last = facts.track.last
	if last and not last.answers then
		return "gateway", ("'%s' itself does not answer: %s"):format(facts.gateway,
			last.error or "?"), { triage(facts.gateway) }
	end
	for _, name in ipairs(sorted(facts.deps)) do
		local cause, text, try_this = of_dependency(facts, name)
		if cause then return cause, text, try_this end
	end
	-- what it names and we were not given
	for name, ok in pairs(last and last.dependencies or {}) do
		if not ok and not facts.deps[name] then
			return "unreachable", ("'%s' says that %s is down; no target was given "
				.. "to ask it"):format(facts.gateway, name), { triage(name) }
		end
	end
	return of_breaker(facts)
end

---Raises kind server (exit 1): what it is, with what to try.
---@param cause string
---@param text string
---@param try_this string[]
function M.give_up(cause, text, try_this)
	error(err.new { kind = "server", code = "BREAKER_" .. cause:upper(),
		message = text, hint = table.concat(try_this, "; ") }, 0)
end

-- --- do orders flow? ------------------------------------------------------------

-- Sums over the partitions of a group.
---@class opsh.breaker.lag
---@field lag integer
---@field committed integer

---The sums of the rows of kafka's lag().
---@param rows {lag: integer, committed?: integer}[]
---@return opsh.breaker.lag
function M.lag(rows)
	local sum = { lag = 0, committed = 0 }
	for _, row in ipairs(rows) do
		sum.lag = sum.lag + (row.lag or 0)
		sum.committed = sum.committed + (row.committed or 0)
	end
	return sum
end

---Do orders flow, by two looks: are they taken, and is the lag worked off? nil for
---"nobody ordered": then nothing is shown either way.
---@param before opsh.breaker.sample
---@param after opsh.breaker.sample
---@param lag_before? opsh.breaker.lag
---@param lag_after? opsh.breaker.lag
---@return boolean? flows
---@return string text
function M.flow(before, after, lag_before, lag_after)
	if not (before.successful and after.successful) then
		return nil, "orders are not counted: no metric"
	end
	local taken = after.successful - before.successful
	local came = (after.received or 0) - (before.received or 0)
	if taken < 0 or came < 0 then
		return false, "the service was restarted meanwhile: its counters fell"
	elseif came == 0 and taken == 0 then
		return nil, "no order came: that they flow is not shown"
	elseif taken == 0 then
		return false, ("%d orders came, none was taken"):format(came)
	end
	-- those that came before the first look may be taken after it
	local text = ("%s taken in %.0f s"):format(taken <= came
		and ("%d of %d orders"):format(taken, came) or ("%d orders"):format(taken),
		after.at - before.at)
	if not (lag_before and lag_after) then return true, text end
	local done = lag_after.committed - lag_before.committed
	text = ("%s; %d worked off, lag %d -> %d"):format(text, done, lag_before.lag,
		lag_after.lag)
	if lag_after.lag > 0 and done <= 0 then
		return false, text .. ": they are taken, but not worked off"
	end
	return true, text
end

return M
