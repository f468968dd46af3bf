-- effect_record_spec: what the boundary puts on record: values, steps, no secret; and
-- the journal of a run, which begins, is resumed, is verified, or can't be written.
-- Targets are made here; each test has a journal of its own.
require "harness"
local E = dofile "tests/lib/effect.lua"
local effect = require "opsh.c.effect"
local journal = dofile "tests/lib/journal.lua"
local sys = require "opsh.c.sys"
local task = require "opsh.task"

local cache, call = E.cache, E.call
local run = journal.run

describe("records", function()
	local function fields(t)
		local records = run("write", function()
			effect.record("note", t)
		end)
		return records[1]
	end

	it("give values back the same", function()
		local r = fields { i = 1 << 62, n = -5, f = 2.0, g = 0.1, t = true,
			s = "text\n\0\u{20AC}", l = { 1, "a", { b = 1 } }, e = {},
			big = 1e300, small = -1e-300 }
		eq({ r.i, r.n, r.f, r.g, r.t, r.s }, { 1 << 62, -5, 2.0, 0.1, true,
			"text\n\0\u{20AC}" })
		eq(math.type(r.f), "float")
		eq(r.l, { 1, "a", { b = 1 } })
		eq({ r.big, r.small }, { 1e300, -1e-300 })
	end)

	it("hold infinities, cycles, depth, handles without harm", function()
		local t = { inf = 1 / 0, nan = 0 / 0, f = print, u = io.stdout }
		t.me = t
		local r = fields(t)
		eq(r.type, "note")
		local deep = {}
		for _ = 1, 1000 do deep = { deep } end
		eq(fields { d = deep }.type, "note")
	end)

	it("leave out what would not fit, and say so", function()
		local big = {}
		for i = 1, 100000 do big[i] = "value " .. i end
		local r = fields { name = "x", result = big }
		eq(r.name, "x")
		eq(r.result, nil)
		ok(r.result_omitted > 1000000)
		r = fields { s = ("x"):rep(10000000) }
		ok(#r.s < 70000)
	end)

	it("carry the step of their task, children's too", function()
		local records = run("write", function()
			local ctask = require "opsh.c.task"
			local before = ctask.label(effect.step "outer")
			task.all(function()
				call(cache(), "write")
				ctask.label(effect.step "inner \"q\"")
				task.sleep(0)
				call(cache(), "write")
			end, function()
				task.sleep(0)
				call(cache(), "read")
			end)
			ctask.label(before)
			call(cache(), "read")
		end)
		local steps = {}
		for i, r in ipairs(records) do steps[i] = r.step or "-" end
		table.sort(steps)
		eq(steps, { "-", "inner \"q\"", "inner \"q\"", "outer", "outer", "outer" })
	end)

	it("mask secrets, whatever the field", function()
		local secret = require "opsh.secret"
		local word = "correct-horse-battery"
		local keep = secret.value(word)
		local dir_text
		run("write", function(dir, name)
			effect.call(cache(), "write", "AUTH", "AUTH " .. word, nil,
				function() end)
			pcall(effect.call, cache(), "write", "AUTH", "AUTH " .. word, nil,
				function() error("denied: " .. word, 0) end)
			effect.record("note", { [word] = word, list = { word } })
			effect.step("step " .. word)
			local file = io.open(dir .. "/" .. name .. "/journal.jsonl")
			dir_text = file:read "a"
			file:close()
		end)
		ok(dir_text:find "AUTH")
		eq(dir_text:find(word, 1, true), nil)
		ok(keep)
	end)
end)

describe("without a run", function()
	it("a write is refused as the journal can't take it", function()
		-- another process: in this one runs have begun
		local p = io.popen(("env XDG_STATE_HOME=/proc/none timeout -k 1 10 '%s' "
			.. "-e 'io.open(os.tmpname(), \"w\")' 2>&1; echo $?"):format(
			sys.realpath "/proc/self/exe"))
		local out = p:read "a"
		p:close()
		ok(out:find "journal" and out:find "74\n$", out)
	end, { plain = true })
end)

describe("the journal of a run", function()
	it("is there with the first record, 0700 and 0600", function()
		run("write", function(dir, name)
			eq(sys.stat(dir .. "/" .. name), nil)
			effect.header { command = "spec" }
			call(cache(), "read")
			eq(sys.stat(dir .. "/" .. name).mode, tonumber("700", 8))
			eq(sys.stat(dir .. "/" .. name .. "/journal.jsonl").mode,
				tonumber("600", 8))
			eq(effect.status().dir, dir .. "/" .. name)
		end)
	end)

	it("begins with the header", function()
		local records = run("write", function()
			effect.header { command = "spec" }
			call(cache(), "read")
		end)
		eq({ records[1].type, records[1].command }, { "run", "spec" })
	end)

	it("head and verify agree; another head is told", function()
		run("write", function(dir, name)
			call(cache(), "write")
			local head = effect.status().head
			effect.record("end", { exit = 0 }, true)
			local last = effect.status().head
			ok(head ~= last)
			effect.close_run()
			local intact, report = effect.verify(dir, name, last)
			eq(intact, true)
			eq({ report.head, report.ended, report.records, report.torn },
				{ last, true, 3, 0 })
			intact, report = effect.verify(dir, name, head)
			eq(intact, false)
			ok(report.problem:find "head")
			raises("cannot open", effect.verify, dir, "none")
		end)
	end)

	it("is not opened twice, and goes on when resumed", function()
		run("write", function(dir, name)
			call(cache(), "write")
			effect.record("end", { exit = 0 }, true)
			effect.close_run()
			eq((effect.resume_run(dir, name)), 0)
			call(cache(), "write")
			effect.close_run()
			local intact, report = effect.verify(dir, name)
			eq({ intact, report.records }, { true, 5 })
		end)
	end)

	it("a path that is too long is told", function()
		raises("too long", effect.begin_run, "/" .. ("d"):rep(5000))
		effect.begin_run(journal.temp())
	end)
end)

effect.close_run()
