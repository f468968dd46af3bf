-- postgres/backup: one database by pg_dump into a folder of its own, with a
-- manifest that says what is in it, counted in the dump's own snapshot. The folder
-- gets its name when all is written, read back and on disk; an interrupted run
-- leaves none. Old ones go by a rule that is shown and asked for first.
local backups = require "opsh.postgres.backups"
local census = require "opsh.postgres.census"
local tools_of = require("opsh.postgres.tools").of

local LEFT <const> = 3600 -- seconds without a write, until a run's rest is one
local SPARE <const> = 64 << 20 -- bytes that stay free

local function mib(bytes) return ("%.1f MiB"):format(bytes / 1048576) end

local SIZE <const> = [[
select pg_database_size(current_database()) as whole,
  (select coalesce(sum(pg_table_size(c.oid)), 0)::bigint from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'm') and (n.nspname !~ '^pg_'
      or c.oid = 'pg_largeobject'::regclass)) as data]]

-- How much room the dump will want: as the last one did, else as its tables.
local function estimate(db, last)
  local size = db:one(SIZE)
  local m = last and last.manifest
  local bytes = m and m.database_size > 0
    and m.dump_size * (size.whole / m.database_size) * 1.3 or size.data
  return math.ceil(bytes), size.whole
end

-- All that is checked before the first write.
local function look(t, p, tools)
  local client, major = tools:version "pg_dump"
  if major < tools.major then
    fail("pg_dump %s is older than the server (%d): it refuses to dump it; give "
      .. "the folder of another by bin=", client, tools.major)
  end
  if not fs.exists(p.to) or fs.stat(p.to).type ~= "directory" then
    fail("there is no folder '%s'", p.to)
  end
  local name = t.db:value "select current_database()"
  local id = t.db:identity()
  local all = backups.list(p.to, name)
  local wanted, size = estimate(t.db, all[1])
  local free = fs.df(p.to).free
  if free < wanted + SPARE then
    fail("'%s' has %s free, the dump of '%s' (%s) may take %s: nothing was "
      .. "written, %d older backups are as they were", p.to, mib(free), name,
      mib(size), mib(wanted), #all)
  end
  return { database = name, client = client, size = size, wanted = wanted,
    free = free, standby = id.recovery, system = id.system_identifier,
    timeline = id.timeline, backups = #all }
end

-- What is to go when the new one is there: older backups, rests of killed runs.
local function old_ones(p, found, now)
  local gone = {}
  for _, b in ipairs(backups.expired(backups.list(p.to, found.database),
    { keep = p.keep, days = p.days, now = now, system = found.system })) do
    gone[#gone + 1] = b.path
  end
  for _, path in ipairs(backups.leftovers(p.to, LEFT, now)) do
    gone[#gone + 1] = path
  end
  return gone
end

-- Counts and dumps one and the same snapshot.
local function take(t, p, tools, found, path)
  local manifest
  t.db:transaction(function(tx)
    local quiet = { savepoint = false }
    tx:query("set local row_security = off", quiet)
    tx:query("set local idle_in_transaction_session_timeout = 0", quiet)
    local snapshot = tx:value("select pg_export_snapshot()", quiet)
    local about = census.about(tx)
    local count
    local bar <close> = progress.new { label = "count" }
    task.all(function()
      tools:run("pg_dump", { "--format=custom", "--compress=" .. p.compress,
        "--snapshot=" .. snapshot, "--no-password", "--lock-wait-timeout="
        .. math.tointeger(p.lock_wait * 1000 // 1) },
        { stdout = path, timeout = p.timeout })
    end, function()
      count = census.count(tx, { timeout = p.timeout,
        each = function() bar:add(1) end })
    end)
    manifest = { format = backups.FORMAT, database = about.name,
      time = about.time, lsn = about.lsn, server_version = about.version,
      version_num = about.version_num, client_version = found.client,
      address = t.db:identity().address, system_identifier = found.system,
      timeline = found.timeline, standby = found.standby,
      database_size = about.size, database_row = about.row, owner = about.owner,
      encoding = about.encoding, settings = json.array(about.settings),
      privileges = json.array(about.privileges),
      extensions = json.array(about.extensions),
      roles = json.array(about.roles), tables = json.array(count.tables),
      rows = count.rows, objects = count.objects }
  end, { isolation = "repeatable read", readonly = true, timeout = p.timeout })
  return manifest
end

-- Read back before it counts: sizes, checksum, the archive's own table.
local function seal(folder, manifest, tools)
  local dump = folder .. "/" .. backups.DUMP
  manifest.entries = tools:list(dump, #manifest.tables).entries
  manifest.dump_size = fs.stat(dump).size
  manifest.sha256 = fs.hash(dump, "sha256", { timeout = 7200 })
  fs.write(folder .. "/" .. backups.MANIFEST, json.encode(manifest,
    { indent = 1 }) .. "\n", { mode = "0600" })
  local own = fs.hash(folder .. "/" .. backups.MANIFEST, "sha256")
  fs.write(folder .. "/" .. backups.SUMS, ("%s  %s\n%s  %s\n"):format(
    manifest.sha256, backups.DUMP, own, backups.MANIFEST), { mode = "0600" })
  sh.run { "sync", dump, timeout = 600 }
end

-- The error as it is, with what became of the backups.
local function explain(e, p, found)
  local room = fs.df(p.to).free
  local text = type(e) == "table" and ((e.message or "") .. (e.stderr or "")) or ""
  local full = text:find "No space left" or text:find "SIGXFSZ"
    or text:find "File too large" or text:find "Disk quota"
  if type(e) == "table" and e.message then
    e.message = ("%s%s; what was written of it is removed, %d older backups are as "
      .. "they were"):format(full and ("disk full in '%s' (%s free): "):format(p.to,
      mib(room)) or "", e.message, found.backups)
  end
  error(e, 0)
end

local function dump(t, p, tools, found, final)
  if fs.exists(final) then -- killed after it had its name
    local b = backups.open(final)
    local ok, why = backups.check(b)
    if not ok then fail("'%s' is there and not right: %s", final, why) end
    return { path = final, bytes = b.manifest.dump_size, rows = b.manifest.rows,
      tables = #b.manifest.tables, sha256 = b.manifest.sha256 }
  end
  local dir <close> = fs.tmpdir(p.to)
  local folder = dir .. "/" .. final:match "[^/]+$"
  local ok, e = pcall(function()
    fs.mkdir(folder, { mode = "0700" })
    local manifest = take(t, p, tools, found, folder .. "/" .. backups.DUMP)
    seal(folder, manifest, tools)
    fs.rename(folder, final)
    return manifest
  end)
  if not ok then explain(e, p, found) end
  return { path = final, bytes = e.dump_size, rows = e.rows,
    tables = #e.tables, sha256 = e.sha256 }
end

local function planned(p, tools, found, final)
  fs.mkdir(final, { expect = { ok = true } })
  tools:run("pg_dump", { "--format=custom", "--compress=" .. p.compress },
    { stdout = final .. "/" .. backups.DUMP,
    expect = { status = 0, stdout = "", stderr = "" } })
  log.info("would dump '%s' (%s) to '%s', %s free", found.database,
    mib(found.size), final, mib(found.free))
end

return {
  name = "postgres/backup",
  summary = "Dump a database: checked, with a manifest, old ones pruned",
  description = [[
    pg_dump's custom format, compressed, into DIR/NAME-TIME.pgbackup: database.dump,
    manifest.json (rows of each table and objects by kind, counted in the dump's own
    snapshot; server version, LSN, time; what the database is) and SHA256SUMS. The
    password goes by the environment. Free space and versions are checked first; the
    folder appears under its name when the dump was read back, so what has the name
    is whole. keep and days prune older backups of the same database that this
    playbook made, after the new one is there: never the newest that verify-backup
    has restored. With service= pg_dump runs where the server does (compose,
    kubernetes), as its runbooks do by exec.]],
  severity = "P3",
  tags = { "postgres", "backup" },
  runbook = "'Database Backup', 'Backup all databases', 'Backup database'",
  needs = { db = { kind = "postgres", help = "whose database is dumped" },
    orchestrator = { kind = { "compose", "kubernetes", "local" }, optional = true,
      help = "with service=: what the server runs on" } },
  params = {
    to = { type = "string", required = true, help = "folder of the backups",
      example = "/backups" },
    keep = { type = "integer", min = 1, help = "so many are kept, the new one with "
      .. "them; all when neither this nor days is given", example = 7 },
    days = { type = "number", min = 0, help = "younger ones are kept; with keep: "
      .. "one goes that is beyond both", example = 30, unit = "days" },
    compress = { type = "integer", default = 6, min = 0, max = 9,
      help = "level of the compression" },
    service = { type = "string", help = "of the orchestrator, where pg_dump is run",
      example = "postgres" },
    bin = { type = "string", help = "folder of pg_dump and pg_restore; by default "
      .. "those of the server's version", example = "/usr/lib/postgresql/16/bin" },
    lock_wait = { type = "duration", default = 60, min = 1,
      help = "for the locks on tables, at most" },
    timeout = { type = "duration", default = 7200, min = 1, help = "of the dump" },
  },
  lock = "postgres-backup",
  example = {
    "opsh plan postgres/backup to=/backups keep=7",
    "opsh run postgres/backup to=/backups keep=7 days=30 --approve local",
    "opsh run postgres/backup to=/backups service=postgres",
  },
  run = function(t, p)
    p.to = p.to:gsub("(.)/+$", "%1")
    local tools = tools_of(t.db, { bin = p.bin, service = p.service,
      orchestrator = t.orchestrator })
    local found = step("look", function() return look(t, p, tools) end)
    local now = step("name", function() -- one that nobody has yet
      local at = os.time()
      while fs.exists(p.to .. "/" .. backups.name(found.database, at)) do
        at = at + 1
      end
      return at
    end)
    local final = p.to .. "/" .. backups.name(found.database, now)
    local gone = step("retention", function() return old_ones(p, found, now) end)
    if #gone > 0 then -- asked before anything is done, not after a long dump
      guard(fs, { verb = "remove", count = #gone, sample = gone,
        unit = "old backups (and rests of runs that were killed)",
        note = "after the new one is there and was read back" })
    end
    if require("opsh.roll").is_plan() then
      planned(p, tools, found, final)
      for _, path in ipairs(gone) do fs.remove(path, { recursive = true }) end
      return
    end
    local made
    step("dump", { idempotent = true, verify = function()
      return backups.check(backups.open(final))
    end }, function()
      made = dump(t, p, tools, found, final)
      return made
    end)
    if #gone > 0 then
      step("prune", { idempotent = true, verify = function()
        for _, path in ipairs(gone) do
          if fs.exists(path) then return false, ("'%s' is there"):format(path) end
        end
        return true
      end }, function()
        for _, path in ipairs(gone) do
          if fs.exists(path) then fs.remove(path, { recursive = true }) end
        end
      end)
    end
    made = made or dump(t, p, tools, found, final)
    return { database = found.database, path = final, tables = made.tables,
      rows = made.rows, bytes = made.bytes, sha256 = made.sha256, removed = #gone,
      kept = #backups.list(p.to, found.database) }
  end,
}
