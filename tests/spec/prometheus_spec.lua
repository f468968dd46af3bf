-- prometheus: the API of a real server (component prometheus), its own page of
-- metrics, and the arithmetic, compared with what that server computes on the same
-- data. The page with a histogram is the component nginx's.
require "harness"
local H = dofile "tests/lib/http.lua"
local eval = require "opsh.prometheus.eval"
local prometheus = require "opsh.prometheus"
local text = require "opsh.prometheus.text"
local task = require "opsh.task"

local URL = os.getenv "OPSH_PROMETHEUS_URL"
local PAGE = os.getenv "OPSH_NGINX_URL"

local function on(f)
	return function()
		H.with(URL, nil, function(client) f(prometheus.of(client)) end)
	end
end

local function same(a, b)
	return a == b or a ~= a and b ~= b
		or math.abs(a - b) <= 1e-12 * math.max(math.abs(a), math.abs(b))
end

describe("prometheus arithmetic", function()
	it("prometheus.quantile", function()
		local list = { { le = "+Inf", count = 10 }, { le = 1, count = 4 },
			{ le = "2", count = 8 } }
		eq(prometheus.quantile(0.5, list), 1.25)
		eq(prometheus.quantile(0.2, list), 0.5)
		eq(prometheus.quantile(0.9, list), 2)
		eq(prometheus.quantile(-1, list), -math.huge)
		eq(prometheus.quantile(1.1, list), math.huge)
		for _, bad in ipairs { {}, { { le = 1, count = 4 } },
			{ { le = 1, count = 0 }, { le = math.huge, count = 0 } },
			{ { le = 1, count = 4 }, { le = 2, count = 4 } } } do
			local v = prometheus.quantile(0.5, bad)
			ok(v ~= v)
		end
		eq(prometheus.quantile(0.5, { { le = -1, count = 5 },
			{ le = math.huge, count = 5 } }), -1)
		-- the same bound twice, and a count that falls
		eq(prometheus.quantile(0.5, { { le = 1, count = 2 }, { le = 1, count = 2 },
			{ le = 2, count = 3 }, { le = math.huge, count = 8 } }), 1.0)
		raises("usage", prometheus.quantile, 0.5, { { 1, 2 } })
		raises("more than one histogram", prometheus.quantile, 0.5, text.parse
			'a_bucket{le="1",x="1"} 1\na_bucket{le="1",x="2"} 1\n'[1].samples)
	end)

	it("prometheus.rate", function()
		eq(prometheus.rate(10, 30, 10), 2.0)
		eq(prometheus.rate(30, 10, 10), 1.0)
		local rows = prometheus.rate(text.parse 'a{x="1"} 1\na{x="2"} 5\n'[1].samples,
			text.parse 'a{x="2"} 15\na{x="3"} 5\n'[1].samples, 5)
		eq(rows, { { name = "a", labels = { x = "2" }, value = 2.0 } })
		raises("usage", prometheus.rate, 1, 2, 0)
		raises("usage", prometheus.rate, 1, "2", 1)
	end)

	it("prometheus.of, parse, find, number", function()
		raises("usage", prometheus.of, nil)
		eq(prometheus.parse "a 1\n", text.parse "a 1\n")
		eq(#prometheus.find(prometheus.parse "a 1\n", "a"), 1)
		eq(prometheus.number "+Inf", math.huge)
	end)
end)

describe("prometheus server", function()
	it("query", on(function(p)
		local rows = p:query 'up{job="prometheus"}'
		eq(#rows, 1)
		eq(rows[1].name, "up")
		eq(rows[1].labels.job, "prometheus")
		eq(rows[1].labels.__name__, nil)
		eq(rows[1].value, 1)
		ok(math.abs(rows[1].time - os.time()) < 60)
		eq(p:query "scalar(vector(7))"[1].value, 7)
		eq(p:query '"text"'[1].value, "text")
		eq(p:query "vector(1) / 0"[1].value, math.huge)
		eq(p:query("time()", { time = 1700000000.5 })[1].value, 1700000000.5)
		local matrix = p:query "up[10s]"
		ok(#matrix[1].values > 0)
		eq(#matrix[1].values[1], 2)
		eq(p:query "nothing_of_this_name", {})
	end))

	it("value", on(function(p)
		eq(p:value "vector(3)", 3)
		eq(p:value "nothing_of_this_name", nil)
		raises("check", p.value, p, "prometheus_http_requests_total")
	end))

	it("range", on(function(p)
		local now = os.time()
		local rows = p:range("vector(2)", { start = now - 10, stop = now, step = 5 })
		eq(rows[1].values, { { now - 10, 2 }, { now - 5, 2 }, { now, 2 } })
		raises("usage", p.range, p, "up", {})
		raises("usage", p.range, p, "up", { start = now, stop = now - 1 })
	end))

	it("says what the server says", on(function(p)
		local e = raises("server", p.query, p, "up ===")
		eq(e.code, "bad_data")
		ok(e.message:find("parse error", 1, true))
		raises("usage", p.query, p, "up", { at = 1 })
	end))

	it("a long expression is posted, as a read", on(function(p)
		local expr = "vector(1)" .. (" + vector(1)"):rep(300)
		local _, n = H.records()
		eq(p:value(expr), 301)
		local record
		for _, one in ipairs(H.records(n)) do
			if one.verb then record = one end
		end
		eq(record.verb, "POST")
		eq(record.class, "read")
	end), { plain = true })

	it("alerts, rules, targets", on(function(p)
		local alert = p:alerts()[1]
		eq(alert.name, "AlwaysFiring")
		eq(alert.state, "firing")
		eq(alert.severity, "critical")
		eq(alert.value, 7)
		local by = {}
		for _, rule in ipairs(p:rules()) do by[rule.name] = rule end
		eq(by.AlwaysFiring.alerts, 1)
		eq(by.NeverFiring.state, "inactive")
		eq(by["opsh:up:sum"].type, "recording")
		local jobs = {}
		for _, row in ipairs(p:targets()) do jobs[row.job] = row.health end
		eq(jobs.prometheus, "up")
	end))

	it("metrics: its own page says what its API says", on(function(p)
		local families = p:metrics()
		local found = prometheus.find(families, "prometheus_build_info")
		eq(found[1].labels.version, p:query "prometheus_build_info"[1].labels.version)
		local function key_of(name, labels)
			local key = { name }
			for k, v in pairs(labels) do
				if k ~= "job" and k ~= "instance" then
					key[#key + 1] = k .. "=" .. v
				end
			end
			table.sort(key)
			return table.concat(key, "\0")
		end
		-- A counter that is the same on two pages was so at a scrape between.
		task.sleep(1.5)
		local api, after, compared = {}, {}, 0
		for _, row in ipairs(p:query '{job="prometheus"}') do
			api[key_of(row.name, row.labels)] = row.value
		end
		for _, s in ipairs(eval.samples(p:metrics())) do
			after[key_of(s.name, s.labels)] = s.value
		end
		for _, f in ipairs(families) do
			for _, s in ipairs((f.type == "counter" or f.type == "histogram")
				and f.samples or {}) do
				local key = key_of(s.name, s.labels)
				local still = after[key] and same(after[key], s.value)
				if still then
					ok(api[key] and same(api[key], s.value), s.name)
					compared = compared + 1
				end
			end
		end
		ok(compared > 100, "compared: " .. compared)
	end), { plain = true })

	it("metrics: a page with every kind, exactly", on(function(p)
		H.with(PAGE, nil, function(web)
			local compared = 0
			for _, f in ipairs(prometheus.of(web):metrics()) do
				for _, s in ipairs(f.samples) do
					local match = {}
					for k, v in pairs(s.labels) do
						match[#match + 1] = ("%s=%s"):format(k,
							require("opsh.json").encode(v))
					end
					local value = p:value(('%s{job="nginx",%s}'):format(s.name,
						table.concat(match, ",")))
					ok(value, s.name)
					ok(same(value, s.value), s.name)
					compared = compared + 1
				end
			end
			eq(compared, 16)
		end)
	end), { plain = true })

	it("quantiles and expressions are the server's", on(function(p)
		H.with(PAGE, nil, function(web)
			local samples = eval.samples(prometheus.of(web):metrics(),
				{ job = "nginx" })
			local buckets = {}
			for _, s in ipairs(samples) do
				if s.name:find "_bucket$" then buckets[#buckets + 1] = s end
			end
			for _, q in ipairs { 0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1, -1, 2 } do
				local theirs = p:value(("histogram_quantile(%g, http_request_"
					.. 'duration_seconds_bucket{job="nginx"})'):format(q))
				ok(same(prometheus.quantile(q, buckets), theirs), q)
			end
			for _, expr in ipairs { 'sum(http_requests_total{code=~"5..",job="nginx"})'
				.. ' / sum(http_requests_total{job="nginx"})',
				'100 * http_requests_total{code="500"} - 7 / 2',
				'max by (job) (http_requests_total{job=~"ng.*"})',
				'count(http_requests_total{code!~"5.."} > 3)' } do
				local mine = eval.run(expr, { second = samples })
				eq(#mine, 1)
				ok(same(mine[1].value, p:value(expr)), expr)
			end
		end)
	end), { plain = true })

	it("what is no Prometheus", function()
		H.with(PAGE, nil, function(web)
			local p = prometheus.of(web)
			eq(raises("server", p.query, p, "up").code, "404")
			raises("protocol", p.metrics, p, "/json")
			raises("server", p.metrics, p, "/status/503")
		end)
	end)

	it("waits no longer than it may", function()
		H.with(os.getenv "OPSH_NGINX_SILENT_URL", nil, function(web)
			local p, began = prometheus.of(web), task.now()
			raises("timeout", p.query, p, "up", { timeout = 0.2 })
			ok(task.now() - began < 1)
		end)
	end, { plain = true })
end)
