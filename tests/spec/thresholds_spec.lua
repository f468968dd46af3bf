-- thresholds_spec: limits of a targets file judged by two looks at pages of metrics
-- and by a real Prometheus. Owns the pages it makes up. The server is that of
-- examples/stack; nothing is written.
require "harness"
local effect = require "opsh.c.effect"
local http = require "opsh.http"
local prometheus = require "opsh.prometheus"
local secret = require "opsh.secret"
local target = require "opsh.c.target"
local thresholds = require "opsh.thresholds"
local url = require "run.url"

local function by_name(rows)
	local out = {}
	for _, row in ipairs(rows) do out[row.name] = row end
	return out
end

local function pages(text)
	return { gateway = prometheus.samples and prometheus.samples(text)
		or (function()
			local list = {}
			for _, family in ipairs(prometheus.parse(text)) do
				for _, s in ipairs(family.samples) do list[#list + 1] = s end
			end
			return list
		end)() }
end

describe("thresholds", function()
	it("know what is critical", function()
		for _, word in ipairs { "critical", "P0", "p1", "page" } do
			eq(thresholds.is_critical(word), true)
		end
		eq(thresholds.is_critical "P3", false)
		eq(thresholds.is_critical(nil), false)
	end)

	it("are listed by name, with the time they have to hold", function()
		local list = thresholds.list { thresholds = {
			b = { query = "x", above = 1, minutes = 2 },
			a = { query = "y", below = 1 } } }
		eq(#list, 2)
		eq(by_name(list).b.seconds, 120)
		eq(by_name(list).a.seconds, 0)
	end)

	it("are judged by two looks at pages of metrics", function()
		local first = pages "gateway_circuit_breaker_state 1\nbad_total 10\n"
		local second = pages "gateway_circuit_breaker_state 1\nbad_total 40\n"
		local list = thresholds.list { thresholds = {
			breaker = { query = "gateway_circuit_breaker_state", above = 0.5,
				severity = "P1" },
			fine = { query = "gateway_circuit_breaker_state", above = 3 },
			gone = { query = "no_such_metric", above = 3 },
			rate = { query = "rate(bad_total[5m])", above = 1,
				severity = "P2" },
			none = { query = "bad_total" } } }
		local rows = by_name(thresholds.by_pages(list, first, second, 10))
		eq(rows.breaker.state, "critical")
		eq(rows.fine.state, "ok")
		eq(rows.gone.state, "no data")
		eq(rows.rate.value, 3.0)
		eq(rows.rate.state, "warning")
		eq(rows.none.state, "not checked")
	end)

	it("are judged by a Prometheus", function()
		local object = target.new { name = "prometheus", kind = "http" }
		local client = http.kind.connect(object, {
			url = url.parse(os.getenv "OPSH_PROMETHEUS_URL", secret.value) })
		local _ <close> = setmetatable({}, { __close = function()
			client:close()
		end })
		effect.begin_run(os.getenv "XDG_STATE_HOME" .. "/opsh/runs")
		local list = thresholds.list { thresholds = {
			up = { query = 'up{job="prometheus"}', below = 1, severity = "P0" },
			always = { query = "vector(7)", above = 5, severity = "P1" },
			soon = { query = 'max(up{job="prometheus"})', above = 0,
				minutes = 600 } } }
		local rows = by_name(thresholds.by_prometheus(prometheus.of(client),
			list))
		eq(rows.up.state, "ok")
		eq(rows.always.state, "critical")
		eq(rows.always.value, 7)
		eq(rows.soon.state, "pending")
	end)
end)
