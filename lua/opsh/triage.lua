-- triage: from what was found about a service that is not well to the one line
-- that says why, and what to run next. Judges facts, asks nothing: the playbook
-- gathers them. What is sure (the kernel killed it, the image is not there) comes
-- before what is likely (its log says so), that before what is possible.
local service = require "opsh.service"

local M = {}

-- What is known of one service; anything may be missing.
---@class opsh.triage.facts
---@field service string
---@field health? opsh.health.row
---@field instances opsh.orchestrator.row[]
---@field defined? boolean the orchestrator knows it
---@field errors? opsh.logs.group[] of its log
---@field events? table[] of orchestrator:events
---@field taken? {port: integer, by: string}[] its ports that others hold
---@field missing? string[] variables that it must have and has not
---@field down? string[] what it depends on and is not well
---@field limits? {cpu?: number, memory?: integer}

-- What it comes down to.
---@class opsh.triage.verdict
---@field cause string one word: image schedule memory config environment port dependency crash stopped paused missing tls dns listen hang errors disk rights probe unknown
---@field likely string the line behind "most likely:"
---@field run string[] what to run or to look at next

-- Reasons of an orchestrator, and what each comes down to.
local REASONS = {
	ImagePullBackOff = "image", ErrImagePull = "image", InvalidImageName =
	"image", ErrImageNeverPull = "image", OOMKilled = "memory",
	Unschedulable = "schedule", CreateContainerConfigError = "config",
	CreateContainerError = "config", RunContainerError = "config",
	ContainerCannotRun = "config",
}

-- What logs say, the surest first: cause, text for people, words of the line.
local SAYS = {
	{ "port", "its port is taken", { "address already in use", "eaddrinuse",
		"port is already allocated", "bind() to" } },
	{ "memory", "it runs out of memory", { "outofmemoryerror", "out of memory",
		"cannot allocate memory", "heap out of memory" } },
	{ "disk", "the disk is full", { "no space left on device", "disk full",
		"disk quota" } },
	{ "environment", "a setting lacks", { "environment variable",
		"missing required", "must be set", "is not set", "undefined variable",
		"could not resolve placeholder", "unbound variable" } },
	{ "auth", "a password or right is refused", { "password authentication",
		"access denied", "wrongpass", "noauth", "invalid credentials",
		"unauthorized", "authentication failed" } },
	{ "tls", "a certificate is not accepted", { "certificate", "x509",
		"ssl handshake", "tls handshake" } },
	{ "dns", "a name is not found", { "no such host", "name or service not known",
		"unknownhostexception", "enotfound", "name resolution" } },
	{ "dependency", "it can't reach what it depends on", { "connection refused",
		"econnrefused", "connect timeout", "no route to host",
		"could not connect", "cannot connect", "failed to connect",
		"connection reset", "broker not available" } },
	{ "rights", "a file can't be read or written", { "permission denied",
		"eacces", "operation not permitted", "read-only file system" } },
	{ "missing_file", "a file is not there", { "no such file", "not found:",
		"enoent", "cannot find module", "classnotfound",
		"executable file not found" } },
}

-- Exit codes that say something by themselves.
local CODES = {
	[0] = "it ended by itself, without an error", [126] = "its program can't be "
	.. "executed", [127] = "its program is not there", [134] = "it aborted",
	[137] = "it was killed (KILL): out of memory, or somebody's kill -9",
	[139] = "it crashed (segmentation fault)", [143] = "it was told to stop "
	.. "(TERM)",
}
local SIGNALS = { [6] = 134, [9] = 137, [11] = 139, [15] = 143 }

local function quoted(text)
	text = text:gsub("%s+", " ")
	return #text > 110 and text:sub(1, 107) .. "..." or text
end

-- The first error group whose line has one of these words.
local function find(groups, words)
	for _, g in ipairs(groups or {}) do
		local line = g.example:lower()
		for _, word in ipairs(words) do
			if line:find(word, 1, true) then return g end
		end
	end
end

---What the log's errors come down to; nil when they say nothing we know.
---@param groups opsh.logs.group[]
---@return string? cause
---@return string? text
---@return opsh.logs.group? group
function M.says(groups)
	for _, row in ipairs(SAYS) do
		local g = find(groups, row[3])
		if g then return row[1], row[2], g end
	end
end

-- The instance that tells most: one that is not ready, with a reason if any.
local function worst(rows)
	local found
	for _, row in ipairs(service.staying(rows)) do
		if not row.ready and (not found or row.reason and not found.reason) then
			found = row
		end
	end
	return found
end

-- The newest warning of the events, as text.
local function warning(events, reasons)
	for n = #(events or {}), 1, -1 do
		local e = events[n]
		if e.message and (not reasons or reasons[e.reason]) and (e.type
			== "Warning" or reasons) then
			return e.message
		end
	end
end

local function restart(name)
	return { "opsh run services/restart service=" .. name }
end

local function logs(name)
	return { ("opsh run services/logs service=%s level=error since=15m")
		:format(name) }
end

local BY_CAUSE = {}

function BY_CAUSE.image(f, row)
	return ("the image can't be pulled: %s"):format(quoted(row.message
		or warning(f.events) or row.image or row.reason)),
		{ "look at the image's name and tag, and at the registry's rights",
		"opsh run services/triage service=" .. f.service }
end

function BY_CAUSE.schedule(f, row)
	return ("no node takes it: %s"):format(quoted(row.message
		or warning(f.events, { FailedScheduling = true }) or "unschedulable")),
		{ "opsh run services/resources", "free or add capacity, or lower what "
		.. "it requests" }
end

function BY_CAUSE.memory(f)
	local limit = f.limits and f.limits.memory
	return ("it was killed for its memory (OOMKilled)%s"):format(limit
		and (": the limit is %d MiB"):format(limit >> 20) or ""),
		{ "opsh run services/resources only=" .. f.service,
		"give it more memory, or look for a leak; then "
		.. restart(f.service)[1] }
end

function BY_CAUSE.config(f, row)
	return ("its container can't be made: %s"):format(quoted(row.message
		or warning(f.events) or row.reason)),
		{ "look at the configuration that is named, then "
		.. restart(f.service)[1] }
end

-- Reasons that the orchestrator itself gives, and Pending.
local function by_reason(f, row)
	local cause = row and REASONS[row.reason or ""]
	if not cause and row and row.state == "pending" then cause = "schedule" end
	if not cause then return end
	local likely, run = BY_CAUSE[cause](f, row)
	return { cause = cause, likely = likely, run = run }
end

-- A stopped process keeps its port: connections are accepted, none is answered.
local function by_pause(f, row)
	if not row or row.state ~= "paused" then return end
	local run = restart(f.service)
	run[2] = "or kill -CONT, docker unpause"
	return { cause = "paused", likely = "it is paused: it accepts, and never "
		.. "answers", run = run }
end

-- What the machine around it says: variables, ports, other services.
local function by_surroundings(f, row)
	local stopped = row and row.state ~= "running" or #f.instances == 0
	if f.taken and f.taken[1] and stopped then
		local t = f.taken[1]
		return { cause = "port", likely = ("port %d is taken by %s"):format(t.port,
			t.by), run = { ("stop it, or give %s another port; then %s"):format(
			f.service, restart(f.service)[1]) } }
	elseif f.missing and f.missing[1] and (stopped or row and not row.ready) then
		return { cause = "environment", likely = ("it has not got %s"):format(
			table.concat(f.missing, ", ")), run = { "set it where the service "
			.. "is defined; then " .. restart(f.service)[1] } }
	elseif f.down and f.down[1] then
		return { cause = "dependency", likely = ("%s, which it depends on, is "
			.. "not well: begin there"):format(table.concat(f.down, ", ")),
			run = { "opsh run services/triage service=" .. f.down[1] } }
	end
end

local function by_log(f, row)
	local cause, text, g = M.says(f.errors)
	if not cause or not (row or f.health and f.health.state == "down") then
		return
	end
	return { cause = cause, likely = ("%s: %s"):format(text,
		quoted(g.example)), run = cause == "dependency"
		and { "opsh run services/health" } or logs(f.service) }
end

-- What an end by itself says.
local function by_end(f, row)
	if not row then
		if #f.instances > 0 or not f.defined then return end
		return { cause = "missing", likely = "it was never started, or was "
			.. "removed", run = restart(f.service) }
	end
	local code = row.signal and SIGNALS[row.signal] or row.exit_code
	local looping = row.state == "restarting" or row.reason
		== "CrashLoopBackOff"
	local last = f.errors and f.errors[1]
	if row.state == "running" or row.state == "starting" or not (looping
		or code or row.state == "missing") then
		return
	end
	local what = looping and "it crashes at its start, again and again"
		or row.state == "missing" and "it does not run" or "it has ended"
	local why = CODES[code or -1] or code and ("exit code %d"):format(code)
	local cause = (looping or (code or 0) ~= 0 and code ~= 143) and "crash"
		or "stopped"
	return { cause = cause, likely = ("%s%s%s"):format(what, why and ": " .. why
		or "", last and cause == "crash" and "; last error: "
		.. quoted(last.example) or ""), run = cause == "crash" and last
		and logs(f.service) or restart(f.service) }
end

-- It runs: what its health says.
local HEALTH = {
	tls = { "tls", "its certificate is not accepted", {} },
	dns = { "dns", "its name is not found", {} },
	connect = { "listen", "nobody listens at its address", nil },
	timeout = { "hang", "it accepts, and does not answer in time", nil },
	status = { "errors", "it answers with errors", nil },
	body = { "errors", "it says that it is not well", nil },
	readiness = { "errors", "it is alive and not ready", nil },
}

-- It runs, and its own probe says no; nothing else is known to be wrong.
local function by_probe(f, row)
	if not row or row.state ~= "running" or f.health and f.health.problem
		and f.health.problem ~= "container" or not (row.reason == "NotReady"
		or row.reason == "Unhealthy" or row.health == "unhealthy") then
		return
	end
	local said = warning(f.events, { Unhealthy = true }) or row.message
	said = said and said:match "^%s*(.-)[%s:]*$"
	return { cause = "probe", likely = ("it runs, and its probe says that it is "
		.. "not well%s"):format(said and said ~= "" and ": " .. quoted(said)
		or ""), run = logs(f.service) }
end

local function by_health(f)
	local h = f.health
	if not h or h.state == "up" or h.state == "not checked" then return end
	if h.problem == "dependency" then
		local names = {}
		for name, v in pairs(h.dependencies or {}) do
			if v == "bad" then names[#names + 1] = name end
		end
		table.sort(names)
		return { cause = "dependency", likely = ("it says that %s is down")
			:format(table.concat(names, ", ")), run = {
			"opsh run services/health" } }
	end
	local row = HEALTH[h.problem or ""]
	if not row then
		return { cause = "unknown", likely = h.detail, run = logs(f.service) }
	end
	local run = row[3] and { "opsh run tls/expiry" } or restart(f.service)
	if row[1] == "dns" then run = { "look at the name in the targets file" } end
	return { cause = row[1], likely = ("%s: %s"):format(row[2],
		quoted(h.detail)), run = run }
end

---What it most likely is.
---@param f opsh.triage.facts
---@return opsh.triage.verdict
function M.judge(f)
	local row = worst(f.instances)
	return by_reason(f, row) or by_pause(f, row) or by_surroundings(f, row)
		or by_log(f, row) or by_end(f, row) or by_probe(f, row)
		or by_health(f)
		or { cause = "unknown", likely = "nothing that was looked at says why",
			run = logs(f.service) }
end

---Of services that are not well: those that no other of them explains, in the
---order to mend them.
---@param services opsh.service[] those that are not well
---@return string[] names
function M.roots(services)
	local bad, out = {}, {}
	for _, s in ipairs(services) do bad[s.name] = true end
	for _, s in ipairs(service.order(services)) do
		local explained = false
		for _, name in ipairs(s.def.depends or {}) do
			explained = explained or bad[name] or false
		end
		if not explained then out[#out + 1] = s.name end
	end
	if #out == 0 and services[1] then out[1] = services[1].name end
	return out
end

return M
