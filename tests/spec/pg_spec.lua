-- pg: statements on a real server: reads, writes, transactions, their classes,
-- what a plan withholds, and how it is said when one fails. Against the server of
-- the stack; owns its tables, which go with each test.
local P = dofile "tests/lib/postgres.lua"
local postgres = require "opsh.postgres"

local env = os.getenv

describe("postgres query", function()
	it("gives rows that are decoded when looked at", P.on(function(db)
		local rows = db:query [[select n, n::text as t, null as x
			from generate_series(1, 3) n]]
		eq(#rows, 3)
		eq(rows.columns, { "n", "t", "x" })
		eq(rows.types, { "int4", "text", "text" })
		eq(rows[2].n, 2)
		eq(rows[2][1], 2)
		eq(rows[3].t, "3")
		eq(rows[1].x, nil)
		eq(rows[4], nil)
		eq(rows.command, "SELECT 3")
		local seen = {}
		for i, row in ipairs(rows) do seen[i] = row.n end
		eq(seen, { 1, 2, 3 })
		local names = {}
		for name, value in pairs(rows[2]) do
			names[#names + 1] = name .. "=" .. tostring(value)
		end
		eq(names, { "n=2", "t=2", "x=nil" })
		raises("usage", function() return rows[1].nosuch end)
		eq(postgres.plain(rows)[3].n, 3)
		eq(postgres.list(rows)[3], { n = 3, t = "3" })
		ok(require("opsh.table").format(rows):find("(3 rows)", 1, true))
	end))

	it("prints NULL as such, and the columns of no rows", P.on(function(db)
		local format = require("opsh.table").format
		eq(format(db:query "select 1 as z, null as a", { width = false }),
			"z  a\n-  ----\n1  NULL\n(1 row)\n")
		eq(format(db:query "select 1 as n where false", { width = false }),
			"n\n-\n(0 rows)\n")
		eq(format(db:one "select 1 as z, null as a", { width = false }),
			"z  1\na  NULL\n")
	end))

	it("binds parameters", P.on(function(db)
		eq(db:value("select $1::int + $2", 40, 2), 42)
		eq(db:value("select $1::text is null", nil), true)
		eq(db:one("select $1::text as a", "o'hara").a, "o'hara")
		eq(db:one "select 1 where false", nil)
		eq(db:value "select 1 where false", nil)
		eq(db:value("select 1", { timeout = 5 }), 1)
		raises("usage", db.query, db, "select $1::int")
		raises("usage", db.query, db, "select $1::int", 1, 2)
		raises("unknown option", db.query, db, "select 1", { tmeout = 1 })
	end))

	it("keeps statements by their text", P.on(function(db)
		for i = 1, 100 do
			eq(db:value("select $1::int * 2", i), i * 2)
			eq(db:value("select " .. i), i)
		end
		db:exec "create temp table kept(a int)"
		eq(#db:query "select * from kept", 0)
	end))

	it("refuses what is no read", P.on(function(db)
		for _, sql in ipairs { "delete from pg_class", "select pg_sleep(0), "
			.. "pg_terminate_backend(1)", "with x as (insert into t values(1) "
			.. "returning 1) select * from x", "select nextval('s')" } do
			local e = raises("usage", db.query, db, sql)
			ok(e.message:find("use exec", 1, true), e.message)
		end
		raises("usage", db.query, db, "begin")
		raises("usage", db.query, db, "select 1; select 2")
		raises("usage", db.query, db, "")
	end))

	it("says what failed, and where", P.on(function(db)
		local e = raises("server", db.query, db, "select a,\n  1/0 from nosuch")
		eq(e.code, "42P01")
		eq(e.outcome, "failed")
		eq(e.severity, "ERROR")
		ok(e.sql:find "line 2:   1/0 from nosuch\n *%^$", e.sql)
		e = raises("usage", db.query, db, "selec 1")
		eq(e.code, "42601")
		eq(db:value "select 1", 1)
		e = raises("server", db.query, db, "select 1/0")
		eq(e.code, "22012")
	end))
end)

describe("postgres exec", function()
	it("writes, and says how much", P.on(function(db)
		db:exec "drop table if exists w"
		eq(db:exec("create table w(i int primary key, s text)").ok, true)
		eq(db:exec("insert into w select n, 'x' from generate_series(1, 5) n")
			.count, 5)
		local r = db:exec("update w set s = $1 where i > $2 returning *", "y", 3)
		eq(r.count, 2)
		eq(r.rows[1].s, "y")
		eq(r.command, "UPDATE 2")
		eq(db "select count(*) from w"[1][1], 5)
		eq(db("delete from w where i = $1", 1).count, 1)
		local e = raises("server", db.exec, db, "insert into w values (2, 'z')")
		eq(e.code, "23505")
		eq(e.outcome, "failed")
		ok(e.detail:find("already exists", 1, true))
		db:exec "vacuum w"
		db:exec "drop table w"
	end))

	it("asks again who it is after one that ran outside a transaction",
		P.on(function(db)
			db:exec "create table outside (i int)"
			db:exec [[create or replace procedure late() language plpgsql as
				$$ begin perform pg_sleep(5); end $$]]
			db:exec "vacuum outside"
			raises("server", db.exec, db, "vacuum nowhere")
			raises("timeout", db.exec, db, "call late()", { timeout = 0.1 })
			raises("timeout", function()
				for _ in db:rows("select pg_sleep(5)", { timeout = 0.1 }) do end
			end)
			require("opsh.task").sleep(2.1)	-- an identity counts for 2 s
			eq(db:exec("insert into outside values (1)").count, 1)
			db:exec "drop table outside"
			db:exec "drop procedure late"
		end), { plain = true })

	it("is withheld in a plan", P.on(function(db)
		require("opsh.c.effect").mode "plan"
		db:exec "create table planned(i int)"
		eq(db:exec("insert into planned values (1)", { expect = { count = 1 } })
			.count, 1)
		eq(db:value "select to_regclass('planned') is null", true)
		raises("withheld", function()
			return db:exec "truncate planned".count + 1
		end)
	end))
end)

describe("postgres calls that fail", function()
	it("give their connection back", function()
		local url = os.getenv "OPSH_POSTGRES_SUPER_URL"
		P.with(url, { pool = 1 }, function(db)
			for _ = 1, 3 do
				raises("server", db.exec, db, "select pg_notify('', 'x')",
					{ timeout = 5 })
				raises("timeout", db.exec, db,
					"select pg_notify('x', pg_sleep(9)::text)",
					{ timeout = 0.1 })
			end
			eq(db:value "select 1", 1)
		end)
	end)

	it("that take effect at once are sent as they are", function()
		eq(postgres.judge("select pg_promote()").block, "bare")
		eq(postgres.judge("select pg_reload_conf()").block, "bare")
		eq(postgres.judge("select pg_notify('a', 'b')").block, "any")
	end)
end)

describe("postgres transaction", function()
	it("commits, and rolls back what raises", P.on(function(db)
		db:exec "drop table if exists x"
		db:exec "create table x(i int)"
		eq(db:transaction(function(tx)
			tx:exec "insert into x values (1)"
			eq(tx:value "select count(*) from x", 1)
			raises("server", tx.query, tx, "select 1/0")
			eq(tx:one("select i from x").i, 1)
			return "done"
		end), "done")
		raises("no", db.transaction, db, function(tx)
			tx:exec "insert into x values (2)"
			error("no", 0)
		end)
		eq(db:value "select count(*) from x", 1)
		local e = raises("server", db.transaction, db, function(tx)
			pcall(tx.exec, tx, "insert into x values (1/0)")
		end)
		eq(e.code, "25P02")
		raises("usage", db.transaction, db, function(tx)
			tx:query "insert into x values (3)"
		end)
		local kept
		db:transaction(function(tx) kept = tx end)
		raises("usage", kept.query, kept, "select 1")
		db:exec "drop table x"
	end))

	it("keeps SET LOCAL for what follows, and nothing after it", P.on(function(db)
		db:transaction(function(tx)
			tx:exec "set local work_mem = '7MB'"
			tx:exec "set local plan_cache_mode = force_generic_plan"
			eq(tx:value "show work_mem", "7MB")
			tx:query "prepare opsh_spec as select 1 where 1 = $1"
			ok(tx:value "explain execute opsh_spec(null)":find "Result")
			raises("server", tx.query, tx, "select 1/0")
			eq(tx:value "show work_mem", "7MB")
		end, { readonly = true })
		raises("server", db.transaction, db, function(tx)
			pcall(tx.exec, tx, "set local work_mem = 'x'")
		end)
		eq(db:value "show work_mem", "4MB")
	end))

	it("is tried again when others were in the way", P.on(function(db)
		local n = 0
		raises("server", db.transaction, db, function(tx)
			n = n + 1
			tx:exec "do $$ begin raise exception 'x' using errcode = '40001'; end $$"
		end, { retry = 2 })
		eq(n, 3)
	end))
end)

describe("postgres verb", function()
	it("is the function's that makes a SELECT destructive", function()
		P.with(env "OPSH_POSTGRES_SUPER_URL", { mode = "read" }, function(db)
			eq(raises("refused", db.exec, db,
				"select pg_terminate_backend(1)").op, "pg_terminate_backend")
			eq(raises("refused", db.exec, db,
				"select pg_reload_conf()").op, "SELECT")
			eq(raises("refused", db.exec, db, "drop table x").op,
				"DROP TABLE")
		end)
	end)
end)

describe("postgres identity", function()
	it("says who it is", P.on(function(db, target)
		local id = db:identity()
		eq(id.role, "primary")
		eq(id.timeline, 1)
		eq(id.recovery, false)
		eq(id.database, "flights")
		eq(target:role(), "primary")
		ok(target:identity():find("system=" .. id.system_identifier, 1, true))
		eq(postgres.judge("drop table x").class, "destructive")
	end))

	it("logs in as others, and says why it can't", function()
		P.with(env "OPSH_POSTGRES_URL", nil, function(db)
			eq(db:value "select current_user", "ops")
		end)
		P.with((env "OPSH_POSTGRES_URL":gsub(":[^:@]*@", ":wrong-password@")),
			nil, function(db)
			local e = raises("auth", db.query, db, "select 1")
			eq(e.code, "28P01")
			eq(e.phase, "auth")
			eq(e.outcome, "failed")
		end)
		P.with("postgresql://127.0.0.1:1/x", nil, function(db)
			local e = raises("connect", db.query, db, "select 1")
			eq(e.code, "ECONNREFUSED")
			ok(e.message:find("127.0.0.1:1", 1, true), e.message)
		end)
	end)
end)

describe("postgres transactions that only read", function()
	it("begin at their level, on a new connection too", P.on(function(db)
		local level = db:transaction(function(tx)
			return tx:value "show transaction_isolation"
		end, { isolation = "repeatable read", readonly = true })
		eq(level, "repeatable read")
	end))

	it("export a snapshot that others can take", P.on(function(db)
		db:transaction(function(tx)
			raises("25001", tx.value, tx, "select pg_export_snapshot()")
			local id = tx:value("select pg_export_snapshot()",
				{ savepoint = false })
			ok(id:match "^%x+%-%x+%-%d+$", id)
			tx:query("set local row_security = off", { savepoint = false })
			eq(tx:value "show row_security", "off")
		end, { isolation = "repeatable read", readonly = true })
		raises("usage", db.query, db, "select 1", { savepoint = false })
		db:transaction(function(tx)
			raises("usage", tx.query, tx, "select 1", { savepoint = false })
		end)
	end))
end)

describe("postgres on the same server", function()
	it("gives programs where it is", P.on(function(db)
		local secret = require "opsh.secret"
		local env_of = db:environment()
		eq(env_of.PGHOST, "127.0.0.1")
		eq(env_of.PGPORT, env "OPSH_POSTGRES_PORT")
		eq(env_of.PGDATABASE, "flights")
		eq(env_of.PGUSER, "postgres")
		ok(secret.is(env_of.PGPASSWORD))
		eq(db:environment("a b").PGDATABASE, "a b")
	end))

	it("opens another database", P.on(function(db)
		local other = db:database "postgres"
		local _ <close> = setmetatable({}, { __close = function()
			other:close()
		end })
		eq(other:value "select current_database()", "postgres")
		eq(db:value "select current_database()", "flights")
	end))
end)
