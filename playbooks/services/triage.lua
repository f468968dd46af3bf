-- services/triage: why a service is down or won't start: what its orchestrator
-- and its log say, who holds its port, which variables lack, what it depends on.
-- The line to act on first, the evidence below it. Reads only; lua/opsh/triage
-- judges, this gathers.
local health = require "opsh.health"
local logs = require "opsh.logs"
local ports = require "opsh.ports"
local service = require "opsh.service"
local triage = require "opsh.triage"

local SHOWN <const> = 3 -- groups of errors, events

-- The orchestrator has what is looked for here, and may be slow to say it.
local function patience(p) return math.max(20, p.timeout) end

-- Reads the end of its log; the run before the last restart counts too, for that
-- is the one which failed.
local function read_log(o, unit, p, previous)
  local entries = {}
  for line in o:logs(unit, { tail = p.tail, previous = previous or nil }) do
    local entry = logs.parse(line.text, line.time)
    entry.service, entry.name = line.service, line.name
    entries[#entries + 1] = entry
  end
  return entries
end

local function errors_of(o, unit, p, looping)
  local found = {}
  for _, previous in ipairs { false, looping or nil } do
    local entries = try(task.timeout, patience(p), read_log, o, unit, p,
      previous)
    for _, entry in ipairs(entries or {}) do
      if logs.is_error(entry) then found[#found + 1] = entry end
    end
  end
  return logs.group(found)
end

-- Of events that are no warning those that tell of an end.
local ENDS <const> = { die = true, oom = true, kill = true, destroy = true,
  stop = true, exited = true }

local function events_of(o, unit, p)
  local list = try(task.timeout, patience(p), o.events, o, unit,
    { since = p.since })
  local out = {}
  for _, event in ipairs(list or {}) do
    if event.type == "Warning" or ENDS[event.reason] then
      out[#out + 1] = event
    end
  end
  return out
end

local function looping(rows)
  for _, row in ipairs(rows) do
    if row.reason == "CrashLoopBackOff" or row.state == "restarting"
      or (row.restarts or 0) > 0 then
      return true
    end
  end
  return false
end

local function running(rows)
  for _, row in ipairs(rows) do
    if row.state == "running" or row.state == "starting"
      or row.state == "paused" then
      return true
    end
  end
  return false
end

-- Its ports that somebody else holds: only what does not run can have lost one.
local function taken(s, definition, rows, listening)
  local out, wanted = {}, { s.def.port }
  for _, port in ipairs(definition and definition.ports or {}) do
    wanted[#wanted + 1] = port
  end
  for _, port in ipairs(running(rows) and {} or wanted) do
    local row = listening and listening[port]
    if row then
      out[#out + 1] = { port = port, by = row.program
        and ("%s (pid %s)"):format(row.program, row.pid or "?")
        or "another process" }
    end
  end
  return out
end

local function missing(s, definition)
  local out = {}
  for _, name in ipairs(definition and s.def.env or {}) do
    if not definition.env[name] then
      out[#out + 1] = definition.env[name] == false and name .. " (empty)"
        or name
    end
  end
  return out
end

-- What it depends on and is not well: by the file, and by the orchestrator.
local function down_below(s, definition, bad)
  local out, seen = {}, {}
  for _, list in ipairs { s.def.depends or {}, definition
    and definition.depends or {} } do
    for _, name in ipairs(list) do
      if bad[name] and not seen[name] and name ~= s.name then
        seen[name] = true
        out[#out + 1] = name
      end
    end
  end
  return out
end

-- All that is known of one service; ctx: what was asked once for all.
local function gather(s, ctx, p)
  local facts = { service = s.name, health = ctx.health[s.name], instances = {} }
  if ctx.o and ctx.status then
    local unit = service.resolve(s, ctx.kind, ctx.status)
    facts.instances = service.instances(s, ctx.kind, ctx.status)
    facts.definition = try(task.timeout, patience(p), ctx.o.definition,
      ctx.o, unit)
    facts.defined = facts.definition ~= nil
    facts.limits = facts.definition and facts.definition.limits
    if facts.defined or #facts.instances > 0 then
      facts.errors = errors_of(ctx.o, unit, p, looping(facts.instances))
      facts.events = events_of(ctx.o, unit, p)
    end
    facts.taken = taken(s, facts.definition, facts.instances, ctx.listening)
    facts.missing = missing(s, facts.definition)
  end
  facts.down = down_below(s, facts.definition, ctx.bad)
  return facts
end

-- --- what is shown ------------------------------------------------------------

local function when(seconds)
  return seconds and os.date("!%Y-%m-%d %H:%M:%SZ", seconds // 1) or "?"
end

local function of_instance(row)
  return ("%s: %s%s%s%s%s"):format(row.name, service.state(row),
    row.restarts and row.restarts > 0 and (", %d restarts"):format(row.restarts)
    or "", row.started and ", started " .. when(row.started) or "",
    row.image and ", image " .. row.image or "",
    row.message and row.message ~= "" and ": " .. row.message or "")
end

local function evidence(f, verdict)
  local rows = {}
  local function add(what, fmt, ...)
    rows[#rows + 1] = { service = f.service, what = what,
      evidence = fmt:format(...):match "^(.-)[%s:]*$" }
  end
  add("most likely", "%s", verdict.likely)
  if f.health then
    add("health", "%s: %s", f.health.state, f.health.detail)
  end
  for _, row in ipairs(f.instances) do
    if not row.ready or #f.instances == 1 then
      add("instance", "%s", of_instance(row))
    end
  end
  if f.defined and #f.instances == 0 then
    add("instance", "defined, and there is none")
  end
  for n, g in ipairs(f.errors or {}) do
    if n <= SHOWN then add("log", "%d x %s", g.count, g.example) end
  end
  local events = f.events or {}
  for n = math.max(1, #events - SHOWN + 1), #events do
    local e = events[n]
    add("event", "%s %s: %s", when(e.time), e.reason or e.type or "",
      e.message or "")
  end
  for _, t in ipairs(f.taken or {}) do
    add("port", "%d is held by %s", t.port, t.by)
  end
  for _, name in ipairs(f.missing or {}) do add("environment", "no %s", name) end
  for _, name in ipairs(f.down) do add("depends", "%s is not well", name) end
  return rows
end

local function report(services, ctx, p)
  local facts = task.map(services, { limit = 16 }, function(s)
    return gather(s, ctx, p)
  end)
  local summary, rows = {}, {}
  for n, f in ipairs(facts) do
    local v = triage.judge(f)
    summary[n] = { service = f.service, cause = v.cause,
      state = f.health and f.health.state or "?", most_likely = v.likely,
      next = table.concat(v.run, "; ") }
    for _, row in ipairs(evidence(f, v)) do rows[#rows + 1] = row end
  end
  return summary, rows
end

-- --- the run ------------------------------------------------------------------

-- Asks once for all: health of every service, states, listeners.
local function look(p)
  local ctx = { health = {}, bad = {} }
  local all = service.list(system)
  for _, name in ipairs(p.service or {}) do
    if not system.services[name] then
      all[#all + 1] = service.named(system, { name })[1]
    end
  end
  ctx.o, ctx.kind = service.orchestrator(system, p.orchestrator)
  ctx.rows, ctx.problem, ctx.status = health.all(system, all, {
    timeout = p.timeout, orchestrator = ctx.o, kind = ctx.kind,
    patience = patience(p) })
  for _, row in ipairs(ctx.rows) do
    ctx.health[row.service] = row
    ctx.bad[row.service] = row.state == "down" or row.state == "degraded"
      or nil
  end
  if ctx.kind == "local" or ctx.kind == "compose" then
    ctx.listening = try(ports.listening)
  end
  return ctx
end

-- Those asked for, else those that are not well.
local function chosen(ctx, p)
  if p.service and #p.service > 0 then return service.named(system, p.service) end
  local names = {}
  for _, row in ipairs(ctx.rows) do
    if ctx.bad[row.service] then names[#names + 1] = row.service end
  end
  return service.order(service.named(system, names))
end

return {
  name = "services/triage",
  summary = "Why a service is down or won't start, and what to run next",
  description = [[
    Looks at every service that is not well (or at those given): state and last
    exit, the errors of its log put together, events, who holds its port,
    variables that it lacks, what it depends on. Says what it most likely is,
    what to run next, and where to begin when several are down. Reads only.]],
  severity = "P1",
  tags = { "services", "incident" },
  runbook = "'Service Won't Start', 'API Gateway Down', 'API Down', 'High Error "
    .. "Rate'",
  params = {
    service = { type = "list", help = "these (default: all that are not well)",
      example = "gateway" },
    tail = { type = "integer", default = 200, min = 1, max = 100000,
      help = "lines of each log that are read" },
    since = { type = "duration", default = 3600,
      help = "events of how long ago" },
    timeout = { type = "duration", default = 5, min = 0.05, max = 300,
      help = "for each answer" },
    orchestrator = { type = "string",
      help = "target that runs them (default: the one there is)" },
  },
  example = {
    "opsh run services/triage",
    "opsh run services/triage service=gateway tail=1000",
  },
  run = function(_, p)
    local ctx, summary, rows
    step("look", { again = true }, function()
      ctx = look(p)
      return { verdict = health.verdict(ctx.rows) }
    end)
    local services = chosen(ctx, p)
    if ctx.problem then
      print("the orchestrator does not answer: " .. ctx.problem)
    elseif not ctx.o then
      log.warn("states, logs and events are not known: %s", ctx.kind)
    end
    if #services == 0 then
      print("nothing is down: " .. health.verdict(ctx.rows))
      return
    end
    step("why", { again = true }, function()
      summary, rows = report(services, ctx, p)
      return summary
    end)
    local roots = triage.roots(services)
    for _, row in ipairs(summary) do
      if row.service == roots[1] then
        print(("begin with %s: most likely: %s\nnext: %s"):format(row.service,
          row.most_likely, row.next))
      end
    end
    if #summary > 1 then
      show(summary, { columns = { "service", "state", "cause",
        { key = "most_likely", title = "most likely" }, "next" } })
    end
    show(rows, { columns = { "service", "what", "evidence" } })
  end,
}
