-- postgres/tune: one setting of the server, by ALTER SYSTEM: what it is, where that
-- comes from and what stands over it, before; what it takes until it counts; the value
-- after, read back; whether it waits for a restart. Undone by what stood there before.
local settings = require "opsh.postgres.settings"

local function get(db, p)
  local s = settings.get(db, p.setting)
  if not s then
    fail("there is no setting '%s'; like it: %s", p.setting,
      table.concat(settings.similar(db, p.setting), ", "))
  end
  return s
end

local function show_setting(s)
  local takes, words = settings.takes(s)
  show({ setting = s.name, value = s.value, unit = s.unit, from = s.source
    .. (s.file and " (" .. s.file .. ")" or ""), in_auto_conf = s.auto or "no",
    default = s.boot, range = s.min and s.min .. " to " .. s.max
    or s.choices and table.concat(s.choices, ", ") or nil,
    takes = takes .. ": " .. words, waits_for_restart = s.pending,
    about = s.description })
  for _, over in ipairs(s.over) do
    log.warn("for %s it is '%s', whatever the server has", over.where, over.value)
  end
end

local function check(s, p)
  if settings.takes(s) == "never" then
    fail("'%s' can't be set: %s", s.name, select(2, settings.takes(s)))
  end
  local why = p.value and settings.wrong(s, p.value)
  if why then fail("'%s' is wrong for '%s': %s", p.value, s.name, why) end
  if s.source == "command line" or s.source == "environment variable" then
    log.warn("'%s' is given to the server by its %s, which stands over ALTER "
      .. "SYSTEM", s.name, s.source)
  end
end

local function ask(t, s, p)
  local takes = settings.takes(s)
  local danger = settings.dangers[s.name]
  local to = p.value and "'" .. p.value .. "'" or "what the other files say"
  guard(t.db, { verb = p.value and "alter system set" or "alter system reset",
    ask = s.name, count = 1, unit = "setting",
    sample = { ("%s: '%s' -> %s"):format(s.name, s.value, to) },
    note = (danger and "CAREFUL: " .. danger .. "\n            " or "")
      .. (takes == "restart" and "it waits for a restart, which is not done here"
      or p.reload and "the server is told to reload" or "reload=false: it waits "
      .. "for a reload") })
end

local function reload(db)
  db:exec("select pg_reload_conf()", { expect = { count = 1 } })
end

-- A reload is a signal: the server reads its files a moment later. A session sees
-- the new value with its next statement.
local function settled(db, name, is_it)
  local until_ = task.now() + 5
  while true do
    local now = settings.get(db, name)
    if is_it(now) or task.now() >= until_ then return now, is_it(now) end
    task.sleep(0.1)
  end
end

local function change(t, s, p)
  local takes = settings.takes(s)
  local now
  step("alter system", {
    idempotent = true,
    probe = function()
      local auto = settings.get(t.db, s.name)
      if auto.auto_hidden then return nil end
      return auto.auto ~= s.auto or nil
    end,
    verify = function()
      local it = settings.get(t.db, s.name)
      if it.auto_hidden then return true end
      return (it.auto ~= nil) == (p.value ~= nil)
        and (not p.value or it.auto == p.value or p.value:find "," ~= nil),
        ("postgresql.auto.conf says '%s'"):format(it.auto or "nothing")
    end,
    undo = function()
      if s.auto_hidden then
        fail("this role may not see what postgresql.auto.conf held for '%s'", s.name)
      end
      t.db:exec(settings.statement(s.name, s.auto))
      if p.reload then reload(t.db) end
    end,
  }, function()
    t.db:exec(settings.statement(s.name, p.value),
      { expect = { command = "ALTER SYSTEM" } })
  end)
  if p.reload then
    step("reload", {
      idempotent = true,
      verify = function()
        local well
        now, well = settled(t.db, s.name, function(it)
          return takes == "restart" and (it.pending or it.raw == s.raw)
            or it.source == "configuration file" or not p.value
            or #s.over > 0 or s.source == "command line"
        end)
        return well, ("it is '%s', from %s"):format(now.value, now.source)
      end,
    }, function() reload(t.db) end)
  end
  return now
end

return {
  name = "postgres/tune",
  summary = "A setting by ALTER SYSTEM: before and after, pending restart",
  description = [[
    With setting= alone it shows: the value and where it comes from, what it
    takes to change it, what stands over it for a database or a role. With
    value= it sets it, with reset=true it takes it out of postgresql.auto.conf,
    and tells the server to reload. What needs a restart is said, and not done:
    services/restart does.

    When a later step fails, or with --undo, what postgresql.auto.conf held
    before is put back. Needs a superuser, or GRANT ALTER SYSTEM ON PARAMETER.]],
  severity = "P2",
  tags = { "postgres" },
  runbook = "saga 'Configuration Tuning'",
  needs = { db = { kind = "postgres", help = "whose setting" } },
  params = {
    setting = { type = "string", required = true, pattern = "[%w_.]+",
      help = "which", example = "work_mem" },
    value = { type = "string", help = "with its unit, as in postgresql.conf",
      example = "64MB" },
    reset = { type = "boolean", default = false,
      help = "take it out again: what the other files say counts" },
    reload = { type = "boolean", default = true,
      help = "tell the server to read its files" },
  },
  checks = { { "one of them", function(_, p)
    if p.value and p.reset then
      return false, "give value=... or reset=true, not both"
    end
  end } },
  example = {
    "opsh run postgres/tune setting=work_mem",
    "opsh plan postgres/tune setting=work_mem value=64MB",
    "opsh run postgres/tune setting=max_connections value=200 --approve db",
  },
  run = function(t, p)
    local s = get(t.db, p)
    show_setting(s)
    if not p.value and not p.reset then return end
    check(s, p)
    if p.reset and not s.auto and not s.auto_hidden then
      log.info("postgresql.auto.conf does not set '%s': nothing to do", s.name)
      return
    end
    ask(t, s, p)
    local now = change(t, s, p)
    if not now then return end
    if now.pending then
      log.warn("'%s' waits for a restart of the server", now.name)
    end
    local undo = s.auto and ("value='%s'"):format(s.auto) or "reset=true"
    return { setting = s.name, before = s.value, after = now.value,
      in_auto_conf = now.auto or "no", from = now.source,
      waits_for_restart = now.pending,
      undo = s.auto_hidden and "not known: this role may not see what was there"
        or ("opsh run postgres/tune setting=%s %s"):format(s.name, undo) }
  end,
}
