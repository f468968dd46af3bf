-- chart_spec: opsh.chart: chart, histogram, sparkline as text, in both alphabets, and
-- what is no number. Text in, text out; owns nothing. Must not depend on the locale or
-- the terminal: both are given.
local chart = require "opsh.chart"
local term = require "opsh.c.term"

local function lines(text)
	local out = {}
	for line in (text .. "\n"):gmatch "(.-)\n" do out[#out + 1] = line end
	return out
end

local function draw(values, opts)
	opts = opts or {}
	opts.width = opts.width or 40
	if opts.ascii == nil then opts.ascii = false end
	return lines(chart.chart(values, opts))
end

local function count(values, opts)
	opts = opts or {}
	opts.width = opts.width or 40
	if opts.ascii == nil then opts.ascii = false end
	return lines(chart.histogram(values, opts))
end

local NAN <const>, INF <const> = 0 / 0, math.huge

describe("chart.chart", function()
	it("draws bars from zero, with the scale and what they were", function()
		eq(draw({ 4, 8, 2 }, { height = 2, title = "queue" }), {
			"queue",
			"8 ┤    ████",
			"0 ┤████████▄▄▄▄",
			"  └────────────",
			"min 2 · mean 4.667 · max 8 · last 2 · 3 values",
		})
	end)
	it("has letters of ASCII", function()
		eq(draw({ 4, 8, 2 }, { height = 2, ascii = true }), {
			"8 +    ####",
			"0 +########::::",
			"  +------------",
			"min 2, mean 4.667, max 8, last 2, 3 values",
		})
		ok(not chart.chart({ 1, 2 }, { ascii = true }):find "[\x80-\xff]")
	end)
	it("is what the module is when called", function()
		eq(chart({ 4, 8 }, { width = 40, ascii = true }),
			chart.chart({ 4, 8 }, { width = 40, ascii = true }))
	end)
	it("loses no peak when there are more values than columns", function()
		local list = {}
		for i = 1, 1000 do list[i] = 1 end
		list[777] = 50
		local out = draw(list, { width = 30, height = 3 })
		ok(out[1]:find("█", 1, true), out[1])
		for _, line in ipairs(out) do
			ok(not line:find "┤" or term.width(line) <= 30, line)
		end
		ok(out[#out]:find("a column is the greatest of 39", 1, true), out[#out])
	end)
	it("leaves a gap for what is no number, and says so", function()
		local out = draw({ 1, NAN, term.null, "x", 2 }, { height = 1 })
		eq(out[1], "2 ┤" .. ("▄"):rep(4) .. (" "):rep(12) .. ("█"):rep(4))
		ok(out[3]:find("2 values · 3 without a number", 1, true), out[3])
	end)
	it("fills the column of what is infinite", function()
		local out = draw({ 1, INF, -INF, 2 }, { height = 1 })
		eq(out[1], "2 ┤▄▄▄▄████▁▁▁▁████")
		ok(out[3]:find("max 2 · last 2 · 2 values · 2 infinite", 1, true), out[3])
	end)
	it("takes none, one, zero, and negative ones", function()
		eq(draw {}, { "(no values to draw)" })
		eq(draw { NAN, INF }, { "(no values to draw · 1 without a number · "
			.. "1 infinite)" })
		eq(draw({ 5 }, { height = 1 })[1], "5 ┤████")
		eq(draw({ 0 }, { height = 1 })[1], "1 ┤▁▁▁▁")
		local out = draw({ -4, 4, 0 }, { height = 2 })
		eq(out[1], " 4 ┤    ████")
		eq(out[2], "-4 ┤▁▁▁▁████████")
	end)
	it("does not begin at zero where nothing could be told apart", function()
		eq(draw({ 1000, 1002, 1001 }, { height = 2 })[2]:match "%S+", "1,000")
		eq(draw({ -2, 8 }, { height = 2 })[2]:match "%S+", "-2")
		eq(draw({ 4, 8 }, { height = 2 })[2]:match "%S+", "0")
	end)
	it("takes rows with x and y", function()
		local rows = { { at = 1700000000, v = 1 }, { at = 1700000060, v = 3 } }
		eq(draw(rows, { x = "at", y = "v", height = 1 }), {
			"3 ┤▃▃▃▃████",
			"  └────────",
			"   22:13:20  22:14:20",
			"min 1 · mean 2 · max 3 · last 3 · 2 values",
		})
		eq(draw({ { a = "x", n = 2 } }, { height = 1 })[1], "2 ┤████")
		eq(draw({ { 1, 5 } }, { height = 1, x = 1, y = 2 })[3], "   1")
	end)
	it("takes numbers that are texts, as Postgres' numeric", function()
		eq(draw({ "1.5", "3" }, { height = 1 })[3],
			"min 1.5 · mean 2.25 · max 3 · last 3 · 2 values")
	end)
	it("escapes what stands in the rows", function()
		local text = chart.chart({ { x = "a\27[31m", v = 1 } },
			{ x = "x", y = "v", title = "t\27", width = 30, ascii = true })
		ok(not text:find "\27", text)
	end)
	it("refuses what it can't use", function()
		raises("unknown option 'hieght'", chart.chart, {}, { hieght = 3 })
		raises("option 'height' must be an integer", chart.chart, {}, { height = 0 })
		raises("option 'title' must be a string", chart.chart, {}, { title = 1 })
		raises("a list of numbers or of rows expected", chart.chart, "x")
		raises("several fields of numbers", chart.chart, { { a = 1, b = 2 } })
		raises("no field of numbers", chart.chart, { { a = "x" } })
	end)
end)

describe("chart.histogram", function()
	it("counts in ranges at round numbers", function()
		eq(count({ 0, 5, 9, 10, 95, 100 }, { width = 30 }), {
			"  0 … 10   " .. ("█"):rep(16) .. "  3",
			" 10 … 20   █████▍            1",
			" 20 … 30                     0",
			" 30 … 40                     0",
			" 40 … 50                     0",
			" 50 … 60                     0",
			" 60 … 70                     0",
			" 70 … 80                     0",
			" 80 … 90                     0",
			" 90 … 100  █████▍            1",
			"100 … 110  █████▍            1",
			"6 values · min 0 · p50 9 · p90 100 · p99 100 · max 100",
		})
	end)
	it("counts in as many as it is told", function()
		local out = count({ 1, 2, 3, 4, 9 }, { buckets = 2, ascii = true })
		eq(#out, 3)
		ok(out[1]:find "^1 %.%. 5  #+ +4$", out[1])
		ok(out[2]:find "^5 %.%. 9  #+%-? +1$", out[2])
	end)
	it("takes one value, none, and what is no number", function()
		eq(count({ 7, 7 }, { width = 17 })[1], "7  " .. ("█"):rep(11) .. "  2")
		eq(count {}, { "(no values to count)" })
		eq(count { NAN }, { "(no values to count · 1 without a number)" })
		local out = count { -5, 5, NAN, INF, -INF }
		ok(out[#out]:find("1 without a number · 2 infinite", 1, true), out[#out])
		local all = 0
		for i = 1, #out - 1 do all = all + tonumber(out[i]:match "(%d+)$") end
		eq(all, 2)
	end)
	it("has a bar for what is there but rare", function()
		local list = {}
		for i = 1, 10000 do list[i] = 1 end
		list[10001] = 100
		local out = count(list, { buckets = 2 })
		ok(out[2]:find("▏", 1, true), out[2])
	end)
	it("counts texts one by one, the most frequent first", function()
		eq(count({ { s = "idle" }, { s = "active" }, { s = "idle" } },
			{ y = "s", width = 20 }), {
			"idle    █████████  2",
			"active  ████▌      1",
			"3 values · 2 different",
		})
		local many = {}
		for i = 1, 30 do many[i] = "t" .. i end
		local out = count(many)
		eq(#out, 21)
		eq(out[21], "30 values · 30 different · 10 values not shown")
		ok(not chart.histogram({ "a\27[2J" }, { width = 30 }):find "\27")
	end)
	it("refuses what it can't use", function()
		raises("option 'buckets'", chart.histogram, {}, { buckets = 1.5 })
	end)
end)

describe("chart.sparkline", function()
	it("is one line from the least to the greatest", function()
		eq(chart.sparkline({ 1, 2, 3, 4, 5, 6, 7, 8 }, { ascii = false }),
			"▁▂▃▄▅▆▇█")
		eq(chart.sparkline({ -1, 0, 1 }, { ascii = true }), ".:#")
		eq(chart.sparkline({}, { ascii = false }), "")
		eq(chart.sparkline({ 3, 3 }, { ascii = false }), "▅▅")
		eq(chart.sparkline({ 1, NAN, INF, -INF, 2 }, { ascii = false }), "▁ █▁█")
		eq(chart.sparkline({ { n = 1 }, { n = 2 } }, { y = "n", ascii = false }),
			"▁█")
	end)
	it("fits the width", function()
		local list = {}
		for i = 1, 500 do list[i] = i end
		ok(term.width(chart.sparkline(list, { width = 40, ascii = false })) <= 40)
		raises("option 'width'", chart.sparkline, {}, { width = -1 })
	end)
end)
