-- postgres/verify-backup: is a backup one that can be restored? Checksums, the
-- archive's table, then a restore into a scratch database that is made and dropped
-- here, whose rows and objects are counted and compared with the manifest.
local backups = require "opsh.postgres.backups"
local census = require "opsh.postgres.census"
local rebuild = require "opsh.postgres.rebuild"
local is_plan = require("opsh.roll").is_plan
local tools_of = require("opsh.postgres.tools").of

local SCRATCH <const> = "opsh_verify_"

-- The backup that was named, or the newest in the folder.
local function pick(p)
  if p.from:match "%.pgbackup/*$" then return backups.open(p.from) end
  local list = backups.list(p.from, p.database)
  if #list == 0 then
    fail("there is no backup%s in '%s'", p.database and " of '" .. p.database .. "'"
      or "", p.from)
  end
  return list[1]
end

local function wrong(fmt, ...)
  return false, fmt:format(...)
end

-- Dropped whatever happens, also when it was cancelled.
local function scratch(t, name)
  return setmetatable({}, { __close = function()
    if rebuild.exists(t.db, name) then rebuild.drop(t.db, name) end
  end })
end

-- The restore and what it shows: the differences, and how it went.
local function restore(t, p, tools, b, name)
  local m, began = b.manifest, task.now()
  if rebuild.exists(t.db, name) then rebuild.drop(t.db, name) end -- a killed run's
  local _ <close> = scratch(t, name)
  rebuild.create(t.db, name, m, { owners = false })
  rebuild.fill(tools, name, b.path .. "/" .. backups.DUMP, { owners = false,
    jobs = p.jobs, timeout = p.timeout })
  local restored = task.now() - began
  local bar <close> = progress.new { label = "count", total = #m.tables }
  local differences, found = rebuild.compare(t.db, name, m,
    { timeout = p.timeout, each = function() bar:add(1) end })
  return { seconds = math.floor(restored * 10 + 0.5) / 10,
    differences = differences, rows = found.rows, tables = #found.tables,
    large_objects = found.objects["large objects"] or 0,
    foreign_keys = found.objects["foreign keys, validated"] or 0 }
end

local function plan(t, tools, b, name)
  rebuild.create(t.db, name, b.manifest, { owners = false })
  rebuild.fill(tools, name, b.path .. "/" .. backups.DUMP, { owners = false })
  rebuild.drop(t.db, name)
end

-- What earlier runs left: they are named, not touched.
local function leftovers(t, name)
  local left = t.db:query([[select datname from pg_database
    where datname ^@ $1 and datname <> $2 order by 1]], SCRATCH, name)
  for _, row in ipairs(left) do
    log.warn("database '%s' is there, of a run that was killed or that runs now; "
      .. "opsh run postgres/restore drop=%s removes it", row.datname, row.datname)
  end
end

return {
  name = "postgres/verify-backup",
  summary = "Prove a backup by a restore into a scratch database",
  description = [[
    Of the backup that is named, or the newest in a folder: SHA-256 of dump and
    manifest, pg_restore --list, then a restore into a database of a unique name,
    on the server of target db (better not the one that serves: --bind db=other).
    There the rows of each table, the objects by kind, the large objects and the
    foreign keys, which the server checks as they are made again, are counted and
    compared with the manifest. The scratch database is dropped whatever happens. A
    difference ends with exit 15. What passed is noted in the backup's folder, and
    retention keeps the newest such.]],
  severity = "P3",
  tags = { "postgres", "backup" },
  runbook = "'Verify backup'",
  needs = { db = { kind = "postgres", role = "primary",
    help = "the server of the scratch database" },
    orchestrator = { kind = { "compose", "kubernetes", "local" }, optional = true,
      help = "with service=: what the server runs on" } },
  params = {
    from = { type = "string", required = true, help = "a backup, or the folder of "
      .. "backups: the newest", example = "/backups" },
    database = { type = "string", help = "of which database, where the folder has "
      .. "backups of several" },
    restore = { type = "boolean", default = true, help = "false: checksums and "
      .. "pg_restore --list only" },
    jobs = { type = "integer", default = 2, min = 1, max = 64,
      help = "of pg_restore at once" },
    service = { type = "string", help = "of the orchestrator, where pg_restore is "
      .. "run", example = "postgres" },
    bin = { type = "string", help = "folder of pg_restore" },
    timeout = { type = "duration", default = 7200, min = 1, help = "of the restore" },
  },
  example = {
    "opsh run postgres/verify-backup from=/backups --approve db",
    "opsh run postgres/verify-backup from=/backups restore=false",
  },
  run = function(t, p)
    local tools = tools_of(t.db, { bin = p.bin, service = p.service,
      orchestrator = t.orchestrator })
    local chosen = step("pick", function() return pick(p).path end)
    local b = backups.open(chosen)
    local m = b.manifest
    log.info("backup of %s", rebuild.summary(m))
    step("checksums", { verify = function() return backups.check(b) end },
      function() end)
    if is_plan() then -- verify is not run there
      local ok, why = backups.check(b)
      if not ok then fail("%s", why) end
    end
    local listed
    step("archive", { verify = function()
      if not listed then return true end
      if listed.entries ~= m.entries then
        return wrong("the archive has %d entries, the manifest %s", listed.entries,
          tostring(m.entries))
      end
      return true
    end }, function()
      listed = tools:list(b.path .. "/" .. backups.DUMP)
      return listed
    end)
    if not p.restore then
      return { backup = b.path, rows = m.rows, restored = false }
    end
    local against, notes = rebuild.against(t.db, tools, m, { owners = false })
    for _, note in ipairs(notes) do log.warn("%s", note) end
    rebuild.refuse(against)
    local name = step("name", function()
      return SCRATCH .. os.date "!%Y%m%d_%H%M%S_" .. ("%06x"):format(
        math.random(0, 0xffffff))
    end)
    leftovers(t, name)
    guard(t.db, { verb = "DROP DATABASE", count = 1, ask = name, sample = { name },
      unit = "scratch database, made by this run", note = ("restored first: %s")
      :format(rebuild.summary(m)) })
    if is_plan() then return plan(t, tools, b, name) end
    local shown = step("restore", { idempotent = true, verify = function(r)
      if #r.differences > 0 then
        return wrong("the restored database is not what was dumped: %s",
          census.text(r.differences))
      end
      return not rebuild.exists(t.db, name), "the scratch database is still there"
    end }, function() return restore(t, p, tools, b, name) end)
    step("note", { idempotent = true, verify = function()
      return backups.open(b.path).verified ~= nil, "it is not noted"
    end }, function()
      fs.append(b.path .. "/" .. backups.VERIFIED, json.encode { ok = true,
        time = os.date "!%Y-%m-%dT%H:%M:%SZ", seconds = shown.seconds,
        address = t.db:identity().address } .. "\n")
    end)
    return { backup = b.path, verified = true, rows = shown.rows,
      tables = shown.tables, large_objects = shown.large_objects,
      foreign_keys = shown.foreign_keys, restore_seconds = shown.seconds }
  end,
}
