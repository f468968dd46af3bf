-- members_spec: what a playbook's functions name of their targets and parameters:
-- seen directly, through local names and in closures; not seen where a name may
-- hold something else. Owns nothing and connects to nothing.
local members = require "run.members"

-- The uses of the function that `text` is, a line each.
local function uses(text)
	local out = {}
	for _, use in ipairs(members.of(assert(load("return " .. text))())) do
		out[#out + 1] = ("%d %s %s%s%s"):format(use.line, use.of,
			use.target and use.target .. ":" or "", use.name,
			use.write and " =" or "")
	end
	return table.concat(out, ", ")
end

local NEEDS <const> = {
	db = { kinds = { "postgres" } }, cache = { kinds = { "redis" } },
	shop = { kinds = { "compose", "kubernetes" } },
	own = { kinds = { "nobodys" } },
}

-- The problems of a playbook whose `run` is the text.
local function told(text, more)
	local spec = { needs = NEEDS, params = { pattern = {}, max = {} },
		checks = {}, run = assert(load("return " .. text))() }
	for k, v in pairs(more or {}) do spec[k] = v end
	local out = {}
	members.check(spec, function(line, severity, message)
		out[#out + 1] = ("%d %s: %s"):format(line, severity, message)
	end)
	return table.concat(out, "; ")
end

describe("members", function()
	it("are what is named of targets and parameters", function()
		eq(uses "function(t, p) t.db:query(p.x) end",
			"1 targets db, 1 method db:query, 1 params x")
		eq(uses "function(t, p)\nlocal a <const> = t.db\na:one()\na:two() end",
			"2 targets db, 3 method db:one, 4 method db:two")
		eq(uses "function(t, p) p.x = p.y; t.z = 1 end",
			"1 params y, 1 params x =, 1 targets z =")
		eq(uses "function() t.db:query() end", "")
		eq(uses "function(t) return t.db, p.x end", "1 targets db")
		eq(members.of(print), {})
	end)
	it("are seen in closures", function()
		eq(uses [[function(t, p)
			local db = t.db
			step("a", function() db:one(p.x)
				each(function() t.cache:two(p.y) db:three() end) end)
			end]], "2 targets db, 3 method db:one, 3 params x, 4 targets cache, "
			.. "4 method cache:two, 4 params y, 4 method db:three")
	end)
	it("are not guessed where a name may hold something else", function()
		eq(uses "function(t, p) p = other(); return p.x end", "")
		eq(uses "function(t, p) local d = t.db; d = f(); d:one() end", "1 targets db")
		eq(uses [[function(t, p)
			local d = t.db
			f(function() d = g() end)
			f(function() d:one() end) d:two() end]], "2 targets db")
		eq(uses [[function(t, p)
			f(function() f(function() p = g() end) return p.x end)
			return p.y end]], "")
		eq(uses "function(t, p) for t in f() do t.x:y() end end", "")
	end)
end)

describe("members that are not there", function()
	it("are errors when a target or a parameter", function()
		eq(told "function(t, p) t.bd:query(p.patern) return p.max end",
			"1 error: no target 'bd' in needs (did you mean 'db'?); "
			.. "1 error: no parameter 'patern' in params (did you mean 'pattern'?)")
		eq(told("function(t, p) return p.x, t.y end", { needs = {}, params = {} }),
			"1 error: no parameter 'x' in params (known: none); "
			.. "1 error: no target 'y' in needs (known: none)")
	end)
	it("may have been given by the playbook", function()
		eq(told("function(t, p) return p.seen end",
			{ checks = { { run = function(_, p) p.seen = 1 end } } }), "")
	end)
	it("are warned of when a method", function()
		eq(told "function(t) t.db:qeury() t.db:query() end",
			"1 warning: 'db' (postgres) has no method 'qeury' (did you mean 'query'?)")
		eq(told "function(t) t.shop:restrat('x') t.shop:restart('x') end",
			"1 warning: 'shop' (compose or kubernetes) has no method 'restrat' "
			.. "(did you mean 'restart'?)")
		eq(told "function(t) t.db:nothing_alike() end", "1 warning: 'db' (postgres) "
			.. "has no method 'nothing_alike'")
	end)
	it("are left alone where nobody knows all", function()
		eq(told "function(t) t.cache:gett('x') end",
			"1 warning: 'cache' (redis) has no method 'gett' (did you mean 'get'?)")
		eq(told("function(t) t.cache:get 'x' t.cache:json_numincrby() "
			.. "t.cache:config_get() t.own:anything() end"), "")
	end)
	it("are told once a line, of all functions", function()
		eq(told("function(t, p) return p.a, p.a end", {
			verify = function(_, p) return p.b end,
			undo = function(_, p) return p.pattern end,
			checks = { { run = function(t) return t.c end } } }):gsub("%d+ error", "E"),
			"E: no parameter 'a' in params (known: max, pattern); "
			.. "E: no parameter 'b' in params (known: max, pattern); "
			.. "E: no target 'c' in needs (known: cache, db, own, shop)")
	end)
end)
