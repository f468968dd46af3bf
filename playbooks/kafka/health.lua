-- kafka/health: one look at a cluster: brokers, controller, partitions that nobody
-- leads or that have too few replicas in sync, groups, and when asked a message that
-- goes through. Verdict first, the worst on top. Reads only unless probe is given.
local health = require "opsh.kafka.health"
local thresholds = require "opsh.thresholds"

return {
  name = "kafka/health",
  summary = "Brokers, leaders, replicas in sync, groups, a message round trip",
  description = [[
    Critical: a broker is gone, there is no controller, a partition has no leader
    or takes no write with acks=all, the probe does not come through. A warning:
    partitions are under-replicated, groups are between states, the probe is
    slow. Exit 1 when something is critical, with strict=true for a warning too.

    probe=TOPIC writes one message to that topic and reads it back, by assignment:
    no group is joined. The topic must exist, and should be one that nobody
    reads; a plan writes nothing.]],
  severity = "P1",
  tags = { "kafka", "check" },
  runbook = "flash sale 'Kafka', 'Health Checks', airline tracking 'Kafka down'",
  needs = { events = { kind = "kafka", help = "the cluster" } },
  params = {
    brokers = { type = "integer", min = 1, help = "so many there have to be",
      example = 3 },
    topics = { type = "list", help = "look at these only", example = "orders" },
    probe = { type = "string", help = "topic for a message to go through",
      example = "opsh-probe" },
    slow = { type = "duration", default = 1, min = 0,
      help = "a round trip that takes longer is a warning" },
    timeout = { type = "duration", default = 10, min = 0.1, max = 300,
      help = "for each answer" },
    strict = { type = "boolean", default = false,
      help = "a warning ends with exit 1 too" },
  },
  example = {
    "opsh run kafka/health",
    "opsh run kafka/health brokers=3 probe=opsh-probe strict=true",
  },
  run = function(t, p)
    local id, rows
    step("look", { again = true, verify = p.probe and function()
      return rows ~= nil
    end }, function()
      id = t.events:identity { timeout = p.timeout }
      rows = health.look(t.events, { brokers = p.brokers, topics = p.topics,
        probe = p.probe, slow = p.slow, timeout = p.timeout })
      return { verdict = health.verdict(rows) }
    end)
    print(("%s · cluster %s, %d broker%s"):format(health.verdict(rows),
      id.cluster_id, #id.brokers, #id.brokers == 1 and "" or "s"))
    show(rows, { columns = { "name", "state", "value", "detail", "next" } })
    thresholds.demand(rows, p.strict)
  end,
}
