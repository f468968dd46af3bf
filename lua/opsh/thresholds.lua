-- thresholds: the limits of a system's targets file, judged: a value against its
-- warning and its critical limit, for as long as it has to hold; by a Prometheus, or
-- by two looks at the services' own pages of metrics. Says what to run next. Reads
-- only; how it is shown is the playbook's.
local err = require "opsh.c.err"
local eval = require "opsh.prometheus.eval"
local prometheus = require "opsh.prometheus"
local task = require "opsh.task"

local M = {}

-- A limit as the targets file has it, with its name; `seconds` is from `minutes`.
---@class opsh.threshold
---@field name string
---@field query? string
---@field above? number
---@field below? number
---@field critical_above? number
---@field critical_below? number
---@field severity? string
---@field seconds number how long it has to hold, 0 at once
---@field service? string
---@field action? string

-- What became of one.
---@class opsh.threshold.row
---@field name string
---@field state "critical"|"warning"|"pending"|"ok"|"no data"|"not checked"
---@field value? number the worst
---@field limit? string
---@field severity? string
---@field detail? string whose value it is, or why it was not checked
---@field next? string

-- States, the worst first.
M.states = { "critical", "warning", "pending", "no data", "not checked", "ok" }
local RANK = {}
for n, state in ipairs(M.states) do RANK[state] = n end

local CRITICAL <const> = { critical = true, page = true, p0 = true, p1 = true }

-- What to run next, by a word of the name.
local NEXT <const> = {
	{ "queue_depth", "opsh run rabbitmq/backlog" },
	{ "rabbit", "opsh run rabbitmq/backlog" },
	{ "circuit", "opsh run gateway/circuit-breaker" },
	{ "dlq", "opsh run kafka/dlq" }, { "lag", "opsh run kafka/lag" },
	{ "saga", "opsh run saga/triage" }, { "cache", "opsh run redis/stats" },
	{ "inventory", "opsh run redis/inventory" },
	{ "payment", "opsh run gateway/payments" },
	{ "certificate", "opsh run tls/expiry" }, { "ssl", "opsh run tls/expiry" },
	{ "database", "opsh run postgres/health" },
	{ "connections", "opsh run postgres/activity" },
	{ "long_query", "opsh run postgres/activity" },
	{ "backup", "opsh run postgres/verify-backup" },
	{ "cpu", "opsh run services/resources" },
	{ "memory", "opsh run services/resources" },
	{ "disk", "opsh run services/resources" },
	{ "cores", "opsh run services/resources" },
	{ "latency", "opsh run services/resources" },
	{ "time", "opsh run services/resources" },
	{ "error", "opsh run services/logs" }, { "down", "opsh run services/triage" },
	{ "registration", "opsh run services/health" },
	{ "availab", "opsh run services/health" },
}

---What to run next when this is violated: its own action, or by its name.
---@param name string of a threshold or an alert
---@param action? string
---@return string
function M.next(name, action)
	if action then return action end
	-- CamelCase of alerts too
	local word = name:gsub("(%l)(%u)", "%1_%2"):lower()
	for _, pair in ipairs(NEXT) do
		if word:find(pair[1], 1, true) then return pair[2] end
	end
	return "opsh run services/health"
end

---Is a severity one that fails a check: critical, page, P0, P1?
---@param severity? string
---@return boolean
function M.is_critical(severity)
	return CRITICAL[(severity or ""):lower()] == true
end

---The thresholds of a system that have a limit, by name.
---@param system table
---@return opsh.threshold[]
function M.list(system)
	local list = {}
	for name, def in pairs(system.thresholds or {}) do
		if type(def) == "table" then
			local row = { name = name }
			for key, value in pairs(def) do row[key] = value end
			row.seconds = (def.minutes or 0) * 60
			row.query = def.query or def.metric
			list[#list + 1] = row
		end
	end
	table.sort(list, function(a, b) return a.name < b.name end)
	return list
end

-- --- one value -----------------------------------------------------------------

local function number(v)
	return ("%.6g"):format(v)
end

---What a value is, by a threshold: its state, the limit that it breaks or has, and the
---severity.
---
---Example:
---  local state, limit = thresholds.judge({ above = 1000, critical_above = 5000 }, 7000)
---@param t opsh.threshold|table
---@param value number
---@return "critical"|"warning"|"ok" state
---@return string limit
---@return string? severity
function M.judge(t, value)
	local sign = (t.below or t.critical_below) and "<" or ">"
	local warn, hard = t.above or t.below, t.critical_above or t.critical_below
	local function breaks(limit)
		if not limit then return false end
		if sign == "<" then return value < limit end
		return value > limit
	end
	if breaks(hard) then
		return "critical", sign .. " " .. number(hard),
			t.critical_severity or (M.is_critical(t.severity) and t.severity
			or "critical")
	end
	local limit = sign .. " " .. number(warn or hard or 0)
	if not breaks(warn) then return "ok", limit, t.severity end
	return M.is_critical(t.severity) and "critical" or "warning", limit, t.severity
end

-- Which of two values is the worse one.
local function worse(t, a, b)
	if t.below or t.critical_below then return a < b end
	return a > b
end

local function name_of(labels)
	local parts = {}
	for key, value in pairs(labels or {}) do
		parts[#parts + 1] = key .. "=" .. value
	end
	table.sort(parts)
	return #parts > 0 and table.concat(parts, " ") or nil
end

-- --- a list of series ----------------------------------------------------------

-- Is every point of a series over `since` to now a violation?
local function held(t, values, since, step)
	if values[1][1] > since + step * 1.5 then return false end
	for _, point in ipairs(values) do
		local v = point[2]
		if v ~= v or M.judge(t, v) == "ok" then return false end
	end
	return true
end

-- The row of a threshold from its series: {labels, value} or {labels, values}.
local function judge_series(t, series, since, step)
	local row = { name = t.name, state = "no data", next = M.next(t.name, t.action),
		severity = t.severity }
	row.limit = select(2, M.judge(t, t.above or t.below or t.critical_above
		or t.critical_below))
	for _, one in ipairs(series) do
		local value = one.value
		if one.values then value = one.values[#one.values][2] end
		if type(value) == "number" and value == value
			and (not row.value or worse(t, value, row.value)) then
			row.value, row.detail = value, name_of(one.labels)
			row.state, row.limit, row.severity = M.judge(t, value)
			if row.state ~= "ok" and one.values
				and not held(t, one.values, since, step) then
				row.state = "pending"
				row.detail = ("not yet for %g min%s"):format(t.seconds / 60,
					row.detail and "; " .. row.detail or "")
			end
		end
	end
	return row
end

local function not_checked(t, why)
	return { name = t.name, state = "not checked", severity = t.severity,
		detail = why }
end

-- A threshold without an expression or without a limit can't be judged here.
local function unfit(t)
	if not t.query then
		return not_checked(t, "no query: it is another playbook's")
	elseif not (t.above or t.below or t.critical_above or t.critical_below) then
		return not_checked(t, "neither above nor below")
	end
end

---Judges thresholds by a Prometheus: the worst of all series, and "pending" while it
---has not been so for its minutes.
---@param server opsh.prometheus
---@param list opsh.threshold[]
---@param opts? {now?: number, timeout?: number}
---@return opsh.threshold.row[]
function M.by_prometheus(server, list, opts)
	opts = opts or {}
	-- rounded up: the last step would miss what was scraped in this second
	local now = opts.now or os.time() + 1
	return task.map(list, { limit = 4 }, function(t)
		local bad = unfit(t)
		if bad then return bad end
		local step = math.max(t.seconds / 20, 1)
		local since = now - t.seconds
		local series, e
		if t.seconds > 0 then
			series, e = try(server.range, server, t.query, { start = since,
				stop = now, step = step, timeout = opts.timeout })
		else
			series, e = try(server.query, server, t.query, { time = opts.now,
				timeout = opts.timeout })
		end
		-- the server's no to one expression; any other failure is the check's
		if not series and e.kind == "server" then
			return not_checked(t, e.message)
		elseif not series then
			error(e, 0)
		end
		return judge_series(t, series, since, step)
	end)
end

---The alerts that a Prometheus has by its own rules, as rows.
---@param server opsh.prometheus
---@return opsh.threshold.row[]
function M.alerts(server)
	local rows = {}
	for n, alert in ipairs(server:alerts()) do
		local state = "warning"
		if alert.state ~= "firing" then
			state = "pending"
		elseif M.is_critical(alert.severity) then
			state = "critical"
		end
		local value = alert.value
		rows[n] = { name = "alert " .. (alert.name or "?"), state = state,
			severity = alert.severity, limit = "its rule",
			value = type(value) == "number" and value or nil,
			detail = alert.annotations.summary or alert.annotations.description,
			next = M.next(alert.name or "?") }
	end
	return rows
end

-- --- pages of metrics ----------------------------------------------------------

-- The samples of a service's page; `up` as a Prometheus would have it.
local function look(system, name, def, timeout)
	local labels = { service = name, job = name }
	local families, e = try(function()
		return prometheus.of(system.target(def.target)):metrics(def.metrics,
			{ timeout = timeout })
	end)
	local samples = families and eval.samples(families, labels) or {}
	samples[#samples + 1] = { name = "up", labels = labels,
		value = families and 1 or 0 }
	return samples, e
end

---Looks at the pages of metrics of all services that have one: samples of all, by
---service, and what went wrong.
---@param system table
---@param opts? {timeout?: number}
---@return table<string, opsh.prometheus.sample[]> pages
---@return table<string, string> problems
function M.pages(system, opts)
	local names, pages, problems = {}, {}, {}
	for name, def in pairs(system.services or {}) do
		if def.target and def.metrics then names[#names + 1] = name end
	end
	table.sort(names)
	task.map(names, { limit = 8 }, function(name)
		local samples, e = look(system, name, system.services[name],
			opts and opts.timeout or 5)
		pages[name], problems[name] = samples, e and tostring(e) or nil
	end)
	return pages, problems
end

-- The samples of one service, or of all.
local function samples_of(pages, service)
	if service and pages[service] then return pages[service] end
	local all = {}
	for _, samples in pairs(pages) do
		table.move(samples, 1, #samples, #all + 1, all)
	end
	return all
end

---Judges thresholds by two looks at pages of metrics, `seconds` apart. For how long
---something has been so can't be told: a violation counts at once.
---@param list opsh.threshold[]
---@param first table<string, opsh.prometheus.sample[]>
---@param second table<string, opsh.prometheus.sample[]>
---@param seconds number
---@return opsh.threshold.row[]
function M.by_pages(list, first, second, seconds)
	local rows = {}
	for n, t in ipairs(list) do
		rows[n] = unfit(t)
		if not rows[n] then
			local series, e = try(eval.run, t.query, { seconds = seconds,
				first = samples_of(first, t.service),
				second = samples_of(second, t.service) })
			rows[n] = series and judge_series(t, series)
				or not_checked(t, e.message)
		end
	end
	return rows
end

-- --- all -----------------------------------------------------------------------

---Sorts rows, the worst first.
---@param rows opsh.threshold.row[]
---@return opsh.threshold.row[] rows the same
function M.sort(rows)
	table.sort(rows, function(a, b)
		if a.state ~= b.state then return RANK[a.state] < RANK[b.state] end
		return a.name < b.name
	end)
	return rows
end

---Raises kind server when one is critical (with `strict`: or a warning), or when none
---could be judged.
---@param rows opsh.threshold.row[]
---@param strict? boolean
function M.demand(rows, strict)
	local bad, judged = {}, 0
	for _, row in ipairs(rows) do
		if row.state == "critical" or strict and row.state == "warning" then
			bad[#bad + 1] = row.name
		end
		if row.state ~= "not checked" and row.state ~= "no data" then
			judged = judged + 1
		end
	end
	if #bad > 0 then
		error(err.new { kind = "server", code = "THRESHOLD", message =
			("over the limit: %s"):format(table.concat(bad, ", ")) }, 0)
	elseif judged == 0 then
		error(err.new { kind = "server", code = "NOT_CHECKED",
			message = "nothing could be judged" }, 0)
	end
end

return M
