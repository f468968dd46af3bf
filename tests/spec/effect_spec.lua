-- effect_spec: the boundary without a binding: modes, classes, guards, roles,
-- identities, what a plan withholds. What is on record is in effect_record_spec.lua.
-- Targets are made here; each test has a journal of its own.
require "harness"
local E = dofile "tests/lib/effect.lua"
local effect = require "opsh.c.effect"
local json = require "opsh.c.json"
local run = dofile("tests/lib/journal.lua").run
local sys = require "opsh.c.sys"
local target = require "opsh.c.target"
local testing = require "opsh.c.testing"

local cache, call = E.cache, E.call

describe("read mode", function()
	it("lets reads through, refuses the rest before they are sent", function()
		local sent = 0
		local function f() sent = sent + 1 return "r" end
		local records = run("read", function()
			local t = cache()
			eq(call(t, "read", "GET", nil, f), "r")
			for _, class in ipairs { "write", "destructive" } do
				local e = raises("refused", call, t, class, "DEL", nil, f)
				eq({ e.code, e.outcome, e.target, e.op },
					{ "MODE", "refused", "cache", "DEL" })
				ok(e.hint:find "--write")
			end
		end)
		eq(sent, 1)
		eq(#records, 3)
		eq(records[1].type, "read")
		eq({ records[2].type, records[2].outcome, records[2].error.kind },
			{ "refused", "refused", "refused" })
	end)
end)

describe("write mode", function()
	it("writes an intent before, an outcome after", function()
		local order = {}
		local records = run("write", function(dir, name)
			local results = table.pack(effect.call(cache(), "write", "SET",
				"SET key", nil, function(...)
					-- the intent is there when the call is made
					local file = io.open(dir .. "/" .. name .. "/journal.jsonl")
					order[1] = file:read "a":match '"type":"(%a+)"'
					file:close()
					return ...
				end, 1, nil, 3))
			eq(results, { 1, nil, 3, n = 3 })
		end)
		eq(order, { "intent" })
		eq(#records, 2)
		local intent, outcome = records[1], records[2]
		eq({ intent.type, intent.target, intent.class, intent.mode, intent.verb,
			intent.request }, { "intent", "cache", "write", "write", "SET",
			"SET key" })
		ok(intent.where:find "effect_spec.lua:%d+")
		eq({ outcome.type, outcome.of, outcome.outcome },
			{ "outcome", intent.seq, "done" })
		ok(outcome.duration >= 0)
	end)

	it("counts", function()
		run("write", function()
			call(cache(), "write")
			call(cache(), "write")
			call(cache(), "read")
			local s = effect.status()
			eq({ s.writes, s.withheld, s.lost, s.dead, s.open },
				{ 2, 0, false, false, true })
		end)
	end)

	it("an error is the outcome, and is raised as it is", function()
		local mine = {}
		local records = run("write", function()
			local fine, e = pcall(call, cache(), "write", "SET", nil,
				function() error(mine) end)
			eq(fine, false)
			ok(rawequal(e, mine))
			pcall(call, cache(), "write", "SET", nil, function()
				error("text \255 \0", 0) end)
			pcall(call, cache(), "write", "SET", nil, function() error() end)
			eq({ call(cache(), "write", "open", nil,
				function() return nil, "no such file" end) },
				{ nil, "no such file" })
			pcall(call, cache(), "read", "GET", nil, error)
		end)
		eq(#records, 9)
		for i = 2, 8, 2 do eq(records[i].outcome, "failed") end
		eq(records[8].error.message, "no such file")
		eq({ records[9].type, records[9].outcome }, { "read", "failed" })
	end)

	it("a wrong class or argument is an error, nothing is recorded", function()
		local records = run("write", function()
			raises("invalid option", call, cache(), "admin")
			raises("", effect.call, cache(), "write", 1, "r", nil, print)
			raises("", effect.call, cache(), "write", "v", nil, nil, print)
			raises("", effect.call, cache(), "write", "v", "r", nil)
			raises("opsh.target", effect.call, {}, "write", "v", "r", nil, print)
			raises("NUL", effect.call, cache(), "write", "a\0b", "r", nil, print)
		end)
		eq(#records, 0)
	end)

	it("long and strange requests are cut, exact bytes kept", function()
		local long = ("x"):rep(10000)
		local odd = "a\0\255\27[31m\n\"\\\u{20AC}\u{202E}"
		local records = run("write", function()
			for _, class in ipairs { "read", "write" } do
				effect.call(cache(), class, "SET", long, nil, function() end)
				effect.call(cache(), class, "SET", odd, nil, function() end)
				effect.call(cache(), class, ("v"):rep(500), "", nil,
					function() end)
			end
		end)
		for _, i in ipairs { 1, 4 } do
			eq(#records[i].request, 4096 + #" [+5904 bytes]")
			ok(records[i].request:find "%[%+5904 bytes%]$"
				or records[i].request:find "bytes%]$", records[i].request:sub(-30))
		end
		ok(records[6].request:find("\u{20AC}", 1, true))
	end)
end)

describe("a destructive call", function()
	it("is refused without a guard, passes with one for its verb", function()
		local sent = {}
		local records = run("write", function()
			local t, other = cache(), cache { name = "other" }
			local function try_it(on, verb)
				return pcall(call, on, "destructive", verb, nil, function()
					sent[#sent + 1] = on:name() .. verb
				end)
			end
			local e = raises("guard", call, t, "destructive", "UNLINK")
			eq({ e.target, e.op, e.outcome }, { "cache", "UNLINK", "refused" })
			ok(e.hint:find "--approve cache")
			eq(sys.exit_code(e), 14)
			eq(t:passed "UNLINK", nil)
			t:pass("unlink", "typed")
			eq(t:passed "UNLINK", "typed")
			eq((try_it(t, "UNLINK")), true)
			eq((try_it(t, "FLUSHDB")), false)
			eq((try_it(other, "UNLINK")), false)
			other:pass("", "approve")
			eq((try_it(other, "FLUSHDB")), true)
		end)
		eq(sent, { "cacheUNLINK", "otherFLUSHDB" })
		local refused = 0
		for _, r in ipairs(records) do
			if r.type == "refused" then refused = refused + 1 end
		end
		eq(refused, 3)
	end)

	it("a pass does not lift the mode", function()
		run("read", function()
			local t = cache()
			t:pass("", "typed")
			raises("refused", call, t, "destructive")
		end)
	end)
end)

describe("role and identity", function()
	it("a target in another role than wanted gets reads only", function()
		run("write", function()
			local t = cache { role = "master" }
			eq(call(t, "write"), "sent")		-- not known yet
			testing.seen(t, "run_id=1", "slave")
			eq(call(t, "read"), "sent")
			for _, class in ipairs { "write", "destructive" } do
				local e = raises("refused", call, t, class)
				eq(e.code, "ROLE")
			end
		end)
		run("write", function()
			local t = cache { role = "master" }
			testing.seen(t, "run_id=1", "master")
			eq(call(t, "write"), "sent")
		end)
	end)

	it("a target that is not what it was gets reads only, for good", function()
		for _, now in ipairs { { "run_id=2", "master" }, { "run_id=1", "slave" } }
		do
			local records = run("write", function()
				local t = cache()
				eq(testing.seen(t, "run_id=1", "master"), false)
				eq(testing.seen(t, "run_id=1", "master"), false)
				eq(call(t, "write"), "sent")
				eq(testing.seen(t, table.unpack(now)), true)
				eq(call(t, "read"), "sent")
				local e = raises("changed", call, t, "write")
				eq(sys.exit_code(e), 12)
				ok(e.message:find "run_id=1 role=master")
				-- back again does not make it the same
				testing.seen(t, "run_id=1", "master")
				raises("changed", call, t, "write")
				eq(t:changed(), "run_id=1 role=master")
			end)
			local ids = {}
			for _, r in ipairs(records) do
				if r.type == "identity" then ids[#ids + 1] = r end
			end
			eq(#ids, 3)
			eq(ids[1].was, nil)
			eq(ids[2].was, "run_id=1 role=master")
		end
	end)

	it("long identities are cut, not overrun", function()
		run("write", function()
			local t = cache()
			testing.seen(t, ("i"):rep(5000), ("r"):rep(5000))
			testing.seen(t, ("j"):rep(5000), ("s"):rep(5000))
			ok(#t:identity() < 5000 and #t:role() < 5000)
			raises("changed", call, t, "write")
		end)
	end)

	it("a target's fields are checked", function()
		raises("unknown option", target.new, { name = "a", kind = "b", x = 1 })
		raises("needed", target.new, { name = "a" })
		raises("needed", target.new, { name = "", kind = "x" })
		raises("at most", target.new, { name = ("n"):rep(200), kind = "x" })
		raises("at most", target.new, { name = "a\0b", kind = "x" })
		raises("", target.new, { name = 1, kind = "x" })
		raises("", target.new)
		eq(getmetatable(cache()), "protected")
		eq(tostring(cache()), "cache (redis)")
	end)
end)

describe("a plan", function()
	local HERE = "effect_spec.lua"

	local function withheld(opts)
		local u
		local records = run("plan", function()
			eq(call(cache(), "read", "GET", nil, function() return "live" end),
				"live")
			u = effect.call(cache(), "destructive", "UNLINK", "UNLINK key", opts,
				function() error "it was sent" end)
			eq(effect.status().withheld, 1)
			eq(effect.status().writes, 0)
		end)
		eq({ records[2].type, records[2].outcome, records[2].approval },
			{ "withheld", "withheld", "needed" })
		return u
	end

	it("runs reads and withholds writes, a guard is noted as needed",
		function() withheld() end)

	it("no approval is noted for a write, or past a guard", function()
		local records = run("plan", function()
			local t = cache()
			call(t, "write")
			t:pass("", "plan")
			call(t, "destructive")
		end)
		eq({ records[1].approval, records[2].approval }, {})
		eq(#records, 2)
	end)

	it("every use of an unknown value says what is needed, and where",
		function()
			local u = withheld()
			local uses = {
				function() return u.count end, function() return u[1] end,
				function() u.x = 1 end, function() u[u] = 1 end,
				function() return u() end, function() return u(1, 2) end,
				function() return u + 1 end, function() return 1 + u end,
				function() return u - u end, function() return u * 2 end,
				function() return 2 / u end, function() return u % 2 end,
				function() return u ^ 2 end, function() return -u end,
				function() return u // 1 end, function() return u & 1 end,
				function() return 1 | u end, function() return u ~ 1 end,
				function() return u << 1 end, function() return 1 >> u end,
				function() return ~u end, function() return u .. "x" end,
				function() return "x" .. u end, function() return 1 .. u end,
				function() return #u end, function() return u < 1 end,
				function() return 1 < u end, function() return u <= u end,
				function() return u > "x" end, function() return u >= 1 end,
				function() for _ in pairs(u) do end end,
				function() for _ in ipairs(u) do end end,
				function() for _ in u do end end,
				function() return table.concat({ "a", "b" }, u) end,
				function() return u:method() end,
				function() return ({})[u.x] end,
				function() local _ <close> = setmetatable({}, {
					__close = function() return u.x end }) end,
				function() return coroutine.wrap(function() return u.x end)() end,
				function() table.sort({ 2, 1 }, function() return u.x end) end,
				function() string.gsub("x", "x", function() return u.x end) end,
			}
			for i, use in ipairs(uses) do
				local fine, e = pcall(use)
				eq(fine, false, i)
				if not tostring(e):find "table.concat" and not tostring(e):find
					"expected" then
					eq(e.kind, "withheld", i)
					eq(e.outcome, "withheld", i)
					local at, of, from = e.message:match(
						"^unknown at ([^ ]+): needs the result of "
						.. "(.-) %((.*)%)$")
					ok(at and at:find(HERE, 1, true), e.message)
					eq(of, "'UNLINK' on 'cache'")
					ok(from:find(HERE .. ":", 1, true), e.message)
					eq(sys.exit_code(e), 20)
					-- the line is the one of the use
					local line = debug.getinfo(use, "S").linedefined
					local last = debug.getinfo(use, "S").lastlinedefined
					local got = tonumber(at:match ":(%d+)$")
					ok(got >= line and got <= last, e.message)
				end
			end
		end)

	it("an unknown value prints, and has no other face", function()
		local u = withheld()
		eq(tostring(u), "<withheld: UNLINK on cache>")
		eq(("%s"):format(u), "<withheld: UNLINK on cache>")
		eq(type(u), "userdata")
		eq(getmetatable(u), "protected")
		raises("", next, u)
		raises("", rawset, u, 1, 1)
		eq(json and pcall(json.encode, u), false)
	end)

	it("expect gives a result to go on with", function()
		local r = withheld { expect = 5 }
		eq({ r.value, r.count, r.ok, tostring(r) }, { 5, 5, true, "5" })
		r = withheld { expect = "OK" }
		eq({ r.value, r.count, r.ok, tostring(r) }, { "OK", nil, true, "OK" })
		r = withheld { expect = { count = 3, rows = { 1 } } }
		eq({ r.count, r.rows[1], r.value }, { 3, 1 })
		r = withheld { expect = false }
		eq({ r.value, r.ok }, { false, true })
		eq(getmetatable(r), "protected")
		eq(tostring(withheld { expect = {} }), "nil")
	end)
end)

effect.close_run()
