-- docker: what the specs of docker and compose share: an engine and a compose
-- project whose programs are those of tests/lib/docker, and what these were asked.
-- Loaded with dofile. Owns a throwaway file each.
local compose = require "opsh.compose"
local docker = require "opsh.docker"
local effect = require "opsh.c.effect"
local sys = require "opsh.c.sys"
local target = require "opsh.c.target"

local D = { dir = sys.realpath "tests/lib/docker" }

function D.text(path)
	local f <close> = assert(io.open(path))
	return f:read "a"
end

-- One journal for all specs of the process.
local function begin_run()
	if package.loaded["spec.redis.run"] then return end
	package.loaded["spec.redis.run"] = true
	effect.begin_run(os.getenv "XDG_STATE_HOME" .. "/opsh/runs")
end

-- Runs f(made, log) in write mode (or `mode`); log() is what the programs were
-- asked, without the version that each client asks for first.
local function with(make, env, mode, f)
	local path = os.tmpname()
	local before = effect.mode()
	begin_run()
	effect.mode(mode or "write")
	local _ <close> = setmetatable({}, { __close = function()
		effect.mode(before)
		os.remove(path)
	end })
	local all = { PATH = D.dir .. ":/usr/bin:/bin", FAKE_LOG = path, FAKE_V = "1" }
	for name, value in pairs(env or {}) do all[name] = value end
	local object = target.new { name = "engine", kind = "compose" }
	object:pass("", "spec")
	f(make(object, all), function()
		return (D.text(path):gsub("[^\n]* version [^\n]*\n", ""))
	end, object)
end

-- A body of a test: f(engine, log, target).
function D.engine(env, f)
	return function()
		with(function(object, all)
			return docker.of { env = all, target = object }
		end, env, nil, f)
	end
end

-- A body of a test: f(client, log, target). fields: of the target.
function D.compose(env, fields, f, mode)
	return function()
		with(function(object, all)
			local o = { env = all, file = D.dir .. "/docker-compose.yml",
				project = "shop" }
			for name, value in pairs(fields or {}) do o[name] = value end
			return compose.kind.connect(object, o)
		end, env, mode, f)
	end
end

return D
