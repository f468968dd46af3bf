-- Specs of opsh.roll: who is meant, how services stand, waiting until one is well,
-- the watch, the table of before and after; by an orchestrator that is a table. On
-- the real ones: tests/live/services.sh. Owns the table.
local err = require "opsh.c.err"
local roll = require "opsh.roll"

local healthy, rows

local function system()
	return { thresholds = {}, services = {
		web = { target = "a", health = "/h", unit = "w", depends = { "mid" } },
		mid = { depends = { "db" } }, db = {} },
		targets = function()
			return { { name = "a", kind = "http", built_in = true } }
		end,
		target = function()
			return { get = function()
				if not healthy then
					error(err.new { kind = "connect", message = "refused" }, 0)
				end
				return { status = 200, body = "", timing = { total = 0.001 } }
			end }
		end }
end

local function row(service, n, state)
	return { service = service, name = service .. "_" .. n, state = state,
		ready = state == "running" }
end

local o = { services = function() return { "db", "w" } end,
	status = function(_, names)
		local out = {}
		for _, r in ipairs(rows) do
			local wanted = names == nil or names == r.service
			for _, name in ipairs(type(names) == "table" and names or {}) do
				wanted = wanted or name == r.service
			end
			if wanted then out[#out + 1] = r end
		end
		return out
	end }

local WEB = { name = "web", unit = "w", def = { target = "a", health = "/h" } }

describe("opsh.roll", function()
	it("resolves names in the order of their dependencies", function()
		rows = { row("w", 1, "running") }
		local list = roll.resolve(system(), o, "compose", { "web", "db" })
		eq(list[1].unit .. list[2].unit, "dbw")
		local e = raises("check", roll.resolve, system(), o, "compose",
			{ "nope" })
		ok(e.message:find("(it has: db, w)", 1, true))
	end)

	it("looks, and compares", function()
		healthy, rows = true, { row("w", 1, "running"), row("w", 2, "exited") }
		local list = roll.look(system(), o, { WEB })
		eq(list[1].running, 1)
		eq(list[1].names, { "w_1" })
		eq(list[1].health, "up")
		eq(list[1].state, "1 of 2 ready: exited")
		rows = {}
		local after = roll.look(system(), o, { WEB })
		eq(roll.compare(list, after), { { service = "web", health = "up",
			before = "1 of 2 ready: exited (1 of 2 ready)",
			after = "none (0 of 0 ready)" } })
		eq(roll.is_plan(), false)
	end)

	it("counts none that is leaving", function()
		healthy, rows = true, { row("w", 1, "running"), row("w", 2, "running") }
		rows[2].ready, rows[2].leaving, rows[2].reason = false, true, "Terminating"
		local now = roll.look(system(), o, { WEB })[1]
		eq({ now.instances, now.ready, now.running, now.state, now.names },
			{ 1, 1, 1, "running", { "w_1" } })
		table.remove(rows, 1)
		now = roll.look(system(), o, { WEB })[1]
		eq({ now.running, now.state }, { 0, "Terminating" })
	end)

	it("waits for instances and for what the service says", function()
		healthy, rows = true, { row("w", 1, "running") }
		eq(roll.wait(system(), o, WEB, { timeout = 1 }), true)
		eq(roll.wait(system(), o, WEB, { timeout = 1, count = 1 }), true)
		local well, why = roll.wait(system(), o, WEB, { timeout = 0.05,
			count = 2 })
		eq(well, false)
		ok(why:find("1 of 2 instances", 1, true), why)
		healthy = false
		well, why = roll.wait(system(), o, WEB, { timeout = 0.05 })
		eq(well, false)
		ok(why:find("refused", 1, true), why)
		rows = { row("w", 1, "starting") }
		well, why = roll.wait(system(), o, WEB, { timeout = 0.05 })
		eq(well, false)
		ok(why:find("w_1 is starting", 1, true), why)
	end)

	it("watches what is well", function()
		healthy = true
		local watch <close> = roll.watch(system(), 0.05, "web")
		eq(watch.source, "probes")
		healthy = false
		eq((watch:observe(1)), false)
		local none, why = roll.watch(system(), 0)
		eq({ none, why }, { nil, "not asked for" })
	end)
end)
