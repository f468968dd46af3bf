-- postgres backup: what postgres/backup, verify-backup and restore stand on: counts
-- that are compared, backups on disk that are found, checked and picked, names, and
-- databases made again. Owns its folders and databases; whole rounds with pg_dump
-- and pg_restore are tests/live/postgres_backup.sh.
local P = dofile "tests/lib/postgres.lua"
local backups = require "opsh.postgres.backups"
local census = require "opsh.postgres.census"
local damage = require "opsh.postgres.damage"
local fs = require "opsh.fs"
local json = require "opsh.json"
local rebuild = require "opsh.postgres.rebuild"
local swap = require "opsh.postgres.swap"
local tools = require "opsh.postgres.tools"

local NOW <const> = 1763740800	-- 2025-11-21T16:00:00Z

-- A backup in a folder of ours, with a dump of these bytes.
local function put(folder, name, fields, dump)
	local path = folder .. "/" .. name
	fs.mkdir(path)
	fs.write(path .. "/" .. backups.DUMP, dump)
	local sum = fs.hash(path .. "/" .. backups.DUMP)
	local manifest = { format = backups.FORMAT, database = "flights",
		time = "2025-11-20T16:00:00Z", dump_size = #dump, sha256 = sum,
		system_identifier = "7" }
	for k, v in pairs(fields) do manifest[k] = v end
	fs.write(path .. "/" .. backups.MANIFEST, json.encode(manifest))
	fs.write(path .. "/" .. backups.SUMS, ("%s  %s\n%s  %s\n"):format(sum,
		backups.DUMP, fs.hash(path .. "/" .. backups.MANIFEST),
		backups.MANIFEST))
	return path
end

local function on_disk(f)
	return P.on(function()
		local dir <close> = fs.tmpdir()
		return f(dir.path)
	end)
end

describe("backups on disk", function()
	it("have names that a file system takes", function()
		eq(backups.file_name "flights_2", "flights_2")
		eq(backups.file_name "-a/b ü", "%2Da%2Fb%20%C3%BC")
		eq(backups.file_name ".x", "%2Ex")
		eq(backups.name("flights", NOW), "flights-20251121T160000Z.pgbackup")
	end)

	it("are found and checked", on_disk(function(dir)
		local path = put(dir, "a.pgbackup", {}, "rows")
		put(dir, "b.pgbackup", { time = "2025-11-21T16:00:00Z" }, "more")
		put(dir, "c.pgbackup", { database = "other" }, "more")
		fs.mkdir(dir .. "/d.pgbackup")
		fs.write(dir .. "/e.pgbackup", "no folder")
		local list = backups.list(dir, "flights")
		eq(#list, 2)
		eq(list[1].name, "b.pgbackup")
		eq(#backups.list(dir), 3)
		eq(#backups.list(dir .. "/nowhere"), 0)
		raises("check", backups.open, dir .. "/d.pgbackup")
		raises("check", backups.open, dir .. "/e.pgbackup")
		local b = backups.open(path .. "/")
		eq(b.own, true)
		eq(b.verified, nil)
		eq(backups.check(b), true)
		fs.append(path .. "/" .. backups.VERIFIED, '{"ok":true,"time":"t"}\n')
		eq(backups.open(path).verified, "t")
		fs.write(path .. "/" .. backups.DUMP, "rowz")
		local fine, why = backups.check(b)
		eq(fine, false)
		ok(why:find("not what was written", 1, true), why)
		fs.write(path .. "/" .. backups.DUMP, "row")
		fine, why = backups.check(b)
		eq(fine, false)
		ok(why:find("is cut", 1, true), why)
		fs.write(path .. "/mine", "")
		eq(backups.open(path).own, false)
	end))

	it("go by a rule, but for the last that was verified", function()
		local function made(day, more)
			local b = { own = true, name = "d" .. day, manifest = {
				system_identifier = "7", time = os.date("!%Y-%m-%dT%H:%M:%SZ",
				NOW - day * 86400) } }
			for k, v in pairs(more or {}) do b[k] = v end
			return b
		end
		local list = { made(1), made(2), made(3, { own = false }),
			made(10), made(20, { verified = "t" }), made(30, { verified = "t" }) }
		local function gone(rule)
			local names = {}
			rule.now = NOW
			for i, b in ipairs(backups.expired(list, rule)) do
				names[i] = b.name
			end
			return table.concat(names, " ")
		end
		eq(gone {}, "")
		eq(gone { keep = 2 }, "d2 d10 d30")
		eq(gone { keep = 1, days = 5 }, "d10 d30")
		eq(gone { keep = 9, days = 5 }, "")
		eq(gone { days = 25 }, "d30")
		eq(gone { keep = 1, system = "8" }, "")
	end)

	it("that a killed run left are told from others", on_disk(function(dir)
		local left = fs.tmpdir(dir)
		fs.mkdir(left .. "/x.pgbackup")
		fs.write(left .. "/x.pgbackup/" .. backups.DUMP, "half")
		fs.mkdir(dir .. "/opsh-other")
		fs.write(dir .. "/opsh-other/file", "of somebody")
		eq(backups.leftovers(dir, 3600, os.time()), {})
		eq(backups.leftovers(dir, 10, os.time() + 60), { left.path })
		left:close()
	end))
end)

describe("a census", function()
	it("counts rows and objects, and finds differences", P.on(function(db)
		local seen = 0
		local count = census.count(db, { each = function(n) seen = n end })
		eq(seen, #count.tables)
		eq(count.objects["foreign keys"], 2)
		eq(count.objects["foreign keys, validated"], 2)
		eq(count.objects.tables, #count.tables)
		eq(census.compare(count, count), {})
		local other = census.count(db)
		for _, t in ipairs(other.tables) do
			if t.name == "flights" then t.rows = t.rows - 1 end
			if t.name == "airports" then t.name = "Odd" end
		end
		other.objects["odd ones"] = 1
		local text = census.text(census.compare(count, other))
		ok(text:find('rows of public.flights: 999 in place of 1000', 1, true), text)
		ok(text:find('rows of public."Odd": 5 in place of none', 1, true), text)
		ok(text:find("odd ones: 1 in place of none", 1, true), text)
	end))

	it("says what a database is", P.on(function(db)
		local about = census.about(db)
		eq(about.name, "flights")
		eq(about.owner, "ops")
		eq(about.encoding, "UTF8")
		eq(about.extensions[1].name, "pg_stat_statements")
		eq(about.roles, { "ops" })
		ok(about.lsn:match "^%x+/%x+$")
	end))

	it("writes names and texts as SQL", P.on(function(db)
		for _, text in ipairs { "a", 'a"b', "it's", "back\\slash", "" } do
			eq(db:value("select " .. census.literal(text)), text)
			if text ~= "" then
				eq(db:query("select 1 as " .. census.ident(text)).columns[1],
					text)
			end
		end
	end))
end)

describe("a database made again", function()
	it("is as its manifest says", P.on(function(db)
		local m = census.about(db)
		m.database_row, m.settings = m.row, { { config = { "work_mem=5MB",
			'search_path="$user", public' } } }
		local name = "opsh_verify_20251121_160000_00000f"
		local _ <close> = setmetatable({}, { __close = function()
			rebuild.drop(db, name)
		end })
		rebuild.drop(db, name)
		eq(rebuild.exists(db, name), false)
		rebuild.create(db, name, m, { owners = true })
		eq(rebuild.exists(db, name), true)
		rebuild.dress(db, name, m, { owners = true })
		local made = db:database(name)
		local about = census.about(made)
		eq(about.owner, "ops")
		eq(about.settings[1].config, { "work_mem=5MB",
			'search_path="$user", public' })
		made:close()
		local differences = rebuild.compare(db, name, census.count(db))
		ok(#differences > 0)
	end))

	it("is refused where something is missing", P.on(function(db)
		local t = tools.of(db)
		local m = { roles = { "nobody_such" }, extensions = {
			{ name = "no_such_thing" } }, client_version = "99.1",
			version_num = 990001 }
		local against, notes = rebuild.against(db, t, m, { owners = true })
		eq(#against, 3)
		eq(#notes, 1)
		local e = raises("check", rebuild.refuse, against)
		ok(e.message:find("nobody_such", 1, true), e.message)
		rebuild.refuse {}
		eq(rebuild.summary { database = "a", time = "t", server_version = "15",
			tables = {}, rows = 2, objects = {} },
			"'a' of t, server 15: 0 tables, 2 rows, 0 large objects")
		raises("server", rebuild.fill, t, "flights", "/nowhere", {
			owners = false })
	end))
end)

describe("a swap", function()
	it("has names that it knows again", function()
		eq(swap.name("flights", "_before_20251121T160000"),
			"flights_before_20251121T160000")
		local long = swap.name(("ü"):rep(40), "_new_20251121T160000")
		ok(#long <= 63 and utf8.len(long), long)
		eq(swap.kind "a_b_before_20251121T160000", "before")
		eq(select(2, swap.kind "a_b_before_20251121T160000"), "a_b")
		eq(swap.kind "opsh_verify_20251121_160000_0000ff", "verify")
		eq(swap.kind "flights", nil)
		eq(swap.kind "x_other_20251121T160000", nil)
	end)

	it("puts one in the place of another", P.on(function(db)
		local admin = swap.admin(db)
		local live, new = "opsh_spec_live", "opsh_spec_new"
		local kept = "opsh_spec_live_before_20251121T160000"
		local _ <close> = setmetatable({}, { __close = function()
			for _, name in ipairs { live, new, kept } do
				rebuild.drop(db, name)
			end
			admin:close()
		end })
		require("opsh.postgres").target(admin):pass("", "spec")
		for _, name in ipairs { live, new, kept } do rebuild.drop(db, name) end
		db:exec("create database " .. live)
		db:exec("create database " .. new)
		local other = db:database(live)
		eq(other:value "select current_database()", live)
		eq(#swap.sessions(admin, live), 1)
		local oid = swap.oid(admin, new)
		swap.swap(admin, live, new, kept)
		other:close()
		eq(swap.oid(admin, live), oid)
		ok(swap.oid(admin, kept))
		eq(swap.oid(admin, new), nil)
		eq(admin:value("select datallowconn from pg_database where datname = $1",
			kept), true)
	end))
end)

describe("the programs", function()
	it("are those of the server's version", P.on(function(db)
		local t = tools.of(db)
		local version, major = t:version "pg_dump"
		eq(tostring(major), version:match "^%d+")
		ok(major >= t.major)
		ok(t:path "pg_dump":find("pg_dump", 1, true))
		eq(tools.of(db, { bin = "/x" }):path "pg_dump", "/x/pg_dump")
		raises("config", tools.of, db, { service = "postgres" })
		local r = t:run("pg_dump", { "--schema-only", "--table=airports" },
			{ effect = "read" })
		ok(r.stdout:find("CREATE TABLE public.airports", 1, true))
		local e = raises("server", t.run, t, "pg_dump", {}, { effect = "read",
			database = "it's =not there" })
		ok(e.message:find("it's =not there", 1, true), e.message)
		local dir <close> = fs.tmpdir()
		t:run("pg_dump", { "--format=custom" }, { stdout = dir .. "/d" })
		local listed = t:list(dir .. "/d", 2)
		ok(listed.tables >= 2)
		eq(listed.dumped_by, version)
		raises("verify", t.list, t, dir .. "/d", 1000)
		fs.write(dir .. "/d", "nothing")
		raises("server", t.list, t, dir .. "/d")
	end))
end)

describe("signs of damage", function()
	it("are told from statements", function()
		ok(damage.is_sign "ERROR:  invalid page in block 1 of relation base/5/16")
		ok(damage.is_sign "PANIC:  could not locate a valid checkpoint record")
		ok(not damage.is_sign "LOG:  checkpoint complete")
		ok(not damage.is_sign "LOG:  statement: select 'PANIC: is corrupt'")
		local lines = { "PANIC: 1", "fine", { text = "PANIC: 2" }, "PANIC: 3" }
		local n = 0
		local signs, count = damage.signs(function()
			n = n + 1
			return lines[n]
		end, 2)
		eq(count, 3)
		eq(signs, { "PANIC: 2", "PANIC: 3" })
	end)

	it("are judged by the worst", function()
		eq(damage.worst {}, "ok")
		eq(damage.worst { { verdict = "ok" }, { verdict = "unknown" } }, "unknown")
		local rows = { { verdict = "bad", check = "log" }, { verdict = "ok" } }
		eq(damage.worst(rows), "bad")
		local e = raises("server", damage.demand, rows)
		ok(e.message:find("log", 1, true), e.message)
		damage.demand {}
	end)

	it("are looked for on a server", P.on(function(db)
		local rows = damage.assess(db, tools.of(db), { timeout = 60 })
		eq(rows[1].check, "amcheck")
		eq(rows[1].verdict, "unknown")
		eq(rows[2].verdict, "ok")
		eq(rows[3].verdict, "ok")
	end))

	it("are looked for in a folder", P.on(function()
		raises("check", damage.folder, "/tmp")
		local folder = damage.folder(os.getenv "OPSH_POSTGRES_DATA")
		eq(folder:pid(), tonumber(os.getenv "OPSH_POSTGRES_PID"))
		local rows, checkpoint = folder:check()
		eq(rows[1].verdict, "ok")
		eq(rows[2].verdict, "unknown")	-- it runs
		ok(checkpoint:match "^%x+/%x+$", checkpoint)
		local argv = folder:argv("pg_resetwal", "-n")
		ok(argv[#argv - 1]:find "pg_resetwal$")
		local dir <close> = fs.tmpdir()
		fs.mkdir(dir .. "/a")
		fs.write(dir .. "/a/PG_VERSION", "15\n")
		fs.write(dir .. "/a/x", "1")
		local made = damage.folder(dir .. "/a", "/nowhere")
		eq(made:argv("x")[1], "/nowhere/x")
		made:copy(dir .. "/b")
		eq(made:same(dir .. "/b"), true)
		fs.write(dir .. "/b/x", "2")
		eq(made:same(dir .. "/b"), false)
		raises("io", made.reset_preview, made)
		raises("io", made.reset, made)	-- its program is not there
		raises("io", made.trial, made, "postgres", 1)
	end))
end)
