-- pg_sql: SQL judged before it is sent, with the server as the witness: each read
-- of the corpus runs READ ONLY, no write of it reaches the server's log from
-- query, in read mode or in a plan, nor anything that leaks through READ ONLY.
-- Owns a database that goes with the test.
local P = dofile "tests/lib/postgres.lua"
local effect = require "opsh.c.effect"
local postgres = require "opsh.postgres"
local corpus = dofile "tests/spec/sql_corpus.lua"

local super = os.getenv "OPSH_POSTGRES_SUPER_URL"
local log = os.getenv "OPSH_POSTGRES_LOG"

-- The statements of the set-up: each ends with its line.
local function statements(text)
	local out = {}
	for one in (text .. "\n"):gmatch "(.-);\n" do out[#out + 1] = one end
	return out
end

-- f(client) on a database with what the corpus names.
local function on_corpus(f)
	return P.on(function(db)
		db:exec "drop database if exists sql_corpus with (force)"
		db:exec "create database sql_corpus"
		local _ <close> = setmetatable({}, { __close = function()
			effect.mode "write"
			db:exec "drop database sql_corpus with (force)"
		end })
		return P.with((super:gsub("/flights$", "/sql_corpus")), nil,
			function(own)
				for _, sql in ipairs(statements(corpus.setup)) do
					own:exec(sql)
				end
				return f(own)
			end)
	end)
end

-- What the server's log gets while f runs.
local function logged(f)
	local file <close> = assert(io.open(log, "rb"))
	file:seek "end"
	f()
	return file:read "a"
end

-- The words of it, as a log line has them: lines in the log begin with tabs.
local function in_log(text, sql)
	return text:gsub("\n\t", "\n"):find(sql, 1, true) ~= nil
end

local function texts(...)
	local out = {}
	for _, list in ipairs { ... } do
		for _, entry in ipairs(corpus[list]) do
			out[#out + 1] = type(entry) == "table" and entry[1] or entry
		end
	end
	return out
end

describe("postgres.judge", function()
	it("says what a statement is", function()
		local v = postgres.judge [[with d as (delete from s.t where id = $2
			returning *) select f(id), count(*) from d, "Odd" where a === 1]]
		eq(v.class, "write")
		eq(v.tags, { "SELECT" })
		eq(v.relations, { "s.t", '"Odd"' })
		eq(v.functions, { "f" })
		eq(v.operators, { "===" })
		eq(v.parameters, 2)
		eq(v.statements, 1)
		eq(v.block, "any")
		ok(v.why:find "DELETE")
	end)

	it("says where a statement can't be read", function()
		local v = postgres.judge "select 'é' fro m x"
		eq(v.error, 'syntax error at or near "m"')
		eq(v.error_at, 16)
		eq(v.class, "write")
		eq(postgres.judge("drop it nicely").class, "destructive")
	end)

	it("knows what needs no transaction block", function()
		eq(postgres.judge("vacuum t").block, "outside")
		eq(postgres.judge("create index concurrently on t (a)").block,
			"outside")
		eq(postgres.judge("reindex table t").block, "bare")
		eq(postgres.judge("insert into t values (1)").block, "any")
		ok(postgres.judge("begin").transaction)
		ok(postgres.judge("set role x").escape)
		ok(postgres.judge("select pg_advisory_lock(1)").locks)
	end)

	it("judges the corpus right", function()
		for _, class in ipairs { "read", "write", "destructive" } do
			ok(#corpus[class] >= 60)
			for _, sql in ipairs(corpus[class]) do
				eq(sql .. ": " .. postgres.judge(sql).class,
					sql .. ": " .. class)
			end
		end
		for _, leak in ipairs(corpus.leaks) do
			eq(leak[1] .. ": " .. postgres.judge(leak[1]).class,
				leak[1] .. ": " .. leak.class)
		end
	end, { plain = true })
end)

describe("postgres, judged by the server,", function()
	it("gives a refused statement's connection back at once", P.on(
		function(db)
		local pid = db:value "select pg_backend_pid()"
		for _ = 1, 40 do
			raises("usage", db.query, db, "delete from t")
		end
		effect.mode "read"
		for _ = 1, 40 do
			raises("refused", db.exec, db, "create table never(i int)")
		end
		eq(db:value "select pg_backend_pid()", pid)
	end), { plain = true })

	it("runs each read of the corpus READ ONLY", on_corpus(function(db)
		for _, sql in ipairs(corpus.read) do
			if postgres.judge(sql).copy_out then
				local e = raises("usage", db.query, db, sql)
				ok(e.message:find("copy_out", 1, true))
				goto continue
			end
			local text = logged(function() db:query(sql) end)
			ok(in_log(text, sql), "the log has it: " .. sql)
			ok(text:find("begin read only", 1, true), "READ ONLY: " .. sql)
			::continue::
		end
	end), { plain = true })

	it("gets no write from query", on_corpus(function(db)
		for _, sql in ipairs(texts("write", "destructive", "leaks",
			"transaction")) do
			local text = logged(function()
				local fine, e = pcall(db.query, db, sql)
				ok(not fine, "query took it: " .. sql)
				eq(e.kind .. ": " .. sql, "usage: " .. sql)
			end)
			ok(not in_log(text, sql), "was sent: " .. sql)
		end
	end), { plain = true })

	it("gets no write in read mode, none in a plan", on_corpus(function(db)
		for _, mode in ipairs { "read", "plan" } do
			effect.mode(mode)
			for _, sql in ipairs(texts("write", "destructive", "leaks")) do
				local v = postgres.judge(sql)
				local text = logged(function()
					local fine, e = pcall(db.exec, db, sql,
						table.unpack({ 1, 2, 3 }, 1, v.parameters))
					-- what no exec takes is refused in each mode
					local kind = v.statements > 1 or v.transaction
						or v.copy_in or v.copy_out or v.session
					ok(fine == (mode == "plan" and not kind), ("%s: %s: %s")
						:format(mode, sql, tostring(e)))
				end)
				ok(not in_log(text, sql), mode .. ": was sent: " .. sql)
			end
		end
	end), { plain = true })

	it("knows the server's volatile functions", P.on(function(db)
		local harmless, seen = {}, { read = 0, write = 0, ask = 0 }
		for name in corpus.harmless:gmatch "%S+" do harmless[name] = true end
		for _, row in ipairs(db:query [[select proname as name,
			bool_or(provolatile = 'v') as volatile from pg_proc
			where pronamespace = 'pg_catalog'::regnamespace
			and 'internal'::regtype <> all (proargtypes)
			group by 1 order by 1]]) do
			local v = postgres.judge(('select "%s"()'):format(row.name))
			local kind = v.functions[1] and "ask" or v.class == "read"
				and "read" or "write"
			seen[kind] = seen[kind] + 1
			ok(not row.volatile or kind ~= "read" or harmless[row.name],
				"volatile, but judged harmless: " .. row.name)
			ok(row.volatile or kind ~= "write",
				"not volatile, but judged a write: " .. row.name)
		end
		ok(seen.read > 400 and seen.write > 60 and seen.ask > 100)
		eq(db:value [[select count(*) from pg_operator o
			join pg_proc p on p.oid = o.oprcode where p.provolatile = 'v'
			and o.oprnamespace = 'pg_catalog'::regnamespace]], 0)
		for _, row in ipairs(db:query [[select distinct oprname as name
			from pg_operator where oprnamespace = 'pg_catalog'::regnamespace]])
		do
			eq(postgres.judge("select 1 " .. row.name .. " 2").operators, {})
		end
	end), { plain = true })

	it("asks for what it doesn't know", on_corpus(function(db)
		for _, case in ipairs(corpus.ask) do
			local fine, e = pcall(db.query, db, case[1])
			eq(case[1] .. (fine and ": ran" or ": " .. e.kind),
				case[1] .. (case.effect and ": usage" or ": ran"))
		end
		for _, case in ipairs(corpus.views) do
			local text = logged(function()
				local fine, e = pcall(db.query, db, case[1])
				eq(case[1] .. (fine and ": ran" or ": " .. e.kind),
					case[1] .. (case.effect and ": usage" or ": ran"))
			end)
			eq(in_log(text, case[1]), not case.effect)
		end
	end), { plain = true })

	it("masks a password that stands in a statement", P.on(function(db)
		local password = "pw-" .. math.random(10 ^ 12, 10 ^ 13)
		-- the specs before may have begun a run elsewhere
		effect.close_run()
		effect.begin_run(os.getenv "XDG_STATE_HOME" .. "/opsh/runs")
		db:exec("create role opsh_masked password '" .. password .. "'")
		db:exec "drop role opsh_masked"
		local seen = false
		for _, path in ipairs(require("opsh.fs").glob(os.getenv
			"XDG_STATE_HOME" .. "/opsh/runs/*/journal.jsonl")) do
			local file <close> = assert(io.open(path, "rb"))
			local text = file:read "a"
			ok(not text:find(password, 1, true), path)
			seen = seen or text:find("opsh_masked password '[secret]'", 1,
				true)
		end
		ok(seen, "the record has the statement")
	end), { plain = true })

	it("reads a text as the session does, or not at all", P.on(function(db)
		-- With the setting off this is code, with it on a string.
		local text = [[select '\'', pg_advisory_lock(77) --']]
		eq(postgres.judge(text).class, "read")
		for _, sql in ipairs { "set standard_conforming_strings = off",
			"set client_encoding = 'LATIN1'", [[do $$ begin perform
			set_config('standard_conforming_strings', 'off', false); end $$]] }
		do
			raises("refused", db.transaction, db, function(tx)
				tx:exec(sql)
				return tx:query(text)
			end)
		end
		eq(db:value(text), [[\', pg_advisory_lock(77) --]])
		eq(db:value "select count(*) from pg_locks where locktype = 'advisory'",
			0)
	end), { plain = true })

	it("is refused reads that leak within a transaction", on_corpus(
		function(db)
		db:transaction(function(tx)
			for _, sql in ipairs { "select pg_advisory_lock(1)",
				"select pg_logical_emit_message(false, 'a', 'b')",
				"set transaction read write", "commit",
				"select set_config('role', 'postgres', true)" } do
				raises("usage", tx.query, tx, sql)
			end
			eq(tx:value "select 1", 1)
		end)
		eq(db:value "select count(*) from pg_locks where locktype = 'advisory'",
			0)
	end), { plain = true })
end)
