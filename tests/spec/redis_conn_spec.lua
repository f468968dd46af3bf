-- redis_conn: ways to reach a server: TCP, unix socket, TLS, users, Sentinel,
-- Cluster; and how it is said when one is closed. Against real servers. Owns no
-- server: stops none.
local R = dofile "tests/lib/redis.lua"

local env = os.getenv

local function pings(url, opts)
	return R.with(url, opts, function(cache, target)
		eq(cache:ping(), "PONG")
		return target:address()
	end)
end

local function fails(kind, url, opts)
	return R.with(url, opts, function(cache)
		local e = raises(kind, cache.ping, cache)
		eq(e.outcome, "failed")
		eq(e.target, "cache")
		return e
	end)
end

describe("redis connection", function()
	it("goes by name, address and unix socket", function()
		local port = env "OPSH_REDIS_PORT"
		pings("redis://localhost:" .. port)
		pings("redis://127.0.0.1:" .. port)
		eq(pings("redis+unix://" .. env "OPSH_REDIS_SOCK"),
			env "OPSH_REDIS_SOCK")
	end)

	it("logs in, and selects the database", function()
		pings(env "OPSH_REDIS_OPS_URL")
		R.with(env "OPSH_REDIS_URL", { db = 3 }, function(cache, target)
			cache:set("only:here", 1)
			ok(target:identity():find("db=3", 1, true))
			R.with(env "OPSH_REDIS_URL", nil, function(other)
				eq(other:get "only:here", nil)
			end)
			cache:flushdb()
		end)
		local e = fails("server", env "OPSH_REDIS_URL", { db = 99999 })
		ok(e.message:find("database", 1, true))
	end)

	it("says why a login fails, without the password", function()
		local e = fails("auth", env "OPSH_REDIS_URL", { user = "ops",
			password = "not-the-password" })
		eq(e.code, "WRONGPASS")
		ok(e.message:find("127.0.0.1:" .. env "OPSH_REDIS_PORT", 1, true))
		ok(not e.message:find("not-the-password", 1, true))
		fails("auth", env "OPSH_REDIS_URL", { user = "nobody", password = "x" })
	end)

	it("names host and phase when nobody is there", function()
		local e = fails("connect", "redis://127.0.0.1:1")
		eq(e.code, "ECONNREFUSED")
		eq(e.phase, "connect")
		ok(e.message:find("127.0.0.1:1", 1, true))
		e = fails("connect", "redis+unix:///no/such/socket")
		eq(e.code, "ENOENT")
		e = fails("connect", "redis://no-such-host.invalid",
			{ connect_timeout = 3 })
		eq(e.phase, "dns")
	end)

	it("refuses what is no Redis", function()
		local e = fails("connect", env "OPSH_REDIS_TLS_URL":gsub("^rediss",
			"redis"), { connect_timeout = 2 })
		ok(e.message:find("localhost:", 1, true))
	end)

	it("closes what it opened", function()
		R.with(env "OPSH_REDIS_URL", nil, function(watcher)
			local before = #watcher:client_list()
			R.with(env "OPSH_REDIS_URL", nil, function(cache)
				cache:ping()
				cache:blpop("nothing", 0.01)
				eq(#watcher:client_list(), before + 2)
			end)
			for _ = 1, 200 do
				if #watcher:client_list() == before then return end
				require("opsh.task").sleep(0.01)
			end
			error "connections were left open"
		end)
	end)
end)

describe("redis TLS", function()
	local ca = env "OPSH_REDIS_TLS_CA"
	it("verifies and talks", function()
		pings(env "OPSH_REDIS_TLS_URL", { ca = ca })
		R.with(env "OPSH_REDIS_TLS_URL", { ca = ca }, function(cache)
			local big = ("y"):rep(2000000)
			cache:set("tls:big", big)
			ok(cache:get "tls:big" == big)
			local keys = {}
			for i = 1, 5000 do keys[i] = "tls:big" .. i end
			eq(#cache:pipeline("EXISTS", keys), 5000)
			cache:del "tls:big"
		end)
	end, { plain = true })

	it("shows our certificate when asked", function()
		pings(env "OPSH_REDIS_TLS_MUTUAL_URL", { ca = ca,
			cert = env "OPSH_REDIS_TLS_CLIENT_CERT",
			key = env "OPSH_REDIS_TLS_CLIENT_KEY" })
		R.with(env "OPSH_REDIS_TLS_MUTUAL_URL", { ca = ca }, function(cache)
			raises("tls", cache.ping, cache)
		end)
	end)

	it("refuses the wrong peer, and says what it offered", function()
		local e = fails("tls", env "OPSH_REDIS_TLS_EXPIRED_URL", { ca = ca })
		ok(e.message:find("expired on 20", 1, true), e.message)
		e = fails("tls", env "OPSH_REDIS_TLS_WRONGHOST_URL", { ca = ca })
		ok(e.message:find("not for 'localhost': it names", 1, true), e.message)
		e = fails("tls", env "OPSH_REDIS_TLS_SELFSIGNED_URL", { ca = ca })
		ok(e.message:find("not trusted", 1, true), e.message)
		e = fails("tls", env "OPSH_REDIS_TLS_URL")
		ok(e.message:find("not trusted", 1, true), e.message)
		e = fails("tls", env "OPSH_REDIS_TLS_URL", { ca = ca,
			server_name = "db.example.net" })
		ok(e.message:find("not for 'db.example.net'", 1, true), e.message)
		fails("tls", env "OPSH_REDIS_TLS_OLD_URL", { ca = ca })
	end)

	it("refuses a plain port and missing files", function()
		local e = fails("connect", (env "OPSH_REDIS_URL":gsub("^redis",
			"rediss")), { ca = ca, connect_timeout = 1 })
		ok(e.phase == "tls", e.phase)
		e = fails("tls", env "OPSH_REDIS_TLS_URL", { ca = "/no/such/file" })
		ok(e.message:find("/no/such/file", 1, true))
	end)
end)

describe("redis Sentinel", function()
	local function sentinels()
		local list = {}
		for one in env "OPSH_SENTINELS":gmatch "[^,]+" do
			list[#list + 1] = one
		end
		return list
	end

	it("finds the master", function()
		R.with(nil, { sentinels = sentinels(),
			master_name = env "OPSH_SENTINEL_MASTER" }, function(cache, target)
			eq(cache:ping(), "PONG")
			eq(target:role(), "master")
			eq(target:address(), "127.0.0.1:"
				.. env "OPSH_REDIS_HA_MASTER_PORT")
		end)
	end)

	it("asks the next when one is dead", function()
		local list = sentinels()
		table.insert(list, 1, "127.0.0.1:1")
		R.with(nil, { sentinels = list,
			master_name = env "OPSH_SENTINEL_MASTER" }, function(cache)
			eq(cache:ping(), "PONG")
		end)
	end)

	it("says what the last one said", function()
		local e = R.with(nil, { sentinels = sentinels(), master_name = "none" },
			function(cache) return raises("connect", cache.ping, cache) end)
		eq(e.code, "SENTINEL")
		ok(e.message:find("knows no master", 1, true), e.message)
		e = R.with(nil, { sentinels = { "127.0.0.1:1" }, master_name = "x" },
			function(cache) return raises("connect", cache.ping, cache) end)
		ok(e.message:find("refused", 1, true), e.message)
	end)

	it("is a target itself", function()
		R.with("redis://" .. sentinels()[1], nil, function(cache, target)
			eq(cache:sentinel_master(env "OPSH_SENTINEL_MASTER").name,
				env "OPSH_SENTINEL_MASTER")
			eq(target:role(), "sentinel")
		end)
	end)
end)

describe("redis Cluster", function()
	it("surfaces redirections", function()
		R.with(env "OPSH_CLUSTER_URL", nil, function(cache)
			local moved
			for i = 1, 50 do
				local fine, e = pcall(cache.set, cache, "k" .. i, 1)
				if not fine then
					eq(e.code, "MOVED")
					eq(e.kind, "server")
					eq(e.outcome, "failed")
					ok(e.hint:find("127.0.0.1:", 1, true))
					moved = true
				end
			end
			ok(moved)
			eq(cache:identity().mode, "cluster")
		end)
	end)
end)
