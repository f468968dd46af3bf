-- task_cancel_spec: what ends a task early: deadlines, and cancels that no pcall keeps,
-- also where it waits in a loop of its own; what its handlers may do by then. Times
-- are checked with wide margins only.
require "harness"
package.loaded.harness = nil
local task = require "opsh.task"
local ctask = require "opsh.c.task"
local T = dofile "tests/lib/task.lua"
local closer, within = T.closer, T.within

local PLAIN = { plain = true }		-- tests of time

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
