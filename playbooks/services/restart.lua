-- services/restart: restarts services, or starts those that do not run, in the
-- order they depend on each other; waits until each is ready and well by its own
-- health, and stops before the next one when the system's error rate rose.
local roll = require "opsh.roll"
local service = require "opsh.service"

-- What will go down: only what runs can, and only that is asked for.
local function ask(t, before, p)
  local count, sample = 0, {}
  for _, row in ipairs(before) do
    count = count + row.running
    for _, name in ipairs(row.names) do
      sample[#sample + 1] = ("%s: %s"):format(name, row.health or row.state)
    end
  end
  if count == 0 then return end
  guard(t.orchestrator, { verb = "restart", count = count, sample = sample,
    unit = count == 1 and "running instance" or "running instances",
    note = #before > 1 and "one service after the other: "
      .. table.concat(p.service, ", ") or nil })
end

local function restart_one(t, s, before, p, watch)
  local starts = before.running == 0
  step(("%s %s"):format(starts and "start" or "restart", s.name), {
    idempotent = starts,
    verify = function()
      local well, why = roll.wait(system, t.orchestrator, s,
        { timeout = p.timeout })
      if not well then return false, why end
      if watch then return watch:observe(p.watch) end
      return true
    end,
  }, function()
    if starts then
      t.orchestrator:start(s.unit)
    else
      t.orchestrator:restart(s.unit)
    end
  end)
end

return {
  name = "services/restart",
  summary = "Restart or start services, wait until they are well",
  description = [[
    A service that runs is restarted, which needs a guard; one that does not is
    started. Each is waited for: its instances ready, then its own health. Then
    the error rate (of Prometheus where thresholds.error_rate has a query, else
    of the other services' health) is watched for a moment; when it is worse than
    before, the services that follow are left alone (exit 15).]],
  severity = "P1",
  tags = { "services", "incident" },
  runbook = "'Restart Services', 'Service Recovery', 'API Gateway Down'",
  needs = { orchestrator = { kind = { "compose", "kubernetes", "local" },
    help = "what runs the services" } },
  params = {
    service = { type = "list", required = true, min = 1,
      help = "of the targets file, or of the orchestrator", example = "gateway" },
    timeout = { type = "duration", default = 120, min = 1,
      help = "until a service must be well" },
    watch = { type = "duration", default = 3,
      help = "how long the error rate is watched after each; 0: not" },
  },
  example = {
    "opsh plan services/restart service=gateway",
    "opsh run services/restart service=gateway --approve orchestrator",
  },
  run = function(t, p)
    local kind = service.kind(system, t.orchestrator)
    local services = roll.resolve(system, t.orchestrator, kind, p.service)
    local before
    step("before", { again = true }, function()
      before = roll.look(system, t.orchestrator, services)
      return before
    end)
    ask(t, before, p)
    local watch <close> = roll.watch(system, p.watch, services[1].name)
    for n, s in ipairs(services) do
      restart_one(t, s, before[n], p, watch)
    end
    if roll.is_plan() then return end
    local after = step("after", function()
      return roll.look(system, t.orchestrator, services)
    end)
    show(roll.compare(before, after), { columns = { "service", "before",
      "after", "health" } })
  end,
}
