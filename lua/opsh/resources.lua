-- resources: what services and their machine use, against thresholds: processor,
-- memory, disk, restarts, OOMKilled, autoscalers at their end; and whether memory
-- grows. Judges rows that others have read; only `machine` and `disk` read this
-- machine. Must not know a backend.
local service = require "opsh.service"
local trend = require "opsh.trend"

local M = {}

-- One thing that was measured.
---@class opsh.resources.row
---@field service string or "machine"
---@field what string "cpu", "memory", "disk PATH", "restarts", "hpa", "memory growth"
---@field name? string of the instance
---@field level "critical"|"warning"|"ok"|"?"
---@field percent? number of what there is
---@field detail string

local RANK = { critical = 1, warning = 2, ["?"] = 3, ok = 4 }

-- As a share of 100, whether the file says 0.9 or 90.
local function percent(n)
	if type(n) ~= "number" then return nil end
	return n <= 1 and n * 100 or n
end

---Warning and critical of `what` in percent: from the system's thresholds (`cpu`,
---`cpu_usage`, `memory`, `disk`; fields above or warning, critical_above or
---critical), else 70 and 90.
---@param thresholds? table
---@param what "cpu"|"memory"|"disk"
---@return number warning
---@return number critical
function M.limits(thresholds, what)
	local t = thresholds or {}
	local row = t[what] or t[what .. "_usage"] or t[what .. "_percent"]
	if type(row) == "number" then return 70, percent(row) end
	row = type(row) == "table" and row or {}
	local warning = percent(row.above or row.warning or row.warn)
	local critical = percent(row.critical_above or row.critical)
	return warning or math.min(70, critical or 70), critical
		or math.max(90, warning or 90)
end

local function level_of(share, limits)
	if not share then return "?" end
	if share > limits[2] then return "critical" end
	return share > limits[1] and "warning" or "ok"
end

---Bytes in words: "512 MiB".
---@param n number
---@return string
function M.size(n)
	local units, at = { "B", "KiB", "MiB", "GiB", "TiB" }, 1
	while n >= 1024 and at < #units do n, at = n / 1024, at + 1 end
	return ("%.4g %s"):format(n, units[at])
end

---Rows of the orchestrator's top(): processor against its limit, or the machine's
---cores; memory against its limit, or the machine's.
---@param top table[] rows service name cpu memory memory_limit
---@param limits table<string, {cpu?: number, memory?: integer}> by service
---@param machine? {cores?: number, memory?: number} when they run on this one
---@param thresholds? table of the system
---@return opsh.resources.row[]
function M.usage(top, limits, machine, thresholds)
	local rows, m = {}, machine or {}
	local cpu = { M.limits(thresholds, "cpu") }
	local memory = { M.limits(thresholds, "memory") }
	for _, use in ipairs(top) do
		local own = limits[use.service] or {}
		local cores = own.cpu or m.cores
		local share = use.cpu and cores and use.cpu / cores * 100
		rows[#rows + 1] = { service = use.service, name = use.name, what = "cpu",
			percent = share, level = level_of(share, cpu), detail = ("%.2f of %s")
			:format(use.cpu or 0, cores and ("%g cores%s"):format(cores,
			own.cpu and "" or " of the machine") or "no limit") }
		local room = use.memory_limit or own.memory
		local all = room or m.memory
		share = use.memory and all and use.memory / all * 100
		rows[#rows + 1] = { service = use.service, name = use.name,
			what = "memory", percent = share, level = level_of(share, memory),
			detail = ("%s of %s"):format(M.size(use.memory or 0), all
			and M.size(all) .. (room and "" or " of the machine")
			or "no limit") }
	end
	return rows
end

---Rows of the instances that were killed for memory, or restart again and again.
---@param status opsh.orchestrator.row[]
---@param most? integer restarts that are no matter (3)
---@return opsh.resources.row[]
function M.restarts(status, most)
	local rows = {}
	for _, row in ipairs(status) do
		local n = row.restarts or 0
		local killed = row.reason == "OOMKilled"
		if killed or n > 0 then
			rows[#rows + 1] = { service = row.service, name = row.name,
				what = killed and "OOMKilled" or "restarts", level = killed
				and "critical" or n > (most or 3) and "warning" or "ok",
				detail = ("%d restarts, now %s"):format(n, service.state(row)) }
		end
	end
	return rows
end

---Rows of autoscalers: at their maximum and wanting more is a warning.
---@param list table[] rows service min max replicas desired metrics limited message
---@return opsh.resources.row[]
function M.autoscalers(list)
	local rows = {}
	for n, h in ipairs(list) do
		local parts = {}
		for _, metric in ipairs(h.metrics or {}) do
			parts[#parts + 1] = ("%s %s of %s%s"):format(metric.name,
				metric.current or "?", metric.target or "?",
				metric.percent and " %" or "")
		end
		local full = h.max and h.replicas >= h.max
		rows[n] = { service = h.service or h.name, name = h.name, what = "hpa",
			level = (h.message or full) and "warning" or "ok",
			detail = ("%d of %s to %s instances%s%s%s"):format(h.replicas,
			h.min or "?", h.max or "?", #parts > 0 and "; " .. table.concat(
			parts, ", ") or "", full and "; at its maximum" or "",
			h.message and "; " .. h.message or "") }
	end
	return rows
end

---The machine's cores and memory, from /proc.
---@return {cores: integer, memory: integer, available: integer, load: number}
function M.machine()
	local fs = require "opsh.fs"
	local cores = 0
	for _ in fs.read("/proc/cpuinfo"):gmatch "%f[^%z\n]processor%s*:" do
		cores = cores + 1
	end
	local text = fs.read "/proc/meminfo"
	local function kib(name)
		return (math.tointeger(tonumber(text:match(name .. ":%s*(%d+)") or ""))
			or 0) * 1024
	end
	return { cores = math.max(cores, 1), memory = kib "MemTotal",
		available = kib "MemAvailable",
		load = tonumber(fs.read("/proc/loadavg"):match "^[%d.]+") }
end

---Rows of the machine itself.
---@param m table of machine()
---@param thresholds? table
---@return opsh.resources.row[]
function M.of_machine(m, thresholds)
	local cpu = { M.limits(thresholds, "cpu") }
	local memory = { M.limits(thresholds, "memory") }
	local load, used = m.load / m.cores * 100, m.memory - m.available
	local share = m.memory > 0 and used / m.memory * 100 or nil
	return { { service = "machine", what = "cpu", percent = load,
			level = load > cpu[2] and "warning" or "ok",
			detail = ("load %.2f on %d cores"):format(m.load, m.cores) },
		{ service = "machine", what = "memory", percent = share,
			level = level_of(share, memory), detail = ("%s of %s, %s available")
			:format(M.size(used), M.size(m.memory), M.size(m.available)) } }
end

---The row of a file system of this machine.
---@param path string
---@param thresholds? table
---@return opsh.resources.row
function M.disk(path, thresholds)
	local df = require("opsh.fs").df(path)
	return { service = "machine", what = "disk " .. path, percent = df.percent,
		level = level_of(df.percent, { M.limits(thresholds, "disk") }),
		detail = ("%s of %s, %s free"):format(M.size(df.used), M.size(df.size),
		M.size(df.free)) }
end

---The row of one series of memory over time: does it grow, and when does it meet
---its limit? nil when there are too few points.
---@param name string service of the series
---@param points {[1]: number, [2]: number}[]
---@param limit? number bytes
---@return opsh.resources.row?
function M.growth(name, points, limit)
	local line = trend.line(points)
	if not line then return nil end
	local grows = trend.grows(line)
	local left = grows and limit and trend.meets(line, limit)
	local a_hour = line.slope * 3600
	return { service = name, what = "memory growth", level = grows
		and (left and left < 6 * 3600 and "critical" or "warning") or "ok",
		detail = grows and ("%s an hour over %.1f h, now %s%s"):format(
		M.size(a_hour), line.seconds / 3600, M.size(line.last), left
		and (", at its limit in %.1f h"):format(left / 3600) or "")
		or ("steady over %.1f h at %s"):format(line.seconds / 3600,
		M.size(line.last)) }
end

---The worst first.
---@param rows opsh.resources.row[]
---@return opsh.resources.row[] the same list
function M.sort(rows)
	for _, row in ipairs(rows) do
		row.percent = row.percent and math.floor(row.percent * 10 + 0.5) / 10
	end
	table.sort(rows, function(a, b)
		if a.level ~= b.level then return RANK[a.level] < RANK[b.level] end
		if a.service ~= b.service then return a.service < b.service end
		if a.what ~= b.what then return a.what < b.what end
		return (a.name or "") < (b.name or "")
	end)
	return rows
end

---One line: "1 critical: api memory 95 %; 2 warnings: ...".
---@param rows opsh.resources.row[]
---@return string
function M.verdict(rows)
	local parts = {}
	for _, level in ipairs { "critical", "warning" } do
		local names = {}
		for _, row in ipairs(rows) do
			if row.level == level then
				names[#names + 1] = ("%s %s%s"):format(row.name or row.service,
					row.what, row.percent and (" %.0f %%"):format(row.percent)
					or "")
			end
		end
		if #names > 0 then
			parts[#parts + 1] = ("%d %s: %s"):format(#names, level,
				table.concat(names, ", "))
		end
	end
	return #parts > 0 and table.concat(parts, " · ")
		or ("%d looked at, all below their thresholds"):format(#rows)
end

---Raises kind server (exit 1) when one is critical.
---@param rows opsh.resources.row[]
function M.demand(rows)
	for _, row in ipairs(rows) do
		if row.level == "critical" then
			error(require("opsh.c.err").new { kind = "server", code = "CRITICAL",
				message = M.verdict(rows) }, 0)
		end
	end
end

return M
