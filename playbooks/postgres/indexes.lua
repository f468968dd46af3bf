-- postgres/indexes: missing, unused, duplicate, invalid and swollen indexes, with the
-- statement that would mend each, and how long usage has been counted for. Reads only;
-- nothing of what it proposes is sent.
local activity = require "opsh.postgres.activity"
local indexes = require "opsh.postgres.indexes"

local function sizes(rows)
  for _, row in ipairs(rows) do
    row.size = activity.size(row.bytes)
    row.waste = row.wasted and activity.size(row.wasted) or nil
  end
  return rows
end

local function section(title, rows, columns)
  print(("%s: %d"):format(title, #rows))
  if #rows > 0 then show(sizes(rows), { columns = columns }) end
  return #rows
end

local function warn_of_usage(db)
  local seconds = indexes.counted_for(db)
  if seconds and seconds < 7 * 86400 then
    log.warn("usage is counted for %s only: what runs once a month has not run "
      .. "yet", activity.span(seconds))
  end
  if db:value "select pg_is_in_recovery()" then
    log.warn "this is a standby: the primary counts apart, and makes the indexes"
  elseif db:value "select count(*) from pg_stat_replication" > 0 then
    log.warn "standbys count their reads apart: look there too before a drop"
  end
end

return {
  name = "postgres/indexes",
  summary = "Missing, unused, duplicate, invalid and swollen indexes",
  description = [[
    missing: large tables that are read whole, often (their statements:
    postgres/slow-queries by=reads). unused: read `scans` times or less since
    the statistics began, and no constraint stands on them. duplicate: same
    columns, order, operators and condition as another one. invalid: a
    CONCURRENTLY that did not end. swollen: by estimate, of btrees.

    Reads only: the column `fix` has the statement; CONCURRENTLY keeps others
    going, and needs a moment without long transactions (postgres/activity).]],
  severity = "P3",
  tags = { "postgres", "check" },
  runbook = "saga 'Check for missing indexes', movie booking 'Add database "
    .. "indexes'",
  needs = { db = { kind = "postgres", help = "whose indexes" } },
  params = {
    scans = { type = "integer", default = 0, min = 0,
      help = "read so often or less is unused" },
    min_bytes = { type = "integer", default = 65536, min = 0,
      help = "smaller ones are not worth it", unit = "bytes" },
    seq_scans = { type = "integer", default = 50, min = 1,
      help = "reads of a whole table that count as often" },
    seq_rows = { type = "integer", default = 10000, min = 1,
      help = "rows of each such read that count as many" },
    bloat = { type = "integer", default = 50, min = 1, max = 100,
      help = "percent that a new one would save" },
    bloat_bytes = { type = "integer", default = 1048576, min = 8192,
      help = "only indexes as large", unit = "bytes" },
    strict = { type = "boolean", default = false,
      help = "exit 3 when one is invalid or a duplicate" },
  },
  example = {
    "opsh run postgres/indexes",
    "opsh run postgres/indexes scans=10 bloat=30 --output jsonl",
  },
  run = function(t, p)
    local db, found = t.db, {}
    step("look", { again = true }, function()
      found.missing = indexes.missing(db, p.seq_scans, p.seq_rows)
      found.unused = indexes.unused(db, p.scans, p.min_bytes)
      found.duplicates = indexes.duplicates(db)
      found.invalid = indexes.invalid(db)
      found.bloat = indexes.bloat(db, p.bloat_bytes, p.bloat)
      return { indexes = db:value "select count(*) from pg_stat_user_indexes" }
    end)
    section("tables read whole (missing?)", found.missing, { "table", "scans",
      "rows_a_scan", "index_scans", "rows", "size" })
    section("unused", found.unused, { "index", "table", "size", "scans", "fix" })
    section("duplicates", found.duplicates, { "index", "same_as", "table", "size",
      "fix" })
    section("invalid", found.invalid, { "index", "table", "size", "why",
      "being_built", "fix" })
    section("swollen, by estimate", found.bloat, { "index", "table", "size",
      "waste", "percent", "fix" })
    warn_of_usage(db)
    local bad = #found.invalid + #found.duplicates
    if p.strict and bad > 0 then
      fail("%d indexes are invalid, %d duplicates", #found.invalid,
        #found.duplicates)
    end
  end,
}
