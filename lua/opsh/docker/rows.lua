-- docker.rows: what docker's JSON says, as rows: containers, their use, events.
-- Shared by opsh.docker and opsh.compose. Pure: no call leaves here. Whatever the
-- JSON is, each function gives a row or raises an error of kind protocol.
local err = require "opsh.c.err"
local json = require "opsh.json"
local logs = require "opsh.logs"

local M = {}

local LABEL = "com.docker.compose."
local SIGTERM <const> = 15
local SIGINT <const> = 2

local function bad(what, name, wanted, got)
	error(err.new { kind = "protocol", message = ("docker gave %s whose '%s' "
		.. "is a %s, not a %s"):format(what, name, type(got), wanted) }, 0)
end

-- t[name] when it is of the type; nil when it is not there or null.
local function get(t, name, wanted, what)
	local v = t[name]
	if v == nil or v == json.null then return nil end
	if type(v) ~= wanted then bad(what, name, wanted, v) end
	return v
end
M.get = get

local function object(v, what)
	if type(v) ~= "table" then
		error(err.new { kind = "protocol", message = ("docker gave a %s where "
			.. "%s belongs"):format(type(v), what) }, 0)
	end
	return v
end

---JSON of docker, decoded. Raises kind protocol that says what it was about.
---@param text string
---@param what string such as "a container"
---@return any
function M.decode(text, what)
	local ok, value = pcall(json.decode, text)
	if ok then return value end
	if not err.is(value) then error(value, 0) end
	error(err.new { kind = value.kind, message = ("cannot read what docker "
		.. "said of %s: %s"):format(what, value.message) }, 0)
end

---One JSON value a line (`--format '{{json .}}'`), each made a row by f.
---@param text string
---@param what string
---@param f fun(value: any): table?
---@return table[]
function M.each(text, what, f)
	local rows = {}
	for line in text:gmatch "[^\r\n]+" do
		rows[#rows + 1] = f(M.decode(line, what))
	end
	return rows
end

---Seconds since the epoch of a time such as 2026-01-02T03:04:05.678Z.
---@param text any
---@return number? seconds nil for what is no time, and for docker's "never"
function M.time(text)
	if type(text) ~= "string" or #text > 64 or text:find "^0001" then return nil end
	return (logs.time(text))
end

local UNITS = { [""] = 1, b = 1, k = 1024, kb = 1000, kib = 1024, m = 1024 ^ 2,
	mb = 1000 ^ 2, mib = 1024 ^ 2, g = 1024 ^ 3, gb = 1000 ^ 3, gib = 1024 ^ 3,
	t = 1024 ^ 4, tb = 1000 ^ 4, tib = 1024 ^ 4 }

---Bytes of "1.5MiB", "512m", 1024.
---@param v any
---@return integer? bytes nil for what is no size
function M.bytes(v)
	if math.type(v) == "integer" then return v end
	if type(v) == "number" then return math.tointeger(v // 1) end
	if type(v) ~= "string" or #v > 64 then return nil end
	local n, unit = v:match "^%s*([%d.]+)%s*(%a*)%s*$"
	n = tonumber(n)
	if not n or not UNITS[unit:lower()] then return nil end
	return math.tointeger((n * UNITS[unit:lower()] + 0.5) // 1)
end

-- --- containers --------------------------------------------------------------

-- docker's own words for what a container is doing -> ours.
local STATES = { running = "running", restarting = "restarting",
	paused = "paused", created = "pending", removing = "exited",
	exited = "exited", dead = "failed" }

local function first_line(text)
	return text and text:match "[^\r\n]*%S[^\r\n]*"
end

-- What its last health check printed.
local function health_said(health)
	local log = get(health, "Log", "table", "a health check")
	local last = log and log[#log]
	if type(last) ~= "table" then return nil end
	return first_line(get(last, "Output", "string", "a health check"))
end

-- state, reason, message of one that runs, does not yet, or has ended.
local function judge(row, state)
	local status = get(state, "Status", "string", "a container")
	row.state = STATES[status] or "pending"
	local failure = get(state, "Error", "string", "a container")
	if failure and failure ~= "" then row.message = first_line(failure) end
	if row.state == "running" then return end
	local code = get(state, "ExitCode", "number", "a container")
	row.exit_code = math.tointeger(code)
	if row.exit_code and row.exit_code > 128 and row.exit_code < 193 then
		row.signal = row.exit_code - 128
	end
	local asked = row.signal == SIGTERM or row.signal == SIGINT
	if row.state == "restarting" then
		row.reason = "CrashLoopBackOff"
	elseif row.state == "exited" and row.exit_code ~= 0 and not asked then
		row.state, row.reason = "failed", "Error"
	elseif row.state == "pending" and row.message then
		row.state, row.reason = "failed", "Error"
	end
	if get(state, "OOMKilled", "boolean", "a container") then
		row.reason = "OOMKilled"
		if row.state == "exited" then row.state = "failed" end
	end
	if row.state == "pending" then row.exit_code = nil end
end

local function judge_health(row, state)
	local health = get(state, "Health", "table", "a container")
	local status = health and get(health, "Status", "string", "a health check")
	if status == "healthy" or status == "unhealthy" or status == "starting" then
		row.health = status
	end
	if row.state ~= "running" then return end
	if row.health == "starting" then
		row.state = "starting"
	elseif row.health == "unhealthy" then
		row.reason = "Unhealthy"
		row.message = row.message or health_said(health)
	end
	row.ready = row.state == "running" and row.health ~= "unhealthy"
end

-- {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]} as texts, sorted.
local function ports_of(c)
	local net = get(c, "NetworkSettings", "table", "a container") or {}
	local list = {}
	for inside, bound in pairs(get(net, "Ports", "table", "a container") or {}) do
		local port = tostring(inside):gsub("/tcp$", "")
		for _, b in ipairs(type(bound) == "table" and bound or {}) do
			object(b, "a port")
			local ip = get(b, "HostIp", "string", "a port") or ""
			if ip:find(":", 1, true) then ip = "[" .. ip .. "]" end
			list[#list + 1] = ("%s:%s->%s"):format(ip == "" and "0.0.0.0" or ip,
				get(b, "HostPort", "string", "a port") or "", port)
		end
	end
	table.sort(list)
	return #list > 0 and list or nil
end

---A container of `docker inspect` as a row of opsh.orchestrator.
---@param c any
---@return opsh.orchestrator.row row with `id`, `number`, `hash`, `memory_limit` and `finished` (seconds since the epoch) besides
function M.container(c)
	object(c, "a container")
	local config = get(c, "Config", "table", "a container") or {}
	local labels = get(config, "Labels", "table", "a container") or {}
	local state = object(c.State, "the state of a container")
	local name = get(c, "Name", "string", "a container") or ""
	local row = { id = get(c, "Id", "string", "a container"), ready = false,
		name = (name:gsub("^/", "")),
		image = get(config, "Image", "string", "a container"),
		restarts = math.tointeger(get(c, "RestartCount", "number",
			"a container")), ports = ports_of(c),
		hash = get(labels, LABEL .. "config-hash", "string", "a container") }
	row.service = get(labels, LABEL .. "service", "string", "a container")
		or row.name
	row.number = math.tointeger(tonumber(get(labels, LABEL
		.. "container-number", "string", "a container"))) or 1
	row.started = M.time(state.StartedAt)
	row.finished = M.time(state.FinishedAt)
	local host = get(c, "HostConfig", "table", "a container") or {}
	local limit = math.tointeger(get(host, "Memory", "number", "a container"))
	row.memory_limit = limit and limit > 0 and limit or nil
	judge(row, state)
	judge_health(row, state)
	return row
end

---Is it a container of `compose run`, which belongs to no service's instances?
---@param c table of docker inspect
---@return boolean
function M.is_one_off(c)
	local config = type(c) == "table" and c.Config
	local labels = type(config) == "table" and config.Labels
	local value = type(labels) == "table" and labels[LABEL .. "oneoff"]
	return type(value) == "string" and value:lower() == "true"
end

---A container of `docker ps --format '{{json .}}'`.
---@param v any
---@return {id: string, name: string, image: string, state: string, status: string, ports: string, project?: string, service?: string}
function M.listed(v)
	object(v, "a container")
	local labels = "," .. (get(v, "Labels", "string", "a container") or "")
	local function label(name)
		return labels:match("," .. name:gsub("[%-.]", "%%%0") .. "=([^,]*)")
	end
	return { id = get(v, "ID", "string", "a container"),
		name = get(v, "Names", "string", "a container"),
		image = get(v, "Image", "string", "a container"),
		state = get(v, "State", "string", "a container"),
		status = get(v, "Status", "string", "a container"),
		ports = get(v, "Ports", "string", "a container"),
		project = label(LABEL .. "project"), service = label(LABEL .. "service") }
end

-- --- use, events -----------------------------------------------------------

local function pair(text)
	if not text then return nil, nil end
	local a, b = text:match "^(.-) / (.+)$"
	return M.bytes(a), M.bytes(b)
end

---One row of `docker stats --no-stream --format '{{json .}}'`. Sizes are as docker
---rounds them.
---@param v any
---@return table row id name cpu (cores) memory memory_limit read written received sent pids; nil where docker says nothing
function M.stats(v)
	object(v, "the use of a container")
	local function text(name)
		return get(v, name, "string", "the use of a container")
	end
	local cpu = (text "CPUPerc" or ""):match "^([%d.]+)%%$"
	local row = { id = text "ID", name = text "Name",
		cpu = tonumber(cpu) and tonumber(cpu) / 100,
		pids = math.tointeger(tonumber(text "PIDs")) }
	row.memory, row.memory_limit = pair(text "MemUsage")
	row.read, row.written = pair(text "BlockIO")
	row.received, row.sent = pair(text "NetIO")
	return row
end

-- What went wrong, of what a container does; the rest is "Normal".
local function is_warning(action, attributes)
	if action == "oom" or action == "health_status: unhealthy" then return true end
	local code = attributes.exitCode
	return action == "die" and code ~= nil and code ~= "0"
end

---One event of `docker events --format '{{json .}}'`.
---@param v any
---@return table? row time type reason service name message count; nil for the steps of an exec, which health checks fill the list with
function M.event(v)
	object(v, "an event")
	local action = get(v, "Action", "string", "an event") or ""
	if action:find "^exec_" then return nil end
	local actor = get(v, "Actor", "table", "an event") or {}
	local attributes = get(actor, "Attributes", "table", "an event") or {}
	local nano = get(v, "timeNano", "number", "an event")
	local code = get(attributes, "exitCode", "string", "an event")
	local kind = get(v, "Type", "string", "an event") or ""
	return {
		time = nano and nano / 1e9 or get(v, "time", "number", "an event"),
		type = is_warning(action, attributes) and "Warning" or "Normal",
		reason = (action:gsub(":.*", "")),
		service = get(attributes, LABEL .. "service", "string", "an event"),
		name = get(attributes, "name", "string", "an event")
			or get(actor, "ID", "string", "an event") or "",
		message = ("%s %s%s"):format(kind, action, code and action == "die"
			and " with exit code " .. code or ""),
		count = 1,
	}
end

---One line of `docker system df --format '{{json .}}'`.
---@param v any
---@return {type: string, total: integer?, active: integer?, size: integer?, reclaimable: integer?}
function M.usage(v)
	object(v, "the use of the disk")
	local function text(name)
		return get(v, name, "string", "the use of the disk") or ""
	end
	return { type = text "Type", total = math.tointeger(tonumber(
		text "TotalCount")), active = math.tointeger(tonumber(text "Active")),
		size = M.bytes(text "Size"),
		reclaimable = M.bytes((text("Reclaimable"):gsub("%s*%(.*", ""))) }
end

return M
