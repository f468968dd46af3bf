-- kafka/partitions: how partitions and their leaders lie on the brokers; more of them
-- for one topic. That can't be taken back, and keys go elsewhere from then on: it
-- stands behind a guard that says who reads the topic.
local task = require "opsh.task"

-- What each broker has: leaders, replicas, those out of sync.
local function spread(t, p)
  local meta, rows, by = t.events:brokers(), {}, {}
  for n, b in ipairs(meta) do
    rows[n] = { broker = b.id, host = b.host, port = b.port, rack = b.rack,
      controller = b.controller, leaders = 0, replicas = 0, behind = 0 }
    by[b.id] = rows[n]
  end
  local function at(id)
    if not by[id] then
      by[id] = { broker = id, host = "gone", leaders = 0, replicas = 0, behind = 0 }
      rows[#rows + 1] = by[id]
    end
    return by[id]
  end
  local names = {}
  for n, row in ipairs(t.events:topics { internal = p.internal }) do
    names[n] = row.topic
  end
  if p.topic then names = { p.topic } end
  for _, d in ipairs(task.map(names, { limit = 8 }, function(name)
    return t.events:describe(name)
  end)) do
    for _, part in ipairs(d.partitions) do
      local insync = {}
      for _, id in ipairs(part.isr) do insync[id] = true end
      if part.leader then at(part.leader).leaders = at(part.leader).leaders + 1 end
      for _, id in ipairs(part.replicas) do
        local row = at(id)
        row.replicas = row.replicas + 1
        if not insync[id] then row.behind = row.behind + 1 end
      end
    end
  end
  return rows
end

-- Groups that read the topic, with their lag in it.
local function readers(t, topic)
  local by, names = {}, {}
  for _, row in ipairs(t.events:lag(nil, { topic = topic })) do
    if not by[row.group] then
      by[row.group], names[#names + 1] = 0, row.group
    end
    by[row.group] = by[row.group] + (row.lag or 0)
  end
  for n, name in ipairs(names) do
    names[n] = ("group %s, lag %d"):format(name, by[name])
  end
  return names
end

local function add(t, p)
  local now = #t.events:describe(p.topic).partitions
  if p.total <= now then
    fail("topic '%s' has %d partitions already: there can only be more", p.topic,
      now)
  end
  local groups = readers(t, p.topic)
  guard(t.events, { verb = "add_partitions", count = p.total - now,
    unit = "partitions", ask = p.topic, sample = groups,
    note = ("'%s' gets %d partitions instead of %d and can't go back; keys go to "
    .. "other partitions from then on, so the order of one key is lost at the "
    .. "change%s"):format(p.topic, p.total, now, #groups > 0
    and "; drain the groups above first when that matters" or "") })
  step("add", {
    probe = function()
      return #t.events:describe(p.topic).partitions >= p.total
    end,
    verify = function()
      for n, m in ipairs(t.events:watermarks(p.topic)) do
        if m.error then
          return false, ("partition %d: %s"):format(n - 1, m.error)
        end
      end
      local n = #t.events:describe(p.topic).partitions
      return n == p.total, ("it has %d partitions"):format(n)
    end,
  }, function()
    t.events:add_partitions(p.topic, p.total, { expect = {} })
  end)
  return { topic = p.topic, before = now, after = p.total }
end

return {
  name = "kafka/partitions",
  summary = "How partitions lie on the brokers; more of them for one topic",
  description = [[
    Without total= it shows how many leaders and replicas each broker has, and
    how many of its replicas are behind; of one topic with topic=. With topic=
    and total= the topic gets that many partitions. They can never be fewer
    again, and messages of one key that come after it may overtake older ones:
    the guard shows which groups read it and asks for the topic's name.]],
  severity = "P3",
  tags = { "kafka" },
  runbook = "flash sale 'Increase partitions', airline tracking 'Kafka consumer "
    .. "lag'",
  needs = { events = { kind = "kafka", help = "the cluster" } },
  params = {
    topic = { type = "string", min = 1, help = "this one", example = "orders" },
    total = { type = "integer", min = 2, help = "partitions that it shall have" },
    internal = { type = "boolean", default = false,
      help = "count Kafka's own topics too" },
  },
  checks = { { "topic", function(_, p)
    if p.total and not p.topic then return false, "name it: topic=NAME" end
  end } },
  example = {
    "opsh run kafka/partitions",
    "opsh plan kafka/partitions topic=orders total=8",
    "opsh run kafka/partitions topic=orders total=8 --approve events",
  },
  run = function(t, p)
    local result = p.total and add(t, p) or nil
    show(spread(t, p), { columns = { "broker", "host", "port", "rack",
      "controller", "leaders", "replicas", "behind" } })
    return result
  end,
}
