-- kafka/recover: topics made again from a description that kafka/topics saved, after a
-- cluster or some of its topics were lost: partitions, replicas and settings as they
-- were. What is there already is compared, and changed only when asked. Brings no
-- messages back.
local saved = require "opsh.kafka.saved"

local function chosen(all, only)
  if not only then return all end
  local by, list = {}, {}
  for _, want in ipairs(all.topics) do by[want.topic] = want end
  for n, name in ipairs(only) do
    list[n] = by[name] or fail("the description has no topic '%s'", name)
  end
  return { topics = list, cluster_id = all.cluster_id, taken = all.taken }
end

-- Settings of a topic that differ: to the saved ones, nothing else.
local function put_settings(t, want)
  local now, remove = t.events:describe(want.topic).dynamic, {}
  for name in pairs(now) do
    if want.config[name] == nil then remove[#remove + 1] = name end
  end
  table.sort(remove)
  t.events:alter_config(want.topic, want.config, { remove = remove })
end

local function of_state(rows, state)
  local list = {}
  for _, row in ipairs(rows) do
    if row.state == state then list[#list + 1] = row end
  end
  return list
end

local function make(t, p, missing)
  step("create", { idempotent = true, verify = function()
    local there = {}
    for _, row in ipairs(t.events:topics()) do there[row.topic] = row end
    for _, row in ipairs(missing) do
      local now = there[row.topic]
      if not now or now.partitions ~= row.want.partitions or now.leaderless > 0 then
        return false, ("'%s' is not there, or not whole"):format(row.topic)
      end
    end
    return true
  end }, function()
    -- again after a break: those that are there by now are left alone
    local there = {}
    for _, row in ipairs(t.events:topics()) do there[row.topic] = true end
    for _, row in ipairs(missing) do
      if not there[row.topic] then
        saved.create(t.events, row.want, { replication = p.replication })
      end
    end
  end)
end

local function align(t, different)
  step("settings", { idempotent = true, verify = function()
    for _, row in ipairs(different) do
      local now = t.events:describe(row.topic).dynamic
      for name, value in pairs(row.want.config) do
        if now[name] ~= value then
          return false, ("%s of '%s' is %s"):format(name, row.topic,
            now[name] or "default")
        end
      end
    end
    return true
  end }, function()
    for _, row in ipairs(different) do put_settings(t, row.want) end
  end)
end

return {
  name = "kafka/recover",
  summary = "Topics made again from a saved description",
  description = [[
    from=FILE is what `kafka/topics save=FILE` wrote. Topics that are missing are
    made with their partitions, replicas and settings; those that are there are
    compared, and with settings=true their settings are put back to the saved
    ones. Partitions and replicas of a topic that is there are never changed. It
    brings no message and no offset back: producers send again, or messages come
    from where they are kept.

    replication=N makes topics with fewer replicas than they had, for a cluster
    that has lost brokers.]],
  severity = "P1",
  tags = { "kafka" },
  runbook = "saga 'Kafka Recovery', airline tracking 'Recreate Kafka topics'",
  needs = { events = { kind = "kafka", help = "the cluster" } },
  params = {
    from = { type = "string", required = true, min = 1,
      help = "the description", example = "topics.json" },
    topics = { type = "list", help = "only these", example = "orders,payments" },
    replication = { type = "integer", min = 1,
      help = "replicas of what is made (default: as saved)" },
    settings = { type = "boolean", default = false,
      help = "put settings of topics that are there back too" },
  },
  example = {
    "opsh plan kafka/recover from=topics.json",
    "opsh run kafka/recover from=topics.json topics=orders",
  },
  run = function(t, p)
    local all = chosen(saved.read(p.from), p.topics)
    local id = t.events:identity().cluster_id
    if all.cluster_id ~= id then
      log.warn("described was cluster %s on %s, this is %s",
        tostring(all.cluster_id), tostring(all.taken), id)
    end
    local rows = saved.compare(t.events, all)
    show(rows, { columns = { "topic", "state", "detail" } })
    local missing, different = of_state(rows, "missing"),
      of_state(rows, "different")
    if #missing > 0 then make(t, p, missing) end
    if #different > 0 and p.settings then align(t, different) end
    if #missing == 0 and #different == 0 then
      log.info("all %d topics are as described: nothing to do", #rows)
    elseif #different > 0 and not p.settings then
      log.info("%d topics differ and were left alone; settings=true puts their "
        .. "settings back", #different)
    end
    return { made = #missing, differ = #different, same = #of_state(rows, "same") }
  end,
}
