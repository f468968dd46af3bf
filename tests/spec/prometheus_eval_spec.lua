-- prometheus.eval: the part of PromQL that is evaluated without a server, and that
-- the rest is refused. Needs no server; prometheus_spec compares with a real one.
-- Owns nothing.
require "harness"
local eval = require "opsh.prometheus.eval"
local text = require "opsh.prometheus.text"

local FIRST = [[
req{code="200",job="a"} 100
req{code="500",job="a"} 10
req{code="200",job="b"} 50
d_bucket{le="0.1"} 0
d_bucket{le="1"} 0
d_bucket{le="+Inf"} 0
]]
local SECOND = [[
req{code="200",job="a"} 190
req{code="500",job="a"} 20
req{code="200",job="b"} 5
d_bucket{le="0.1"} 50
d_bucket{le="1"} 90
d_bucket{le="+Inf"} 100
temp{x="a.b"} -3
]]

local function run(expr)
	return eval.run(expr, { seconds = 10,
		first = eval.samples(text.parse(FIRST)),
		second = eval.samples(text.parse(SECOND)) })
end

local function value(expr)
	local rows = run(expr)
	eq(#rows, 1, expr)
	return rows[1].value
end

describe("prometheus.eval.run", function()
	it("selects", function()
		eq(#run "req", 3)
		eq(value 'req{code="500"}', 20)
		eq(value 'req{code=~"5..",job!="b"}', 20)
		eq(#run 'req{code!~"4..|5.."}', 2)
		eq(#run 'req{job=~"a|b"}', 3)
		eq(#run 'req{job=~".*"}', 3)
		eq(value "temp{x='a.b'}", -3)
		eq(value 'temp{x=~"a\\\\.b"}', -3)
		eq(value 'temp{x=~"[a-c].[^x]"}', -3)
		eq(run "nothing", {})
	end)

	it("rates, with a counter that began anew", function()
		eq(value 'rate(req{code="500"}[5m])', 1.0)
		eq(value 'rate(req{job="b"}[5m])', 0.5)
		eq(value 'increase(req{code="500"}[5m])', 10.0)
		eq(run "rate(temp[1m])", {})
	end)

	it("folds", function()
		eq(value "sum(req)", 215)
		eq(value 'sum(rate(req{code=~"5.."}[5m])) / sum(rate(req[5m]))', 1 / 10.5)
		eq(value "max(req)", 190)
		eq(value "min(req)", 5)
		eq(value "count(req)", 3)
		eq(value "avg(req{job=\"a\"})", 105.0)
		local by = run "sum by (job) (req)"
		eq(#by, 2)
		eq(by[1], { labels = { job = "a" }, value = 210 })
		eq(#run "sum(req) by (code, job)", 3)
	end)

	it("arithmetic and comparison", function()
		eq(value "1 + 2 * 3 - (4 - 2) / 2", 6.0)
		eq(value "-temp", 3)
		eq(value '100 * req{code="500"} / 40', 50.0)
		eq(#run "req > 10", 2)
		eq(run "req > 1000", {})
		eq(#run 'req{code="500"} / req{code="500"}', 1)
		eq(run 'req{code="500"} / req{code="200"}', {})
		eq(value 'req{code="500"} / ignoring(code) req{code="200"}', 20 / 190)
		eq(value 'req{code="500"} - on (job) req{code="200"}', -170)
		eq(value 'temp == bool 1', 0)
		eq(value 'temp == bool -3', 1)
	end)

	it("quantiles", function()
		eq(value "histogram_quantile(0.5, rate(d_bucket[5m]))", 0.1)
		eq(value "histogram_quantile(0.7, sum(rate(d_bucket[5m])) by (le))", 0.55)
	end)

	it("refuses what it does not know", function()
		for _, expr in ipairs { "predict_linear(req[1h], 60)", "req[5m]",
			"req offset 5m", "req and temp", "rate(sum(req)[5m])", "", "req{",
			'req{code=~"(4|5).."}', "req > temp", "sum(1)", "1 +",
			"topk(3, req)", "'a", 'req{code="5', ("("):rep(100) } do
			local e = raises("check", run, expr)
			ok(tostring(e):find("cannot evaluate", 1, true), tostring(e))
			eq(e.code, "NOT_EVALUATED")
		end
		raises("check", eval.run, "rate(req[5m])", { second = {} })
	end)
end)

describe("prometheus.eval.samples", function()
	it("adds labels that are not there", function()
		local list = eval.samples(text.parse 'a{job="x"} 1\nb 2\n',
			{ job = "y", service = "z" })
		eq(list[1].labels, { job = "x", service = "z" })
		eq(list[2].labels, { job = "y", service = "z" })
	end)
end)
