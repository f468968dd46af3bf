-- timer_spec: ticks, delays and paces of opsh.timer. Times are checked with room
-- above only: a machine may be slow, a timer must not be early. Owns no task: each
-- has ended when its case has.
local timer = require "opsh.timer"
local task = require "opsh.task"

local TIMED = { plain = true }

-- Seconds that f took.
local function took(f, ...)
	local began = task.now()
	f(...)
	return task.now() - began
end

describe("timer.now", function()
	it("never goes back", function()
		local last = timer.now()
		for _ = 1, 1000 do
			local now = timer.now()
			ok(now >= last)
			last = now
		end
	end)
end)

describe("timer.every", function()
	it("counts, at once first", function()
		local seen, took_first = {}, nil
		local began = task.now()
		for n in timer.every(0.02, { count = 4 }) do
			took_first = took_first or task.now() - began
			seen[#seen + 1] = n
		end
		eq(seen, { 1, 2, 3, 4 })
		ok(took_first < 0.02, took_first)
		ok(task.now() - began >= 0.06)
	end, TIMED)
	it("ends with its timeout", function()
		local n = 0
		local seconds = took(function()
			for _ in timer.every(0.02, { timeout = 0.09 }) do n = n + 1 end
		end)
		ok(n >= 1 and n <= 5, n)
		ok(seconds < 0.5, seconds)
	end, TIMED)
	it("doesn't wait for a turn beyond its timeout", function()
		ok(took(function()
			for _ in timer.every(60, { timeout = 1 }) do task.sleep(0) end
		end) < 1)
	end, TIMED)
	it("doesn't make up for turns that it missed", function()
		local turns, began = {}, task.now()
		for n in timer.every(0.05, { count = 4 }) do
			turns[n] = task.now() - began
			if n == 1 then task.sleep(0.22) end
		end
		-- the second comes late, the next a whole turn after it, less what the
		-- machine was late with the one before; made up for they would come at once
		ok(turns[2] >= 0.22, turns[2])
		ok(turns[3] - turns[2] >= 0.025, turns[3] - turns[2])
		ok(turns[4] - turns[3] >= 0.025, turns[4] - turns[3])
	end, TIMED)
	it("lets others work", function()
		local n = 0
		local h = task.spawn(function()
			for _ = 1, 5 do
				task.sleep(0.001)
				n = n + 1
			end
		end)
		for _ in timer.every(0.02, { count = 3 }) do n = n + 100 end
		h:wait()
		eq(n, 305)
	end, TIMED)
	it("refuses what is no time", function()
		for _, bad in ipairs { 0, -1, 0 / 0, math.huge, "1", {} } do
			raises("seconds must be a finite number", timer.every, bad)
		end
		raises("seconds must be", timer.every)
		raises("unknown option 'cuont' %(known: count, timeout%)", timer.every, 1,
			{ cuont = 1 })
		raises("option 'count'", timer.every, 1, { count = "3" })
		raises("option 'count'", timer.every, 1, { count = -1 })
		raises("option 'count'", timer.every, 1, { count = 1.5 })
		raises("option 'timeout'", timer.every, 1, { timeout = "1" })
		raises("option 'timeout'", timer.every, 1, { timeout = -1 })
		raises("options", timer.every, 1, 3)
	end)
	it("may have no turn at all", function()
		for _ in timer.every(1, { count = 0 }) do error "a turn" end
	end)
end)

describe("timer.after", function()
	it("runs later, with the arguments", function()
		local h
		local seconds = took(function()
			h = timer.after(0.03, function(...) return select("#", ...), ... end,
				1, nil, 3)
			eq({ h:wait() }, { 3, 1, nil, 3 })
		end)
		ok(seconds >= 0.03, seconds)
	end, TIMED)
	it("can be cancelled before", function()
		local ran = false
		local h = timer.after(30, function() ran = true end)
		task.sleep(0)
		h:cancel()
		raises("cancelled", h.wait, h)
		ok(not ran)
	end)
	it("hands an error on", function()
		local h = timer.after(0, function() error "from within" end)
		raises("from within", h.wait, h)
	end)
	it("refuses what is no time or function", function()
		raises("seconds must be", timer.after, -1, print)
		raises("function", timer.after, 1)
		raises("function", timer.after, 1, "print")
	end)
end)

describe("timer.pace", function()
	it("holds the rate", function()
		local pace = timer.pace(1000)
		local seconds = took(function()
			for _ = 1, 10 do pace:done(10) end
		end)
		ok(seconds >= 0.09 and seconds < 1, seconds)
	end, TIMED)
	it("waits for a batch as for single ones", function()
		local pace = timer.pace(100)
		ok(took(pace.done, pace, 5) >= 0.045)
		ok(took(pace.done, pace, 0) < 0.03)
	end, TIMED)
	it("makes up for a second of a pause, no more", function()
		local pace = timer.pace(100)
		pace.start = pace.start - 10	-- ten seconds without work
		pace:done(1)
		-- a second's worth at once, then the rate again
		ok(took(pace.done, pace, 90) < 0.1)
		ok(took(pace.done, pace, 20) >= 0.05)
	end, TIMED)
	it("refuses what is no rate", function()
		for _, bad in ipairs { 0, -5, 0 / 0, math.huge, "5" } do
			raises("rate must be", timer.pace, bad)
		end
		raises("n must be", function() timer.pace(5):done(-1) end)
		raises("n must be", function() timer.pace(5):done() end)
	end)
end)
