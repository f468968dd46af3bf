-- step_spec: step(): what it returns and raises, retries, timeouts, probes,
-- verification, undo, what of it is on record, also when it is cancelled.
-- Each case has a run of its own; must not need a server.
require "harness"
local effect = require "opsh.c.effect"
local err = require "opsh.c.err"
local json = require "opsh.c.json"
local session = require "run.session"
local step = require "run.step"
local target = require "opsh.c.target"
local task = require "opsh.task"

-- Runs f within a run of its own; the records of steps, then all records.
local function run(f, mode)
	local dir = os.tmpname()
	os.remove(dir)
	effect.close_run()
	local name = effect.begin_run(dir)
	local before = effect.mode()
	effect.mode(mode or "write")
	session.undos, session.unverified, session.report = {}, {}, nil
	local out = table.pack(pcall(f))
	effect.mode(before)
	effect.close_run()
	local steps, all = {}, {}
	local file = io.open(dir .. "/" .. name .. "/journal.jsonl")
	for line in file and file:lines() or function() end do
		local record = json.decode(line, { binary = "escape" })
		all[#all + 1] = record
		if record.type == "step" then steps[#steps + 1] = record end
	end
	if file then file:close() end
	os.execute("rm -rf " .. dir)
	if not out[1] then error(out[2], 0) end
	return steps, all
end

local function write()
	effect.call(target.new { name = "t", kind = "k" }, "write", "SET", "SET x",
		nil, function() end)
end

local function fails(kind, more)
	local e = { kind = kind, message = kind .. " it is" }
	for k, v in pairs(more or {}) do e[k] = v end
	error(err.new(e), 0)
end

describe("step", function()
	it("returns all results, records them", function()
		local steps = run(function()
			eq({ step("one", function() task.sleep(0) return 1, "b", { c = 3 }
				end) }, { 1, "b", { c = 3 } })
			eq(select("#", step("two", function() end)), 0)
			eq(select("#", step("three", function() return nil, nil end)), 2)
		end)
		eq(#steps, 6)
		eq({ steps[1].name, steps[1].state }, { "one", "begin" })
		eq({ steps[2].name, steps[2].state, steps[2].writes },
			{ "one", "done", 0 })
		eq(steps[2].result, { n = 3, v1 = 1, v2 = "b", v3 = { c = 3 } })
	end)

	it("raises what fn raised, as it is, and records it", function()
		local mine = { code = 1 }
		local steps = run(function()
			local fine, e = pcall(step, "one", function() error(mine) end)
			eq(fine, false)
			ok(rawequal(e, mine))
			e = raises("server", step, "two", function() fails("server",
				{ code = "ERR" }) end)
			eq(e.code, "ERR")
			fine, e = pcall(step, "three", function() error() end)
			eq({ fine, e }, { false })
		end)
		eq({ steps[2].state, steps[4].state, steps[6].state },
			{ "failed", "failed", "failed" })
		eq({ steps[4].error.kind, steps[4].error.code }, { "server", "ERR" })
	end)

	it("checks its arguments", function()
		local f = function() end
		for _, args in ipairs { {}, { "a" }, { "", f }, { 1, f }, { "a", 1, f },
			{ "a", {}, 1 }, { nil, f }, { "a\0b", f } } do
			raises("", step, table.unpack(args, 1, 3))
		end
		raises("unknown option 'verfy'", step, "a", { verfy = f }, f)
		raises("must be a function", step, "a", { verify = 1 }, f)
		raises("must be a number", step, "a", { timeout = "1" }, f)
		raises("unknown option", step, "a", { retry = { n = 1 } }, f)
		for _, n in ipairs { 0, -1, 1.5 } do
			raises("attempts", step, "a", { retry = { attempts = n } }, f)
		end
		raises("", step, "a", { retry = {} }, f)
	end)

	it("labels the records of its writes, of nested steps and of tasks",
		function()
			local _, all = run(function()
				step("outer", function()
					write()
					step("inner", function() write() end)
					task.all(write, function() step("beside", write) end)
					write()
				end)
				write()
			end)
			local seen = {}
			for _, r in ipairs(all) do
				if r.type == "intent" then seen[#seen + 1] = r.step or "-" end
			end
			eq(seen, { "outer", "inner", "outer", "beside", "outer", "-" })
		end)

	it("counts its writes", function()
		local steps = run(function()
			step("one", function() write() write() end)
			step("two", function() end)
		end)
		eq({ steps[2].writes, steps[4].writes }, { 2, 0 })
	end)

	it("works in coroutines, sorts and pcalls", function()
		run(function()
			eq(coroutine.wrap(function() return step("a", function()
				task.sleep(0) return 1 end) end)(), 1)
			table.sort({ 2, 1 }, function(a, b)
				step("b", function() task.sleep(0) end)
				return a < b
			end)
			eq({ pcall(step, "c", function() return 2 end) }, { true, 2 })
			local gen = coroutine.wrap(function()
				step("yields", function() coroutine.yield(1) end)
				coroutine.yield(2)
			end)
			eq({ gen(), gen() }, { 1, 2 })
		end)
	end)
end)

describe("a result that can't be read back the same", function()
	for name, value in pairs {
		["a function"] = print, ["a handle"] = io.stdout,
		["infinity"] = 1 / 0, ["a sparse list"] = { [5] = 1 },
		["a list with names"] = { 1, 2, n = 2 }, ["a long text"] = ("x"):rep(70000),
		["a hole"] = { 1, nil, 3 }, ["a metatable"] = setmetatable({}, {}),
		["too deep"] = { { { { { { { { 1 } } } } } } } },
		["a float key"] = { [1.5] = 1 }, ["a table key"] = { [{}] = 1 },
	} do
		it(name .. " is returned, not recorded", function()
			local steps = run(function()
				ok(rawequal(step("one", function() return value end), value))
			end)
			eq(steps[2].state, "done")
			eq(steps[2].result, nil)
		end)
	end

	it("a result of megabytes does not fail the step", function()
		local big = {}
		for i = 1, 50000 do big[i] = "flights::UAL" .. i end
		local steps = run(function()
			eq(#step("one", function() return big end), 50000)
		end)
		eq(steps[2].state, "done")
		eq(steps[2].result, nil)
	end)

	it("others are", function()
		local value = { { "a", 1, 2.0, true }, { k = { v = -1 } }, {}, "\0\255" }
		local steps = run(function()
			step("one", function() return value end)
		end)
		eq(steps[2].result.v1, value)
		eq(math.type(steps[2].result.v1[1][3]), "float")
	end)
end)

describe("verify", function()
	it("gets the results; true and nothing else passes", function()
		local steps = run(function()
			eq(step("one", { verify = function(a, b) return a == 1 and b == 2
				end }, function() return 1, 2 end), 1)
			local e = raises("verify", step, "two", { verify = function()
				return false, "not there" end }, function() write() end)
			ok(e.message:find "'two'" and e.message:find "not there")
			raises("verify", step, "three", { verify = function() end },
				function() end)
			raises("in verify", step, "four", { verify = function()
				error "in verify" end }, function() end)
		end)
		eq({ steps[2].verified, steps[4].state }, { true, "failed" })
	end)

	it("does not run in a plan, nor after a failure", function()
		run(function()
			step("one", { verify = function() error "ran" end }, function() end)
		end, "plan")
		run(function()
			raises("first", step, "one", { verify = function() error "ran" end },
				function() error "first" end)
		end)
	end)

	it("a step that wrote without one is listed", function()
		run(function()
			step("a", write)
			step("b", { verify = function() return true end }, write)
			step("c", function() end)
			eq(session.unverified, { "a" })
		end)
	end)
end)

describe("retry", function()
	local function attempts(kind, n, more)
		local tries = 0
		local steps, all = run(function()
			pcall(step, "one", { retry = { attempts = n, delay = 0.001 } },
				function()
					tries = tries + 1
					fails(kind, more)
				end)
		end)
		local retries = 0
		for _, r in ipairs(all) do
			if r.type == "retry" then retries = retries + 1 end
		end
		eq(retries, tries - 1)
		eq(steps[#steps].state, "failed")
		return tries
	end

	it("tries again what failed outside", function()
		for _, kind in ipairs { "connect", "timeout", "server", "io" } do
			eq(attempts(kind, 3), 3)
		end
	end)

	it("never what can't be mended, or may have been applied", function()
		for _, kind in ipairs { "refused", "guard", "changed", "unknown",
			"withheld", "usage", "config", "journal", "busy", "check", "lua",
			"cancelled" } do
			eq(attempts(kind, 3), 1, kind)
		end
		eq(attempts("timeout", 3, { outcome = "unknown" }), 1)
	end)

	it("not an error of the playbook itself", function()
		local tries = 0
		run(function()
			raises("mine", step, "one", { retry = { attempts = 3, delay = 0 } },
				function() tries = tries + 1 error "mine" end)
		end)
		eq(tries, 1)
	end)

	it("ends with the first success", function()
		local tries = 0
		run(function()
			eq(step("one", { retry = { attempts = 5, delay = 0 } }, function()
				tries = tries + 1
				if tries < 3 then fails "connect" end
				return tries
			end), 3)
		end)
		eq(tries, 3)
	end)
end)

describe("timeout", function()
	it("ends the step with kind timeout, although it swallows", function()
		local steps = run(function()
			raises("timeout", step, "one", { timeout = 0.01 }, function()
				task.sleep(60) end)
			raises("timeout", step, "two", { timeout = 0.01 }, function()
				pcall(task.sleep, 60)
				return "went on"
			end)
			eq(step("three", { timeout = 60 }, function() return "ok" end), "ok")
		end)
		eq({ steps[2].state, steps[4].state, steps[6].state },
			{ "failed", "failed", "done" })
		eq(steps[2].error.kind, "timeout")
	end, { plain = true })

	it("writes within it carry the step's name", function()
		local _, all = run(function()
			step("one", { timeout = 60 }, write)
		end)
		for _, r in ipairs(all) do
			if r.type == "intent" then eq(r.step, "one") end
		end
	end)
end)

describe("probe", function()
	local function settle(answer, retry)
		local tries = 0
		local steps, all = run(function()
			local out = table.pack(pcall(step, "one", {
				probe = function(e)
					eq(e.kind, "unknown")
					return answer
				end, retry = retry and { attempts = 2, delay = 0 } or nil,
			}, function()
				tries = tries + 1
				if tries == 1 then fails "unknown" end
				return "second"
			end))
			answer = { out[1], out[2] and (err.is(out[2]) and out[2].kind
				or out[2]) }
		end)
		local probes = {}
		for _, r in ipairs(all) do
			if r.type == "probe" then probes[#probes + 1] = r.applied end
		end
		return tries, answer, steps, probes
	end

	it("true: it was applied, the step is done", function()
		local tries, answer, steps, probes = settle(true)
		eq({ tries, answer[1], steps[2].state, probes }, { 1, true, "done",
			{ true } })
	end)

	it("false: it was not; a retry runs it, else it failed", function()
		local tries, answer = settle(false, true)
		eq({ tries, answer }, { 2, { true, "second" } })
		tries, answer = settle(false)
		eq({ tries, answer }, { 1, { false, "unknown" } })
	end)

	it("nil: still unknown, never run again", function()
		local tries, answer = settle(nil, true)
		eq({ tries, answer }, { 1, { false, "unknown" } })
	end)

	it("an error in it is the step's", function()
		run(function()
			raises("in probe", step, "one", { probe = function()
				error "in probe" end }, function() fails "unknown" end)
		end)
	end)
end)

describe("undo", function()
	it("is kept with the results, of finished steps only", function()
		run(function()
			step("a", { undo = print }, function() return 1, 2 end)
			pcall(step, "b", { undo = print }, function() error "x" end)
			step("c", function() end)
			eq(#session.undos, 1)
			eq({ session.undos[1].name, session.undos[1].results[2],
				session.undos[1].results[3] }, { "a", 1, 2 })
		end)
		run(function()
			step("a", { undo = print }, function() end)
			eq(#session.undos, 0)
		end, "plan")
	end)
end)

describe("a cancelled step", function()
	it("has its end on record, and the ones around too", function()
		local steps = run(function()
			local h = task.spawn(function()
				step("outer", function()
					pcall(step, "inner", function() task.sleep(60) end)
				end)
			end)
			task.sleep(0.01)
			h:cancel()
			raises("cancelled", h.wait, h)
		end)
		local states = {}
		for i, s in ipairs(steps) do states[i] = s.name .. " " .. s.state end
		eq(states, { "outer begin", "inner begin", "inner cancelled",
			"outer cancelled" })
		eq(steps[3].error.kind, "cancelled")
		eq(steps[3].error.message, "cancelled")
	end)

	it("by a busy loop's deadline as well", function()
		local steps = run(function()
			raises("timeout", task.timeout, 0.06, function()
				step("busy", function() while true do end end)
			end)
		end)
		eq(steps[2].state, "cancelled")
		eq(steps[2].error.kind, "timeout")
	end, { plain = true })

	it("leaves its label to nobody", function()
		local ctask = require "opsh.c.task"
		run(function()
			local h = task.spawn(function()
				step("outer", function() task.sleep(60) end)
			end)
			task.sleep(0)
			local before = ctask.label()
			h:cancel()
			pcall(h.wait, h)
			eq(ctask.label(), before)
		end)
	end)
end)

describe("a journal that can't be written", function()
	it("stops the step before it begins", function()
		effect.close_run()
		effect.begin_run("/proc/none")
		local ran = false
		local e = raises("journal", step, "one", function() ran = true end)
		eq(ran, false)
		ok(e.message:find "/proc/none")
		effect.begin_run(os.tmpname() .. ".d")
	end)
end)

effect.close_run()
