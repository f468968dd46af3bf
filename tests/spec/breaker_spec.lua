-- Specs of opsh.breaker, opsh.breaker.depend and opsh.breaker.recover: what a service
-- says of its breaker, how it changes, why it does not close, waiting for a
-- dependency. Clients and orchestrator are tables that answer; the real ones are in
-- tests/live/breaker.sh. Must not need a server. Owns these tables.
local breaker = require "opsh.breaker"
local depend = require "opsh.breaker.depend"
local err = require "opsh.c.err"
local recover = require "opsh.breaker.recover"
local task = require "opsh.task"

local NAMES <const> = { state = "state", received = "received",
	successful = "taken" }

-- A gateway whose answers are those of `now`, a function.
local function gateway(now)
	return { get = function(_, path)
		local s = now()
		if s.gone then
			error(err.new { kind = "connect", message = "refused" }, 0)
		elseif path == "/health" then
			return { status = s.ok and 200 or 503, timing = { total = 0 }, body =
				('{"redis":%s,"kafka":%s,"circuit_breaker_state":"%s"}')
				:format(s.redis ~= false, s.kafka ~= false,
				breaker.states[s.state or 0]) }
		end
		return { status = 200, body = ("# TYPE state gauge\nstate %d\n"
			.. "# TYPE received counter\nreceived %d\n# TYPE taken counter\n"
			.. "taken %d\n"):format(s.state or 0, s.received or 0, s.taken or 0) }
	end }
end

local function look(s)
	return breaker.look(gateway(function() return s end), { health = "/health",
		metrics = "/metrics", timeout = 1, names = NAMES })
end

local function sample(state, more)
	local s = { at = task.now(), answers = true, state = state, dependencies = {} }
	for k, v in pairs(more or {}) do s[k] = v end
	return s
end

describe("breaker", function()
	it("knows the states by number and by word", function()
		eq(breaker.state(0), "closed")
		eq(breaker.state(2.0), "half-open")
		eq(breaker.state "HALF_OPEN", "half-open")
		eq(breaker.state "halfOpen", "half-open")
		eq(breaker.state "ajar", nil)
		eq(breaker.state(7), nil)
		eq(breaker.state(true), nil)
	end)

	it("reads what a health answer says", function()
		local state, deps = breaker.said('{"status":"unhealthy","redis":true,'
			.. '"kafka":false,"circuit_breaker_state":"open"}')
		eq(state, "open")
		eq(deps.redis, true)
		eq(deps.kafka, false)
		eq(deps.circuit_breaker_state, nil)
		eq(breaker.said '{"circuitBreaker":{"state":"HALF_OPEN"}}', "half-open")
		eq(breaker.said "OK", nil)
		eq(next(select(2, breaker.said "{broken")), nil)
	end)

	it("looks at health and metrics; the metric counts more", function()
		local s = look { state = 1, kafka = false, received = 9, taken = 4 }
		eq(s.state, "open")
		eq(s.status, 503)
		eq(s.dependencies.kafka, false)
		eq(s.received, 9)
		eq(s.successful, 4)
		eq(s.failed, nil)
		s = look { gone = true }
		eq(s.answers, false)
		eq(s.error, "refused")
		eq(s.state, nil)
	end)

	it("follows the changes and counts attempts and losses", function()
		local t = breaker.track()
		local up, down = { kafka = { ok = true, detail = "" } },
			{ kafka = { ok = false, detail = "no" } }
		eq(t:add(sample("closed", { received = 5 }), up), nil)
		ok(t:add(sample "open", down):find "opened")
		ok(t:add(sample "half-open", up):find "attempt 1")
		ok(t:add(sample "open", down):find "attempt 1 failed")
		ok(t:add(sample "half-open", up):find "attempt 2")
		ok(t:add(sample("closed", { received = 8 }), up):find "succeeded")
		eq(t.attempts, 2)
		eq(t.refused, 1)
		eq(t.opened, 1)
		eq(t.lost.kafka, 2)
		eq(t:orders(), 3)
		ok(t:held "kafka" >= 0)
		eq(t:held "redis", 0)
		t:add(sample("closed", { received = 1 }), up)	-- it was restarted
		eq(t:orders(), 0)
		eq(breaker.track():orders(), nil)
	end)

	it("is recovered when closed and well", function()
		eq(breaker.recovered(sample "closed"), true)
		eq(breaker.recovered(sample("closed", { dependencies = { a = false } })),
			false)
		eq(breaker.recovered(sample "half-open"), false)
		eq(breaker.recovered { answers = false, dependencies = {} }, false)
	end)

	it("says why it does not close, and what to try", function()
		local function why(s, dep, more)
			local t = breaker.track()
			t:add(s, { kafka = dep })
			for k, v in pairs(more or {}) do t[k] = v end
			local cause, text, try_this = breaker.why { gateway = "gw", track = t,
				deps = { kafka = dep }, settings = { KAFKA_ADDR = "old:9092" } }
			ok(#try_this > 0)
			return cause, text, try_this
		end
		local well = { ok = true, detail = "3 brokers", address = "new:9092",
			service = "redpanda" }
		local ill = { ok = false, detail = "no answer", service = "redpanda" }
		eq(why({ at = 0, answers = false, error = "refused", dependencies = {} },
			well), "gateway")
		local cause, text, tries = why(sample "open", ill)
		eq(cause, "unreachable")
		ok(text:find("no answer", 1, true))
		ok(tries[1]:find("service=redpanda", 1, true))
		eq(why(sample "open", ill, { lost = { kafka = 2 } }), "flapping")
		cause, text = why(sample("open", { dependencies = { kafka = false } }), well)
		eq(cause, "address")
		ok(text:find("new:9092", 1, true) and text:find("KAFKA_ADDR=old:9092", 1, true))
		cause, text, tries = why(sample("half-open", { received = 3 }), well)
		eq(cause, "pending")
		ok(text:find "no order came" and tries[1]:find "order=")
		eq(why(sample "half-open", well), "pending")
		eq(why(sample "open", well), "time")
		eq(why(sample "closed", well), "unwell")
		eq(why({ at = 0, answers = true, dependencies = {} }, well), "unknown")
		eq(why(sample("open", { dependencies = { stripe = false } }), well),
			"unreachable")
		raises("server", breaker.give_up, "time", "still open", { "wait" })
	end)

	it("tells whether orders flow", function()
		local function s(received, taken, at)
			return { at = at or 0, received = received, successful = taken }
		end
		local flows, text = breaker.flow(s(10, 5), s(20, 15, 10))
		eq(flows, true)
		eq(text, "10 of 10 orders taken in 10 s")
		text = select(2, breaker.flow(s(10, 5), s(20, 18, 10)))
		eq(text, "13 orders taken in 10 s")
		eq((breaker.flow(s(10, 5), s(10, 5))), nil)
		eq((breaker.flow(s(10, 5), s(20, 5))), false)
		eq((breaker.flow(s(10, 5), s(1, 1))), false)
		eq((breaker.flow(s(1), s(2))), nil)
		local lag = breaker.lag { { lag = 3, committed = 7 }, { lag = 2 } }
		eq(lag.lag, 5)
		eq(lag.committed, 7)
		flows, text = breaker.flow(s(0, 0), s(9, 9), lag,
			{ lag = 9, committed = 7 })
		eq(flows, false)
		ok(text:find "not worked off")
		eq((breaker.flow(s(0, 0), s(9, 9), lag, { lag = 9, committed = 8 })), true)
		eq((breaker.flow(s(0, 0), s(9, 9), lag, { lag = 0, committed = 7 })), true)
	end)
end)

-- --- dependencies --------------------------------------------------------------

-- An orchestrator of one unit, whose row is what `now` gives.
local function orchestrated(now)
	return { status = function() return { now() } end }
end

local UP <const> = { service = "redpanda", name = "redpanda", state = "running",
	ready = true }
local DEAD <const> = { service = "redpanda", name = "redpanda", state = "failed",
	ready = false, reason = "Died" }

local function kafka(brokers, topics)
	return { identity = function() return { brokers = brokers } end,
		topics = function() return topics or {} end }
end

local function dependency(name, client)
	return { name = name, client = client, services =
		{ { name = "redpanda", unit = "redpanda" } }, service = "redpanda" }
end

-- A Redis that answers as the n-th call of `f` says.
local function counted(f)
	local n = 0
	return { ping = function()
		n = n + 1
		if not f(n) then
			error(err.new { kind = "connect", message = "refused" }, 0)
		end
	end }
end

describe("breaker.depend", function()
	it("asks each by its own protocol", function()
		local row = depend.check(dependency("kafka", kafka({ 1, 2 }, { { topic = "a",
			leaderless = 0, under_replicated = 1 } })), 1)
		eq(row.ok, true)
		ok(row.detail:find "2 brokers" and row.detail:find "1 lack replicas")
		eq(row.service, "redpanda")
		row = depend.check(dependency("kafka", kafka({ 1 }, { { topic = "a",
			leaderless = 2 } })), 1)
		eq(row.ok, false)
		ok(row.detail:find "2 partitions have no leader %(of 'a'%)")
		eq(depend.check(dependency("kafka", kafka {}), 1).ok, false)
		local all = depend.check_all({ dependency("redis", counted(function()
			return false end)) }, 1)
		eq(all.redis.detail, "refused")
	end)

	it("gives up on what never answers", function()
		local row = depend.check(dependency("redis", { ping = function()
			task.sleep(60)
		end }), 0.01)
		eq(row.ok, false)
		ok(row.detail:find "0.51 s", row.detail)
	end, { plain = true })

	it("finds what runs it, and what of that is down", function()
		local client = {}
		local system = { targets = function()
			return { { name = "events", kind = "kafka", built_in = true,
				address = "h:1" }, { name = "gone", kind = "x" } }
		end, target = function(name) return name == "events" and client or nil end,
			services = { redpanda = { target = "events", unit = "rp" },
			other = {} } }
		local deps = depend.list(system, { kafka = client }, "local", {})
		eq(#deps, 1)
		eq(deps[1].address, "h:1")
		eq(deps[1].services[1].unit, "rp")
		eq(deps[1].service, "redpanda")
		eq(depend.list(system, { redis = {} }, nil)[1].service, nil)
		local dep = dependency("kafka", {})
		local bad = depend.broken(dep, { DEAD })
		eq(bad[1].starts, true)
		eq(bad[1].text, "Died")
		bad = depend.broken(dep, { UP })	-- ready, but it does not answer
		eq(bad[1].starts, false)
		eq(depend.broken(dep, {})[1].starts, true)
		eq(select(2, depend.broken(dep, { DEAD })), false)
		eq(select(2, depend.broken(dep, { UP })), false)
		eq(select(2, depend.broken(dep, { { service = "redpanda", ready = false,
			state = "starting", name = "redpanda" } })), true)
		ok(depend.next(dep)[1]:find "service=redpanda")
	end)

	it("waits until it is well and stays so", function()
		local said = 0
		local well, cause, text = depend.wait(dependency("redis",
			counted(function(n) return n > 2 end)), orchestrated(function()
			return UP end), { timeout = 20, steady = 0.03, probe = 1,
			interval = 0.01, on_wait = function() said = said + 1 end })
		eq(well, true)
		eq(cause, nil)
		eq(text, "answers PING")
		ok(said >= 3)
	end)

	it("sees what flaps, what is dead, what does not answer", function()
		local opts = { timeout = 30, steady = 20, probe = 1, interval = 0.01 }
		local well, cause = depend.wait(dependency("redis", counted(function(n)
			return n % 2 == 1 end)), orchestrated(function() return UP end), opts)
		eq(well, false)
		eq(cause, "flapping")
		opts.timeout = 0.05
		well, cause = depend.wait(dependency("redis", counted(function()
			return false end)), orchestrated(function() return UP end), opts)
		eq(well, false)
		eq(cause, "unreachable")
		opts.timeout, opts.interval = 30, 0.6
		well, cause = depend.wait(dependency("redis", counted(function()
			return false end)), orchestrated(function() return DEAD end), opts)
		eq(well, false)
		eq(cause, "dead")
		well, cause = depend.wait(dependency("redis", counted(function(n)
			return n == 1 end)), orchestrated(function() return DEAD end), opts)
		eq(well, false)
		eq(cause, "flapping")
	end, { plain = true })

	it("knows a Redis that has started with nothing", function()
		local function redis(info, keys)
			return { info = function() return info end,
				dbsize = function() return keys end }
		end
		eq(depend.is_bare(redis({ rdb_last_load_keys_loaded = 0,
			aof_enabled = 0 }, 5)), true)
		eq(depend.is_bare(redis({ rdb_last_load_keys_loaded = 3,
			aof_enabled = 0 }, 5)), false)
		eq(depend.is_bare(redis({ rdb_last_load_keys_loaded = 0,
			aof_enabled = 1 }, 5)), false)
		eq(depend.is_bare(redis({}, 0)), true)
	end)

	it("reads the log around a word, and the addresses", function()
		local lines = { { text = '{"event":"circuit_opened","message":"a"}' },
			{ text = "other" }, { text = "Circuit closed" } }
		local o = { logs = function()
			local n = 0
			return function()
				n = n + 1
				return lines[n]
			end
		end, exec = function(_, _, argv)
			return argv[2] == "REDIS_URL" and { status = 0,
				stdout = "redis://u:secret@h:1\n" } or { status = 1, stdout = "" }
		end }
		local found, count = depend.said(o, "gw", "circuit", { tail = 9,
			shown = 1 })
		eq(count, 2)
		eq(#found, 1)
		eq(found[1].message, "Circuit closed")
		local settings = depend.settings(o, "gw", { "REDIS_URL", "KAFKA_ADDR",
			"PASSWORD" })
		eq(settings.REDIS_URL, "redis://h:1")
		eq(settings.KAFKA_ADDR, nil)
		eq(next(depend.settings(o, "gw")), nil)
	end)
end)

-- --- recovery --------------------------------------------------------------------

local P <const> = { service = "gateway", health = "/health", metrics = "/metrics",
	probe = 1, state_metric = "state", received_metric = "received",
	successful_metric = "taken", breaker_timeout = 0.2, grace = 0.05,
	interval = 0.01, watch = 0.01, flow_timeout = 0.02, word = "circuit", tail = 10,
	group = "g" }

local function seen(client)
	return { unit = "gateway", deps = { dependency("redis", client) },
		sample = sample("open", { dependencies = { redis = false } }),
		checks = { redis = { ok = false, detail = "refused" } } }
end

local function always() return true end

describe("breaker.recover", function()
	local system = { targets = function() return {} end, services = {
		gateway = { env = { "KAFKA_ADDR" } } } }

	it("surveys without an orchestrator, and shows it", function()
		eq(recover.options(P).names.successful, "taken")
		local view = recover.survey(system, { gateway = gateway(function()
			return { state = 1, redis = false } end), cache = counted(always) }, P)
		eq(view.sample.state, "open")
		eq(view.checks.redis.ok, true)
		eq(view.lines, nil)
		local rows = recover.rows(P, view)
		eq(rows[1].state, "breaker open")
		eq(rows[2].state, "not reached")
		eq(rows[2].runs, nil)
		view.sample = { answers = false, error = "refused", dependencies = {} }
		eq(recover.rows(P, view)[1].state, "down")
	end)

	it("calls down what nobody reaches", function()
		local view = seen {}
		local down, doubtful = recover.down(view)
		eq(down[1].name, "redis")
		eq(#doubtful, 0)
		view.sample.dependencies.redis = true
		down, doubtful = recover.down(view)
		eq(#down, 0)
		eq(doubtful[1], "redis")
	end)

	it("waits until it is closed", function()
		local n, changes, halves = 0, {}, 0
		local t = { gateway = gateway(function()
			n = n + 1
			return { state = n < 5 and 1 or n < 9 and 2 or 0, ok = n >= 9 }
		end) }
		local p = setmetatable({ breaker_timeout = 30 }, { __index = P })
		local ended, checks = recover.await(t, p, seen(counted(always)),
			breaker.track(), { change = function(text)
				changes[#changes + 1] = text
			end, half_open = function() halves = halves + 1 end })
		eq(ended, nil)
		eq(checks.redis.ok, true)
		ok(#changes >= 2 and halves >= 1)
	end)

	it("ends by what is in the way", function()
		local function await(s, client)
			local p = setmetatable({ breaker_timeout = s.state == 3 and 0 or 30 },
				{ __index = P })
			s.state = s.state == 3 and 1 or s.state
			return (recover.await({ gateway = gateway(function() return s end) }, p,
				seen(client), breaker.track(), {}))
		end
		eq(await({ state = 3 }, counted(always)), "time")
		eq(await({ state = 1, redis = false }, counted(always)), "address")
		eq(await({ state = 1, redis = false }, counted(function()
			return false end)), "redis")
		eq(await({ state = 1 }, counted(function(n) return n % 2 == 1 end)),
			"flapping")
	end)

	it("sends a message through a topic, which it makes", function()
		local made, sent
		local rows = {}
		local events = { topics = function() return rows end,
			identity = function() return { brokers = { 1, 2, 3, 4, 5 } } end,
			create_topic = function(_, name, opts) made = { name, opts } end,
			round_trip = function(_, opts)
				sent = opts
				return { ok = true, total = 0.1 }
			end }
		eq(recover.round_trip(events, "mine", 5).ok, true)
		eq(made[1], "mine")
		eq(made[2].replication, 3)
		eq(sent.topic, "mine")
		rows[1], made = { topic = "mine" }, nil
		recover.round_trip(events, "mine", 5)
		eq(made, nil)
	end)

	it("gathers the facts and proves that orders flow", function()
		local facts = recover.facts(system, { orchestrator = { exec = function()
			return { status = 0, stdout = "h:9\n" }
		end } }, P, { unit = "gw" }, {}, {})
		eq(facts.settings.KAFKA_ADDR, "h:9")
		local n, committed = 0, 0
		local t = { gateway = gateway(function()
			n = n + 1
			return { received = n, taken = n, ok = true }
		end), events = { lag = function()
			committed = committed + 5
			return { { lag = 1, committed = committed } }
		end } }
		local proof = recover.prove(t, P)
		eq(proof.flows, true)
		ok(proof.text:find "5 worked off")
		proof = recover.prove({ gateway = gateway(function()
			return { state = 1 } end) }, P)
		eq(proof.flows, false)
		ok(proof.text:find "breaker open")
	end)
end)
