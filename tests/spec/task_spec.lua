-- task_spec: what tasks promise: structure (nobody outlives who spawned him, a
-- failure is raised somewhere), results in order, nothing that is left. What ends
-- one early is in task_cancel_spec.lua. Times are checked with wide margins only.
require "harness"
package.loaded.harness = nil
local task = require "opsh.task"
local ctask = require "opsh.c.task"
local T = dofile "tests/lib/task.lua"
local closer, within = T.closer, T.within

local PLAIN = { plain = true }		-- tests of time

describe("sleep", function()
	it("waits about as long as asked, never less", function()
		for _, s in ipairs { 0, 0.0004, 0.001, 0.01, 0.05 } do
			within(s, s + 0.3, task.sleep, s)
		end
	end, PLAIN)

	it("refuses what are no seconds", function()
		for _, v in ipairs { -1, 0 / 0, 1 / 0, -1 / 0, "1", true, {} } do
			raises("", task.sleep, v)
		end
		raises("value expected", task.sleep)
	end)

	it("of many tasks is one wait, in the order of their times", function()
		local order = {}
		within(0.05, 0.6, task.all, {
			function() task.sleep(0.05) order[#order + 1] = 3 end,
			function() task.sleep(0.01) order[#order + 1] = 1 end,
			function() task.sleep(0.03) order[#order + 1] = 2 end,
		})
		eq(order, { 1, 2, 3 })
	end, PLAIN)
end)

describe("all", function()
	it("returns the first results in order, nils kept", function()
		eq(table.pack(task.all(function() task.sleep(0.01) return 1, 9 end,
			function() end, function() return 3 end)),
			{ 1, nil, 3, n = 3 })
		eq(task.all { function() return "a" end, function() task.sleep(0)
			return "b" end }, { "a", "b" })
		eq(task.all {}, {})
		eq(select("#", task.all()), 0)
	end)

	it("refuses what is no function, and starts none", function()
		local ran = false
		raises("function expected, got number at 2", task.all,
			function() ran = true end, 2)
		raises("function expected", task.all, { function() ran = true end,
			"x" })
		raises("function expected", task.all, nil, function() ran = true end)
		task.sleep(0)
		eq(ran, false)
	end)

	it("raises the first failure, cancels the others, waits for them",
		function()
		local closed, went_on, ended = 0, false, false
		local began = ctask.now()
		local e = raises("lua", task.all, function()
			local _ <close> = closer(function(_, why)
				eq(why.kind, "cancelled")
				task.sleep(0.01)	-- handlers may wait
				closed = closed + 1
			end)
			task.sleep(60)
			went_on = true
		end, function()
			task.sleep(0.005)
			error("first", 0)
		end, function()
			task.sleep(0.01)
			error("second", 0)
		end, function()
			ended = true
		end)
		eq(e.message, "first")
		eq(closed, 1)
		eq(went_on, false)
		eq(ended, true)
		ok(ctask.now() - began < 5)
		eq(ctask.live(), 2)		-- the harness and this test
	end)

	it("keeps a foreign error as it is", function()
		local mine = { code = 7 }
		local fine, e = pcall(task.all, function() error(mine) end)
		eq(fine, false)
		ok(rawequal(e, mine))
	end)

	it("a failure of nil is a failure", function()
		for _, v in ipairs { "nil", "false", "17" } do
			local fine, e = pcall(task.all, load("error(" .. v .. ")"))
			eq(fine, false)
			eq(e.message, v)
		end
	end)

	it("cancels before a task has begun", function()
		local ran = false
		raises("x", task.all, function() error "x" end,
			function() task.sleep(0) ran = true end,
			function() task.sleep(0) ran = true end)
		eq(ran, false)
	end)

	it("passes a cancel of its own task on, and raises it again", function()
		local log = {}
		local h = task.spawn(function()
			pcall(task.all, function()
				local _ <close> = closer(function() log[#log + 1] = "closed" end)
				task.sleep(60)
			end)
			log[#log + 1] = "went on"
		end)
		task.sleep(0.005)
		h:cancel()
		local e = raises("cancelled", h.wait, h)
		eq(e.cancel, true)
		eq(log, { "closed" })
	end)

	it("nests", function()
		eq({ task.all(function()
			return (task.all(function()
				return (task.all(function() task.sleep(0) return "deep" end))
			end))
		end, function() return "flat" end) }, { "deep", "flat" })
	end)

	it("1,000 at once", function()
		local fs = {}
		for i = 1, 1000 do fs[i] = function() task.sleep(0) return i end end
		local out = task.all(fs)
		for i = 1, 1000 do eq(out[i], i) end
	end, PLAIN)
end)

describe("map", function()
	it("gives results in the list's order, with the index", function()
		eq(task.map({ 5, 1, 3 }, function(v, i)
			task.sleep(v / 1000)
			return v * 10 + i
		end), { 51, 12, 33 })
		eq(task.map({}, function() error "no" end), {})
	end)

	it("keeps to its limit", function()
		for _, limit in ipairs { 1, 2, 7, 100 } do
			local now, most = 0, 0
			local list = {}
			for i = 1, 20 do list[i] = i end
			task.map(list, { limit = limit }, function()
				now = now + 1
				most = math.max(most, now)
				task.sleep(0.001)
				now = now - 1
			end)
			eq(most, math.min(limit, 20))
		end
	end, PLAIN)

	it("refuses wrong arguments", function()
		local f = function() end
		raises("unknown option 'n'", task.map, { 1 }, { n = 1 }, f)
		for _, limit in ipairs { 0, -1, 1.5, "3", true } do
			raises("limit", task.map, { 1 }, { limit = limit }, f)
		end
		raises("expected", task.map, 1, f)
		raises("expected", task.map, { 1 }, 2)
		raises("expected", task.map, { 1 })
	end)

	it("stops at the first failure and starts no more", function()
		local began = 0
		raises("third", task.map, { 1, 2, 3, 4, 5, 6, 7, 8 }, { limit = 2 },
			function(v)
				began = began + 1
				task.sleep(0.001)
				if v == 3 then error "third" end
			end)
		ok(began <= 4, began .. " began")
		eq(ctask.live(), 2)
	end)
end)

describe("race", function()
	it("returns all results of the first to end, cancels the others",
		function()
		local closed = 0
		eq({ task.race(function()
			local _ <close> = closer(function() closed = closed + 1 end)
			task.sleep(60)
		end, function() task.sleep(0.002) return "b", nil, 3 end, function()
			local _ <close> = closer(function() closed = closed + 1 end)
			task.sleep(30)
		end) }, { "b", nil, 3 })
		eq(closed, 2)
	end)

	it("raises when the first to end failed", function()
		raises("lost", task.race, function() error "lost" end,
			function() task.sleep(60) end)
	end)

	it("two that end at once: one of them", function()
		local v = task.race(function() return 1 end, function() return 2 end)
		ok(v == 1 or v == 2)
		raises("needs a function", task.race)
		raises("function expected", task.race, function() end, 1)
	end)

	it("the error of a loser does not count", function()
		eq(task.race(function() return "won" end, function()
			local _ <close> = closer(function() error "in close" end)
			task.sleep(60)
		end), "won")
	end)
end)

describe("spawn", function()
	it("runs beside, and is waited for at the end", function()
		local log = {}
		task.spawn(function()
			task.spawn(function()
				task.sleep(0.01)
				log[#log + 1] = "grandchild"
			end)
			log[#log + 1] = "child"
		end):wait()
		eq(log, { "child", "grandchild" })
	end)

	it("hands arguments and results", function()
		local h = task.spawn(function(...) task.sleep(0)
			return select("#", ...), ... end, 1, nil, nil)
		eq({ h:wait() }, { 3, 1 })
		eq(select("#", h:wait()), 4)	-- again
		eq(h:status(), "done")
		eq({ task.spawn(function() return table.unpack({}, 1, 5000) end)
			:wait() }, {})
	end)

	it("a failure nobody took is the parent's", function()
		local h = task.spawn(function()
			task.spawn(function() error("nobody's", 0) end)
			return "fine"
		end)
		local e = raises("lua", h.wait, h)
		eq(e.message, "nobody's")
		eq(h:status(), "failed")
	end)

	it("a failure that was waited for is not raised again", function()
		eq(task.spawn(function()
			local h = task.spawn(function() error "taken" end)
			pcall(h.wait, h)
			return "fine"
		end):wait(), "fine")
	end)

	it("each wait raises the failure", function()
		local h = task.spawn(function() error("again", 0) end)
		for _ = 1, 3 do eq(raises("lua", h.wait, h).message, "again") end
	end)

	it("a parent that fails cancels its children and waits", function()
		local closed = false
		raises("parent", task.all, function()
			task.spawn(function()
				local _ <close> = closer(function()
					task.sleep(0.01)
					closed = true
				end)
				task.sleep(60)
			end)
			task.sleep(0)
			error "parent"
		end)
		eq(closed, true)
	end)

	it("several fail: one is raised, none is lost to a crash", function()
		raises("f%d", task.all, function()
			for n = 1, 20 do
				task.spawn(function() error("f" .. n, 0) end)
			end
		end)
	end)

	it("who was cancelled on purpose is no failure of the parent", function()
		eq(task.spawn(function()
			local h = task.spawn(function() task.sleep(60) end)
			task.sleep(0)
			h:cancel()
			return "fine"
		end):wait(), "fine")
		-- but an error of its own is
		local e = raises("cancelled", task.all, function()
			local h = task.spawn(function()
				local _ <close> = closer(function() error "in close" end)
				task.sleep(60)
			end)
			task.sleep(0)
			h:cancel()
		end)
		ok(tostring(e.suppressed):find "in close")
	end)

	it("can't wait for itself or for who spawned it", function()
		local h
		h = task.spawn(function()
			task.sleep(0)
			h:wait()
		end)
		raises("wait for itself", h.wait, h)
		h = task.spawn(function()
			task.sleep(0)
			task.spawn(function() h:wait() end)
		end)
		raises("wait for itself", h.wait, h)
	end)

	it("two may wait for a third", function()
		local h = task.spawn(function() task.sleep(0.005) return "x" end)
		eq({ task.all(function() return h:wait() end,
			function() return h:wait() end) }, { "x", "x" })
	end)

	it("a waiter that is cancelled leaves the other be", function()
		local h = task.spawn(function() task.sleep(0.03) return "x" end)
		local a = task.spawn(function() return h:wait() end)
		local b = task.spawn(function() return h:wait() end)
		task.sleep(0.005)
		a:cancel()
		raises("cancelled", a.wait, a)
		eq(b:wait(), "x")
	end)

	it("arguments are checked", function()
		raises("function expected", task.spawn)
		raises("function expected", task.spawn, 1)
		raises("opsh.task", ctask.spawn(function() end).wait, 1)
		raises("", ctask.join, { 1 })
		eq(ctask.join {}, 0)
		local h = task.spawn(function() end)
		eq(getmetatable(h), "protected")
		raises("", function() h.x = 1 end)
	end)

	it("a handle outlives its task", function()
		local h = task.spawn(function() return {} end)
		h:wait()
		collectgarbage()
		collectgarbage()
		eq(h:wait(), {})
		h:cancel()
		eq(h:status(), "done")
	end)

	it("cancel before the start, after the end, of oneself", function()
		local ran = false
		local h = task.spawn(function() ran = true end)
		h:cancel()
		raises("cancelled", h.wait, h)
		eq(ran, false)
		h:cancel()
		local after = false
		h = task.spawn(function()
			h:cancel()
			task.sleep(0)
			after = true
		end)
		raises("cancelled", h.wait, h)
		eq(after, false)
		h = task.spawn(function()
			h:cancel()
			while true do end	-- never waits
		end)
		raises("cancelled", h.wait, h)
	end)
end)

describe("memory", function()
	it("100,000 short tasks leave nothing", function()
		for _ = 1, 1000 do task.all(function() end) end
		collectgarbage()
		collectgarbage()
		local before = collectgarbage "count"
		for _ = 1, 1000 do
			local fs = {}
			for i = 1, 100 do fs[i] = function() return i end end
			task.all(fs)
		end
		collectgarbage()
		collectgarbage()
		local grown = collectgarbage "count" - before
		ok(grown < 100, ("%.0f KiB more"):format(grown))
	end, PLAIN)
end)
