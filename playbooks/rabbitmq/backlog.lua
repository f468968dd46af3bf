-- rabbitmq/backlog: which queues fill up, why, and what to do: depth, what consumers
-- hold unacknowledged, how many there are, rates in and out, time to drain. The
-- limits come from the targets file. Reads only: no message is looked at.
local rabbitmq = require "opsh.rabbitmq"
local task = require "opsh.task"
local thresholds = require "opsh.thresholds"

-- Names as the shell matches them, * and ? only.
local function matcher(globs)
  local list = {}
  for n, glob in ipairs(globs or { "*" }) do
    list[n] = "^" .. glob:gsub("%W", "%%%0"):gsub("%%%*", ".*")
      :gsub("%%%?", ".") .. "$"
  end
  return function(name)
    for _, pattern in ipairs(list) do
      if name:find(pattern) then return true end
    end
    return false
  end
end

local function count(stats, ...)
  local sum = 0
  for n = 1, select("#", ...) do sum = sum + (stats[select(n, ...)] or 0) end
  return sum
end

-- Rates between two looks at a queue; the broker's own when there is only one.
local function rates(first, second, seconds)
  if not first or seconds <= 0 then
    return second.publish_rate, second.ack_rate, second.redeliver_rate
  end
  local a, b = first.stats or {}, second.stats or {}
  local function per_second(...)
    return math.max(count(b, ...) - count(a, ...), 0) / seconds
  end
  return per_second "publish", per_second("ack", "deliver_no_ack",
    "get_no_ack"), per_second "redeliver"
end

local function drains(messages, taken, published)
  if messages == 0 then return nil end
  if taken <= published then return "never" end
  local seconds = messages / (taken - published)
  if seconds < 120 then return ("%.0f s"):format(seconds) end
  if seconds < 7200 then return ("%.0f min"):format(seconds / 60) end
  return ("%.1f h"):format(seconds / 3600)
end

-- What is wrong with a queue, and what to run.
local function diagnose(row, p)
  local restart = "opsh run services/restart service="
    .. (p.consumer or "CONSUMER")
  if row.messages == 0 then return nil, nil end
  if row.consumers == 0 then
    return "no consumer", restart
  elseif row.redelivered > 0 then
    return "messages come back", "opsh run rabbitmq/poison queue='" .. row.queue
      .. "'"
  elseif row.unacked > 0 and row.taken == 0 then
    return "consumers hold " .. row.unacked .. ", acknowledge none", restart
  elseif row.published > row.taken then
    return "fills faster than it drains", "opsh run services/scale service="
      .. (p.consumer or "CONSUMER") .. " to=" .. row.consumers + 1
  end
end

local function row_of(first, q, seconds, limit, p)
  local published, taken, redelivered = rates(first, q, seconds)
  local row = { queue = q.name, vhost = q.vhost, messages = q.messages or 0,
    ready = q.ready or 0, unacked = q.unacked or 0, consumers = q.consumers or 0,
    published = published, taken = taken, redelivered = redelivered,
    type = q.type }
  row.drains = drains(row.messages, taken, published)
  row.state, row.limit = thresholds.judge(limit, row.messages)
  local why, advice = diagnose(row, p)
  row.why, row.next = why, advice
  if why and row.state == "ok" and why ~= "fills faster than it drains" then
    row.state = "warning"
  end
  return row
end

local function look(mq, p, wanted)
  local by = {}
  for _, q in ipairs(mq:queues { vhost = p.vhost }) do
    if wanted(q.name) then by[q.vhost .. "\0" .. q.name] = q end
  end
  return by, task.now()
end

local function measure(mq, p, limit)
  local wanted, rows = matcher(p.queues), {}
  local first, began = {}, 0
  if p.observe > 0 then
    first, began = look(mq, p, wanted)
    task.sleep(p.observe)
  end
  local second, ended = look(mq, p, wanted)
  for key, q in pairs(second) do
    rows[#rows + 1] = row_of(first[key], q, ended - began, limit, p)
  end
  local rank = { critical = 1, warning = 2, ok = 3 }
  table.sort(rows, function(a, b)
    if a.state ~= b.state then return rank[a.state] < rank[b.state] end
    if a.messages ~= b.messages then return a.messages > b.messages end
    return a.vhost .. a.queue < b.vhost .. b.queue
  end)
  return rows
end

-- Alarms stop every publisher, whatever the queues look like.
local function alarms(mq)
  local list = {}
  for _, node in ipairs(mq:nodes()) do
    if not node.running then list[#list + 1] = node.name .. " is down" end
    if node.memory_alarm then list[#list + 1] = "memory alarm on " .. node.name end
    if node.disk_alarm then list[#list + 1] = "disk alarm on " .. node.name end
    if #node.partitions > 0 then
      list[#list + 1] = node.name .. " is cut off from "
        .. table.concat(node.partitions, ", ")
    end
  end
  return list
end

return {
  name = "rabbitmq/backlog",
  summary = "Queues that fill up: depth, consumers, rates, time to drain, why",
  description = [[
    Looks at the queues twice, observe seconds apart, and says for each how deep
    it is, what consumers hold, what goes in and out, when it is empty at that
    rate, and what to run next. Limits: warn and critical, else queue_depth of
    the targets file's thresholds, else 1000 and 5000. A queue with messages and
    no consumer, one whose messages come back, one whose consumers acknowledge
    nothing is a warning at any depth. Exit 1 when one is critical (with
    strict=true: or a warning), or the broker has an alarm.

    consumer=SERVICE puts the service's name into what to run next. The broker
    makes its statistics every 5 s: rates are right when observe is a multiple
    of that, and a shorter one may see nothing move.]],
  severity = "P2",
  tags = { "rabbitmq", "check" },
  runbook = "movie booking 'RabbitMQ Queue Backlog'",
  needs = { rabbitmq = { kind = "http", help = "management API" } },
  params = {
    queues = { type = "list", help = "only these; * and ? match",
      example = "payments,orders.*" },
    vhost = { type = "string", help = "only of this virtual host" },
    observe = { type = "duration", default = 10, min = 0, max = 600,
      help = "between the two looks; 0 takes the broker's own rates" },
    warn = { type = "integer", min = 0, help = "messages" },
    critical = { type = "integer", min = 0, help = "messages" },
    consumer = { type = "string", help = "service that consumes them",
      example = "payment-service" },
    strict = { type = "boolean", default = false,
      help = "a warning fails as well" },
  },
  example = {
    "opsh run rabbitmq/backlog",
    "opsh run rabbitmq/backlog queues=payments consumer=payment-service",
    "opsh run rabbitmq/backlog observe=0 --output jsonl",
  },
  run = function(t, p)
    local mq = rabbitmq.of(t.rabbitmq)
    local own = system.thresholds.queue_depth
    own = type(own) == "table" and own or {}
    local limit = { above = p.warn or own.above or 1000,
      critical_above = p.critical or own.critical_above or 5000 }
    local rows, alarm
    step("look", { again = true }, function()
      rows, alarm = measure(mq, p, limit), alarms(mq)
      return { queues = #rows }
    end)
    if #rows == 0 then
      fail("there is no queue%s", p.queues and " that matches" or "")
    end
    show(rows, { columns = { "queue", "state", "messages", "unacked",
      "consumers", { key = "published", title = "in/s" },
      { key = "taken", title = "out/s" }, "drains", "why", "next" } })
    for _, text in ipairs(alarm) do log.error("%s", text) end
    local judged = {}
    for n, row in ipairs(rows) do
      judged[n] = { name = row.queue, state = row.state }
    end
    for _, text in ipairs(alarm) do
      judged[#judged + 1] = { name = text, state = "critical" }
    end
    thresholds.demand(judged, p.strict)
  end,
}
