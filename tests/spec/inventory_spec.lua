-- Specs of opsh.inventory: statuses of orders in their forms, keys and items under a
-- pattern, what is a mismatch and what only moves. The Redis is a table that answers.
-- Must not need a server. Owns that table.
local inventory = require "opsh.inventory"
local json = require "opsh.json"

-- Answers from keys = { name = text or fields }; ttl in ms for all.
local function client(keys, ttl)
	local function matching(pattern)
		local names = {}
		local p = "^" .. pattern:gsub("%*", ".*") .. "$"
		for name in pairs(keys) do
			if name:find(p) then names[#names + 1] = name end
		end
		table.sort(names)
		return names
	end
	local c = {}
	function c.scan(_, o)
		local n, names = 0, matching(o.match)
		return function()
			n = n + 1
			return names[n]
		end
	end
	-- as SCAN may: a key twice
	function c.scan_batches(_, o)
		local names, n = matching(o.match), 0
		return function()
			n = n + 1
			return n < 3 and #names > 0 and names or nil
		end
	end
	function c.mget(_, names)
		local out = {}
		for n, name in ipairs(names) do
			out[n] = type(keys[name]) == "string" and keys[name] or json.null
		end
		return out
	end
	function c.pipeline(_, what, names)
		local out = {}
		if what == "PTTL" then
			for n in ipairs(names) do out[n] = ttl or -1 end
			return out
		end
		what { hgetall = function(_, name) out[#out + 1] = keys[name] end }
		return out
	end
	return c
end

describe("inventory", function()
	it("reads the status of an order in each form", function()
		local o = inventory.order '{"status":"Processed","item_id":101,"quantity":2}'
		eq(o.status .. o.item .. o.quantity, "processed1012")
		o = inventory.order { state = "paid", sku = "x", qty = "3" }
		eq(o.status .. o.item .. o.quantity, "paidx3")
		o = inventory.order "COMPLETED"
		eq(o.status, "completed")
		eq(o.item, nil)
		eq(o.quantity, 1)
		eq(inventory.order "{broken".status, "{broken")
		eq(inventory.order("{}").status, "?")
	end)

	it("adds what took something, and says who does not say what", function()
		local sum = { count = 0, by_status = {}, sold = {}, nameless = 0 }
		local taken = { paid = true }
		inventory.add(sum, { status = "paid", item = "1", quantity = 2 }, taken)
		inventory.add(sum, { status = "paid", quantity = 1 }, taken)
		inventory.add(sum, { status = "sold_out", item = "1", quantity = 9 }, taken)
		eq(sum.count, 3)
		eq(sum.sold["1"], 2)
		eq(sum.nameless, 1)
		eq(sum.by_status.sold_out, 1)
		ok(#inventory.taken > 3)
	end)

	it("counts each order once", function()
		local sum = inventory.orders(client({
			["order_status:a"] = '{"status":"processed","item_id":"1","quantity":2}',
			["order_status:b"] = { status = "processed", item = "1" },
			["order_status:c"] = "sold_out", other = "processed" }, 5000),
			"order_status:*")
		eq(sum.count, 3)
		eq(sum.sold["1"], 3)
		eq(sum.expires, 5)
		sum = inventory.orders(client { ["s:1"] = "taken" }, "s:*", { "Taken" })
		eq(sum.nameless, 1)
		eq(sum.expires, nil)
		eq(inventory.orders(client {}, "s:*").count, 0)
	end)

	it("reads counters by the item in their name", function()
		local list = inventory.counters(client { ["inventory:101"] = "7",
			["inventory:x"] = "many", ["inventory:h"] = {} }, "inventory:*")
		eq(list["101"], 7)
		eq(list.x, "many")
		eq(list.h, "(no string)")
		eq(next(inventory.counters(client {}, "inventory:*")), nil)
		eq(inventory.counters(client { ["a:1:left"] = "3" }, "a:*:left")["1"], 3)
		eq(inventory.key("inventory:*", "101"), "inventory:101")
		eq(inventory.key("a:*:left", "1"), "a:1:left")
		eq(inventory.key("a*b*", "1"), nil)
		eq(inventory.key("a", "1"), nil)
	end)

	it("tells a mismatch from what only moves", function()
		local sum = { sold = { a = 10, b = 5, d = 1, e = 2 }, expires = 9 }
		local rows, wrong = inventory.compare(
			{ a = 92, b = 95, c = 1, n = -1, t = "x" },
			{ a = 88, b = 97, c = 1, n = -1, t = "x" }, sum,
			{ a = 100, b = 100, d = 5 })
		local by = {}
		for _, row in ipairs(rows) do by[row.item] = row end
		eq(by.a.state, "ok")		-- 90 is between 88 and 92
		eq(by.b.state, "ok")		-- 95: what it was before
		eq(by.c.state, "no stock")
		eq(by.d.state, "mismatch")	-- no counter: 0, expected 4
		eq(by.d.off, -4)
		eq(by.d.note, "it has no counter")
		eq(by.e.state, "no stock")
		eq(by.n.state, "negative")
		eq(by.t.state, "no number")
		eq(wrong, 3)
		ok(rows[1].state ~= "ok" and rows[#rows].state ~= "mismatch")
		rows = inventory.compare({ a = 95 }, { a = 95 }, sum, { a = 100 })
		eq(rows[1].item .. rows[1].off, "a5")
		ok((rows[1].note):find("orders took more"))
		sum = { sold = { a = 1 }, expires = 9 }
		rows = inventory.compare({ a = 95 }, { a = 95 }, sum, { a = 100 })
		ok(rows[1].note:find "forgotten")
	end)

	it("takes a stock as it is given", function()
		eq(inventory.stock({ "101=5", "a=b=7" })["a=b"], 7)
		local none, wrong = inventory.stock { "101" }
		eq(none, nil)
		eq(wrong, "101")
		eq(next(inventory.stock()), nil)
	end)
end)
