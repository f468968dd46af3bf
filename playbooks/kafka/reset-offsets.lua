-- kafka/reset-offsets: where a consumer group goes on reading: to the first message,
-- the last, a time, or given offsets. All targets are worked out as numbers and
-- shown before; the group must exist and be empty, twice; messages that nobody will
-- read are a number to be typed; it is read back, and what stood there can be put back.
local logs = require "opsh.logs"
local offsets = require "opsh.kafka.offsets"
local task = require "opsh.task"

-- "0:12", "orders:0:12", "0:-" -> rows of opsh.kafka.offsets
local function listed(p)
  local rows = {}
  for n, item in ipairs(p.offsets) do
    local topic, partition, offset = item:match "^(.-):?(%d+):(%d*%-?)$"
    if topic == "" then topic = p.topic end
    if not partition or not topic or offset ~= "-" and not tonumber(offset) then
      fail("'%s' must be PARTITION:OFFSET with topic=, or TOPIC:PARTITION:OFFSET; "
        .. "'-' as the offset takes the commit away", item)
    end
    rows[n] = { topic = topic, partition = math.tointeger(tonumber(partition)),
      offset = math.tointeger(tonumber(offset)) }
  end
  return rows
end

-- An ISO 8601 time, or seconds since 1970.
local function time_of(text)
  local seconds, to = logs.time(text)
  if seconds and to > #text then return seconds end
  return tonumber(text) or fail("at='%s' must be YYYY-MM-DDTHH:MM:SSZ or seconds "
    .. "since 1970", text)
end

local function target(p)
  if p.offsets then return listed(p) end
  if p.at then return { time = time_of(p.at) } end
  if p.ago then return { time = os.time() - p.ago } end
  return p.to
end

-- The group is there and nobody is in it.
local function demand_empty(t, p)
  local g = t.events:describe_group(p.group)
  if #g.members > 0 then
    local m = g.members[1]
    fail("group '%s' has %d live member%s, %s (client '%s' at %s): stop the "
      .. "consumers first", p.group, #g.members, #g.members == 1 and "" or "s",
      m.instance_id or m.member_id, m.client_id or "?", m.host or "?")
  elseif g.state ~= "Empty" then
    fail("group '%s' is '%s', not 'Empty'", p.group, tostring(g.state))
  end
end

-- "orders:0:12,orders:1:-": what stood there, for the way back.
local function undo_line(p, before)
  local list = {}
  for n, row in ipairs(before) do
    list[n] = ("%s:%d:%s"):format(row.topic, row.partition, row.committed or "-")
  end
  return ("opsh run kafka/reset-offsets group='%s' offsets=%s"):format(p.group,
    table.concat(list, ","))
end

local function same(t, p, rows, field)
  for n, now in ipairs(offsets.read(t.events, p.group, rows)) do
    if now.committed ~= rows[n][field] then
      return false, ("'%s' %d is at %s, not at %s"):format(now.topic,
        now.partition, tostring(now.committed), tostring(rows[n][field]))
    end
  end
  return true
end

local function ask(t, p, rows, skips, repeats)
  local sample, first = {}, table.move(rows, 1, #rows, 1, {})
  table.sort(first, function(a, b)
    if a.skips ~= b.skips then return a.skips > b.skips end
    if a.repeats ~= b.repeats then return a.repeats > b.repeats end
    if a.topic ~= b.topic then return a.topic < b.topic end
    return a.partition < b.partition
  end)
  for n, row in ipairs(first) do
    sample[n] = ("%s/%d: %s -> %s"):format(row.topic, row.partition,
      row.committed or "none", row.to or "none")
  end
  guard(t.events, { verb = "set_offsets", sample = sample,
    count = skips > 0 and skips or #rows,
    unit = skips > 0 and "messages that are skipped" or "partitions",
    ask = skips > 0 and tostring(skips) or p.group,
    note = skips > 0 and ("group '%s' will never read %d messages%s"):format(
    p.group, skips, repeats > 0 and (", and %d again"):format(repeats) or "")
    or ("group '%s' will read %d messages again"):format(p.group, repeats) })
end

return {
  name = "kafka/reset-offsets",
  summary = "Where a group goes on reading; nobody in it, number typed, undo kept",
  description = [[
    One of to=, offsets=, at= and ago= says where. The new offsets are worked out
    and shown, then the group is looked at twice, `settle` apart: it must exist
    and have no member. What stood there before is on record; the result names
    the run that puts it back, and a failed run offers it as its undo.

    Messages that nobody will read are counted from what is there now; the number
    is asked for at the guard. Reading some again asks for the group's name: what
    reads them must bear that.]],
  severity = "P1",
  tags = { "kafka" },
  runbook = "saga 'Reset consumer offsets', flash sale 'Reset Consumer Group "
    .. "Offset'",
  needs = { events = { kind = "kafka", help = "the cluster" } },
  params = {
    group = { type = "string", required = true, min = 1, help = "whose",
      example = "processor" },
    topic = { type = "string", min = 1,
      help = "only in this one (default: all that it has committed in)",
      example = "orders" },
    to = { type = "enum", choices = { "earliest", "latest" },
      help = "the first message that is there, or after the last",
      example = "earliest" },
    offsets = { type = "list", help = "PARTITION:OFFSET or "
      .. "TOPIC:PARTITION:OFFSET; - takes the commit away",
      example = "0:120,1:98" },
    at = { type = "string", help = "the first message from then on: "
      .. "2026-11-21T18:00:00Z or seconds since 1970" },
    ago = { type = "duration", help = "the same, so long ago", example = "2h" },
    settle = { type = "duration", default = 10, min = 0, max = 600,
      help = "between the two looks at its members" },
  },
  checks = { { "where to", function(_, p)
    local n = (p.to and 1 or 0) + (p.offsets and 1 or 0) + (p.at and 1 or 0)
      + (p.ago and 1 or 0)
    if n ~= 1 then return false, "give one of to=, offsets=, at=, ago=" end
  end } },
  example = {
    "opsh plan kafka/reset-offsets group=processor topic=orders to=earliest",
    "opsh run kafka/reset-offsets group=processor topic=orders to=latest "
      .. "--approve events",
    "opsh run kafka/reset-offsets group=processor ago=2h",
  },
  run = function(t, p)
    local to = target(p)
    local rows = offsets.plan(t.events, p.group, { topic = p.topic, to = to })
    local skips, repeats, moved = 0, 0, 0
    for _, row in ipairs(rows) do
      skips, repeats = skips + row.skips, repeats + row.repeats
      if row.to ~= row.committed then moved = moved + 1 end
    end
    show(rows, { columns = { "topic", "partition", "committed", "to", "low",
      "high", "skips", "repeats" } })
    demand_empty(t, p)
    if moved == 0 then
      log.info("group '%s' stands there already: nothing to do", p.group)
      return { group = p.group, moved = 0 }
    end
    step("nobody in it", { again = true }, function()
      task.sleep(p.settle)
      demand_empty(t, p)
    end)
    -- on record, whatever happens
    local before = step("before", function()
      return offsets.read(t.events, p.group, rows)
    end)
    ask(t, p, rows, skips, repeats)
    local want = {}
    for n, row in ipairs(rows) do
      want[n] = { topic = row.topic, partition = row.partition, offset = row.to }
    end
    step("set", {
      idempotent = true,
      probe = function()
        if same(t, p, rows, "to") then return true end
        return not same(t, p, before, "committed") and nil
      end,
      verify = function() return same(t, p, rows, "to") end,
      undo = function() offsets.restore(t.events, p.group, before) end,
    }, function()
      offsets.reset(t.events, p.group, { to = want })
    end)
    log.info("back again: %s", undo_line(p, before))
    return { group = p.group, moved = moved, skipped = skips, again = repeats,
      undo = undo_line(p, before) }
  end,
}
