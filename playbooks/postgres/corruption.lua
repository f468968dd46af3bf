-- postgres/corruption: is the data damaged? Looks first, and only looks unless to=
-- names a folder: then the server is stopped, its folder copied as it is, and the
-- copy checked. pg_resetwal is tried on a copy, and touches the data only after the
-- copy could be read and the checkpoint that would be given up was named.
local damage = require "opsh.postgres.damage"
local is_plan = require("opsh.roll").is_plan
local tools_of = require("opsh.postgres.tools").of

local COLUMNS <const> = { "check", "verdict", "detail" }
local SIGNS <const> = 5 -- lines of the log that are shown

-- The server, when it answers; a damaged one may not.
local function reach(p)
  if p.db == "" then return nil, "not asked" end
  local db, e = try(system.target, p.db)
  if not db then return nil, e.message end
  local id
  id, e = try(db.identity, db)
  return id and db or nil, e and e.message
end

local function log_lines(t, p, db)
  if p.log then
    return sh.lines { "tail", "-n", "200000", p.log, effect = "read", max = 1 << 20 }
  elseif t.orchestrator and p.service then
    return t.orchestrator:logs(p.service, { tail = 20000 })
  end
  local path = db and try(db.value, db, "select case when pg_current_logfile() ~ '^/' "
    .. "then '' else current_setting('data_directory') || '/' end "
    .. "|| pg_current_logfile()")
  if path and try(fs.exists, path) then
    return sh.lines { "tail", "-n", "200000", path, effect = "read", max = 1 << 20 }
  end
end

local function assess(t, p)
  local rows, data = {}, p.data
  local db, why = reach(p)
  if db then
    data = data or try(db.value, db, "show data_directory")
    rows = damage.assess(db, tools_of(db, { bin = p.bin }),
      { read_all = p.read_all, timeout = p.timeout })
    table.insert(rows, 1, { check = "server", verdict = "ok",
      detail = "answers: " .. db:identity().version })
  else
    rows[1] = { check = "server", verdict = p.db == "" and "unknown" or "bad",
      detail = why }
  end
  local lines, _, _, closing = log_lines(t, p, db)
  local _ <close> = closing
  if lines then
    local signs, n = damage.signs(lines, SIGNS)
    rows[#rows + 1] = { check = "log", verdict = n > 0 and "bad" or "ok",
      detail = n > 0 and ("%d lines: %s"):format(n, table.concat(signs, " | "))
      or "no line that tells of damage" }
  else
    rows[#rows + 1] = { check = "log", verdict = "unknown", detail = "not at hand: "
      .. "log=PATH, or service= of an orchestrator" }
  end
  return { rows = rows, data = data }
end

-- --- the copy -------------------------------------------------------------------

local function stop(t, p, folder)
  if not folder:pid() and not t.orchestrator then return end
  if folder:pid() and not (t.orchestrator and p.service) then
    fail("the server of '%s' runs (process %d): stop it, or name its service= on "
      .. "target 'orchestrator'", folder.path, folder:pid())
  end
  if not folder:pid() then return end
  guard(t.orchestrator, { verb = "stop", count = 1, sample = { p.service },
    unit = "server, for the time of the copy", note = "nobody is served meanwhile" })
  step("stop", { idempotent = true, verify = function()
    return folder:pid() == nil, "its process runs"
  end }, function() t.orchestrator:stop(p.service, { expect = { ok = true } }) end)
end

local function room(p, folder)
  local r = sh.run { "du", "-sk", "--", folder.path, effect = "read",
    accept = { 0, 1 }, timeout = 600 }
  local wanted = tonumber(r.stdout:match "^%d+") * 1024
    * (p.reset_wal == "no" and 1 or 2)
  local free = fs.df(p.to).free
  if free < wanted then
    fail("'%s' has %d MiB free, what is copied of '%s' takes %d MiB", p.to, free >> 20,
      folder.path, wanted // 1 >> 20)
  end
end

-- Of a second run within the same second too: a copy never goes into an older one.
local function free_name(folder, data)
  local name = folder .. "/" .. data:match "[^/]+$"
    .. os.date "!-corrupted-%Y%m%dT%H%M%SZ"
  local to, n = name, 1
  while fs.exists(to) or fs.exists(to .. "-reset") do
    n = n + 1
    to = name .. "." .. n
  end
  return to
end

local function copy(p, folder, to)
  step("copy", { verify = function() return folder:same(to) end }, function()
    folder:copy(to, p.timeout)
  end)
end

-- --- pg_resetwal ----------------------------------------------------------------

local WARNING <const> = "pg_resetwal gives up what is only in the WAL: commits are "
  .. "lost, tables may contradict each other; after it: dump, initdb, restore"

-- On a copy of the copy: that one stays as the data was.
local function reset_copy(p, copied, checkpoint)
  local scratch = copied .. "-reset"
  guard(fs, { verb = "pg_resetwal", count = 1, ask = "reset the copy",
    sample = { scratch }, unit = "copy of the copy", note = WARNING })
  step("copy again", { verify = function()
    return damage.folder(copied, p.bin):same(scratch)
  end }, function() damage.folder(copied, p.bin):copy(scratch, p.timeout) end)
  step("reset the copy", { verify = function(rows)
    return damage.worst(rows) == "ok", "the copy can't be read: "
      .. (rows[#rows] and rows[#rows].detail or "?")
  end }, function()
    local c = damage.folder(scratch, p.bin)
    log.info("%s", c:reset_preview())
    c:reset()
    local rows = c:trial(p.superuser, p.timeout)
    show(rows, { columns = COLUMNS })
    return rows
  end)
  log.info("the copy can be read after pg_resetwal; for the data: reset_wal=data "
    .. "accept=%s", checkpoint)
end

local function reset_data(p, folder, checkpoint)
  if p.accept ~= checkpoint then
    fail("reset_wal=data gives up all after the checkpoint %s: give accept=%s when "
      .. "that is meant", checkpoint, checkpoint)
  end
  guard(fs, { verb = "pg_resetwal", count = 1, ask = "reset " .. checkpoint,
    sample = { folder.path }, unit = "data folder, the only one", note = WARNING })
  step("reset the data", { verify = function()
    local _, now = folder:check()
    return now ~= checkpoint, "its checkpoint is the same"
  end }, function() folder:reset() end)
end

local function start(t, p, folder)
  if not p.start or not (t.orchestrator and p.service) then return end
  step("start", { idempotent = true, verify = function()
    require("opsh.orchestrator").wait_ready(t.orchestrator, p.service,
      { timeout = 120 })
    return folder:pid() ~= nil, "no process serves the folder"
  end }, function() t.orchestrator:start(p.service, { expect = { ok = true } }) end)
end

local function rescue(t, p, data)
  if not data then fail("where is the data? data=PATH") end
  local folder = damage.folder(data, p.bin)
  room(p, folder)
  if p.reset_wal ~= "no" then
    local _, checkpoint = folder:check()
    if p.reset_wal == "data" and folder:pid() == nil and p.accept ~= checkpoint then
      fail("reset_wal=data gives up all after the checkpoint %s: give accept=%s "
        .. "when that is meant", checkpoint or "?", checkpoint or "?")
    end
  end
  local to = step("name", function() return free_name(p.to, data) end)
  local ran = step("runs", function() return folder:pid() ~= nil end)
  stop(t, p, folder)
  if is_plan() then
    folder:copy(to)
    if p.reset_wal ~= "no" then log.info("would run pg_resetwal on '%s'", to) end
    return
  end
  copy(p, folder, to)
  local rows, checkpoint = damage.folder(to, p.bin):check()
  show(rows, { columns = COLUMNS })
  if p.reset_wal ~= "no" then reset_copy(p, to, checkpoint) end
  if p.reset_wal == "data" then reset_data(p, folder, checkpoint) end
  if ran or p.reset_wal == "data" then start(t, p, folder) end
  return { copy = to, checkpoint = checkpoint, verdict = damage.worst(rows) }
end

return {
  name = "postgres/corruption",
  summary = "Damaged data: look, stop, copy, check; pg_resetwal last",
  description = [[
    Looks: checksum failures that the server has counted, pg_amcheck where amcheck is
    installed, every row read once, the log's lines that tell of damage. With to= the
    server is stopped (guard), its data folder copied as it is and compared, the copy
    checked by pg_controldata and pg_checksums, the server started again. It needs the
    folder on this machine. Then restore: opsh run postgres/restore. reset_wal=copy
    runs pg_resetwal on the copy only, behind a guard of its own, starts it in private
    and reads every row; reset_wal=data does that first and then the data, where
    accept= names the checkpoint that is gone back to.]],
  severity = "P0",
  tags = { "postgres", "incident" },
  runbook = "'Database Corruption'",
  needs = { orchestrator = { kind = { "compose", "kubernetes", "local" },
    optional = true, help = "what the server runs on" } },
  params = {
    db = { type = "string", default = "db", help = "target of the server; it need "
      .. "not answer; empty: not asked" },
    service = { type = "string", help = "of the orchestrator: the server",
      example = "postgres" },
    log = { type = "string", help = "the server's log",
      example = "/var/log/postgresql/main.log" },
    data = { type = "string", help = "its data folder, by default as the server "
      .. "says", example = "/var/lib/postgresql/15/main" },
    to = { type = "string", help = "folder for the copy: stops, copies, checks",
      example = "/srv/rescue" },
    read_all = { type = "boolean", default = true, help = "every row is read once" },
    reset_wal = { type = "enum", choices = { "no", "copy", "data" }, default = "no",
      help = "pg_resetwal, the last resort" },
    accept = { type = "string", help = "with reset_wal=data: location of the last "
      .. "checkpoint, as shown", example = "0/1CB8118" },
    superuser = { type = "string", default = "postgres",
      help = "who looks at the copy" },
    start = { type = "boolean", default = true, help = "false: stays stopped" },
    bin = { type = "string", help = "folder of Postgres' programs" },
    timeout = { type = "duration", default = 7200, min = 1, help = "of each look" },
  },
  lock = "postgres-corruption",
  example = {
    "opsh run postgres/corruption log=/var/log/postgresql/main.log",
    "opsh run postgres/corruption service=postgres to=/srv/rescue "
      .. "--approve orchestrator",
  },
  run = function(t, p)
    local found = step("look", function() return assess(t, p) end)
    show(found.rows, { columns = COLUMNS })
    if p.to then return rescue(t, p, found.data) end
    damage.demand(found.rows)
  end,
}
