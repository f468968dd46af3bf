-- http: calls of opsh.http against an origin of our own: methods, redirects, bodies,
-- what comes back. What calls and targets may say is in http_target_spec.lua, what
-- networks and servers do wrong in http_fault_spec.lua. Owns no server:
-- tests/lib/http.lua does.
local H = dofile "tests/lib/http.lua"
local http = require "opsh.http"
local json = require "opsh.json"
local secret = require "opsh.secret"

local header, read_file, write_file = H.header, H.read, H.write

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
