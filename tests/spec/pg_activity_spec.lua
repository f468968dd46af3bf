-- pg_activity: sessions of a real server as opsh.postgres.activity reads them, and
-- the tree and the choice on made ones. Owns no table, and ends nobody: that is the
-- playbook's, in tests/live.
local P = dofile "tests/lib/postgres.lua"
local activity = require "opsh.postgres.activity"

local function session(pid, more)
	local s = { pid = pid, type = "client backend", state = "idle",
		user = "app", database = "shop", application = "web", client = "local",
		started = pid, changed = 1, age = 100, state_age = 50, blocked_by = {},
		own = false, super = false, query = "select 1" }
	for k, v in pairs(more or {}) do s[k] = v end
	return s
end

local function pids(list)
	local out = {}
	for n, s in ipairs(list) do out[n] = s.pid end
	return out
end

describe("postgres activity", function()
	it("sessions are those of the server, with ours marked", P.on(function(db)
		local mine = db:value "select pg_backend_pid()"
		local own, others = nil, 0
		for _, s in ipairs(activity.sessions(db)) do
			if s.pid == mine then own = s end
			if s.type ~= "client backend" then others = others + 1 end
		end
		ok(own.own)
		ok(own.super)
		eq(own.state, "active")
		eq(own.application, "opsh")
		eq(math.type(own.started), "integer")
		ok(own.age >= 0)
		ok(others > 2)
	end))

	it("connections are counted against the limit", P.on(function(db)
		local c = activity.connections(db)
		eq(c.limit, tonumber(db:value "show max_connections"))
		ok(c.used >= 1)
		ok(c.percent > 0 and c.percent < 100)
	end))

	it("groups count by state and owner", function()
		local rows = activity.groups { session(1), session(2, { state_age = 70 }),
			session(3, { state = "active" }), session(4, { type = "walsender" }) }
		eq(#rows, 2)
		eq(rows[1].sessions, 2)
		eq(rows[1].oldest, 70)
		eq(rows[2].state, "active")
	end)

	it("tree: who waits for nobody comes first", function()
		local sessions = { session(1), session(2, { blocked_by = { 1 } }),
			session(3, { blocked_by = { 2, 1, 1 } }),
			session(4, { blocked_by = { 0 } }), session(5) }
		local lines = {}
		for n, row in ipairs(activity.tree(sessions)) do
			lines[n] = ("%d %d %d"):format(row.depth, row.pid, row.blocks)
		end
		eq(lines, { "0 0 1", "1 4 0", "0 1 3", "1 2 1", "2 3 0", "1 3 0" })
		eq(activity.blocks(sessions)[2], 1)
		eq(activity.blocks(sessions)[5], nil)
	end)

	it("tree: a circle ends", function()
		local rows = activity.tree { session(1, { blocked_by = { 2 } }),
			session(2, { blocked_by = { 1 } }) }
		eq({ rows[1].pid, rows[2].pid, rows[3].pid }, { 1, 2, 1 })
	end)

	it("choose takes what fits, never ours, never the server's own", function()
		local sessions = { session(1), session(2, { own = true }),
			session(3, { type = "walsender", state = "active" }),
			session(4, { state_age = 5 }), session(5, { user = "etl" }),
			session(6, { state = "active", query_age = 900 }),
			session(7, { state_age = 80 }), session(9, { own = true, pid = 9 }) }
		sessions[#sessions + 1] = session(8, { state = "" })
		sessions[#sessions].state = nil
		local chosen, left = activity.choose(sessions,
			{ states = { "idle" }, older = 10, user = { "app" } })
		eq(pids(chosen), { 7, 1 })
		eq(left, { ["opsh's own"] = 2, walsender = 1,
			["not to be seen by this role"] = 1 })
		eq(pids((activity.choose(sessions, { states = { "active" }, older = 600 }))),
			{ 6 })
		eq(pids((activity.choose(sessions, { states = { "idle" }, older = 0,
			pid = { "5", "2" } }))), { 5 })
		sessions[2].blocked_by = { 4 }
		eq(pids((activity.choose(sessions, { states = { "idle" }, older = 0,
			blocking = true }))), { 4 })
	end)

	it("words", function()
		eq(activity.one_line(" select\n\t1 ", 20), "select 1")
		eq(activity.one_line("sélection", 5), "séle…")
		eq(activity.one_line(nil), "")
		eq(activity.span(0.25), "250 ms")
		eq(activity.span(59.9), "59 s")
		eq(activity.span(3725), "1 h 02 m")
		eq(activity.span(90000), "1 d 01 h")
		eq(activity.span(nil), nil)
		eq(activity.size(1 << 20), "1 MiB")
		eq(activity.size(nil), nil)
	end)
end)
