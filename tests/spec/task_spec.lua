-- task_spec: what tasks promise: structure (nobody outlives who spawned him, a
-- failure is raised somewhere), cancel that no pcall keeps, deadlines, results
-- in order. Times are checked with wide margins only.
require "harness"
package.loaded.harness = nil
local task = require "opsh.task"
local ctask = require "opsh.c.task"

local PLAIN = { plain = true }		-- tests of time

local function closer(f) return setmetatable({}, { __close = f }) end

-- Raises unless f took between min and max seconds; returns its results.
local function within(min, max, f, ...)
	local began = ctask.now()
	local out = table.pack(pcall(f, ...))
	local took = ctask.now() - began
	if took < min or took > max then
		error(("took %.3f s, expected %.3f to %.3f"):format(took, min, max), 2)
	end
	if not out[1] then error(out[2], 0) end
	return table.unpack(out, 2, out.n)
end

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

describe("timeout", function()
	it("returns what f returns", function()
		eq({ task.timeout(60, function(...) task.sleep(0) return ... end, 1,
			nil, 3) }, { 1, nil, 3 })
		eq(select("#", task.timeout(1, function() end)), 0)
	end)

	it("raises kind timeout when the time is over", function()
		local e = within(0.04, 1, function()
			return raises("timeout", task.timeout, 0.05, task.sleep, 60)
		end)
		ok(e.message:find("deadline of 0.05 s passed", 1, true), e.message)
	end, PLAIN)

	it("raises it although f swallowed it", function()
		for name, swallow in pairs {
			pcall = function() pcall(task.sleep, 60) return "went on" end,
			xpcall = function()
				xpcall(task.sleep, function() return "h" end, 60)
				return "went on"
			end,
			try = function() try(task.sleep, 60) return "went on" end,
			["a coroutine"] = function()
				coroutine.resume(coroutine.create(task.sleep), 60)
				return "went on"
			end,
			["close"] = function()
				local co = coroutine.create(function()
					local _ <close> = closer(function() task.sleep(60) end)
					coroutine.yield()
				end)
				coroutine.resume(co)
				coroutine.close(co)
				return "went on"
			end,
			["nested timeouts"] = function()
				pcall(task.timeout, 50, function() pcall(task.sleep, 60) end)
				return "went on"
			end,
			["a sort"] = function()
				pcall(table.sort, { 3, 2, 1 }, function(a, b)
					pcall(task.sleep, 60)
					return a < b
				end)
				return "went on"
			end,
			["a reader"] = function()
				load(function() pcall(task.sleep, 60) end)
				return "went on"
			end,
			["a loop that goes on"] = function()
				while true do pcall(task.sleep, 60) end
			end,
			["a loop in close"] = function()
				local _ <close> = closer(function()
					for _ = 1, 3 do pcall(task.sleep, 60) end
				end)
				task.sleep(60)
			end,
		} do
			local e = within(0, 3, function()
				return raises("timeout", task.timeout, 0.01, swallow)
			end)
			ok(e.message:find "deadline", name)
		end
	end, PLAIN)

	it("ends a busy loop", function()
		for name, busy in pairs {
			loop = function() while true do end end,
			pcall = function()
				while true do pcall(function() while true do end end) end
			end,
			coroutine = function()
				coroutine.wrap(function() while true do end end)()
			end,
			sort = function()
				table.sort({ 2, 1 }, function() while true do end end)
			end,
			["inside a sort of a coroutine"] = function()
				coroutine.wrap(function()
					table.sort({ 2, 1 }, function() while true do end end)
				end)()
			end,
			recursion = function()
				local function f(n) if n > 0 then f(n - 1) f(n - 1) end end
				f(60)
			end,
			close = function()
				local co = coroutine.create(function()
					local _ <close> = closer(function()
						while true do end
					end)
					coroutine.yield()
				end)
				coroutine.resume(co)
				coroutine.close(co)
			end,
			["nested all"] = function()
				task.all(function() while true do end end)
			end,
		} do
			local e = within(0.04, 2, function()
				return raises("timeout", task.timeout, 0.05, busy)
			end)
			ok(e, name)
		end
	end, PLAIN)

	it("ends a handler that never ends", function()
		within(0, 3, raises, "timeout", task.timeout, 0.01, function()
			local _ <close> = closer(function() while true do end end)
			task.sleep(60)
		end)
		within(0, 3, raises, "timeout", task.timeout, 0.01, function()
			local _ <close> = closer(function()
				while true do
					pcall(function() while true do end end)
				end
			end)
			task.sleep(60)
		end)
		within(0, 3, raises, "timeout", task.timeout, 0.01, function()
			local _ <close> = closer(function()
				table.sort({ 2, 1 }, function() while true do end end)
			end)
			task.sleep(60)
		end)
		within(0, 3, raises, "timeout", task.timeout, 0.01, function()
			local _ <close> = closer(function()
				while true do task.sleep(1) end
			end)
			task.sleep(60)
		end)
	end, PLAIN)

	it("of 0 still starts f, and ends its first wait", function()
		local began
		local busy = task.spawn(function()	-- the loop has its turn before f
			local from = task.now()
			while task.now() - from < 0.01 do end
		end)
		raises("timeout", task.timeout, 0, function()
			began = true
			task.sleep(60)
		end)
		busy:wait()
		ok(began, "f was started")
	end)

	it("refuses wrong arguments, and then starts nothing", function()
		local ran = false
		local function f() ran = true end
		for _, v in ipairs { -1, 0 / 0, 1 / 0 } do
			raises("seconds", task.timeout, v, f)
		end
		raises("expected", task.timeout, "1", f)
		raises("expected", task.timeout, 1)
		task.sleep(0)
		eq(ran, false)
	end)

	it("the inner one tells which it was", function()
		local inner, e
		e = raises("timeout", task.timeout, 5, function()
			local fine
			fine, inner = pcall(task.timeout, 0.01, task.sleep, 60)
			eq(fine, false)
			task.sleep(0)
			task.timeout(0.02, task.sleep, 60)
		end)
		ok(inner.message:find("0.01", 1, true))
		ok(e.message:find("0.02", 1, true))
		e = raises("timeout", task.timeout, 0.01, task.timeout, 5, task.sleep,
			60)
		ok(e.message:find("0.01", 1, true), e.message)
	end, PLAIN)

	it("leaves no tick behind", function()
		for _ = 1, 100 do task.timeout(5, function() end) end
		eq(ctask.live(), 2)
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

describe("a cancelled task", function()
	it("may wait in its handlers, for a grace", function()
		local log = {}
		local h = task.spawn(function()
			local _ <close> = closer(function()
				task.sleep(0.01)
				log[#log + 1] = "a"
			end)
			local _ <close> = closer(function()
				pcall(function() task.sleep(0.01) error "x" end)
				log[#log + 1] = "b"
			end)
			task.sleep(60)
		end)
		task.sleep(0)
		h:cancel()
		raises("cancelled", h.wait, h)
		eq(log, { "b", "a" })
	end)

	it("may run tasks in its handlers", function()
		local log = {}
		local h = task.spawn(function()
			local _ <close> = closer(function()
				task.all(function() task.sleep(0.005) log[#log + 1] = "one" end,
					function() log[#log + 1] = "two" end)
				eq(task.timeout(1, function() return "t" end), "t")
				log[#log + 1] = "end"
			end)
			task.sleep(60)
		end)
		task.sleep(0)
		h:cancel()
		raises("cancelled", h.wait, h)
		eq(log, { "two", "one", "end" })
	end)

	it("ends with a child that its handler spawned and forgot", function()
		within(0, 3, function()
			local h = task.spawn(function()
				local _ <close> = closer(function()
					task.spawn(function()
						while true do task.sleep(0.05) end
					end)
				end)
				task.sleep(60)
			end)
			task.sleep(0)
			h:cancel()
			raises("cancelled", h.wait, h)
		end)
		collectgarbage()
	end, PLAIN)

	it("that never ends is dropped after its grace, its children first",
		function()
		local function stubborn()
			local _ <close> = closer(function()
				while true do pcall(task.sleep, 60) end
			end)
			task.sleep(60)
		end
		for _, shape in ipairs {
			function() stubborn() end,
			function() task.spawn(stubborn) stubborn() end,
			function() task.spawn(stubborn) task.spawn(stubborn)
				task.sleep(60) end,
			function() task.spawn(function() task.spawn(stubborn)
				stubborn() end) stubborn() end,
			function() task.all(stubborn, stubborn) end,
			function() coroutine.wrap(stubborn)() end,
			function() table.sort({ 2, 1 }, stubborn) end,
			function() task.spawn(function()
				table.sort({ 2, 1 }, stubborn) end) stubborn() end,
		} do
			within(0.3, 3.5, function()
				local h = task.spawn(shape)
				task.sleep(0.01)
				h:cancel()
				raises("cancelled", h.wait, h)
				eq(ctask.live(), 2)
				h = nil	-- luacheck: ignore 311
				collectgarbage()
				collectgarbage()
				task.sleep(0.01)
			end)
		end
	end, PLAIN)

	it("what its handler fails with is kept beside", function()
		local h = task.spawn(function()
			local _ <close> = closer(function() error("handler", 0) end)
			pcall(task.sleep, 60)
		end)
		task.sleep(0)
		h:cancel()
		local e = raises("cancelled", h.wait, h)
		eq(e.suppressed.message, "handler")
	end)

	it("a timer that ends in the same turn does not save it", function()
		for _ = 1, 50 do
			local went_on = false
			local h = task.spawn(function()
				task.sleep(0.001)
				task.sleep(0)
				went_on = true
			end)
			local now = ctask.now()
			while ctask.now() < now + 0.002 do end
			h:cancel()
			raises("cancelled", h.wait, h)
			eq(went_on, false)
		end
	end, PLAIN)
end)

describe("waits in nested loops", function()
	it("one that would wait for a loop below its own is told",
		function()
		within(0, 0.9, function()
			raises("wait for ever", task.timeout, 1, function()
				local a, b
				a = task.spawn(function()
					table.sort({ 2, 1 }, function(x, y)
						task.sleep(0.01)
						return x < y
					end)
					return "a"
				end)
				b = task.spawn(function()
					table.sort({ 2, 1 }, function(x, y)
						eq(a:wait(), "a")
						return x < y
					end)
					return "b"
				end)
				eq(b:wait(), "b")
			end)
		end)
	end, PLAIN)

	it("are cancelled like others", function()
		for _, f in ipairs {
			function() string.gsub("x", "x", function() task.sleep(60) end) end,
			function() table.sort({ 2, 1 }, function()
				task.all(function() task.sleep(60) end) end) end,
			function() table.sort({ 2, 1 }, function()
				coroutine.wrap(function() task.sleep(60) end)() end) end,
			function() tostring(setmetatable({}, { __tostring = function()
				task.sleep(60) end })) end,
			function() load(function() task.sleep(60) end) end,
			function()
				package.preload.task_spec_x = function() task.sleep(60) end
				require "task_spec_x"
			end,
		} do
			within(0, 3, raises, "timeout", task.timeout, 0.01, f)
			package.loaded.task_spec_x = nil
		end
	end, PLAIN)
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
