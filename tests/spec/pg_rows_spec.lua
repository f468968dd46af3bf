-- pg_rows: rows that are streamed, COPY and notifications, on a real server: all
-- of it arrives, memory stays bounded, nothing goes on at the server when a loop
-- has ended. Owns its tables and files, which go with each test.
local P = dofile "tests/lib/postgres.lua"
local task = require "opsh.task"

-- Backends of this client's connections, as another sees them.
local function busy(db, pattern)
	return db:value([[select count(*) from pg_stat_activity where query like $1
		and pid <> pg_backend_pid() and state <> 'idle']], pattern)
end

local function settled(db, pattern)
	for _ = 1, 300 do
		if busy(db, pattern) == 0 then return true end
		task.sleep(0.01)
	end
	return false
end

describe("postgres rows", function()
	it("streams all of them, in order", P.on(function(db)
		local n, sum = 0, 0
		for row in db:rows([[select i, i::text as t, i / 2.0::float8 as f
			from generate_series(1, $1::int) i]], 3000) do
			n, sum = n + 1, sum + row.i
			if row.t ~= tostring(row.i) or row.f ~= row.i / 2 then
				error("row " .. n .. " is wrong")
			end
		end
		eq(n, 3000)
		eq(sum, 3000 * 3001 // 2)
		local kept = {}
		for row in db:rows "values (1), (2), (3)" do kept[#kept + 1] = row end
		eq(kept[1][1] + kept[3][1], 4)
		local none = 0
		for _ in db:rows "select 1 where false" do none = none + 1 end
		eq(none, 0)
		for row in db:rows "show server_version_num" do ok(row[1]) end
	end))

	it("takes one table for all when asked", P.on(function(db)
		local one, n = nil, 0
		for row in db:rows("select i from generate_series(1, 200) i",
			{ reuse = true }) do
			one, n = one or row, n + 1
			ok(rawequal(one, row) and row.i == n)
		end
		eq(n, 200)
	end))

	it("ends when the loop does", P.on(function(db)
		for row in db:rows "select * from generate_series(1, 500000) i" do
			if row.i == 100 then break end
		end
		pcall(function()
			for _ in db:rows "select * from generate_series(1, 500000) i" do
				error "stop"
			end
		end)
		ok(settled(db, "%generate_series(1, 500000)%"), "a backend is at work")
		eq(db:value "select 1", 1)
	end))

	it("says what fails on the way", P.on(function(db)
		local n = 0
		local e = raises("server", function()
			for _ in db:rows "select 1 / (900 - i) from generate_series(1, 999) i"
			do
				n = n + 1
			end
		end)
		eq(e.code, "22012")
		eq(e.outcome, "failed")
		ok(n < 900)
		raises("usage", db.rows, db, "delete from pg_class")
		raises("server", db.rows, db, "select * from nosuch")
	end))

	it("goes on beside other statements of a transaction", P.on(function(db)
		db:transaction(function(tx)
			local seen = {}
			for row in tx:rows "select * from generate_series(1, 300) i" do
				if row.i % 100 == 0 then
					seen[#seen + 1] = tx:value("select $1::int * 2", row.i)
				end
			end
			eq(seen, { 200, 400, 600 })
			for row in tx:rows "select * from generate_series(1, 99999) i" do
				if row.i > 9 then break end
			end
			eq(tx:value "select 1", 1)
		end)
	end))

	it("keeps memory bounded", P.on(function(db)
		local function rss()
			local status = require("opsh.fs").read "/proc/self/status"
			return tonumber(status:match "VmHWM:%s*(%d+)")
		end
		-- ASan keeps what was freed
		local asan = io.open "/proc/self/maps":read "a":find "libasan"
		local before, size = rss(), 0
		for row in db:rows [[select repeat('x', 100000) as x
			from generate_series(1, 2000)]] do
			size = size + #row.x
		end
		eq(size, 200000000)
		ok(asan or rss() - before < 64 * 1024, "grew by " .. rss() - before .. " KiB")
		local e = raises("limit", db.query, db,
			"select repeat('x', 1000000) from generate_series(1, 100)")
		ok(e.hint:find("rows()", 1, true))
		raises("limit", db.query, db, "select 'abc' from generate_series(1, 99)",
			{ max = 300 })
		eq(db:value "select 1", 1)
	end), { plain = true })
end)

describe("postgres copy", function()
	local function table_of(db)
		db:exec "drop table if exists cp"
		db:exec "create table cp(i int, s text)"
	end

	it("goes in and out", P.on(function(db)
		table_of(db)
		eq(db:copy_in("copy cp from stdin", "1\ta\n2\t\\N\n").count, 2)
		local n = 0
		eq(db:copy_in("copy cp from stdin csv", function()
			n = n + 1
			return n <= 50 and ("%d,%s\n"):format(n, ("y"):rep(999)) or nil
		end).count, 50)
		local text = {}
		local r = db:copy_out("select i from cp where i < 3 order by i",
			{ to = function(piece) text[#text + 1] = piece end })
		eq(r.count, 4)
		eq(table.concat(text), "1\n1\n2\n2\n")
		eq(r.bytes, 8)
		db:exec "drop table cp"
	end))

	it("goes to files and back", P.on(function(db)
		table_of(db)
		local name = os.tmpname()
		local path = name .. ".copy"
		db:copy_in("copy cp from stdin", ("7\tseven\n"):rep(1000))
		eq(db:copy_out("copy cp to stdout", { to = path }).count, 1000)
		local f <close> = io.open(path)
		eq(#f:read "a", 8000)
		eq(db:copy_in("copy cp from stdin", { file = path }).count, 1000)
		eq(db:value "select count(*) from cp", 2000)
		raises("usage", db.copy_out, db, "select 1", { to = path })
		os.remove(path)
		os.remove(name)
		db:exec "drop table cp"
	end), { plain = true })

	it("is all or nothing", P.on(function(db)
		table_of(db)
		local e = raises("server", db.copy_in, db, "copy cp from stdin",
			"1\ta\nx\tb\n")
		eq(e.code, "22P02")
		eq(e.outcome, "failed")
		raises("boom", db.copy_in, db, "copy cp from stdin", function()
			error("boom", 0)
		end)
		raises("server", db.copy_out, db, "select 1/0", { to = print })
		raises("usage", db.copy_out, db, "select 1", {})
		raises("usage", db.exec, db, "copy cp from stdin")
		raises("usage", db.copy_in, db, "select 1", "")
		eq(db:value "select count(*) from cp", 0)
		db:exec "drop table cp"
	end))

	it("is withheld in a plan", P.on(function(db)
		table_of(db)
		require("opsh.c.effect").mode "plan"
		eq(db:copy_in("copy cp from stdin", "1\ta\n", { expect = { count = 1 } })
			.count, 1)
		local n = 0
		db:copy_out("select 1", { to = function() n = n + 1 end })
		eq(n, 1)
		eq(db:value "select count(*) from cp", 0)
	end))
end)

describe("postgres notifications", function()
	it("come in order, and end in time", P.on(function(db)
		local got = {}
		task.spawn(function()
			task.sleep(0.05)
			for i = 1, 3 do db:notify("ch one", "p" .. i) end
		end)
		for n in db:listen("ch one", "two", { timeout = 0.6 }) do
			got[#got + 1] = n.channel .. ":" .. n.payload
		end
		eq(got, { "ch one:p1", "ch one:p2", "ch one:p3" })
	end), { plain = true })

	it("are told when they may be missed", P.on(function(db)
		local killer = task.spawn(function()
			task.sleep(0.1)
			db:exec [[select pg_terminate_backend(pid) from pg_stat_activity
				where query like 'listen%']]
		end)
		local e = raises("connect", function()
			for n in db:listen("x", { timeout = 5 }) do error(n) end
		end)
		killer:wait()
		ok(e.hint:find("missed", 1, true))
	end), { plain = true })
end)
