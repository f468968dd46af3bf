-- Specs of what completion asks real servers: tables of Postgres, commands of Redis,
-- topics and groups of Kafka; each in the background, after the client was used.
-- Owns its table and topic.
local K = dofile "tests/lib/kafka.lua"
local P = dofile "tests/lib/postgres.lua"
local R = dofile "tests/lib/redis.lua"
local catalog = require "repl.catalog"
local complete = require "repl.complete"
local docs = require "run.docs"
local seen = require "repl.seen"
local task = require "opsh.task"

local function context(name, kind, client)
	return { env = {}, config = { targets = { [name] = { name = name, kind = kind } } },
		target_of = function() end,
		connected = function(of) return of == name and client or nil end }
end

local function offered(text, ctx)
	local at = text:find("|", 1, true)
	local found = complete.complete(text:gsub("|", ""), at - 1, ctx)
	local out = {}
	for n, one in ipairs(found.candidates) do
		out[n], out[one.text] = one.text, one
	end
	return out
end

-- TAB after TAB, until it is there.
local function becomes(text, ctx, wanted)
	for _ = 1, 400 do
		local one = offered(text, ctx)[wanted]
		if one then return one end
		task.sleep(0.01)
	end
	error(("'%s' is not offered for %s"):format(wanted, text), 0)
end

describe("completion of a connected", function()
	it("Postgres: tables, columns, and what DDL changes", P.on(function(db)
		db:exec "drop table if exists completed_flights"
		db:exec 'create table completed_flights (callsign text, "Odd" int)'
		local ctx = context("db", "postgres", db)
		eq(offered('db "select * from completed|', ctx), {})
		becomes('db "select * from completed|', ctx, "completed_flights")
		eq(offered('db "select call| from completed_flights"', ctx)[1], "callsign")
		eq(offered('db "select c.| from completed_flights c"', ctx)['c."Odd"']
			.detail, "integer")
		ok(offered('db "select * from pg_stat_act|', ctx).pg_stat_activity)
		ok(offered('db:query("select * from information_schema.tab|', ctx)
			["information_schema.tables"])
		db:exec "alter table completed_flights add column gate text"
		eq(offered('db "select ga| from completed_flights"', ctx), {})
		seen.entry(ctx, 'db:exec "alter table completed_flights add column gate"')
		becomes('db "select ga| from completed_flights"', ctx, "gate")
		db:exec "drop table completed_flights"
	end), { plain = true })

	it("Redis: its own commands", R.on(function(cache)
		local ctx = context("cache", "redis", cache)
		ok(offered('cache "GETD|', ctx).GETDEL)
		for _ = 1, 400 do
			local hint = complete.hint('cache "GETDEL x', 15, ctx)
			if hint.summary then break end
			task.sleep(0.01)
		end
		local hint = complete.hint('cache "SET k v ', 15, ctx)
		ok(hint.text:find "^SET key value %[NX|XX%] %[GET%] %[EX ", hint.text)
		ok(hint.summary)
		ok(offered('cache "OBJECT FR|', ctx)["OBJECT FREQ"])
		eq(complete.hint("cache:config_get(", 17, ctx).text, "CONFIG GET parameter ...")
	end), { plain = true })

	it("Kafka: topics and groups", K.on(function(events)
		-- each word that it takes is a method with a signature
		local said, e = pcall(events, "no-such-word")
		ok(not said)
		for word in e.hint:match "one of: (.*)":gmatch "[%w_]+" do
			ok(docs.member("opsh.kafka.client", word), "undescribed: " .. word)
		end
		local topic = K.name "completed"
		events:create_topic(topic, { partitions = 1, replication = 1 })
		local ctx = context("events", "kafka", events)
		becomes('events:watermarks("completed|', ctx, topic)
		ok(offered('events "describe completed|', ctx)[topic])
		ok(offered('events:consume { topic = "completed|', ctx)[topic])
		offered('events "lag |', ctx)		-- groups: there may be none
		events:delete_topic(topic)
	end), { plain = true })
end)

describe("the catalog", function()
	it("asks in the background, once, and only what is connected", function()
		local asked, client = 0, {}
		local own = { catalog = {}, connected = function(name)
			return name == "db" and client or nil
		end }
		local function ask(c)
			ok(rawequal(c, client))
			asked = asked + 1
			task.sleep(0)
			return asked
		end
		eq(catalog.get(own, { name = "cache" }, "x", ask), nil)
		task.sleep(0)
		eq(asked, 0)
		eq(catalog.get(own, { name = "db" }, "x", ask), nil)
		eq(catalog.get(own, { name = "db" }, "x", ask), nil)
		for _ = 1, 5 do task.sleep(0) end
		eq(catalog.get(own, { name = "db" }, "x", ask), 1)
		catalog.refresh(own)
		eq(catalog.get(own, { name = "db" }, "x", ask), 1)
		for _ = 1, 5 do task.sleep(0) end
		eq(catalog.get(own, { name = "db" }, "x", ask), 2)
		-- DDL makes it ask again
		seen.entry({ catalog = own.catalog, config = { targets = {} } },
			'db:exec "create table t (id int)"')
		catalog.get(own, { name = "db" }, "x", ask)
		for _ = 1, 5 do task.sleep(0) end
		eq(asked, 3)
	end)

	it("forgets what another target of the name had", function()
		local client = {}
		local own = { catalog = {}, connected = function() return client end }
		local function ask(c) return c end
		catalog.get(own, { name = "db" }, "x", ask)
		for _ = 1, 5 do task.sleep(0) end
		ok(rawequal(catalog.get(own, { name = "db" }, "x", ask), client))
		client = {}
		eq(catalog.get(own, { name = "db" }, "x", ask), nil)
		for _ = 1, 5 do task.sleep(0) end
		ok(rawequal(catalog.get(own, { name = "db" }, "x", ask), client))
	end)

	it("keeps what it knew when a server gives no answer", function()
		local client = {}
		local own = { catalog = { db = { x = { value = 7, stale = true } } },
			connected = function() return client end }
		eq(catalog.get(own, { name = "db" }, "x", function() error "no" end), 7)
		for _ = 1, 5 do task.sleep(0) end
		eq(catalog.get(own, { name = "db" }, "x", function() error "no" end), 7)
	end)
end)
