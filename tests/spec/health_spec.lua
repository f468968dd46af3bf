-- Specs of opsh.health and opsh.service: bodies of the usual forms, verdicts, what
-- the orchestrator's word changes, order and names of services; by a system that
-- is a table. Real servers: tests/live/services.sh. Owns the table.
local err = require "opsh.c.err"
local health = require "opsh.health"
local service = require "opsh.service"
local task = require "opsh.task"

-- answers: path -> { status, body } or an error's fields; kinds of targets.
local function http(answers)
	return { get = function(_, path)
		local a = answers[path] or { 404, "" }
		if a.kind then error(err.new(a), 0) end
		if a.sleep then task.sleep(a.sleep) end
		return { status = a[1], body = a[2] or "", certificate = a.certificate,
			timing = { total = a.total or 0.012 } }
	end }
end

local function system(services, targets)
	local rows = {}
	for name, target in pairs(targets) do
		rows[#rows + 1] = { name = name, kind = target.kind or "http",
			built_in = not target.absent }
	end
	return { services = services,
		targets = function() return rows end,
		target = function(name) return targets[name].client end }
end

local SPRING = [[{"status":"DOWN","components":{"db":{"status":"UP"},
	"redis":{"status":"DOWN","details":{"error":"x"}}}}]]

describe("opsh.health.body", function()
	it("knows words", function()
		eq(health.word "UP", "ok")
		eq(health.word(false), "bad")
		eq(health.word "Half-Open", "warn")
		eq(health.word "blue", nil)
		eq(health.word(5), nil)
	end)

	it("reads status and dependencies of the usual forms", function()
		local says = health.body [[{"status":"healthy","redis":true,
			"kafka":false,"circuit_breaker_state":"open","uptime":5}]]
		eq(says.word, "ok")
		eq(says.dependencies, { redis = "ok", kafka = "bad",
			circuit_breaker_state = "bad" })
		says = health.body(SPRING)
		eq(says.word, "bad")
		eq(says.text, "DOWN")
		eq(says.dependencies, { db = "ok", redis = "bad" })
		eq(health.body '{"checks":[{"name":"db","status":"pass"}]}'.dependencies,
			{ db = "ok" })
		eq(health.body "OK\n".word, "ok")
		eq(health.body "<html>".word, nil)
		eq(health.body "{broken".dependencies, nil)
	end)

	it("judges an answer", function()
		local function judged(status, body, expect)
			local row = {}
			health.judge(row, { status = status, body = body }, expect)
			return row.state, row.detail, row.problem
		end
		eq({ judged(200, '{"status":"UP"}') }, { "up", "says UP" })
		eq({ judged(200, SPRING) }, { "down", "says DOWN: redis down",
			"dependency" })
		eq({ judged(503, '{"status":"unhealthy","kafka":false}') }, { "down",
			"status 503: kafka down", "dependency" })
		eq({ judged(200, '{"status":"ok","kafka":false}') }, { "degraded",
			"kafka down", "dependency" })
		eq({ judged(502, "<h1>Bad Gateway</h1>") }, { "down",
			"status 502: Bad Gateway", "status" })
		eq({ judged(401, "", 401) }, { "up", "status 401" })
		eq({ judged(200, "", 401) }, { "down", "status 200, 401 expected",
			"status" })
		eq({ judged(200, '{"status":"degraded"}') }, { "degraded",
			"says degraded", "body" })
	end)
end)

local function row(name, state, more)
	local r = { service = name, name = name .. "_1", state = state,
		ready = state == "running" }
	for k, v in pairs(more or {}) do r[k] = v end
	return r
end

describe("opsh.health.all", function()
	local answers = { ["/health"] = { 200, '{"status":"UP"}' },
		["/slow"] = { 200, "", total = 1.5 }, ["/ready"] = { 503, "warming up" },
		["/dead"] = { kind = "connect", message = "'h:1': refused" },
		["/cert"] = { kind = "tls", message = "certificate has expired" } }
	local sys = system({
		fine = { target = "a", health = "/health" },
		lame = { target = "a", health = "/slow" },
		dead = { target = "a", health = "/dead" },
		cert = { target = "a", health = "/cert" },
		warm = { target = "a", health = "/health", readiness = "/ready" },
		db = { target = "p" }, gone = { target = "p" }, worker = {},
		cache = { target = "r" }, bare = { target = "a" },
		books = { target = "q" },
		log = { target = "k" },
	}, { a = { client = http(answers) }, p = { kind = "kafka", absent = true },
		k = { kind = "kafka", client = { identity = function()
			return { brokers = { {}, {}, {} } }
		end } },
		q = { kind = "postgres", client = { value = function() return false end } },
		r = { kind = "redis", client = { ping = function() return "PONG" end } } })
	local status = { row("db", "running"), row("gone", "exited",
		{ exit_code = 1 }), row("worker", "running"), row("fine", "running"),
		row("fine", "restarting", { name = "fine_2",
			reason = "CrashLoopBackOff" }) }

	it("asks all at once, and weighs what the orchestrator says", function()
		local rows, problem = health.all(sys, service.list(sys), { kind = "compose",
			orchestrator = { status = function() return status end } })
		eq(problem, nil)
		local by, order = {}, {}
		for n, r in ipairs(rows) do by[r.service], order[n] = r, r.state end
		eq(by.lame.state, "slow")
		eq(by.lame.latency_ms, 1500)
		eq(by.dead.detail, "'h:1': refused")
		eq(by.cert.detail, "TLS: certificate has expired")
		eq(by.cert.problem, "tls")
		eq(by.warm.state, "degraded")
		eq(by.warm.detail, "alive, but not ready: status 503: warming up")
		eq(by.db.state, "not checked")
		eq(by.db.detail, "kind 'kafka' is not in this build")
		eq(by.books.state, "up")
		eq(by.log.state, "up")
		eq(by.log.detail, "3 brokers answer")
		eq(by.books.detail, "answers as a primary")
		eq(by.db.container, "running")
		eq(by.gone.state, "down")
		eq(by.gone.container, "exited (1)")
		eq(by.worker.state, "up")
		eq(by.cache.state, "up")
		eq(by.fine.state, "degraded")
		eq(by.fine.container, "1 of 2 ready: CrashLoopBackOff")
		eq(by.bare.detail, "answers 404 (no health path is set)")
		eq(order, { "down", "down", "down", "degraded", "degraded", "slow",
			"not checked", "up", "up", "up", "up", "up" })
		eq(health.verdict(rows), "3 of 12 down: cert, dead, gone · 2 degraded: "
			.. "fine, warm · 1 slow: lame · 1 not checked: db")
		eq(#health.of(rows, "up", "slow"), 6)
		ok(raises("server", health.demand, rows).message:find(
			"cert, dead, gone", 1, true))
	end)

	it("goes on without an orchestrator that answers", function()
		local rows, problem = health.all(sys, service.list(sys, { "fine" }), {
			kind = "compose", orchestrator = { status = function()
				error(err.new { kind = "connect", message = "no docker" }, 0)
			end } })
		eq(problem, "no docker")
		eq(health.verdict(rows), "all 1 up")
		health.demand(rows)
	end)

	it("names a certificate that ends soon", function()
		local soon = system({ s = { target = "a", health = "/" } }, { a = {
			client = http { ["/"] = { 200, "ok", certificate = {
				days_left = 3.7, verified = true } } } } })
		local r = health.check(soon, service.list(soon)[1])
		eq(r.state, "up")
		eq(r.detail, "says ok; certificate: 3 days left")
		eq(r.days_left, 3)
		raises("server", health.demand, { { service = "x", state = "slow" } },
			true)
		eq(raises("server", health.demand, { { service = "x",
			state = "not checked" } }).code, "NOT_CHECKED")
	end)

	it("is bounded by the deadline of a service", function()
		local hang = system({ s = { target = "a", health = "/", timeout = 0.05 } },
			{ a = { client = http { ["/"] = { 200, sleep = 5 } } } })
		local began = task.now()
		local r = health.check(hang, service.list(hang)[1])
		eq(r.state, "down")
		eq(r.problem, "timeout")
		ok(task.now() - began < 2)
	end)

	it("sorts by what is worst", function()
		local rows = health.sort { { service = "b", state = "up" },
			{ service = "a", state = "up" }, { service = "c", state = "down" } }
		eq(rows[1].service .. rows[2].service .. rows[3].service, "cab")
		eq(#health.states, 5)
	end)
end)

describe("opsh.service", function()
	local sys = system({ a = { depends = { "b" } }, b = { depends = { "c", "a" } },
		c = { container = "prod-c" } }, { k = { kind = "kubernetes",
		client = "K" }, o = { kind = "compose", client = "O" } })

	it("lists, names and orders", function()
		eq(service.list(sys)[2].name, "b")
		eq(#service.list(sys, { "c" }), 1)
		raises("usage", service.list, sys, { "nope" })
		eq(service.named(sys, { "other" })[1].def, {})
		raises("usage", service.named, sys, { "-x" })
		local order = service.order(service.list(sys))
		eq(order[1].name .. order[2].name .. order[3].name, "cba")
	end)

	it("knows what an orchestrator calls it", function()
		local s = { name = "a", def = { unit = "u", deployment = "d" } }
		eq(service.unit(s, "kubernetes"), "d")
		eq(service.unit(s, "compose"), "u")
		eq(service.unit({ name = "a", def = {} }, "local"), "a")
		local c = service.list(sys, { "c" })[1]
		local rows = { row("redis", "running", { name = "prod-c" }),
			row("c", "running") }
		eq(service.instances(c, "compose", rows), { rows[1] })
		eq(service.resolve(c, "compose", rows), "redis")
		eq(service.instances(c, "compose", { rows[2] }), { rows[2] })
		eq(service.resolve(s, "compose", rows), "u")
	end)

	it("finds the orchestrator", function()
		local o, why = service.orchestrator(sys)
		eq(o, nil)
		ok(why:find "several orchestrators")
		eq({ service.orchestrator(sys, "k") }, { "K", "kubernetes" })
		raises("usage", service.orchestrator, sys, "nope")
		eq(service.kind(sys, "K"), "kubernetes")
		eq(service.prometheus(sys), nil)
		raises("usage", service.kind, sys, "other")
		local none = system({}, { o = { kind = "compose", absent = true } })
		eq({ service.orchestrator(none) },
			{ nil, "kind 'compose' is not in this build" })
	end)

	it("says states in a word", function()
		eq(service.state(row("a", "failed", { reason = "OOMKilled",
			exit_code = 137 })), "OOMKilled (137)")
		eq(service.state(row("a", "exited", { signal = 9 })),
			"exited (signal 9)")
		eq(service.state(row("a", "running", { health = "unhealthy" })),
			"running, unhealthy")
		eq((service.summary { row("a", "running", { restarts = 2 }) }),
			"running, 2 restarts")
		eq({ service.summary {} }, { nil, 0 })
		local going = row("b", "running", { leaving = true, ready = false,
			reason = "Terminating" })
		eq({ service.summary { row("a", "running", { ready = true }), going } },
			{ "running", 1 })
		eq(#service.staying { going }, 1)
	end)
end)
