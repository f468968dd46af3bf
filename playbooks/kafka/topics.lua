-- kafka/topics: which topics there are and how they stand; one of them whole: its
-- partitions, offsets and settings. Makes a topic, changes single settings of one
-- (the others stay), and saves what all of them are for kafka/recover.
local saved = require "opsh.kafka.saved"

-- "retention.ms=1000" -> "retention.ms", "1000"
local function settings(list)
  local out = {}
  for _, item in ipairs(list or {}) do
    local name, value = item:match "^([%w._-]+)=(.*)$"
    if not name then fail("'%s' must be NAME=VALUE", item) end
    out[name] = value
  end
  return out
end

local function wanted(row, state)
  return state == "all" or state == "under" and row.under_replicated > 0
    or state == "leaderless" and row.leaderless > 0
end

local function list(t, p)
  local rows = {}
  for _, row in ipairs(t.events:topics { internal = p.internal }) do
    if wanted(row, p.state) then rows[#rows + 1] = row end
  end
  show(rows, { columns = { "topic", "partitions", "replication",
    { key = "under_replicated", title = "under-replicated" }, "leaderless",
    p.internal and "internal" or nil } })
end

local function describe(t, p)
  local d = t.events:describe(p.topic)
  local marks = t.events:watermarks(p.topic)
  local rows, all = {}, 0
  for n, part in ipairs(d.partitions) do
    local m = marks[n]
    rows[n] = { partition = part.partition, leader = part.leader or "none",
      replicas = table.concat(part.replicas, ","), isr = table.concat(part.isr,
      ","), offline = table.concat(part.offline, ","), low = m.low,
      high = m.high, messages = m.high and m.high - m.low, error = m.error }
    all = all + (rows[n].messages or 0)
  end
  print(("%s: %d partitions, %d replicas, %d messages (fewer when compacted)")
    :format(d.topic, #rows, d.replication, all))
  show(rows, { columns = { "partition", "leader", "replicas", "isr", "offline",
    "low", "high", "messages", "error" } })
  local own = {}
  for name, value in pairs(d.dynamic) do
    own[#own + 1] = { setting = name, value = value }
  end
  table.sort(own, function(a, b) return a.setting < b.setting end)
  if #own > 0 then show(own, { columns = { "setting", "value" } }) end
end

local function create(t, p)
  local config = settings(p.set)
  return step("create", {
    probe = function()
      for _, row in ipairs(t.events:topics()) do
        if row.topic == p.topic then return true end
      end
      return false
    end,
    verify = function()
      local d = t.events:describe(p.topic)
      for name, value in pairs(config) do
        if d.config[name] ~= value then
          return false, ("%s is %s"):format(name, tostring(d.config[name]))
        end
      end
      return #d.partitions == p.partitions, ("it has %d partitions"):format(
        #d.partitions)
    end,
  }, function()
    local made = t.events:create_topic(p.topic, { partitions = p.partitions,
      replication = p.replication, config = config, expect = { planned = true } })
    return made.planned and "planned" or "made"
  end)
end

local function change(t, p)
  local to = settings(p.set)
  local before = t.events:describe(p.topic).dynamic
  local rows, undo = {}, { remove = {}, set = {} }
  for name, value in pairs(to) do
    rows[#rows + 1] = { setting = name, before = before[name] or "default",
      after = value }
  end
  for _, name in ipairs(p.unset or {}) do
    rows[#rows + 1] = { setting = name, before = before[name] or "default",
      after = "default" }
  end
  for n, row in ipairs(rows) do
    local was = before[row.setting]
    if was then undo.set[row.setting] = was
    else undo.remove[#undo.remove + 1] = row.setting end
    rows[n] = row
  end
  table.sort(rows, function(a, b) return a.setting < b.setting end)
  show(rows, { columns = { "setting", "before", "after" } })
  step("settings", { idempotent = true, verify = function()
    local now = t.events:describe(p.topic).dynamic
    for _, row in ipairs(rows) do
      if (now[row.setting] or "default") ~= row.after then
        return false, ("%s is %s"):format(row.setting, now[row.setting]
          or "default")
      end
    end
    return true
  end, undo = function()
    t.events:alter_config(p.topic, undo.set, { remove = undo.remove })
  end }, function()
    t.events:alter_config(p.topic, to, { remove = p.unset })
  end)
end

local function save(t, p)
  local all = saved.take(t.events, p.topic and { p.topic } or nil)
  if fs.exists(p.save) then
    guard(sh, { verb = "write", count = 1, unit = "file", sample = { p.save },
      note = "the file is there and will be replaced" })
  end
  step("save", { idempotent = true, verify = function()
    return #saved.read(p.save).topics == #all.topics, "the file holds less"
  end }, function() saved.write(p.save, all) end)
  log.info("%d topics of cluster %s described in '%s'", #all.topics,
    all.cluster_id, p.save)
end

return {
  name = "kafka/topics",
  summary = "Topics: list, describe, create, single settings, save for recover",
  description = [[
    Without parameters a list; state=under or leaderless shows those in trouble.
    topic=NAME shows one: partitions with leaders, replicas, offsets, and the
    settings that are its own. With create=true it is made; with set= or unset=
    single settings are changed, read back, and all others stay. save=FILE
    writes what the topics are (partitions, replicas, settings, no message), for
    kafka/recover. A mistyped name is an error, with the nearest.]],
  severity = "P3",
  tags = { "kafka" },
  runbook = "flash sale 'Kafka Topics', airline tracking 'Create Kafka topics'",
  needs = { events = { kind = "kafka", help = "the cluster" } },
  params = {
    topic = { type = "string", min = 1, help = "this one", example = "orders" },
    state = { type = "enum", choices = { "all", "under", "leaderless" },
      default = "all", help = "which are listed" },
    internal = { type = "boolean", default = false,
      help = "list Kafka's own topics too" },
    create = { type = "boolean", default = false, help = "make it" },
    partitions = { type = "integer", default = 1, min = 1, help = "of create" },
    replication = { type = "integer", min = 1,
      help = "of create (default: the brokers')" },
    set = { type = "list", help = "settings, NAME=VALUE",
      example = "retention.ms=86400000" },
    unset = { type = "list", help = "settings that go back to their default",
      example = "retention.ms" },
    save = { type = "string", help = "file for the description",
      example = "topics.json" },
  },
  checks = { { "topic", function(_, p)
    if (p.create or p.set or p.unset) and not p.topic then
      return false, "name it: topic=NAME"
    end
  end } },
  example = {
    "opsh run kafka/topics",
    "opsh run kafka/topics topic=orders",
    "opsh plan kafka/topics topic=orders create=true partitions=6",
    "opsh run kafka/topics topic=orders set=retention.ms=86400000",
    "opsh run kafka/topics save=topics.json",
  },
  run = function(t, p)
    local made
    if p.create then
      made = create(t, p)
    elseif p.set or p.unset then
      change(t, p)
    end
    if p.save then
      save(t, p)
    elseif not p.topic then
      list(t, p)
    elseif made ~= "planned" then
      describe(t, p)
    end
  end,
}
