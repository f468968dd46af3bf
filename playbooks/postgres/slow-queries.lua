-- postgres/slow-queries: the statements that cost most, by total, mean or longest time,
-- rows or reads, as pg_stat_statements has counted them, whatever its version names its
-- columns. Reads only.
local activity = require "opsh.postgres.activity"
local statements = require "opsh.postgres.statements"

return {
  name = "postgres/slow-queries",
  summary = "Statements that cost most, by pg_stat_statements of any version",
  description = [[
    Times are counted since the last reset of pg_stat_statements; `share` is the
    part of all time, `memory` the percent of blocks that came from it. Without
    the extension it says what to do (exit 3).

    What runs slowly right now: postgres/activity. The plan of one of these:
    postgres/explain queryid=...]],
  severity = "P2",
  tags = { "postgres", "check" },
  runbook = "'High latency', 'Slow queries' of all systems",
  needs = { db = { kind = "postgres", help = "a database that has the "
    .. "extension" } },
  params = {
    by = { type = "enum", default = "total", choices = { "total", "mean", "max",
      "calls", "rows", "reads", "temp" }, help = "what the order is by" },
    limit = { type = "integer", default = 10, min = 1, max = 500,
      help = "how many" },
    calls = { type = "integer", default = 1, min = 1,
      help = "only those called so often", example = 10 },
    all = { type = "boolean", default = false,
      help = "of all databases, not only this one" },
    width = { type = "integer", default = 90, min = 10, max = 10000,
      help = "columns of each statement" },
    max_mean = { type = "duration", help = "exit 3 when the mean of one of them "
      .. "is longer", example = "500ms" },
  },
  example = {
    "opsh run postgres/slow-queries",
    "opsh run postgres/slow-queries by=mean calls=10 max_mean=500ms",
  },
  run = function(t, p)
    local list, since
    step("look", { again = true }, function()
      list = statements.top(t.db, { by = p.by, limit = p.limit, calls = p.calls,
        database = not p.all and t.db:value "select current_database()" or nil })
      since = try(function()
        return t.db:value [[select extract(epoch from now() - stats_reset)::float8
          from pg_stat_statements_info]]
      end)
      return { statements = #list }
    end)
    if #list == 0 then
      log.info("no statement was called %d times", p.calls)
      return
    end
    if since then log.info("counted for %s", activity.span(since)) end
    show(statements.rows(list, p.width), { columns = { "queryid", "calls",
      "total", "share", { key = "mean", title = "mean ms" },
      { key = "max", title = "max ms" }, { key = "per_call", title = "rows" },
      "memory", "query" } })
    log.info("a plan: opsh run postgres/explain queryid=%s", list[1].queryid)
    local worst
    for _, s in ipairs(list) do
      if p.max_mean and s.mean_ms > p.max_mean * 1000
        and (not worst or s.mean_ms > worst.mean_ms) then
        worst = s
      end
    end
    if worst then
      fail("statement %s takes %.4g ms in the mean, limit %g", worst.queryid,
        worst.mean_ms, p.max_mean * 1000)
    end
  end,
}
