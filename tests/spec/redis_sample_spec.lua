-- Specs of opsh.redis.sample: groups, lifetimes and words, by a client that is
-- a table. The server's side of it is in tests/live. Must not need a server.
-- Owns the table that plays the client.
local sample = require "opsh.redis.sample"

-- Answers from keys = { name = {type, ttl, bytes} }.
local function client(keys)
	local names = {}
	for name in pairs(keys) do names[#names + 1] = name end
	table.sort(names)
	local at = 0
	local answers = { TYPE = 1, TTL = 2, ["MEMORY USAGE"] = 3 }
	return {
		dbsize = function() return #names end,
		scan = function()
			local i = 0
			return function()
				i = i + 1
				return names[i]
			end
		end,
		cmd = function(_, command, cursor)
			eq(command, "SCAN")
			local from = tonumber(cursor)
			local to = math.min(from + 2, #names)
			return { to == #names and "0" or tostring(to),
				table.move(names, from + 1, to, 1, {}) }
		end,
		pipeline = function(_, what, list)
			local out = {}
			if type(what) == "function" then
				what { randomkey = function()
					at = at % #names + 1
					out[#out + 1] = names[at]
				end }
				return out
			end
			for i, name in ipairs(list) do
				local key = keys[name]
					or { "none", -2, require("opsh.c.term").null }
				out[i] = key[answers[what]]
			end
			return out
		end,
	}
end

local KEYS = {
	["flights::A"] = { "string", 30, 100 },
	["flights::B"] = { "string", 90, 200 },
	["lock:x"] = { "string", -1, 50 },
	["sess:1"] = { "hash", 4000, 900 },
}

describe("opsh.redis.sample", function()
	it("draws all keys when there are few, each once when many", function()
		local keys, whole = sample.keys(client(KEYS), 10)
		eq(keys, { "flights::A", "flights::B", "lock:x", "sess:1" })
		eq(whole, true)
		keys, whole = sample.keys(client(KEYS), 3)
		eq(keys, { "flights::A", "flights::B", "lock:x" })
		eq(whole, false)
		eq(#sample.scanned(client(KEYS), 3), 3)
		eq(#sample.scanned(client(KEYS), 99), 4)
	end)

	it("describes, and leaves out what is gone", function()
		local rows = sample.describe(client(KEYS),
			{ "flights::A", "gone", "lock:x" }, { bytes = true })
		eq(rows, { { key = "flights::A", type = "string", ttl = 30,
			bytes = 100 }, { key = "lock:x", type = "string", bytes = 50 } })
		eq(sample.describe(client(KEYS), {}), {})
	end)

	it("spreads evenly", function()
		eq(sample.spread({ 1, 2, 3 }, 5), { 1, 2, 3 })
		eq(sample.spread({ 1, 2, 3, 4, 5, 6, 7, 8 }, 4), { 1, 3, 5, 7 })
	end)

	it("groups by prefix, the largest first, and by lifetime", function()
		local rows = sample.describe(client(KEYS), (sample.keys(client(KEYS),
			10)), { bytes = true })
		local groups = sample.groups(rows, function(row)
			return sample.prefix(row.key)
		end)
		eq({ groups[1].name, groups[2].name, groups[3].name },
			{ "sess:", "flights::", "lock:" })
		eq({ groups[2].keys, groups[2].bytes, groups[3].no_ttl }, { 2, 300, 1 })
		local lives = sample.lifetimes(rows)
		eq({ lives[1].keys, lives[2].keys, lives[3].keys, lives[5].keys },
			{ 1, 1, 1, 1 })
		eq(lives[1].percent, 25.0)
		eq(sample.lifetimes({})[1].percent, 0)
	end)

	it("knows what is kept by its name", function()
		eq(sample.kept "lock:seat:1", "lock")
		eq(sample.kept "Locks/7", "lock")
		eq(sample.kept "{queue}:mail", "queue")
		eq(sample.kept "spring:session:x", "session")
		eq(sample.kept "flights::UAL1", nil)
		eq(sample.kept "locksmith:1", nil)
		eq(sample.kept "", nil)
	end)

	it("prints sizes and shares as people read them", function()
		eq(sample.size(0), "0 B")
		eq(sample.size(1536), "1.5 KiB")
		eq(sample.size(3 << 40), "3.0 TiB")
		eq(sample.percent(1, 3), 33.3)
		eq(sample.percent(5, 0), 0)
		eq(sample.prefix "no-separator", "(none)")
		eq(sample.prefix "a:b:c", "a:")
	end)
end)

describe("opsh.redis.judge", function()
	local judge = require "opsh.redis.judge"

	it("finds no fault with a cache", function()
		local j = judge.cache(client { ["flights::A"] = { "string", 30 },
			["flights::B"] = { "string", 60 } }, { "flights::A" },
			"allkeys-lru")
		eq(j.against, {})
		eq({ j.share, j.exact }, { 0, true })
		eq(j.text, "allkeys-lru; of 3 sampled keys 0 % have no TTL")
	end)

	it("says all that speaks against one", function()
		local j = judge.cache(client(KEYS), { "lock:x" }, "noeviction")
		eq(j.share, 100)
		eq(j.against, { "maxmemory-policy is noeviction",
			"100 % of a sample have no TTL (25 % of the database, 100 % of "
			.. "the keys to go)", "by their names 1 lock are to go" })
		j = judge.cache(client { s = { "stream", 10 } }, {}, "allkeys-lru")
		eq(j.against, { "there are streams" })
	end)

	it("tells what lives beside the keys to go", function()
		local j = judge.cache(client(KEYS), { "flights::A" }, "allkeys-lru")
		ok(j.text:find("beside them live 1 session, 1 lock", 1, true)
			or j.text:find("beside them live 1 lock, 1 session", 1, true))
	end)
end)

describe("opsh.redis.server", function()
	local server = require "opsh.redis.server"

	-- A master whose replica gains 10 bytes with each look.
	local function master(offset)
		return { info = function()
			offset = offset + 10
			return { connected_slaves = 1, master_repl_offset = 100,
				slave0 = { ip = "h", port = 1, state = "online",
					offset = offset } }
		end }
	end

	it("waits for replicas, and says who is behind", function()
		local ok_, how = server.in_sync({ info = function()
			return { connected_slaves = 0, master_repl_offset = 9 }
		end }, 1)
		eq({ ok_, how }, { true, "none" })
		eq({ server.in_sync(master(75), 5) }, { true, "1 in sync" })
		eq({ server.in_sync(master(0), 0) }, { false,
			"h:1 is online, 90 bytes behind" })
	end)

	local function saving(states)
		local at = 0
		return { bgsave = function() end, info = function()
			at = math.min(at + 1, #states)
			local s = states[at]
			return { rdb_bgsave_in_progress = s[1],
				rdb_last_bgsave_status = s[2], rdb_saves = s[3] }
		end, config_get = function(_, name)
			return { dir = "/data", dbfilename = "dump.rdb", [name] =
				({ dir = "/data", dbfilename = "dump.rdb" })[name] }
		end }
	end

	it("waits for a copy, and tells one that failed or is late", function()
		eq(server.save(saving { { 0, "ok", 1 }, { 1, "ok", 1 },
			{ 0, "ok", 2 } }, 5), "/data/dump.rdb")
		raises("server", function()
			server.save(saving { { 0, "ok", 1 }, { 0, "err", 1 } }, 5)
		end)
		raises("timeout", function()
			server.save(saving { { 0, "ok", 1 }, { 1, "ok", 1 } }, 0)
		end)
	end)
end)
