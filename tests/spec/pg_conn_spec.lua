-- pg_conn: ways to reach a server: URL, keywords, service file, environment, several
-- hosts, TLS, a pooler, a standby; and how it is said when one is closed. Against
-- the servers of the stack; stops none. Owns the files that it writes.
local P = dofile "tests/lib/postgres.lua"
local conninfo = require "opsh.postgres.conninfo"
local secret = require "opsh.secret"
local task = require "opsh.task"
local url = require "run.url"

local env = os.getenv
local PLAIN <const> = { plain = true }
local port, password = env "OPSH_POSTGRES_PORT", env "OPSH_POSTGRES_PASSWORD"

local function value(text, opts, sql)
	return P.with(text, opts, function(db)
		return db:value(sql or "select current_user")
	end)
end

local function fails(kind, text, opts)
	return P.with(text, opts, function(db)
		local e = raises(kind, db.query, db, "select 1")
		eq(e.outcome, "failed")
		eq(e.target, "db")
		return e
	end)
end

describe("postgres conninfo", function()
	local function options(text, more)
		local o = { url = text and url.parse(text, secret.value) }
		for k, v in pairs(more or {}) do o[k] = v end
		return conninfo.options("db", o)
	end

	it("reads keyword strings as libpq does", function()
		eq(conninfo.parse "host=a  port = 5 password='it\\'s a' dbname=x\\ y",
			{ host = "a", port = "5", password = "it's a", dbname = "x y" })
		eq(conninfo.parse "", {})
		eq(conninfo.parse "options=''", { options = "" })
		for _, text in ipairs { "host", "=a", "host=a b", "host='a" } do
			raises("config", conninfo.parse, text)
		end
	end)

	it("merges what it is told", function()
		local o = options("postgresql://u@a:1,b:2/d?sslmode=require",
			{ conninfo = "user=other application_name=x", database = "e" })
		eq(o.hosts, { { "a", "1" }, { "b", "2" } })
		eq(o.keywords.user, "u")
		eq(o.keywords.dbname, "e")
		eq(o.keywords.sslmode, "require")
		eq(o.keywords.application_name, "x")
		eq(options("postgresql://a,b/").hosts, { { "a", "" }, { "b", "" } })
		eq(options("postgresql:///x?host=/run/pg&port=7").hosts,
			{ { "/run/pg", "7" } })
		eq(conninfo.merge("db", { conninfo = "host=h" }).host, "h")
		raises("config", options, "postgresql://a/?nosuch=1")
		raises("config", options, nil, { conninfo = "host=a,b port=1,2,3" })
		raises("config", options, nil, { conninfo = "host=a port=x" })
	end)

	it("reads service files", function()
		local path = os.tmpname()
		local f = io.open(path, "w")
		f:write("# ours\n[other]\nhost=no\n\n[flights]\nhost = 127.0.0.1\nport=",
			port, "\ndbname=flights\n[last]\nhost=no\n")
		f:close()
		local getenv = os.getenv
		local _ <close> = setmetatable({}, { __close = function()
			rawset(os, "getenv", getenv)
			os.remove(path)
		end })
		rawset(os, "getenv", function(name)
			if name == "PGSERVICEFILE" then return path end
			return getenv(name)
		end)
		eq(conninfo.service "flights", { host = "127.0.0.1", port = port,
			dbname = "flights" })
		eq(value(nil, { service = "flights", user = "ops", password = password }),
			"ops")
		local e = raises("config", conninfo.service, "none")
		ok(e.message:find(path, 1, true))
	end, PLAIN)
end)

describe("postgres connection", function()
	it("goes by name, address, socket and keywords", function()
		for _, host in ipairs { "localhost", "127.0.0.1" } do
			eq(value(("postgresql://ops:%s@%s:%s/flights"):format(password, host,
				port)), "ops")
		end
		eq(value(nil, { conninfo = ("host=127.0.0.1 port=%s user=ops dbname="
			.. "flights password='%s'"):format(port, password) }), "ops")
		P.with(("postgresql:///flights?host=%s&port=%s&user=ops&password=%s")
			:format(env "OPSH_POSTGRES_SOCKET_DIR", port, password), nil,
			function(db, target)
				eq(db:value "select inet_server_addr() is null", true)
				ok(target:address():find("/.s.PGSQL." .. port, 1, true))
			end)
	end)

	it("tries several hosts", function()
		local where = ("postgresql://ops:%s@127.0.0.1:1,no-such-host.invalid,"
			.. "127.0.0.1:%s/flights"):format(password, port)
		eq(value(where), "ops")
		eq(value(where .. "?target_session_attrs=read-write"), "ops")
		local e = fails("connect", where .. "?target_session_attrs=standby",
			{ connect_timeout = 3 })
		ok(e.message:find("standby", 1, true), e.message)
		e = fails("connect", "postgresql://no-such-host.invalid/x",
			{ connect_timeout = 3 })
		eq(e.phase, "dns")
	end, PLAIN)

	it("finds its password in a file", function()
		local path = os.tmpname()
		local f = io.open(path, "w")
		f:write("127.0.0.1:", port, ":flights:ops:", password, "\n")
		f:close()
		os.execute("chmod 600 " .. path)
		eq(value(("postgresql://ops@127.0.0.1:%s/flights?passfile=%s"):format(
			port, path)), "ops")
		os.remove(path)
		local e = fails("auth", ("postgresql://ops@127.0.0.1:%s/flights"
			.. "?passfile=/no/such/file"):format(port))
		ok(e.message:find("no password", 1, true), e.message)
		e = fails("connect", ("postgresql://ops:%s@127.0.0.1:%s/nosuchdb")
			:format(password, port))
		eq(e.code, "3D000")
	end, PLAIN)

	it("closes what it opened", P.on(function(watch)
		local sql = "select count(*) from pg_stat_activity where "
			.. "application_name = 'opsh-closes'"
		local name = { conninfo = "application_name=opsh-closes" }
		P.with(env "OPSH_POSTGRES_URL", name, function(db)
			task.all({ function() db:query "select pg_sleep(0.1)" end,
				function() db:query "select pg_sleep(0.1)" end })
			eq(watch:value(sql), 2)
		end)
		for _ = 1, 200 do
			if watch:value(sql) == 0 then return end
			task.sleep(0.01)
		end
		error "connections were left open"
	end), PLAIN)

	it("shares few connections among many tasks", function()
		P.with(env "OPSH_POSTGRES_URL", { pool = 3 }, function(db)
			local seen, n = {}, 0
			task.map({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 }, function()
				seen[db:value "select pg_backend_pid() from pg_sleep(0.01)"] = true
			end)
			for _ in pairs(seen) do n = n + 1 end
			ok(n <= 3, n)
		end)
	end)
end)

describe("postgres TLS", function()
	local ca = env "OPSH_POSTGRES_TLS_CA"
	local function at(host, more)
		return ("postgresql://ops:%s@%s:%s/flights?%s"):format(password, host,
			port, more)
	end

	it("verifies and says what is in use", function()
		P.with(at("localhost", "sslmode=verify-full"), { ca = ca }, function(db)
			local id = db:identity()
			eq(id.sslmode, "verify-full")
			ok(id.tls:find "^TLSv1", id.tls)
			eq(db:value "select ssl from pg_stat_ssl where pid = pg_backend_pid()",
				true)
		end)
		P.with(at("localhost", "sslmode=disable"), nil, function(db)
			eq(db:identity().tls, false)
		end)
	end)

	it("refuses the wrong peer", function()
		local e = fails("tls", at("localhost", "sslmode=verify-full"),
			{ ca = env "OPSH_POSTGRES_TLS_OTHER_CA" })
		eq(e.phase, "tls")
		ok(e.message:find("certificate verify failed", 1, true), e.message)
		e = fails("tls", at("localhost", "sslmode=verify-full"),
			{ ca = "/no/such/file" })
		ok(e.message:find("/no/such/file", 1, true), e.message)
	end)

	it("logs in by certificate", function()
		eq(value(("postgresql://%s@localhost:%s/flights?sslmode=verify-full")
			:format(env "OPSH_POSTGRES_TLS_CLIENT_USER", port), { ca = ca,
			cert = env "OPSH_POSTGRES_TLS_CLIENT_CERT",
			key = env "OPSH_POSTGRES_TLS_CLIENT_KEY" }),
			env "OPSH_POSTGRES_TLS_CLIENT_USER")
	end, PLAIN)
end)

describe("postgres standby", function()
	it("takes reads and refuses writes", function()
		P.with(env "OPSH_PG_STANDBY_SUPER_URL", nil, function(db, target)
			eq(db:identity().role, "standby")
			eq(target:role(), "standby")
			local e = raises("refused", db.exec, db, "create table t(i int)")
			eq(e.outcome, "refused")
			ok(e.message:find("is a standby", 1, true), e.message)
			eq(db:value "select pg_is_in_recovery()", true)
			db:exec "checkpoint"
		end)
		P.with(env "OPSH_PG_STANDBY_SUPER_URL", { role = "primary" },
			function(db)
				local e = raises("refused", db.exec, db, "checkpoint")
				eq(e.code, "ROLE")
			end)
	end)

	it("is passed over for the primary", function()
		local hosts = ("127.0.0.1:%s,127.0.0.1:%s"):format(
			env "OPSH_PG_STANDBY_PORT", env "OPSH_PG_PRIMARY_PORT")
		local where = env "OPSH_PG_PRIMARY_SUPER_URL":gsub("@[^/]*/", "@" .. hosts
			.. "/")
		P.with(where .. "?target_session_attrs=primary", nil, function(db)
			eq(db:identity().role, "primary")
			eq(db:identity().address, "127.0.0.1:" .. env "OPSH_PG_PRIMARY_PORT")
		end)
	end)
end)

describe("postgres pooler", function()
	it("is noticed, and statements are not kept", function()
		P.with(env "OPSH_PGBOUNCER_URL", nil, function(db)
			eq(db:identity().pooled, true)
			for i = 1, 20 do
				eq(db:value("select $1::int + 1", i), i + 1)
			end
			task.map({ 1, 2, 3, 4, 5, 6 }, function(i)
				eq(db:value("select $1::int * 2 from pg_sleep(0.01)", i), i * 2)
			end)
			eq(db:transaction(function(tx)
				tx:exec "create temp table pooled(i int) on commit drop"
				tx:exec("insert into pooled values ($1)", 4)
				return tx:value "select i from pooled"
			end), 4)
			local n = 0
			for _ in db:rows "select * from generate_series(1, 500)" do n = n + 1 end
			eq(n, 500)
			local e = raises("refused", function()
				return (db:listen "x")()
			end)
			eq(e.code, "POOLER")
		end)
	end)

	it("has a console", function()
		P.with(env "OPSH_PGBOUNCER_ADMIN_URL", nil, function(db, target)
			local pools = db:query "show pools"
			ok(#pools >= 1)
			ok(pools[1].database)
			eq(target:role(), "pooler")
			eq(db "show version".columns, { "version" })
			raises("usage", db.query, db, "reload")
			eq(db:exec "reload".ok, true)
			ok(db:identity().version:find "^%d")
			local e = raises("server", db.query, db, "show nonsense")
			eq(e.outcome, "failed")
		end)
	end)
end)
