-- repl_target_spec: what a session does with targets, against the servers of the
-- stack: the calls by one string of each kind, `:targets`, `:connect`, a server that
-- is another one than before. Stops no server; owns the processes of its own.
require "harness"
local effect = require "opsh.c.effect"
local session = require "run.session"
local testing = require "opsh.c.testing"
local journal = dofile "tests/lib/journal.lua"
local repl = dofile "tests/lib/repl.lua"

local env = os.getenv
local PLAIN <const> = { plain = true }
local CACHE <const> = "cache=" .. env "OPSH_REDIS_URL"
local DB <const> = ("db=postgresql://ops:%s@127.0.0.1:%s/flights"):format(
	env "OPSH_POSTGRES_PASSWORD", env "OPSH_POSTGRES_PORT")

-- f(ctx, config) in a session of this mode with these targets; its records.
local function with(mode, list, f)
	return journal.run(mode, function(dir)
		return repl.with(list, { runs = dir }, f)
	end)
end

local function entry(ctx, text)
	return assert(load(text, "=entry", "t", ctx.env))()
end

describe("a target is called with one string", function()
	it("redis", function()
		with("write", { CACHE }, function(ctx)
			eq(entry(ctx, [[return cache "SET repl:x 1"]]).ok, true)
			eq(entry(ctx, [[return cache "GET repl:x"]]), "1")
			effect.mode "read"
			eq(entry(ctx, [[return cache "GET repl:x"]]), "1")
			local e = raises("refused", entry, ctx, [[cache "SET repl:x 2"]])
			eq(e.code, "MODE")
			effect.mode "write"
			raises("guard", entry, ctx, [[cache "DEL repl:x"]])
		end)
	end)
	it("postgres", function()
		with("write", { DB }, function(ctx)
			eq(entry(ctx, [[return (db "select 6 * 7 as n")[1].n]]), 42)
			entry(ctx, [[db "create table if not exists repl_x (n int)"]])
			effect.mode "read"
			raises("refused", entry, ctx, [[db "insert into repl_x values (1)"]])
			eq(entry(ctx, [[return #db "select * from repl_x"]]), 0)
			effect.mode "write"
			raises("guard", entry, ctx, [[db "drop table repl_x"]])
			session.objects[session.clients.db]:pass("", "spec")
			entry(ctx, [[db "drop table repl_x"]])
		end)
	end)
	it("http", function()
		local url = "gateway=" .. env "OPSH_NGINX_URL"
		with("write", { url }, function(ctx)
			eq(type(entry(ctx, [[return gateway("/", {expect = "any"})]]).status),
				"number")
			effect.mode "read"
			eq(type(entry(ctx, [[return gateway("/", {expect = "any"})]]).status),
				"number")
			raises("refused", entry, ctx, [[gateway:post("/", {body = "x"})]])
		end)
	end, PLAIN)
	it("local", function()
		with("read", { "orchestrator=local:" }, function(ctx)
			eq(entry(ctx, [[return #orchestrator "services"]]), 0)
			raises("unknown word 'stat'", entry, ctx, [[orchestrator "stat"]])
		end)
	end, PLAIN)
	it("kafka", function()
		with("read", { "events=mock://1" }, function(ctx)
			eq(type(entry(ctx, [[return events "identity"]]).cluster_id), "string")
			raises("unknown word 'laag'", entry, ctx, [[events "laag x"]])
		end)
	end, PLAIN)
end)

describe(":targets", function()
	it("says what is connected, asking nobody", function()
		with("write", { CACHE, "gone=redis://127.0.0.1:1" }, function(ctx)
			local said = ctx.run ":targets"
			ok(said:find "cache%s+redis%s+redis://127.0.0.1:%d+/0%s+not connected")
			entry(ctx, "cache:ping()")
			said = ctx.run ":targets cache"
			ok(said:find "cache .* master%s+connected")
			ok(not said:find "gone")
			raises("there is no target 'cach' %(did you mean 'cache'%?%)", ctx.run,
				":targets cach")
		end)
	end)
	it("asks them with --ping, and says who can't be reached", function()
		with("write", { CACHE, DB, "gone=redis://127.0.0.1:1" }, function(ctx)
			local said = ctx.run ":targets --ping"
			ok(said:find "cache .* master%s+%d+%.%d+ ms%s+connected", said)
			ok(said:find "db .* primary%s+%d+%.%d+ ms%s+connected", said)
			ok(said:find "gone .*cannot connect to '127.0.0.1:1'", said)
			ok(not said:find(env "OPSH_POSTGRES_PASSWORD", 1, true))
		end)
	end)
end)

describe(":connect", function()
	it("says who it is", function()
		with("write", { CACHE }, function(ctx)
			ok(ctx.run(":connect cache"):find(
				"^connected to 'cache' %(127.0.0.1:%d+%): run_id=%x+ db=0 "
				.. "role=master, %d+%.%d+ ms\n$"))
			raises("there is no target 'db'", ctx.run, ":connect db")
		end)
	end)
	it("adds a target, and puts one in the place of another", function()
		with("write", {}, function(ctx, config)
			eq(entry(ctx, "return other"), nil)
			ctx.run(":connect other=" .. env "OPSH_REDIS_URL")
			eq(entry(ctx, "return other:ping()"), "PONG")
			local said = ctx.run(":connect other="
				.. env "OPSH_REDIS_URL":gsub("/0$", "/3"))
			ok(said:find "'other' is another target from here on")
			ok(said:find "db=3")
			eq(config.targets.other.url.db, 3)
			ok(entry(ctx, "return other:identity().db") == 3
				or session.objects[session.clients.other]:identity():find "db=3")
			raises("target name 'Other'", ctx.run, ":connect Other=redis://x")
			raises(":connect: cannot read URL", ctx.run, ":connect x=nothing://y")
		end)
	end)
	it("asks for a password without echo, and keeps it to itself", function()
		local records = with("write", {}, function(ctx)
			local asked
			function ctx.ask(text, opts)
				asked = { text, opts.secret }
				return env "OPSH_POSTGRES_PASSWORD"
			end
			local said = ctx.run((":connect other=postgresql://ops@127.0.0.1:%s"
				.. "/flights"):format(env "OPSH_POSTGRES_PORT"))
			eq(asked, { "password of 'other': ", true })
			ok(said:find "^connected to 'other'")
			eq(entry(ctx, "return other:value 'select current_user'"), "ops")
			ok(not said:find(env "OPSH_POSTGRES_PASSWORD", 1, true))
			function ctx.ask() return nil end
			raises("no password was given", ctx.run,
				":connect third=redis://127.0.0.1:1 --password")
			eq(entry(ctx, "return third"), nil)
		end)
		ok(not records.text:find(env "OPSH_POSTGRES_PASSWORD", 1, true))
	end)
	it("leaves no password of its line in the history or the record", function()
		local history = require "repl.history"
		local function mask(text) return text end
		for _, url in ipairs { "redis://hunter2@host:6379/0", "rediss://:pw@host",
			"postgresql://ops:pw@host/x", "http://ops:pw@host" } do
			eq({ history.keeps(":connect x=" .. url, mask) }, { false, "secret" })
		end
		for _, url in ipairs { "redis://host:6379/0", "postgresql://ops@host/x",
			"redis://ops:@host" } do
			eq(history.keeps(":connect x=" .. url, mask), true, url)
		end
	end)
	it("takes a target that has changed as it is, on record", function()
		local records = with("write", { CACHE }, function(ctx)
			effect.session(true)
			local _ <close> = setmetatable({}, { __close = function()
				effect.session(false)
			end })
			entry(ctx, "cache:ping()")
			local object = session.objects[session.clients.cache]
			local now, role = object:identity(), object:role()
			testing.seen(object, "run_id=before db=0", "slave")
			testing.seen(object, now, role)
			eq(entry(ctx, "return cache:ping()"), "PONG")
			local e = raises("changed", entry, ctx, [[cache:set("repl:x", 1)]])
			eq(e.hint, "look at the target; :connect cache takes it as it is")
			ok(ctx.run(":targets"):find "changed: writes are stopped")
			ok(ctx.run(":connect cache"):find "taken as it is now; it was run_id=")
			entry(ctx, [[cache:set("repl:x", 1)]])
		end)
		local accepted = journal.of(records, "accepted")[1]
		eq({ accepted.target, accepted.role }, { "cache", "master" })
		ok(accepted.identity:find "^run_id=%x+ db=0")
	end)
end)

describe("a connection that is lost", function()
	local function object_of(name)
		return session.objects[session.clients[name]]
	end
	local function wait_lost(object)
		for _ = 1, 500 do
			if object:lost() then return true end
			require("opsh.task").sleep(0.01)
		end
	end
	it("redis: is known, is back with the next read, writes go on", function()
		with("write", { CACHE, "other=" .. env "OPSH_REDIS_URL" }, function(ctx)
			local id = entry(ctx, "return cache:client_id()")
			eq(object_of "cache":lost(), false)
			entry(ctx, "other:ping()")
			session.objects[session.clients.other]:pass("", "spec")
			entry(ctx, ([[other:client_kill("ID", %d)]]):format(id))
			ok(wait_lost(object_of "cache"))
			ok(ctx.run(":targets cache"):find "connection lost")
			eq(entry(ctx, "return cache:ping()"), "PONG")
			eq(object_of "cache":lost(), false)
			eq(object_of "cache":changed(), nil)
			eq(entry(ctx, [[return cache:set("repl:x", 1).ok]]), true)
		end)
	end)
	it("postgres: the same", function()
		with("write", { DB, (DB:gsub("^db=", "other=")) }, function(ctx)
			local pid = entry(ctx, "return db:value 'select pg_backend_pid()'")
			session.client(session.config().targets.other)
			object_of "other":pass("", "spec")
			entry(ctx, ([[other:exec("select pg_terminate_backend(%d)")]]):format(
				pid))
			ok(wait_lost(object_of "db"))
			ok(ctx.run(":targets db"):find "connection lost")
			eq(entry(ctx, "return db:value 'select 1'"), 1)
			eq({ object_of "db":lost(), object_of "db":changed() }, { false })
			entry(ctx, [[db:exec "create temporary table repl_y (n int)"]])
			-- another timeline: what a failover leaves
			local now, role = object_of "db":identity(), object_of "db":role()
			testing.seen(object_of "db", now:gsub("timeline=%d+", "timeline=99"),
				role)
			eq(entry(ctx, "return db:value 'select 1'"), 1)
			raises("changed", entry, ctx,
				[[db:exec "create temporary table repl_z (n int)"]])
			ok(ctx.run(":connect db"):find "taken as it is now; it was system=")
			entry(ctx, [[db:exec "create temporary table repl_z (n int)"]])
		end)
	end)
	it("kafka: all brokers down, and one is back", function()
		local mock = require "opsh.c.kafka"
		with("read", { "events=mock://1" }, function(ctx)
			entry(ctx, [[events "identity"]])
			local client, object = session.clients.events, object_of "events"
			mock.mock_broker(client, 1, false)
			ok(wait_lost(object))
			ok(ctx.run(":targets events"):find "connection lost")
			mock.mock_broker(client, 1, true)
			entry(ctx, [[return events "topics"]])
			eq({ object:lost(), object:changed() }, { false })
		end)
	end, PLAIN)
end)
