-- Specs of run.url: every scheme, percent-encoding, and that no password shows.
-- The passwords are chosen to look like other parts of a URL. Pure; owns
-- nothing.
local url = require "run.url"

local PASSWORD = "p@ss/w:rd#?%"
local ENCODED = "p%40ss%2Fw%3Ard%23%3F%25"

local function parse(text)
	return url.parse(text, function(s) return { secret = s } end)
end

local function refused(text)
	return raises("config", function() parse(text) end).message
end

describe("url.parse", function()
	it("reads redis with all its parts", function()
		local u = parse("redis://ann:" .. ENCODED .. "@cache.example:7000/5")
		eq(u.scheme, "redis")
		eq(u.user, "ann")
		eq(u.password, { secret = PASSWORD })
		eq(u.host, "cache.example")
		eq(u.port, 7000)
		eq(u.db, 5)
		eq(u.tls, false)
		eq(parse("rediss://h").tls, true)
		eq(parse("redis://h").port, 6379)
		eq(parse("redis://h").db, nil)
		eq(parse("redis://h/").db, nil)
		eq(parse("redis://h?db=3").db, 3)
	end)

	it("takes a lone user part of redis as the password", function()
		local u = parse("redis://hunter22@h")
		eq(u.user, nil)
		eq(u.password, { secret = "hunter22" })
		eq(parse("redis://:hunter22@h").password, { secret = "hunter22" })
		eq(parse("postgresql://ops@db/flights").user, "ops")
		eq(parse("postgresql://ops@db/flights").password, nil)
	end)

	it("reads unix sockets", function()
		local u = parse("redis+unix:///run/redis/r.sock?db=2")
		eq(u.socket, "/run/redis/r.sock")
		eq(u.db, 2)
		u = parse("redis+unix://:pw123456@/run/r.sock")
		eq(u.password, { secret = "pw123456" })
		eq(u.socket, "/run/r.sock")
		u = parse("http+unix://%2Frun%2Fx.sock/v1/info")
		eq(u.socket, "/run/x.sock")
		eq(u.path, "/v1/info")
		ok(refused("redis+unix://run/x.sock"):find("absolute", 1, true))
		ok(refused("redis+unix:///" .. ("x"):rep(200)):find("107", 1, true))
	end)

	it("reads IPv6", function()
		local u = parse("redis://[::1]:6380/1")
		eq(u.host, "::1")
		eq(u.port, 6380)
		eq(parse("redis://[fe80::1%25eth0]").host, "fe80::1%eth0")
		ok(refused("redis://::1:6379"):find("brackets", 1, true))
		ok(refused("redis://[::1"):find("brackets", 1, true))
		ok(refused("redis://[host]"):find("IPv6", 1, true))
		ok(refused("redis://[::1]x"):find("unexpected", 1, true))
	end)

	it("reads several hosts where the kind has them", function()
		local u = parse("kafka://a:1,b,[::1]:3")
		eq(#u.hosts, 3)
		eq(u.hosts[1].port, 1)
		eq(u.hosts[2].port, 9092)
		eq(u.hosts[3].host, "::1")
		ok(refused("redis://a,b"):find("one host", 1, true))
	end)

	it("reads postgresql", function()
		local u = parse("postgres://o%20p:s3cret99@db:5433/fl%20x?sslmode=require")
		eq(u.scheme, "postgresql")
		eq(u.user, "o p")
		eq(u.database, "fl x")
		eq(u.query, { sslmode = "require" })
		eq(parse("postgresql:///flights?host=/run/pg").database, "flights")
	end)

	it("reads http, compose, kubernetes, local", function()
		local u = parse("https://h/base%2Fx/y")
		eq(u.path, "/base%2Fx/y")
		eq(u.port, 443)
		eq(parse("compose:docker-compose.yml").path, "docker-compose.yml")
		eq(parse("compose://./a/b.yml").path, "./a/b.yml")
		eq(parse("compose:///abs/b.yml?project=x").path, "/abs/b.yml")
		u = parse("kubernetes://prod/flights")
		eq(u.context, "prod")
		eq(u.namespace, "flights")
		eq(parse("local:").scheme, "local")
		eq(parse("local://").scheme, "local")
	end)

	it("says what is wrong", function()
		ok(refused("redsi://h"):find("did you mean 'redis'", 1, true))
		ok(refused("cache:6379"):find("expected SCHEME://", 1, true))
		ok(refused("cache"):find("expected SCHEME://", 1, true))
		ok(refused("redis:h"):find("expected '//'", 1, true))
		ok(refused("redis://"):find("host is missing", 1, true))
		ok(refused("redis://h:0"):find("port must be", 1, true))
		ok(refused("redis://h:65536"):find("port must be", 1, true))
		ok(refused("redis://h/x"):find("database must be", 1, true))
		ok(refused("redis://h/-1"):find("database must be", 1, true))
		ok(refused("redis://%zz"):find("malformed", 1, true))
		ok(refused("redis://h%4"):find("malformed", 1, true))
		ok(refused("redis://h\n"):find("control", 1, true))
		ok(refused("redis://h%0a"):find("control", 1, true))
		ok(refused("redis://h?db=1&db=2"):find("twice", 1, true))
		ok(refused("local://x"):find("nothing after", 1, true))
		ok(refused("kubernetes://a/b/c"):find("CONTEXT/NAMESPACE", 1, true))
	end)

	it("never shows a password, whatever is wrong with the URL", function()
		for _, text in ipairs {
			"redis://u:hunter2hunter2@h:bad",
			"redis://u:hunter2hunter2@",
			"redis://hunter2hunter2@h/x",
			"rdis://u:hunter2hunter2@h",
			"u:hunter2hunter2@h",
			"hunter2hunter2@h",
			"redis:u:hunter2hunter2@h",
			"redis://u:hunter2/hunter2@h",
			"redis://u:hunter2#hunter2@h",
			"redis://u:hunter2?hunter2@h",
			"redis://u:hunter2@hunter2@h:bad",
			"redis://u:hunter2hunter2%zz@h",
			"compose://u:hunter2hunter2@x",
			"redis://h:bad?password=hunter2hunter2",
			"postgresql://h:bad?sslpassword=hunter2hunter2",
			"redis://u:hunter2hunter2@h x",
		} do
			local message = refused(text)
			ok(not message:find("hunter2", 1, true), message)
		end
	end)
end)

describe("url.mask", function()
	it("gives the URL back without its password", function()
		local cases = {
			["redis://ann:secret99@h:1/2"] = "redis://ann:***@h:1/2",
			["redis://secret99@h"] = "redis://:***@h",
			["redis://h"] = "redis://h",
			["redis://[::1]:7"] = "redis://[::1]:7",
			["redis+unix:///a/b?db=1"] = "redis+unix:///a/b?db=1",
			["http+unix://%2Fa/b"] = "http+unix://%2Fa/b",
			["postgresql://u:secret99@a,b:2/d?sslmode=off&sslpassword=secret99"]
				= "postgresql://u:***@a,b:2/d?sslmode=off&sslpassword=***",
			["local:"] = "local:",
			["kubernetes://c/n"] = "kubernetes://c/n",
			["compose://./x.yml"] = "compose://./x.yml",
		}
		for text, want in pairs(cases) do
			local u = parse(text)
			eq(u.text, want)
			eq(url.mask(u), want)
		end
	end)

	it("is stable: what it shows can be read again", function()
		for _, text in ipairs { "redis://a%20b@h/1", "kafka://a:1,b",
			"https://h/x%2Fy?q=1%262", "redis://[fe80::1%25eth0]" } do
			local once = parse(text).text
			eq(parse(once).text, once)
		end
	end)
end)
