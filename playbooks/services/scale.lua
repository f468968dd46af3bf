-- services/scale: another number of instances: waits until they are ready, watches
-- the error rate. More is a write; fewer takes instances away and needs a guard.
-- Zero is refused: that is stopping a service.
local roll = require "opsh.roll"
local service = require "opsh.service"

-- Those that go: the newest, as every backend takes them.
local function going(names, replicas)
  table.sort(names)
  return table.move(names, replicas + 1, #names, 1, {})
end

return {
  name = "services/scale",
  summary = "Another number of instances, waited for and watched",
  description = [[
    Sets how many instances a service has, waits until so many are ready and the
    service is well, then watches the error rate for a moment. Fewer than there
    are needs a guard that shows which go. What was before is on record.]],
  severity = "P2",
  tags = { "services" },
  runbook = "'Scaling Services', 'Scale horizontally', 'Scale Consumers'",
  needs = { orchestrator = { kind = { "compose", "kubernetes", "local" },
    help = "what runs the services" } },
  params = {
    service = { type = "string", required = true, min = 1,
      help = "of the targets file, or of the orchestrator", example = "worker" },
    replicas = { type = "integer", required = true, min = 1, max = 1000,
      help = "instances there should be", example = 3 },
    timeout = { type = "duration", default = 120, min = 1,
      help = "until they must be ready" },
    watch = { type = "duration", default = 3,
      help = "how long the error rate is watched; 0: not" },
  },
  example = {
    "opsh plan services/scale service=worker replicas=3",
    "opsh run services/scale service=worker replicas=1 --approve orchestrator",
  },
  run = function(t, p)
    local o = t.orchestrator
    local kind = service.kind(system, o)
    local services = roll.resolve(system, o, kind, { p.service })
    local s = services[1]
    local before = step("before", function()
      return roll.look(system, o, services)
    end)
    local now = before[1].running
    if now == p.replicas and before[1].ready == now then
      print(("%s has %d instances already"):format(s.name, now))
      return
    end
    if p.replicas < now then
      local names = going(before[1].names, p.replicas)
      guard(o, { verb = "scale", count = now - p.replicas, sample = names,
        unit = "instances of " .. s.name .. " that go" })
    end
    local watch <close> = roll.watch(system, p.watch, s.name)
    step(("scale %s from %d to %d"):format(s.name, now, p.replicas), {
      idempotent = true,
      verify = function()
        local well, why = roll.wait(system, o, s, { timeout = p.timeout,
          count = p.replicas })
        if not well then return false, why end
        if watch then return watch:observe(p.watch) end
        return true
      end,
    }, function() o:scale(s.unit, p.replicas) end)
    if roll.is_plan() then return end
    local after = step("after", function()
      return roll.look(system, o, services)
    end)
    show(roll.compare(before, after), { columns = { "service", "before",
      "after", "health" } })
  end,
}
