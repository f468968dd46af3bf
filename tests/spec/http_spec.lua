-- http: calls of opsh.http against an origin of our own: methods, bodies, options,
-- results, classes, records. What networks and servers do wrong is in
-- http_fault_spec.lua. Owns no server: tests/lib/http.lua does.
local H = dofile "tests/lib/http.lua"

describe("http calls", function()
	it("get", H.on(function(api)
		local r = api:get "/bytes?n=10"
		eq(r.status, 200)
		eq(r.body, "xxxxxxxxxx")
		eq(r.headers["content-length"], "10")
		ok(r.timing.total > 0)
		eq(api "/echo".json.method, "GET")
	end))

	it("post JSON", H.on(function(api)
		local r = api:post("/echo", { json = { a = 1 } })
		eq(r.json.body, '{"a":1}')
		eq(r.json.method, "POST")
		ok(r.ok)
	end))
end)
