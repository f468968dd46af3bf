-- lock_spec: the check before each write, with a keeper of the test's own; taking,
-- losing and giving back a lock as a run does it. The stores are in
-- lock_store_spec.lua.
require "harness"
local M = dofile "tests/lib/lock.lua"
local clock = require "opsh.c.lock"
local ctask = require "opsh.c.task"
local effect = require "opsh.c.effect"
local holder = require "run.holder"
local lock = require "run.lock"
local session = require "run.session"
local sys = require "opsh.c.sys"
local task = require "opsh.task"

local me, of, run, temp, write = M.me, M.of, M.run, M.temp, M.write

local function in_step(name, f)
	local before = ctask.label(effect.step(name))
	local _ <close> = setmetatable({}, { __close = function()
		ctask.label(before)
	end })
	return f()
end

-- Holds a lock whose confirmation is `age` old; answer(n): what its keeper does
-- when it is asked for the n-th time.
local function hold(ttl, age, answer)
	clock.label()
	clock.hold { resource = "thing", store = "test", token = 7, ttl = ttl,
		sent = ctask.now() - age }
	local asked = 0
	local h = clock.keeper(function()
		while true do
			local why = clock.next(60)
			if why == "stop" then return end
			asked = asked + 1
			answer(asked, why)
		end
	end)
	return setmetatable({ asked = function() return asked end }, {
		__close = function()
			clock.drop()
			h:wait()
		end })
end

-- The same with a store that confirms what is 0.9 s old while store.up, and then gives
-- no answer.
local function hold_while_up()
	local store = { up = true }
	return hold(30, 2, function()
		if store.up then
			clock.confirm(ctask.now() - 0.9)
		else
			clock.unreachable "connection refused"
		end
	end), store
end

describe("a write under a lock", function()
	it("goes out while the token was confirmed a moment ago", function()
		run(function()
			local k <close> = hold(30, 0, function() end)
			eq(write(), "sent")
			eq(k.asked(), 0)
			eq(clock.state().token, 7)
			eq(require("opsh.lock").held().resource, "thing")
		end)
		eq(clock.state(), nil)
		eq(require("opsh.lock").held(), nil)
	end)

	it("has the token read again when that is long ago", function()
		run(function()
			local k <close> = hold(30, 2, function(_, why)
				eq(why, "check")
				clock.confirm(ctask.now())
			end)
			eq(write(), "sent")
			eq(write(), "sent")
			eq(k.asked(), 1)
		end)
	end)

	it("waits while the keeper does, and nothing else of the run goes on", function()
		run(function()
			local other = false
			local k <close> = hold(30, 2, function()
				local sent = ctask.now()
				task.sleep(0.05)
				clock.confirm(sent)
			end)
			local t = task.spawn(function() other = true end)
			eq(write(), "sent")
			eq(other, false)
			t:wait()
			eq(k.asked(), 1)
		end)
	end)

	it("is refused when another holds it, for good", function()
		local records = run(function()
			local k <close> = hold(30, 2, function()
				clock.lose "it is held by eve"
			end)
			for _ = 1, 2 do
				local e = raises("refused", write)
				eq({ e.code, e.outcome, e.target, e.op },
					{ "LOCK", "refused", "cache", "SET" })
				ok(e.message:find "lock lost: 'thing': it is held by eve")
				eq(sys.exit_code(e), 11)
			end
			clock.confirm(ctask.now(), true)
			raises("lock lost", write)
			eq(k.asked(), 1)
			eq(write "read", "sent")
		end)
		eq(#of(records, "intent"), 0)
		eq(#of(records, "refused"), 3)
	end)

	it("is refused past the lease's end, without asking", function()
		run(function()
			local k <close> = hold(2, 1.9, function() clock.confirm(0) end)
			local e = raises("refused", write)
			ok(e.message:find "its lease ran out", e.message)
			eq(k.asked(), 0)
		end)
	end)

	it("of a new step is refused when the store gives no answer", function()
		run(function()
			local k <close>, store = hold_while_up()
			in_step("first", function() eq(write(), "sent") end)
			store.up = false
			task.sleep(0.15)	-- the confirmation is old again
			local e = raises("refused", in_step, "second", write)
			ok(e.message:find "can't be confirmed.*connection refused", e.message)
			eq(sys.exit_code(e), 11)
			eq(k.asked(), 2)
		end)
	end)

	it("of a step that has written goes on until the lease ends", function()
		run(function()
			local k <close>, store = hold_while_up()
			in_step("first", function()
				eq(write(), "sent")
				store.up = false
				task.sleep(0.15)
				eq(write(), "sent")
				eq(write(), "sent")
				eq(k.asked(), 2)	-- the second asks no more
			end)
			raises("can't be confirmed", write)	-- outside of any step
		end)
	end)

	it("is refused when nobody keeps the lease", function()
		run(function()
			clock.label()
			clock.hold { resource = "thing", store = "test", token = 7, ttl = 30,
				sent = ctask.now() - 2 }
			raises("nobody keeps the lease", write)
			clock.drop()
			eq(write(), "sent")
		end)
	end)

	it("does not wait when it is the lock's own, and counts as none", function()
		local records = run(function()
			local k <close> = hold(30, 2, function() end)
			local before = effect.status().writes
			local label = ctask.label(clock.label())
			eq(write("write", "lock renew"), "sent")
			ctask.label(label)
			eq(effect.status().writes, before)
			eq(k.asked(), 0)
		end)
		eq(of(records, "intent")[1].lock, true)
	end)

	it("stops waiting for the store when its task is cancelled", function()
		run(function()
			local _ <close> = hold(30, 2, function() task.sleep(0.3) end)
			local began = ctask.now()
			raises("timeout", task.timeout, 0.05, write)
			ok(ctask.now() - began < 0.3)
		end)
	end, { plain = true })
end)

describe("the module", function()
	it("refuses what makes no sense", function()
		raises("number", clock.hold, { resource = "x", store = "s", token = 1 })
		raises("range", clock.hold, { resource = "x", store = "s", token = 0,
			ttl = 5, sent = 0 })
		raises("at most", clock.hold, { resource = ("x"):rep(300), store = "s" })
		raises("no lock is held", clock.keeper, function() end)
		run(function()
			local _ <close> = hold(30, 0, function() end)
			raises("holds lock 'thing' already", clock.hold, { resource = "x",
				store = "s", token = 1, ttl = 5, sent = ctask.now() })
		end)
	end)

	it("lets one claim a name", function()
		local path = temp()
		ok(sys.save(path, "x"))
		eq(clock.claim(path, path .. ".1"), true)
		eq(clock.claim(path, path .. ".1"), false)
		raises("cannot make", clock.claim, path .. ".none", path .. ".2")
		os.remove(path)
		os.remove(path .. ".1")
	end)
end)

-- A run's lock -------------------------------------------------------------------------

local function configure(dir, more)
	session.configuration = { targets = {}, lock = { store = "file",
		path = dir .. "/locks", ttl = 30 }, environment = "" }
	for k, v in pairs(more or {}) do session.configuration.lock[k] = v end
end

describe("a run", function()
	local pb = { name = "test/run", lock = "thing", needs = {} }

	it("takes its lock, names the holder when it is busy, gives it back", function()
		local records = run(function(dir)
			configure(dir)
			do
				local held <close> = lock.take(pb, {})
				eq(held.token, 1)
				eq(write(), "sent")
				local e = raises("busy", lock.take, pb, {})
				eq({ e.code, sys.exit_code(e) }, { "LOCK", 11 })
				for _, word in ipairs { sys.hostname(), effect.status().run,
					"since 20", "lease until 20", "test/run" } do
					ok(e.message:find(word, 1, true), e.message)
				end
			end
			eq(clock.state(), nil)
			eq(lock.store():read "thing", nil)
			local again <close> = lock.take(pb, {})
			eq(again.token, 2)
		end)
		local states = {}
		for _, r in ipairs(of(records, "lock")) do
			states[#states + 1] = r.state .. (r.token or "")
		end
		eq(states, { "acquired1", "released1", "acquired2", "released2" })
	end)

	it("needs none, or takes none in a plan", function()
		run(function(dir)
			configure(dir)
			eq(lock.take({ name = "x/y", needs = {} }, {}), nil)
			eq(lock.within(function() return 5 end), 5)
			local held <close> = lock.take(pb, {})
			effect.mode "plan"
			lock.look(pb)
			effect.mode "write"
			eq(lock.ttl(), 30)
			ok(held)
		end)
	end)

	it("loses it to one who broke it, and does not give back another's", function()
		local records = run(function(dir)
			configure(dir, { ttl = 1 })
			local store = lock.store()
			do
				local held <close> = lock.take(pb, {})
				eq(write(), "sent")
				ok(store:break_("thing", held.token, held.me.nonce))
				ok(store:acquire("thing", me(), 30))
				task.sleep(0.5)
				local e = raises("lock lost", write)
				ok(e.message:find "token 3, ours was 1", e.message)
			end
			eq(store:read("thing").token, 3)
		end)
		eq(of(records, "lock")[2].state, "lost")
	end, { plain = true })

	it("keeps its lease for longer than a ttl", function()
		run(function(dir)
			configure(dir, { ttl = 1 })
			local _ <close> = lock.take(pb, {})
			for _ = 1, 8 do
				task.sleep(0.2)
				eq(write(), "sent")
			end
		end)
	end, { plain = true })

	it("ends what its body has spawned before it gives back", function()
		run(function(dir)
			configure(dir)
			local late
			lock.within(function()
				task.spawn(function()
					task.sleep(0.02)
					late = true
				end)
			end)
			eq(late, true)
		end)
	end)
end)

describe("a holder", function()
	it("is gone when its process is, on this machine only", function()
		local h = me()
		eq(holder.gone(h), false)
		h.pid = 2 ^ 22 | 0
		eq(holder.gone(h), true)
		h.pid, h.start = sys.pid(), "1"
		eq(holder.gone(h), true)	-- its number, another process
		h.space = 1
		eq(holder.gone(h), nil)
		h.boot, h.host = "another", "elsewhere"
		eq(holder.gone(h), nil)
		h.host = sys.hostname()
		eq(holder.gone(h), true)
		ok(#holder.boot_id() > 0)
	end)

	it("is told to a person", function()
		local h = holder.new("thing", { owner = "ada", host = "db1", run = "R",
			step = "flush", since = "2026-01-01T00:00:00Z" }, 3, 20)
		eq(h.id, "thing#3")
		ok(holder.text(h):find("^ada on db1, run R, step 'flush', since 2026%-01"
			.. "%-01T00:00:00Z, lease until 20"))
		ok(holder.text(holder.new("t", {}, 1, -5)):find "lease ended")
	end)
end)
