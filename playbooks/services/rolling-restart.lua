-- services/rolling-restart: restarts a service without a gap: one instance after
-- the other (compose, local), or by a rollout (kubernetes). The next one goes only
-- when the one before is ready, the service well and the error rate no worse;
-- else it stops, and a rollout is undone.
local roll = require "opsh.roll"
local service = require "opsh.service"

-- --- one instance after the other ---------------------------------------------

local function ask(t, s, row)
  guard(t.orchestrator, { verb = "restart", count = #row.names,
    sample = row.names, unit = "instances of " .. s.name,
    note = "one at a time; the next only when all are ready and the error "
      .. "rate is no worse" })
end

local function well_again(t, s, p, watch, count)
  local well, why = roll.wait(system, t.orchestrator, s,
    { timeout = p.timeout, count = count })
  if not well then return false, why end
  if watch then return watch:observe(p.watch) end
  return true
end

local function one_by_one(t, s, row, p, watch)
  for n, name in ipairs(row.names) do
    step(("restart %s (%d of %d)"):format(name, n, #row.names), {
      verify = function() return well_again(t, s, p, watch, row.instances) end,
    }, function()
      t.orchestrator:restart(s.unit, { instance = name })
    end)
  end
end

-- One instance alone: another stands in for it meanwhile.
local function with_another(t, s, row, p, watch)
  step("add an instance", { verify = function()
    return roll.wait(system, t.orchestrator, s, { timeout = p.timeout,
      count = 2 })
  end }, function() t.orchestrator:scale(s.unit, 2) end)
  row.instances = 2
  one_by_one(t, s, row, p, watch)
  guard(t.orchestrator, { verb = "scale", count = 1,
    unit = "instance that was added" })
  step("remove it again", { verify = function()
    return well_again(t, s, p, watch, 1)
  end }, function() t.orchestrator:scale(s.unit, 1) end)
end

local function by_instances(t, s, row, p, watch, kind)
  if kind == "local" then
    fail("'%s' is one process: it is away while it restarts; take "
      .. "services/restart", s.name)
  elseif row.running == 0 then
    fail("'%s' does not run: opsh run services/restart service=%s", s.name,
      s.name)
  elseif row.ready < row.running then
    fail("'%s' is not well (%s): a rolling restart would take away what is "
      .. "left; opsh run services/triage service=%s", s.name, row.state, s.name)
  elseif row.running == 1 and not p.surge then
    fail("'%s' has one instance: it would be away while it restarts; take "
      .. "services/restart, or surge=true to add one meanwhile", s.name)
  end
  ask(t, s, row)
  if row.running == 1 then return with_another(t, s, row, p, watch) end
  one_by_one(t, s, row, p, watch)
end

-- --- a rollout ----------------------------------------------------------------

-- Follows it; nil when it is done, else why it must not go on.
local function follow(t, s, p, watch)
  local began, last = task.now(), nil
  if watch then watch:mark() end
  while true do
    local status = t.orchestrator:rollout_status(s.unit)
    if status.message ~= last then
      last = status.message
      log.info("%s", last)
    end
    if status.done then return nil end
    local _, looks = 0, 0
    if watch then _, looks = watch:rate() end
    local why = looks >= 3 and watch:worse()
    if why then return why end
    if task.now() - began > p.timeout then
      return ("not done after %g s: %s"):format(p.timeout, status.message)
    end
    task.sleep(0.5)
  end
end

local function restart(t, s, row)
  local _, e = try(t.orchestrator.restart, t.orchestrator, s.unit)
  if e and e.kind == "guard" then -- it would leave no instance
    ask(t, s, row)
    t.orchestrator:restart(s.unit)
  elseif e then
    error(e, 0)
  end
end

local function by_rollout(t, s, row, p, watch)
  local why
  step("restart " .. s.name, { verify = function()
    why = follow(t, s, p, watch)
    if not why then
      local well
      well, why = well_again(t, s, p, watch)
      why = not well and why or nil
    end
    return true -- judged below: what is worse is undone first
  end }, function() restart(t, s, row) end)
  if not why then return end
  log.warn("stopped: %s; the rollout is undone", why)
  step("undo", { verify = function()
    return roll.wait(system, t.orchestrator, s, { timeout = p.timeout })
  end }, function() t.orchestrator:undo(s.unit) end)
  step("judge", { verify = function()
    return false, ("%s; the rollout was undone"):format(why)
  end }, function() end)
end

return {
  name = "services/rolling-restart",
  summary = "Restart a service without a gap; stops when errors rise",
  description = [[
    One instance after the other; the next only when all are ready again, the
    service is well by its own health and the error rate is not worse than
    before (Prometheus where thresholds.error_rate has a query, else the
    services' health). Worse: it stops there and says at which instance (exit
    15); in Kubernetes the rollout is undone.]],
  severity = "P2",
  tags = { "services" },
  runbook = "'Rolling restart (zero downtime)', 'Restart pods', 'Rolling Updates'",
  needs = { orchestrator = { kind = { "compose", "kubernetes", "local" },
    help = "what runs the services" } },
  params = {
    service = { type = "string", required = true, min = 1,
      help = "of the targets file, or of the orchestrator", example = "gateway" },
    timeout = { type = "duration", default = 120, min = 1,
      help = "until an instance must be well" },
    watch = { type = "duration", default = 3,
      help = "how long the error rate is watched after each; 0: not" },
    surge = { type = "boolean", default = false,
      help = "one instance only: add another while it restarts" },
  },
  example = {
    "opsh plan services/rolling-restart service=worker",
    "opsh run services/rolling-restart service=worker watch=10s "
      .. "--approve orchestrator",
  },
  run = function(t, p)
    local kind = service.kind(system, t.orchestrator)
    local services = roll.resolve(system, t.orchestrator, kind, { p.service })
    local s = services[1]
    local before = step("before", function()
      return roll.look(system, t.orchestrator, services)
    end)
    local watch <close> = roll.watch(system, p.watch, s.name)
    if kind == "kubernetes" then
      by_rollout(t, s, before[1], p, watch)
    else
      by_instances(t, s, before[1], p, watch, kind)
    end
    if roll.is_plan() then return end
    local after = step("after", function()
      return { rows = roll.look(system, t.orchestrator, services),
        errors = watch and watch:report() or nil }
    end)
    show(roll.compare(before, after.rows), { columns = { "service", "before",
      "after", "health" } })
  end,
}
