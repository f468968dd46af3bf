-- postgres/explain: the plan of one statement, picked by its queryid or given as text.
-- What has $1 in it gets the generic plan, or values. With analyze=true it is run: a
-- read in a READ ONLY transaction; a write only with write=true, behind a guard, in a
-- transaction that is rolled back.
local activity = require "opsh.postgres.activity"
local explain = require "opsh.postgres.explain"
local statements = require "opsh.postgres.statements"

local function pick(db, p)
  if p.query then return p.query end
  local s = statements.top(db, { queryid = p.queryid, limit = 1 })[1]
  if not s then
    fail("pg_stat_statements has no queryid %s (opsh run postgres/slow-queries)",
      p.queryid)
  end
  local name = db:value "select current_database()"
  if s.database ~= name then
    fail("statement %s is of database '%s', 'db' is connected to '%s'",
      p.queryid, s.database or "?", name)
  end
  log.info("%d calls, %.4g ms in the mean, %s in all", s.calls, s.mean_ms,
    activity.span(s.total_ms / 1000))
  return s.query
end

local function check_statement(p, sql, judged)
  if judged.error then
    fail("it can't be read: %s", judged.error)
  elseif not judged.explains then
    fail("EXPLAIN takes SELECT, INSERT, UPDATE, DELETE and MERGE; this is no "
      .. "single one of them: %s", activity.one_line(sql, 80))
  elseif p.values and #p.values ~= judged.parameters then
    fail("the statement has %d parameters, %d values were given",
      judged.parameters, #p.values)
  elseif p.analyze and judged.parameters > 0 and not p.values then
    fail("analyze=true runs it: give values for $1 to $%d (values=a,b)",
      judged.parameters)
  elseif judged.class ~= "read" and judged.parameters > 0 and not p.values then
    fail("it is a write: the plan for all values would have to be prepared as "
      .. "one; give values for $1 to $%d (values=a,b), it is not run",
      judged.parameters)
  elseif p.analyze and judged.class ~= "read" and not p.write then
    fail("analyze=true would run it, and %s: write=true does, rolled back, "
      .. "behind a guard", judged.why)
  end
end

local function run_it(t, p, sql, judged)
  local write = judged.class ~= "read"
  if write then
    guard(t.db, { verb = "explain", count = 1, unit = "statement",
      sample = { activity.one_line(sql, 200) }, note = "it is run, then rolled "
      .. "back: its rows stay locked until then, triggers fire, sequences stay "
      .. "advanced" })
  end
  return step("run", { verify = function() return true end }, function()
    return explain.analyze(t.db, sql, p.values, { write = write,
      timeout = p.timeout })
  end)
end

local function get(t, p, sql, judged)
  if p.analyze then return run_it(t, p, sql, judged) end
  if judged.parameters > 0 and not p.values then
    local plan, types = explain.generic(t.db, sql)
    log.info("generic plan, for any %s", table.concat(types, ", "))
    return plan
  end
  return explain.plan(t.db, sql, p.values)
end

return {
  name = "postgres/explain",
  summary = "The plan of a statement, by queryid or text; $n are handled",
  description = [[
    Without values a read with $1 in it is planned for all values (the generic
    plan); values=... plans it for these, which a write needs. Below the plan stands what is
    worth a look: large tables read whole, estimates that are far off, sorts on
    disk.

    analyze=true runs it. A write is refused unless write=true: then a guard
    asks, and it is run in a transaction that is rolled back.]],
  severity = "P3",
  tags = { "postgres" },
  runbook = "saga 'Database Optimization', festivals 'slow queries'",
  needs = { db = { kind = "postgres", help = "the database of the statement" } },
  params = {
    queryid = { type = "string", pattern = "-?%d+",
      help = "of postgres/slow-queries", example = "-4711" },
    query = { type = "string", min = 1, help = "the statement itself",
      example = "select * from flights where id = $1" },
    values = { type = "list", help = "for $1 to $n", example = "42,ZRH" },
    analyze = { type = "boolean", default = false, help = "run it, and measure" },
    write = { type = "boolean", default = false,
      help = "with analyze: also a write, rolled back, behind a guard" },
    timeout = { type = "duration", default = 60, min = 0.1,
      help = "for analyze=true" },
  },
  checks = { { "which statement", function(_, p)
    if (p.queryid == nil) == (p.query == nil) then
      return false, "give one of queryid=ID and query=SQL"
    end
  end } },
  example = {
    "opsh run postgres/explain query='select * from flights where id = $1'",
    "opsh run postgres/explain query='select 1' analyze=true",
  },
  run = function(t, p)
    local sql = pick(t.db, p):gsub("[%s;]+$", "")
    local judged = explain.judge(sql)
    check_statement(p, sql, judged)
    print(activity.one_line(sql))
    local plan = get(t, p, sql, judged)
    if not plan then return end
    local columns = { "node", "cost", "rows" }
    if p.analyze then
      table.move({ "actual", "loops", "ms", "read" }, 1, 4, 4, columns)
    end
    columns[#columns + 1] = "detail"
    show(explain.rows(plan), { columns = columns })
    if plan["Execution Time"] then
      log.info("planned in %.3g ms, run in %.3g ms", plan["Planning Time"],
        plan["Execution Time"])
    end
    for _, note in ipairs(explain.notes(t.db, plan)) do log.warn("%s", note) end
  end,
}
