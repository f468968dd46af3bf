-- Specs of opsh.postgres.patroni: what GET /cluster says, what stands against a
-- switchover, a lost reply that is asked about and never sent again. On a real pair:
-- tests/live/failover_patroni.sh. Owns the table that stands for the REST API.
local err = require "opsh.c.err"
local patroni = require "opsh.postgres.patroni"

local function json(leader, more)
	local out = { scope = "x", members = {} }
	for n, name in ipairs { "a", "b" } do
		out.members[n] = { name = name, role = name == leader and "leader"
			or "replica", state = "running", host = "h", port = n, timeline = 1 }
	end
	for k, v in pairs(more or {}) do out[k] = v end
	return out
end

describe("postgres patroni", function()
	it("reads its members", function()
		local c = patroni.read(json "a")
		eq(c.leader, "a")
		eq(c.paused, false)
		eq(patroni.member(c, "h:2").name, "b")
		eq(patroni.member(c, "h:9"), nil)
		c = patroni.cluster { get = function(_, path)
			return { json = path == "/config" and { synchronous_mode = "on" }
				or json "b" }
		end }
		eq(c.leader, "b")
		eq(c.synchronous, true)
	end)

	local function refuses(c, from, to, mode, text)
		local list = patroni.judge(c, from, to, mode)
		eq(#list, 1)
		ok(list[1]:find(text, 1, true), list[1])
	end

	it("says what stands against it", function()
		local c = patroni.read(json "a")
		local a, b = c.members[1], c.members[2]
		eq(#patroni.judge(c, a, b, "planned"), 0)
		eq(#patroni.judge(c, nil, b, "emergency"), 0)
		eq(#patroni.judge(c, b, a, "planned"), 0)
		refuses(c, a, nil, "planned", "no member")
		refuses(c, nil, b, "planned", "leader is 'a'")
		refuses(patroni.read(json("a", { pause = true })), a, b, "planned",
			"is paused")
		local sync = patroni.read(json "a", { synchronous_mode = true })
		refuses(sync, a, sync.members[2], "planned", "no synchronous standby")
		eq(#patroni.judge(sync, nil, sync.members[2], "emergency"), 0)
		sync.members[2].role = "sync_standby"
		eq(#patroni.judge(sync, a, sync.members[2], "planned"), 0)
		b.state = "start failed"
		refuses(c, a, b, "planned", "'b' is start failed")
	end)

	-- Answers with these leaders, one after the other; POST ends like this.
	local function rest(leaders, outcome)
		local n = 0
		return { posts = {}, get = function()
			n = math.min(n + 1, #leaders)
			return { json = json(leaders[n]) }
		end, post = function(self, path, opts)
			self.posts[#self.posts + 1] = path .. " " .. opts.json.candidate .. " "
				.. tostring(opts.json.leader)
			eq(opts.effect, "destructive")
			if outcome then
				error(err.new { kind = "timeout", outcome = outcome,
					message = "lost" }, 0)
			end
			return { status = 200 }
		end }
	end

	local A, B = { name = "a" }, { name = "b" }

	it("asks for a switchover, or a failover", function()
		local r = rest { "a", "b" }
		eq(patroni.switch(r, A, B, "planned", 5).how, "answered")
		eq(r.posts[1], "/switchover b a")
		r = rest { "b" }
		patroni.switch(r, nil, B, "emergency", 5)
		eq(r.posts[1], "/failover b nil")
	end)

	it("asks what became of it when the reply is lost, and sends it once", function()
		local r = rest({ "a", "a", "b" }, "unknown")
		eq(patroni.switch(r, A, B, "planned", 5).how, "its reply was lost: lost")
		eq(#r.posts, 1)
		r = rest({ "a" }, "unknown")
		raises("unknown", patroni.switch, r, A, B, "planned", 0.1)
		eq(#r.posts, 1)
		raises("timeout", patroni.switch, rest({ "a" }, "failed"), A, B, "planned",
			0.1)
		eq(patroni.probe(rest { "a" }, B, 0.1), nil)
		eq(patroni.probe(rest { "b" }, B, 0.1), true)
	end)
end)
