-- Specs of run.playbook, run.fields, run.inert and the commands on playbooks.
-- Owns a folder of its own, removed at the end. Reaches no target: what runs
-- here runs with stand-ins.
local sys = require "opsh.c.sys"
local check = require "run.check"
local fields = require "run.fields"
local inert = require "run.inert"
local playbook = require "run.playbook"

local root = os.tmpname()
os.remove(root)
root = root .. ".d"
assert(sys.mkdir(root))

local made = {}
local function file(name, text)
	local path = root .. "/" .. name
	assert(sys.mkdir((path:match("^(.*)/"))))
	os.remove(path)
	assert(sys.save(path, text, 384))
	made[#made + 1] = path
	return path
end

local function env()
	return { string = string, step = function() end, assert = assert,
		require = require, error = error }
end

local GOOD = [[
return {
  name = "redis/cache-flush",
  summary = "Remove cached entries by pattern",
  severity = "P3",
  needs = { cache = "redis", o = { "compose", "kubernetes" },
    r = { kind = "redis", role = "replica", optional = true, reach = false } },
  params = {
    pattern = { type = "string", required = true, example = "flights::*" },
    rate = { type = "integer", default = 20000, min = 1 },
  },
  lock = "cache",
  timeout = "10m",
  tags = "cache",
  example = "opsh run redis/cache-flush pattern='flights::*'",
  checks = { { "first", function() end }, second = function() end },
  verify = function() end,
  run = function(t, p) return t, p end,
}
]]

-- The message of loading such a playbook, without the folder.
local function refused(text)
	local path = file("bad/x.lua", text)
	local e = raises("config", function()
		playbook.load(path, { env = env() })
	end)
	return (e.message:gsub(path:gsub("%p", "%%%0"), "x.lua"))
end

local MINIMAL = [[
return {
  name = "a/b",
  summary = "s",
  run = function() end,
  %s
}]]

describe("playbook.load", function()
	it("gives the final form of all fields", function()
		local path = file("redis/cache-flush.lua", GOOD)
		local pb = playbook.load(path, { env = env() })
		eq(pb.name, "redis/cache-flush")
		eq(pb.path, path)
		eq(pb.source, GOOD)
		eq(pb.chunkname, "@" .. path)
		eq(pb.needs.cache.kinds, { "redis" })
		eq(pb.needs.o.kinds, { "compose", "kubernetes" })
		eq(pb.needs.r.role, "replica")
		eq(pb.needs.r.optional, true)
		eq(pb.timeout, 600)
		eq(pb.tags, { "cache" })
		eq(pb.example, { "opsh run redis/cache-flush pattern='flights::*'" })
		eq({ pb.checks[1].name, pb.checks[2].name }, { "first", "second" })
		eq(pb.params.rate.default, 20000)
		eq({ pb.run(1, 2) }, { 1, 2 })
	end)

	it("does not execute a script", function()
		local path = file("s.lua", "error 'ran'")
		local pb = playbook.load(path, { env = env() })
		eq(pb.script, true)
		eq(pb.spec, nil)
		raises("ran", pb.chunk)
	end)

	it("names file and line of an unknown field", function()
		ok(refused(MINIMAL:format("sumary = 1,")):find(
			"^x.lua:5: unknown field 'sumary' in playbook %(did you mean"))
		ok(refused(MINIMAL:format("zzzzzzzzzzz = 1,")):find("known: binaries", 1,
			true))
		ok(refused(MINIMAL:format("\n\n5,")):find("^x.lua:%d: unknown field %[1%]"))
	end)

	it("names file and line of a wrong field, at any depth", function()
		ok(refused(MINIMAL:format("severity = 'P9',")):find(
			"^x.lua:5: field 'severity' must be one of P0"))
		ok(refused(MINIMAL:format("\n needs = {\n cache = 5 },")):find(
			"^x.lua:7: field 'needs' needs the kind"))
		ok(refused(MINIMAL:format(
			"params = {\n a = { type = 'string' },\n b = {\n typ = 'x' } },"))
			:find("^x.lua:8: field 'params' parameter 'b': unknown field 'typ'"))
		ok(refused(MINIMAL:format("timeout = 0,")):find("^x.lua:5: field 'timeout'"))
		ok(refused(MINIMAL:format("checks = { 5 },")):find("^x.lua:5: field 'checks'"))
		ok(refused(MINIMAL:format("name = 'flat',")):find("^x.lua:5: field 'name'"))
		ok(refused(MINIMAL:format("verify = 1,")):find("must be a function"))
		ok(refused(MINIMAL:format("lock = 1, tags = 5,")):find("and 1 more", 1, true))
	end)

	it("names a missing field", function()
		ok(refused("return {\n summary = 's', run = function() end }"):find(
			"field 'name' is missing", 1, true))
		ok(refused("return {}"):find("and 2 more", 1, true))
		ok(refused("return 5"):find("must return a table, not a number", 1, true))
	end)

	it("refuses before it runs", function()
		ok(refused("error 'ran' return undefined_thing"):find("^x.lua:1: undefined global"))
		ok(refused("return {"):find("^x.lua:1: "))
		ok(refused("return require 'socket'"):find("cannot require", 1, true))
		ok(refused(string.dump(function() return {} end)):find("precompiled", 1, true))
		ok(refused("error 'ran'\nreturn {}"):find("ran", 1, true))
	end)

	it("refuses a file that is not there, or a folder", function()
		raises("cannot open playbook", function()
			playbook.load(root .. "/none.lua", { env = env() })
		end)
		raises("is a folder", function()
			playbook.load(root, { env = env() })
		end)
	end)

	it("refuses what others can write", function()
		local path = file("open/x.lua", GOOD)
		local stat = sys.stat
		local function with(changed, f)
			local _ <close> = setmetatable({}, { __close = function()
				sys.stat = stat
			end })
			sys.stat = function(p)
				local st, why = stat(p)
				if st and changed[p] then
					for k, v in pairs(changed[p]) do
						st[k] = v
					end
				end
				return st, why
			end
			f()
		end
		local function load_it() playbook.load(path, { env = env() }) end

		with({}, load_it)
		raises("everybody can write it", function()
			with({ [path] = { mode = 438 } }, load_it)
		end)
		raises("belongs to user 12345", function()
			with({ [path] = { uid = 12345 } }, load_it)
		end)
		raises("its folder", function()
			with({ [root .. "/open"] = { mode = 511 } }, load_it)
		end)
		with({ [root .. "/open"] = { mode = 1023 } }, load_it)
		with({ [path] = { uid = 0 } }, load_it)
	end)
end)

describe("playbook.describe", function()
	it("needs no target and has no effect", function()
		local path = file("d/x.lua", "local n = cache:cmd('DBSIZE') + 1\n"
			.. "local r = require 'opsh.redis'\nos.remove 'x'\n"
			.. "io.open('x', 'w'):write(n)\nlocal t = {}\n"
			.. "for k, v in pairs(cache) do t[k] = v end\n"
			.. GOOD:gsub("timeout = \"10m\"", "timeout = r.limit"))
		local names = { cache = true }
		for k in pairs(check.globals) do
			names[k] = true
		end
		local pb = playbook.describe(path, { env_names = names })
		eq(pb.name, "redis/cache-flush")
		eq(pb.timeout, nil)
	end)

	it("ends what does not end", function()
		for _, body in ipairs {
			"while true do end",
			"while true do pcall(function() while true do end end) end",
			"pcall(function() while true do end end)",
			"for _ in cache do end",
		} do
			local path = file("loop/x.lua", body .. " return { name = 'a/b' }")
			raises("did not end", function()
				playbook.describe(path, { env_names = { "cache", "pcall" } })
			end)
		end
	end)

	it("collects problems when asked to", function()
		local path = file("many/x.lua", MINIMAL:format("a = 1, b = 2,"))
		local pb = playbook.describe(path, { problems = true })
		eq(#pb.problems, 2)
		eq(pb.problems[1].line, 5)
		path = file("many/y.lua", "local x = nil\nx()\nreturn {}")
		pb = playbook.describe(path, { problems = true })
		eq(pb.problems[1].line, 2)
	end)

	it("can't change the runner's libraries", function()
		local path = file("evil/x.lua", "string.format = nil\n"
			.. "setmetatable({}, { __gc = function() error 'late' end })\n"
			.. "getmetatable('').__index = nil\n" .. GOOD)
		pcall(playbook.describe, path)
		ok(string.format("%d", 1) == "1")
		ok(("x"):rep(2) == "xx")
	end)
end)

describe("inert", function()
	it("takes every operation", function()
		local env_table = inert.environment { "thing" }
		local x = env_table.thing
		for _, f in ipairs {
			function() return x.a.b:c(1) + 1 end,
			function() return -x * 2 .. "a" end,
			function() return x // 2 << 1 end,
		} do
			eq(inert.is(f()), true)
		end
		eq(#x, 0)
		eq(x < 1, false)
		ok(tostring(x))
		for _ in pairs(x) do
			error("not empty")
		end
	end)
end)

describe("playbook.find and list", function()
	file("books1/redis/one.lua", GOOD)
	file("books1/redis/two.lua", GOOD)
	file("books2/redis/one.lua", GOOD)
	file("books2/kafka/three.lua", GOOD)
	file("books2/README.md", "no playbook")
	file("books2/flat.lua", GOOD)
	local dirs = { root .. "/none", root .. "/books1", root .. "/books2" }

	it("takes the first folder that has it", function()
		eq(playbook.find("redis/one", dirs), root .. "/books1/redis/one.lua")
		eq(playbook.find("kafka/three", dirs), root .. "/books2/kafka/three.lua")
		eq(playbook.find("./x.lua", dirs), "./x.lua")
		eq(playbook.find("/x/y", dirs), "/x/y")
	end)

	it("lists each name once, sorted", function()
		local names = {}
		for n, entry in ipairs(playbook.list(dirs)) do
			names[n] = entry.name
		end
		eq(names, { "kafka/three", "redis/one", "redis/two" })
	end)

	it("suggests a name", function()
		ok(raises("config", function() playbook.find("redis/onne", dirs) end)
			.message:find("did you mean 'redis/one'", 1, true))
		raises("config", function() playbook.find("nothing", dirs) end)
		raises("config", function() playbook.find("redis/../x", dirs) end)
	end)

	it("looks beside the targets file first", function()
		eq(playbook.dirs("/etc/ops/opsh.lua", "/usr/x")[1], "/etc/ops/playbooks")
		local list = playbook.dirs(nil, "/usr/x")
		eq(list[1], "./playbooks")
		eq(list[#list], "/usr/x")
	end)
end)

describe("commands on playbooks", function()
	local function context(output)
		local ctx = { output = output or "text", text = "", errors = "",
			shown = {}, dirs = { root .. "/cmd/playbooks" } }
		ctx.out = function(s) ctx.text = ctx.text .. s end
		ctx.err = function(s) ctx.errors = ctx.errors .. s end
		ctx.rows = function(rows) ctx.shown[#ctx.shown + 1] = rows end
		ctx.config = function() return { targets = { cache = {} } } end
		return ctx
	end
	local function call(name, ctx, ...)
		return require("run.cmd." .. name).run(ctx,
			{ options = {}, ... })
	end

	it("new writes what check passes, and overwrites nothing", function()
		local ctx = context()
		local path = root .. "/cmd/playbooks/redis/mine.lua"
		os.remove(path)
		eq(call("new", ctx, path), 0)
		made[#made + 1] = path
		eq(call("check", ctx, path), 0)
		eq(ctx.text, "wrote " .. path .. "\n")
		ok(ctx.errors:find("1 checked, 0 errors, 0 warnings", 1, true), ctx.text)
		raises("there already", function() call("new", ctx, path) end)
		raises("usage", function() call("new", ctx, root .. "/flat") end)

		path = root .. "/cmd/playbooks/redis/needs.lua"
		os.remove(path)
		eq(require("run.cmd.new").run(ctx, { path,
			options = { needs = "cache=redis" } }), 0)
		made[#made + 1] = path
		eq(playbook.describe(path).needs.cache.kinds, { "redis" })
	end)

	it("list shows the good and names the broken", function()
		local ctx = context()
		file("cmd/playbooks/redis/broken.lua", "return { nam = 1 }")
		eq(call("list", ctx), 0)
		eq(ctx.shown[1][1].name, "redis/mine")
		ok(ctx.errors:find("left out", 1, true))
		ctx = context()
		eq(call("list", ctx, "no such word"), 0)
		ok(ctx.errors:find("no playbook with 'no such word'", 1, true))
	end)

	it("doc shows parameters, needs and example", function()
		local ctx = context()
		eq(call("doc", ctx, root .. "/redis/cache-flush.lua"), 0)
		ok(ctx.text:find("redis/cache-flush: Remove cached entries", 1, true))
		ok(ctx.text:find("opsh run redis/cache-flush pattern=", 1, true))
		eq(ctx.shown[1][1].name, "cache")
		eq(ctx.shown[2][1].name, "pattern")
		eq(ctx.shown[2][1].default, "(required)")
		ctx = context "jsonl"
		eq(call("doc", ctx, root .. "/redis/cache-flush.lua"), 0)
		eq(ctx.text, "")
		eq(ctx.shown[1][1].name, "redis/cache-flush")
		eq(ctx.shown[1][1].params[2].default, 20000)
		raises("script", function()
			call("doc", ctx, file("cmd/s.lua", "local x = 1"))
		end)
	end)

	it("check finds all, in playbooks, scripts and targets files", function()
		local ctx = context()
		local bad = file("cmd/bad.lua", "prnt(1)\nlocal x = cache\nreturn x.y")
		local good = file("cmd/script.lua", "print(cache)")
		eq(call("check", ctx, good), 0)
		eq(call("check", ctx, bad, good), 2)
		ok(ctx.text:find("bad.lua:1: undefined global 'prnt'", 1, true))
		local targets_file = file("cmd/opsh.lua",
			"return {\n targets = {},\n protectd = true }")
		ctx = context()
		eq(call("check", ctx, targets_file), 2)
		ok(ctx.text:find("opsh.lua:3: unknown field 'protectd'", 1, true))
		raises("usage", function() call("check", ctx) end)
	end)
end)

describe("fields.known", function()
	it("has a help text for each field", function()
		for _, field in ipairs(fields.known) do
			ok(type(field.help) == "string" and field.help ~= "", field[1])
		end
	end)
end)

describe("clean-up", function()
	it("removes the folder", function()
		local dirs = {}
		for _, path in ipairs(made) do
			os.remove(path)
			local dir = path:match("^(.*)/")
			while #dir >= #root do
				dirs[dir] = true
				dir = dir:match("^(.*)/")
			end
		end
		local list = {}
		for dir in pairs(dirs) do
			list[#list + 1] = dir
		end
		table.sort(list, function(a, b) return #a > #b end)
		for _, dir in ipairs(list) do
			os.remove(dir)
		end
		eq(sys.stat(root), nil)
	end)
end)
