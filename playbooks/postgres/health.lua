-- postgres/health: one look at a Postgres: connections against the limit, long
-- transactions, locks, replication, wraparound, archive, settings that wait for a
-- restart. Verdict first, the worst on top. Reads only; exit 1 when something is
-- critical.
local health = require "opsh.postgres.health"

return {
  name = "postgres/health",
  summary = "Connections, transactions, locks, replication, wraparound, archive",
  description = [[
    Each check is a query of its own; one that this role may not make is "not
    checked" and hides no other. Exit 1 when something is critical, with
    strict=true for a warning too. The sizes and times here are limits for
    "warning"; critical begins at 95 % of connections, 6 times the transaction,
    10 times the lag.

    Grant pg_monitor to the role, so that it sees what others do.]],
  severity = "P1",
  tags = { "postgres", "check" },
  runbook = "'Database Connection Issues', 'Check PostgreSQL status' of all "
    .. "systems",
  needs = { db = { kind = "postgres", help = "primary or standby" } },
  params = {
    connections = { type = "number", default = 80, min = 1, max = 100,
      help = "percent of what ordinary roles may have", example = 80 },
    transaction = { type = "duration", default = 300, min = 0.1,
      help = "the longest that is all right", example = "5m" },
    blocked = { type = "duration", default = 5, min = 0,
      help = "how long a session may wait for a lock" },
    lag = { type = "integer", default = 100, min = 1,
      help = "how far a standby may be behind", unit = "MiB" },
    delay = { type = "duration", default = 30, min = 0,
      help = "how far this standby may be behind" },
    strict = { type = "boolean", default = false,
      help = "a warning ends with exit 1 too" },
  },
  example = {
    "opsh run postgres/health",
    "opsh run postgres/health transaction=10m strict=true --output jsonl",
  },
  run = function(t, p)
    local id, rows
    step("look", { again = true }, function()
      id = t.db:identity()
      rows = health.look(t.db, {
        connections = { p.connections, math.max(p.connections, 95) },
        transaction = { p.transaction, 6 * p.transaction },
        blocked = { p.blocked, 12 * math.max(p.blocked, 1) },
        lag = { p.lag << 20, p.lag * 10 << 20 },
        delay = { p.delay, 10 * math.max(p.delay, 1) },
      })
      return { verdict = health.verdict(rows) }
    end)
    print(("%s · %s, Postgres %s at %s"):format(health.verdict(rows),
      id.recovery and "standby" or "primary", id.version, id.address))
    show(rows, { columns = { "check", "state", "value", "detail", "next" } })
    health.demand(rows, p.strict)
  end,
}
