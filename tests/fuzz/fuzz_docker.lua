-- fuzz_docker: what docker and compose print. By the first byte: the input is JSON or
-- YAML itself, or it says how documents of the kinds in use are bent: which of their
-- values are others. Whatever comes, the row makers give a value of their kind or
-- raise an error object. Nothing is run: the modules beneath are empty.
local shared = require "shared"
local err = require "opsh.c.err"

local input

package.loaded["opsh.c.sys"] = {
	stat = function() return { type = "file" } end,
	read = function() return input end,
}
for _, name in ipairs { "opsh.c.exec", "opsh.c.task", "opsh.task", "opsh.secret",
	"opsh.c.target" } do
	package.loaded[name] = {}
end
local rows = require "opsh.docker.rows"
local docker = require "opsh.docker"
local yaml = require "opsh.compose.yaml"
local project = require "opsh.compose.project"
local override = require "opsh.compose.override"
local logs = require "opsh.compose.logs"

-- --- documents with every field that is looked at ------------------------------

local l = "com.docker.compose."

local function state(status, code)
	return { Status = status, OOMKilled = true, ExitCode = code, Error = "e\n",
		StartedAt = "2026-01-02T03:04:05.678Z",
		FinishedAt = "0001-01-01T00:00:00Z",
		Health = { Status = "unhealthy",
			Log = { { ExitCode = 1, Output = "\nno\n" } } } }
end

local function container(status, code)
	return { Id = "ab", Name = "/shop_web_1", RestartCount = 2,
		State = state(status, code), HostConfig = { Memory = 9 },
		Config = { Image = "web:1", Labels = { [l .. "project"] = "shop",
			[l .. "service"] = "web", [l .. "container-number"] = "1",
			[l .. "oneoff"] = "False", [l .. "config-hash"] = "c" } },
		NetworkSettings = { Ports = {
			["80/tcp"] = { { HostIp = "::", HostPort = "80" } },
			["53/udp"] = {} } } }
end

local documents = {
	container("running", 0), container("exited", 137), container("created", 1),
	container("restarting", 1),
	-- docker ps
	{ ID = "ab", Names = "a", Image = "i", State = "running", Status = "Up",
		Ports = "",
		Labels = l .. "project=shop," .. l .. "service=web" },
	-- docker stats
	{ Name = "a", ID = "b", CPUPerc = "1.5%", MemUsage = "1.5MiB / 2GiB",
		NetIO = "1kB / 2B", BlockIO = "-- / --", PIDs = "7" },
	-- docker events
	{ Type = "container", Action = "die", time = 1767323045,
		timeNano = 1767323045000000000,
		Actor = { ID = "x", Attributes = { name = "a", exitCode = "1",
			[l .. "service"] = "web" } } },
	-- docker system df
	{ Type = "Images", TotalCount = "3", Active = "1", Size = "2GB",
		Reclaimable = "1.5MB (60%)" },
	-- a service of a compose file
	{ image = "i", build = { context = "." }, scale = 2,
		environment = { A = "x", B = "" },
		ports = { "127.0.0.1:80:8080/tcp", 90, { published = "1", target = 2 } },
		expose = { "70/udp" },
		depends_on = { db = { condition = "service_healthy" } },
		deploy = { replicas = 3,
			resources = { limits = { cpus = "0.5", memory = "512M" } } },
		cpus = 1, mem_limit = "1g",
		healthcheck = { test = { "CMD", "x" }, disable = false },
		restart = "always", network_mode = "host", container_name = "n",
		profiles = { "debug" } },
}

local others = shared.others { "9EiB", "9999999999999999GB", "running", "paused",
	"dead", "removing", "healthy", "starting", "exec_die", "oom", "NONE", "=", ":",
	"0" }

-- Each byte from 220 on: another value stands at this place, the next byte says which.
local function bend(text)
	local at = 0
	local function byte()
		at = at + 1
		return text:byte(at) or 0
	end
	local document = documents[byte() % #documents + 1]
	return shared.bend(document, function()
		if byte() < 220 then return false end
		return true, others[byte() % (#others + 1)]
	end)
end

-- --- the ways ----------------------------------------------------------------------

local ways = {
	function(d) return rows.container(d), rows.is_one_off(d) end,
	rows.listed, rows.stats, rows.usage,
	function(d) return rows.event(d) or {} end,
	function(d) return project.definition("x", d) end,
	function(_, text) return yaml.read(text) end,
	function(_, text) return project.definition("x", yaml.read(text)) end,
	function(_, text)
		input = "# Written by opsh\n" .. text
		local before = override.read "x"
		local new = override.change(before, "web", function(entry)
			override.set(entry, "i:1", { A = "$b" })
		end)
		override.text(override.back(new, "web"), "x")
		input = override.text(new, "x")
		return override.read "x"
	end,
	function(_, text)
		return { rows.time(text), rows.bytes(text), docker.stamped(text),
			logs.prefixed(text) }
	end,
	function(_, text)
		return docker.explain(err.new { kind = "server", message = "m",
			stderr = text }, "x")
	end,
	function(_, text) return rows.each(text, "x", rows.event) end,
}

return function(data)
	local way, text = data:byte() or 0, data:sub(2)
	shared.judge(function()
		local plain = way & 128 ~= 0 and way % #ways < 6
		local d = plain and rows.decode(text, "x") or bend(text)
		return (ways[way % #ways + 1](d, text))
	end)
end
