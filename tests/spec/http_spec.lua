-- http: calls of opsh.http against an origin of our own: methods, bodies, options,
-- results, classes, records. What networks and servers do wrong is in
-- http_fault_spec.lua. Owns no server: tests/lib/http.lua does.
local H = dofile "tests/lib/http.lua"
local http = require "opsh.http"
local json = require "opsh.json"
local secret = require "opsh.secret"
local task = require "opsh.task"

local PLAIN = { plain = true }

local function header(echo, name)
	local all = {}
	for _, pair in ipairs(echo.headers) do
		if pair[1]:lower() == name then all[#all + 1] = pair[2] end
	end
	return table.concat(all, "|")
end

local function write_file(name, data)
	local path = H.folder() .. "/" .. name
	local f = assert(io.open(path, "w"))
	f:write(data)
	f:close()
	return path
end

local function read_file(path)
	local f = io.open(path)
	if not f then return nil end
	local data = f:read "a"
	f:close()
	return data
end

describe("http reads", function()
	it("give status, headers, body, timing, url", H.on(function(api, _, server)
		local r = api:get "/bytes?n=10"
		eq(r.status, 200)
		eq(r.ok, true)
		eq(r.body, "xxxxxxxxxx")
		eq(r.headers["content-length"], "10")
		eq(r.url, "http://127.0.0.1:" .. server.port .. "/bytes?n=10")
		eq(r.version, "1.1")
		for _, name in ipairs { "dns", "connect", "tls", "first_byte", "total" } do
			ok(r.timing[name] >= 0 and r.timing[name] < 5, name)
		end
		ok(r.timing.total >= r.timing.first_byte)
		eq(r.certificate, nil)
		eq(tostring(r), "200 text/plain (10 bytes)")
	end))

	it("parse JSON when it is asked for", H.on(function(api)
		local r = api "/echo"
		eq(rawget(r, "json"), nil)
		eq(r.json.method, "GET")
		ok(rawget(r, "json"))
		local e = raises("protocol", function()
			return api:get("/bytes").json
		end)
		ok(e.message:find("/bytes", 1, true), e.message)
	end))

	it("show the start of a text to a person", H.on(function(api)
		local show = require "run.show"
		local function shown(body)
			return show.text(api:post("/mirror", { body = body, effect = "read",
				headers = { ["Content-Type"] = "text/x" } }))
		end
		eq(shown "status up\n", "200 text/x (10 bytes)\nstatus up\n")
		eq(shown "", "200 text/x (0 bytes)\n")
		eq(shown "a\r\nb\tc\27[2Jdefghij",
			"200 text/x (17 bytes)\na\nb\tc\\x1b[2Jdefghij\n")
		eq(shown "tür\u{202e}abcdefghijkl",
			"200 text/x (19 bytes)\ntür\\xe2\\x80\\xaeabcdefghijkl\n")
		eq(shown "ab\0\1", "200 text/x (4 bytes)\n")
		eq(shown(("x"):rep(5000)), "200 text/x (5000 bytes)\n"
			.. ("x"):rep(2000) .. "\n.. (3000 more bytes)\n")
		eq(shown(("y\n"):rep(100)), "200 text/x (200 bytes)\n"
			.. ("y\n"):rep(40) .. ".. (120 more bytes)\n")
		-- a character that begins within what is shown, and one cut in two
		eq(shown(("é"):rep(1500)), "200 text/x (3000 bytes)\n"
			.. ("é"):rep(1000) .. "\n.. (1000 more bytes)\n")
		eq(show.text(api:get("/status/503")), "503 (23 bytes)\nstatus 503\nof this path\n")
		local r <close> = api:stream "/bytes?n=10"
		eq(show.text(r), "200 text/plain (streamed)\n")
	end))

	it("have all fields when one walks over them, or encodes them", H.on(function(api)
		local function names(r)
			local all = {}
			for name in pairs(r) do all[#all + 1] = name end
			table.sort(all)
			return table.concat(all, " ")
		end
		local all = "body headers headers_list ok status timing url version"
		eq(names(api:get "/bytes"), all)
		local r = api:get "/bytes?n=2"
		local headers = r.headers
		eq(rawequal(r.headers, headers), true)
		eq(names(r), all)
		eq(rawequal(r.headers, headers), true)
		eq(r.nothing, nil)
		eq(r[1], nil)
		local copy = json.decode(json.encode(api:get "/bytes?n=2"))
		eq(names(copy), all)
		eq(copy.headers["content-length"], "2")
		eq(copy.headers_list[1], { "content-type", "text/plain" })
	end))

	it("join repeated headers and list them all", H.on(function(api)
		local r = api:get "/repeat"
		eq(r.headers["x-one"], "a, b")
		eq(r.headers["x-empty"], "")
		eq(r.headers["X-One"], nil)
		local names = {}
		for i, pair in ipairs(r.headers_list) do names[i] = pair[1] end
		eq(table.concat(names, " "),
			"x-one x-one set-cookie x-empty content-length")
		eq(r.headers_list[2], { "x-one", "b" })
	end))

	it("take any status, or what is expected", H.on(function(api)
		eq(api:get("/status/503").status, 503)
		eq(api:get("/status/503").ok, false)
		eq(api:get("/status/404", { expect = { 200, 404 } }).status, 404)
		eq(api:get("/status/204").body, "")
		local e = raises("server", api.get, api, "/status/503", { expect = 200 })
		eq(e.code, "503")
		eq(e.outcome, "failed")
		ok(e.message:find("503 Status: status 503 of this path", 1, true),
			e.message)
		ok(e.message:find("127.0.0.1:", 1, true))
	end))

	it("head, options, request", H.on(function(api)
		local r = api:head "/bytes?n=4000"
		eq(r.body, "")
		eq(r.headers["content-length"], "4000")
		eq(api:options("/echo").json.method, "OPTIONS")
		eq(api:request("REPORT", "/echo").json.method, "REPORT")
		eq(api:request("GET", "/echo", { query = { a = 1 } }).json.query.a, "1")
		raises("usage", api.request, api, "get it", "/echo")
		raises("usage", api.request, api, "CONNECT", "/echo")
	end))

	it("encode query and path", H.on(function(api)
		local r = api:get("/echo", { query = { q = "a b&c=d/é", n = { 1, 2 },
			t = true } }).json
		eq(r.target, "/echo?n=1&n=2&q=a%20b%26c%3Dd%2F%C3%A9&t=true")
		eq(api:get("/echo?x=1", { query = { y = 2 } }).json.target,
			"/echo?x=1&y=2")
		eq(api:get("/echo/a b#c%2Fd%zz").json.target,
			"/echo/a%20b%23c%2Fd%25zz")
		eq(api:get("/echo/../x/./y").json.target, "/echo/../x/./y")
		raises("usage", api.get, api, "echo")
		raises("usage", api.get, api, "/echo\r\nX: y")
		raises("usage", api.get, api, "http://other/")
	end))

	it("go below the URL's own path", function()
		local server = H.shared()
		H.with("http://127.0.0.1:" .. server.port .. "/echo/v1/", nil,
			function(api)
				eq(api:get("/x").json.path, "/echo/v1/x")
				eq(api:get("").json.path, "/echo/v1")
				eq(api:get("?a=1").json.target, "/echo/v1?a=1")
			end)
	end)

	it("keep the connection", H.on(function(api)
		local first = api:get("/echo").json.conn
		for _ = 1, 3 do eq(api:get("/echo").json.conn, first) end
		eq(api:get("/echo").timing.connect, 0.0)
	end))

	it("reach a unix socket", function()
		local path = H.folder() .. "/s.sock"
		H.shared("--unix " .. path)
		local encoded = path:gsub("/", "%%2F")
		H.with("http+unix://" .. encoded .. "/echo", nil, function(api, object)
			local r = api:get "/v1"
			eq(r.json.path, "/echo/v1")
			eq(header(r.json, "host"), "localhost")
			eq(object:address(), path)
			eq(api:identity().origin, "http+unix://" .. path)
		end)
	end)

	it("unpack, and count what was unpacked", H.on(function(api)
		local r = api:get "/gzip?n=5000"
		eq(#r.body, 5000)
		eq(r.headers["content-encoding"], "gzip")
	end))

	it("ping takes any answer", H.on(function(api, object)
		http.kind.ping(api)
		ok(object:identity():find("http://127.0.0.1:", 1, true))
		eq(api:identity().address, object:address())
	end))

	it("end with the client", H.on(function(api)
		api:close()
		raises("usage", api.get, api, "/echo")
	end))
end)

describe("http redirects", function()
	it("within the origin are followed", H.on(function(api)
		local r = api:get "/redirect?to=/echo%3Fa=1"
		eq(r.status, 200)
		eq(r.json.target, "/echo?a=1")
		ok(r.url:find("/echo?a=1", 1, true))
		eq(api:get("/redirect/x?to=../echo").json.path, "/echo")
		eq(api:head("/redirect?to=/echo&code=308").status, 200)
	end))

	it("end after five", H.on(function(api)
		local e = raises("limit", api.get, api, "/loop")
		ok(e.message:find("more than 5 redirects", 1, true), e.message)
		eq(api:get("/loop", { follow = 0 }).headers.location, "loop?n=1")
	end))

	it("to another origin are not followed", H.on(function(api, _, server)
		for _, to in ipairs { "http://localhost:" .. server.port .. "/echo",
			"https://127.0.0.1:" .. server.port .. "/echo",
			"//127.0.0.1:1/echo", "ftp://127.0.0.1/x", "file:///etc/passwd" } do
			local e = raises("refused", api.get, api, "/redirect",
				{ query = { to = to } })
			eq(e.code, "302")
			ok(e.message:find(to, 1, true), e.message)
			local r = api:get("/redirect", { query = { to = to },
				expect = 302 })
			eq(r.headers.location, to)
		end
	end, { token = secret.value("tok-of-redirects", "t") }))

	it("of a write are not followed", H.on(function(api)
		eq(api:post("/redirect?to=/echo&code=307").status, 307)
	end))
end)

describe("http bodies", function()
	it("json, form, text, nothing", H.on(function(api)
		local r = api:post("/echo", { json = { b = 1, a = { 2 } } })
		eq(r.json.body, '{"a":[2],"b":1}')
		eq(header(r.json, "content-type"), "application/json")
		r = api:put("/echo", { form = { k = "a b", l = { 1, 2 } } })
		eq(r.json.body, "k=a%20b&l=1&l=2")
		eq(header(r.json, "content-type"), "application/x-www-form-urlencoded")
		r = api:patch("/echo", { body = "raw\0bytes",
			headers = { ["Content-Type"] = "x/y" } })
		eq(r.json.body, "raw\0bytes")
		eq(header(r.json, "content-type"), "x/y")
		r = api:post "/echo"
		eq(r.json.body, "")
		eq(header(r.json, "content-length"), "0")
		eq(api:request("GET", "/echo", { body = "q" }).json.body, "q")
	end))

	it("hold secrets that records don't show", H.on(function(api)
		local hidden = secret.value("s3cret\"value", "hidden")
		local _, n = H.records()
		local r = api:post("/echo", { json = { key = hidden, list = { hidden } },
			query = { token = hidden }, headers = { ["X-Key"] = hidden } })
		eq(json.decode(r.json.body), { key = 's3cret"value',
			list = { 's3cret"value' } })
		eq(r.json.query.token, 's3cret"value')
		eq(header(r.json, "x-key"), 's3cret"value')
		for _, record in ipairs((H.records(n))) do
			ok(not record.text:find("s3cret", 1, true), record.text)
		end
		eq(api:post("/echo", { form = { k = hidden } }).json.body,
			"k=s3cret%22value")
		eq(api:post("/echo", { body = hidden }).json.body, 's3cret"value')
	end))

	it("come from a file", H.on(function(api)
		local path = write_file("up.txt", ("f"):rep(100000))
		local r = api:put("/echo", { body = { file = path } })
		eq(r.json.size, 100000)
		eq(header(r.json, "content-length"), "100000")
		raises("io", api.put, api, "/echo", { body = { file = path .. ".no" } })
		raises("io", api.put, api, "/echo", { body = { file = "/tmp" } })
	end))

	it("multipart, with files", H.on(function(api)
		local path = write_file("part.txt", "of the file")
		local r = api:post("/echo", { multipart = {
			{ name = "a", value = "one" },
			{ name = "f", file = path, type = "text/plain" },
			{ name = "n", value = 7, filename = "n.bin" } } })
		local body = r.json.body
		ok(header(r.json, "content-type"):find("multipart/form-data; boundary=",
			1, true))
		ok(body:find('name="a"\r\n\r\none\r\n', 1, true), body)
		ok(body:find('name="f"; filename="part.txt"\r\nContent-Type: text/plain'
			.. '\r\n\r\nof the file', 1, true), body)
		ok(body:find('name="n"; filename="n.bin"', 1, true), body)
	end))

	it("come chunk by chunk from a function", H.on(function(api)
		local i = 0
		local r = api:post("/echo", { body = function()
			i = i + 1
			return i <= 5 and ("%d;"):format(i) or nil
		end })
		eq(r.json.body, "1;2;3;4;5;")
		eq(header(r.json, "transfer-encoding"), "chunked")
		raises("usage", api.post, api, "/echo", { body = function()
			return {}
		end })
		local e = raises("out of chunks", api.post, api, "/echo",
			{ body = function() error "out of chunks" end })
		ok(e)
	end))

	it("go to a file, at once or not at all", H.on(function(api)
		local path = H.folder() .. "/down.txt"
		os.remove(path)
		local target = require "opsh.c.target"
		target.host():pass("write", "spec")
		local r = api:get("/bytes?n=50000", { to = path })
		eq(r.body, nil)
		eq(r.file, path)
		eq(r.size, 50000)
		eq(#read_file(path), 50000)
		raises("server", api.get, api, "/status/500", { to = path })
		eq(#read_file(path), 50000)
		raises("connect", api.get, api, "/half", { to = path })
		eq(#read_file(path), 50000)
		raises("io", api.get, api, "/bytes", { to = "/nonexistent/x" })
		local p = io.popen("ls " .. H.folder() .. " | grep -c 'down.txt'")
		eq(p:read "l", "1")
		p:close()
	end))
end)

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
