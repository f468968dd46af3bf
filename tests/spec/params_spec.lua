-- Specs of run.params: descriptions, types, limits and messages. From text, as
-- the command line gives it, and from values. Pure: no file, no target. Owns
-- nothing.
local params = require "run.params"

local function problems(name, def)
	local out = {}
	params.check(name, def, function(field, message)
		out[#out + 1] = (field or "-") .. ": " .. message
	end)
	return out
end

local SPEC = {
	pattern = { type = "pattern", required = true, help = "glob of the keys",
		example = "flights::*" },
	rate = { type = "integer", default = 20000, min = 1, max = 1000000 },
	wait = { type = "duration", default = "10m" },
	mode = { type = "enum", choices = { "fast", "slow" }, default = "fast" },
	names = { type = "list", max = 3 },
	ids = { type = "list", items = "integer" },
	ratio = { type = "number" },
	sure = { type = "boolean", default = false },
	code = { type = "string", pattern = "%u%u%d+", min = 3 },
	token = { type = "string", secret = true },
}

local function parse(...)
	return params.parse(SPEC, { "pattern=p:*", ... })
end

local function message(...)
	local args = { ... }
	return raises("usage", function()
		params.parse(SPEC, { "pattern=p:*", table.unpack(args) })
	end).message
end

describe("params.check", function()
	it("takes all of a good description", function()
		for name, def in pairs(SPEC) do
			eq(problems(name, def), {})
		end
	end)

	it("names unknown fields and types", function()
		eq(problems("a", { typ = "string" }), {
			"typ: unknown field 'typ' (did you mean 'type'?)",
			"-: field 'type' is missing" })
		ok(problems("a", { type = "integr" })[1]:find("did you mean 'integer'"))
	end)

	it("refuses what contradicts itself", function()
		local function one(def, text)
			local list = problems("a", def)
			ok(#list == 1 and list[1]:find(text, 1, true),
				table.concat(list, "; "))
		end
		one({ type = "string", required = true, default = "x" }, "default")
		one({ type = "integer", default = "x" }, "expected an integer")
		one({ type = "integer", default = 0, min = 1 }, "at least 1")
		one({ type = "enum" }, "choices")
		one({ type = "boolean", min = 1 }, "no 'min'")
		one({ type = "integer", secret = true }, "secret")
		one({ type = "string", pattern = "[a" }, "malformed")
		one({ type = "string", items = "integer" }, "items")
		one({ type = "list", items = "list" }, "unknown type")
		one({ type = "string", help = 5 }, "must be a string, not a number")
		one("string", "must be a table")
	end)

	it("refuses names that can't be typed", function()
		eq(#problems("Bad-Name", { type = "string" }), 1)
		eq(#problems(1, { type = "string" }), 1)
	end)
end)

describe("params.parse", function()
	it("gives typed values and defaults", function()
		local p = parse("rate=5", "names=a,b", "ids=1,-2", "ratio=0.5",
			"sure=yes", "mode=slow", "code=AB12", "wait=1h30m")
		eq(p, { pattern = "p:*", rate = 5, names = { "a", "b" },
			ids = { 1, -2 }, ratio = 0.5, sure = true, mode = "slow",
			code = "AB12", wait = 5400 })
		p = parse()
		eq(p, { pattern = "p:*", rate = 20000, wait = 600, mode = "fast",
			sure = false })
		eq(math.type(p.rate), "integer")
	end)

	it("keeps '=' and ',' of values", function()
		eq(params.parse({ a = { type = "string" } }, { "a=b=c" }), { a = "b=c" })
		eq(parse("names=a\\,b,c").names, { "a,b", "c" })
		eq(parse("names=").names, {})
		eq(parse("names=a,").names, { "a", "" })
	end)

	it("says what was expected, with an example", function()
		eq(message("rate=abc"), "parameter 'rate': expected an integer, "
			.. "got 'abc' (example: rate=20000)")
		ok(message("rate=0"):find("expected at least 1", 1, true))
		ok(message("rate=1e3"):find("expected an integer", 1, true))
		ok(message("rate=99999999999999999999"):find("integer", 1, true))
		ok(message("mode=medium"):find("one of fast, slow", 1, true))
		ok(message("sure=maybe"):find("true or false", 1, true))
		ok(message("names=a,b,c,d"):find("at most 3 items", 1, true))
		ok(message("ids=1,x"):find("an integer as item 2", 1, true))
		ok(message("code=ab"):find("Lua pattern", 1, true))
		ok(message("ratio=nan"):find("a number", 1, true))
		ok(message("ratio=1e999"):find("a number", 1, true))
		ok(message("wait=soon"):find("a duration", 1, true))
	end)

	it("names what is missing, unknown, twice or no pair", function()
		eq(raises("usage", function() params.parse(SPEC, {}) end).message,
			"parameter 'pattern': missing: expected a pattern such as "
			.. "'prefix:*', glob of the keys (example: pattern=flights::*)")
		eq(message("rat=5"), "unknown parameter 'rat' (did you mean 'rate'?)")
		eq(message("rate=5", "rate=6"), "parameter 'rate' is given twice")
		ok(message("rate"):find("expected NAME=VALUE, got 'rate'", 1, true))
		ok(message("=5"):find("expected NAME=VALUE", 1, true))
	end)

	it("wraps secrets and never shows them", function()
		local p = params.parse(SPEC, { "pattern=x", "token=hunter2" },
			{ secret = function(text, name) return { text, name } end })
		eq(p.token, { "hunter2", "token" })
		local strict = { token = { type = "string", secret = true, min = 20 } }
		local e = raises("usage", function()
			params.parse(strict, { "token=hunter2" })
		end)
		ok(not e.message:find("hunter2", 1, true))
	end)
end)

describe("params.apply", function()
	it("takes Lua values by type", function()
		local p = params.apply(SPEC, { pattern = "x", rate = 3.0,
			names = { "a,b" }, sure = true, wait = 1.5 })
		eq(p.rate, 3)
		eq(p.names, { "a,b" })
		eq(p.sure, true)
		eq(p.wait, 1.5)
		raises("usage", function()
			params.apply(SPEC, { pattern = "x", rate = "5" })
		end)
	end)
end)

describe("params.duration", function()
	it("reads units and plain seconds", function()
		local cases = { ["90"] = 90, ["10m"] = 600, ["1h30m"] = 5400,
			["500ms"] = 0.5, ["2d"] = 172800, ["1w"] = 604800, ["0"] = 0,
			["1.5h"] = 5400, [".5"] = 0.5 }
		for text, want in pairs(cases) do
			eq(params.duration(text), want)
		end
		for _, text in ipairs { "", "m", "10x", "-5", "1h 2m", "1.2.3s",
			"10m5", "1e5" } do
			eq(params.duration(text), nil)
		end
	end)
end)
