-- http_tls: certificates (FAULTS 28): what is refused and what the message says,
-- what is read of a certificate, trusted or not. Owns an authority of its own
-- (tests/lib/http.lua makes it).
local H = dofile "tests/lib/http.lua"
local http = require "opsh.http"

local PLAIN = { plain = true }

local function ca() return H.certificates() .. "/ca.pem" end

local function url(name, host, args)
	return ("https://%s:%d"):format(host or "localhost",
		H.tls(name, args).port)
end

-- The error of a GET on the server with this certificate.
local function refused(name, opts, host)
	return H.with(url(name, host), opts, function(api)
		local e = raises("tls", api.get, api, "/echo")
		eq(e.phase, "tls")
		eq(e.outcome, "failed")
		e = raises("tls", api.post, api, "/echo")
		eq(e.outcome, "failed")
		return e
	end)
end

describe("http TLS", function()
	it("is verified, and the certificate readable", function()
		H.with(url "localhost", { ca = ca() }, function(api)
			for _ = 1, 2 do		-- the second on the same connection
				local r = api:get "/echo"
				eq(r.status, 200)
				local cert = r.certificate
				eq(cert.verified, true)
				eq(cert.problem, nil)
				eq(cert.names, { "localhost", "127.0.0.1" })
				ok(cert.subject:find("CN=localhost", 1, true), cert.subject)
				ok(cert.issuer:find("CN=opsh test authority", 1, true))
				ok(cert.days_left > 9 and cert.days_left <= 10)
				ok(cert.not_after:match "^%d+%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$")
				eq(#cert.chain, 2)
				eq(cert.chain[2].subject, cert.chain[1].issuer)
				eq(#cert.sha256, 64)
				ok(cert.protocol:find "^TLSv1")
			end
			ok(api:get("/echo").timing.tls == 0)
		end)
	end)

	it("names an address too", function()
		H.with(url("localhost", "127.0.0.1"), { ca = ca() }, function(api)
			eq(api:get("/echo").status, 200)
			ok(api:get("/echo").timing.tls >= 0)
		end)
	end)

	it("refuses: expired", function()
		local e = refused("expired", { ca = ca() })
		eq(e.code, "EXPIRED")
		ok(e.message:find("expired on 2020-02-01 00:00:00 UTC", 1, true),
			e.message)
	end)

	it("refuses: for another host", function()
		local e = refused("wrong", { ca = ca() })
		eq(e.code, "HOSTNAME")
		ok(e.message:find("not for 'localhost': it names other.example, "
			.. "*.wrong.example", 1, true), e.message)
	end)

	it("refuses: self-signed, authority not trusted", function()
		local e = refused("self", { ca = ca() })
		eq(e.code, "UNTRUSTED")
		e = refused "localhost"
		eq(e.code, "UNTRUSTED")
		ok(e.message:find("opsh test authority", 1, true), e.message)
		ok(e.hint:find("ca", 1, true))
	end)

	it("refuses a server that speaks none", function()
		local plain = H.shared()
		H.with("https://127.0.0.1:" .. plain.port, nil, function(api)
			local e = raises("tls", api.get, api, "/")
			ok(e.hint and e.hint:find("http://", 1, true), e.message)
		end)
	end)

	it("takes the name that the target gives", function()
		H.with(url("wrong", "127.0.0.1"), { ca = ca(),
			server_name = "a.wrong.example" }, function(api, _)
			local r = api:get "/echo?x=1"
			eq(r.json.target, "/echo?x=1")
			ok(r.url:find("https://127.0.0.1:", 1, true), r.url)
			for _, pair in ipairs(r.json.headers) do
				if pair[1]:lower() == "host" then
					ok(pair[2]:find("127.0.0.1:", 1, true), pair[2])
				end
			end
		end)
		local e = refused("localhost", { ca = ca(), server_name = "b.example" })
		eq(e.code, "HOSTNAME")
	end)

	it("verify = false takes it, and says so", function()
		H.with(url "expired", { verify = false }, function(api)
			local cert = api:get("/echo").certificate
			eq(cert.verified, false)
			ok(cert.problem:find "not trusted" or cert.problem:find "expired",
				cert.problem)
			ok(cert.days_left < 0)
		end)
	end)

	it("shows our certificate when it is asked for", function()
		local dir = H.certificates()
		local at = url("localhost", nil, "--ca " .. ca())
		H.with(at, { ca = ca(), cert = dir .. "/client.pem",
			key = dir .. "/client.key" }, function(api)
				eq(api:get("/echo").status, 200)
			end)
		H.with(at, { ca = ca() }, function(api)
			local fine, e = pcall(api.get, api, "/echo")
			ok(not fine and (e.kind == "tls" or e.kind == "connect"),
				tostring(e))
		end)
		H.with(at, { ca = ca(), cert = dir .. "/none.pem" }, function(api)
			local e = raises("tls", api.get, api, "/echo")
			eq(e.code, "FILE")
		end)
		H.with(at, { ca = dir .. "/none.pem" }, function(api)
			local e = raises("tls", api.get, api, "/echo")
			eq(e.code, "FILE")
		end)
	end)
end)

describe("http certificates", function()
	it("are read whatever is wrong with them", function()
		for name, code in pairs { localhost = false, expired = "EXPIRED",
			wrong = "HOSTNAME", self = "UNTRUSTED" } do
			H.with(url(name), { ca = ca() }, function(api)
				local _, n = H.records()
				local cert = api:certificate()
				eq(cert.verified, not code, name)
				eq(cert.code, code or nil, name)
				eq(cert.problem ~= nil, code ~= false, name)
				ok(#cert.names > 0)
				ok(#cert.chain >= 1)
				local seen = H.records(n)
				eq(seen[1].verb, "TLS")
				eq(seen[1].class, "read")
				eq(seen[1].outcome, "done")
			end)
		end
	end)

	it("of an address without a target", function()
		H.with(url "localhost", nil, function()
			local port = H.tls("expired").port
			local cert = http.certificate("localhost:" .. port, { ca = ca() })
			eq(cert.code, "EXPIRED")
			ok(cert.days_left < -1000)
			cert = http.certificate("127.0.0.1:" .. H.tls("wrong").port,
				{ ca = ca(), server_name = "other.example" })
			eq(cert.verified, true)
			raises("usage", http.certificate, "http://x")
			raises("usage", http.certificate, "localhost", { unknown = 1 })
			raises("connect", http.certificate, "127.0.0.1:1", { timeout = 1 })
		end)
	end)

	it("of a port that speaks no TLS", function()
		H.with(url "localhost", nil, function()
			raises("tls", http.certificate, "127.0.0.1:" .. H.shared().port)
		end)
	end, PLAIN)
end)
