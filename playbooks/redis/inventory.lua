-- redis/inventory: does the stock agree with the orders? A counter an item, a status
-- an order, and what there was at the start. Corrects one item under a guard: by the
-- difference that was found, which orders that come meanwhile do not disturb, or to
-- a number, only while it is still what was shown.
local inventory = require "opsh.inventory"

-- KEYS[1] the counter; ARGV: "to", number, what it was | "by", difference.
-- -> {1, new}, or {0, what it is now}; "" stands for a counter that is not there.
local CORRECT <const> = [[
local now = redis.call('GET', KEYS[1]) or ''
if ARGV[1] == 'to' then
  if now ~= ARGV[3] then return {0, now} end
  redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
  return {1, ARGV[2]}
end
if not tonumber(now) or tonumber(now) + ARGV[2] < 0 then return {0, now} end
return {1, tostring(redis.call('INCRBY', KEYS[1], ARGV[2]))}]]

local function find(t, p, stock)
  local before = inventory.counters(t.cache, p.pattern)
  local orders = inventory.orders(t.cache, p.orders, p.taken)
  local after = inventory.counters(t.cache, p.pattern)
  for item, n in pairs(inventory.counters(t.cache, p.stock_pattern)) do
    stock[item] = stock[item] or math.tointeger(n)
  end
  local rows, wrong = inventory.compare(before, after, orders, stock)
  return { rows = rows, wrong = wrong, orders = orders }
end

local function tell(found)
  local orders, states = found.orders, {}
  for status, n in pairs(orders.by_status) do
    states[#states + 1] = ("%d %s"):format(n, status)
  end
  table.sort(states)
  show(found.rows, { columns = { "item", "state", "now", "expected", "off",
    "sold", "stock", "note" } })
  log.info("%d orders%s%s", orders.count, #states > 0 and ": " or "",
    table.concat(states, ", "))
  if orders.nameless > 0 then
    log.warn("%d orders that took something do not say of which item: they "
      .. "are not counted", orders.nameless)
  end
  if orders.expires then
    log.info("statuses expire, the next in %d s: older orders are not counted",
      orders.expires)
  end
end

-- "to" or "by", the number, and what the counter is now, as text.
local function change(p, row)
  local now = row and tostring(row.now) or ""
  if row and row.note == "it has no counter" then now = "" end
  if p.to then return "to", p.to, now end
  if p.by then return "by", p.by, now end
  if not row or not row.off then
    fail("'%s' has no mismatch to correct: give to=N or by=N", p.correct)
  end
  return "by", -row.off, now
end

local function correct(t, p, found)
  local key = inventory.key(p.pattern, p.correct)
  if not key then
    fail("pattern '%s' has no one star: which key '%s' has can't be told",
      p.pattern, p.correct)
  end
  local row
  for _, r in ipairs(found.rows) do
    if r.item == p.correct then row = r end
  end
  local how, n, now = change(p, row)
  if how == "by" and not math.tointeger(tonumber(now)) then
    fail("'%s' is no number: give to=N", key)
  end
  local target = how == "to" and n or math.tointeger(tonumber(now)) + n
  if target < 0 then fail("'%s' would be %d: below 0", key, target) end
  guard(t.cache, { verb = "correct inventory", count = 1, unit = "item",
    ask = p.correct, sample = { ("%s: %s -> %d"):format(key,
    now ~= "" and now or "none", target) }, note = how == "by"
    and ("by %+d, whatever is sold meanwhile"):format(n)
    or "only while it is still what is shown" })
  local reply = step("correct", {
    probe = function()
      -- a difference leaves no trace of its own: look again, by a new run
      if how == "to" then
        return t.cache:get(key) == tostring(n) or nil
      end
    end,
    verify = function(reply)
      if reply and reply.value and reply.value[1] == 0 then
        return false, ("not touched: it is '%s' now"):format(reply.value[2])
      end
      return true
    end,
  }, function()
    t.cache:identity() -- another server than before? Then it is refused
    return t.cache:eval(CORRECT, { key }, { how, tostring(n), now },
      { expect = { 1, tostring(target) } })
  end)
  local value = reply.value or reply
  log.info("'%s' is %s now", key, tostring(value[2]))
end

return {
  name = "redis/inventory",
  summary = "Reconcile the stock of items with their orders; correct one",
  description = [[
    Reads the counters (inventory:*), all statuses of orders (order_status:*: a
    word, a JSON object or a hash with item, quantity and status) and what there
    was at the start (stock:*, or stock=101=10000,102=500): expected = stock
    - sold. Counters are read before and after the statuses: what is sold
    meanwhile is no mismatch. Exit 3 when an item is off, negative or no number.

    correct=ITEM corrects one under a guard: by the difference that was found
    (or by=N), which holds while orders go on; or to=N, only while the counter
    is what was shown.]],
  severity = "P2",
  tags = { "redis", "inventory", "check" },
  runbook = "flash sale 'Inventory Mismatch'",
  needs = { cache = { kind = "redis", role = "master",
    help = "where inventory and orders are" } },
  params = {
    pattern = { type = "pattern", default = "inventory:*",
      help = "the counters; the star is the item" },
    orders = { type = "pattern", default = "order_status:*",
      help = "statuses of orders" },
    stock_pattern = { type = "pattern", default = "stock:*",
      help = "what there was at the start; the star is the item" },
    stock = { type = "list", items = "string", example = "101=10000,102=500",
      help = "the same, given" },
    taken = { type = "list", items = "string",
      help = "statuses that took from the stock (default: processed, "
        .. "completed, confirmed, paid and like)" },
    correct = { type = "string", min = 1, help = "the item", example = "101" },
    to = { type = "integer", min = 0, help = "with correct: the number" },
    by = { type = "integer", help = "with correct: how many more (or less)" },
  },
  checks = {
    { "stock is ITEM=NUMBER", function(_, p)
      local _, wrong = inventory.stock(p.stock)
      if wrong then return false, ("'%s' is not ITEM=NUMBER"):format(wrong) end
    end },
    { "to or by, and an item", function(_, p)
      if p.to and p.by then return false, "give to or by, not both" end
      if (p.to or p.by) and not p.correct then
        return false, "correct=ITEM is missing"
      end
    end },
  },
  example = {
    "opsh run redis/inventory",
    "opsh run redis/inventory stock=101=10000 --output jsonl",
    "opsh run redis/inventory correct=101 --approve cache",
  },
  run = function(t, p)
    local found = step("reconcile", { again = true }, function()
      return find(t, p, inventory.stock(p.stock))
    end)
    if #found.rows == 0 then
      fail("no item matches '%s', and no order '%s'", p.pattern, p.orders)
    end
    tell(found)
    if p.correct then return correct(t, p, found) end
    if found.wrong > 0 then
      fail("%d of %d items are not what their orders say", found.wrong,
        #found.rows)
    end
  end,
}
