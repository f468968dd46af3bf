-- Specs of run.targets and run.target: the targets file, --target, --bind. Owns
-- one file of its own; a kind `fake` stands for all bindings. Connects to
-- nothing.
local sys = require "opsh.c.sys"

local SAVED = {}
local function replace(name, value)
	SAVED[name] = package.loaded[name] or false
	package.loaded[name] = value
end
replace("run.kinds", { fake = { "redis", "rediss", "redis+unix" },
	other = { "http", "https" } })
replace("opsh.fake", { kind = {
	name = "fake",
	options = {
		password = { type = "secret", help = "of the server" },
		user = { type = "string" },
		retries = { type = "integer", min = 0, default = 3 },
		connect_timeout = { type = "duration" },
		tls = { type = "table" },
	},
	connect = function(target, options) return { target, options } end,
} })
replace("opsh.other", { kind = { name = "other", options = {
	token = { type = "secret", required = true, help = "the API's" } } } })
replace("opsh.c.target", { new = function(t) return t end })
for _, name in ipairs { "run.target", "run.targets", "run.cmd.targets" } do
	replace(name, nil)
end
local targets = require "run.targets"

local path = os.tmpname()
os.remove(path)
path = path .. ".opsh.lua"

local secret = {
	value = function(s) return { secret = s } end,
	env = function(name) return { secret = "env " .. name } end,
	is = function(v) return type(v) == "table" and v.secret ~= nil end,
}
local OPTS = { secret = secret }

local function read(text)
	os.remove(path)
	assert(sys.save(path, text, 384))
	return targets.load(path, OPTS)
end

local function refused(text)
	local e = raises("config", function() read(text) end)
	return (e.message:gsub(path:gsub("%p", "%%%0"), "f"))
end

local function target(text)
	return "return {\n targets = {\n  cache = {\n" .. text .. "\n } } }"
end

describe("targets.load", function()
	it("gives the common form", function()
		local c = read [[
return {
  environment = "production", protected = true,
  targets = {
    cache = { kind = "fake", url = "redis://ops@h:1/2", role = "master",
      password = secret.env "PW", connect_timeout = "5s" },
    plain = "rediss://u:hunter22@h",
    api = { url = "http://gw:8080", token = "tok12345" },
  },
  services = { tracker = { target = "api", health = "/h",
    thresholds = { errors = 0.1 } }, web = { depends = { "tracker" } } },
  lock = { store = "cache", ttl = "30s" },
  contacts = { lead = "a@b.example" },
  patterns = { flights = "flights::*" },
}]]
		eq(c.environment, "production")
		eq(c.protected, true)
		eq(c.path, path)
		local t = c.targets.cache
		eq({ t.name, t.kind, t.role, t.address },
			{ "cache", "fake", "master", "redis://:***@h:1/2" })
		eq(t.options, { password = { secret = "env PW" }, retries = 3,
			connect_timeout = 5 })
		eq(t.url.db, 2)
		eq(c.targets.plain.url.password, { secret = "hunter22" })
		eq(c.targets.plain.address, "rediss://u:***@h")
		eq(c.targets.api.options.token, { secret = "tok12345" })
		eq(c.lock, { store = "cache", ttl = 30 })
		eq(c.services.tracker.thresholds.errors, 0.1)
	end)

	it("names file and line of what is unknown", function()
		ok(refused("return {\n protectd = true }"):find(
			"^f:2: unknown field 'protectd' in targets file %(did you mean"))
		ok(refused(target("kind = 'fake',\n pasword = 'x'")):find(
			"^f:5: unknown field 'pasword' in target 'cache' of kind 'fake'"))
		ok(refused("return { services = {\n a = { helth = 'x' } } }"):find(
			"^f:2: unknown field 'helth'"))
		ok(refused("return { lock = {\n stor = 'x' } }"):find(
			"^f:2: unknown field 'stor'"))
	end)

	it("names file and line of what is wrong", function()
		ok(refused(target("kind = 'nokind'")):find(
			"^f:4: kind 'nokind' is not built in"))
		ok(refused(target("url = 'redis://h:x'")):find("^f:4: cannot read URL"))
		ok(refused(target("kind = 'other', url = 'redis://h'")):find(
			"of kind 'other', but its URL is for 'fake'", 1, true))
		ok(refused(target("role = 'x'")):find("needs 'kind' or 'url'", 1, true))
		ok(refused(target("kind = 'fake', retries = 'x'")):find(
			"field 'retries' of target 'cache': expected an integer", 1, true))
		ok(refused(target("kind = 'fake', retries = -1")):find("at least 0", 1, true))
		ok(refused(target("kind = 'fake', password = 5")):find("a secret", 1, true))
		ok(refused(target("kind = 'other'")):find("needs the field 'token'", 1, true))
		ok(refused(target("url = 5")):find("must be a string", 1, true))
		ok(refused("return { protected = 'yes' }"):find("must be a boolean", 1, true))
		ok(refused("return { targets = { 'redis://h' } }"):find("needs a name",
			1, true))
		ok(refused("return { targets = { string = 'redis://h' } }")
			:find("taken by Lua", 1, true))
		ok(refused("return { targets = { Cache = 'redis://h' } }")
			:find("small letters", 1, true))
		ok(refused("return { targets = { [ ('x'):rep(64) ] = 'redis://h' } }")
			:find("longer than", 1, true))
		ok(refused("return { services = { a = { target = 'b' } } }")
			:find("not there", 1, true))
		ok(refused("return { services = { a = { depends = { 'b' } } } }")
			:find("not there", 1, true))
		ok(refused("return { lock = { store = 'b' } }"):find("neither", 1, true))
		ok(refused("return { contacts = { f = print } }")
			:find("undefined global 'print'", 1, true))
		ok(refused("return { contacts = { f = tostring } }")
			:find("a function can't", 1, true))
		ok(refused("return 5"):find("must return a table", 1, true))
		ok(refused("local x = 1"):find("must return a table, not a nil", 1, true))
	end)

	it("has no effects to offer", function()
		ok(refused("io.open('x')"):find("undefined global 'io'", 1, true))
		ok(refused("return os.execute('x')"):find("cannot load", 1, true))
		ok(refused("return require 'x'"):find("undefined global", 1, true))
		ok(refused("error 'stop'"):find("stop", 1, true))
	end)

	it("shows no password of a URL", function()
		ok(not refused(target("url = 'redis://u:hunter2hunter2@h:x'"))
			:find("hunter2", 1, true))
	end)

	it("searches in order", function()
		eq(targets.path("asked"), "asked")
		local getenv, stat = sys.getenv, sys.stat
		local value
		-- also when an allocation of the test itself fails
		local _ <close> = setmetatable({}, { __close = function()
			sys.getenv, sys.stat = getenv, stat
		end })
		sys.getenv = function(n)
			if n == "OPSH_TARGETS" then
				return value
			end
			return getenv(n)
		end
		sys.stat = function() return nil, "no" end
		local none, from_env
		none = targets.path()
		value = "/x/y.lua"
		from_env = targets.path()
		local e = select(2, pcall(targets.load, nil, OPTS))
		value = ""
		sys.stat = function() return {} end
		local beside = targets.path()
		eq(none, nil)
		eq(from_env, "/x/y.lua")
		ok(e.message:find("cannot open targets file '/x/y.lua'", 1, true))
		eq(beside, "opsh.lua")
	end)
end)

describe("targets.add", function()
	it("adds and replaces", function()
		local c = targets.empty()
		eq(targets.add(c, "cache=redis://h/1", OPTS).kind, "fake")
		eq(c.targets.cache.url.db, 1)
		targets.add(c, "cache=redis://h/2?x=y", OPTS)
		eq(c.targets.cache.url.db, 2)
	end)

	it("says what is wrong", function()
		local c = targets.empty()
		for _, text in ipairs { "cache", "=redis://h", "cache=", "if=redis://h",
			"cache=foo://h", "cache=redis://u:hunter2hunter2@h:x" } do
			local e = raises("usage", function() targets.add(c, text, OPTS) end)
			ok(not e.message:find("hunter2", 1, true))
		end
	end)
end)

describe("targets.bind", function()
	local c = targets.empty()
	targets.add(c, "cache=redis://h", OPTS)
	targets.add(c, "second=redis://h", OPTS)
	local NEEDS = { cache = { kinds = { "fake" } },
		api = { kinds = { "other" }, optional = true } }

	it("goes by name, and by --bind", function()
		eq(targets.bind(c, NEEDS).cache.name, "cache")
		eq(targets.bind(c, NEEDS).api, nil)
		eq(targets.bind(c, NEEDS, { "cache=second" }).cache.name, "second")
	end)

	it("says what is missing or does not fit, and what to type", function()
		local e = raises("config", function()
			targets.bind(c, { db = { kinds = { "fake" } } })
		end)
		ok(e.message:find("needs target 'db' (fake)", 1, true))
		eq(e.hint, "--bind db=cache")
		e = raises("config", function()
			targets.bind(c, { db = { kinds = { "other" } } })
		end)
		eq(e.hint, "--target db=http://HOST")
		raises("of kind 'fake'", function()
			targets.bind(c, { cache = { kinds = { "other" } } })
		end)
		raises("usage", function() targets.bind(c, NEEDS, { "x=second" }) end)
		raises("usage", function() targets.bind(c, NEEDS, { "cache=none" }) end)
		raises("usage", function() targets.bind(c, NEEDS, { "cache" }) end)
		raises("twice", function()
			targets.bind(c, NEEDS, { "cache=second", "cache=second" })
		end)
	end)
end)

describe("a kind of opsh that this build lacks", function()
	it("is taken as it is, and raises when it is used", function()
		local c = read [[
return { targets = {
  events = { kind = "kafka", brokers = "kafka:9092", sasl = { user = "x" } },
  db = "postgres://ops@db/flights",
  stack = { kind = "compose", file = "docker-compose.yml" },
} }]]
		eq({ c.targets.events.kind, c.targets.db.kind, c.targets.stack.kind },
			{ "kafka", "postgres", "compose" })
		eq(c.targets.db.address, "postgresql://ops@db/flights")
		local e = raises("config", function() targets.open(c.targets.db) end)
		ok(e.message:find("kind 'postgres' is not built in", 1, true))
	end)

	it("is still checked for what all targets have", function()
		ok(refused(target("kind = 'kafka', url = 'http://h'")):find(
			"is of kind 'kafka', but its URL is for 'other'", 1, true))
		ok(refused(target("kind = 'kafka', role = 5")):find(
			"must be a string", 1, true))
	end)
end)

describe("targets.open", function()
	it("hands the kind its target and options", function()
		local c = targets.empty()
		targets.add(c, "cache=redis://h/1", OPTS)
		local client, object = targets.open(c.targets.cache, "master")
		eq(object, { name = "cache", kind = "fake", role = "master" })
		eq(client[2].url.db, 1)
		eq(client[2].retries, 3)
	end)
end)

describe("opsh targets", function()
	it("lists, and says what can't be reached", function()
		local c = targets.empty()
		targets.add(c, "cache=redis://u:hunter22@h/1", OPTS)
		local shown
		local ctx = { output = "text", config = function() return c end,
			rows = function(rows) shown = rows end, err = function() end }
		local run = require("run.cmd.targets").run
		eq(run(ctx, { options = {} }), 0)
		eq(shown[1].address, "redis://u:***@h/1")
		eq(run(ctx, { options = { connect = true } }), 4)
		ok(shown[1].state ~= "ok")
		c.targets = {}
		eq(run(ctx, { options = {} }), 0)
		raises("usage", function() run(ctx, { "x", options = {} }) end)
	end)
end)

describe("clean-up", function()
	it("puts the modules back", function()
		os.remove(path)
		for name, value in pairs(SAVED) do
			package.loaded[name] = value or nil
		end
	end)
end)
