-- lock_store_spec: the stores of locks, one after the other against the same
-- expectations, then what only one of them can meet. A store that has no server here
-- is skipped. Owns its folders, keys and tables.
require "harness"
local M = dofile "tests/lib/lock.lua"
local ctask = require "opsh.c.task"
local json = require "opsh.c.json"
local sys = require "opsh.c.sys"
local task = require "opsh.task"

local me, run, temp = M.me, M.run, M.temp

local function removed(dir)
	return setmetatable({}, { __close = function()
		os.execute("rm -rf " .. dir)
	end })
end

-- What any store must do. make() -> a store, and a second on the same place.
local function suite(kind, make)
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

for _, dir in ipairs(dirs) do os.execute("rm -rf " .. dir) end
