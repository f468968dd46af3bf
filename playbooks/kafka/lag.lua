-- kafka/lag: how far consumer groups are behind, why, and when they will have caught
-- up: per group and topic, with the rates between looks; per partition for one
-- group. Watched, it draws how the lag goes. Reads only; joins no group.
local chart = require "opsh.chart"
local lag = require "opsh.kafka.lag"
local thresholds = require "opsh.thresholds"

local function span(seconds)
  if not seconds then return nil end
  if seconds < 120 then return ("%.0f s"):format(seconds) end
  if seconds < 7200 then return ("%.0f min"):format(seconds / 60) end
  if seconds < 172800 then return ("%.1f h"):format(seconds / 3600) end
  return ("%.0f d"):format(seconds / 86400)
end

-- What is wrong, and what to run.
local function diagnose(row, p)
  local restart = "opsh run services/restart service="
    .. (p.consumer or "CONSUMER")
  if row.lag == 0 then return nil, nil end
  if row.work == "no member" then return "nobody reads it", restart end
  if row.work == "stuck" then return "its members commit nothing", restart end
  if row.work == "growing" then
    return "comes faster than it is read", "opsh run services/scale service="
      .. (p.consumer or "CONSUMER") .. " to=" .. row.members + 1
  end
end

local RANK <const> = { critical = 1, warning = 2, ok = 3 }

local function judge(rows, limit, p)
  for _, row in ipairs(rows) do
    row.work = row.state
    row.state, row.limit = thresholds.judge(limit, row.lag)
    row.why, row.next = diagnose(row, p)
    if row.why and row.state == "ok" and row.work ~= "growing" then
      row.state = "warning"
    end
    row.drains = row.lag > 0 and row.produced
      and (span(row.drain) or "never") or nil
  end
  table.sort(rows, function(a, b)
    if a.state ~= b.state then return RANK[a.state] < RANK[b.state] end
    if a.lag ~= b.lag then return a.lag > b.lag end
    return a.group .. "\0" .. a.topic < b.group .. "\0" .. b.topic
  end)
  return rows
end

local COLUMNS <const> = { "group", "topic", "state", "lag", "work",
  { key = "produced", title = "in/s" }, { key = "consumed", title = "out/s" },
  "drains", "members", "why", "next" }

-- One look when observe is 0, two otherwise; as many as are asked for when watched.
local function look(t, p)
  local looks = p.watch or (p.observe > 0 and 2 or 1)
  local rows, totals = {}, {}
  for now, total in lag.watch(t.events, p.group, { topic = p.topic,
    count = looks, interval = p.observe, timeout = p.timeout,
    window = math.min(looks, 6) }) do
    rows, totals[#totals + 1] = now, total
    if p.watch then
      log.info("lag %d  %s", total, chart.sparkline(totals, { width = 40 }))
    end
  end
  return rows, totals
end

local function tell(t, p, rows, totals)
  if p.watch and #totals > 2 then
    print(chart.chart(totals, { title = "lag", height = 8 }))
  end
  show(rows, { columns = COLUMNS })
  if p.group and p.partitions then
    show(lag.look(t.events, p.group, { topic = p.topic, timeout = p.timeout }),
      { columns = { "topic", "partition", "committed", "low", "high", "lag",
        "client", "host", "error" } })
  end
end

return {
  name = "kafka/lag",
  summary = "Lag of one group or all: rates, time to drain, why, watched with a plot",
  description = [[
    Looks twice, observe apart, and says for each group and topic how many
    messages are waiting, what comes in and what is read, when it is empty at
    that rate, and what to run next. With group= also each partition, those
    without a commit too: they count from the first message that is there.
    Limits: warn and critical, else `lag` of the targets file's thresholds, else
    1000 and 10000. Lag that nobody reads, or of which nothing is committed, is a
    warning at any size. Exit 1 when one is critical, with strict=true for a
    warning too.

    watch=N looks N times, observe apart, and draws how the lag goes.
    consumer=SERVICE puts the service's name into what to run next. Groups that
    commit seldom stand still between commits: let observe be longer.]],
  severity = "P2",
  tags = { "kafka", "check" },
  runbook = "airline tracking 'Kafka consumer lag', saga 'Kafka lag', flash sale "
    .. "'Consumer lag'",
  needs = { events = { kind = "kafka", help = "the cluster" } },
  params = {
    group = { type = "string", help = "only this one", example = "processor" },
    topic = { type = "string", help = "only this one", example = "orders" },
    observe = { type = "duration", default = 5, min = 0, max = 600,
      help = "between two looks; 0 looks once" },
    watch = { type = "integer", min = 2, max = 100000, help = "so many looks",
      example = 30 },
    warn = { type = "integer", min = 0, help = "messages" },
    critical = { type = "integer", min = 0, help = "messages" },
    partitions = { type = "boolean", default = true,
      help = "with group=, each partition too" },
    consumer = { type = "string", help = "service that reads them",
      example = "order-processor" },
    timeout = { type = "duration", default = 10, min = 0.1, max = 300,
      help = "for each answer" },
    strict = { type = "boolean", default = false,
      help = "a warning fails as well" },
  },
  example = {
    "opsh run kafka/lag",
    "opsh run kafka/lag group=processor consumer=order-processor",
    "opsh run kafka/lag group=processor watch=30 observe=2s",
  },
  run = function(t, p)
    local own = system.thresholds.lag
    own = type(own) == "table" and own or {}
    local limit = { above = p.warn or own.above or 1000,
      critical_above = p.critical or own.critical_above or 10000 }
    local rows, totals
    step("look", { again = true }, function()
      rows, totals = look(t, p)
      judge(rows, limit, p)
      return { groups = #rows, lag = totals[#totals] }
    end)
    if #rows == 0 then
      log.info("%s", p.group and ("group '%s' has committed nothing%s"):format(
        p.group, p.topic and " in that topic" or "") or "there are no groups")
      return
    end
    tell(t, p, rows, totals)
    local judged = {}
    for n, row in ipairs(rows) do
      judged[n] = { name = row.group .. "/" .. row.topic, state = row.state }
    end
    thresholds.demand(judged, p.strict)
  end,
}
