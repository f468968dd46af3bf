-- postgres/restore: a backup into a new database, counted there, then put in the
-- place of the one that serves by renaming both. That one stays under another name
-- until it is dropped by a run of its own; back= puts it back. Services are stopped
-- only for the swap.
local backups = require "opsh.postgres.backups"
local census = require "opsh.postgres.census"
local is_plan = require("opsh.roll").is_plan
local orchestrator = require "opsh.orchestrator"
local rebuild = require "opsh.postgres.rebuild"
local swap = require "opsh.postgres.swap"
local tools_of = require("opsh.postgres.tools").of

local function closing(client)
  return setmetatable({}, { __close = function() client:close() end })
end

local function stamp() return os.date "!%Y%m%dT%H%M%S" end

-- --- the services that use it -------------------------------------------------

local function ask_services(t, p)
  if #p.stop == 0 then return end
  if not t.orchestrator then fail("stop= needs a target 'orchestrator'") end
  local sample = {}
  for _, row in ipairs(t.orchestrator:status(p.stop)) do
    if row.state == "running" then sample[#sample + 1] = row.name end
  end
  guard(t.orchestrator, { verb = "stop", count = #sample, sample = sample,
    unit = "running instances, for the time of the swap" })
end

local function stop_services(t, p)
  if #p.stop == 0 then return end
  step("stop services", { idempotent = true, verify = function()
    for _, row in ipairs(t.orchestrator:status(p.stop)) do
      if row.state == "running" then return false, row.name .. " runs" end
    end
    return true
  end, undo = function() t.orchestrator:start(p.stop) end }, function()
    t.orchestrator:stop(p.stop, { expect = { ok = true } })
  end)
end

local function start_services(t, p)
  if #p.stop == 0 then return end
  step("start services", { idempotent = true, verify = function()
    orchestrator.wait_ready(t.orchestrator, p.stop, { timeout = p.wait })
    return true
  end }, function()
    t.orchestrator:start(p.stop, { expect = { ok = true } })
  end)
end

-- --- putting one in the place of another --------------------------------------

-- Asks for the swap and for the sessions that it ends.
local function ask(t, p, admin, live, kept, note)
  local sessions = swap.sessions(admin, live)
  guard(admin, { verb = "ALTER DATABASE", count = 1, ask = live,
    sample = { ("%s -> %s"):format(live, kept) }, unit = "database replaced",
    note = note })
  guard(admin, { verb = "pg_terminate_backend", count = math.max(1, #sessions),
    sample = sessions, unit = ("sessions on '%s' now, to be ended, "
    .. "and those that come"):format(live) })
  ask_services(t, p)
end

local function put(t, p, admin, live, new, kept)
  stop_services(t, p)
  local oid = step("which", function() return swap.oid(admin, new) end)
  local function applied() return swap.oid(admin, live) == oid end
  step("swap", {
    probe = applied,
    verify = function()
      return applied() and rebuild.exists(admin, kept),
        ("'%s' is not the new database"):format(live)
    end,
    undo = function() swap.swap(admin, live, kept, new) end,
  }, function()
    if oid and applied() then return end -- resumed: it is done
    swap.swap(admin, live, new, kept)
  end)
  start_services(t, p)
end

-- --- the modes ------------------------------------------------------------------

local function pick(p)
  if p.from:match "%.pgbackup/*$" then return backups.open(p.from) end
  local list = backups.list(p.from, p.database)
  if #list == 0 then fail("there is no backup in '%s'", p.from) end
  for _, b in ipairs(list) do
    if b.manifest.database ~= list[1].manifest.database then
      fail("'%s' has backups of '%s' and of '%s': say which by database=", p.from,
        list[1].manifest.database, b.manifest.database)
    end
  end
  return list[1]
end

local function fill(t, p, tools, b, name)
  local m, opts = b.manifest, { owners = p.owners, jobs = p.jobs,
    timeout = p.timeout }
  step("restore", { idempotent = true, verify = function()
    local differences = rebuild.compare(t.db, name, m, { timeout = p.timeout })
    return #differences == 0, ("'%s' is not what was dumped: %s; it stays to be "
      .. "looked at"):format(name, census.text(differences))
  end }, function()
    if rebuild.exists(t.db, name) then rebuild.drop(t.db, name) end
    rebuild.create(t.db, name, m, opts)
    rebuild.fill(tools, name, b.path .. "/" .. backups.DUMP, opts)
    rebuild.dress(t.db, name, m, opts)
  end)
  step("analyze", { idempotent = true, verify = function() return true end },
    function()
      local other = t.db:database(name)
      local _ <close> = closing(other)
      other:exec("analyze", { timeout = p.timeout })
    end)
end

local function restore(t, p, admin)
  local tools = tools_of(t.db, { bin = p.bin, service = p.service,
    orchestrator = t.orchestrator })
  local b = backups.open(step("pick", function() return pick(p).path end))
  local m, live = b.manifest, p.into or b.manifest.database
  log.info("backup of %s%s", rebuild.summary(m), b.verified
    and ", verified " .. b.verified or ", never verified by a restore")
  step("check", function()
    local ok, why = backups.check(b)
    if not ok then fail("%s", why) end
    return tools:list(b.path .. "/" .. backups.DUMP)
  end)
  local against, notes = rebuild.against(t.db, tools, m, { owners = p.owners })
  for _, note in ipairs(notes) do log.warn("%s", note) end
  rebuild.refuse(against)
  local at = step("names", function()
    local there = rebuild.exists(t.db, live)
    if there and p.into then fail("there is a database '%s' already", live) end
    local now = stamp()
    return { new = there and swap.name(live, "_new_" .. now) or live,
      kept = there and swap.name(live, "_before_" .. now) or nil }
  end)
  if at.kept then
    ask(t, p, admin, live, at.kept, ("what is in '%s' now goes out of service; it "
      .. "stays as '%s'. It gets the state of %s"):format(live, at.kept, m.time))
  end
  -- a rest of this run, under a name that only it has, is made again on resume
  if t.db:value("select true from pg_database where datname = $1", at.new) then
    guard(t.db, { verb = "DROP DATABASE", count = 1, sample = { at.new },
      unit = "database that this run began to restore" })
  end
  if is_plan() then
    rebuild.create(t.db, at.new, m, { owners = p.owners })
    rebuild.fill(tools, at.new, b.path .. "/" .. backups.DUMP, { owners = p.owners })
    if at.kept then swap.swap(admin, live, at.new, at.kept) end
    return
  end
  fill(t, p, tools, b, at.new)
  if at.kept then put(t, p, admin, live, at.new, at.kept) end
  return { database = live, rows = m.rows, tables = #m.tables, from = b.path,
    kept = at.kept, back = at.kept and ("opsh run postgres/restore back=%s")
    :format(at.kept), drop = at.kept and ("opsh run postgres/restore drop=%s")
    :format(at.kept) }
end

-- The one that was kept serves again.
local function back(t, p, admin)
  local kind, live = swap.kind(p.back)
  live = p.database or live
  if kind ~= "before" and kind ~= "after" or not rebuild.exists(admin, p.back) then
    fail("'%s' is no database that a restore has kept", p.back)
  elseif not rebuild.exists(admin, live) then
    fail("there is no database '%s': name it by database=", live)
  end
  local away = step("names", function() return swap.name(live, "_after_" .. stamp())
  end)
  ask(t, p, admin, live, away, ("'%s' takes its place again"):format(p.back))
  if is_plan() then return swap.swap(admin, live, p.back, away) end
  put(t, p, admin, live, p.back, away)
  return { database = live, kept = away }
end

local function drop(p, admin)
  if not swap.kind(p.drop) then
    fail("'%s' is no name that restore or verify-backup gave", p.drop)
  end
  local size = admin:value("select pg_size_pretty(pg_database_size(datname)) "
    .. "from pg_database where datname = $1", p.drop)
  if not size then fail("there is no database '%s'", p.drop) end
  guard(admin, { verb = "DROP DATABASE", count = 1, ask = p.drop,
    sample = swap.sessions(admin, p.drop), unit = "database of " .. size })
  step("drop", { idempotent = true, verify = function()
    return not rebuild.exists(admin, p.drop), "it is still there"
  end }, function() rebuild.drop(admin, p.drop) end)
  return { dropped = p.drop }
end

return {
  name = "postgres/restore",
  summary = "Restore a backup beside the database, count it, then swap",
  description = [[
    The backup (or the newest in a folder) is restored into a new database, whose
    rows and objects are compared with the manifest. With into= that is all. Else it
    takes the place of the database it is of: the services named by stop= are
    stopped, sessions are ended, both are renamed in one transaction, the services
    are started and waited for. What was there stays as NAME_before_TIME; back= puts
    it back, drop= removes it, each with a guard. A failure before the swap leaves
    the serving database as it was.]],
  severity = "P1",
  tags = { "postgres", "backup", "incident" },
  runbook = "'Restore from backup', 'Database Restore', 'Database Recovery'",
  needs = { db = { kind = "postgres", role = "primary", help = "the server" },
    orchestrator = { kind = { "compose", "kubernetes", "local" }, optional = true,
      help = "with stop= or service=" } },
  params = {
    from = { type = "string", help = "a backup, or the folder of backups",
      example = "/backups" },
    database = { type = "string", help = "of which database" },
    into = { type = "string", help = "a new database; nothing is replaced",
      example = "flights_old" },
    back = { type = "string", help = "NAME_before_TIME takes its place again" },
    drop = { type = "string", help = "NAME_before_TIME (or _after_, _new_, of a "
      .. "verify-backup that was killed) is dropped" },
    stop = { type = "list", default = {}, help = "services that are stopped for "
      .. "the swap", example = "gateway,booking" },
    owners = { type = "boolean", default = true, help = "false: all belongs to the "
      .. "role that restores, no privileges" },
    jobs = { type = "integer", default = 2, min = 1, max = 64,
      help = "of pg_restore at once" },
    service = { type = "string", help = "of the orchestrator, where pg_restore is "
      .. "run", example = "postgres" },
    bin = { type = "string", help = "folder of pg_restore" },
    wait = { type = "duration", default = 120, min = 1,
      help = "until the services are ready" },
    timeout = { type = "duration", default = 7200, min = 1, help = "of the restore" },
  },
  lock = "postgres-restore",
  example = {
    "opsh plan postgres/restore from=/backups",
    "opsh run postgres/restore from=/backups stop=gateway --approve db "
      .. "--approve orchestrator",
    "opsh run postgres/restore from=/backups into=flights_old",
  },
  run = function(t, p)
    local modes = (p.from and 1 or 0) + (p.back and 1 or 0) + (p.drop and 1 or 0)
    if modes ~= 1 then fail("give one of from=, back= and drop=") end
    if p.into and not p.from then fail("into= goes with from=") end
    local admin = swap.admin(t.db)
    local _ <close> = closing(admin)
    if p.back then return back(t, p, admin) end
    if p.drop then return drop(p, admin) end
    return restore(t, p, admin)
  end,
}
