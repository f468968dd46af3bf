-- Specs of what a session wants of tasks: children that outlive their parent, a
-- foreground whose grace a second Ctrl-C ends, a root that is not told. Owns no
-- signal: tests/unit/test_session.c and the pty tests send them.
local ctask = require "opsh.c.task"
local task = require "opsh.task"

describe("task.release", function()
	it("hands what still runs to the parent", function()
		local log, jobs = {}, nil
		local entry = task.spawn(function()
			task.spawn(function() task.sleep(0.02) log[#log + 1] = "job" end)
			task.spawn(function() log[#log + 1] = "short" end)
			task.sleep(0)
			jobs = ctask.release()
			return "entry"
		end)
		eq(entry:wait(), "entry")
		eq(log, { "short" })
		eq(#jobs, 1)
		eq(jobs[1]:status(), "running")
		jobs[1]:wait()
		eq(log, { "short", "job" })
	end)

	it("leaves them to a cancel of the parent", function()
		local closed, jobs = false, nil
		local outer = task.spawn(function()
			task.spawn(function()
				task.spawn(function()
					local _ <close> = setmetatable({}, { __close = function()
						closed = true
					end })
					task.sleep(60)
				end)
				task.sleep(0)
				jobs = ctask.release()
			end):wait()
			task.sleep(60)
		end)
		repeat task.sleep(0) until jobs
		outer:cancel()
		pcall(outer.wait, outer)
		eq(jobs[1]:status(), "failed")
		eq(closed, true)
	end)

	it("keeps the failure of what has ended with the task", function()
		local entry = task.spawn(function()
			task.spawn(function() error("lost", 0) end)
			task.sleep(0)
			eq(ctask.release(), {})
		end)
		local ok, e = pcall(entry.wait, entry)
		eq(ok, false)
		ok = tostring(e):find "lost"
		eq(ok ~= nil, true)
	end)

	it("gives a job's failure to who waits for it", function()
		local jobs
		task.spawn(function()
			task.spawn(function() task.sleep(0.01) error("broken", 0) end)
			jobs = ctask.release()
		end):wait()
		local ok, e = pcall(jobs[1].wait, jobs[1])
		eq(ok, false)
		eq(tostring(e):find "broken" ~= nil, true)
	end)

	it("gives nothing when there is nothing", function()
		task.spawn(function() eq(ctask.release(), {}) end):wait()
	end)
end)

describe("task.foreground", function()
	it("is forgotten when it has ended", function()
		local t = task.spawn(task.sleep, 0)
		ctask.foreground(t)
		t:wait()
		ctask.foreground(t)	-- ended: nothing happens
		ctask.foreground(nil)
		eq(pcall(ctask.foreground, 1), false)
	end)
end)
