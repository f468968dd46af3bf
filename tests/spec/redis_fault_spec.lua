-- redis_fault: broken networks and broken servers (FAULTS 12 to 17, 25 to 27).
-- What must be known afterwards: was it applied, not applied, or can't be told.
-- Owns its proxies and scripted servers.
local R = dofile "tests/lib/redis.lua"
local task = require "opsh.task"

local PLAIN = { plain = true }	-- they start tools and measure time

-- f(client, proxy, direct client)
local function proxied(opts, f)
	return function()
		local proxy <close> = R.proxy()
		R.with(os.getenv "OPSH_REDIS_URL", nil, function(direct)
			direct:ping()
			R.with("redis://127.0.0.1:" .. proxy.port, opts, function(cache)
				return f(cache, proxy, direct)
			end)
		end)
	end
end

local function took(f, ...)
	local t0 = task.now()
	local e = raises(".", f, ...)
	return task.now() - t0, e
end

describe("redis lost replies", function()
	it("leave a write unknown, applied once", proxied(nil,
		function(cache, proxy, direct)
			direct:set("f:n", 0)
			cache:get "f:n"
			for i = 1, 5 do
				proxy:tell "drop-reply match=^INCR"
				local e = raises("unknown", cache.incr, cache, "f:n")
				eq(e.outcome, "unknown")
				eq(e.op, "INCR")
				ok(e.message:find("may have been applied", 1, true))
				eq(direct:get "f:n", tostring(i))
			end
			proxy:tell "drop-reply match=^INCR then=rst keep=2"
			eq(raises("unknown", cache.incr, cache, "f:n").outcome, "unknown")
			eq(direct:get "f:n", "6")
		end), PLAIN)

	it("are read again, once", proxied(nil, function(cache, proxy, direct)
		direct:set("f:r", "x")
		cache:get "f:r"
		proxy:tell "drop-reply match=^GET"
		eq(cache:get "f:r", "x")
		proxy:tell "drop-reply match=^GET times=2"
		local e = raises("connect", cache.get, cache, "f:r")
		eq(e.outcome, "failed")
		proxy:tell "pass"
		eq(cache:get "f:r", "x")
	end), PLAIN)

	it("in the middle of a large batch of reads", proxied(nil,
		function(cache, proxy, direct)
			local keys = {}
			for i = 1, 5000 do keys[i] = "f:big" end
			direct:set("f:big", ("v"):rep(100))
			cache:get "f:big"
			proxy:tell "cut side=server after=200000"	-- each connection
			local e = raises("connect", cache.pipeline, cache, "GET", keys)
			eq(e.outcome, "failed")
			proxy:tell "pass"
			local values = cache:pipeline("GET", keys)
			eq(#values, 5000)
			eq(#values[5000], 100)
		end), PLAIN)

	it("of many tasks are each told apart", proxied(nil,
		function(cache, proxy, direct)
			direct:set("f:m", 0)
			cache:get "f:m"
			proxy:tell "drop-reply match=^INCR"
			local unknown, reads = 0, 0
			task.map({ 1, 2, 3, 4, 5, 6 }, { limit = 6 }, function(i)
				if i % 2 == 0 then
					cache:get "f:m"
					reads = reads + 1
					return
				end
				local fine, e = pcall(cache.incr, cache, "f:m")
				if not fine and e.outcome == "unknown" then
					unknown = unknown + 1
				end
			end)
			eq(reads, 3)
			ok(unknown >= 1)
			ok(tonumber(direct:get "f:m") <= 3)
		end), PLAIN)

	it("requests that never left are failed", proxied(nil,
		function(cache, proxy, direct)
			direct:set("f:q", 0)
			cache:get "f:q"
			proxy:tell "close"
			task.sleep(0.05)
			eq(cache:incr("f:q").count, 1)
		end), PLAIN)
end)

describe("redis silence", function()
	it("ends at the deadline; the next call has a new connection",
		proxied({ timeout = 0.4 }, function(cache, proxy, direct)
			direct:set("f:s", 0)
			cache:get "f:s"
			proxy:tell "drop-reply match=^INCR then=freeze"
			local t, e = took(cache.incr, cache, "f:s")
			ok(t >= 0.39 and t < 0.65, t)
			eq(e.kind, "timeout")
			eq(e.outcome, "unknown")
			eq(cache:get "f:s", "1")	-- the old one is given up
			proxy:tell "freeze"
			t, e = took(cache.get, cache, "f:s")
			ok(t < 0.65, t)
			eq(e.kind, "timeout")
			eq(e.outcome, "failed")
			proxy:tell "pass"
			eq(cache:get "f:s", "1")
		end), PLAIN)

	it("while connecting names the phase", function()
		for mode, kind in pairs { silent = "connect", blackhole = "connect",
			refuse = "connect" } do
			local proxy <close> = R.proxy("--mode " .. mode)
			R.with("redis://127.0.0.1:" .. proxy.port,
				{ connect_timeout = 0.4 }, function(cache)
					local t, e = took(cache.ping, cache)
					eq(e.kind, kind, mode)
					ok(t < 0.65, mode .. " " .. t)
					ok(e.message:find(tostring(proxy.port), 1, true))
					ok(e.phase, mode)
				end)
		end
	end, PLAIN)

	it("of a slow peer ends too", proxied({ timeout = 0.5 },
		function(cache, proxy, direct)
			direct:set("f:slow", ("x"):rep(500))
			cache:get "f:slow"
			proxy:tell "slow bytes=20"
			local t, e = took(cache.get, cache, "f:slow")
			ok(t < 0.75, t)
			eq(e.phase, "read")
		end), PLAIN)

	it("in TLS ends too", function()
		local proxy <close> = R.proxy("--mode silent")
		R.with("rediss://127.0.0.1:" .. proxy.port, { connect_timeout = 0.3 },
			function(cache)
				local t, e = took(cache.ping, cache)
				ok(t < 0.6, t)
				eq(e.phase, "tls")
			end)
	end, PLAIN)
end)

describe("redis server that lies", function()
	local function faulty(f)
		return function()
			local fake <close> = R.tool("fake_redis.py")
			R.with("redis://127.0.0.1:" .. fake.port, { timeout = 1 }, f)
		end
	end

	it("sends typed errors", faulty(function(cache)
		for name, code in pairs { moved = "MOVED", ask = "ASK",
			loading = "LOADING", readonly = "READONLY",
			masterdown = "MASTERDOWN", busy = "BUSY", oom = "OOM" } do
			local e = raises("server", cache.get, cache, "fault:" .. name)
			eq(e.code, code)
			eq(e.outcome, "failed")
		end
		eq(raises("auth", cache.get, cache, "fault:noauth").code, "NOAUTH")
	end), PLAIN)

	it("sends too much", faulty(function(cache)
		for _, name in ipairs { "deep", "elements", "bulk" } do
			local e = raises("limit", cache.get, cache, "fault:" .. name)
			ok(e.message:find("limit", 1, true), e.message)
		end
		local e = raises("limit", cache.set, cache, "fault:elements", 1)
		eq(e.outcome, "unknown")
	end), PLAIN)

	it("sends nonsense", faulty(function(cache)
		for _, name in ipairs { "negative", "huge", "garbage" } do
			raises("protocol", cache.get, cache, "fault:" .. name)
		end
		raises("limit", cache.get, cache, "fault:endless")
		ok(cache:get "fault:chunked")
		eq(cache:ping(), "PONG")
	end), PLAIN)

	it("goes away in the middle", faulty(function(cache)
		for _, name in ipairs { "torn", "reset", "close" } do
			local e = raises("connect", cache.get, cache, "fault:" .. name, name)
			eq(e.outcome, "failed")
			e = raises("unknown", cache.set, cache, "fault:" .. name, 1)
			eq(e.outcome, "unknown")
		end
		local t, e = took(cache.get, cache, "fault:silent")
		ok(t < 1.25, t)
		eq(e.kind, "timeout")
	end), PLAIN)
end)

describe("redis identity change", function()
	it("stops the next write", function()
		local fake <close> = R.tool("fake_redis.py")
		local proxy <close> = R.proxy()
		R.with("redis://127.0.0.1:" .. proxy.port, nil, function(cache, target)
			cache:set("f:id", 1)
			local before = target:identity()
			-- the same address, another server behind it
			proxy:close()
			local again <close> = R.tool("proxy.py", "--to 127.0.0.1:"
				.. fake.port .. " --listen 127.0.0.1:" .. proxy.port)
			local e = raises("changed", function()
				for _ = 1, 5 do cache:set("f:id", 2) end
			end)
			eq(e.outcome, "refused")
			ok(target:changed():find(before, 1, true))
			eq(again.port, proxy.port)
			cache:get "f:id"
		end)
	end, PLAIN)
end)
