-- repl_save_spec: a session as a playbook: what becomes a step, a parameter, a need,
-- what is left out, and that the text passes `opsh check`. Runs no entry; that a
-- saved file runs is in tests/pty.
require "harness"
local lift = require "repl.lift"
local save = require "repl.save"
local sys = require "opsh.c.sys"
local repl = dofile "tests/lib/repl.lua"

local CONFIG <const> = { targets = { cache = { kind = "redis" },
	db = { kind = "postgres" }, gateway = { kind = "http" },
	events = { kind = "kafka" } } }
local KINDS <const> = { cache = "redis", db = "postgres", gateway = "http",
	events = "kafka" }

-- Entries that worked; those that only set something gave nothing.
local function entries(...)
	local out = {}
	for n, text in ipairs { ... } do
		out[n] = { n = n, text = text, worked = true,
			gave = not text:find "^%s*[%w_, ]+%s=[^=]"
				and not text:find "^[lf]o" }
	end
	return out
end

local function saved(...)
	return save.text("redis/stale", entries(...), CONFIG, "a run")
end

local function has(text, part)
	if not text:find(part, 1, true) then
		error(("no '%s' in:\n%s"):format(part, text), 2)
	end
end

local function lifted(text)
	local params = {}
	return lift.text(text, KINDS, params), params
end

describe("literals", function()
	it("are parameters where they are arguments of a target's call", function()
		local text, params = lifted [[cache:get "flights::7"]]
		eq(text, "cache:get(p.key)")
		eq(params.key, { type = "string", default = "flights::7" })
		text = lifted [[cache:set("k", "v", "EX", 60)]]
		eq(text, [[cache:set(p.key, p.value, "EX", 60)]])
		text, params = lifted [[cache:scan { match = "a:*", count = 10 }]]
		eq(text, "cache:scan { match = p.match, count = p.count }")
		eq({ params.match.type, params.count.type }, { "pattern", "integer" })
		text = lifted [[gateway:get("/health", { timeout = 0.5 })]]
		eq(text, "gateway:get(p.path, { timeout = p.timeout })")
		eq((lifted [[gateway "/health".status]]), "gateway(p.path).status")
		eq((lifted [[events:lag("billing")]]), "events:lag(p.topic)")
		text, params = lifted [[key = "flights::7"]]
		eq({ text, params.key.default }, { "key = p.key", "flights::7" })
	end)
	it("stay where they say what is done", function()
		for _, text in ipairs { [[db "select 1"]], [[db:query("select 'a'")]],
			[[cache "GET x"]], [[events "lag billing"]], [[cache:info "stats"]],
			[[cache:cmd("GET", "x")]], [[print("x", 1)]], [[x["y"] = 1]],
			[[cache:get(k .. "x")]], [[cache:get(-1)]], [[f{match = "a"}]],
			[[cache:unlink({ "a", "b" })]], [[gateway:get(p, {expect = 200})]],
			[[a.cache:get "x"]], [[for i = 1, 10 do cache:ping() end]],
			[[guard(cache, { verb = "unlink", count = 3 })]] } do
			eq({ lifted(text) }, { text, {} })
		end
		eq((lifted [[db:query("select $1", "x", 2)]]),
			[[db:query("select $1", p.value, p.value_2)]])
	end)
	it("that are the same are one parameter, others get a name of their own",
		function()
			local params = {}
			eq(lift.text([[cache:get "a"]], KINDS, params), "cache:get(p.key)")
			eq(lift.text([[cache:ttl "a"]], KINDS, params), "cache:ttl(p.key)")
			eq(lift.text([[cache:get "b"]], KINDS, params), "cache:get(p.key_2)")
			eq(#params, 2)
			eq(lift.text([[cache:get "a"]], KINDS, params, "q"), "cache:get(q.key)")
		end)
end)

describe("any text", function()
	local PIECES <const> = { "cache:get", "cache", "db", ":query", " x", " = ", "(",
		")", "{", "}", ",", ";", '"a*"', "'b'", "[[c\n]]", "5", "0.5", "-", "..",
		"match = ", "verb = ", "_", "_1", "return ", "local ", "function f() ",
		" end", "\n", "--c\n", "if x then ", "t", "p", "#", "[", "]", ".", "'" }
	local seed = 7
	local function any()
		local parts = {}
		for n = 1, 3 + seed % 12 do
			seed = (seed * 1103515245 + 12345) % 2147483648
			parts[n] = PIECES[seed // 65536 % #PIECES + 1]
		end
		return table.concat(parts)
	end
	it("that compiles still does when it is lifted, and as a playbook", function()
		local compiled = 0
		for _ = 1, 20000 do
			local text = any()
			local new = lift.text(text, KINDS, {})
			local expression = load("return " .. text) ~= nil
			if expression or load(text) then
				compiled = compiled + 1
				ok(load((expression and "return " or "") .. new),
					("'%s' became '%s'"):format(text, new))
				local pb = saved(text, "cache:ping()")
				ok(load(pb), pb)
			end
		end
		ok(compiled > 100, compiled)
	end, { plain = true })
end)

describe("a saved session", function()
	it("has its entries as steps, its targets as needs", function()
		local text, found = saved([[cache:get "flights::7"]],
			[[found = cache:count { match = "flights::*" }]],
			[[db "select count(*) from flights"]])
		has(text, [[needs   = { cache = "redis", db = "postgres" }]])
		has(text, [[match = { type = "pattern", default = "flights::*"]])
		has(text, "local cache, db = t.cache, t.db")
		has(text, [[step("1 cache:get", function()]])
		has(text, "found = step(\"2 cache:count\", function()")
		has(text, "return found")
		has(text, "return r3")
		eq(#found.parts, 3)
		eq(#found.left, 0)
	end)
	it("asks its guards again, outside of steps", function()
		local text = saved([[n = cache:count { match = "x:*" }]],
			[[guard(cache, { verb = "unlink", count = n.count })]],
			[[for k in cache:scan { match = "x:*" } do cache:unlink(k) end]])
		has(text, "\n    guard(cache, { verb = \"unlink\", count = n.count })\n")
	end)
	it("knows the results before: _ and _1", function()
		local text = saved([[cache:get "a"]], [[cache:get "b"]],
			[[print(_ .. _1)]])
		has(text, "r1 = step")
		has(text, "r2 = step")
		has(text, "local _ = r2")
		has(text, "local _1 = r1")
	end)
	it("keeps locals and functions of entries", function()
		local text = saved([[local n = 3]], "local function f(x)\n  return x\nend",
			[[cache:expire("k", f(n))]])
		has(text, "n = p.n")
		has(text, "\n    function f(x)\n")
		has(text, "local n, f")
	end)
	it("leaves out what failed, commands, and what no playbook can hold", function()
		local list = entries([[cache:get "a"]], [[cache:get(nothing)]],
			[[:targets]], [[:note the cache is stale]], [[x = undefined_name]],
			[[x.y]], [[cache = 1]], [[step = 2]], [[password = "hunter2hunter2"]])
		list[1].worked = nil
		list[#list + 1] = { n = 10, text = [[cache:ping()]], worked = true }
		list[#list + 1] = { n = 11, text = [[help(cache)]], worked = true }
		local text, found = save.text("redis/stale", list, CONFIG, "a run")
		has(text, "-- Note: the cache is stale")
		has(text, "cache:ping()")
		local why = {}
		for _, left in ipairs(found.left) do why[left.n] = left.why end
		eq(why, { [2] = "'nothing' is not known in a playbook",
			[5] = "'undefined_name' is not known in a playbook",
			[6] = "'x' is not known in a playbook",
			[7] = "it replaces target 'cache'", [8] = "it replaces 'step'",
			[9] = "it holds a secret" })
		eq(save.text("redis/stale", entries ":targets", CONFIG, "a run"), nil)
	end)
	it("takes other names when an entry uses t or p", function()
		local text = saved([[t = cache:get "a"]], [[p = t]], [[print(p)]])
		has(text, "run = function(targets, params)")
		has(text, "cache:get(params.key)")
	end)
end)

describe(":save", function()
	local function with(f)
		return function()
			local dir = os.tmpname()
			os.remove(dir)
			assert(sys.mkdir(dir))
			repl.with({}, {}, function(ctx, config)
				config.targets = CONFIG.targets
				config.path = dir .. "/opsh.lua"
				function ctx.config() return config end
				ctx.entries = { [[cache:get "a"]], [[key = "k"]],
					[[cache:get(key)]], [[cache:get "broken"]],
					[[:save redis/stale]] }
				ctx.worked = { true, true, true, false }
				ctx.gave = { true, false, true, false }
				f(ctx, dir)
			end)
		end
	end
	it("writes a file beside the targets file, once", with(function(ctx, dir)
		local path = dir .. "/playbooks/redis/stale.lua"
		local said = ctx.run ":save redis/stale"
		has(said, "wrote " .. path .. ": 3 of the session's entries, 2 "
			.. "parameters: key, key_2")
		local text = assert(sys.read(path, 1 << 20))
		ok(not text:find("broken", 1, true))
		local e = raises("config", ctx.run, ":save redis/stale")
		has(e.message, "is there already, nothing was written")
		eq(sys.read(path, 1 << 20), text)
		eq(#sys.readdir(dir .. "/playbooks/redis"), 1)
	end))
	it("takes a path, and some of the entries", with(function(ctx, dir)
		ctx.run((":save %s/x/y.lua 2-3"):format(dir))
		local text = assert(sys.read(dir .. "/x/y.lua", 1 << 20))
		ok(not text:find('default = "a"', 1, true))
		ok(text:find('name    = "x/y"', 1, true))
		raises("entries such as 3%-7", ctx.run, ":save a/b 1..2")
		raises("no entry that worked", ctx.run, ":save a/b 4")
		raises("DOMAIN/VERB", ctx.run, ":save b")
		raises("DOMAIN/VERB", ctx.run, ":save a/B")
	end))
end)
