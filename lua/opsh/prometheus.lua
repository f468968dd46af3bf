-- prometheus: asks a Prometheus server by its HTTP API, reads the /metrics page of
-- a service, and does the arithmetic for systems that have no Prometheus: rates of
-- counters, quantiles of histograms. Works on an http client that it is given;
-- every call is a read. Owns no connection.
local err = require "opsh.c.err"
local text = require "opsh.prometheus.text"

local M = { parse = text.parse, find = text.find, number = text.number }

---@class opsh.prometheus
local Prometheus = {}
Prometheus.__index = Prometheus

-- A result of a query. `value` is a number (a text where the query gives a string);
-- a range has `values` instead.
---@class opsh.prometheus.row
---@field name? string of the metric
---@field labels table<string, string> without the name
---@field value? number|string
---@field time? number seconds since 1970
---@field values? {[1]: number, [2]: number}[] time and value

local POST_FROM <const> = 1500	-- bytes of an expression that no URL should hold

local function usage(fmt, ...)
	error(err.new { kind = "usage", message = fmt:format(...) }, 0)
end

local function only(opts, what, names)
	for key in pairs(opts or {}) do
		if not names[key] then
			usage("%s: unknown option '%s'", what, tostring(key))
		end
	end
	return opts or {}
end

-- --- asking ------------------------------------------------------------------

-- The data of an answer of the API; its own words when it says no.
local function data_of(response, op)
	local fine, body = pcall(function() return response.json end)
	if not fine or type(body) ~= "table" or body.status == nil then
		if response.status == 200 then
			error(err.new { kind = "protocol", op = op, message =
				"the answer is none of Prometheus's API" }, 0)
		end
		error(err.new { kind = response.status == 401 and "auth" or "server",
			op = op, code = tostring(response.status), message =
			("status %d, and not by Prometheus"):format(response.status) }, 0)
	end
	if body.status ~= "success" then
		error(err.new { kind = "server", op = op,
			code = tostring(body.errorType or response.status),
			message = tostring(body.error or "it gives no reason") }, 0)
	end
	return body.data
end

local function call(self, op, path, fields, timeout)
	local response
	if #(fields and fields.query or "") > POST_FROM then
		response = self.client:post(path, { form = fields, effect = "read",
			expect = "any", timeout = timeout })
	else
		response = self.client:get(path, { query = fields, expect = "any",
			timeout = timeout })
	end
	return data_of(response, op)
end

local function time_text(value)
	if math.type(value) == "integer" then return tostring(value) end
	return ("%.3f"):format(value)
end

local function number(value)
	return text.number(value) or value
end

local function row_of(series)
	local labels = {}
	for key, value in pairs(series.metric or {}) do labels[key] = value end
	local row = { name = labels.__name__, labels = labels,
		histogram = series.histogram or series.histograms }
	labels.__name__ = nil
	if series.value then
		row.time, row.value = series.value[1], number(series.value[2])
	elseif series.values then
		row.values = {}
		for n, pair in ipairs(series.values) do
			row.values[n] = { pair[1], number(pair[2]) }
		end
	end
	return row
end

local function rows_of(data)
	if data.resultType == "string" then
		return { { labels = {}, time = data.result[1], value = data.result[2] } }
	elseif data.resultType == "scalar" then
		return { row_of { value = data.result } }
	end
	local rows = {}
	for n, series in ipairs(data.result) do rows[n] = row_of(series) end
	return rows
end

---The client of a server: methods query, range, alerts, rules, targets, metrics.
---
---Example:
---  local p = prometheus.of(system.target "prometheus")
---@param client any an http client
---@return opsh.prometheus
function M.of(client)
	if type(client) ~= "table" and type(client) ~= "userdata" then
		usage("prometheus.of: expected an http client, got %s", type(client))
	end
	return setmetatable({ client = client }, Prometheus)
end

---Evaluates an expression at one time. A scalar and a string are one row without
---labels; a range selector gives rows with `values`. Raises kind server with the
---server's words.
---
---Example:
---  for _, row in ipairs(p:query "up == 0") do print(row.labels.instance) end
---@param expr string
---@param opts? {time?: number, timeout?: number} seconds since 1970; seconds
---@return opsh.prometheus.row[] rows
function Prometheus:query(expr, opts)
	opts = only(opts, "query", { time = true, timeout = true })
	return rows_of(call(self, "query", "/api/v1/query", { query = expr,
		time = opts.time and time_text(opts.time) or nil }, opts.timeout))
end

---The value of an expression that gives one; nil when it gives none. Raises kind
---check when it gives several.
---@param expr string
---@param opts? {time?: number, timeout?: number}
---@return number|string|nil
function Prometheus:value(expr, opts)
	local rows = self:query(expr, opts)
	if #rows > 1 then
		error(err.new { kind = "check", op = "query", message =
			("'%s' gives %d series, expected one"):format(expr, #rows) }, 0)
	end
	return rows[1] and rows[1].value
end

---Evaluates an expression over a time: rows with `values`.
---
---Example:
---  local now = os.time()
---  local rows = p:range("process_resident_memory_bytes",
---    { start = now - 3600, stop = now, step = 60 })
---@param expr string
---@param opts {start: number, stop?: number, step?: number, timeout?: number} stop is now, step a 60th of the time by default
---@return opsh.prometheus.row[]
function Prometheus:range(expr, opts)
	opts = only(opts, "range", { start = true, stop = true, step = true,
		timeout = true })
	if type(opts.start) ~= "number" then usage "range: start is missing" end
	local stop = opts.stop or os.time()
	local step = opts.step or math.max((stop - opts.start) / 60, 1)
	if step <= 0 or stop < opts.start then
		usage("range: nothing between start and stop")
	end
	return rows_of(call(self, "query_range", "/api/v1/query_range",
		{ query = expr, start = time_text(opts.start), ["end"] = time_text(stop),
			step = time_text(step) }, opts.timeout))
end

---The alerts that are pending or firing.
---@return {name: string, state: string, severity?: string, labels: table, annotations: table, value: number, since: string}[]
function Prometheus:alerts()
	local rows = {}
	for n, alert in ipairs(call(self, "alerts", "/api/v1/alerts").alerts) do
		local labels = alert.labels or {}
		rows[n] = { name = labels.alertname, state = alert.state,
			severity = labels.severity, labels = labels,
			annotations = alert.annotations or {},
			value = number(alert.value), since = alert.activeAt }
	end
	return rows
end

---The rules of all groups. `seconds` is how long an alert's condition has to hold.
---@return {group: string, name: string, type: string, query: string, state?: string, health: string, severity?: string, seconds?: number, error?: string, alerts: integer}[]
function Prometheus:rules()
	local rows = {}
	for _, group in ipairs(call(self, "rules", "/api/v1/rules").groups) do
		for _, rule in ipairs(group.rules or {}) do
			rows[#rows + 1] = { group = group.name, name = rule.name,
				type = rule.type, query = rule.query, state = rule.state,
				health = rule.health, seconds = rule.duration,
				severity = (rule.labels or {}).severity,
				error = rule.lastError, alerts = #(rule.alerts or {}) }
		end
	end
	return rows
end

---The targets that are scraped; `health` is up, down or unknown.
---@return {job: string, instance: string, health: string, error?: string, url: string, last_scrape: string, labels: table}[]
function Prometheus:targets()
	local rows = {}
	local data = call(self, "targets", "/api/v1/targets", { state = "active" })
	for n, target in ipairs(data.activeTargets) do
		local labels = target.labels or {}
		rows[n] = { job = labels.job, instance = labels.instance,
			health = target.health, url = target.scrapeUrl, labels = labels,
			error = target.lastError ~= "" and target.lastError or nil,
			last_scrape = target.lastScrape }
	end
	return rows
end

---The families of a service's own page of metrics. `of` may have any http client
---here, the server need not be a Prometheus.
---
---Example:
---  local families = prometheus.of(system.target "gateway"):metrics "/metrics"
---@param path? string default /metrics
---@param opts? {timeout?: number}
---@return opsh.prometheus.family[]
function Prometheus:metrics(path, opts)
	opts = only(opts, "metrics", { timeout = true })
	local response = self.client:get(path or "/metrics", { expect = 200,
		timeout = opts.timeout, headers = { Accept =
		"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4"
		} })
	return text.parse(response.body)
end

-- --- arithmetic --------------------------------------------------------------

-- Labels as one text, so that equal ones are equal; `but` is left out.
local function key_of(labels, but)
	local parts = {}
	for name, value in pairs(labels) do
		if name ~= but then parts[#parts + 1] = ("%s=%q"):format(name, value) end
	end
	table.sort(parts)
	return table.concat(parts, ",")
end

-- {le, count} of what the caller has: such pairs, or samples of a histogram.
local function buckets_of(list)
	local out, owner = {}, nil
	for _, one in ipairs(list) do
		local le, count = one.le, one.count
		if one.labels then
			le, count = one.labels.le, one.value
			local key = le and key_of(one.labels, "le")
			if key and owner and key ~= owner then
				usage("quantile: buckets of more than one histogram: {%s} and {%s}",
					owner, key)
			end
			owner = key or owner
		end
		le = type(le) == "string" and text.number(le) or le
		if type(le) == "number" and le == le and type(count) == "number" then
			out[#out + 1] = { le = le, count = count }
		elseif not one.labels then
			usage "quantile: a bucket needs le and count"
		end
	end
	table.sort(out, function(a, b) return a.le < b.le end)
	return out
end

-- Buckets of equal bounds become one; counts never fall from one to the next.
local function smoothed(list)
	local out = {}
	for _, b in ipairs(list) do
		local last = out[#out]
		if last and last.le == b.le then
			last.count = last.count + b.count
		else
			out[#out + 1] = b
		end
	end
	for n = 2, #out do
		if out[n].count < out[n - 1].count then
			out[n].count = out[n - 1].count
		end
	end
	return out
end

---The q-quantile of a histogram, as `histogram_quantile` has it: linear within the
---bucket it falls into, the highest finite bound above it, NaN where there is none.
---
---Example:
---  local p95 = prometheus.quantile(0.95,
---    prometheus.find(families, "http_request_duration_seconds_bucket"))
---@param q number 0 to 1; below is -inf, above inf
---@param list table[] samples of one histogram, or {le=, count=}; counts are cumulative
---@return number
function M.quantile(q, list)
	local nan = 0 / 0
	local buckets = smoothed(buckets_of(list))
	local n = #buckets
	if q ~= q then return nan end
	if q < 0 then return -math.huge end
	if q > 1 then return math.huge end
	if n < 2 or buckets[n].le ~= math.huge or buckets[n].count == 0
		or buckets[n].count ~= buckets[n].count then
		return nan
	end
	local rank, b = q * buckets[n].count, 1
	while b < n and buckets[b].count < rank do b = b + 1 end
	if b == n then return buckets[n - 1].le end
	local high, count, low = buckets[b].le, buckets[b].count, 0
	if b == 1 and high <= 0 then return high end
	if b > 1 then
		low, count = buckets[b - 1].le, count - buckets[b - 1].count
		rank = rank - buckets[b - 1].count
	end
	return low + (high - low) * (rank / count)
end

local function increase(first, second)
	return second >= first and second - first or second
end

---What a counter grew by a second, between two looks at it: a fall is a restart,
---which counted from 0 again. With lists of samples: rows of those in both.
---
---Example:
---  local rows = prometheus.rate(before, after, 10)
---@param first number|opsh.prometheus.sample[]
---@param second number|opsh.prometheus.sample[]
---@param seconds number between the two
---@return number|opsh.prometheus.row[]
function M.rate(first, second, seconds)
	if type(seconds) ~= "number" or seconds ~= seconds or seconds <= 0 then
		usage "rate: the seconds between the two must be more than 0"
	end
	if type(first) == "number" and type(second) == "number" then
		return increase(first, second) / seconds
	elseif type(first) ~= "table" or type(second) ~= "table" then
		usage "rate: expected two numbers or two lists of samples"
	end
	local was, rows = {}, {}
	for _, s in ipairs(first) do was[s.name .. key_of(s.labels)] = s.value end
	for _, s in ipairs(second) do
		local before = was[s.name .. key_of(s.labels)]
		if before then
			rows[#rows + 1] = { name = s.name, labels = s.labels,
				value = increase(before, s.value) / seconds }
		end
	end
	return rows
end

return M
