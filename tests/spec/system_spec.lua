-- system_spec: the targets file as playbooks see it: `system`. Reads a targets file
-- of the examples, puts the session back as it was. Must not connect to
-- anything.
require "harness"
local session = require "run.session"

local AIRLINE = "examples/systems/airline-tracking/opsh.lua"

-- A fresh `system` on this targets file; the session is put back by close.
local function with(path, f)
	local globals, config, clients = session.globals, session.configuration,
		session.clients
	session.globals, session.configuration = { targets = path }, nil
	session.clients = {}
	package.loaded["run.system"] = nil
	local _ <close> = setmetatable({}, { __close = function()
		for _, client in pairs(session.clients) do
			if client.close then client:close() end
		end
		session.globals, session.configuration = globals, config
		session.clients = clients
		package.loaded["run.system"] = nil
	end })
	return f(require "run.system")
end

describe("system", function()
	it("gives services, thresholds, contacts", function()
		with(AIRLINE, function(system)
			eq(system.environment, "production")
			eq(system.protected, true)
			eq(system.services.eureka.port, 8761)
			eq(system.contacts.slack, "#airline-tracker-alerts")
			ok(system.thresholds.error_rate.query:find("rate", 1, true))
			eq(system.patterns.flight_cache, "flights::*")
			eq(system.unheard_of, nil)
		end)
	end)

	it("gives copies", function()
		with(AIRLINE, function(system)
			system.services.eureka.port = 1
			eq(session.config().services.eureka.port, 8761)
		end)
	end)

	it("lists the targets", function()
		with(AIRLINE, function(system)
			local by_name = {}
			for _, row in ipairs(system.targets()) do by_name[row.name] = row end
			eq(by_name.cache.kind, "redis")
			eq(by_name.cache.built_in, true)
			ok(by_name.gateway.address:find("8080", 1, true))
		end)
	end)

	it("says where a target speaks TLS", function()
		with("examples/systems/festivals/opsh.lua", function(system)
			for _, row in ipairs(system.targets()) do
				if row.name == "api" then
					eq(row.tls.host, "api.festivals.app")
					eq(row.tls.port, 443)
				elseif row.name == "cache" then
					eq(row.tls, nil)
				end
			end
		end)
	end)

	it("opens a target by its name, once", function()
		with(AIRLINE, function(system)
			local cache = system.target "cache"
			eq(cache, system.target "cache")
			eq(session.target_of(cache):name(), "cache")
			local e = raises("config", system.target, "cahce")
			ok(e.message:find("cahce", 1, true))
			ok(e.message:find("cache", 1, true))
		end)
	end)

	it("knows who a target was in the run that is resumed", function()
		with(AIRLINE, function(system)
			session.identities = { cache = { identity = "run_id=a db=0",
				role = "master" } }
			local object = session.target_of(system.target "cache")
			session.identities = nil
			eq(object:identity(), "run_id=a db=0")
			eq(object:role(), "master")
			eq(object:changed(), nil)
			eq(object:seen("run_id=b db=0", "master"), true)
			ok(object:changed():find("run_id=a", 1, true))
			eq(object:became("run_id=c db=0", "master"), false)
			ok(object:changed())
			eq(object:became("run_id=b db=0", "master"), true)
			eq(object:changed(), nil)
		end)
	end)

	it("has nothing without a targets file", function()
		with("/dev/null/none", function(system)
			raises("config", system.targets)
		end)
	end)
end)

-- What the targets files of the examples must have in common: the playbooks read
-- them all.
describe("the systems of the examples", function()
	local SYSTEMS = { "airline-tracking", "movie-booking", "saga-microservices",
		"festivals", "flash-sale" }

	local function each(f)
		for _, name in ipairs(SYSTEMS) do
			with("examples/systems/" .. name .. "/opsh.lua", function(system)
				f(system, name)
			end)
		end
	end

	it("load, and name what there is", function()
		each(function(system, name)
			eq(system.protected, true, name)
			eq(system.environment, "production", name)
			local kinds = {}
			for _, row in ipairs(system.targets()) do
				kinds[row.kind] = true
				ok(row.description, name .. ": " .. row.name)
				ok(row.address ~= "", name .. ": " .. row.name)
			end
			ok(kinds.http and (kinds.compose or kinds.kubernetes), name)
			ok(next(system.services) and #system.contacts.escalation > 0, name)
		end)
	end)

	it("have services that can be asked or found", function()
		each(function(system, name)
			for service, def in pairs(system.services) do
				ok(def.target or def.deployment or def.unit or def.container,
					name .. ": " .. service)
			end
		end)
	end)

	it("have limits with their severity", function()
		each(function(system, name)
			for rule, row in pairs(system.thresholds) do
				local limit = row.above or row.below
				ok(type(limit) == "number", name .. ": " .. rule)
				ok(type(row.severity) == "string", name .. ": " .. rule)
				eq(row.query == nil or type(row.query) == "string", true, rule)
			end
		end)
	end)

	it("hold no secret", function()
		for _, name in ipairs(SYSTEMS) do
			local path = "examples/systems/" .. name .. "/opsh.lua"
			local text = assert(io.open(path)):read "a"
			for field, value in text:gmatch "([%l_]+)%s*=%s*([^%s{,]+)" do
				if field:find "password" or field:find "token" then
					ok(value:find "^secret%.env", name .. ": " .. field)
				end
			end
			ok(not text:find "//[^/\"]*:[^/\"]*@", name .. ": URL with a password")
		end
	end)
end)
