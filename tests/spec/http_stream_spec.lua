-- http_stream: bodies that are taken or given bit by bit: order, limits, memory,
-- what happens when one side stops. What a write is taken for is in http_target_spec.lua.
-- Owns no server: tests/lib/http.lua does.
local H = dofile "tests/lib/http.lua"
local task = require "opsh.task"

local PLAIN = { plain = true }

describe("http streams", function()
	it("give the body in pieces, in order", H.on(function(api)
		local r <close> = api:stream "/chunks?n=50&size=100"
		eq(r.status, 200)
		eq(r.headers["transfer-encoding"], "chunked")
		local n = 0
		for bytes in r.body do
			eq(bytes, ("c"):rep(#bytes))
			n = n + #bytes
		end
		eq(n, 5000)
		eq(r.body(), nil)
	end))

	it("of a large body, however slowly it is taken", H.on(function(api)
		local r <close> = api:stream "/bytes?n=3000000"
		local n = 0
		for bytes in r.body do
			n = n + #bytes
			ok(#bytes <= 512 * 1024, #bytes)
			task.sleep(0.001)
		end
		eq(n, 3000000)
	end))

	it("can be left early", H.on(function(api)
		local _, before = H.records()
		do
			local r <close> = api:stream "/bytes?n=30000000"
			ok(#r.body() > 0)
		end
		local last = H.records(before)
		eq(last[#last].outcome, "done")
		local body
		do
			local r <close> = api:stream "/bytes?n=30000000"
			body = r.body
		end
		eq(body(), nil)
		api:stream "/bytes?n=30000000"		-- and collected
		eq(api:get("/bytes").status, 200)
	end))

	it("raise what is not expected, with the body's start", H.on(function(api)
		local e = raises("server", api.stream, api, "/status/500",
			{ expect = 200 })
		eq(e.code, "500")
		ok(e.message:find("status 500", 1, true), e.message)
		local r <close> = api:stream "/status/500"
		eq(r.status, 500)
		raises("connect", api.stream, api, "/lost")
		raises("usage", api.stream, api, "/bytes", { to = "/tmp/x" })
	end))

	it("that break raise in the reader", H.on(function(api)
		local r <close> = api:stream "/half"
		eq(r.body(), "only this")
		local e = raises("connect", r.body)
		eq(e.phase, "read")
	end))

	it("wait for each piece at most the timeout", H.on(function(api)
		local r <close> = api:stream("/chunks?n=4&delay=0.15",
			{ timeout = 0.4 })
		local n = 0
		for bytes in r.body do n = n + #bytes end
		eq(n, 40)
		local silent <close> = api:stream("/chunks?n=2&delay=5",
			{ timeout = 0.3 })
		silent.body()
		local t0 = task.now()
		raises("timeout", silent.body)
		ok(task.now() - t0 < 0.55)
	end), PLAIN)

	it("of a POST are what it is declared", H.on(function(api)
		local r <close> = api:stream("/echo", { method = "POST", body = "x",
			effect = "read" })
		ok(r.body():find('"method": "POST"', 1, true))
		raises("refused", api.stream, api, "/echo", { method = "POST" })
	end, { mode = "read" }))

	it("of a write in a plan are withheld", H.on(function(api)
		local r = api:stream("/echo", { method = "POST" })
		ok(tostring(r):find("withheld", 1, true))
		eq(api:lines("/echo", { method = "POST" })(), nil)
	end, { mode = "plan" }))
end)

describe("http lines", function()
	it("come as they are", H.on(function(api)
		local list = {}
		for line in api:lines "/lines?n=3" do list[#list + 1] = line end
		eq(list, { "line 0", "half of line 1", "half of line 2", "half of " })
		ok(api:lines "/lines?n=1000&delay=0.001"())
		list = {}
		for line in api:lines "/status/204" do list[#list + 1] = line end
		eq(list, {})
	end))

	it("are not endless", H.on(function(api)
		raises("limit", function()
			api:lines "/bytes?n=3000000"()
		end)
	end))
end)

describe("http uploads", function()
	it("from a function are sent as they are made", H.on(function(api)
		local made = 0
		local r = api:post("/echo", { body = function()
			made = made + 1
			if made > 40 then return nil end
			return ("%05d"):format(made):rep(10000)
		end, timeout = 20 })
		eq(r.json.size, 40 * 50000)
	end))

	it("end when the server has answered", H.on(function(api)
		local made = 0
		local fine, e = pcall(api.post, api, "/early", { expect = 413,
			timeout = 20, body = function()
				made = made + 1
				return ("x"):rep(100000)
			end })
		ok(fine or e.outcome == "unknown", tostring(e))
		ok(made < 1000, made)
	end), PLAIN)

	it("wait for a server that doesn't read, within the deadline",
		H.on(function(api)
			local proxy <close> = H.proxy "silent"
			H.with("http://127.0.0.1:" .. proxy.port, { timeout = 0.4 },
				function(other)
					local made = 0
					local t0 = task.now()
					local e = raises("timeout", other.put, other, "/x", {
						body = function()
							made = made + 1
							return ("x"):rep(100000)
						end })
					ok(task.now() - t0 < 0.65)
					eq(e.phase, "send")
					eq(e.outcome, "unknown")
					ok(made < 200, made)
				end)
			ok(api)
		end), PLAIN)
end)
