-- Specs of opsh.near: what a mistyped name may have meant: the nearest, asked as a
-- question, listed. Compares words only, there is no target. Must say the same name
-- each time, also of two that are as near.
local near = require "opsh.near"

describe("near", function()
	it("finds the nearest, of a list or a map", function()
		eq(near.nearest("stauts", { "status", "logs" }), "status")
		eq(near.nearest("LOGS", { status = true, logs = true }), "logs")
		eq(near.nearest("lgos", { "lags", "logs" }), "logs")
		eq(near.nearest("ab", { "ad", "ac" }), "ac", "of two the first by name")
		eq(near.nearest("flush", { "status", "logs" }), nil)
		eq(near.nearest("x", {}), nil)
		eq(near.nearest(("x"):rep(65), { ("x"):rep(64) }), nil, "too long")
		eq(near.nearest("x", { 7, false, "xy" }), "xy")
	end)

	it("asks: suggest", function()
		eq(near.suggest("lagg", { "lag", "topics" }), " (did you mean 'lag'?)")
		eq(near.suggest("lagg", { "topics" }), "")
	end)

	it("lists: all of a few, of many the nearest", function()
		eq(near.list("wbe", {}), " (there are none)")
		eq(near.list("wbe", { "api", "web" }), " (there are: api, web)")
		eq(near.list("wbe", { "api", "orders", "web", "cart", "queue", "mail" }),
			" (near it: web, api, cart)")
	end)
end)
