-- redis_values: arguments as they are sent, replies as they come back, and the
-- usual readings of them. Against a real server. Owns the keys that its cases
-- write.
local R = dofile "tests/lib/redis.lua"
local null = require("opsh.json").null

local on = R.on

describe("redis values", function()
	it("sends strings, numbers and bytes as they are", on(function(cache)
		local all = {}
		for i = 0, 255 do all[#all + 1] = string.char(i) end
		local bytes = table.concat(all)
		cache:set("v:bytes", bytes)
		eq(cache:get "v:bytes", bytes)
		eq(cache:echo(42), "42")
		eq(cache:echo(math.mininteger), "-9223372036854775808")
		eq(cache:echo(1.5), "1.5")
		eq(cache:echo(60.0), "60")
		eq(cache:echo(0.1), "0.1")
		eq(cache:echo(1 / 3), "0.3333333333333333")
		eq(cache:echo(math.huge), "+inf")
		eq(cache:echo "", "")
		eq(cache:strlen "v:bytes", 256)
	end))

	it("refuses what Redis has no form for", on(function(cache)
		for _, v in ipairs { false, true, print, null, 0 / 0,
			coroutine.create(print) } do
			raises("usage", function() cache:echo(v) end)
		end
		raises("usage", function() cache:echo(nil) end)
		raises("usage", function() cache:set("k", { 1, { 2 } }) end)
		raises("usage", function() cache:set("k", { a = 1 }, { "x" }) end)
		raises("usage", function() cache:echo(cache:set("v:r", 1)) end)
		ok(raises("usage", function() cache:set("k", nil) end).message:find(
			"argument 2", 1, true))
	end))

	it("sends the value of a secret", on(function(cache)
		local secret = require "opsh.secret"
		cache:set("v:secret", secret.value "a-long-secret-value")
		eq(cache:get "v:secret", "a-long-secret-value")
		cache:set("v:secret", secret.env "OPSH_REDIS_TLS_CA")
		eq(cache:get "v:secret", os.getenv "OPSH_REDIS_TLS_CA")
		cache:pipeline("SET", { { "v:secret", secret.env "OPSH_REDIS_SOCK" } })
		eq(cache:get "v:secret", os.getenv "OPSH_REDIS_SOCK")
		cache:pipeline(function(p)
			p:set("v:secret", secret.env "OPSH_REDIS_TLS_CA")
		end)
		eq(cache:get "v:secret", os.getenv "OPSH_REDIS_TLS_CA")
	end))

	it("flattens lists", on(function(cache)
		cache:mset { "v:a", 1, "v:b", 2 }
		eq(cache:mget { "v:a", "v:none", "v:b" }, { "1", null, "2" })
		eq(cache:mget("v:a", { "v:b" }), { "1", "2" })
		eq(cache:unlink({ "v:a", "v:b", "v:none" }).count, 2)
	end))

	it("reads plain values and writes results", on(function(cache)
		eq(cache:get "v:none", nil)
		local r = cache:set("v:x", 1)
		eq(r.ok, true)
		eq(r.value, "OK")
		eq(cache:set("v:x", 1, "NX").ok, false)
		eq(cache:incrby("v:x", 41).count, 42)
		eq(tostring(cache:incr "v:x"), "43")
		eq(cache:ttl "v:x", -1)
		eq(cache:expire("v:x", 100.0).count, 1)
		eq(cache:type "v:x", "string")
	end))

	it("takes a line, as redis-cli does", on(function(cache)
		cache 'SET "v:a b" "x\\x00\\n"'
		eq(cache 'GET "v:a b"', "x\0\n")
		eq(cache("GET", "v:a b"), "x\0\n")
		eq(cache("PING", { timeout = 1 }), "PONG")
		raises("usage", cache, 'GET "x')
		raises("usage", cache, "  ")
		raises("unknown option", cache, "PING", { tiemout = 1 })
	end))

	it("reads maps, sections and rows", on(function(cache)
		cache:del "v:h"
		cache:hset("v:h", "f", 1, "g", "x")
		eq(cache:hgetall "v:h", { f = "1", g = "x" })
		eq(cache:cmd("HGETALL", "v:h")[1], "f")
		eq(cache:config_get("maxmemory-policy")["maxmemory-policy"],
			"noeviction")
		local stats = cache:info "stats"
		eq(math.type(stats.keyspace_hits), "integer")
		local all = cache:info()
		eq(#all.server.run_id, 40)
		eq(all.server.redis_version:match "^%d+", "7")
		eq(type(cache:info("keyspace").db0.keys), "number")
		local clients = cache:client_list()
		eq(clients[#clients].name, "opsh")
		cache:del "v:stream"
		cache:xadd("v:stream", "*", "a", 1)
		eq(cache:xinfo_stream("v:stream").length, 1)
		cache:xgroup_create("v:stream", "g", "$")
		eq(cache:xinfo_groups("v:stream")[1].name, "g")
		eq(cache:object_encoding "v:h", "listpack")
	end))

	it("has the rate of hits between two looks", function()
		local hit_rate = require("opsh.redis.info").hit_rate
		local now = { keyspace_hits = 5, keyspace_misses = 3 }
		eq({ hit_rate(now) }, { 62.5, 8 })
		eq({ hit_rate(now, { keyspace_hits = 4, keyspace_misses = 1 }) },
			{ 33.3, 3 })
		local rate, lookups = hit_rate(now, now)
		eq(rate, nil)
		eq(lookups, 0)
	end)

	it("raises what the server says", on(function(cache)
		cache:set("v:x", 1)
		local e = raises("server", function() cache:lpush("v:x", 1) end)
		eq(e.code, "WRONGTYPE")
		eq(e.outcome, "failed")
		eq(e.op, "LPUSH")
		eq(e.target, "cache")
		eq(raises("server", function() cache:nosuch() end).code, "ERR")
		eq(raises("server", function() cache:get() end).code, "ERR")
		eq(cache:get "v:x", "1")
	end))

	it("keeps errors and holes inside arrays", on(function(cache)
		local r = cache:eval_ro("return {1, false, redis.error_reply('X y')}",
			0)
		eq(r[1], 1)
		eq(r[2], null)
		eq(r[3].code, "X")
	end))

	it("is closed for good", on(function(cache)
		cache:ping()
		cache:close()
		cache:close()
		raises("usage", cache.ping, cache)
	end))

	it("moves large values", on(function(cache)
		local big = ("x"):rep(3000000)
		cache:set("v:big", big)
		ok(cache:get "v:big" == big)
		eq(cache:unlink("v:big").count, 1)
	end), { plain = true })
end)
