-- Specs of what a failover is made of, where no pair is needed: LSNs, what Postgres' own
-- programs print, a pooler's file, connection strings, the fence's sides. On real
-- pairs: tests/live/failover.sh.
local err = require "opsh.c.err"
local cluster = require "opsh.postgres.cluster"
local datadir = require "opsh.postgres.datadir"
local failover = require "opsh.postgres.failover"
local fence = require "opsh.postgres.fence"
local promote = require "opsh.postgres.promote"
local repoint = require "opsh.postgres.repoint"

describe("postgres cluster", function()
	it("counts bytes between LSNs", function()
		eq(cluster.lsn "0/3000148", 0x3000148)
		eq(cluster.lsn "1/0", 1 << 32)
		eq(cluster.lsn "x", nil)
		eq(cluster.bytes("0/FFFFFFF0", "1/10"), 32)
		eq(cluster.bytes(nil, "1/10"), nil)
	end)

	it("says why a node could not be asked", function()
		local n = cluster.node("standby", nil, 1)
		eq(n.asked, false)
		eq(n.why, "no target")
	end)
end)

describe("postgres datadir", function()
	it("reads what pg_controldata prints", function()
		local c = datadir.control [[
pg_control version number:            1300
Database system identifier:           7710660250095610748
Database cluster state:               shut down
Latest checkpoint location:           0/2000060
Latest checkpoint's TimeLineID:       3
]]
		eq(c.state, "shut down")
		eq(c.checkpoint, "0/2000060")
		eq(c.timeline, 3)
		eq(c.system_identifier, "7710660250095610748")
		eq(datadir.control "pg_controldata: error", nil)
	end)

	it("reads times", function()
		eq(datadir.seconds "1970-01-01 00:00:00", 0)
		eq(datadir.seconds "2026-11-21 16:22:51.5 UTC", 1795278171.5)
		eq(datadir.seconds "2024-02-29 00:00:00", 1709164800)
		eq(datadir.seconds "soon", nil)
	end)

	it("reads the rest of the WAL", function()
		local head = "rmgr: Transaction len (rec/tot): 34/ 34, tx: 78%d, lsn: "
			.. "0/0300010%d, prev 0/030000D8, desc: %s 2026-11-21 16:22:%s UTC\n"
		local out = head:format(5, 1, "COMMIT", "50.000000")
			.. head:format(6, 2, "ABORT", "50.500000")
			.. head:format(7, 3, "COMMIT", "51.500000")
		local loss = datadir.wal("0/3000100", out, "pg_waldump: error: error in "
			.. "WAL record at 0/3000168: invalid record length at 0/3000190: "
			.. "wanted 24, got 0\n")
		eq(loss.commits, 2)
		eq(loss.bytes, 0x90)
		eq(loss.to, "0/3000190")
		eq(loss.last - loss.first, 1.5)
	end)

	it("finds nothing after the last record", function()
		local loss = datadir.wal("0/3000100", "", "pg_waldump: fatal: could not "
			.. "find a valid record after 0/3000100\n")
		eq(loss.bytes, 0)
		local none, why = datadir.wal("0/3000100", "", "pg_waldump: error: could "
			.. "not open directory\n")
		eq(none, nil)
		ok(why:find("could not open", 1, true))
	end)
end)

describe("postgres repoint", function()
	local from, to = { host = "a", port = 5432 }, { host = "b", port = 5433 }

	it("rewrites the lines that lead there, and no other", function()
		local text, n = repoint.pgbouncer([[
[databases]
; x = host=a port=5432
flights = host=a port=5432 dbname=flights
other = host=a port=5499
plain = host='a' dbname=x
far = host=aa port=5432]], from, to)
		eq(n, 2)
		eq(text, [[
[databases]
; x = host=a port=5432
flights = host=b port=5433 dbname=flights
other = host=a port=5499
plain = host=b dbname=x port=5433
far = host=aa port=5432]])
	end)

	it("keeps all else of a connection string", function()
		eq(repoint.conninfo("user=replicator host=a port=5432 "
			.. "passfile='/x y/p' hostaddr=1.2.3.4", to), "host=b "
			.. "passfile='/x y/p' port=5433 user=replicator")
		eq(repoint.conninfo("", to), "host=b port=5433")
	end)
end)

describe("postgres fence", function()
	local function side(shut) return { name = "x", shut = shut, why = "y" } end

	it("holds when two sides say so and none objects", function()
		eq((fence.holds { side(true), side(true) }), true)
		eq((fence.holds { side(true), side(nil), side(true) }), true)
		eq((fence.holds { side(true) }), false)
		eq((fence.holds { side(true), side(nil) }), false)
		eq((fence.holds { side(true), side(true), side(false) }), false)
		local _, why = fence.holds { side(true) }
		eq(why, "x: y")
	end)

	it("is not opened by what came back in recovery", function()
		local function sides(why)
			return fence.weigh { { name = "connection", shut = true, why = why },
				{ name = "standby", shut = false, why = "it still streams" },
				{ name = "orchestrator", shut = false, why = "running" } }
		end
		eq((fence.holds(sides "it answers, in recovery")), true)
		eq((fence.holds(sides "refused")), false)
	end)

	it("is made of what is there", function()
		local function how(t, given)
			return failover.how { t = t, p = { fence = given or "auto" } }
		end
		eq(how { pooler = 1, orchestrator = 1 }, "both")
		eq(how { orchestrator = 1 }, "stop")
		eq(how { pooler = 1 }, "pooler")
		eq(how({ pooler = 1, orchestrator = 1 }, "stop"), "stop")
	end)

	it("pauses what is not paused, and lets on what is", function()
		local said = {}
		local f = { timeout = 1, databases = { "a", 'b"c' }, pooler = {
			query = function()
				return { { name = "a", paused = 1, host = "h", port = 1 },
					{ name = 'b"c', paused = 0, host = "h", port = 2 } }
			end,
			exec = function(_, sql) said[#said + 1] = sql end } }
		fence.pause(f)
		fence.resume(f)
		eq(table.concat(said, "; "), 'PAUSE "b""c"; RESUME "a"')
		local list = fence.databases(f.pooler, { ["h:2"] = true }, 1)
		eq(#list, 1)
		eq(list[1].name, 'b"c')
	end)

	it("is verified from here", function()
		local gone = { one = function()
			error(err.new { kind = "connect", code = "ECONNREFUSED",
				message = "refused" }, 0)
		end }
		local f = { p = { fence_timeout = 0.1 }, fence = { primary = gone,
			standby = { one = function() return nil end }, timeout = 0.1 } }
		eq((failover.fenced(f)), true)
		f.fence.standby = { one = function() return { status = "streaming" } end }
		local holds, why = failover.fenced(f)
		eq(holds, false)
		ok(why:find("nothing is promoted", 1, true))
	end)

	it("is lifted as a whole, whatever fails of it", function()
		local done = {}
		local f = { timeout = 1, unit = "p", data = "/d", databases = {},
			pooler = { query = function() error "gone" end },
			orchestrator = {
				exec = function(_, _, argv) done[#done + 1] = argv[1] end,
				stop = function() done[#done + 1] = "stop" end,
				start = function() done[#done + 1] = "start" end,
				status = function() return { { state = "exited" } } end,
			} }
		fence.raise(f, "stop")
		eq(#fence.lift(f, "stop"), 0)
		local problems = fence.lift(f, "both")
		eq(#problems, 1)
		ok(problems[1]:find("RESUME", 1, true))
		fence.unbar(f)
		eq(table.concat(done, " "), "cp stop rm start rm start rm")
		eq(fence.process(f), "exited")
		eq(fence.is_plan(), false)
	end)
end)

-- An orchestrator whose programs print this.
local function prints(stdout, stderr)
	return { exec = function(_, unit, argv, opts)
		eq(unit, "primary")
		eq(opts.effect, "read")
		if not stdout then
			error(err.new { kind = "io", message = "no " .. argv[1] }, 0)
		end
		return { stdout = stdout, stderr = stderr or "", status = 0 }
	end }
end

local DOWN <const> = "Database cluster state: shut down\n"
	.. "Latest checkpoint location: 0/2000060\n"

describe("postgres datadir, asked", function()
	it("has a control file, or says why not", function()
		eq(datadir.read_control(prints(DOWN), "primary", "/d").state, "shut down")
		local none, why = datadir.read_control(prints(nil), "primary", "/d")
		eq(none, nil)
		eq(why, "no pg_controldata")
	end)

	it("has what was not sent", function()
		local loss = datadir.unsent(prints("", "error in WAL record at 0/10: "
			.. "invalid record length at 0/50: wanted 24"), "primary", "/d",
			"0/10", 1)
		eq(loss.bytes, 0x40)
		local none, why = datadir.unsent(prints(nil), "primary", "/d", "0/10", 1)
		eq(none, nil)
		eq(why, "no pg_waldump")
	end)
end)

-- A standby that is at these LSNs, one after the other.
local function replaying(...)
	local list, n = { ... }, 0
	return { value = function()
		n = math.min(n + 1, #list)
		return list[n]
	end }
end

describe("postgres failover, catching up", function()
	it("waits for the record after the checkpoint's beginning", function()
		local f = { standby = replaying("0/2000000", "0/2000060", "0/20000D8") }
		local reached, at = fence.catch_up(f, "0/2000060", 5)
		eq(reached, true)
		eq(at, "0/20000D8")
		reached, at = fence.catch_up({ standby = replaying "0/2000060" },
			"0/2000060", 0.1)
		eq(reached, false)
		eq(at, "0/2000060")
	end)

	local function catch_up(stdout, at)
		local standby = replaying(at)
		return { t = { orchestrator = prints(stdout), standby = standby },
			p = { unit = "primary", catch_up = 0.05 },
			fence = { standby = standby, data = "/d" } }
	end

	it("believes a clean end only", function()
		eq(failover.catch_up(catch_up(DOWN, "0/20000D8")).checkpoint,
			"0/2000060")
		local e = raises("check", failover.catch_up, catch_up((DOWN:gsub(
			"shut down", "in production")), "0/20000D8"))
		ok(e.message:find("did not end cleanly", 1, true))
		e = raises("timeout", failover.catch_up, catch_up(DOWN, "0/2000000"))
		ok(e.message:find("the primary ended at 0/2000060", 1, true))
		raises("check", failover.catch_up, catch_up(nil, "0/20000D8"))
	end)
end)

-- Runs f while cluster.became answers what the list says, the last one for ever.
local function becoming(list, f)
	local was, n = cluster.became, 0
	local _ <close> = setmetatable({}, { __close = function()
		cluster.became = was
	end })
	cluster.became = function()
		n = math.min(n + 1, #list)
		if list[n] == "down" then
			error(err.new { kind = "connect", message = "refused" }, 0)
		end
		return list[n], "it is in recovery"
	end
	return f()
end

local BEFORE <const> = { system_identifier = "7", timeline = 3, sure = true,
	replayed = "0/5000000" }

-- A standby whose pg_promote ends like this; what it was sent is in .sql.
local function standby(outcome)
	return { exec = function(self, sql)
		self.sql = sql
		if outcome then
			error(err.new { kind = outcome == "unknown" and "unknown" or "server",
				outcome = outcome, message = "lost" }, 0)
		end
		return { ok = true }
	end }
end

describe("postgres promote", function()
	it("says in its request what it promotes", function()
		local db = standby()
		local r = becoming({ true }, function()
			return promote.promote(db, BEFORE, 1)
		end)
		eq(r.how, "answered")
		eq(db.sql, "select pg_promote(true, 1) as promoted /* lsn 0/5000000, "
			.. "timeline 3 */")
	end)

	it("asks until it is known when the reply is lost", function()
		local r = becoming({ "down", false, true }, function()
			return promote.promote(standby "unknown", BEFORE, 5)
		end)
		eq(r.how, "its reply was lost: lost")
	end)

	it("stops when that can't be known", function()
		local e = becoming({ false }, function()
			return raises("unknown", promote.promote, standby "unknown", BEFORE,
				0.1)
		end)
		ok(e.hint:find("promote no other node", 1, true))
		eq(becoming({ "down" }, function()
			return (promote.probe(standby(), BEFORE, 0.1))
		end), nil)
	end)

	it("raises what is known not to have been applied", function()
		raises("server", promote.promote, standby "failed", BEFORE, 1)
	end)

	it("is not begun when the fence does not hold", function()
		local sent
		local open = { one = function() return { recovery = false } end,
			value = function() return nil end }
		local f = { t = { standby = standby() }, p = { promote_timeout = 1 },
			fence = { primary = open, standby = { one = function()
				return nil
			end }, timeout = 1 } }
		local e = raises("verify", failover.promote, f, BEFORE, function(yes)
			sent = yes
		end)
		ok(e.message:find("nothing is promoted", 1, true))
		eq(sent, nil)
		eq(f.t.standby.sql, nil)
	end)

	it("tells whether it may have been sent", function()
		local function run(outcome)
			local sent
			local shut = { one = function()
				error(err.new { kind = "connect", code = "ECONNREFUSED",
					message = "refused" }, 0)
			end }
			local f = { t = { standby = standby(outcome) },
				p = { promote_timeout = 0.1 }, fence = { primary = shut,
				standby = { one = function() return nil end }, timeout = 1 } }
			becoming({ false }, function()
				pcall(failover.promote, f, BEFORE, function(yes) sent = yes end)
			end)
			return sent
		end
		eq(run "unknown", true)
		eq(run "failed", false)
		eq(run "refused", false)
	end)

	it("is verified by recovery and timeline", function()
		local function is(id)
			return failover.promoted({ t = { standby = {
				identity = function() return id end } } }, BEFORE)
		end
		eq((is { recovery = false, timeline = 4 }), true)
		eq((is { recovery = true, timeline = 3 }), false)
		eq((is { recovery = false, timeline = 5 }), false)
		eq((is { recovery = false, timeline = 3 }), false)
		eq((failover.promoted({ t = { standby = { identity = function()
			return { recovery = false, timeline = 5 }
		end } } }, { timeline = 3 })), true)
		local f = { p = { promote_timeout = 0.1 }, t = { standby = {
			identity = function() return { recovery = false, timeline = 4 } end } } }
		eq(becoming({ false, true }, function()
			return (failover.settled(f, BEFORE))
		end), true)
		eq(becoming({ false }, function()
			return (failover.settled(f, BEFORE))
		end), false)
	end)
end)

describe("postgres failover, afterwards", function()
	local function places(f)
		local was = fence.address
		local _ <close> = setmetatable({}, { __close = function()
			fence.address = was
		end })
		fence.address = function(db) return db.address end
		return f()
	end

	it("rewrites the pooler's file and lets clients on", function()
		local fs = require "opsh.fs"
		local path, said, text = "databases", {}, "x = host=a port=1\n"
		local read, write = fs.read, fs.write
		local _ <close> = setmetatable({}, { __close = function()
			fs.read, fs.write = read, write
		end })
		fs.read = function() return text end
		fs.write = function(_, new) text = new end
		local f = { t = { primary = { address = "a:1" },
			standby = { address = "b:2" }, pooler = {
				exec = function(_, sql) said[#said + 1] = sql end,
				query = function() return { { name = "x", paused = 1, host = "b",
					port = 2 } } end,
			} }, p = { pooler_config = path, fence_timeout = 1 } }
		f.fence = { pooler = f.t.pooler, databases = { "x" }, timeout = 1 }
		places(function()
			eq(failover.pooler_file(f, path), "x = host=b port=2\n")
			eq(failover.lead_pooler(f).lines, 1)
			eq(failover.pooler_file(f, path), nil)
			ok(select(2, failover.led(f)):find("is paused", 1, true))
			f.t.pooler.query = function() return { { name = "x", paused = 0,
				host = "a", port = 1 } } end
			ok(select(2, failover.led(f)):find("leads to a:1", 1, true))
			f.t.pooler.query = function() return { { name = "x", paused = 0,
				host = "b", port = 2 }, { name = "other", paused = 1 } } end
			eq(failover.led(f), true)
		end)
		eq(text, "x = host=b port=2\n")
		eq(table.concat(said, "; "), 'RELOAD; RESUME "x"')
	end)

	it("leads a sibling there", function()
		local said = {}
		places(function()
			failover.lead_sibling({ t = { standby = { address = "b:2" } } }, {
				value = function() return "user=r host=a port=1" end,
				exec = function(_, sql) said[#said + 1] = sql end })
		end)
		eq(said[1], "alter system set primary_conninfo = 'host=b port=2 user=r'")
		eq(said[2], "select pg_reload_conf()")
	end)

	it("is proved by a row that is read back", function()
		local run
		local db = { exec = function(_, sql, value)
			if sql:find "^%s*insert" then run = value end
			return { rows = { { at = 5 } } }
		end, one = function()
			return { run = run, recovery = false, address = "b:2" }
		end }
		local f = { t = { standby = db }, p = { prove_timeout = 0.1 } }
		local r = failover.prove(f, BEFORE, "r1")
		eq(r.way, "standby")
		eq(r.at, 5)
		db.one = function() return { run = "other" } end
		local e = raises("verify", failover.prove, f, BEFORE, "r2")
		ok(e.message:find("can't be read back", 1, true))
	end)
end)
