-- services/health: what runs first at 3 a.m.: every service of the targets file
-- asked at once, by its own protocol, and its orchestrator beside it. Verdict
-- first, then one table, the worst on top; ends in the time of the slowest
-- deadline. Reads only.
local health = require "opsh.health"
local service = require "opsh.service"

return {
  name = "services/health",
  summary = "All services at once: health, dependencies, containers, TLS",
  description = [[
    Asks every service of the targets file at the same time: its health URL
    (status, the body's own word, the dependencies that it names), its
    readiness, its certificate, a PING where it is a Redis; and the orchestrator
    what it says of their containers. What can't be asked is "not checked",
    never up. Exit 1 when one is down or degraded. An orchestrator that does not
    answer is named, and stops nothing. The rows as JSON: opsh help health.]],
  severity = "P1",
  tags = { "services", "check" },
  runbook = "'Health Checks', 'Service Overview', 'System down' of all systems",
  params = {
    only = { type = "list", help = "these services (default: all)",
      example = "gateway,orders" },
    timeout = { type = "duration", default = 5, min = 0.05, max = 300,
      help = "for each answer; a service's own `timeout` counts more" },
    slow = { type = "duration", default = 1,
      help = "slower is 'slow'; a service's thresholds.slow counts more" },
    certificate_days = { type = "integer", default = 14, min = 0,
      help = "name certificates that have fewer days left" },
    strict = { type = "boolean", default = false,
      help = "a slow service fails the check as well" },
    orchestrator = { type = "string",
      help = "target that runs them (default: the one there is)" },
  },
  example = {
    "opsh run services/health",
    "opsh run services/health only=gateway timeout=2s --output jsonl",
  },
  run = function(_, p)
    local services = service.list(system, p.only)
    if #services == 0 then
      fail("there are no services in the targets file: add `services = { ... }`")
    end
    local o, kind = service.orchestrator(system, p.orchestrator)
    local rows, problem
    step("ask", { again = true }, function()
      rows, problem = health.all(system, services, { timeout = p.timeout,
        slow = p.slow, certificate_days = p.certificate_days,
        orchestrator = o, kind = kind })
      return { verdict = health.verdict(rows) }
    end)
    print(health.verdict(rows))
    if problem then
      log.warn("the orchestrator does not answer: %s", problem)
    elseif not o and not kind:find "^no orchestrator" then
      log.warn("containers are not looked at: %s", kind)
    end
    show(rows, { columns = { "service", "state",
      { key = "latency_ms", title = "ms" }, "container", "detail" } })
    health.demand(rows, p.strict)
  end,
}
