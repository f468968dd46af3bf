-- postgres/maintain: VACUUM (ANALYZE) of the tables that are named, or of all, one after
-- the other: watched while it runs, sizes and dead rows before and after. FULL, which
-- locks everybody out and rewrites the table, only by name and behind a guard.
local activity = require "opsh.postgres.activity"
local vacuum = require "opsh.postgres.vacuum"

local function find(db, p)
  local all = vacuum.tables(db, p.table, p.dead)
  local tables, refused = {}, {}
  for _, table_ in ipairs(all) do
    if not table_.allowed then
      refused[#refused + 1] = table_.name
    elseif #tables < p.limit then
      tables[#tables + 1] = table_
    end
  end
  if #refused > 0 then
    log.warn("%d belong to others, this role may not: %s", #refused,
      table.concat(refused, ", ", 1, math.min(#refused, 8)))
  end
  return tables
end

local function ask(t, tables)
  local sample, bytes, largest = {}, 0, 0
  for n, table_ in ipairs(tables) do
    sample[n] = ("%s, %s, %d dead of %d rows"):format(table_.name,
      activity.size(table_.bytes), table_.dead, table_.live + table_.dead)
    bytes, largest = bytes + table_.bytes, math.max(largest, table_.bytes)
  end
  guard(t.db, { verb = "vacuum", count = #tables, sample = sample,
    unit = #tables == 1 and "table rewritten" or "tables rewritten",
    note = ("VACUUM FULL of %s: nobody reads or writes a table while it is "
      .. "rewritten; up to %s more is needed on disk meanwhile"):format(
      activity.size(bytes), activity.size(largest)) })
end

local function one(db, table_, p)
  local bar
  local _ <close> = setmetatable({}, { __close = function()
    if bar then bar:close() end
  end })
  return vacuum.run(db, table_, { full = p.full, analyze = p.analyze,
    freeze = p.freeze, timeout = p.timeout, lock_wait = p.lock_wait,
    on_progress = function(phase, done, total, is_new)
      if is_new then
        log.info("%s: %s, %d of %d blocks", table_.name, phase, done, total)
      end
      bar = bar or progress.new { label = "vacuum " .. table_.name,
        total = total }
      bar:set(math.min(done, total))
    end })
end

local function clean(t, table_, p)
  local row
  step("vacuum " .. table_.name, {
    idempotent = true,
    verify = function(warnings)
      if warnings and #warnings > 0 then return false, warnings[1] end
      local done, now = vacuum.done(t.db, table_, p.full)
      row = { table_ = table_.name, before = activity.size(table_.bytes),
        after = activity.size(now.bytes), bytes_before = table_.bytes,
        bytes_after = now.bytes, dead_before = table_.dead,
        dead_after = now.dead, age_before = table_.frozen_age,
        age_after = now.frozen_age }
      return done, "the server does not say that it was vacuumed"
    end,
  }, function()
    local warnings = {}
    for _, notice in ipairs(one(t.db, table_, p).notices or {}) do
      if notice:find "^WARNING" then warnings[#warnings + 1] = notice end
    end
    return warnings
  end)
  if row then row.table, row.table_ = row.table_, nil end
  return row
end

local function totals(rows, seconds)
  local before, after, dead = 0, 0, 0
  for _, row in ipairs(rows) do
    before, after = before + row.bytes_before, after + row.bytes_after
    dead = dead + row.dead_before - row.dead_after
  end
  return { tables = #rows, before = activity.size(before),
    after = activity.size(after), dead_rows_removed = dead,
    seconds = math.floor(seconds * 10 + 0.5) / 10 }
end

return {
  name = "postgres/maintain",
  summary = "VACUUM ANALYZE with progress; sizes and dead rows before and after",
  description = [[
    One table after the other, those with most dead rows first. VACUUM gives room
    back to the table, not to the disk; full=true does, but rewrites the table
    while nobody may use it: tables must be named, and a guard asks. Who holds a
    table for longer than lock_wait is named, and left alone.

    Ctrl-C ends the VACUUM on the server too; what was cleaned stays so. Run it
    again and it goes on.]],
  severity = "P3",
  tags = { "postgres" },
  runbook = "saga 'Database Maintenance'",
  needs = { db = { kind = "postgres", role = "primary",
    help = "whose tables" } },
  params = {
    table = { type = "list", help = "only these (default: all that this role may)",
      example = "flights,public.airports" },
    dead = { type = "integer", default = 0, min = 0,
      help = "only tables with so many dead rows", example = 1000 },
    limit = { type = "integer", default = 1000, min = 1, help = "so many at most" },
    analyze = { type = "boolean", default = true,
      help = "renew the planner's statistics too" },
    freeze = { type = "boolean", default = false,
      help = "freeze all rows: against wraparound" },
    full = { type = "boolean", default = false,
      help = "rewrite the tables; needs table=" },
    lock_wait = { type = "duration", default = 10, min = 0.1,
      help = "for the lock of a table, then it is given up" },
    timeout = { type = "duration", default = "12h", min = 1,
      help = "for one table" },
  },
  checks = { { "FULL is for named tables", function(_, p)
    if p.full and not p.table then
      return false, "full=true locks everybody out of each table: name them by "
        .. "table=..."
    end
  end } },
  example = {
    "opsh run postgres/maintain",
    "opsh run postgres/maintain table=flights",
    "opsh run postgres/maintain table=flights full=true --approve db",
  },
  run = function(t, p)
    local tables = find(t.db, p)
    if #tables == 0 then
      log.info "no table to vacuum"
      return
    end
    if p.full then ask(t, tables) end
    local began, rows, planned = task.now(), {}, nil
    for _, table_ in ipairs(tables) do
      local row = clean(t, table_, p)
      rows[#rows + 1], planned = row, planned or not row
    end
    if planned then return end
    show(rows, { columns = { "table", "before", "after", "dead_before",
      "dead_after", "age_before", "age_after" } })
    return totals(rows, task.now() - began)
  end,
}
