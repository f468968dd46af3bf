-- Specs of opsh.errorrate: the baseline, what is worse, marks, the source, and
-- that a watch ends with its scope; by services whose health a table decides. The
-- real ones: tests/live/services.sh. Owns the table.
local errorrate = require "opsh.errorrate"
local err = require "opsh.c.err"
local task = require "opsh.task"

local broken

local function system(more)
	local out = {
		services = {}, thresholds = more and more.thresholds or {},
		targets = function()
			return { { name = "a", kind = "http", built_in = true } }
		end,
		target = function()
			return { get = function()
				if broken then
					error(err.new { kind = "connect", message = "refused" }, 0)
				end
				return { status = 200, body = "", timing = { total = 0.001 } }
			end }
		end,
	}
	return out
end

local LIST = { { name = "api", def = { target = "a", health = "/h" } } }
local QUICK = { interval = 0.01, baseline = 0.03 }

describe("opsh.errorrate", function()
	it("takes query and limit of the service, else of the system", function()
		local sys = system { thresholds = { error_rate = { above = 0.02,
			query = "q" } } }
		eq(errorrate.query(sys, {}), "q")
		eq(errorrate.query(sys, { thresholds = { error_rate = {
			query = "own" } } }), "own")
		eq(errorrate.query(system()), nil)
		eq(errorrate.limit(sys, {}), 0.02)
		eq(errorrate.limit(sys, { thresholds = { error_rate = 0.5 } }), 0.5)
		eq(errorrate.limit(system()), 0.05)
	end)

	it("sees that it gets worse, and that it is well again", function()
		broken = false
		local watch <close> = errorrate.open(system(), LIST, QUICK)
		eq(watch.source, "probes")
		eq(watch.before, 0.0)
		eq(watch:observe(0.05), true)
		watch:demand()
		broken = true
		local fine, why = watch:observe(2)
		eq(fine, false)
		ok(why:find("limit 5 %, before 0 %; last: api: refused", 1, true), why)
		eq(raises("verify", watch.demand, watch).code, "ERROR_RATE")
		broken = false
		watch:mark()
		eq(watch:worse(), nil)
		eq(watch:observe(0.05), true)
		local share, looks = watch:rate()
		eq(share, 0.0)
		ok(looks >= 1)
		eq(watch:report().source, "probes")
	end)

	it("is not worse than it was", function()
		broken = true
		local watch <close> = errorrate.open(system(), LIST, QUICK)
		eq(watch.before, 1.0)
		eq(watch:observe(0.05), true)
		broken = false
	end)

	it("has nothing to look at without a health URL", function()
		local watch, why = errorrate.open(system(), { { name = "x", def = {} } },
			QUICK)
		eq(watch, nil)
		ok(why:find "no health URL")
	end)

	it("ends when it is closed", function()
		broken = false
		local watch = errorrate.open(system(), LIST, QUICK)
		watch:close()
		watch:close()
		local n = #watch.samples
		task.sleep(0.05)
		eq(#watch.samples, n)
	end)
end)
