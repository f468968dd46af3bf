-- pg_care: the modules below the playbooks that look after a Postgres, on a real
-- server: health, statements, explain, indexes, vacuum, settings. Owns its tables,
-- which go with each test; no setting of the server is left changed.
local P = dofile "tests/lib/postgres.lua"
local explain = require "opsh.postgres.explain"
local health = require "opsh.postgres.health"
local indexes = require "opsh.postgres.indexes"
local settings = require "opsh.postgres.settings"
local statements = require "opsh.postgres.statements"
local vacuum = require "opsh.postgres.vacuum"

-- Runs f(db) with a table of its own.
local function with_table(name, f)
	return P.on(function(db)
		db:exec("drop table if exists " .. name)
		db:exec(("create table %s as select n as id, n %% 7 as k from "
			.. "generate_series(1, 300) n"):format(name))
		local _ <close> = setmetatable({}, { __close = function()
			db:exec("drop table " .. name)
		end })
		return f(db)
	end)
end

local function named(rows, key, value)
	for _, row in ipairs(rows) do
		if row[key] == value then return row end
	end
end

describe("postgres health", function()
	it("looks, and says what is wrong", P.on(function(db)
		local rows = health.look(db)
		eq(#rows, 14)
		eq(named(rows, "check", "replication").state, "ok")
		rows = health.look(db, { connections = { 0.1, 0.2 } })
		eq(rows[1].check, "connections")
		eq(rows[1].state, "critical")
		ok(rows[1].next:find "terminate")
		eq(health.of(rows, "critical"), { "connections" })
		ok(health.verdict(rows):find "^1 critical: connections")
		local e = raises("server", health.demand, rows)
		ok(e.message:find "connections")
	end))

	it("demands as strictly as asked", function()
		local rows = { { check = "slots", state = "warning" },
			{ check = "size", state = "ok" } }
		health.demand(rows)
		raises("server", health.demand, rows, true)
		eq(health.verdict { { check = "size", state = "ok" } }, "all 1 well")
		eq(health.limits.connections, { 80, 95 })
	end)
end)

describe("postgres statements", function()
	it("top has what was called", with_table("care_s", function(db)
		for _ = 1, 3 do db:query "select count(*) as care from care_s" end
		eq(statements.find(db).time, "_exec_time")
		local found
		for _, s in ipairs(statements.top(db, { by = "calls", limit = 500,
			database = "flights" })) do
			if s.query:find "as care from care_s" then found = s end
		end
		ok(found.calls >= 3)
		eq(found.rows, found.calls)
		eq(statements.top(db, { queryid = found.queryid })[1].queryid,
			found.queryid)
		local row = statements.rows({ found }, 20)[1]
		eq(utf8.len(row.query), 20)
		eq(row.per_call, "1")
		raises("order", statements.top, db, { by = "colour" })
		eq(statements.orders.mean, "mean_ms")
	end))
end)

describe("postgres explain", function()
	it("generic plans a read for all values", with_table("care_e", function(db)
		local plan, types = explain.generic(db,
			"select * from care_e where id = $1 and k < $2")
		eq(types, { "integer", "integer" })
		local row = explain.rows(plan)[1]
		ok(row.node:find "Seq Scan on care_e")
		ok(row.detail:find "$1", 1, true)
		eq(select(2, explain.generic(db, "select 1")), {})
		eq(db:value "show plan_cache_mode", "auto")
	end))

	it("plan takes values; analyze runs a read", with_table("care_e", function(db)
		local plan = explain.plan(db, "select * from care_e where id = $1", { "7" })
		ok(explain.rows(plan)[1].detail:find("7", 1, true))
		plan = explain.analyze(db, "select * from care_e where id <= $1", { "7" })
		eq(explain.rows(plan)[1].actual, 7)
		ok(explain.notes(db, plan)[1]:find "postgres/maintain table=care_e")
		db:exec "analyze care_e"
		eq(explain.notes(db, explain.analyze(db, "select * from care_e")), {})
	end))

	it("analyze rolls a write back", with_table("care_e", function(db)
		raises("usage", explain.analyze, db, "delete from care_e")
		local plan = explain.analyze(db, "delete from care_e", nil,
			{ write = true })
		eq(explain.rows(plan)[2].actual, 300)
		eq(db:value "select count(*) from care_e", 300)
		raises("server", explain.analyze, db, "delete from care_e where id = 1 / 0",
			nil, { write = true })
	end))

	it("judge says what it is", function()
		eq(explain.judge("select $1, $2").parameters, 2)
		eq(explain.judge("delete from x").class, "destructive")
		ok(explain.judge("with a as (select 1) select * from a").explains)
		ok(not explain.judge("vacuum x").explains)
		ok(not explain.judge("select 1; select 2").explains)
		ok(explain.judge("selec").error)
	end)
end)

describe("postgres indexes", function()
	it("finds them", with_table("care_i", function(db)
		db:exec "create index care_i_k on care_i (k)"
		db:exec "create index care_i_k2 on care_i (k)"
		db:exec "create index care_i_kd on care_i (k desc)"
		db:exec "create unique index care_i_id on care_i (id)"
		db:exec "analyze care_i"
		local row = named(indexes.duplicates(db), "index", "public.care_i_k2")
		eq(row.same_as, "public.care_i_k")
		eq(named(indexes.duplicates(db), "table", "care_i").fix,
			"drop index concurrently public.care_i_k2")
		eq(named(indexes.duplicates(db), "index", "public.care_i_kd"), nil)
		ok(named(indexes.unused(db, 0, 0), "index", "public.care_i_kd"))
		eq(named(indexes.unused(db, 0, 0), "index", "public.care_i_id"), nil)
		eq(named(indexes.unused(db, 0, 1 << 40), "table", "care_i"), nil)
		eq(named(indexes.invalid(db), "table", "care_i"), nil)
		ok(#indexes.missing(db, 1, 1) >= 0)
		for _, b in ipairs(indexes.bloat(db, 0, 0)) do
			ok(b.wasted >= 0 and b.wasted < b.bytes)
		end
		local seconds = indexes.counted_for(db)
		ok(seconds == nil or seconds > 0)
	end))
end)

describe("postgres vacuum", function()
	it("runs, and is done", with_table("care_v", function(db)
		db:exec "delete from care_v where id > 100"
		local t = vacuum.tables(db, { "care_v" })[1]
		eq(t.name, "public.care_v")
		eq(t.allowed, true)
		vacuum.run(db, t, { analyze = true, lock_wait = 5 })
		local done, now = vacuum.done(db, t)
		ok(done)
		eq(now.dead, 0)
		vacuum.run(db, t, { full = true, lock_wait = 5 })
		ok(vacuum.done(db, now, true))
		raises("check", vacuum.tables, db, { "care_none" })
	end))

	it("statement has the words asked for", function()
		eq(vacuum.statement("x", {}), "vacuum x")
		eq(vacuum.statement("x", { full = true, analyze = true }),
			"vacuum (full, analyze) x")
	end)

	it("gives up a table that is held", with_table("care_v", function(db)
		local t = vacuum.tables(db, { "care_v" })[1]
		db:transaction(function(tx)
			tx:exec "lock table care_v in share mode"
			local e = raises("check", vacuum.run, db, t,
				{ lock_wait = 0.1, interval = 0.05 })
			eq(e.code, "LOCKED")
			ok(e.message:find("held by %d+ of postgres"))
		end)
	end))
end)

describe("postgres settings", function()
	it("get tells all of one", P.on(function(db)
		local s = settings.get(db, "Work_Mem")
		eq(s.name, "work_mem")
		eq(s.value, "4MB")
		eq(s.auto, nil)
		eq(settings.takes(s), "reload")
		eq(settings.takes(settings.get(db, "max_connections")), "restart")
		eq(settings.takes(settings.get(db, "block_size")), "never")
		eq(settings.get(db, "care_nothing"), nil)
		ok(settings.similar(db, "work_memory")[1])
		db:exec "alter role ops set work_mem = '5MB'"
		eq(settings.get(db, "work_mem").over, { { where = "role ops",
			value = "5MB" } })
		db:exec "alter role ops reset work_mem"
	end))

	it("wrong finds what can't be", P.on(function(db)
		local memory = settings.get(db, "work_mem")
		eq(settings.wrong(memory, "64MB"), nil)
		eq(settings.wrong(memory, "4096"), nil)
		ok(settings.wrong(memory, "much"))
		ok(settings.wrong(memory, "1"):find "64")
		ok(settings.wrong(settings.get(db, "fsync"), "maybe"))
		eq(settings.wrong(settings.get(db, "wal_level"), "replica"), nil)
		ok(settings.wrong(settings.get(db, "wal_level"), "much"):find "minimal")
		ok(settings.dangers.fsync)
	end))

	it("statement quotes", function()
		eq(settings.statement("work_mem", "8MB"),
			[[alter system set "work_mem" = '8MB']])
		eq(settings.statement("a.b", "o'x"), [[alter system set "a"."b" = 'o''x']])
		eq(settings.statement("search_path", "a, b"),
			[[alter system set "search_path" = 'a', 'b']])
		eq(settings.statement "work_mem", [[alter system reset "work_mem"]])
	end)
end)
