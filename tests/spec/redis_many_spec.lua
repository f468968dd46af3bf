-- redis_many: pipelines, transactions, scripts, scans, blocking calls and
-- subscriptions. Against a real server. Owns the keys and channels that its cases
-- use.
local R = dofile "tests/lib/redis.lua"
local null = require("opsh.json").null
local task = require "opsh.task"
local err = require "opsh.c.err"

local on = R.on

local function fill(cache, prefix, n)
	local keys = {}
	for i = 1, n do keys[i] = { prefix .. i, "value " .. i } end
	return cache:pipeline("SET", keys)
end

describe("redis pipeline", function()
	it("runs one command over a list", on(function(cache)
		eq(#fill(cache, "p:", 3000).value, 3000)
		local keys = {}
		for i = 1, 3000 do keys[i] = "p:" .. i end
		keys[7] = "p:none"
		local values = cache:pipeline("GET", keys)
		eq(#values, 3000)
		eq(values[1], "value 1")
		eq(values[7], null)
		eq(values[3000], "value 3000")
		eq(cache:pipeline("OBJECT ENCODING", { "p:1" }), { "embstr" })
		eq(cache:pipeline("EXISTS", { 1, "p:1" }), { 0, 1 })
		eq(cache:pipeline("UNLINK", keys).count, 2999)
		eq(cache:pipeline("GET", {}), {})
	end))

	it("goes beyond one chunk", on(function(cache)
		fill(cache, "c:", 25000)
		local keys = {}
		for i = 1, 25000 do keys[i] = "c:" .. i end
		local values = cache:pipeline("GET", keys)
		eq(#values, 25000)
		eq(values[25000], "value 25000")
		eq(cache:pipeline("UNLINK", keys).count, 25000)
	end), { plain = true })

	it("raises the first error, or keeps all in place", on(function(cache)
		local keys = {}
		for i = 1, 1000 do keys[i] = "e:" .. i end
		cache:set("e:600", 1)
		cache:del "e:601"
		local e = raises("server", function() cache:pipeline("LLEN", keys) end)
		eq(e.code, "WRONGTYPE")
		ok(e.message:find("1 of 1000 commands failed, first number 600", 1,
			true), e.message)
		local r = cache:pipeline("LLEN", keys, { errors = "keep" })
		ok(err.is(r[600]))
		eq(r[601], 0)
		e = raises("server", function()
			cache:pipeline("LPUSH", { { "e:600", 1 }, { "e:601", 1 } })
		end)
		eq(e.outcome, "done")
		eq(cache:llen "e:601", 1)
	end))

	it("notes commands", on(function(cache)
		cache:del "n"
		local r = cache:pipeline(function(p)
			p:incr "n"
			p:get "n"
			p:hgetall "nothing"
			p:cmd("INCRBY", "n", 5)
			p:config_get "maxmemory"
		end)
		eq(r[1].count, 1)
		eq(r[2], "1")
		eq(r[3], {})
		eq(r[4].count, 6)
		eq(r[5].maxmemory, "0")
		eq(cache:pipeline(function() end), {})
		raises("usage", function()
			cache:pipeline(function(p) p:select(1) end)
		end)
		raises("usage", function()
			cache:pipeline(function(p) p:get(nil) end)
		end)
	end))

	it("serves many tasks on one connection", on(function(cache)
		fill(cache, "t:", 200)
		local before = #cache:client_list()
		local list = {}
		for i = 1, 200 do list[i] = i end
		local got = task.map(list, { limit = 200 }, function(i)
			return cache:get("t:" .. i)
		end)
		for i = 1, 200 do eq(got[i], "value " .. i) end
		eq(#cache:client_list(), before)
	end))
end)

describe("redis multi", function()
	it("applies all or nothing", on(function(cache)
		cache:del { "m:a", "m:b" }
		local r = cache:multi(function(tx)
			tx:incr "m:a"
			tx:get "m:a"
			tx:hset("m:b", "f", 1)
			tx:hgetall "m:b"
		end)
		eq(r[1].count, 1)
		eq(r[2], "1")
		eq(r[4], { f = "1" })
		local e = raises("server", function()
			cache:multi(function(tx)
				tx:incr "m:a"
				tx:nosuch()
			end)
		end)
		eq(e.outcome, "failed")
		eq(cache:get "m:a", "1")
		e = raises("server", function()
			cache:multi(function(tx)
				tx:lpush("m:a", 1)
				tx:incr "m:a"
			end)
		end)
		eq(e.outcome, "done")
		eq(cache:get "m:a", "2")
	end))

	it("watches", on(function(cache)
		cache:set("m:w", 1)
		local e = raises("server", function()
			cache:multi({ watch = "m:w" }, function(tx, c)
				local v = c:get "m:w"
				cache:set("m:w", 7)
				tx:set("m:w", v + 1)
			end)
		end)
		eq(e.code, "WATCH")
		eq(e.outcome, "failed")
		local r = cache:multi({ watch = { "m:w", "m:a" } }, function(tx, c)
			tx:set("m:w", c:get "m:w" + 1)
		end)
		eq(r[1].ok, true)
		eq(cache:get "m:w", "8")
		eq(cache:multi({ watch = "m:w" }, function() end), {})
	end))

	it("gives the connection back after an error", on(function(cache)
		for _ = 1, 3 do
			raises("boom", function()
				cache:multi({ watch = "m:w" }, function() error "boom" end)
			end)
		end
		eq(cache:ping(), "PONG")
	end))
end)

describe("redis scripts", function()
	it("are sent by hash, with the text when unknown", on(function(cache)
		local s = cache:script "return {KEYS[1], ARGV[1], redis.call('PING')}"
		eq(#s.sha, 40)
		cache:script_flush()
		local r = s({ "k" }, { "a" }).value
		eq(r[1], "k")
		eq(r[2], "a")
		eq(s:run_ro({ "k" }, { "b" })[2], "b")
		eq(cache:script_exists(s.sha), { 1 })
		eq(cache:eval("return ARGV[1]", {}, { 5 }).value, "5")
		eq(cache:eval("return KEYS[1]", 1, "x").value, "x")
		raises("server", function()
			cache:eval_ro("return redis.call('SET', 'a', 1)", {})
		end)
		local e = raises("server", function()
			cache:eval("redis.call('SET', 's:x', 1) error('no')", {})
		end)
		eq(e.outcome, "unknown")
	end))
end)

describe("redis scan", function()
	it("walks keys, hashes, sets", on(function(cache)
		fill(cache, "scan:", 2500)
		local n, seen = 0, {}
		for key in cache:scan { match = "scan:*", count = 100 } do
			if not seen[key] then n = n + 1 end
			seen[key] = true
		end
		eq(n, 2500)
		n = 0
		for keys in cache:scan_batches { match = "scan:*" } do n = n + #keys end
		ok(n >= 2500)
		local c = cache:count { match = "scan:*", sample = 5 }
		ok(c.count >= 2500)
		eq(#c.sample, 5)
		ok(c.scanned >= 2500)
		eq(cache:count({ match = "none:*" }).count, 0)
		cache:del { "h", "z", "set" }
		cache:hset("h", "a", "1")
		for f, v in cache:hscan "h" do eq(f .. v, "a1") end
		cache:zadd("z", 1.5, "m")
		for m, score in cache:zscan "z" do
			eq(m, "m")
			eq(score, 1.5)
		end
		cache:sadd("set", "x")
		for m in cache:sscan "set" do eq(m, "x") end
		-- luacheck: ignore 512 (left early on purpose)
		for _ in cache:scan { match = "scan:*", count = 10 } do break end
		raises("unknown option", function() cache:scan { mach = "x" } end)
		cache:pipeline("UNLINK", (function()
			local list = {}
			for key in pairs(seen) do list[#list + 1] = key end
			return list
		end)())
	end))
end)

describe("redis blocking", function()
	it("holds no other call up", on(function(cache)
		cache:del { "b:list" }
		local got, other
		task.all(function() got = cache:blpop("b:list", 5).value end,
			function()
				other = cache:ping()
				cache:rpush("b:list", "x")
			end)
		eq(got, { "b:list", "x" })
		eq(other, "PONG")
		eq(cache:blpop("b:list", 0.05).value, nil)
		eq(cache:xread("BLOCK", 20, "STREAMS", "b:st", "$"), nil)
	end))

	it("ends at its deadline, in doubt", on(function(cache)
		local e = raises("timeout", function()
			cache:blpop("b:none", 0, { timeout = 0.1 })
		end)
		eq(e.outcome, "unknown")
		ok(e.message:find("within 0.1 s", 1, true))
		eq(cache:ping(), "PONG")
	end))

	it("can be cancelled", on(function(cache)
		local e = raises("timeout", task.timeout, 0.1, function()
			cache:blpop("b:none", 0)
		end)
		ok(e)
		eq(cache:ping(), "PONG")
		for _, c in ipairs(cache:client_list()) do ok(c.cmd ~= "blpop") end
	end))
end)

describe("redis subscribe", function()
	it("hands messages out in order", on(function(cache)
		local sub <close> = cache:subscribe { channels = { "ch:1", "ch:2" },
			patterns = { "p:*" } }
		for i = 1, 300 do cache:publish("ch:1", i) end
		cache:publish("p:x", "y")
		for i = 1, 300 do eq(sub().payload, tostring(i)) end
		eq(sub(), { pattern = "p:*", channel = "p:x", payload = "y" })
	end))

	it("is an iterator that closes", on(function(cache)
		local n = 0
		task.all(function()
			for m in cache:subscribe { channels = "ch:3" } do
				n = n + 1
				eq(m.channel, "ch:3")
				if n == 2 then break end
			end
		end, function()
			while n < 2 do
				cache:publish("ch:3", "x")
				task.sleep(0.01)
			end
		end)
		eq(n, 2)
	end))

	it("times out and refuses misuse", on(function(cache)
		local sub <close> = cache:subscribe { channels = "ch:4",
			timeout = 0.05 }
		raises("timeout", sub)
		raises("unknown option", function() cache:subscribe { chanels = 1 } end)
		raises("needs channels", function() cache:subscribe {} end)
		raises("usage", function() cache:cmd("SUBSCRIBE", "x") end)
		raises("usage", function() cache:monitor() end)
	end))
end)
