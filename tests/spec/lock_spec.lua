-- lock_spec: the check before each write, with a keeper of the test's own; the
-- stores, one after the other against the same expectations; taking, losing and
-- giving back a lock as a run does it.
require "harness"
local clock = require "opsh.c.lock"
local ctask = require "opsh.c.task"
local effect = require "opsh.c.effect"
local holder = require "run.holder"
local json = require "opsh.c.json"
local lock = require "run.lock"
local session = require "run.session"
local sys = require "opsh.c.sys"
local target = require "opsh.c.target"
local task = require "opsh.task"

local function temp()
	local dir = os.tmpname()
	os.remove(dir)
	return dir
end

local function removed(dir)
	return setmetatable({}, { __close = function()
		os.execute("rm -rf " .. dir)
	end })
end

-- Runs f(dir) as a run in write mode; its records.
local function run(f)
	local dir = temp()
	local _ <close> = removed(dir)
	effect.close_run()
	local name = effect.begin_run(dir)
	local before, config = effect.mode "write", session.configuration
	local out = table.pack(pcall(f, dir))
	clock.drop()
	effect.mode(before == "write" and "write" or before)
	session.configuration = config
	effect.close_run()
	local records = {}
	local file = io.open(dir .. "/" .. name .. "/journal.jsonl")
	for text in file and file:lines() or function() end do
		records[#records + 1] = json.decode(text, { binary = "escape" })
	end
	if file then file:close() end
	if not out[1] then error(out[2], 0) end
	return records
end

local of = dofile("tests/lib/journal.lua").of

-- A write (or another class) on a target of the test's.
local function write(class, verb)
	return effect.call(target.new { name = "cache", kind = "redis" },
		class or "write", verb or "SET", "SET k v", nil,
		function() return "sent" end)
end

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
			local fine = true
			local k <close> = hold(30, 2, function()
				if fine then
					clock.confirm(ctask.now() - 0.9)
				else
					clock.unreachable "connection refused"
				end
			end)
			in_step("first", function() eq(write(), "sent") end)
			fine = false
			task.sleep(0.15)	-- the confirmation is old again
			local e = raises("refused", in_step, "second", write)
			ok(e.message:find "can't be confirmed.*connection refused", e.message)
			eq(sys.exit_code(e), 11)
			eq(k.asked(), 2)
		end)
	end)

	it("of a step that has written goes on until the lease ends", function()
		run(function()
			local fine = true
			local k <close> = hold(30, 2, function()
				if fine then
					clock.confirm(ctask.now() - 0.9)
				else
					clock.unreachable "connection refused"
				end
			end)
			in_step("first", function()
				eq(write(), "sent")
				fine = false
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

-- The stores ------------------------------------------------------------------------

local function me()
	local m = holder.me "test/spec"
	m.run = m.run or "RUN"
	return m
end

-- What any store must do. make() -> a store, and a second on the same place.
local function suite(kind, make, opts)
	describe("store " .. kind, function()
		it("gives the lock to one, with tokens that grow", function()
			run(function()
				local a, b = make()
				local one, two = me(), me()
				local token = a:acquire("thing", one, 30)
				eq(math.type(token), "integer")
				local none, h = b:acquire("thing", two, 30)
				eq(none, nil)
				eq({ h.resource, h.token, h.nonce, h.pid, h.id }, { "thing",
					token, one.nonce, sys.pid(), "thing#" .. token })
				ok(h.left > 25 and h.left <= 30, h.left)
				ok(a:acquire("other/thing {x}", one, 30))
				eq(a:release("thing", token, two.nonce), false)
				eq(a:release("thing", token, one.nonce), true)
				eq(a:release("thing", token, one.nonce), false)
				eq(a:read "thing", nil)
				local next_ = b:acquire("thing", two, 30)
				eq(next_, token + 1)
				eq(b:break_("thing", token, one.nonce), false)
				eq(b:read("thing").token, next_)
				eq(b:break_("thing", next_, two.nonce), true)
				eq(a:read "thing", nil)
			end)
		end)

		it("renews by token and nonce only", function()
			run(function()
				local a, b = make()
				local one, two = me(), me()
				local token = a:acquire("thing", one, 5)
				one.step = "flush"
				eq(a:renew("thing", token, one, 30), true)
				local h = b:read "thing"
				eq(h.step, "flush")
				ok(h.left > 25, h.left)
				eq(a:renew("thing", token + 1, one, 30), false)
				eq(b:renew("thing", token, two, 30), false)
				a:release("thing", token, one.nonce)
				eq(a:renew("thing", token, one, 30), false)
			end)
		end)

		it("lists what is held", function()
			run(function()
				local a = make()
				a:acquire("one", me(), 30)
				a:acquire("two/2 %*", me(), 30)
				local names = {}
				for _, h in ipairs(a:list()) do
					names[#names + 1] = h.resource
				end
				table.sort(names)
				eq(names, { "one", "two/2 %*" })
			end)
		end)

		it("lets a lease end, and another take it", function()
			run(function()
				local a, b = make()
				local one, two = me(), me()
				local token = a:acquire("thing", one, 0.3)
				task.sleep(0.35)
				eq(a:renew("thing", token, one, 30), false)
				eq(b:acquire("thing", two, 30), token + 1)
				eq(a:renew("thing", token, one, 30), false)
				eq(a:release("thing", token, one.nonce), false)
			end)
		end, { plain = true })
	end)
	if opts then opts() end
end

local dirs = {}
suite("file", function()
	local dir = temp()
	dirs[#dirs + 1] = dir
	local open = require "run.lock.file"
	return open { path = dir, prefix = "p:" }, open { path = dir, prefix = "p:" }
end)

describe("store file", function()
	it("refuses a damaged file", function()
		run(function()
			local dir = temp()
			local _ <close> = removed(dir)
			local a = require "run.lock.file" { path = dir }
			ok(a:acquire("thing", me(), 30))
			for _, text in ipairs { "{", "[]", '{"token":"1"}' } do
				os.remove(dir .. "/thing.1.lock")
				ok(sys.save(dir .. "/thing.1.lock", text))
				local e = raises("io", a.acquire, a, "thing", me(), 30)
				ok(e.message:find "cannot read lock file", e.message)
			end
		end)
	end)

	it("lets none win who lost its turn while it stood still", function()
		run(function()
			local dir = temp()
			local _ <close> = removed(dir)
			local open = require "run.lock.file"
			local a, b = open { path = dir }, open { path = dir }
			local one, two = me(), me()
			-- between its look and its claim others come and go
			function a.load(_, name)
				local r, tokens = getmetatable(a).load(a, name)
				if not a.late then
					a.late = true
					local t = b:acquire("thing", two, 30)
					b:release("thing", t, two.nonce)
					ok(b:acquire("thing", two, 30))
				end
				return r, tokens
			end
			local token, h = a:acquire("thing", one, 30)
			eq({ token, h.token, h.nonce }, { nil, 2, two.nonce })
			eq(#sys.readdir(dir), 1)
			-- and a renewal that comes too late takes nothing back
			eq(a:renew("thing", 1, one, 30), false)
			eq(b:read("thing").token, 2)
		end)
	end)

	it("does not count a renewal that came after the lease's end", function()
		run(function()
			local dir = temp()
			local _ <close> = removed(dir)
			local a = require "run.lock.file" { path = dir }
			local one = me()
			local token = a:acquire("thing", one, 0.2)
			local put = a.put
			function a.put(...)
				task.sleep(0.25)
				return put(...)
			end
			eq(a:renew("thing", token, one, 30), false)
		end)
	end, { plain = true })

	it("takes a lease of before a restart for ended", function()
		run(function()
			local dir = temp()
			local _ <close> = removed(dir)
			local a = require "run.lock.file" { path = dir }
			local token = a:acquire("thing", me(), 30)
			local path = dir .. "/thing.1.lock"
			local r = json.decode(sys.read(path, 65536))
			local function put(fields)
				for k, v in pairs(fields) do r[k] = v end
				os.remove(path)
				sys.save(path, json.encode(r))
				return a:read "thing"
			end
			eq(put { boot = "another" }.left, 0)
			r.holder.host = "elsewhere"
			local h = put {}
			ok(h.left > 30, h.left)		-- a ttl of grace between machines
			ok(put { wall = os.time() - 31 }.left < 0)
			eq(a:acquire("thing", me(), 30), token + 1)
		end)
	end)
end)

local function client(url)
	local t = require("run.target").read({ fail = error }, "store",
		{ url = url }, require "opsh.secret")
	return (require("run.targets").open(t))
end

local redis, postgres = os.getenv "OPSH_REDIS_URL",
	os.getenv "OPSH_POSTGRES_SUPER_URL"

if redis then
	suite("redis", function()
		local prefix = ("spec:%d:%d:"):format(sys.pid(),
			math.floor(ctask.now() * 1e6))
		local open = require "run.lock.redis"
		return open({ prefix = prefix }, client(redis)),
			open({ prefix = prefix }, client(redis))
	end)
else
	skip("store redis", "OPSH_REDIS_URL is not set")
end

if postgres then
	local open = require "run.lock.postgres"
	local n = 0
	suite("postgres", function()
		n = n + 1
		local prefix = ("public.spec_%d_%d_"):format(sys.pid(), n)
		return open({ prefix = prefix }, client(postgres)),
			open({ prefix = prefix }, client(postgres))
	end)

	describe("store postgres", function()
		it("has no lock before its table is there", function()
			local a = open({ prefix = ("none_%d_"):format(sys.pid()) },
				client(postgres))
			eq(a:read "thing", nil)
			eq(a:list(), {})
		end)

		it("does not wait for one who stands still in a transaction", function()
			run(function()
				local a = open({ prefix = ("still_%d_"):format(sys.pid()),
					ttl = 1 }, client(postgres))
				local m = me()
				local token = ok(a:acquire("thing", m, 1.5))
				client(postgres):transaction(function(tx)
					tx:exec(("update %s set token = token"):format(a.table)
						.. " where resource = 'thing'")
					raises("server", a.renew, a, "thing", token, m, 1)
					task.sleep(1.5)		-- past its lease
					local none, h = a:acquire("thing", me(), 1)
					eq({ none, h.token }, { nil, token })
				end)
				eq(a:acquire("thing", me(), 1), token + 1)
			end)
		end, { plain = true })

		it("takes only what can begin a table's name", function()
			for _, prefix in ipairs { "a b", "x;--", "a.b.c", "", "1" } do
				if prefix ~= "" then
					raises("config", open, { prefix = prefix }, {})
				end
			end
		end)
	end)
else
	skip("store postgres", "OPSH_POSTGRES_SUPER_URL is not set")
end

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

for _, dir in ipairs(dirs) do os.execute("rm -rf " .. dir) end
