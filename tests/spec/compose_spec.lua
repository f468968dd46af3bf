-- compose_spec: what opsh.compose makes of a project and what it runs for each call,
-- for both versions of compose, against programs in their place (tests/lib/docker).
-- The real ones are in tests/live/compose.sh. Owns throwaway files.
local D = dofile "tests/lib/docker.lua"
local effect = require "opsh.c.effect"
local err = require "opsh.c.err"
local json = require "opsh.json"
local logs = require "opsh.compose.logs"
local orchestrator = require "opsh.orchestrator"
local override = require "opsh.compose.override"
local project = require "opsh.compose.project"
local sys = require "opsh.c.sys"
local yaml = require "opsh.compose.yaml"

local FILE <const> = D.dir .. "/docker-compose.yml"
local PREFIX <const> = "docker-compose -f " .. FILE .. " -p shop "

local function lines(text)
	local out = {}
	for line in text:gmatch "[^\n]+" do
		if line:sub(1, #PREFIX) == PREFIX then line = line:sub(#PREFIX + 1) end
		out[#out + 1] = line
	end
	return out
end

-- A folder with a compose file of its own, removed at the end.
local function folder(f, name)
	local dir = os.tmpname()
	os.remove(dir)
	assert(sys.mkdir(dir))
	local _ <close> = setmetatable({}, { __close = function()
		for _, file in ipairs(sys.readdir(dir)) do os.remove(dir .. "/" .. file) end
		os.remove(dir)
	end })
	local path = sys.realpath(dir) .. "/" .. (name or "docker-compose.yml")
	assert(sys.save(path, "version: '2.4'\nservices: {}\n"))
	f(path, path:match "^(.*)/")
end

describe("compose yaml", function()
	it("reads what docker-compose prints", function()
		local config = yaml.read(D.text(D.dir .. "/config.yaml"))
		eq(config.version, "3.9")
		local web = config.services.web
		eq(web.environment, { A = "1", B = "it's: 'odd' # \"x\"\nand two lines",
			C = json.null })
		eq(web.labels["traefik.http.rule"], "Host(`a.b`) && PathPrefix(`/x`)")
		eq(web.expose, { "8080" })
		eq(config.services.db.deploy.resources.limits.cpus, 0.5)
		eq(config.services.db.ports, { { published = 5432, target = 5432 },
			"127.0.0.1:9187:9187/tcp" })
	end)

	it("reads the forms of scalars and blocks", function()
		eq(yaml.read [[
a: &id001
- - - x
    - 'two

      lines'
  - y: 1
    z: -2.5
b: *id001
"q\"\x41\u00e9\t": "long\
  \ line\n\
  end"
plain: some words
  that go on
  here
e: {}
f: []
t: true
n: null
'k: x': ''
g:
]], { a = { { { "x", "two\nlines" }, { y = 1, z = -2.5 } } },
			b = { { { "x", "two\nlines" }, { y = 1, z = -2.5 } } },
			['q"Aé\t'] = "long line\nend", plain = "some words that go on here",
			e = {}, f = {}, t = true, n = json.null, ["k: x"] = "", g = json.null })
		eq(yaml.read "", {})
		for _, bad in ipairs { "a", "- a", "a: b\n  c: d", "? a\n: b", "a: |\n  x",
			"a: 'x", 'a: "\\q"', "a: *x", "a: 1\na: 2", "\ta: 1", "a: [1, 2]",
			"a: 'x' y", "a: !!str x", "a:\n    - x\n   - y",
			"a:\n" .. ("- "):rep(80) .. "x" } do
			local e = raises("protocol", yaml.read, bad)
			ok(e.message:find "line %d+", bad)
		end
		local deep = {}
		for n = 1, 100 do deep[n] = (" "):rep(n) .. "a:" end
		raises("protocol", yaml.read, "a:\n" .. table.concat(deep, "\n"))
	end)
end)

describe("compose definitions", function()
	it("are the same from both versions", function()
		local one = yaml.read(D.text(D.dir .. "/config.yaml")).services
		local two = json.decode(D.text(D.dir .. "/config.json"),
			{ null = json.null }).services
		local db = project.definition("db", one.db)
		eq(db, project.definition("db", two.db))
		eq(project.definition("web", one.web), project.definition("web", two.web))
		eq(db.replicas, 2)
		eq(db.env, { EMPTY = false, POSTGRES_PASSWORD = true, UNSET = false })
		eq(db.ports, { 5432, 9187 })
		eq(db.limits, { cpu = 0.5, memory = 536870912 })
		eq(db.health_check, true)
		eq(db.image, "postgres:15")
		local web = project.definition("web", one.web)
		eq(web.depends, { "db" })
		eq(web.ports, { 8080 })
		eq(web.health_check, false)
		eq(web.config.builds, true)
		eq(web.config.restart, "always")
		ok(not json.encode(db):find "hunter2")
	end)

	it("survive any form", function()
		for _, odd in ipairs { false, 1, "x", {}, { ports = 1 },
			{ ports = { {}, true, "x" } }, { environment = { 1, false, "A" } },
			{ deploy = { resources = 1 } }, { healthcheck = 1, scale = "x" },
			{ depends_on = { 1, {} }, expose = { {} } } } do
			eq(type(project.definition("x", odd)), "table")
		end
	end)
end)

describe("compose reads", function()
	it("services and their definitions", D.compose(nil, nil, function(c, log)
		eq(c:services(), { "db", "web" })
		eq(c:definition("web").depends, { "db" })
		eq(log(), PREFIX .. "config\n")
		local e = raises("usage", c.definition, c, "wbe")
		ok(e.message:find("there are: db, web", 1, true))
		raises("usage", c.status, c, "-x")
		raises("usage", c.definition, c, nil)
	end))

	it("by version 2", D.compose({ FAKE_V = "2" }, { profiles = { "debug" },
		env_file = "/dev/null" }, function(c, log)
		eq(c:services(), { "db", "web" })
		eq(log(), "docker compose -f " .. FILE .. " -p shop --env-file /dev/null "
			.. "--profile debug config --format json\n")
		eq(c:config_check(), { ok = true, warnings = {} })
	end))

	it("profiles that are on", D.compose(nil, { profiles = { "debug" } },
		function(c)
			eq(c:services(), { "db", "debug", "web" })
			local status = c:status "debug"
			eq(status, { { service = "debug", name = "debug", state = "missing",
				ready = false, image = "bb:1" } })
		end))

	it("status", D.compose({ FAKE_GONE = "1" }, nil, function(c, log)
		local list = c:status()
		eq(#list, 9)
		eq(list[1], { service = "db", name = "shop_db_1", state = "running",
			ready = true, health = "healthy", restarts = 0, image = "postgres:15",
			started = 1767323045.678901234, ports = { "0.0.0.0:5432->5432",
			"127.0.0.1:5353->53/udp", "[::]:5432->5432" } })
		eq(list[9].name, "shop_web_10")
		ok(log():find("docker ps --no-trunc --format {{json .}} --all --filter "
			.. "label=com.docker.compose.project=shop\n", 1, true))
		local e = raises("timeout", orchestrator.wait_ready, c, "db",
			{ timeout = 0 })
		ok(e.message:find("shop_db_2 is running %(unhealthy%): Unhealthy"), e.message)
	end))

	it("use and events", D.compose(nil, nil, function(c)
		local use = c:top()
		eq(use[1], { service = "db", name = "shop_db_1", cpu = 1.5025,
			memory = 1572864, memory_limit = 536870912, pids = 5 })
		eq(use[2], { service = "db", name = "shop_db_2" })
		eq(#c:events(), 4)
		eq(#c:events("web", { since = 60 }), 3)
		eq(#c:events "db", 0)
	end))

	it("logs, merged", D.compose(nil, nil, function(c)
		local got = {}
		for line in c:logs("db", { tail = 5 }) do
			got[#got + 1] = line.name .. " " .. line.text
		end
		eq(got, { "shop_db_1 a1", "shop_db_2 b1", "shop_db_2 no time",
			"shop_db_1 a2" })
		got = {}
		for line in c:logs("db", { instance = "shop_db_1", previous = true }) do
			got[#got + 1] = line
			if #got == 1 then break end
		end
		eq(got[1].text, "a1")
		raises("usage", c.logs, c, "db", { tail = -1 })
		raises("check", c.logs, c, "db", { instance = "other" })
	end))

	it("logs as they come", D.compose(nil, nil, function(c, log)
		local got = {}
		for line in c:logs(nil, { follow = true, tail = 3 }) do
			got[#got + 1] = ("%s|%s|%s"):format(line.service, line.name, line.text)
		end
		eq(got, { "web|shop_web_1|one", "db|shop_db_1|two | three",
			"web|shop_web_11|" })
		ok(log():find("logs --no-color --timestamps --follow --tail 3\n", 1, true))
		for line in c:logs("web", { follow = true, since = 1 }) do error(line.text) end
		eq({ logs.prefixed "Attaching to x" }, {})
		eq(type(logs.past), "function")
		eq(type(logs.follow), "function")
	end))

	it("rollout", D.compose(nil, nil, function(c)
		eq(c:rollout_status "db", { done = false, ready = 1, desired = 2,
			updated = 2, message = "1 of 2 ready, 2 of the current definition" })
	end))

	it("warnings of the files", D.compose(nil, nil, function(c)
		eq(c:config_check().warnings, { "The C variable is not set. Defaulting to a "
			.. "blank string." })
	end))
end)

describe("compose says what is wrong", function()
	it("with files", D.compose({ FAKE_FAIL = "config", FAKE_SAYS =
		"ERROR: The Compose file is invalid:\nservices.x is odd" }, nil, function(c)
		local e = raises("config", c.config_check, c)
		eq(e.message, "'" .. FILE .. "' is wrong: The Compose file is invalid: "
			.. "services.x is odd")
		eq(e.target, "engine")
	end))

	it("without a file", D.compose(nil, { file = "/nowhere/compose.yml" },
		function(c)
			local e = raises("config", c.services, c)
			eq(e.message, "compose file '/nowhere/compose.yml' is not there")
		end))

	it("without compose", D.compose({ FAKE_V = "0" }, nil, function(c)
		raises("check", c.services, c)
	end))

	it("without docker", D.compose({ PATH = "/nowhere" }, nil, function(c)
		raises("check", c.services, c)
	end))

	it("without an engine", D.compose({ FAKE_FAIL = "info", FAKE_SAYS =
		"Cannot connect to the Docker daemon at unix:///x" }, nil, function(c)
		local e = raises("connect", c.restart, c)
		eq(e.target, "engine")
	end))

	it("of a write", D.compose({ FAKE_FAIL = "restart", FAKE_SAYS =
		"Restarting shop_db_1 ... \nERROR: No such image" }, nil, function(c)
		local e = raises("server", c.restart, c, "db")
		eq(e.message, "'restart' failed: No such image")
		eq(e.outcome, "failed")
	end))

	it("in the description of the target", function()
		raises("config", D.compose(nil, { project = "Bad Name" }, function() end))
		raises("config", D.compose(nil, { url = { query = { x = "1" } } },
			function() end))
	end)
end)

describe("compose writes", function()
	it("what people type", D.compose(nil, nil, function(c, log)
		c:restart { "db", "web" }
		c:restart(nil, { grace = 0 })
		c:restart("web", { instance = "shop_web_2", grace = 2 })
		ok(log():find("docker restart -t 2 shop_web_2", 1, true), log())
		raises("check", c.restart, c, "web", { instance = "shop_web_9" })
		c:stop "web"
		c:start "web"
		c:kill("web", { signal = "HUP" })
		c:scale("db", 3)
		c:scale("db", 1)
		c:up()
		c:up("web", { build = true, no_deps = true, force_recreate = true })
		c:up(nil, { scale = { db = 2 }, remove_orphans = true })
		c:down { volumes = true }
		c:rm("web", { volumes = true })
		c:pull()
		c:build("web", { no_cache = true })
		local got = {}
		for _, line in ipairs(lines(log())) do
			if not line:find "^docker " and line ~= "config" then
				got[#got + 1] = line
			end
		end
		eq(got, { "restart db web", "restart -t 0", "stop web",
			"start web", "kill -s HUP web",
			"up -d --no-recreate --no-deps --scale db=3 db",
			"up -d --no-recreate --no-deps --scale db=1 db", "up -d",
			"up -d --build --no-deps --force-recreate web",
			"up -d --remove-orphans --scale db=2", "down --volumes",
			"rm -f -v web", "pull -q", "build --no-cache web" })
		raises("usage", c.scale, c, "db", -1)
		raises("usage", c.up, c, nil, { bild = true })
	end))

	it("are judged", D.compose(nil, { profiles = { "debug" } },
		function(c, log, object)
			eq(object:identity(), nil)
			local function class_of(f, ...)
				return tostring(f(...)), effect.status().withheld
			end
			local before = effect.status().withheld
			for n, call in ipairs { { c.restart, c }, { c.start, c, "debug" },
				{ c.scale, c, "db", 1 }, { c.exec, c, "db", { "x" } } } do
				local _, withheld = class_of(table.unpack(call))
				eq(withheld, before + n)
			end
			eq(object:identity(), "engine=AAAA:BBBB project=shop")
			ok(not log():find " restart")
		end, "plan"))

	it("stop when the engine is another one", D.compose({ FAKE_ENGINE = "CCCC" },
		nil, function(c, _, object)
			object:seen("engine=AAAA:BBBB project=shop", "")
			raises("changed", c.restart, c, "db")
		end))

	it("programs in containers", D.compose(nil, nil, function(c, log)
		local r = c:exec("db", { "sh", "-c", "cat; exit 4" }, { effect = "read",
			stdin = "hello", accept = { 4 } })
		eq(r.stdout, "hello")
		eq(r.status, 4)
		ok(log():find("docker exec --interactive shop_db_1 sh", 1, true))
		eq(c:exec("web", { "true" }, { instance = 7 }).ok, true)
		raises("check", c.exec, c, "web", { "true" }, { instance = 70 })
		c:cp("db:/data/dump.rdb", "/tmp/x")
		ok(log():find("docker cp shop_db_1:/data/dump.rdb /tmp/x", 1, true))
	end))
end)

describe("compose override", function()
	it("keeps what was before", function()
		local state = { services = {}, before = {} }
		state = override.change(state, "a", function(e) override.set(e, "x:1") end)
		state = override.change(state, "a", function(e)
			override.set(e, nil, { A = "$b" })
		end)
		eq(state.services.a, { image = "x:1", environment = { A = "$$b" } })
		local back = override.back(state, "a")
		eq(back.services.a, { image = "x:1" })
		back = override.back(back, "a")
		eq(back.services.a, nil)
		eq(override.back(back, "a"), nil)
		eq(override.text(back, "f"), nil)
		folder(function(path)
			assert(sys.save(path .. ".x", override.text(state, "f")))
			eq(override.is_ours(path .. ".x"), true)
			eq(override.is_ours(path), false)
			eq(override.read(path .. ".x").services, state.services)
			eq(override.read(path .. ".none").services, {})
			raises("config", override.read, path)
			assert(sys.save(path .. ".y", "# Written by opsh\n{\"services\": 1}"))
			raises("config", override.read, path .. ".y")
			assert(sys.save(path .. ".z", "# Written by opsh\n{"))
			raises("config", override.read, path .. ".z")
		end)
	end)

	it("is laid over the file", function()
		folder(function(path, dir)
			D.compose(nil, { file = path }, function(c, log)
				local over = dir .. "/docker-compose.override.yml"
				c:set_image("web", "web:2")
				ok(D.text(over):find('"image": "web:2"', 1, true))
				ok(D.text(over):find('"version": "2.4"', 1, true))
				ok(log():find(("docker-compose -f %s -f %s -p shop up -d --no-deps "
					.. "web"):format(path, over), 1, true))
				c:set_env("web", { A = "2" })
				ok(D.text(over):find('"A": "2"', 1, true))
				c:undo "web"
				ok(not D.text(over):find('"A"', 1, true))
				c:undo "web"
				eq(sys.stat(over), nil)
				eq(raises("check", c.undo, c, "web").code, "NO_HISTORY")
				raises("usage", c.set_image, c, "web", "-x y")
				raises("usage", c.set_env, c, "web", {})
				raises("usage", c.set_env, c, "web", { A = 1 })
			end)()
		end)
	end)

	it("leaves a file of people alone", function()
		folder(function(path, dir)
			local theirs = dir .. "/docker-compose.override.yml"
			assert(sys.save(theirs, "services: {}\n"))
			D.compose(nil, { file = path }, function(c, log)
				c:set_image("web", "web:2")
				eq(D.text(theirs), "services: {}\n")
				ok(log():find(("-f %s -f %s -f %s/docker-compose.opsh.yml -p shop")
					:format(path, theirs, dir), 1, true))
			end)()
		end)
	end)

	it("is put back when compose fails", function()
		folder(function(path, dir)
			D.compose({ FAKE_FAIL = "up", FAKE_SAYS = "pull access denied" },
				{ file = path }, function(c)
					raises("server", c.set_image, c, "web", "none:1")
					eq(sys.stat(dir .. "/other.opsh.yml"), nil)
					eq(#sys.readdir(dir), 1)
				end)()
		end, "other.yml")
	end)
end)

describe("compose names its project", function()
	it("as compose does", function()
		folder(function(path, dir)
			D.compose(nil, { file = path, project = false }, function(c)
				eq(c.project:name(),
					(dir:match "[^/]*$":lower():gsub("[^%l%d_-]", "")))
				eq(c.project:path(), path)
				eq(c.project:file_version(), "2.4")
				eq(c.project:files(), { path })
				eq(c.project:is_v2(), false)
			end)()
			assert(sys.save(dir .. "/.env", "X=1\nCOMPOSE_PROJECT_NAME='Shop'\n"))
			D.compose(nil, { file = path, project = false }, function(c)
				eq(c.project:name(), "shop")
				eq({ c.project:override_path() },
					{ dir .. "/docker-compose.override.yml", true })
			end)()
		end)
	end)

	it("and errors are ours", function()
		ok(err.is(select(2, pcall(yaml.read, "x"))))
	end)
end)
