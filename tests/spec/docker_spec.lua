-- docker_spec: the rows that docker's JSON becomes, and what each verb of
-- opsh.docker runs, against a program in docker's place (tests/lib/docker). The real
-- engine is in tests/live/compose.sh. Owns one throwaway file.
local D = dofile "tests/lib/docker.lua"
local docker = require "opsh.docker"
local err = require "opsh.c.err"
local json = require "opsh.json"
local rows = require "opsh.docker.rows"

local function fixture(name) return D.text(D.dir .. "/" .. name) end

describe("docker rows", function()
	it("read times and sizes", function()
		eq(rows.time "2026-01-02T03:04:05Z", 1767323045.0)
		eq(rows.time "2026-01-02T03:04:05.5+01:00", 1767319445.5)
		eq(rows.time "0001-01-01T00:00:00Z", nil)
		eq(rows.time "soon", nil)
		eq(rows.time(12), nil)
		eq(rows.bytes "1.5KiB", 1536)
		eq(rows.bytes "2kB", 2000)
		eq(rows.bytes "512M", 536870912)
		eq(rows.bytes(7), 7)
		eq(rows.bytes "--", nil)
		eq(rows.bytes "1.2.3GB", nil)
		eq(rows.bytes(1e300), nil)
	end)

	it("tell the states of containers apart", function()
		local list = rows.decode(fixture("inspect.json"), "containers")
		local by = {}
		for _, c in ipairs(list) do by[rows.container(c).name] = rows.container(c) end
		local function is(name, wanted)
			for k, v in pairs(wanted) do eq(by["shop_" .. name][k], v, name .. k) end
		end
		is("db_1", { state = "running", ready = true, health = "healthy",
			service = "db", started = 1767323045.678901234, restarts = 0,
			image = "postgres:15", memory_limit = 536870912 })
		eq(by.shop_db_1.ports, { "0.0.0.0:5432->5432", "127.0.0.1:5353->53/udp",
			"[::]:5432->5432" })
		is("db_2", { state = "running", ready = false, health = "unhealthy",
			reason = "Unhealthy", message = "no response" })
		is("web_10", { state = "failed", reason = "OOMKilled", signal = 9,
			exit_code = 137, ready = false })
		is("web_2", { state = "exited", signal = 15, exit_code = 143 })
		eq(by.shop_web_2.reason, nil)
		is("web_3", { state = "restarting", reason = "CrashLoopBackOff",
			restarts = 7, exit_code = 1 })
		is("web_4", { state = "failed", reason = "Error", ready = false })
		ok(by.shop_web_4.message:find "already allocated")
		eq(by.shop_web_4.started, nil)
		is("web_5", { state = "failed", exit_code = 3, reason = "Error" })
		is("web_6", { state = "paused", ready = false })
		is("web_7", { state = "starting", ready = false, health = "starting" })
		eq(rows.is_one_off(list[#list]), true)
		eq(rows.is_one_off(list[1]), false)
		eq(rows.is_one_off "x", false)
	end)

	it("read what is listed, used and happened", function()
		local listed = rows.each(fixture("ps.json"), "containers", rows.listed)
		eq(listed[1].service, "db")
		eq(listed[1].project, "shop")
		eq(rows.stats { Name = "x" }, { name = "x" })
		eq(rows.usage { Type = "Images", TotalCount = "1", Active = "1",
			Size = "1GB", Reclaimable = "0B (0%)" }, { type = "Images", total = 1,
			active = 1, size = 1000000000, reclaimable = 0 })
		local events = rows.each(fixture("events.json"), "events", rows.event)
		eq(#events, 4)
		eq(events[1], { time = 1767323046.5, type = "Warning", reason = "die",
			service = "web", name = "shop_web_1", count = 1,
			message = "container die with exit code 3" })
		eq(events[2].type, "Warning")
		eq(events[2].reason, "health_status")
		eq(events[3].type, "Normal")
	end)

	it("refuse what is of another form", function()
		for _, bad in ipairs { "", "{", "[1]", '{"State":1}', '{"State":{"Status":1}}',
			'{"State":{},"Name":[]}', '{"State":{"Health":3}}',
			'{"State":{},"NetworkSettings":{"Ports":{"1":[2]}}}' } do
			local e = raises("protocol", function()
				return rows.container(rows.decode(bad, "a container"))
			end)
			ok(err.is(e))
		end
		eq(rows.get({ a = json.null }, "a", "string", "x"), nil)
		raises("protocol", rows.event, 1)
		raises("protocol", rows.stats, "x")
		raises("protocol", rows.usage, nil)
		raises("protocol", rows.listed, false)
	end)
end)

describe("docker", function()
	it("reads", D.engine(nil, function(d, log)
		eq(#d:ps { all = true, filters = { "status=exited" } }, 10)
		eq(#d:inspect "a", 10)
		eq(d:id(), "AAAA:BBBB")
		eq(d:info().ServerVersion, "20.10.24")
		local use = d:stats { "a", "b" }
		eq(use[1], { id = "1", name = "shop_db_1", cpu = 1.5025, memory = 1572864,
			memory_limit = 536870912, read = 0, written = 4100000, received = 1200,
			sent = 0, pids = 5 })
		eq(use[2].cpu, nil)
		eq(d:df()[1].reclaimable, 1500000)
		eq(#d:events { since = 60 }, 4)
		eq(log(), [[
docker ps --no-trunc --format {{json .}} --all --filter status=exited
docker container inspect a
docker info --format {{.ID}}
docker info --format {{json .}}
docker stats --no-stream --no-trunc --format {{json .}} a b
docker system df --format {{json .}}
docker events --since 60s --until 0s --format {{json .}}
]])
		raises("usage", d.ps, d, { al = true })
		raises("usage", d.inspect, d, {})
		raises("usage", d.inspect, d, "-x")
	end))

	it("changes", D.engine(nil, function(d, log)
		eq(d:restart("a", { grace = 1.5 }).ok, true)
		d:stop { "a", "b" }
		d:start "a"
		d:rm("a", { force = true, volumes = true })
		d:kill("a", { signal = "HUP" })
		d:cp("a:/x", "y")
		d:prune { all = true }
		eq(log(), [[
docker restart -t 2 a
docker stop a b
docker start a
docker rm --force --volumes a
docker kill --signal HUP a
docker cp a:/x y
docker system prune --force --all
]])
		raises("usage", d.cp, d, "-x", "y")
		raises("usage", d.restart, d, nil)
	end))

	it("runs programs in containers", D.engine(nil, function(d, log)
		local r = d:exec("a", { "sh", "-c", 'printf "%s." "$@"; cat; exit 3', "x",
			"-a b", "$c" }, { effect = "read", stdin = "in", accept = true,
			env = { K = "v", PATH = "/x" }, user = "u", cwd = "/w" })
		eq(r.status, 3)
		eq(r.stdout, "-a b.$c.in")
		ok(log():find("docker exec --interactive --env K --env PATH=/x "
			.. "--workdir /w --user u a sh", 1, true))
		raises("usage", d.exec, d, "a", "sh")
		d:run("alpine", { "tar", "c", "/data" }, { volumes = { "v:/data:ro" },
			network = "none", effect = "read" })
		ok(log():find("docker run --rm --volume v:/data:ro --network none alpine "
			.. "tar c /data\n", 1, true))
		raises("usage", d.exec, d, "a", { "sh" }, { env = { ["a b"] = "x" } })
		raises("usage", d.exec, d, "a", { "sh" }, { env = { A = 1 } })
	end))

	it("reads logs", D.engine(nil, function(d)
		local got = {}
		for line in d:logs("0001", { tail = 2, since = 60 }) do got[#got + 1] = line end
		eq(got, { { time = 1767323045.1, text = "a1", name = "0001" },
			{ time = 1767323045.4, text = "a2", name = "0001" } })
		eq({ docker.stamped "no time" }, { nil, "no time" })
	end))

	it("says what its failures mean", D.engine({ FAKE_FAIL = "ps", FAKE_SAYS =
		"Cannot connect to the Docker daemon at unix:///x. Is it running?" },
		function(d)
		local e = raises("connect", d.ps, d)
		eq(e.phase, "connect")
		ok(e.message:find("cannot reach the Docker engine", 1, true))
		eq(e.target, "engine")
		local function explained(text)
			return docker.explain(err.new { kind = "server", message = "m",
				stderr = text, op = "up" })
		end
		eq(explained("Got permission denied while trying to connect to it").kind,
			"auth")
		eq(explained("Creating a ... \n\nERROR: for a  no such image\nmore").message,
			"'up' failed: for a  no such image")
		eq(docker.explain "text", "text")
		raises("usage", docker.options, { x = 1 }, "a b")
		raises("usage", docker.options, 1, "a b")
		raises("usage", docker.seconds, -1, "grace")
		eq(docker.seconds(0.2, "grace"), "1")
	end))

	it("has the engine of this machine as functions", function()
		for _, name in ipairs { "ps", "inspect", "logs", "stats", "info", "df",
			"events", "exec", "restart", "stop", "start", "rm", "kill", "cp", "prune",
			"id", "run" } do
			eq(type(docker[name]), "function", name)
		end
		eq(type(docker.call), "function")
		eq(type(docker.open), "function")
		eq(type(docker.finish), "function")
		raises("usage", docker.restart, {})
	end)
end)
