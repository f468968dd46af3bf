-- redis_class: what a command is judged to be, what the boundary makes of it, and
-- who the server is. Against a real server, and a scripted one. Owns what its
-- cases put there.
local R = dofile "tests/lib/redis.lua"
local c = require "opsh.c.redis"
local effect = require "opsh.c.effect"

local on = R.on

local CLASSES = {
	read = { "GET k", "MGET a b", "SCAN 0", "KEYS *", "TTL k", "HGETALL h",
		"TOUCH k", "PFCOUNT h", "SORT_RO l", "EVAL_RO x 0", "BITFIELD_RO k",
		"FCALL_RO f 0", "PING", "INFO", "DBSIZE", "ROLE", "CONFIG GET x",
		"CLIENT LIST", "CLUSTER INFO", "ACL LIST", "ACL LOG", "ACL LOG 3",
		"MEMORY USAGE k", "OBJECT ENCODING k", "SCRIPT EXISTS x",
		"COMMAND INFO get", "SLOWLOG GET", "LATENCY LATEST", "XINFO STREAM s",
		"XREAD STREAMS s 0", "DEBUG OBJECT k", "PUBSUB CHANNELS", "WAIT 0 1",
		"get k", "config get x" },
	write = { "SET k v", "INCR k", "EXPIRE k 1", "HDEL h f", "LPOP l",
		"SREM s m", "XDEL s 1", "PUBLISH c m", "EVAL x 0", "EVALSHA x 0",
		"FCALL f 0", "SORT l", "GEORADIUS g 0 0 1 m", "BITFIELD k",
		"GETEX k", "CONFIG SET a b", "CONFIG REWRITE", "CONFIG RESETSTAT",
		"CLIENT KILL x", "CLIENT UNBLOCK 1", "SLOWLOG RESET", "ACL LOG RESET",
		"ACL LOG reset", "ACL SETUSER x", "SCRIPT LOAD x", "SCRIPT KILL",
		"FUNCTION LOAD x", "FUNCTION KILL", "BGSAVE", "BGREWRITEAOF",
		"MEMORY PURGE", "MODULE LOAD x", "CLUSTER MEET a 1", "BLPOP l 0",
		"XREADGROUP GROUP g c STREAMS s 0", "RENAMENX a b", "MOVE k 1",
		"NOSUCHCOMMAND x", "RESTORE k 0 x" },
	destructive = { "DEL k", "UNLINK k", "GETDEL k", "FLUSHDB", "FLUSHALL",
		"flushall async", "RENAME a b", "SHUTDOWN", "SHUTDOWN NOSAVE",
		"DEBUG SLEEP 1", "DEBUG SEGFAULT", "REPLICAOF NO ONE",
		"SLAVEOF NO ONE", "FAILOVER", "SWAPDB 0 1", "LTRIM l 0 1",
		"XTRIM s MAXLEN 1", "ZREMRANGEBYRANK z 0 1", "XGROUP DESTROY s g",
		"SCRIPT FLUSH", "FUNCTION FLUSH", "FUNCTION DELETE x",
		"FUNCTION RESTORE x", "CLUSTER RESET", "CLUSTER FORGET x",
		"CLUSTER FAILOVER", "CLUSTER REPLICATE x", "CLIENT PAUSE 1",
		"MODULE UNLOAD x", "ACL DELUSER x", "SAVE", "MIGRATE h 1 k 0 1" },
}

local function words(text)
	local list = {}
	for word in text:gmatch "%S+" do list[#list + 1] = word end
	return table.unpack(list)
end

describe("redis class", function()
	it("follows the server's flags and the table", on(function(cache)
		for class, list in pairs(CLASSES) do
			for _, text in ipairs(list) do
				eq(c.class(cache, words(text)), class, text)
			end
		end
	end))

	it("refuses what would break a shared connection", on(function(cache)
		for _, text in ipairs { "SELECT 1", "AUTH x", "HELLO 3", "RESET",
			"QUIT", "MULTI", "EXEC", "DISCARD", "WATCH k", "UNWATCH",
			"SUBSCRIBE c", "PSUBSCRIBE c", "MONITOR", "SYNC", "PSYNC a b",
			"CLIENT REPLY OFF", "CLIENT TRACKING ON", "ASKING", "READONLY",
			"SCRIPT DEBUG YES", "CLIENT SETNAME x" } do
			local e = raises("usage", cache.cmd, cache, words(text))
			ok(e.message:find("can't be sent on its own", 1, true))
		end
		eq(cache:ping(), "PONG")
	end))

	it("needs a passed guard to destroy", on(function(cache)
		local t = require("opsh.c.target").new { name = "strict",
			kind = "redis" }
		local url = require("run.url").parse(os.getenv "OPSH_REDIS_URL",
			require("opsh.secret").value)
		local strict = require("opsh.redis").kind.connect(t, { url = url })
		cache:set("g:k", 1)
		local e = raises("guard", strict.del, strict, "g:k")
		eq(e.outcome, "refused")
		eq(cache:get "g:k", "1")
		strict:close()
	end))

	it("reads only, in read mode", function()
		R.with(os.getenv "OPSH_REDIS_URL", { mode = "read" }, function(cache)
			cache:get "g:k"
			eq(raises("refused", cache.set, cache, "g:k", 2).outcome,
				"refused")
			raises("refused", cache.nosuch, cache)
		end)
	end)

	it("withholds writes in a plan", function()
		R.with(os.getenv "OPSH_REDIS_URL", nil, function(cache)
			cache:set("g:plan", 1)
			effect.mode "plan"
			local r = cache:set("g:plan", 2)
			raises("withheld", function() return r.ok end)
			raises("withheld", function() cache:get(r) end)
			eq(cache:incr("g:plan", { expect = 5 }).count, 5)
			eq(cache:get "g:plan", "1")
			local p = cache:pipeline(function(p)
				p:get "g:plan"
				p:incr "g:plan"
				p:get "g:plan"
			end)
			eq(p[1], "1")
			raises("withheld", function() return p[2].count end)
			raises("withheld", function() return p[3] .. "" end)
			local m = cache:multi(function(tx) tx:incr "g:plan" end)
			raises("withheld", function() return m[1].count end)
			local f = cache:pipeline("UNLINK", { "g:plan" })
			raises("withheld", function() return f.count end)
			eq(cache:pipeline("UNLINK", { "g:plan" }, { expect = 1 }).count, 1)
			effect.mode "write"
			eq(cache:get "g:plan", "1")
		end)
	end)
end)

describe("redis identity", function()
	it("is read from the server", on(function(cache, target)
		local id = cache:identity()
		eq(#id.run_id, 40)
		eq(id.role, "master")
		eq(id.mode, "standalone")
		eq(id.db, 0)
		eq(id.maxmemory_policy, "noeviction")
		eq(target:identity(), "run_id=" .. id.run_id .. " db=0")
		eq(target:role(), "master")
		ok(target:address():find(os.getenv "OPSH_REDIS_PORT", 1, true))
		eq(target:changed(), nil)
	end))

	it("refuses a write on another role than wanted", function()
		R.with(os.getenv "OPSH_REDIS_URL", { role = "replica" },
			function(cache)
				cache:get "x"
				raises("refused", cache.set, cache, "x", 1)
			end)
	end)

	it("names a replica, whose refusal is known to have failed", function()
		R.with(os.getenv "OPSH_REDIS_HA_REPLICA_URL", nil,
			function(cache, target)
				cache:get "x"
				eq(target:role(), "replica")
				local e = raises("server", cache.set, cache, "x", 1)
				eq(e.code, "READONLY")
				eq(e.outcome, "failed")
				eq(cache:identity().master.port, math.tointeger(tonumber(
					os.getenv "OPSH_REDIS_HA_MASTER_PORT")))
			end)
	end)
end)
