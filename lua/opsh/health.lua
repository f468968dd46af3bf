-- health: is a service well, by what it says itself: its health URL with status,
-- body and dependencies, its readiness, its certificate, a ping in the protocol
-- of what is no HTTP. A kind that this build lacks is "not checked", never well.
-- Reads only. Must not know an orchestrator's backend (opsh.orchestrator).
local err = require "opsh.c.err"
local json = require "opsh.json"
local service = require "opsh.service"
local task = require "opsh.task"

local M = {}

-- States, the worst first.
M.states = { "down", "degraded", "slow", "not checked", "up" }
local RANK = {}
for n, state in ipairs(M.states) do RANK[state] = n end

local DAYS <const> = 14		-- a certificate with fewer days left is named
local BODY <const> = 1 << 20	-- bytes of an answer that are looked at

-- One service, one row; `opsh help health` has the JSON schema.
---@class opsh.health.row
---@field service string
---@field state "down"|"degraded"|"slow"|"not checked"|"up"
---@field latency_ms? integer of the health request or the ping
---@field detail string what it says, or what is wrong
---@field container? string what its orchestrator says
---@field problem? string one word: dns connect tls auth timeout status body dependency readiness container certificate error
---@field status? integer HTTP status
---@field dependencies? table<string, string> as it reports them: ok, bad, warn
---@field days_left? integer of its certificate
---@field ready? integer instances that are
---@field instances? integer

local WORDS = {}
for what, list in pairs {
	ok = { "up", "ok", "okay", "healthy", "pass", "passing", "passed", "alive",
		"ready", "running", "available", "green", "success", "serving",
		"online", "active", "connected", "true", "closed", "pong", "good" },
	bad = { "down", "unhealthy", "fail", "failed", "failing", "failure",
		"error", "critical", "red", "out_of_service", "unavailable", "offline",
		"dead", "disconnected", "false", "open", "not_ready", "stopped" },
	warn = { "degraded", "warn", "warning", "yellow", "unknown", "starting",
		"initializing", "partial", "half-open", "half_open" },
} do
	for _, word in ipairs(list) do WORDS[word] = what end
end

-- Fields that are the whole's own state, and those that hold the parts'.
local OWN = { status = true, state = true, health = true, healthy = true,
	ok = true, up = true, success = true, alive = true, ready = true,
	overall = true, overall_status = true }
local PARTS = { "components", "dependencies", "checks", "services", "details",
	"entries" }

---"ok", "bad" or "warn" for a word such as "UP", true, "half-open"; nil for
---what says nothing about health.
---@param v any
---@return string?
function M.word(v)
	if type(v) == "boolean" then return v and "ok" or "bad" end
	if type(v) ~= "string" then return nil end
	return WORDS[v:lower():gsub(" ", "_")]
end

-- The state of one part: a word, or a table that has one.
local function part_state(v)
	if type(v) == "table" then
		if v[1] ~= nil then return part_state(v[1]) end
		for _, name in ipairs { "status", "state", "healthy", "health", "ok",
			"up" } do
			if v[name] ~= nil then return M.word(v[name]) end
		end
		return nil
	end
	return M.word(v)
end

local function parts_of(body)
	local parts = {}
	for name, v in pairs(body) do
		local is_breaker = type(name) == "string"
			and name:lower():find("circuit", 1, true)
		if type(name) == "string" and not OWN[name:lower()]
			and (type(v) == "boolean" or is_breaker) then
			parts[name] = part_state(v)
		end
	end
	for _, field in ipairs(PARTS) do
		local all = body[field]
		for name, v in pairs(type(all) == "table" and all or {}) do
			if math.type(name) and type(v) == "table" then
				name = v.name or v.id or name
			end
			parts[tostring(name)] = part_state(v)
		end
	end
	return next(parts) and parts or nil
end

---What the body of a health answer says.
---
---Example: health.body '{"status":"healthy","redis":true,"kafka":false}'
---@param text string
---@return {word?: string, text?: string, dependencies?: table<string, string>} says
function M.body(text)
	local trimmed = text:match "^%s*(.-)%s*$"
	if trimmed:sub(1, 1) ~= "{" then
		local word = #trimmed <= 32 and M.word(trimmed) or nil
		return { word = word, text = word and trimmed or nil }
	end
	local ok, body = pcall(json.decode, trimmed)
	if not ok or type(body) ~= "table" then return {} end
	local out = { dependencies = parts_of(body) }
	for _, name in ipairs { "status", "state", "overall_status", "overall",
		"health", "healthy", "ok", "up" } do
		local v = body[name]
		if type(v) == "table" then v = v.status end
		if M.word(v) then
			out.word, out.text = M.word(v), tostring(v)
			break
		end
	end
	return out
end

-- "redis, kafka" of these states, sorted.
local function named(parts, state)
	local names = {}
	for name, v in pairs(parts or {}) do
		if v == state then names[#names + 1] = name end
	end
	table.sort(names)
	return #names > 0 and table.concat(names, ", ") or nil
end

-- The beginning of a body, on one line.
local function start_of(text)
	local line = (text or ""):gsub("<[^>]*>", " "):gsub("[%s%c]+", " ")
		:match "^%s*(.-)%s*$"
	if line == "" then return nil end
	return #line > 60 and line:sub(1, 57) .. "..." or line
end

local function is_expected(status, expect)
	if expect then return status == expect end
	return status >= 200 and status < 300
end

---Judges an HTTP answer: state, detail and problem into `row`.
---@param row table
---@param r {status: integer, body: string} of opsh.http
---@param expect? integer status; default: any 2xx
function M.judge(row, r, expect)
	local says = M.body(r.body or "")
	row.status, row.dependencies = r.status, says.dependencies
	local bad = named(says.dependencies, "bad")
	local warn = named(says.dependencies, "warn")
	if not is_expected(r.status, expect) then
		row.state, row.problem = "down", "status"
		row.detail = ("status %d%s%s"):format(r.status,
			expect and (", %d expected"):format(expect) or "",
			bad and ": " .. bad .. " down" or says.text and ": says " .. says.text
			or start_of(r.body) and ": " .. start_of(r.body) or "")
		row.problem = bad and "dependency" or "status"
	elseif says.word == "bad" then
		row.state, row.problem = "down", bad and "dependency" or "body"
		row.detail = "says " .. says.text .. (bad and ": " .. bad .. " down" or "")
	elseif bad then
		row.state, row.problem = "degraded", "dependency"
		row.detail = bad .. " down"
	elseif says.word == "warn" or warn then
		row.state, row.problem = "degraded", warn and "dependency" or "body"
		row.detail = says.word == "warn" and "says " .. says.text
			or warn .. " not well"
	else
		row.state = "up"
		row.detail = says.text and "says " .. says.text
			or ("status %d"):format(r.status)
	end
end

local PROBLEM = { connect = "connect", tls = "tls", auth = "auth",
	timeout = "timeout", config = "config", limit = "body", protocol = "body" }

-- A call that failed is what is wrong with the service.
local function failed(row, e)
	row.state = "down"
	if not err.is(e) then
		row.problem, row.detail = "error", tostring(e)
		return
	end
	row.problem = e.phase == "dns" and "dns" or PROBLEM[e.kind] or "error"
	row.detail = e.kind == "tls" and "TLS: " .. e.message or e.message
end

-- A certificate that ends soon, or is not trusted.
local function judge_certificate(row, cert, least)
	if not cert then return end
	local days = cert.days_left and math.floor(cert.days_left)
	row.days_left = days
	if cert.problem or cert.verified == false then
		row.state, row.problem = "down", "tls"
		row.detail = "TLS: " .. tostring(cert.problem or "not verified")
	elseif days and days < least then
		row.detail = ("%s; certificate: %d days left"):format(row.detail, days)
		row.problem = row.problem or "certificate"
	end
end

local function get(client, path, timeout)
	return client:get(path, { timeout = timeout, connect_timeout = timeout,
		max_body = BODY, follow = 0 })
end

local CHECK = {}

function CHECK.http(row, client, def, opts)
	local r, e = try(get, client, def.health or "/", opts.timeout)
	if not r then return failed(row, e) end
	row.latency_ms = math.floor(r.timing.total * 1000 + 0.5)
	if def.health or def.expect then
		M.judge(row, r, def.expect)
	else
		row.state = r.status < 500 and "up" or "down"
		row.problem = r.status >= 500 and "status" or nil
		row.detail = ("answers %d (no health path is set)"):format(r.status)
	end
	judge_certificate(row, r.certificate, opts.certificate_days)
end

function CHECK.redis(row, client)
	local began = task.now()
	local reply, e = try(client.ping, client)
	if not reply then return failed(row, e) end
	row.latency_ms = math.floor((task.now() - began) * 1000 + 0.5)
	row.state, row.detail = "up", "answers PING"
end

function CHECK.postgres(row, client, _, opts)
	local began = task.now()
	local recovery, e = try(client.value, client, "select pg_is_in_recovery()",
		{ timeout = opts.timeout })
	if recovery == nil then return failed(row, e) end
	row.latency_ms = math.floor((task.now() - began) * 1000 + 0.5)
	row.state = "up"
	row.detail = recovery and "answers as a standby" or "answers as a primary"
end

function CHECK.kafka(row, client, _, opts)
	local began = task.now()
	local id, e = try(client.identity, client, { timeout = opts.timeout })
	if not id then return failed(row, e) end
	row.latency_ms = math.floor((task.now() - began) * 1000 + 0.5)
	row.state = "up"
	row.detail = ("%d broker%s answer"):format(#id.brokers,
		#id.brokers == 1 and "" or "s")
end

-- Ready for work is another question than alive.
local function check_ready(row, client, def, opts)
	local r, e = try(get, client, def.readiness, opts.timeout)
	if r and is_expected(r.status, nil) then return end
	row.problem, row.state = "readiness", "degraded"
	row.detail = "alive, but not ready: " .. (r and ("status %d%s"):format(
		r.status, start_of(r.body) and ": " .. start_of(r.body) or "")
		or err.is(e) and e.message or tostring(e))
end

local function check_tls(row, def, opts)
	local cert, e = try(require("opsh.http").certificate, def.tls,
		{ timeout = opts.timeout })
	if cert then
		judge_certificate(row, cert, opts.certificate_days)
	elseif row.state ~= "down" then
		failed(row, e)
		row.detail = ("certificate of %s: %s"):format(def.tls, row.detail)
	end
end

local function kinds_of(system)
	local kinds = {}
	for _, target in ipairs(system.targets()) do kinds[target.name] = target end
	return kinds
end

-- What the service says of itself.
local function ask(row, system, def, target, opts)
	local check = target and target.built_in and CHECK[target.kind]
	if not target then
		row.detail = "no target to ask"
		if def.tls then check_tls(row, def, opts) end
		return
	elseif not check then
		row.detail = target.built_in and ("no health check for kind '%s'")
			:format(target.kind) or ("kind '%s' is not in this build")
			:format(target.kind)
		return
	end
	local client = system.target(def.target)
	local slot = {}
	task.all(function()
		local _, e = try(task.timeout, opts.timeout + 0.2, check, row, client,
			def, opts)
		if e then failed(row, e) end
	end, function()
		if def.readiness and target.kind == "http" then
			check_ready(slot, client, def, opts)
		end
	end)
	if slot.state and row.state == "up" then
		row.state, row.problem, row.detail = slot.state, slot.problem, slot.detail
	end
	if def.tls then check_tls(row, def, opts) end
end

-- What the orchestrator says, where it knows better: a process that is gone is
-- gone, and one that runs makes nothing well by itself.
local function weigh(row, rows, asked)
	rows = service.staying(rows)
	local text, ready = service.summary(rows)
	row.container, row.instances = text, #rows
	row.ready = ready
	if #rows == 0 then
		row.instances, row.ready = nil, nil
	elseif row.state == "not checked" and ready < #rows then
		row.state = ready == 0 and "down" or "degraded"
		row.problem, row.detail = "container", row.detail .. "; " .. text
	elseif row.state == "not checked" and not asked then
		row.state, row.detail = "up", "runs; nothing else is known of it"
	elseif ready < #rows and RANK[row.state] > RANK.degraded then
		row.state, row.problem = "degraded", "container"
		row.detail = ("answers, but %s"):format(text)
	end
end

---Checks one service: what it says, then what its orchestrator says of it.
---@param system table the global `system`, or a table like it
---@param s opsh.service
---@param opts? {timeout?: number, slow?: number, certificate_days?: number}
---timeout: seconds (5) unless the service has its own; slow: seconds (1)
---@param rows? opsh.orchestrator.row[] its instances
---@return opsh.health.row
function M.check(system, s, opts, rows)
	opts = opts or {}
	local def = s.def
	local row = { service = s.name, state = "not checked", detail = "" }
	local target = def.target and kinds_of(system)[def.target]
	local o = { timeout = def.timeout or opts.timeout or 5,
		certificate_days = opts.certificate_days or DAYS }
	ask(row, system, def, target, o)
	weigh(row, rows or {}, target ~= nil)
	local slow = def.thresholds and (def.thresholds.slow
		or def.thresholds.latency) or opts.slow or 1
	if type(slow) == "table" then slow = slow.above or 1 end
	if row.state == "up" and row.latency_ms and row.latency_ms > slow * 1000 then
		row.state, row.problem = "slow", "slow"
		row.detail = ("%.1f s, limit %g s; %s"):format(row.latency_ms / 1000,
			slow, row.detail)
	end
	return row
end

---The worst first, then by name.
---@param rows opsh.health.row[]
---@return opsh.health.row[] the same list
function M.sort(rows)
	table.sort(rows, function(a, b)
		if a.state ~= b.state then return RANK[a.state] < RANK[b.state] end
		return a.service < b.service
	end)
	return rows
end

---Checks all of these at once; in the time of the slowest.
---@param system table
---@param services opsh.service[]
---@param opts? table of check; orchestrator: its client, kind: its kind, patience: seconds for its answer (as timeout)
---@return opsh.health.row[] sorted
---@return string? problem of the orchestrator
---@return opsh.orchestrator.row[]? status what it says
function M.all(system, services, opts)
	opts = opts or {}
	local status, problem = nil, nil
	local rows = {}
	local per = { timeout = opts.timeout, slow = opts.slow,
		certificate_days = opts.certificate_days }
	task.all(function()
		if not opts.orchestrator then return end
		local e
		status, e = try(task.timeout, opts.patience or opts.timeout or 5,
			opts.orchestrator.status, opts.orchestrator)
		if e then problem = err.is(e) and e.message or tostring(e) end
	end, function()
		rows = task.map(services, { limit = math.max(1, #services) }, function(s)
			return M.check(system, s, per)
		end)
	end)
	for n, s in ipairs(services) do
		local slow = rows[n]
		if status then
			weigh(slow, service.instances(s, opts.kind, status),
				s.def.target ~= nil)
		end
	end
	return M.sort(rows), problem, status
end

---Those of this state.
---@param rows opsh.health.row[]
---@param ... string states
---@return opsh.health.row[]
function M.of(rows, ...)
	local wanted, out = {}, {}
	for _, state in ipairs { ... } do wanted[state] = true end
	for _, row in ipairs(rows) do
		if wanted[row.state] then out[#out + 1] = row end
	end
	return out
end

---One line that says it all: "2 of 8 down: a, b · 1 slow: c".
---@param rows opsh.health.row[]
---@return string
function M.verdict(rows)
	local parts = {}
	for _, state in ipairs(M.states) do
		local names = {}
		for n, row in ipairs(M.of(rows, state)) do names[n] = row.service end
		if #names > 0 and state ~= "up" then
			parts[#parts + 1] = ("%d %s%s: %s"):format(#names, #parts == 0
				and ("of %d "):format(#rows) or "", state,
				table.concat(names, ", "))
		end
	end
	if #parts == 0 then return ("all %d up"):format(#rows) end
	return table.concat(parts, " · ")
end

---Raises kind server (exit 1) when one is down or degraded, or when none could
---be checked; `slow` counts when asked for.
---@param rows opsh.health.row[]
---@param strict? boolean slow ones fail as well
function M.demand(rows, strict)
	local bad = strict and M.of(rows, "down", "degraded", "slow")
		or M.of(rows, "down", "degraded")
	if #bad == 0 and #rows > 0 and #M.of(rows, "not checked") == #rows then
		error(err.new { kind = "server", code = "NOT_CHECKED",
			message = "no service could be checked" }, 0)
	elseif #bad == 0 then
		return
	end
	local names = {}
	for n, row in ipairs(bad) do names[n] = row.service end
	error(err.new { kind = "server", code = bad[1].state:upper(),
		message = ("not well: %s"):format(table.concat(names, ", ")),
		hint = "opsh run services/triage" }, 0)
end

return M
