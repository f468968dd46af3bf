-- http_target: what calls and targets of opsh.http may say, and what comes of it:
-- options, credentials and who sees them, classes and modes, proxies, HTTP/2. Owns no
-- server: tests/lib/http.lua does.
local H = dofile "tests/lib/http.lua"
local http = require "opsh.http"
local json = require "opsh.json"
local secret = require "opsh.secret"
local task = require "opsh.task"

local PLAIN = { plain = true }
local header, read_file, write_file = H.header, H.read, H.write

describe("http options", function()
	it("are checked", H.on(function(api)
		for _, opts in ipairs { { unknown = 1 }, { json = 1, body = "" },
			{ expect = "200" }, { expect = {} }, { timeout = 0 },
			{ timeout = -1 }, { effect = "maybe" }, { auth = {} },
			{ body = {} }, { multipart = {} }, { retry = { tries = 1 } },
			{ headers = { ["a b"] = "x" } }, { headers = { a = "x\ny" } },
			{ headers = { a = {} , b = print } }, { query = "a=b" } } do
			local fine, e = pcall(api.get, api, "/echo", opts)
			ok(not fine, json.encode { (next(opts)) })
			ok(tostring(e):find "option" or e.kind == "usage", tostring(e))
		end
		raises("usage", api.put, api, "/echo", { effect = "read" })
		raises("usage", api.post, api, "/echo", { retry = { attempts = 2 } })
		raises("usage", api.get, api, "/echo", "text")
	end))

	it("headers: of the target, of the call over them", H.on(function(api)
		local r = api:get "/echo".json
		eq(header(r, "x-a"), "target")
		ok(header(r, "user-agent"):find("^opsh/"))
		r = api:get("/echo", { headers = { ["x-A"] = "call", ["X-B"] = { 1, 2 },
			["X-Empty"] = "" } }).json
		eq(header(r, "x-a"), "call")
		eq(header(r, "x-b"), "1|2")
	end, { headers = { ["X-A"] = "target" } }))

	it("auth: bearer, basic, none", H.on(function(api)
		eq(header(api:get "/echo".json, "authorization"),
			"Bearer the-token-of-it")
		eq(header(api:get("/echo", { auth = false }).json, "authorization"), "")
		eq(header(api:get("/echo", { auth = { user = "u", password = "p" } }).json,
			"authorization"), "Basic dTpw")
		eq(header(api:get("/echo", { auth = { token = "other-tok-1" } }).json,
			"authorization"), "Bearer other-tok-1")
		eq(header(api:get("/echo", { headers = { Authorization = "X y" } }).json,
			"authorization"), "X y")
	end, { token = secret.value("the-token-of-it", "t") }))

	it("basic from the URL, or netrc", function()
		local server = H.shared()
		H.with("http://ann:long-password@127.0.0.1:" .. server.port, nil,
			function(api)
				eq(header(api:get "/echo".json, "authorization"),
					"Basic YW5uOmxvbmctcGFzc3dvcmQ=")
			end)
	end)

	it("authorization in plain text is masked in records", H.on(function(api)
		local _, n = H.records()
		api:post("/echo", { headers = { Authorization = "Bearer plain-text-token",
			["X-Api-Key"] = "key-in-plain-text" },
			body = "plain-text-token key-in-plain-text" })
		for _, record in ipairs((H.records(n))) do
			ok(not record.text:find("plain-text-token", 1, true), record.text)
			ok(not record.text:find("key-in-plain-text", 1, true), record.text)
		end
	end))
end)

describe("http classes", function()
	it("are the methods'", H.on(function(api)
		local _, n = H.records()
		api:get "/echo"
		api:post "/echo"
		api:post("/echo", { effect = "read" })
		api:delete "/echo"
		api:put("/echo", { effect = "destructive" })
		local seen = {}
		for _, r in ipairs((H.records(n))) do
			if r.class then seen[#seen + 1] = r.type .. " " .. r.verb .. " "
				.. r.class end
		end
		eq(table.concat(seen, ", "), "read GET read, intent POST write, "
			.. "read POST read, intent DELETE destructive, "
			.. "intent PUT destructive")
	end))

	it("read mode refuses writes", H.on(function(api)
		eq(api:get("/echo").status, 200)
		eq(api:post("/echo", { effect = "read" }).status, 200)
		local e = raises("refused", api.post, api, "/echo")
		eq(e.outcome, "refused")
		raises("refused", api.delete, api, "/echo")
		raises("refused", api.get, api, "/echo", { to = "/tmp/x" })
	end, { mode = "read" }))

	it("DELETE needs a guard", H.on(function(api, object)
		raises("guard", api.delete, api, "/echo/1")
		object:pass("DELETE", "spec")
		eq(api:delete("/echo/1").status, 200)
	end, { guard = true }))

	it("a plan withholds writes, reads run", H.on(function(api)
		local before = api:get("/count?path=/echo/plan").json.count
		local r = api:post("/echo/plan", { json = {} })
		ok(tostring(r):find("withheld: POST", 1, true))
		raises("withheld", function() return r.status end)
		r = api:post("/echo/plan", { expect = 201,
			expect_result = { status = 201, json = { id = 7 } } })
		eq(r.json.id, 7)
		r = api:put("/echo/plan", { body = function() error "not called" end })
		ok(tostring(r):find("withheld: PUT", 1, true))
		local path = H.folder() .. "/planned"
		r = api:get("/bytes", { to = path })
		ok(tostring(r):find("withheld", 1, true))
		eq(read_file(path), nil)
		eq(api:get("/count?path=/echo/plan").json.count, before)
	end, { mode = "plan" }))

	it("a write's status is its outcome", H.on(function(api)
		local _, n = H.records()
		eq(api:post("/status/201", { expect = 201 }).status, 201)
		local e = raises("server", api.post, api, "/status/409")
		eq(e.code, "409")
		eq(e.outcome, "failed")
		eq(api:post("/status/409", { expect = { 201, 409 } }).ok, false)
		eq(api:post("/status/404", { expect = "any" }).status, 404)
		e = raises("unknown", api.post, api, "/status/504")
		eq(e.outcome, "unknown")
		eq(e.code, "504")
		e = raises("server", api.post, api, "/status/200", { expect = 201 })
		eq(e.outcome, "done")
		local seen = {}
		for _, r in ipairs((H.records(n))) do
			if r.type == "outcome" then seen[#seen + 1] = r.outcome end
		end
		eq(table.concat(seen, " "), "done failed failed failed unknown done")
	end))
end)

describe("http targets", function()
	it("describe their options", function()
		eq(http.kind.name, "http")
		for _, name in ipairs { "token", "user", "password", "headers", "ca",
			"cert", "key", "server_name", "verify", "netrc", "proxy", "timeout",
			"connect_timeout", "http2", "max_body" } do
			ok(http.kind.options[name].help, name)
		end
		raises("config", H.open, "http://h/?a=b")
		raises("config", H.open, "http://h", { proxy = "ftp://x" })
		raises("config", H.open, "https://h", { key = "/x" })
		raises("config", H.open, "http://h", { user = "a:b" })
	end)

	it("proxy: between, with its own credentials", function()
		local port = H.shared().port
		H.with("http://gone.invalid:81", { token = secret.value("origin-token",
			"t"), proxy = "http://pxu:proxy-password@127.0.0.1:" .. port },
			function(api)
				local r = api:get "/echo?a=1".json
				eq(r.target, "http://gone.invalid:81/echo?a=1")
				eq(header(r, "host"), "gone.invalid:81")
				eq(header(r, "proxy-authorization"),
					"Basic cHh1OnByb3h5LXBhc3N3b3Jk")
				eq(header(r, "authorization"), "Bearer origin-token")
			end)
	end)

	-- A targets file and an environment of their own need a process of their own.
	local function opsh(env, fields, code)
		local path = write_file("targets.lua", ("return { targets = { api = { "
			.. "url = %q, %s } } }"):format("http://127.0.0.1:"
			.. H.shared().port, fields))
		local p = io.popen(("env -u http_proxy -u no_proxy %s %s --targets %s "
			.. "-e '%s' 2>&1"):format(env, "build/test/opsh", path, code))
		local said = p:read "a"
		p:close()
		return said
	end

	it("netrc gives the login, of a file that others can't read", function()
		local path = write_file("netrc", "machine other login x password y\n"
			.. "machine 127.0.0.1\n login ann\n password from-the-netrc\n")
		local code = "for _, h in ipairs(api:get(\"/echo\").json.headers) do "
			.. "if h[1] == \"Authorization\" then print(#h[2]) end end"
		os.execute("chmod 644 " .. path)
		local said = opsh("NETRC=" .. path, "netrc = true", code)
		ok(said:find("others can read it", 1, true), said)
		os.execute("chmod 600 " .. path)
		eq(opsh("NETRC=" .. path, "netrc = true", code),
			#"Basic YW5uOmZyb20tdGhlLW5ldHJj" .. "\n")
	end, PLAIN)

	it("variables of a proxy count only when asked for", function()
		local code = "print(pcall(api.get, api, \"/echo\", {timeout = 2}))"
		local env = "http_proxy=http://127.0.0.1:1"
		ok(opsh(env, "", code):find("^true"), "not asked for")
		local said = opsh(env, "proxy = \"env\"", code)
		ok(said:find("^false"), said)
		ok(opsh(env .. " no_proxy=127.0.0.1", "proxy = \"env\"", code)
			:find("^true"), "excepted")
	end, PLAIN)

	it("http2 speaks it, many calls on a connection", function()
		local dir = H.certificates()
		for _, args in ipairs { "--no-tls", ("%s/localhost.key "
			.. "%s/localhost.pem"):format(dir, dir) } do
			local server <close> = H.http2(args)
			local tls = args ~= "--no-tls"
			local origin = (tls and "https" or "http") .. "://localhost:"
				.. server.port
			H.with(origin, { http2 = true, ca = dir .. "/ca.pem" },
				function(api)
				local t0 = task.now()
				while not pcall(api.get, api, "/hello") do
					ok(task.now() - t0 < 5, "nghttpd does not start")
					task.sleep(0.02)
				end
				local list = {}
				for i = 1, 20 do list[i] = i end
				local made = 0
				task.map(list, { limit = 20 }, function()
					local r = api:get "/hello"
					eq(r.body, "hello")
					eq(r.version, "2")
					if r.timing.connect > 0 then made = made + 1 end
				end)
				if tls then eq(made, 0) end
				eq(api:post("/hello", { expect = "any" }).version, "2")
			end)
		end
	end, PLAIN)
end)
