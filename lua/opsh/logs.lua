-- logs: what a line of a service's log says: level, time, message, the id that
-- joins the lines of one request; and what many lines say together: errors that
-- differ only in numbers and names are one row. Knows JSON lines, key=value, and
-- the usual plain forms. Owns these patterns; reads nothing itself.
local json = require "opsh.json"

local M = {}

-- Words of a level, and its rank; what is not here is no level.
local RANKS = { trace = 1, debug = 2, info = 3, warn = 4, error = 5, fatal = 6 }
local LEVELS = {
	trace = "trace", finest = "trace", verbose = "trace",
	debug = "debug", fine = "debug", dbg = "debug",
	info = "info", information = "info", notice = "info", inf = "info",
	warn = "warn", warning = "warn", wrn = "warn",
	error = "error", err = "error", severe = "error", alert = "error",
	fatal = "fatal", critical = "fatal", crit = "fatal", panic = "fatal",
	emerg = "fatal", emergency = "fatal",
}

---The levels, from the least on.
M.levels = { "trace", "debug", "info", "warn", "error", "fatal" }

-- Fields of JSON lines, the first that is there counts.
local FIELDS = {
	time = { "timestamp", "time", "ts", "@timestamp", "datetime", "date" },
	level = { "level", "severity", "lvl", "loglevel", "log.level" },
	message = { "message", "msg", "event", "log", "text" },
	correlation = { "correlation_id", "correlationId", "correlation-id",
		"trace_id", "traceId", "request_id", "requestId", "x-request-id" },
	cause = { "error", "err", "exception", "stack_trace", "error_message" },
}

-- Without a level these words say that a line is about a failure.
local BAD = { "exception", "error", "fatal", "panic", "failed", "failure",
	"refused", "denied", "cannot", "can't", "unable to", "no such",
	"not found", "timed out", "timeout", "out of memory", "segfault",
	"segmentation fault", "traceback", "address already in use", "killed" }

-- One line of a log, taken apart.
---@class opsh.logs.entry
---@field text string the line as it is
---@field message string what it says, without time and level
---@field time? number seconds since the epoch
---@field level? "trace"|"debug"|"info"|"warn"|"error"|"fatal"
---@field correlation_id? string joins the lines of one request
---@field fields? table of a JSON line, all of it
---@field service? string of the orchestrator's line
---@field name? string of the instance

---Its level by a word such as "WARNING", "E" or "err"; nil for other words.
---@param word any
---@return string? level one of M.levels
function M.level(word)
	if type(word) == "number" then		-- pino and bunyan: 10 to 60
		return word >= 10 and word <= 60 and M.levels[word // 10 | 0] or nil
	end
	return type(word) == "string" and LEVELS[word:lower()] or nil
end

---Is `level` as bad as `least`, or worse? A line without a level is not.
---@param level? string
---@param least string
---@return boolean
function M.at_least(level, least)
	return (RANKS[level] or 0) >= (RANKS[least] or 0)
end

-- Days since the epoch of a date of the Gregorian calendar.
local function days(y, m, d)
	y = m <= 2 and y - 1 or y
	local era = y // 400
	local yoe = y - era * 400
	local doy = (153 * (m + (m > 2 and -3 or 9)) + 2) // 5 + d - 1
	return era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468
end

---Seconds since the epoch of an ISO 8601 time; without a zone it is UTC.
---@param text string such as "2025-11-29T21:56:00.000Z"
---@return number? seconds
---@return integer? to the place after it
function M.time(text)
	local y, mo, d, h, mi, s, to = text:match(
		"^(%d%d%d%d)[-/](%d%d)[-/](%d%d)[T ](%d%d):(%d%d):(%d%d)()")
	if not y then return nil end
	local function int(digits) return math.tointeger(tonumber(digits)) end
	local seconds = days(int(y), int(mo), int(d)) * 86400 + int(h) * 3600
		+ int(mi) * 60 + int(s) + 0.0
	local fraction, after = text:match("^[.,](%d+)()", to)
	if fraction then
		seconds, to = seconds + tonumber("0." .. fraction), after
	end
	local sign, zh, zm
	sign, zh, zm, after = text:match("^ ?([+-])(%d%d):?(%d%d)()", to)
	if sign then
		local off = int(zh) * 3600 + int(zm) * 60
		return seconds - (sign == "+" and off or -off), after
	end
	return seconds, text:match("^Z()", to) or to
end

local function first(fields, names)
	for _, name in ipairs(names) do
		local v = fields[name]
		if v ~= nil then return v end
	end
end

-- A number that is a time: seconds, milli-, micro- or nanoseconds.
local function epoch(v)
	while v > 1e11 do v = v / 1000 end
	return v
end

local function of_json(entry, fields)
	local t, cause = first(fields, FIELDS.time), first(fields, FIELDS.cause)
	if type(t) == "number" then
		entry.time = epoch(t)
	elseif type(t) == "string" then
		entry.time = M.time(t) or entry.time
	end
	entry.level = M.level(first(fields, FIELDS.level))
	local id = first(fields, FIELDS.correlation)
	entry.correlation_id = id ~= nil and tostring(id) or nil
	local message = first(fields, FIELDS.message)
	entry.message = message ~= nil and tostring(message) or entry.text
	if type(cause) == "table" then cause = cause.message or cause.type end
	if type(cause) == "string" and cause ~= "" then
		entry.message = entry.message .. ": " .. (cause:match "^[^\n]*")
	end
	entry.fields = fields
	return entry
end

-- The level that a plain line states: level=x, [x], x:, or the word in capitals.
local function stated(text)
	local word = text:match "[Ll]evel=\"?(%a+)" or text:match "^%[(%a+)%]"
	local level = word and M.level(word)
	if level then return level end
	local head = text:sub(1, 120)
	for found in head:gmatch "%f[%w]%u%u%u+%f[%W]" do
		level = M.level(found)
		if level then return level end
	end
	for found in head:gmatch "%[(%a+)%]" do
		level = M.level(found)
		if level then return level end
	end
	word = head:match "^(%a+):" or head:match "^%S+ %S+ (%l+):"
	return word and M.level(word) or nil
end

local function of_text(entry)
	local text = entry.text
	local t, to = M.time(text:match "^%[?(.*)$")
	if t then
		entry.time = t
		if text:sub(1, 1) == "[" then to = to + 1 end
		text = text:sub(to):gsub("^[%]%s]+", "")
	end
	entry.level = stated(text)
	local message = text
	if entry.level then	-- the level's word at the line's head says nothing more
		message = message:gsub("^%[?(%a+)%]?:?%s+", function(word)
			return M.level(word) and "" or nil
		end, 1)
	end
	entry.correlation_id = text:match "correlation[_-]?[iI]d[=:]%s*\"?([%w_.-]+)"
		or text:match "trace[_-]?[iI]d[=:]%s*\"?([%w_.-]+)"
		or text:match "request[_-]?[iI]d[=:]%s*\"?([%w_.-]+)"
	entry.message = text:match "msg=\"(.-)\"" or message
	return entry
end

---Takes one line apart: JSON, key=value or plain.
---
---Example: logs.parse('{"level":"ERROR","msg":"no","correlation_id":"c1"}').level
---@param text string
---@param time? number what the orchestrator says of it; the line's own counts more
---@return opsh.logs.entry
function M.parse(text, time)
	local entry = { text = text, time = time, message = text }
	local from = text:match "^%s*(){"
	if from then
		local ok, fields = pcall(json.decode, text:sub(from))
		if ok and type(fields) == "table" then return of_json(entry, fields) end
	end
	return of_text(entry)
end

---Does the line tell of a failure? By its level; without one by its words.
---@param entry opsh.logs.entry
---@return boolean
function M.is_error(entry)
	if entry.level then return M.at_least(entry.level, "error") end
	local text = entry.message:lower()
	for _, word in ipairs(BAD) do
		if text:find(word, 1, true) then return true end
	end
	return false
end

---A message without what differs from one time to the next: numbers, ids,
---addresses. Lines of one pattern are one problem.
---@param message string
---@return string
function M.pattern(message)
	local s = message:match "^[^\n]*"
	s = s:gsub("%d%d%d%d[-/]%d%d[-/]%d%d[T ]%d%d:%d%d:%d%d[%d.,Z:+-]*", "<time>")
	s = s:gsub("%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x+", "<id>")
	s = s:gsub("%d+%.%d+%.%d+%.%d+:?%d*", "<address>")
	s = s:gsub("0x%x+", "<n>")
	s = s:gsub("%f[%w](%x+)%f[%W]", function(word)
		return #word >= 8 and word:find "%d" and word:find "%a" and "<id>" or nil
	end)
	s = s:gsub("%d+%.?%d*", "<n>")
	return s
end

-- What is alike.
---@class opsh.logs.group
---@field count integer
---@field pattern string
---@field example string a line of it, the last
---@field services string[] where it was, sorted
---@field first? number
---@field last? number

---Puts entries of one pattern together, the most frequent first.
---@param entries opsh.logs.entry[]
---@return opsh.logs.group[]
function M.group(entries)
	local by, list = {}, {}
	for n, entry in ipairs(entries) do
		local pattern = M.pattern(entry.message)
		local g = by[pattern]
		if not g then
			g = { count = 0, pattern = pattern, services = {}, seen = {}, at = n }
			by[pattern], list[#list + 1] = g, g
		end
		g.count, g.example = g.count + 1, entry.message
		g.first = g.first or entry.time
		g.last = entry.time or g.last
		if entry.service and not g.seen[entry.service] then
			g.seen[entry.service] = true
			table.insert(g.services, entry.service)
		end
	end
	table.sort(list, function(a, b)
		if a.count ~= b.count then return a.count > b.count end
		return a.at > b.at		-- the later one is nearer to the end
	end)
	for _, g in ipairs(list) do
		table.sort(g.services)
		g.seen, g.at = nil, nil
	end
	return list
end

-- What a line must be; nil: anything.
---@class opsh.logs.filter
---@field level? string at least this bad; a line without a level passes when it tells of a failure
---@field grep? string a Lua pattern, or text between what is no pattern
---@field since? number seconds since the epoch
---@field until_? number seconds since the epoch
---@field correlation_id? string

---Is the line one that was asked for? `a|b` in grep: one of them.
---@param entry opsh.logs.entry
---@param filter opsh.logs.filter
---@return boolean
function M.matches(entry, filter)
	if filter.level then
		if entry.level and not M.at_least(entry.level, filter.level) then
			return false
		elseif not entry.level and RANKS[filter.level] > RANKS.info
			and not M.is_error(entry) then
			return false
		end
	end
	if filter.since and entry.time and entry.time < filter.since then
		return false
	elseif filter.until_ and entry.time and entry.time > filter.until_ then
		return false
	elseif filter.correlation_id and entry.correlation_id
		~= filter.correlation_id and not entry.text:find(
		filter.correlation_id, 1, true) then
		return false
	end
	if not filter.grep then return true end
	local text = entry.text:lower()
	for word in filter.grep:lower():gmatch "[^|]+" do
		if text:find(word, 1, true) then return true end
	end
	return false
end

---Sorts entries of many services by their time; those without one stay behind
---the line of their service that came before.
---@param entries opsh.logs.entry[]
---@return opsh.logs.entry[] the same list
function M.merge(entries)
	local at, last = {}, {}
	for n, entry in ipairs(entries) do
		local from = entry.name or entry.service or ""
		last[from] = entry.time or last[from] or 0
		at[entry] = { last[from], n }
	end
	table.sort(entries, function(a, b)
		local x, y = at[a], at[b]
		if x[1] ~= y[1] then return x[1] < y[1] end
		return x[2] < y[2]
	end)
	return entries
end

---One line for people: time (UTC), service, level, message.
---@param entry opsh.logs.entry
---@param width? integer columns of the service's name
---@return string
function M.line(entry, width)
	local time = entry.time and os.date("!%H:%M:%S", entry.time // 1 | 0)
		.. (".%03d"):format((entry.time % 1 * 1000) // 1 | 0) or "            "
	local id = entry.fields and entry.correlation_id
	return ("%s  %-" .. (width or 1) .. "s  %-5s  %s%s"):format(time,
		entry.name or entry.service or "", entry.level or "", entry.message,
		id and " [" .. id .. "]" or "")
end

return M
