-- Specs of opsh.triage, opsh.ports and opsh.trend: each cause from the facts that
-- show it, the services to begin with, listeners from what ss and the kernel
-- print, lines through points. Pure. Owns the facts.
local ports = require "opsh.ports"
local trend = require "opsh.trend"
local triage = require "opsh.triage"

local function judged(facts)
	facts.service = facts.service or "api"
	facts.instances = facts.instances or {}
	local v = triage.judge(facts)
	ok(#v.run > 0 and v.run[1] ~= "")
	return v.cause, v.likely
end

local function row(state, more)
	local r = { service = "api", name = "api_1", state = state,
		ready = false }
	for k, v in pairs(more or {}) do r[k] = v end
	return { r }
end

local function errors(...)
	local out = {}
	for n, text in ipairs { ... } do out[n] = { count = 1, example = text } end
	return out
end

describe("opsh.triage", function()
	it("tells the orchestrator's reasons apart", function()
		local cause, likely = judged { instances = row("failed",
			{ reason = "ImagePullBackOff", message = "no such tag 1.2" }) }
		eq(cause, "image")
		eq(likely, "the image can't be pulled: no such tag 1.2")
		cause, likely = judged { instances = row("pending"), events = {
			{ type = "Warning", reason = "FailedScheduling",
				message = "0/1 nodes: insufficient cpu" } } }
		eq(cause, "schedule")
		eq(likely, "no node takes it: 0/1 nodes: insufficient cpu")
		cause, likely = judged { instances = row("restarting",
			{ reason = "OOMKilled", exit_code = 137 }),
			limits = { memory = 64 << 20 } }
		eq(cause, "memory")
		ok(likely:find("64 MiB", 1, true))
		eq((judged { instances = row("pending",
			{ reason = "CreateContainerConfigError", message = "secret" }) }),
			"config")
		cause, likely = judged { instances = row("restarting", { reason =
			"CrashLoopBackOff", exit_code = 3 }), errors = errors "boom at 7" }
		eq(cause, "crash")
		eq(likely, "it crashes at its start, again and again: exit code 3; "
			.. "last error: boom at 7")
	end)

	it("knows one that is paused, which holds its own port", function()
		eq({ judged { instances = row("paused"), taken = { { port = 80,
			by = "nginx (pid 7)" } }, health = { state = "down",
			problem = "timeout", detail = "no answer" } } },
			{ "paused", "it is paused: it accepts, and never answers" })
	end)

	it("tells a probe that says no, and looks past what is leaving", function()
		local running = row("running", { reason = "NotReady", message =
			"containers with unready status: [api]" })
		eq({ judged { instances = running, events = { { type = "Warning",
			reason = "Unhealthy", message = "Readiness probe failed: " } },
			health = { state = "down", problem = "container", detail = "x" } } },
			{ "probe", "it runs, and its probe says that it is not well: "
			.. "Readiness probe failed" })
		eq({ judged { instances = row("running", { health = "unhealthy" }) } },
			{ "probe", "it runs, and its probe says that it is not well" })
		eq((judged { instances = running, health = { state = "down",
			problem = "connect", detail = "refused" } }), "listen")
		eq((judged { instances = { row("running", { leaving = true,
			reason = "Terminating" })[1], row("restarting", { reason =
			"OOMKilled" })[1] } }), "memory")
	end)

	it("knows what is around it", function()
		local gone = row("exited", { exit_code = 1 })
		eq({ judged { instances = gone, taken = { { port = 80, by = "nginx" } } } },
			{ "port", "port 80 is taken by nginx" })
		eq({ judged { instances = gone, missing = { "DB_URL", "X" } } },
			{ "environment", "it has not got DB_URL, X" })
		eq((judged { instances = gone, down = { "db" },
			errors = errors "x" }), "dependency")
	end)

	it("reads the log, then the end, then the health", function()
		local gone = row("exited", { exit_code = 1 })
		for text, cause in pairs {
			["bind: Address already in use"] = "port",
			["java.lang.OutOfMemoryError: Java heap"] = "memory",
			["write: no space left on device"] = "disk",
			["environment variable DB is required"] = "environment",
			["dial tcp 10.0.0.7:5432: connection refused"] = "dependency",
			["x509: certificate has expired"] = "tls",
			["open /etc/x: permission denied"] = "rights",
			["lookup db: no such host"] = "dns",
			["WRONGPASS invalid username"] = "auth",
		} do
			eq((judged { instances = gone, errors = errors(text) }), cause, text)
		end
		eq({ judged { instances = row("exited", { exit_code = 0 }) } },
			{ "stopped", "it has ended: it ended by itself, without an error" })
		eq((judged { instances = row("exited", { signal = 15 }) }), "stopped")
		eq((judged { instances = row("exited", { exit_code = 139 }) }), "crash")
		eq((judged { instances = row("missing") }), "stopped")
		eq((judged { defined = true }), "missing")
		local up = row("running", { ready = true })
		for problem, cause in pairs { tls = "tls", dns = "dns",
			connect = "listen", timeout = "hang", status = "errors",
			readiness = "errors" } do
			eq((judged { instances = up, health = { state = "down",
				problem = problem, detail = "d" } }), cause)
		end
		eq({ judged { instances = up, health = { state = "degraded", detail = "",
			problem = "dependency", dependencies = { b = "bad", a = "bad",
			c = "ok" } } } }, { "dependency", "it says that a, b is down" })
		eq((judged {}), "unknown")
		eq({ triage.says(errors("all fine", "EADDRINUSE")) }, { "port",
			"its port is taken", { count = 1, example = "EADDRINUSE" } })
	end)

	it("begins where nothing else explains it", function()
		local list = { { name = "api", def = { depends = { "db", "mq" } } },
			{ name = "db", def = {} }, { name = "web", def = { depends =
			{ "api" } } }, { name = "x", def = { depends = { "fine" } } } }
		eq(triage.roots(list), { "db", "x" })
		eq(triage.roots { { name = "a", def = { depends = { "b" } } },
			{ name = "b", def = { depends = { "a" } } } }, { "a" })
	end)
end)

describe("opsh.ports", function()
	it("reads what ss prints", function()
		local rows = ports.of_ss [[
LISTEN 0      511     127.0.0.1:8080   0.0.0.0:*  users:(("nginx",pid=71,fd=6),("x",pid=7,fd=6))
LISTEN 0      4096   [::ffff:127.0.0.1]:9000            *:*
LISTEN 0      511    127.0.0.53%lo:53   0.0.0.0:*
junk
]]
		eq(rows[1], { port = 8080, address = "127.0.0.1", program = "nginx",
			pid = 71 })
		eq(rows[2], { port = 9000, address = "::ffff:127.0.0.1" })
		eq(rows[3].address, "127.0.0.53")
		eq(#rows, 3)
	end)

	it("reads what the kernel says", function()
		eq(ports.of_proc [[
  sl  local_address rem_address   st tx_queue rx_queue
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000
   1: 0100007F:1F90 0100007F:AB12 01 00000000:00000000 00:00000000
]], { { port = 8080, address = "127.0.0.1" } })
	end)
end)

describe("opsh.trend", function()
	it("lays a line through points", function()
		local points = {}
		for n = 0, 59 do points[n + 1] = { n * 60, 1000 + n * 10 + n % 2 } end
		local line = trend.line(points)
		ok(math.abs(line.slope - 1 / 6) < 0.01)
		ok(line.fit > 0.99)
		eq(trend.grows(line), true)
		ok(math.abs(trend.meets(line, line.last + 60) - 60 / line.slope) < 1)
		eq(trend.meets(line, 10), 0)
	end)

	it("says nothing of noise, and of too little", function()
		eq(trend.line { { 0, 1 }, { 1, 2 } }, nil)
		eq(trend.line { { 1, 1 }, { 1, 2 }, { 1, 3 } }, nil)
		local flat = trend.line { { 0, 5 }, { 1, 9 }, { 2, 5 }, { 3, 9 },
			{ 4, 5 } }
		eq(trend.grows(flat), false)
		eq(trend.meets(trend.line { { 0, 3 }, { 1, 2 }, { 2, 1 } }, 9), nil)
	end)
end)
