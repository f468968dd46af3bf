-- prometheus.text: the exposition format of Prometheus and OpenMetrics, what it
-- accepts exactly and what it refuses with which line. Needs no server. The texts are
-- our own, written after the format's description.
require "harness"
local text = require "opsh.prometheus.text"

local function one(line)
	local families = text.parse(line .. "\n")
	return families[1].samples[1], families[1]
end

local function fails(kind, line, said, opts)
	local e = raises(kind, text.parse, line, opts)
	ok(tostring(e):find(said, 1, true), tostring(e))
	return e
end

describe("prometheus.text.parse", function()
	it("families, types, help", function()
		local families = text.parse [[
# HELP http_requests_total Requests, "all" of them.\nBy \\code.
# TYPE http_requests_total counter
http_requests_total{code="200",method="GET"} 1027 1395066363000
http_requests_total{code="500",method="GET",} 3

# a comment, and a HELPful one
#TYPE
# TYPE up gauge
up 1
free 2.5
]]
		eq(#families, 3)
		local f = families[1]
		eq(f.name, "http_requests_total")
		eq(f.type, "counter")
		eq(f.help, 'Requests, "all" of them.\nBy \\code.')
		eq(#f.samples, 2)
		eq(f.samples[1], { name = "http_requests_total", value = 1027,
			labels = { code = "200", method = "GET" }, timestamp = 1395066363.0 })
		eq(f.samples[2].value, 3)
		eq(families[2].samples[1].labels, {})
		eq(families[3].type, "untyped")
		eq(families[3].samples[1].value, 2.5)
	end)

	it("histogram and summary gather their parts", function()
		local families = text.parse [[
# TYPE t_seconds histogram
t_seconds_bucket{le="0.5"} 4
t_seconds_bucket{le="+Inf"} 5
t_seconds_sum 1.75
t_seconds_count 5
t_seconds_other 1
# TYPE s summary
s{quantile="0.99"} NaN
s_sum 0
s_count 0
]]
		eq(#families, 3)
		eq(#families[1].samples, 4)
		eq(families[2].name, "t_seconds_other")
		eq(#families[3].samples, 3)
		local nan = families[3].samples[1].value
		ok(nan ~= nan)
	end)

	it("labels, escapes, blanks", function()
		eq(one 'a{x="\\\\ \\" \\n,}{#"} 1'.labels, { x = '\\ " \n,}{#' })
		eq(one '  a\t{ x = "1" , y="2" }\t 1 \t'.labels, { x = "1", y = "2" })
		eq(one 'a{} 1'.labels, {})
		eq(one 'a{x=""} 1'.labels, { x = "" })
		eq(one 'a{x="h\195\169"} 1'.labels.x, "h\195\169")
		eq(one '{"a.b","c d"="e"} 1', { name = "a.b", value = 1,
			labels = { ["c d"] = "e" } })
		eq(one "a:b_c9 1\r".name, "a:b_c9")
		eq(text.parse "a 1"[1].samples[1].value, 1)
		eq(text.parse "", {})
		eq(text.parse "\n \t\n", {})
	end)

	it("numbers", function()
		for said, value in pairs { ["0"] = 0, ["+5"] = 5, ["-1.5"] = -1.5,
			["1e3"] = 1000, [".5"] = 0.5, ["2."] = 2, ["1.5E-3"] = 0.0015,
			["+Inf"] = math.huge, ["-Inf"] = -math.huge, ["inf"] = math.huge,
			["9007199254740993"] = 9007199254740992.0, ["1e300"] = 1e300,
			["12345678901234567890"] = 12345678901234567890.0 } do
			eq(text.number(said), value, said)
		end
		ok(text.number "NaN" ~= text.number "NaN")
		eq(1 / text.number "-0", -math.huge)
		for _, said in ipairs { "", "1_000", "0x10", "1e", "e5", "--1", "1.2.3",
			"infinite", "1e999", "." } do
			eq(text.number(said), nil, said)
		end
	end)

	it("OpenMetrics", function()
		local families = text.parse [[
# HELP req Requests
# TYPE req counter
# UNIT req seconds
req_total{a="b"} 17 1520879607.789 # {trace_id="KOO5S4vxi0o"} 0.67 1520879607.5
req_created 1520430000.123
# TYPE build info
build_info{version="1"} 1
# EOF
]]
		eq(#families, 2)
		eq(families[1].unit, "seconds")
		eq(#families[1].samples, 2)
		local sample = families[1].samples[1]
		eq(sample.timestamp, 1520879607.789)
		eq(sample.exemplar, { labels = { trace_id = "KOO5S4vxi0o" }, value = 0.67,
			timestamp = 1520879607.5 })
		eq(#families[2].samples, 1)
	end)

	it("errors name the line", function()
		fails("protocol", "up 1\nup{x=} 1\n", "line 2")
		fails("protocol", "up{x=\"1} 1\n", "does not end")
		fails("protocol", "up{x=\"\\t\"} 1\n", "unknown escape '\\t'")
		fails("protocol", "up{x=\"1\",x=\"2\"} 1\n", "'x' stands twice")
		fails("protocol", "up{x=\"1\" y=\"2\"} 1\n", "expected ',' or '}'")
		fails("protocol", "up\n", "value")
		fails("protocol", "up{}\n", "value is missing")
		fails("protocol", "up one\n", "'one' is no number")
		fails("protocol", "up 1 1.5\n", "'1.5' is no timestamp")
		fails("protocol", "up 1 2 3\n", "unexpected")
		fails("protocol", "9up 1\n", "expected a metric")
		fails("protocol", "<html>\n", "line 1: expected a metric, found '<html>'")
		fails("protocol", "# TYPE up nonsense\n", "unknown type 'nonsense'")
		fails("protocol", "# TYPE up gauge\n# TYPE up gauge\n", "second TYPE")
		fails("protocol", "# HELP up a\n# HELP up b\n", "second HELP")
		fails("protocol", "up 1\n# TYPE up gauge\n", "after its samples")
		fails("protocol", "# EOF\nup 1\n", "after '# EOF'")
		fails("protocol", "up{x=\"\255\"} 1\n", "not UTF-8")
		fails("protocol", "up{x=\"\0\"} 1\n", "NUL")
		fails("usage", 7, "expected text, got number")
	end)

	it("limits", function()
		fails("limit", "a 1\nb 2\n", "line 2: more than 1 samples",
			{ max_samples = 1 })
		fails("limit", "a 1\n", "4 bytes, limit 3", { max_bytes = 3 })
		fails("usage", "a 1\n", "unknown option 'lines'", { lines = 1 })
		local labels = {}
		for n = 1, 257 do labels[n] = ("l%d=\"\""):format(n) end
		fails("limit", "a{" .. table.concat(labels, ",") .. "} 1\n",
			"more than 256 labels")
	end)

	it("many lines", function()
		local lines = { "# TYPE a counter" }
		for n = 1, 20000 do
			lines[n + 1] = ('a{n="%d"} %d'):format(n, n)
		end
		local families = text.parse(table.concat(lines, "\n"))
		eq(#families, 1)
		eq(families[1].samples[20000].value, 20000)
	end, { plain = true })
end)

describe("prometheus.text.find", function()
	it("by name and labels", function()
		local families = text.parse 'a{x="1"} 1\na{x="2"} 2\nb 3\n'
		eq(#text.find(families, "a"), 2)
		eq(text.find(families, "a", { x = "2" })[1].value, 2)
		eq(text.find(families, "a", { y = "2" }), {})
	end)
end)
