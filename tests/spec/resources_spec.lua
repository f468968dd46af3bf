-- Specs of opsh.resources: thresholds as files write them, use against limits,
-- what was killed, autoscalers, growth, the verdict, this machine. Reads /proc and
-- the root file system. Owns the rows.
local resources = require "opsh.resources"

local function one(rows, what)
	for _, row in ipairs(rows) do
		if row.what == what then return row end
	end
end

local MIB <const> = 1 << 20

describe("opsh.resources", function()
	it("takes thresholds as files write them", function()
		eq({ resources.limits(nil, "cpu") }, { 70, 90 })
		eq({ resources.limits({ cpu_usage = { above = 0.6, critical = 0.8 } },
			"cpu") }, { 60.0, 80.0 })
		eq({ resources.limits({ memory = { above = 75, critical_above = 95 } },
			"memory") }, { 75, 95 })
		eq({ resources.limits({ disk = 80 }, "disk") }, { 70, 80 })
		eq(resources.size(512 * MIB), "512 MiB")
		eq(resources.size(5), "5 B")
	end)

	it("judges use against limits, or the machine", function()
		local rows = resources.usage({
			{ service = "a", name = "a_1", cpu = 0.95, memory = 80 * MIB,
				memory_limit = 100 * MIB },
			{ service = "b", name = "b_1", cpu = 0.1, memory = 10 * MIB },
		}, { a = { cpu = 1 } }, { cores = 2, memory = 1024 * MIB })
		eq(rows[1].level, "critical")
		eq(rows[1].detail, "0.95 of 1 cores")
		eq(rows[2].level, "warning")
		eq(rows[3].level, "ok")
		eq(rows[4].detail, "10 MiB of 1 GiB of the machine")
		rows = resources.usage({ { service = "a", cpu = 1, memory = 1 } }, {}, nil)
		eq(rows[1].level, "?")
		eq(rows[2].detail, "1 B of no limit")
	end)

	it("names what was killed, restarts, and autoscalers at their end", function()
		local rows = resources.restarts {
			{ service = "a", name = "a_1", state = "restarting", restarts = 2,
				reason = "OOMKilled" },
			{ service = "b", name = "b_1", state = "running", restarts = 9,
				ready = true },
			{ service = "c", name = "c_1", state = "running", ready = true } }
		eq(#rows, 2)
		eq(one(rows, "OOMKilled").level, "critical")
		eq(one(rows, "restarts").detail, "9 restarts, now running")
		eq(one(rows, "restarts").level, "warning")
		rows = resources.autoscalers { { name = "h", service = "a", min = 1,
			max = 3, replicas = 3, desired = 3, metrics = { { name = "cpu",
			current = 91, target = 70, percent = true } } },
			{ name = "i", min = 1, max = 3, replicas = 1, desired = 1 } }
		eq(rows[1].level, "warning")
		eq(rows[1].detail, "3 of 1 to 3 instances; cpu 91 of 70 %; at its maximum")
		eq(rows[2].level, "ok")
	end)

	it("tells growth from noise", function()
		local up, flat = {}, {}
		for n = 0, 59 do
			up[n + 1] = { n * 60, (100 + n) * MIB }
			flat[n + 1] = { n * 60, (100 + n % 3) * MIB }
		end
		local row = resources.growth("a", up, 200 * MIB)
		eq(row.level, "critical")
		ok(row.detail:find("60 MiB an hour over 1.0 h", 1, true), row.detail)
		ok(row.detail:find("at its limit in 0.7 h", 1, true), row.detail)
		eq(resources.growth("a", up).level, "warning")
		eq(resources.growth("a", flat, 200 * MIB).level, "ok")
		eq(resources.growth("a", {}), nil)
	end)

	it("says the worst first, and raises for what is critical", function()
		local rows = resources.sort { { service = "a", what = "cpu",
			level = "ok", percent = 12.345 }, { service = "b", name = "b_1",
			what = "memory", level = "critical", percent = 95 } }
		eq(rows[1].service, "b")
		eq(rows[2].percent, 12.3)
		eq(resources.verdict(rows), "1 critical: b_1 memory 95 %")
		eq(raises("server", resources.demand, rows).code, "CRITICAL")
		resources.demand { rows[2] }
		eq(resources.verdict { rows[2] },
			"1 looked at, all below their thresholds")
	end)

	it("knows this machine", function()
		local m = resources.machine()
		ok(m.cores >= 1 and m.memory > m.available and m.available > 0)
		local rows = resources.of_machine(m)
		eq(rows[1].what, "cpu")
		ok(rows[2].percent > 0 and rows[2].percent < 100)
		local disk = resources.disk "/"
		eq(disk.what, "disk /")
		ok(disk.percent >= 0 and disk.percent <= 100)
	end)
end)
