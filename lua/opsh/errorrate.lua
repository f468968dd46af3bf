-- errorrate: the share of failing requests of some services while something is
-- done to them, and whether it got worse: from Prometheus where the thresholds
-- name a query, else from probes of the services' health. Owns one task, which
-- ends with the watch. Reads only; what to do about it is the caller's.
local err = require "opsh.c.err"
local health = require "opsh.health"
local service = require "opsh.service"
local task = require "opsh.task"

local M = {}

local Watch = {}
Watch.__index = Watch

-- A watch: samples since it was opened, or since its last mark.
---@class opsh.errorrate.watch
---@field source "probes"|"prometheus"
---@field before? number share before, 0 to 1
---@field limit number share that is too much

-- Share of the newest samples of a list {time, failures, all}.
local function share(samples, since)
	local failed, all = 0, 0
	for n = #samples, 1, -1 do
		local s = samples[n]
		if s[1] < since then break end
		failed, all = failed + s[2], all + s[3]
	end
	return all > 0 and failed / all or nil, all
end

---The query of a service's error rate: its own, or the system's.
---@param system table
---@param def? table of the service
---@return string?
function M.query(system, def)
	local own = def and def.thresholds and def.thresholds.error_rate
	local all = system.thresholds and system.thresholds.error_rate
	return type(own) == "table" and own.query
		or type(all) == "table" and all.query or nil
end

---The share that is too much: the service's, else the system's, else 0.05.
---@param system table
---@param def? table of the service
---@return number
function M.limit(system, def)
	for _, t in ipairs { def and def.thresholds or {}, system.thresholds or {} } do
		local row = t.error_rate
		if type(row) == "number" then return row end
		if type(row) == "table" then
			local n = row.critical_above or row.critical or row.above
				or row.warning
			if type(n) == "number" then return n end
		end
	end
	return 0.05
end

-- The worst value of an instant query, nil when there is none.
local function worst_of(prometheus, query)
	local top
	local rows = prometheus:query(query)
	for _, row in ipairs(type(rows) == "table" and rows or {}) do
		local v = tonumber(row.value)
		if v and v == v and (not top or v > top) then top = v end
	end
	return top
end

-- One look at all of them.
local function sample(watch)
	local at = task.now()
	if watch.prometheus then
		local value = try(worst_of, watch.prometheus, watch.query)
		if value then table.insert(watch.samples, { at, value, 1 }) end
		return
	end
	local failed = 0
	local rows = task.map(watch.services, { limit = #watch.services },
		function(s)
			return health.check(watch.system, s, { timeout = watch.timeout,
				slow = math.huge })
		end)
	for _, row in ipairs(rows) do
		if row.state == "down" or row.state == "degraded" then
			failed = failed + 1
			watch.last = ("%s: %s"):format(row.service, row.detail)
		end
	end
	table.insert(watch.samples, { at, failed, #rows })
	if #watch.samples > 10000 then table.remove(watch.samples, 1) end
end

---Begins to watch these services; looks each `interval` seconds until it is
---closed. `before` is measured first, for `baseline` seconds.
---
---Example:
---  local watch <close> = errorrate.open(system, service.list(system, { "api" }))
---@param system table
---@param services opsh.service[] of those with a health URL
---@param opts? {interval?: number, timeout?: number, baseline?: number, limit?: number}
---@return opsh.errorrate.watch? watch nil when there is nothing to look at
---@return string? why
function M.open(system, services, opts)
	opts = opts or {}
	local first = services[1]
	local query = M.query(system, first and first.def)
	local prometheus = query and service.prometheus(system)
	local probed = {}
	for _, s in ipairs(services) do
		if s.def.target then probed[#probed + 1] = s end
	end
	if not prometheus and #probed == 0 then
		return nil, "no health URL, and no Prometheus with a query of the error "
			.. "rate"
	end
	local watch = setmetatable({ system = system, services = probed,
		prometheus = prometheus, query = query, samples = {},
		timeout = opts.timeout or 2, interval = opts.interval or 0.25,
		source = prometheus and "prometheus" or "probes",
		limit = opts.limit or M.limit(system, first and first.def) }, Watch)
	watch.since = task.now()
	repeat
		sample(watch)
		task.sleep(watch.interval)
	until task.now() - watch.since >= (opts.baseline or 1)
	watch.before = share(watch.samples, watch.since)
	watch.handle = task.spawn(function()
		while true do
			sample(watch)
			task.sleep(watch.interval)
		end
	end)
	watch:mark()
	return watch
end

---From here on counts what comes now.
function Watch:mark()
	self.since, self.last = task.now(), nil
end

---The share since the last mark, and of how many looks.
---@return number? share
---@return integer looks
function Watch:rate()
	return share(self.samples, self.since)
end

---Why it is worse than it may be; nil when it is not. Worse: above the limit, and
---above what it was before.
---@return string?
function Watch:worse()
	local now, looks = self:rate()
	local before = self.before or 0
	if not now or now <= self.limit or now <= before + 0.001 then return nil end
	return ("error rate is %.3g %% (%s), limit %g %%, before %.3g %%%s"):format(
		now * 100, self.source == "probes" and looks .. " probes"
		or "Prometheus", self.limit * 100, before * 100,
		self.last and "; last: " .. self.last or "")
end

---Looks for `seconds`; true when all is well, else false and why, at once.
---@param seconds number
---@return boolean ok
---@return string? why
function Watch:observe(seconds)
	self:mark()
	local began = task.now()
	while true do
		local _, looks = self:rate()
		local why = looks >= 3 and self:worse()
		if why then return false, why end
		if task.now() - began >= seconds then break end
		task.sleep(math.min(self.interval, seconds))
	end
	local why = self:worse()
	return why == nil, why
end

---Ends it.
function Watch:close()
	local handle = self.handle
	self.handle = nil
	if handle then
		handle:cancel()
		try(handle.wait, handle)
	end
end
Watch.__close = Watch.close

---What was measured, for the record.
---@return {source: string, before?: number, now?: number, limit: number}
function Watch:report()
	return { source = self.source, before = self.before,
		now = share(self.samples, self.since), limit = self.limit }
end

---Raises kind verify when it is worse.
function Watch:demand()
	local why = self:worse()
	if why then error(err.new { kind = "verify", code = "ERROR_RATE",
		message = why }, 0) end
end

return M
