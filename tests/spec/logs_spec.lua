-- Specs of opsh.logs: levels, times and ids of the usual forms of lines, what is
-- alike, what passes a filter, the order of many services. Pure: no target is
-- asked. Owns the lines.
local logs = require "opsh.logs"

local JSON = [[{"timestamp":"2025-11-29T21:56:00.250Z","level":"ERROR",]]
	.. [["message":"Order failed","correlation_id":"c-1","error":"no kafka"}]]

local function parsed(text) return logs.parse(text, 7) end

describe("opsh.logs.parse", function()
	it("reads JSON lines", function()
		local e = parsed(JSON)
		eq(e.level, "error")
		eq(e.message, "Order failed: no kafka")
		eq(e.correlation_id, "c-1")
		eq(e.time, 1764453360.25)
		eq(parsed '{"level":50,"msg":"x","time":1764453360250}'.level, "error")
		eq(parsed '{"level":50,"msg":"x","time":1764453360250}'.time,
			1764453360.25)
		eq(parsed '{"a":1}'.message, '{"a":1}')
		eq(parsed '{"a":1}'.time, 7)
		eq(parsed '{broken'.message, "{broken")
	end)

	it("reads plain lines of the usual forms", function()
		local e = parsed "2026-01-24 10:11:12,345 ERROR [main] c.a.Db - no pool"
		eq(e.level, "error")
		eq(e.time, 1769249472.345)
		eq(e.message, "[main] c.a.Db - no pool")
		e = parsed 'time="2026-01-24T10:11:12Z" level=warning msg="low disk"'
		eq(e.level, "warn")
		eq(e.message, "low disk")
		e = parsed "2026/01/24 10:11:12 [emerg] 7#7: bind() to 0.0.0.0:80 failed"
		eq(e.level, "fatal")
		eq(parsed("panic: runtime error").level, "fatal")
		eq(parsed("[WARN] slow").message, "slow")
		eq(parsed("INFO: ready request_id=abc-1").correlation_id, "abc-1")
		eq(parsed("hello world").level, nil)
		eq(parsed("hello world").time, 7)
	end)

	it("knows times with zones, and what is none", function()
		eq(logs.time "1970-01-01T00:00:00Z", 0.0)
		eq((logs.time "2024-02-29 12:00:00.5+02:00"), 1709200800.5)
		eq(logs.time "yesterday", nil)
	end)

	it("ranks levels", function()
		eq(logs.level "WARNING", "warn")
		eq(logs.level "nothing", nil)
		eq(logs.at_least("fatal", "error"), true)
		eq(logs.at_least("info", "warn"), false)
		eq(logs.at_least(nil, "debug"), false)
		eq(#logs.levels, 6)
	end)
end)

describe("opsh.logs.group", function()
	it("joins what differs in numbers, ids and addresses only", function()
		eq(logs.pattern("order 17 of 550e8400-e29b-41d4-a716-446655440000 at "
			.. "10.0.0.7:5432 after 1.5 s"), logs.pattern("order 9 of "
			.. "110e8400-e29b-41d4-a716-446655440001 at 10.1.2.3:99 after 20 s"))
		local entries = {}
		for n, text in ipairs { "ERROR no seat 1", "ERROR disk full",
			"ERROR no seat 2" } do
			entries[n] = logs.parse(text, n)
			entries[n].service = n == 3 and "b" or "a"
		end
		local groups = logs.group(entries)
		eq(#groups, 2)
		eq(groups[1].count, 2)
		eq(groups[1].example, "no seat 2")
		eq(groups[1].services, { "a", "b" })
		eq(groups[1].first, 1)
		eq(groups[1].last, 3)
	end)

	it("tells failures without a level by their words", function()
		eq(logs.is_error(logs.parse "bind: Address already in use"), true)
		eq(logs.is_error(logs.parse "INFO no error at all"), false)
		eq(logs.is_error(logs.parse "listening on port 80"), false)
	end)
end)

describe("opsh.logs.matches", function()
	local function passes(text, filter)
		return logs.matches(logs.parse(text, 100), filter)
	end
	it("asks for level, text, time and id", function()
		eq(passes("WARN x", { level = "error" }), false)
		eq(passes("FATAL x", { level = "error" }), true)
		eq(passes("connection refused", { level = "error" }), true)
		eq(passes("hello", { level = "error" }), false)
		eq(passes("hello", { level = "info" }), true)
		eq(passes("a LOCK is held", { grep = "lock|conflict" }), true)
		eq(passes("a.b", { grep = "a-b" }), false)
		eq(passes("x", { since = 101 }), false)
		eq(passes("x", { until_ = 99 }), false)
		eq(passes("x", { since = 99, until_ = 101 }), true)
		eq(passes(JSON, { correlation_id = "c-1" }), true)
		eq(passes(JSON, { correlation_id = "c-2" }), false)
	end)

	it("orders the lines of many services by time", function()
		local list = {}
		for n, row in ipairs { { "a", 5 }, { "a" }, { "b", 3 }, { "b", 6 } } do
			list[n] = { service = row[1], time = row[2], message = "m" .. n,
				text = "" }
		end
		local out = {}
		for n, e in ipairs(logs.merge(list)) do out[n] = e.message end
		eq(out, { "m3", "m1", "m2", "m4" })
	end)

	it("prints a line", function()
		local e = logs.parse(JSON)
		e.service = "gateway"
		eq(logs.line(e, 9),
			"21:56:00.250  gateway    error  Order failed: no kafka [c-1]")
	end)
end)
