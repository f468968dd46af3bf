-- http_fault: broken networks and broken servers (FAULTS 25, 27, 29 to 31): lost
-- replies, silence, lies, floods. What must be known afterwards: was it applied,
-- not applied, or can't be told; and that no write arrives twice. Owns its servers.
local H = dofile "tests/lib/http.lua"
local task = require "opsh.task"

local PLAIN = { plain = true }	-- they measure time, or move much

local function took(f, ...)
	local t0 = task.now()
	local e = raises(".", f, ...)
	return task.now() - t0, e
end

local function count(api, path)
	return api:get("/count", { query = { path = path } }).json
end

describe("http lost answers", function()
	it("leave a write unknown, sent once on a new connection",
		H.on(function(api)
			local e = raises("unknown", api.post, api, "/lost/new", { body = "x" })
			eq(e.outcome, "unknown")
			eq(e.op, "POST")
			eq(e.phase, "wait")
			ok(e.message:find("may have been applied", 1, true), e.message)
			ok(e.message:find("127.0.0.1:", 1, true), e.message)
			eq(count(api, "/lost/new").count, 1)
		end))

	it("leave a write unknown, sent once on a connection that stood",
		H.on(function(api)
			local n = 0
			for _, opts in ipairs { { "POST", { body = ("x"):rep(100) } },
				{ "POST", {} }, { "DELETE", {} }, { "PATCH", { json = {} } },
				{ "PUT", { body = ("y"):rep(300000) } },
				{ "PUT", { body = { file = "tests/lib/http.lua" } } },
				{ "POST", { multipart = { { name = "a", value = "b" } } } },
				{ "POST", { body = coroutine.wrap(function()
					coroutine.yield "chunk"
				end) } } } do
				eq(api:get("/echo").status, 200)
				local e = raises("unknown", api.request, api, opts[1], "/lost/old",
					opts[2])
				eq(e.outcome, "unknown", opts[1])
				n = n + 1
				eq(count(api, "/lost/old").count, n)
			end
		end))

	it("of reads that reused a connection are asked again", H.on(function(api)
		api:get "/echo"
		local e = raises("connect", api.get, api, "/lost/read")
		eq(e.outcome, "failed")
		ok(count(api, "/lost/read").count >= 2)
	end))

	it("with an idempotency key are sent again, with the same key",
		H.on(function(api)
			local r = api:post("/flaky/key", { json = { n = 1 },
				idempotency_key = "k-1" })
			eq(r.status, 200)
			eq(r.attempts, 2)
			local seen = count(api, "/flaky/key")
			eq(seen.keys, { "k-1", "k-1" })
			r = api:post("/flaky/never?fail=1", { retry = false, expect = "any",
				idempotency_key = "k-2", query = { code = 503 } })
			eq(r.status, 503)
		end))

	it("are one effect in the record", H.on(function(api)
		local _, n = H.records()
		api:post("/flaky/record", { idempotency_key = "k-3" })
		local types = {}
		for _, r in ipairs((H.records(n))) do types[#types + 1] = r.type end
		eq(table.concat(types, " "), "intent identity outcome")
	end))

	it("that end in the middle", H.on(function(api)
		local e = raises("connect", api.get, api, "/half")
		eq(e.phase, "read")
		e = raises("unknown", api.post, api, "/half")
		eq(e.outcome, "unknown")
		raises("connect", api.get, api, "/reset")
		raises("unknown", api.post, api, "/reset")
	end))
end)

describe("http idle connections", function()
	it("that the server closes cost no write, and double none", function()
		local server <close> = H.server "--idle 0.05"
		H.with("http://127.0.0.1:" .. server.port, nil, function(api)
			local done, unknown = 0, 0
			for i = 1, 60 do
				pcall(api.get, api, "/bytes?n=1")
				task.sleep(0.047 + i % 7 * 0.001)	-- as it closes
				local fine, e = pcall(api.post, api, "/bytes/w", { body = "x" })
				if fine then
					done = done + 1
				else
					eq(e.outcome, "unknown", tostring(e))
					unknown = unknown + 1
				end
			end
			local seen = count(api, "/bytes/w").count
			ok(seen >= done and seen <= done + unknown,
				("%d done, %d unknown, %d seen"):format(done, unknown, seen))
			ok(done >= 40, done)
		end)
	end, PLAIN)

	it("closed long ago are noticed", H.on(function(api)
		eq(api:get("/close").body, "bye")
		task.sleep(0.02)
		eq(api:post("/echo", { body = "x" }).json.body, "x")
	end), PLAIN)
end)

describe("http retries", function()
	it("of reads, when asked for", H.on(function(api)
		eq(api:get("/flaky/a?code=503&fail=1").status, 503)
		local r = api:get("/flaky/b?code=503&fail=2", { retry = {
			attempts = 3, delay = 0.01 } })
		eq(r.status, 200)
		eq(r.attempts, 3)
		r = api:get("/flaky/c?code=503&fail=9", { retry = { attempts = 2,
			delay = 0.01 } })
		eq(r.status, 503)
		eq(r.attempts, 2)
		r = api:get("/flaky/d?code=500&fail=1", { retry = { delay = 0.01 } })
		eq(r.status, 500)
		local e = raises("server", api.get, api, "/flaky/e?code=503&fail=9",
			{ retry = { attempts = 2, delay = 0.01 }, expect = 200 })
		eq(e.code, "503")
	end))

	it("wait as Retry-After says, not beyond the deadline", H.on(function(api)
		local t0 = task.now()
		local r = api:get("/flaky/f?code=429&fail=1&after=1", { retry = {
			delay = 0.01 } })
		eq(r.status, 200)
		ok(task.now() - t0 >= 1, task.now() - t0)
		t0 = task.now()
		r = api:get("/flaky/g?code=429&fail=1&after=60", { retry = {
			delay = 0.01 }, timeout = 2 })
		eq(r.status, 429)
		ok(task.now() - t0 < 0.5)
	end), PLAIN)

	it("of an attempt with its own limit", H.on(function(api)
		local t, e = took(api.get, api, "/silent/each", { timeout = 5,
			retry = { attempts = 2, delay = 0.01, each = 0.2 } })
		ok(t > 0.39 and t < 0.9, t)
		eq(e.kind, "timeout")
		eq(count(api, "/silent/each").count, 2)
	end), PLAIN)
end)

describe("http silence", function()
	it("ends at the deadline, names host, phase and limit", H.on(function(api)
		local t, e = took(api.get, api, "/silent", { timeout = 0.3 })
		ok(t >= 0.29 and t < 0.55, t)
		eq(e.kind, "timeout")
		eq(e.phase, "wait")
		eq(e.outcome, "failed")
		ok(e.message:find("127.0.0.1:", 1, true) and e.message:find("0.3 s", 1,
			true) and e.message:find("phase wait", 1, true), e.message)
		t, e = took(api.post, api, "/silent", { timeout = 0.3, body = "x" })
		ok(t < 0.55, t)
		eq(e.kind, "timeout")
		eq(e.outcome, "unknown")
		t, e = took(api.get, api, "/drip", { timeout = 0.3 })
		ok(t < 0.55, t)
		eq(e.phase, "read")
		t, e = took(api.get, api, "/sleep?s=2", { timeout = 0.3 })
		ok(t < 0.55, t)
		eq(e.phase, "wait")
	end), PLAIN)

	it("of a port that nobody serves", function()
		local gone = H.proxy "silent"
		gone:close()
		for mode, port in pairs { blackhole = false, refuse = gone.port } do
			local proxy <close> = port and gone or H.proxy(mode)
			H.with("http://127.0.0.1:" .. (port or proxy.port),
				{ connect_timeout = 0.3 }, function(api)
					local t, e = took(api.get, api, "/")
					ok(t < 0.55, mode .. " " .. t)
					eq(e.kind, "connect", mode)
					eq(e.phase, "connect", mode)
					ok(e.message:find("127.0.0.1:%d+"), e.message)
					e = raises("connect", api.post, api, "/")
					eq(e.outcome, "failed")
					ok(e.message:find("nothing was sent", 1, true), e.message)
					e = raises(".", api.get, api, "/", { timeout = 0.2 })
					eq(e.phase, "connect", mode)
					eq(e.kind, port and "connect" or "timeout", mode)
				end)
		end
	end, PLAIN)

	it("in the TLS handshake", function()
		local proxy <close> = H.proxy "silent"
		-- the system's authorities take long to read under a sanitizer
		H.with("https://127.0.0.1:" .. proxy.port, { connect_timeout = 0.3,
			ca = H.certificates() .. "/ca.pem" }, function(api)
				local t, e = took(api.get, api, "/")
				ok(t < 0.55, t)
				eq(e.kind, "connect")
				eq(e.phase, "tls")
				t, e = took(api.get, api, "/", { timeout = 0.2 })
				ok(t < 0.45, t)
				eq(e.kind, "timeout")
				eq(e.phase, "tls")
				t, e = took(api.certificate, api, { timeout = 0.2 })
				ok(t < 0.45, t)
				eq(e.kind, "timeout")
			end)
	end, PLAIN)

	it("of a name that isn't there", function()
		H.with("http://no-such-host.invalid", { timeout = 3 }, function(api)
			local t, e = took(api.get, api, "/")
			ok(t < 3.3, t)
			eq(e.phase, "dns")
			ok(e.message:find("no-such-host.invalid", 1, true), e.message)
		end)
	end, PLAIN)
end)

describe("http lies and floods", function()
	it("end in limits", H.on(function(api)
		local e = raises("limit", api.get, api, "/bytes?n=3000",
			{ max_body = 2999 })
		eq(e.phase, "read")
		ok(e.message:find("longer than 2999 bytes", 1, true), e.message)
		eq(#api:get("/bytes?n=3000", { max_body = 3000 }).body, 3000)
		raises("limit", api.get, api, "/chunks?n=100&size=100",
			{ max_body = 2000 })
		raises("limit", api.get, api, "/headers?n=2000")
		raises("limit", api.get, api, "/headers?n=200&size=4000")
		e = raises("limit", api.post, api, "/bytes?n=3000", { max_body = 10 })
		eq(e.outcome, "unknown")
	end))

	it("gzip bombs, endless headers and hints", H.on(function(api)
		local e = raises("limit", api.get, api, "/gzip?n=500000000",
			{ timeout = 20 })
		ok(e.message:find("67108864 bytes", 1, true), e.message)
		raises("limit", api.get, api, "/headers", { timeout = 20 })
		raises("limit", api.get, api, "/flood", { timeout = 20 })
	end), PLAIN)

	it("chunks that are none, other protocols", H.on(function(api)
		local e = raises("protocol", api.get, api, "/lie")
		eq(e.outcome, "failed")
		raises("protocol", api.get, api, "/garbage")
		e = raises("protocol", api.post, api, "/lie")
		eq(e.outcome, "unknown")
	end))

	it("an answer before the request ended", H.on(function(api)
		local fine, e = pcall(api.post, api, "/early",
			{ body = ("x"):rep(5000000), expect = 413 })
		ok(fine or e.outcome == "unknown", tostring(e))
	end))
end)

describe("http many calls", function()
	it("at once on one thread", H.on(function(api)
		local list = {}
		for i = 1, 1000 do list[i] = i end
		local t0 = task.now()
		local statuses = task.map(list, { limit = 1000 }, function()
			return api:get("/sleep?s=1", { timeout = 20 }).status
		end)
		local t = task.now() - t0
		eq(#statuses, 1000)
		ok(t < 4, t)		-- alone on the machine: 1.1 s
	end), PLAIN)

	it("one fails, the others go on or end with it", H.on(function(api)
		raises("timeout", task.all,
			function() api:get("/silent", { timeout = 0.2 }) end,
			function() api:get("/silent", { timeout = 10 }) end)
		local r = task.race(
			function() return api:get("/silent").status end,
			function() return api:get("/bytes").status end)
		eq(r, 200)
		raises("timeout", task.timeout, 0.2, function()
			api:post("/silent", { body = "x" })
		end)
	end), PLAIN)

	it("where Lua can't yield", H.on(function(api)
		eq(("x"):gsub("x", function() return api:get("/bytes?n=2").body end),
			"xx")
	end))
end)
