-- services/resources: who uses the processor, the memory, the disk, who was killed
-- for it, which autoscaler is at its end, whose memory grows. Against thresholds,
-- the worst on top; exit 1 when something is critical. Reads only.
local resources = require "opsh.resources"
local service = require "opsh.service"

-- Limits of every service, by the orchestrator's names.
local function limits_of(o, names)
  local out = {}
  for _, name in ipairs(names) do
    local definition = try(o.definition, o, name)
    out[name] = definition and definition.limits or {}
  end
  return out
end

local function add(rows, more)
  for _, row in ipairs(more or {}) do rows[#rows + 1] = row end
end

-- Of one part that can't be read the others don't depend.
local function part(rows, what, f, ...)
  local more, e = try(f, ...)
  if e then
    rows[#rows + 1] = { service = "-", what = what, level = "?",
      detail = tostring(e.message or e) }
  end
  add(rows, more)
end

local function of_services(o, kind, units, machine)
  local rows = {}
  local status = o:status(units)
  local limits = limits_of(o, units or o:services())
  part(rows, "cpu and memory", function()
    return resources.usage(o:top(units), limits, kind ~= "kubernetes"
      and machine or nil, system.thresholds)
  end)
  add(rows, resources.restarts(status))
  if kind == "kubernetes" and o.hpa then
    part(rows, "hpa", function() return resources.autoscalers(o:hpa()) end)
  end
  return rows, limits
end

-- --- memory over time -----------------------------------------------------------

local function query_of(p)
  local row = system.thresholds and system.thresholds.memory_growth
  return p.memory_query or type(row) == "table" and row.query
    or "process_resident_memory_bytes"
end

local function name_of(labels)
  return labels.service or labels.app or labels.container or labels.pod
    or labels.job or labels.instance or "?"
end

local function growth(p, limits)
  local prometheus = service.prometheus(system)
  if not prometheus then return nil end
  local rows, now = {}, os.time()
  for _, series in ipairs(prometheus:range(query_of(p), {
    start = now - p.window, stop = now, step = math.max(5, p.window // 60) })) do
    local name = name_of(series.labels)
    rows[#rows + 1] = resources.growth(name, series.values, limits[name]
      and limits[name].memory)
  end
  return rows
end

-- Of the machine on which they run, when it is this one.
local function of_machine(p, kind, machine)
  local rows = {}
  local disks = p.disks or kind ~= "kubernetes" and { "/" } or {}
  if machine then add(rows, resources.of_machine(machine, system.thresholds)) end
  for _, path in ipairs(disks) do
    part(rows, "disk " .. path, function()
      return { resources.disk(path, system.thresholds) }
    end)
  end
  return rows
end

return {
  name = "services/resources",
  summary = "CPU, memory, disk, restarts, OOMKilled, HPA against thresholds",
  description = [[
    Processor and memory of every instance against its limit (the machine's,
    where it has none), instances killed for memory or restarting again and
    again, autoscalers at their maximum, this machine and its disks, and the
    growth of memory over `window` when there is a target `prometheus`.
    Thresholds: 70 and 90 percent, or cpu, memory, disk of the targets file
    (above, critical_above). Exit 1 when something is critical.]],
  severity = "P2",
  tags = { "services", "check" },
  runbook = "'Resource Exhaustion', 'Memory Leaks', 'High Response Times', docker "
    .. "stats, kubectl top",
  needs = { orchestrator = { kind = { "compose", "kubernetes", "local" },
    help = "what runs the services" } },
  params = {
    only = { type = "list", help = "these services (default: all)" },
    disks = { type = "list", help = "paths on this machine (default: /)",
      example = "/,/var/lib/docker" },
    window = { type = "duration", default = 3600, min = 60,
      help = "how far back memory is looked at" },
    memory_query = { type = "string", help = "PromQL of memory in bytes, a "
      .. "series a service (default: thresholds.memory_growth.query, else "
      .. "process_resident_memory_bytes)" },
    all = { type = "boolean", default = false,
      help = "show what is below its threshold as well" },
  },
  example = {
    "opsh run services/resources",
    "opsh run services/resources only=gateway all=true window=6h",
  },
  run = function(t, p)
    local o, kind = t.orchestrator, service.kind(system, t.orchestrator)
    local machine = kind ~= "kubernetes" and resources.machine() or nil
    local units
    if p.only and #p.only > 0 then
      local status = o:status()
      units = {}
      for n, s in ipairs(service.named(system, p.only)) do
        units[n] = service.resolve(s, kind, status)
      end
    end
    local rows, limits
    step("measure", { again = true }, function()
      rows, limits = of_services(o, kind, units, machine)
      if not units then add(rows, of_machine(p, kind, machine)) end
      part(rows, "memory growth", growth, p, limits)
    end)
    resources.sort(rows)
    print(resources.verdict(rows))
    local shown = {}
    for _, row in ipairs(rows) do
      if p.all or row.level ~= "ok" or row.what == "memory"
        or row.service == "machine" then
        shown[#shown + 1] = row
      end
    end
    show(shown, { columns = { "level", "service", "name", "what",
      { key = "percent", title = "%" }, "detail" } })
    resources.demand(rows)
  end,
}
