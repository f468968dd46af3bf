-- monitoring/check: every threshold and alert rule of the system's targets file,
-- judged: through Prometheus, or by two looks at the services' own pages of metrics
-- when there is none. Reads only. Ends with exit 1 when something is critical.
local prometheus = require "opsh.prometheus"
local thresholds = require "opsh.thresholds"

-- The samples of every service that has a page of metrics; those that gave none.
local function look(timeout)
  local names = {}
  for name, service in pairs(system.services) do
    if service.metrics and service.target then names[#names + 1] = name end
  end
  table.sort(names)
  local pages, silent = {}, {}
  task.map(names, { limit = 50 }, function(name)
    local service = system.services[name]
    local families, e = try(function()
      return prometheus.of(system.target(service.target))
        :metrics(service.metrics, { timeout = timeout })
    end)
    if not families then
      silent[#silent + 1] = { name = name, state = "no data",
        detail = "no metrics: " .. e.message,
        next = "opsh run services/triage only=" .. name }
      return
    end
    local list = {}
    for _, family in ipairs(families) do
      for _, sample in ipairs(family.samples) do list[#list + 1] = sample end
    end
    pages[name] = list
  end)
  return pages, silent
end

local function by_pages(list, p)
  local began = task.now()
  local first = look(p.timeout)
  task.sleep(p.window)
  local second, silent = look(p.timeout)
  local rows = thresholds.by_pages(list, first, second, task.now() - began)
  return table.move(silent, 1, #silent, #rows + 1, rows)
end

-- Alerts of the server that no threshold of the file names.
local function alerts(server, list)
  local known, rows = {}, {}
  for _, threshold in ipairs(list) do
    known[threshold.name:gsub("_", ""):lower()] = true
  end
  for _, alert in ipairs(server:alerts()) do
    if not known[alert.name:gsub("_", ""):lower()] then
      local bad = thresholds.is_critical(alert.severity)
      rows[#rows + 1] = { name = alert.name, value = alert.value,
        severity = alert.severity, next = thresholds.next(alert.name),
        state = alert.state == "pending" and "pending"
          or bad and "critical" or "warning",
        detail = "alert of Prometheus, " .. alert.state }
    end
  end
  return rows
end

return {
  name = "monitoring/check",
  summary = "All thresholds and alert rules of the system, judged now",
  description = [[
    Evaluates every threshold of the targets file (`thresholds`): its query by
    Prometheus when there is a target `prometheus`, else by two looks at the
    services' own pages of metrics, `window` apart. Alerts that Prometheus itself
    has pending or firing are listed too. "pending" is a violation that has not
    lasted its minutes yet. Each row says what to run next.]],
  severity = "P2",
  tags = { "monitoring", "check", "prometheus" },
  runbook = "airline tracking 2, movie booking 'Monitoring & Alerts', "
    .. "saga 'Key Alerts', flash sale 'Alerting Thresholds'",
  needs = { prometheus = { kind = "http", optional = true,
    help = "the Prometheus server; without it the services' own metrics" } },
  params = {
    window = { type = "duration", default = 5, min = 0.5, max = 600,
      help = "between two looks at the services' pages" },
    timeout = { type = "duration", default = 5, min = 0.1, max = 60,
      help = "for one service or query" },
    only = { type = "list", items = "string", help = "names of thresholds",
      example = "error_rate,response_time_p95" },
    strict = { type = "boolean", default = false,
      help = "a warning ends with exit 1 too" },
  },
  example = { "opsh run monitoring/check",
    "opsh run monitoring/check strict=true --output jsonl" },
  run = function(t, p)
    local list, wanted = {}, {}
    for _, name in ipairs(p.only or {}) do wanted[name] = true end
    for _, threshold in ipairs(thresholds.list(system)) do
      if not p.only or wanted[threshold.name] then
        list[#list + 1] = threshold
        wanted[threshold.name] = nil
      end
    end
    if p.only and next(wanted) then
      fail("the targets file has no threshold '%s'", (next(wanted)))
    end
    local rows = step("judge", function()
      if not t.prometheus then return by_pages(list, p) end
      local server = prometheus.of(t.prometheus)
      local found = thresholds.by_prometheus(server, list,
        { timeout = p.timeout })
      local more = p.only and {} or alerts(server, list)
      return table.move(more, 1, #more, #found + 1, found)
    end)
    show(thresholds.sort(rows), { columns = { "name", "state", "value", "limit",
      "severity", "detail", "next" } })
    thresholds.demand(rows, p.strict)
  end,
}
