-- pg_fault: connections that are cut, cancels, deadlines, the wrong server, what
-- became of a commit whose reply was lost. Through the fault proxy, plain TCP:
-- the proxy must see the words. Owns its tables.
local P = dofile "tests/lib/postgres.lua"
local R = dofile "tests/lib/redis.lua"
local task = require "opsh.task"

local env = os.getenv
local PLAIN <const> = { plain = true }

local function proxy(args)
	return R.tool("proxy.py", "--proto raw --to 127.0.0.1:"
		.. env "OPSH_POSTGRES_PORT" .. " " .. (args or ""))
end

-- The superuser by way of the proxy, without TLS.
local function through(p, opts, f)
	local url = (env "OPSH_POSTGRES_SUPER_URL"):gsub("@[^/]*/", "@127.0.0.1:"
		.. p.port .. "/") .. "?sslmode=disable"
	return P.with(url, opts, f)
end

local function backends(db, pattern)
	return db:value([[select count(*) from pg_stat_activity where query like $1
		and pid <> pg_backend_pid() and state <> 'idle']], pattern)
end

local function gone(db, pattern)
	for _ = 1, 100 do
		if backends(db, pattern) == 0 then return true end
		task.sleep(0.02)
	end
	return false
end

describe("postgres commit", function()
	local function try(say, answer)
		local p <close> = proxy()
		return P.with(env "OPSH_POSTGRES_SUPER_URL", nil, function(watch)
			watch:exec "drop table if exists lost"
			watch:exec "create table lost(i int)"
			return through(p, { timeout = 8 }, function(db)
				db:exec "insert into lost values (0)"
				p:tell(say)
				local fine, e = pcall(db.exec, db,
					"insert into lost values (1)")
				p:tell "pass"
				local n = watch:value "select count(*) from lost where i = 1"
				answer(fine, e, n, db)
				watch:exec "drop table lost"
			end)
		end)
	end

	it("is probed when its reply is lost: it was applied", function()
		try("drop-reply match=commit", function(fine, e, n)
			ok(fine, tostring(e))
			eq(n, 1)
		end)
	end, PLAIN)

	it("is probed when it never arrived: it was not", function()
		try("drop-request match=commit", function(fine, e, n)
			eq(fine, false)
			eq(e.outcome, "failed", e.message)
			ok(e.message:find("not applied", 1, true), e.message)
			eq(n, 0)
		end)
	end, PLAIN)

	it("is unknown when nobody can be asked", function()
		local p <close> = proxy()
		P.with(env "OPSH_POSTGRES_SUPER_URL", nil, function(watch)
			local url = (env "OPSH_POSTGRES_URL"):gsub("@[^/]*/",
				"@127.0.0.1:" .. p.port .. "/") .. "?sslmode=disable"
			watch:exec "drop table if exists lost"
			watch:exec "create table lost(i int)"
			watch:exec "grant all on lost to ops"
			P.with(url, nil, function(db)
				eq(db:value "select 1", 1)
				watch:exec "alter role ops nologin"
				p:tell "drop-reply match=commit"
				local e = raises("unknown", db.exec, db,
					"insert into lost values (1)")
				watch:exec "alter role ops login"
				eq(e.outcome, "unknown")
				eq(e.op, "INSERT")
				ok(e.message:find("not permitted to log in", 1, true),
					e.message)
			end)
			watch:exec "drop table lost"
		end)
	end, PLAIN)

	it("of a transaction is probed too", function()
		try("pass", function(_, _, _, db)
			local p2 <close> = proxy()
			through(p2, { timeout = 8 }, function(other)
				other:value "select 1"
				p2:tell "drop-reply match=commit"
				eq(other:transaction(function(tx)
					tx:exec "insert into lost values (2)"
					return "applied"
				end), "applied")
				p2:tell "pass"
			end)
			eq(db:value "select count(*) from lost where i = 2", 1)
		end)
	end, PLAIN)

	it("was not sent when the statement is lost", function()
		try("drop-reply match=insert.into.lost times=9", function(fine, e, n)
			eq(fine, false)
			eq(e.outcome, "failed", e.message)
			eq(n, 0)
		end)
	end, PLAIN)
end)

describe("postgres reads", function()
	it("are sent once more when the connection is lost", function()
		local p <close> = proxy()
		through(p, nil, function(db)
			eq(db:value "select 1", 1)
			p:tell "close"
			eq(db:value "select 2", 2)
			p:tell "drop-reply match=select.3"
			eq(db:value "select 3", 3)
			p:tell "drop-reply match=select.4 times=9"
			local e = raises("connect", db.value, db, "select 4")
			eq(e.outcome, "failed")
			p:tell "pass"
			eq(db:value "select 5", 5)
			raises("connect", db.transaction, db, function(tx)
				tx:value "select 1"
				p:tell "close"
				tx:value "select 2"
			end)
			eq(db:value "select 6", 6)
		end)
	end, PLAIN)

	it("meet what answers nothing", function()
		for mode, phase in pairs { silent = "auth", refuse = "" } do
			local p <close> = proxy("--mode " .. mode)
			through(p, { connect_timeout = 0.5 }, function(db)
				local e = raises("connect", db.value, db, "select 1")
				eq(e.outcome, "failed")
				ok(phase == "" or e.phase == phase, e.phase)
				ok(e.message:find("127.0.0.1:" .. p.port, 1, true), e.message)
			end)
		end
	end, PLAIN)
end)

describe("postgres deadline", function()
	it("cancels on the server", P.on(function(db)
		local e = raises("timeout", db.query, db,
			"select pg_sleep(30), 'deadline'", { timeout = 0.2 })
		eq(e.outcome, "failed")
		ok(e.message:find("0.2 s", 1, true), e.message)
		ok(gone(db, "%'deadline'%"))
		db:exec "drop table if exists dl"
		db:exec "create table dl(i int)"
		e = raises("timeout", db.exec, db,
			"insert into dl select 1 from pg_sleep(30)", { timeout = 0.2 })
		eq(e.outcome, "failed")
		eq(db:value "select count(*) from dl", 0)
		db:exec "drop table dl"
	end), PLAIN)

	it("is not the server's own", P.on(function(db)
		local e = raises("server", db.transaction, db, function(tx)
			tx:exec "set local statement_timeout = 50"
			tx:query "select pg_sleep(5)"
		end)
		eq(e.code, "57014")
		ok(e.hint:find("statement_timeout", 1, true))
	end), PLAIN)

	it("cancels with the task, and from another", P.on(function(db)
		raises("timeout", task.timeout, 0.2, function()
			db:query "select pg_sleep(30), 'task'"
		end)
		ok(gone(db, "%'task'%"))
		task.spawn(function()
			task.sleep(0.1)
			eq(db:cancel(), 1)
		end)
		local e = raises("server", db.query, db, "select pg_sleep(30)")
		eq(e.code, "57014")
		raises("timeout", task.timeout, 0.2, function()
			for _ in db:rows "select pg_sleep(30), 'rows'" do end
		end)
		ok(gone(db, "%'rows'%"))
		eq(db:value "select 1", 1)
	end), PLAIN)

	it("closes what does not answer a cancel", function()
		local p <close> = proxy()
		through(p, nil, function(db)
			eq(db:value "select 1", 1)
			p:tell "freeze"
			local before = os.time()
			local e = raises("timeout", db.value, db, "select 2",
				{ timeout = 0.3 })
			ok(e.message:find("connection was closed", 1, true), e.message)
			ok(os.time() - before <= 4)
			p:tell "pass"
			eq(db:value "select 3", 3)
		end)
	end, PLAIN)
end)

describe("postgres session", function()
	it("that the server ends is replaced", P.on(function(db)
		local pid = db:value "select pg_backend_pid()"
		P.with(env "OPSH_POSTGRES_SUPER_URL", nil, function(other)
			other:exec("select pg_terminate_backend($1)", pid)
			task.sleep(0.1)
		end)
		ok(db:value "select pg_backend_pid()" ~= pid)
	end), PLAIN)

	it("is not changed behind the others' back", P.on(function(db)
		for _, sql in ipairs { "set statement_timeout = 1", "listen x",
			"select pg_advisory_lock(1)" } do
			local e = raises("usage", db.exec, db, sql)
			ok(e.hint:find("transaction()", 1, true))
		end
		db:transaction(function(tx)
			tx:exec "set statement_timeout = 77"
			eq(tx:value "show statement_timeout", "77ms")
		end)
		eq(db:value "show statement_timeout", "0")
	end))

	it("gives notices, not without bound", P.on(function(db)
		local r = db:exec [[do $$ begin
			raise notice 'one'; raise warning 'two'; end $$]]
		eq(r.notices, { "NOTICE: one", "WARNING: two" })
		r = db:exec [[do $$ begin for i in 1..2000 loop
			raise notice '%', repeat('x', 1000); end loop; end $$]]
		ok(#r.notices < 70)
		ok(r.notices[#r.notices]:find("more are not kept", 1, true))
	end))

	it("survives a changed table under a prepared statement", P.on(function(db)
		db:exec "drop table if exists ch"
		db:exec "create table ch(a int)"
		eq(#db:query "select * from ch", 0)
		P.with(env "OPSH_POSTGRES_SUPER_URL", nil, function(other)
			other:exec "alter table ch add b text"
			other:exec "insert into ch values (1, 'b')"
		end)
		eq(db:one("select * from ch").b, "b")
		db:exec "drop table ch"
	end))
end)
