-- Specs of opsh.tls: where certificates are met, what openssl's words become, which
-- rows are bad. No network: handshakes are in tests/live/tls.sh. Owns a folder
-- below os.tmpname.
require "harness"
local tls = require "opsh.tls"
local err = require "opsh.c.err"

local function system(targets, services)
	return { targets = function() return targets end, services = services or {} }
end

describe("tls.sources", function()
	it("finds each address once, with all that hold it", function()
		local s = system({
			{ name = "api", kind = "http", built_in = true,
				tls = { host = "api.example", port = 443, ca = "/ca" } },
			{ name = "cache", kind = "redis", built_in = true,
				tls = { host = "::1", port = 6380, server_name = "cache" } },
			{ name = "plain", kind = "http", built_in = true },
		}, { site = { tls = "api.example:443" }, other = {},
			mail = { tls = "mail.example:465" } })
		local list = tls.sources(s, { addresses = { "x.example:8443" },
			ca = "/default" })
		eq(#list, 4)
		eq(list[1].address, "api.example:443")
		eq(list[1].held_by, { "target api", "service site" })
		eq(list[1].target, "api")
		eq(list[1].ca, "/ca")
		eq(list[2].address, "[::1]:6380")
		eq(list[2].target, nil)
		eq(list[2].server_name, "cache")
		eq(list[2].ca, "/default")
		eq(list[3].address, "mail.example:465")
		eq(list[4].address, "x.example:8443")
		eq(#tls.sources(s, { only = { "mail" } }), 1)
		raises("usage", tls.sources, s, { addresses = { "no-port" } })
	end)

	it("takes patterns of files", function()
		local base = os.tmpname() .. ".tls"
		os.execute(("mkdir %s; touch %s/a.pem %s/b.pem"):format(base, base, base))
		local list = tls.sources(system {}, { files = { base .. "/*.pem",
			base .. "/none.pem" } })
		os.execute("rm -r " .. base .. " " .. base:sub(1, -5))
		eq(#list, 3)
		eq(list[1].file, base .. "/a.pem")
		eq(list[3].file, base .. "/none.pem")
	end)
end)

describe("tls.cluster", function()
	it("gives cert-manager's rows and the hosts of ingresses", function()
		local client = {
			certificates = function()
				return { { name = "web", ready = true, secret = "web-tls",
					names = { "a.example" }, expires = 1893456000,
					days_left = 12.5 },
					{ name = "new", ready = false, message = "waiting" } }
			end,
			ingresses = function()
				return { { name = "web", hosts = { "a.example", "*.b.example" },
					secrets = { "web-tls" } },
					{ name = "open", hosts = { "c.example" }, secrets = {} } }
			end,
		}
		local rows, sources = tls.cluster(client, "orchestrator")
		eq(rows[1].where, "certificate web")
		eq(rows[1].days_left, 12)
		eq(rows[1].expires, "2030-01-01T00:00:00Z")
		eq(rows[1].held_by, { "orchestrator: secret web-tls" })
		eq(rows[2].verified, false)
		eq(rows[2].problem, "waiting")
		eq(#sources, 1)
		eq(sources[1].address, "a.example:443")
		tls.judge(rows)
		eq(rows[1].state, "unknown")		-- not issued yet
		eq(rows[2].state, "warning")
	end)

	it("is content without cert-manager, not with another failure", function()
		local function client(code)
			return { certificates = function()
				error(err.new { kind = "usage", code = code, message = "no" }, 0)
			end, ingresses = function() return {} end }
		end
		local rows, sources = tls.cluster(client "UNSUPPORTED", "o")
		eq(#rows + #sources, 0)
		raises("usage", tls.cluster, client "OTHER", "o")
	end)
end)

describe("tls.parse", function()
	it("reads what openssl says", function()
		local c = tls.parse("subject=CN=api.example,O=Example\\, Inc.\n"
			.. "issuer=CN=Example CA\nnotAfter=Jan  1 00:00:00 2030 GMT\n"
			.. "X509v3 Subject Alternative Name: \n    DNS:api.example, "
			.. "DNS:*.api.example, IP Address:127.0.0.1\n")
		eq(c.subject, [[CN=api.example,O=Example\, Inc.]])
		eq(c.issuer, "CN=Example CA")
		eq(c.not_after, "2030-01-01T00:00:00Z")
		eq(c.names, { "api.example", "*.api.example", "127.0.0.1" })
		ok(math.abs(c.days_left - (1893456000 - os.time()) / 86400) < 0.01)
		c = tls.parse "subject=\nissuer=\nnotAfter=Feb 29 23:59:59 2000 GMT\n"
		eq(c.not_after, "2000-02-29T23:59:59Z")
		eq(c.names, {})
		ok(c.days_left < 0)
		raises("protocol", tls.parse, "")
		raises("protocol", tls.parse, "notAfter=soon\n")
	end)
end)

describe("tls.file", function()
	it("says what a file has not", function()
		local path = os.tmpname()
		local f = assert(io.open(path, "w"))
		f:write "-----BEGIN PRIVATE KEY-----\n"
		f:close()
		raises("protocol", tls.file, path)
		os.remove(path)
		raises("io", tls.file, path)
	end)
end)

describe("tls.check", function()
	it("makes a row of what can't be asked", function()
		local rows = tls.check(system {}, { { file = "/none/x.pem",
			held_by = { "file /none/x.pem" } } }, { timeout = 1 })
		eq(#rows, 1)
		eq(rows[1].state, "unknown")
		eq(rows[1].code, "io")
		ok(rows[1].problem:find("No such file", 1, true))
		eq(tls.check(system {}, {}), {})
	end)
end)

describe("tls.judge", function()
	local function row(days, more)
		local r = { where = "x" .. tostring(days), days_left = days,
			verified = true }
		for k, v in pairs(more or {}) do r[k] = v end
		return r
	end

	local function states(rows, opts)
		local out = {}
		for n, r in ipairs(tls.judge(rows, opts)) do
			out[n] = r.where .. " " .. r.state
		end
		return out
	end

	it("puts the worst first", function()
		eq(states { row(300), row(29), row(30), row(6), row(7), row(0), row(-1),
			row(200, { verified = false }), row(nil, { state = "unknown" }) },
			{ "x-1 expired", "x0 critical", "x6 critical", "x200 untrusted",
			"xnil unknown", "x7 warning", "x29 warning", "x30 ok", "x300 ok" })
		eq(states({ row(50), row(200, { verified = false }), row(11) },
			{ warn = 60, critical = 12, verify = false }),
			{ "x11 critical", "x50 warning", "x200 ok" })
	end)

	it("has a verdict, and an exit", function()
		local rows = tls.judge { row(-1), row(3), row(20), row(300) }
		eq(tls.verdict(rows), "1 of 4 expired: x-1 · 1 critical: x3 · "
			.. "1 warning: x20")
		local e = raises("server", tls.demand, rows)
		ok(e.message:find("x-1, x3", 1, true))
		eq(e.code, "CERTIFICATE")
		rows = tls.judge { row(20), row(nil, { state = "unknown" }) }
		tls.demand(rows)
		raises("server", tls.demand, rows, true)
		raises("server", tls.demand, tls.judge { row(nil,
			{ state = "unknown" }) })
		rows = tls.judge { row(300) }
		eq(tls.verdict(rows), "all 1 certificates are good")
		tls.demand(rows, true)
	end)
end)
