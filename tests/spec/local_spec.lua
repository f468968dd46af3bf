-- local_spec: services as processes, with real ones of sh: start, status, logs,
-- stop, a pid that is another's; what a targets file may say. Each test ends what it
-- has started. Owns throwaway folders.
local definition = require "opsh.local.definition"
local effect = require "opsh.c.effect"
local local_ = require "opsh.local"
local orchestrator = require "opsh.orchestrator"
local proc = require "opsh.local.proc"
local script = require "opsh.local.script"
local sys = require "opsh.c.sys"
local target = require "opsh.c.target"
local task = require "opsh.task"

local PLAIN = { plain = true }

-- Says hello, then a number each 0.05 s; says bye on TERM.
local LOOP <const> = [[trap 'echo bye; exit 0' TERM
echo "hello $NAME"; n=0
while :; do n=$((n + 1)); echo $n; sleep 0.05; done]]

local function begin_run()
	if package.loaded["spec.redis.run"] then return end
	package.loaded["spec.redis.run"] = true
	effect.begin_run(os.getenv "XDG_STATE_HOME" .. "/opsh/runs")
end

-- A body of a test: f(client, dir, target object). make(dir): the services.
local function with(make, f, mode)
	return function()
		local dir = os.tmpname()
		os.remove(dir)
		assert(sys.mkdir(dir))
		local object = target.new { name = "here", kind = "local" }
		object:pass("", "spec")
		local client = local_.kind.connect(object, { services = make(dir) })
		local before = effect.mode()
		begin_run()
		local _ <close> = setmetatable({}, { __close = function()
			effect.mode "write"
			client:stop(nil, { grace = 0 })
			effect.mode(before)
			for _, file in ipairs(sys.readdir(dir)) do os.remove(dir .. "/" .. file) end
			os.remove(dir)
		end })
		effect.mode(mode or "write")
		f(client, dir, object)
	end
end

local function loop(dir)
	return { web = { command = { "sh", "-c", LOOP }, pid = dir .. "/web.pid",
		env = { NAME = "a b" } } }
end

local function read(path)
	local f <close> = assert(io.open(path))
	return f:read "a"
end

local function within(seconds, f)
	local limit = task.now() + seconds
	while not f() do
		if task.now() > limit then error("not within " .. seconds .. " s", 2) end
		task.sleep(0.02)
	end
end

describe("local proc", function()
	it("reads what /proc says", function()
		local p = proc.find(sys.pid())
		eq(p.pid, sys.pid())
		ok(math.abs(proc.started(p) - os.time()) < 86400)
		ok(proc.boot() > 1e9)
		local text = "12 (a) b) S 1 12 12 0 -1 4194304 1 2 3 4 50 6 7 8 20 0 1 0 999 1 "
		eq(proc.parse(text), { pid = 12, state = "S", group = 12, session = 12,
			ticks = 999, cpu = 56 })
		eq(proc.parse "12 (a) S 1", nil)
		eq(proc.parse(nil), nil)
		eq(proc.find(1 << 30), nil)
		local use = proc.use { p }
		ok(use.memory > 1 << 20 and use.fds > 2)
		eq(proc.cores(100, 150, 1), 0.5)
		ok(#proc.family(p) >= 1)
	end)

	it("knows a process by its pid and start", function()
		local path = os.tmpname()
		local _ <close> = setmetatable({}, { __close = function() os.remove(path) end })
		local function file(text)
			local f <close> = assert(io.open(path, "w"))
			f:write(text)
		end
		local me = proc.find(sys.pid())
		file(("%d %d\n"):format(me.pid, me.ticks))
		eq(proc.of_file(path).pid, me.pid)
		file(("%d %d\n"):format(me.pid, me.ticks + 1))
		eq({ proc.of_file(path) }, { nil, "other" })
		file(("%d\n"):format(me.pid))
		eq(proc.of_file(path).pid, me.pid)
		file(tostring(1 << 30))
		eq({ proc.of_file(path) }, { nil, "gone" })
		for _, odd in ipairs { "", "x", "1", "0", "-5", "99999999999999999999" } do
			file(odd)
			eq({ proc.of_file(path) }, { nil, "none" }, odd)
		end
		eq({ proc.of_file "/nowhere" }, { nil, "none" })
	end)
end)

describe("local definition", function()
	it("is checked", function()
		local function bad(services, text)
			local e = raises("config", definition.read, "here", services)
			ok(e.message:find(text, 1, true), e.message)
		end
		local fine = { command = { "x" }, pid = "/x.pid" }
		local function but(field, value)
			local def = {}
			for k, v in pairs(fine) do def[k] = v end
			def[field] = value
			return { web = def }
		end
		eq(definition.read("here", { web = fine }).web.log, "/x.log")
		bad({ web = 1 }, "a table expected")
		bad({ ["-x"] = fine }, "no name of a service")
		bad({ web = { pid = "/x" } }, "'command' is missing")
		bad({ web = { command = { "x" } } }, "'pid' is missing")
		bad(but("command", "x"), "'command' must be a list of words")
		bad(but("comand", {}), "unknown field 'comand'")
		bad(but("port", 0), "'port' must be a port")
		bad(but("ready", {}), "'ready' must be")
		bad(but("ready", { tcp = "x" }), "'ready' must be")
		bad(but("ready", { udp = 1 }), "'ready' must be")
		bad(but("env", { ["a b"] = "x" }), "'env' must be")
		bad(but("inherit", "HOME"), "'inherit' must be")
		bad(but("stop_signal", "term"), "'stop_signal' must be")
		bad(but("stop_timeout", -1), "'stop_timeout' must be")
		bad(but("depends", { "db" }), "depends on 'db', which is not there")
		eq(definition.order({ a = { depends = { "b" } }, b = { depends = { "a" } },
			c = {} }, { "a", "c" }), { "a", "c" })
		eq(definition.order({ a = { depends = { "b" } }, b = {} }, { "a", "b" }),
			{ "b", "a" })
	end)
end)

describe("local reads", function()
	it("what is there", with(function(dir)
		return { web = { command = { "web", "-x" }, pid = dir .. "/web.pid",
			port = 80, env = { A = "1", B = "" }, depends = { "db" },
			ready = { tcp = 80 } }, db = { command = { "db" }, pid = dir .. "/db" } }
	end, function(c, dir)
		eq(c:services(), { "db", "web" })
		eq(c:definition "web", { service = "web", image = "web", replicas = 1,
			env = { A = true, B = false }, ports = { 80 }, depends = { "db" },
			health_check = true, limits = {}, config = { pid = dir .. "/web.pid",
			log = dir .. "/web.log" } })
		eq(c:status "db", { { service = "db", name = "db", state = "missing",
			ready = false, image = "db" } })
		eq(c:top(), {})
		for _ in c:logs() do error "a line" end
		eq(c:rollout_status("db").done, false)
		raises("usage", c.status, c, "wbe")
		raises("usage", c.definition, c, nil)
		raises("usage", c.logs, c, nil, { tail = "x" })
		for _, name in ipairs { "scale", "undo", "set_image", "set_env", "events" } do
			eq(raises("usage", c[name], c, "web").code, "UNSUPPORTED")
		end
		eq(raises("usage", c.logs, c, nil, { previous = true }).code, "UNSUPPORTED")
		eq(raises("check", c.start, c, "db").message,
			"cannot start 'db': there is no program 'db'")
		eq(type(script.start), "string")
		eq(type(script.stop), "string")
	end))
end)

describe("local services", function()
	it("start, are seen, stop", with(loop, function(c, dir, object)
		local r = c:start()
		eq(r.ok, true)
		ok(object:identity():find "^machine=")
		local pid = math.tointeger(tonumber(read(dir .. "/web.pid"):match "%d+"))
		local p = proc.find(pid)
		eq(p.session, pid)
		local row = c:status("web")[1]
		eq(row.state, "running")
		eq(row.ready, true)
		ok(math.abs(row.started - os.time()) < 5)
		ok(read(dir .. "/web.log"):find "^hello a b\n1\n")
		eq(c:start "web", { ok = true })	-- it runs: nothing is done
		eq(proc.of_file(dir .. "/web.pid").pid, pid)
		local use = c:top()[1]
		eq(use.service, "web")
		ok(use.memory > 100000 and use.pids >= 1 and use.fds >= 3)
		c:stop "web"
		eq(proc.find(pid), nil)
		ok(read(dir .. "/web.log"):find "bye\n$")
		row = c:status("web")[1]
		eq(row.state, "failed")
		eq(row.reason, "Died")
	end), PLAIN)

	it("restart, as another process", with(loop, function(c, dir)
		c:restart()
		local first = proc.of_file(dir .. "/web.pid")
		c:restart "web"
		local second = proc.of_file(dir .. "/web.pid")
		ok(second.pid ~= first.pid)
		eq(proc.find(first.pid), nil)
		local hellos = select(2, read(dir .. "/web.log"):gsub("hello", ""))
		eq(hellos, 2)
	end), PLAIN)

	it("that ignore TERM are killed, with their children", with(function(dir)
		return { web = { command = { "sh", "-c", "trap '' TERM; sleep 60 & "
			.. "echo $!; while :; do sleep 1; done" }, pid = dir .. "/web.pid",
			stop_timeout = 0.2 } }
	end, function(c, dir)
		c:start()
		local child = math.tointeger(tonumber(read(dir .. "/web.log"):match "%d+"))
		ok(proc.find(child))
		local began = task.now()
		local r = c:stop()
		ok(r.stderr:find "did not end by TERM: killed")
		ok(task.now() - began < 3)
		eq(c:status()[1].state, "failed")
		within(2, function() return not proc.find(child) end)
	end), PLAIN)

	it("never touch a process that got the pid", with(loop, function(c, dir)
		local me = proc.find(sys.pid())
		local f <close> = assert(io.open(dir .. "/web.pid", "w"))
		f:write(("%d %d\n"):format(me.pid, me.ticks - 1))
		f:close()
		eq(c:stop(), { ok = true })
		ok(proc.find(sys.pid()))
		local row = c:status()[1]
		eq(row.state, "failed")
		ok(row.message:find "its pid is another's now")
		c:start()
		eq(c:status()[1].state, "running")
	end), PLAIN)

	it("that end at once say so", with(function(dir)
		return { web = { command = { "sh", "-c", "echo no config >&2; exit 7" },
			pid = dir .. "/web.pid" } }
	end, function(c)
		local e = raises("server", c.start, c, "web")
		eq(e.message, "cannot start 'web': ended at once with status 7: no config")
	end), PLAIN)

	it("start in order, stop in the other", with(function(dir)
		local function def(name, depends)
			return { command = { "sh", "-c", LOOP }, pid = dir .. "/" .. name
				.. ".pid", log = dir .. "/all.log", env = { NAME = name },
				depends = depends }
		end
		return { a = def("a", { "b" }), b = def("b") }
	end, function(c, dir)
		c:start()
		ok(read(dir .. "/all.log"):find "hello b.*hello a")
		eq(orchestrator.wait_ready(c, { "a", "b" }, { timeout = 5 }) < 5, true)
		eq(c:rollout_status("a").done, true)
	end), PLAIN)

	it("are ready when their check says so", with(function(dir)
		return { cmd = { command = { "sleep", "60" }, pid = dir .. "/cmd.pid",
			ready = { command = { "test", "-e", dir .. "/ready" }, grace = 0 } },
			tcp = { command = { "sleep", "60" }, pid = dir .. "/tcp.pid",
			ready = { tcp = 1 } }, http = { command = { "sleep", "60" },
			pid = dir .. "/http.pid", ready = { http = "http://127.0.0.1:1/health",
			grace = 0 } } }
	end, function(c, dir)
		c:start()
		local http, cmd, tcp = table.unpack(c:status { "http", "cmd", "tcp" })
		eq(cmd.health, "unhealthy")
		eq(cmd.reason, "Unhealthy")
		eq(cmd.ready, false)
		eq(tcp.state, "starting")
		eq(tcp.message, "nothing listens on port 1")
		eq(http.health, "unhealthy")
		ok(http.message:find "127.0.0.1", http.message)
		assert(sys.save(dir .. "/ready", ""))
		cmd = c:status("cmd")[1]
		eq(cmd.health, "healthy")
		eq(cmd.ready, true)
	end), PLAIN)

	it("have logs", with(function(dir)
		return { a = { command = { "true" }, pid = dir .. "/a.pid" },
			b = { command = { "true" }, pid = dir .. "/b.pid" } }
	end, function(c, dir)
		assert(sys.save(dir .. "/a.log", "one\n\n==> x <==\n2026-01-02T03:04:05Z two\n"))
		assert(sys.save(dir .. "/b.log", "three\n"))
		local got = {}
		for line in c:logs() do got[#got + 1] = line.name .. ":" .. line.text end
		eq(got, { "a:one", "a:", "a:==> x <==", "a:2026-01-02T03:04:05Z two",
			"b:three" })
		got = {}
		for line in c:logs("a", { tail = 1 }) do got[#got + 1] = line end
		eq(got, { { service = "a", name = "a", time = 1767323045.0,
			text = "2026-01-02T03:04:05Z two" } })
		for line in c:logs("a", { since = 60 }) do error(line.text) end
	end))

	it("have logs that are followed", with(loop, function(c)
		c:start()
		local n = 0
		for line in c:logs("web", { follow = true, tail = 1 }) do
			ok(tonumber(line.text))
			n = n + 1
			if n == 5 then break end
		end
	end), PLAIN)

	it("lend their folder and environment", with(function(dir)
		return { web = { command = { "true" }, pid = dir .. "/web.pid", cwd = dir,
			env = { A = "1" } } }
	end, function(c, dir)
		local r = c:exec("web", { "sh", "-c", "pwd; echo $A$B; cat" },
			{ effect = "read", env = { B = "2" }, stdin = "in" })
		eq(r.stdout, sys.realpath(dir) .. "\n12\nin")
		raises("usage", c.exec, c, "web", "x")
	end))

	it("stay as they are in a plan", with(loop, function(c, dir)
		local before = effect.status().withheld
		c:start()
		c:restart()
		ok(effect.status().withheld >= before + 2)
		eq(sys.readdir(dir), {})
	end, "plan"), PLAIN)
end)
