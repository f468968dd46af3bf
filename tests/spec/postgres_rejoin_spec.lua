-- Specs of opsh.postgres.rejoin: what stands against a rejoin, where timelines parted,
-- the lines that make a standby, the slot, waiting. The folder itself is wound back in
-- tests/live/failover.sh. Owns the tables that stand for servers.
local cluster = require "opsh.postgres.cluster"
local fence = require "opsh.postgres.fence"
local rejoin = require "opsh.postgres.rejoin"

local function view(fields)
	local out = { data = "/d", primary = { asked = true, recovery = false,
		system_identifier = "7", standbys = {} }, old = { asked = false },
		control = { system_identifier = "7", rewindable = true, state = "shut down" } }
	for k, v in pairs(fields or {}) do out[k] = v end
	return out
end

local function refuses(v, text)
	local list, done = rejoin.judge(v, "old")
	eq(#list, 1)
	eq(done, false)
	ok(list[1]:find(text, 1, true), list[1])
end

describe("postgres rejoin", function()
	it("is allowed when the old primary is down, or a standby", function()
		eq(#rejoin.judge(view(), "old"), 0)
		eq(#rejoin.judge(view { old = { asked = true, recovery = true } }, "old"), 0)
	end)

	it("is refused for each of these", function()
		refuses(view { primary = { asked = false, why = "gone" } }, "gone")
		refuses(view { primary = { asked = true, recovery = true,
			system_identifier = "7" } }, "it is none")
		refuses(view { old = { asked = true, recovery = false } }, "takes writes")
		refuses({ primary = view().primary, old = { asked = false } }, "give data=")
		local v = view { control_why = "no folder" }
		v.control = nil
		refuses(v, "no folder")
		refuses(view { control = { system_identifier = "8" } }, "another cluster")
		refuses(view { control = { system_identifier = "7", rewindable = false } },
			"pg_basebackup")
	end)

	it("is done when it streams already", function()
		local v = view { old = { asked = true, recovery = true } }
		v.primary.standbys = { { name = "old", state = "streaming" } }
		local list, done = rejoin.judge(v, "old")
		eq(#list, 0)
		eq(done, true)
	end)

	it("reads where the timelines parted", function()
		local at = rejoin.parted "1\t0/3000000\tno reason\n\n2\t0/5000148\tx\n"
		eq(at.timeline, 2)
		eq(at.lsn, "0/5000148")
		eq(rejoin.parted "", nil)
	end)

	it("makes a standby of it", function()
		local lines = rejoin.lines({ host = "h", port = 5 }, { user = "r",
			slot = "s", conninfo = "sslcert='/a b'" })
		eq(lines[1], "primary_conninfo = 'host=h port=5 user=r application_name=s "
			.. "sslcert=''/a b'''")
		eq(lines[2], "primary_slot_name = 's'")
	end)

	it("makes the slot once", function()
		local there, sent = nil, 0
		local db = { one = function() return there end,
			exec = function() sent = sent + 1 end }
		eq(rejoin.slot(db, "s"), true)
		there = { 1 }
		eq(rejoin.slot(db, "s"), false)
		eq(sent, 1)
		rejoin.checkpoint({ exec = function(_, sql) eq(sql, "checkpoint") end }, 1)
	end)

	it("hands the folder, the source and the lines to one script", function()
		local was = fence.address
		local _ <close> = setmetatable({}, { __close = function()
			fence.address = was
		end })
		fence.address = function() return "h:5" end
		local got
		local r = rejoin.rewind({ orchestrator = { exec = function(_, _, argv)
			got = argv
			return { stdout = "", stderr = "Done!" }
		end } }, { unit = "u", user = "r", slot = "s", source_user = "p",
			rewind_timeout = 1 }, "/d", true)
		eq(r.said, "Done!")
		eq(got[5], "/d")
		eq(got[6], "host=h port=5 user=p dbname=postgres connect_timeout=10")
		eq(#got, 9)
	end)

	it("winds back what has something of its own, or did not end cleanly", function()
		local function needed(state, to)
			local o = { exec = function(_, _, argv)
				if argv[1] == "pg_controldata" then
					return { stdout = "Database cluster state: " .. state
						.. "\n" }
				end
				return { stdout = "", stderr = "error in WAL record at 0/10: "
					.. "invalid record length at " .. to .. ": wanted 24" }
			end }
			return rejoin.needed({ orchestrator = o }, { unit = "u" },
				{ data = "/d", parted = { lsn = "0/10", timeline = 3 } })
		end
		eq(needed("shut down", "0/10"), false)
		eq(needed("shut down in recovery", "0/10"), false)
		eq(needed("shut down", "0/50"), true)
		eq(needed("in production", "0/10"), true)
		eq(rejoin.needed({ orchestrator = { exec = function()
			return { stdout = "" }
		end } }, { unit = "u" }, { data = "/d" }), true)
	end)

	it("waits until both say so", function()
		local was, node = cluster.node, { asked = true, recovery = true }
		local _ <close> = setmetatable({}, { __close = function()
			cluster.node = was
		end })
		cluster.node = function() return node end
		local row = { state = "catchup" }
		local t = { primary = { one = function() return row end } }
		local fine, why = rejoin.wait(t, "s", 0.1)
		eq(fine, false)
		ok(why:find("catchup", 1, true))
		row = { state = "streaming" }
		eq(rejoin.wait(t, "s", 1), true)
		node = { asked = true, recovery = false }
		ok(select(2, rejoin.wait(t, "s", 1)):find("ALARM", 1, true))
	end)
end)
