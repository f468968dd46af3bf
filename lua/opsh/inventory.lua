-- inventory: what the stock of items in a Redis should be, by the orders that are
-- noted there: a counter an item (inventory:101), a status an order
-- (order_status:ID), and what there was at the start (stock:101, or given). Orders
-- may go on meanwhile: the counters are read before and after the statuses, so only
-- what can't be is called a mismatch. Reads only; a correction is the playbook's.
local json = require "opsh.json"

local M = {}

-- Fields of a status that say which item, how many, and how it ended.
local ITEM <const> = { "item_id", "item", "itemId", "sku", "product_id" }
local QUANTITY <const> = { "quantity", "qty", "amount", "count" }
local STATUS <const> = { "status", "state" }

-- Statuses of orders that took their items out of the stock.
M.taken = { "processed", "completed", "confirmed", "success", "succeeded", "paid",
	"reserved", "shipped" }

---@class opsh.inventory.order
---@field status string lower case
---@field item? string nil: the status does not say which
---@field quantity integer

-- What the statuses say together.
---@class opsh.inventory.orders
---@field count integer statuses
---@field by_status table<string, integer>
---@field sold table<string, integer> by item, of orders that took theirs
---@field nameless integer orders that took something, nobody knows of what
---@field expires? integer seconds until the next of a sample of statuses is forgotten

---@class opsh.inventory.row
---@field item string
---@field now integer|string the counter; a text when it is no number
---@field sold integer
---@field stock? integer what there was
---@field expected? integer
---@field off? integer how many too many (or, below 0, too few)
---@field state "ok"|"mismatch"|"negative"|"no number"|"no stock"
---@field note? string

local function first(fields, names)
	for _, name in ipairs(names) do
		local v = fields[name]
		if v ~= nil and v ~= json.null then return v end
	end
end

local function of_fields(fields)
	local item = first(fields, ITEM)
	local quantity = math.tointeger(tonumber(first(fields, QUANTITY) or 1))
	return { status = tostring(first(fields, STATUS) or "?"):lower(),
		item = item ~= nil and tostring(item) or nil, quantity = quantity or 1 }
end

---The status of an order as it stands in Redis: a word, a JSON object, or the
---fields of a hash.
---
---Example: inventory.order '{"status":"processed","item_id":"101","quantity":2}'
---@param value string|table<string, string>
---@return opsh.inventory.order
function M.order(value)
	if type(value) == "table" then return of_fields(value) end
	if value:find "^%s*{" then
		local ok, fields = pcall(json.decode, value)
		if ok and type(fields) == "table" then return of_fields(fields) end
	end
	return { status = value:lower(), quantity = 1 }
end

---Adds an order to the sum.
---@param sum opsh.inventory.orders
---@param order opsh.inventory.order
---@param taken table<string, boolean> statuses that took something
function M.add(sum, order, taken)
	sum.count = sum.count + 1
	sum.by_status[order.status] = (sum.by_status[order.status] or 0) + 1
	if not taken[order.status] then return end
	if order.item then
		sum.sold[order.item] = (sum.sold[order.item] or 0) + order.quantity
	else
		sum.nameless = sum.nameless + 1
	end
end

-- The values of these keys: text, or fields where one is a hash.
local function values(cache, keys)
	local list = cache:mget(keys)
	local others = {}
	for n = 1, #keys do
		if type(list[n]) ~= "string" then others[#others + 1] = n end
	end
	if #others == 0 then return list end
	local hashes = cache:pipeline(function(p)
		for _, n in ipairs(others) do p:hgetall(keys[n]) end
	end, { errors = "keep" })
	for at, n in ipairs(others) do
		local fields = hashes[at]
		list[n] = type(fields) == "table" and not fields.kind and next(fields)
			and fields or nil
	end
	return list
end

---All statuses of orders, counted. A key that goes meanwhile is left out.
---@param cache opsh.redis.client
---@param pattern string
---@param taken? string[]
---@return opsh.inventory.orders
function M.orders(cache, pattern, taken)
	local sum = { count = 0, by_status = {}, sold = {}, nameless = 0 }
	local words, seen = {}, {}
	for _, word in ipairs(taken or M.taken) do words[word:lower()] = true end
	for keys in cache:scan_batches { match = pattern } do
		local fresh = {}
		for _, key in ipairs(keys) do
			if not seen[key] then
				seen[key], fresh[#fresh + 1] = true, key
			end
		end
		local list = #fresh > 0 and values(cache, fresh) or {}
		for n = 1, #fresh do
			if list[n] then M.add(sum, M.order(list[n]), words) end
		end
		if not sum.expires and #fresh > 0 then
			for _, ms in ipairs(cache:pipeline("PTTL", fresh)) do
				if ms >= 0 then
					sum.expires = math.min(sum.expires or math.huge, ms // 1000)
				end
			end
		end
	end
	return sum
end

---The numbers under a pattern, by what stands for its star: {["101"] = 9980}. What
---is no number is its text.
---@param cache opsh.redis.client
---@param pattern string such as "inventory:*"
---@return table<string, integer|string>
function M.counters(cache, pattern)
	local from = #(pattern:match "^[^*?%[]*") + 1
	local tail = pattern:match "%*([^*]*)$"
	local out, keys, seen = {}, {}, {}
	for key in cache:scan { match = pattern } do
		if not seen[key] then
			seen[key], keys[#keys + 1] = true, key
		end
	end
	if #keys == 0 then return out end
	local list = cache:mget(keys)
	for n, key in ipairs(keys) do
		local value = list[n]
		local item = key:sub(from, -1 - #(tail or ""))
		if type(value) == "string" then
			out[item] = math.tointeger(tonumber(value)) or value
		else
			out[item] = "(no string)"
		end
	end
	return out
end

---The key of an item under a pattern: "inventory:*" and "101" is "inventory:101".
---@param pattern string
---@param item string
---@return string? nil when the pattern has more than one star, or none
function M.key(pattern, item)
	local head, tail = pattern:match "^([^*?%[]*)%*([^*?%[]*)$"
	return head and head .. item .. tail
end

local function judge(row, before, after, sum)
	if math.type(row.now) ~= "integer" then
		row.state = "no number"
	elseif row.stock then
		row.expected = row.stock - row.sold
		-- what was sold while we looked may be in the sum, or not
		local least = math.min(before, after)
		local most = math.max(before, after)
		if row.expected < least then
			row.off = least - row.expected
		elseif row.expected > most then
			row.off = most - row.expected
		end
		row.state = row.off and "mismatch" or "ok"
		if row.off and row.off < 0 and sum.expires then
			row.note = "or orders whose status was forgotten (they expire)"
		elseif row.off and row.off > 0 then
			row.note = "orders took more than is gone"
		end
	else
		row.state = "no stock"
	end
	if math.type(row.now) == "integer" and row.now < 0 then
		row.state, row.note = "negative", "more was taken than there was"
	end
end

---A row an item: the counter, what was sold, what it should be.
---@param before table<string, integer|string> counters, read before the orders
---@param after table<string, integer|string> and after them
---@param sum opsh.inventory.orders
---@param stock table<string, integer>
---@return opsh.inventory.row[] those that are wrong first
---@return integer wrong how many
function M.compare(before, after, sum, stock)
	local rows, wrong, items = {}, 0, {}
	for _, list in ipairs { after, sum.sold, stock } do
		for item in pairs(list) do items[item] = true end
	end
	for item in pairs(items) do
		local row = { item = item, now = after[item] or 0,
			sold = sum.sold[item] or 0, stock = math.tointeger(stock[item]) }
		judge(row, math.tointeger(before[item]) or row.now, row.now, sum)
		if after[item] == nil then row.note = "it has no counter" end
		if row.state ~= "ok" and row.state ~= "no stock" then
			wrong = wrong + 1
		end
		rows[#rows + 1] = row
	end
	table.sort(rows, function(a, b)
		local x = a.state == "ok" or a.state == "no stock"
		local y = b.state == "ok" or b.state == "no stock"
		if x ~= y then return y end
		return a.item < b.item
	end)
	return rows, wrong
end

---What is given as "101=10000": {["101"] = 10000}; nil and the one that is not so.
---@param list? string[]
---@return table<string, integer>?
---@return string? wrong
function M.stock(list)
	local out = {}
	for _, text in ipairs(list or {}) do
		local item, n = text:match "^(.+)=(%d+)$"
		if not item then return nil, text end
		out[item] = math.tointeger(tonumber(n))
	end
	return out
end

return M
