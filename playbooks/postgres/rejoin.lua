-- postgres/rejoin: brings an old primary back as a standby of the new one: its folder is
-- wound back by pg_rewind to where they parted, what it alone has is thrown away, which
-- is asked for. The server is down meanwhile, and can't come up as a primary.
local cluster = require "opsh.postgres.cluster"
local rejoin = require "opsh.postgres.rejoin"
local roll = require "opsh.roll"

local function text_of(discard, why)
  if not discard then return "not known: " .. (why or "no common timeline") end
  return ("%d bytes, %d commits, up to %s"):format(discard.bytes, discard.commits,
    discard.to)
end

local function ask(t, p, view)
  local discard = view.discard
  guard(t.orchestrator, { verb = "exec", count = discard and discard.bytes or 1,
    unit = "bytes of WAL that only the old primary has are thrown away",
    sample = { "pg_rewind of " .. view.data, text_of(discard, view.discard_why) },
    note = ("from %s, which stays as it is"):format(view.primary.address),
    ask = discard and tostring(discard.bytes) or "unknown" })
  if view.process ~= "missing" and view.process ~= "failed" then
    guard(t.orchestrator, { verb = "stop", count = 1, unit = "server",
      sample = { p.unit .. " is " .. tostring(view.process) } })
  end
end

return {
  name = "postgres/rejoin",
  summary = "Bring an old primary back as a standby of the new one (pg_rewind)",
  description = [[
    After postgres/failover. Refuses while the old primary takes writes, and for a folder
    of another cluster. Says what the old primary alone has, which pg_rewind throws away,
    and asks for that number; stops the server if it runs, makes a slot on the new
    primary, winds back, starts it, waits until it streams. Passwords come from where
    Postgres' own programs find them: the unit's PGPASSFILE.]],
  severity = "P2",
  tags = { "postgres", "failover" },
  runbook = "'Rebuild the Old Primary', 'Rejoin as a Replica'",
  lock = "postgres-failover",
  needs = {
    primary = { kind = "postgres", lock = false, help = "the new primary" },
    old = { kind = "postgres", lock = false, reach = false,
      help = "the node that was the primary" },
    orchestrator = { kind = { "local", "compose", "kubernetes" },
      help = "what runs the old one's server" },
  },
  params = {
    unit = { type = "string", default = "primary",
      help = "the old one's service in the orchestrator" },
    data = { type = "string", example = "/var/lib/postgresql/15/main",
      help = "its data folder, where it can't be asked" },
    slot = { type = "pattern", default = "rejoined",
      help = "its slot on the new primary, and its name there" },
    user = { type = "string", default = "replicator",
      help = "role to stream as" },
    source_user = { type = "string", default = "postgres",
      help = "role that pg_rewind reads the new primary as" },
    conninfo = { type = "string", example = "sslmode=verify-full",
      help = "more keywords for its primary_conninfo" },
    look = { type = "duration", default = 3, help = "for each look at a node" },
    rewind_timeout = { type = "duration", default = 600, help = "for pg_rewind" },
    timeout = { type = "duration", default = 120,
      help = "until it must stream" },
  },
  example = {
    "opsh plan postgres/rejoin data=/var/lib/postgresql/15/main",
    "opsh run postgres/rejoin data=/var/lib/postgresql/15/main "
      .. "--approve orchestrator",
  },
  run = function(t, p)
    if not p.slot:match "^[a-z0-9_]+$" then
      fail("slot '%s' must be of small letters, digits and '_'", p.slot)
    end
    local view = step("observe", function() return rejoin.look(t, p) end)
    local refuse, done = rejoin.judge(view, p.slot)
    if #refuse > 0 then fail("no rejoin: %s", table.concat(refuse, "; ")) end
    if done then
      log.info("it streams already")
      return
    end
    log.info("control file: %s, checkpoint at %s, timeline %d", view.control.state,
      view.control.checkpoint, view.control.timeline)
    ask(t, p, view)
    step("stop", { idempotent = true }, function()
      t.orchestrator:stop(p.unit)
    end)
    step("slot", { idempotent = true }, function()
      return rejoin.slot(t.primary, p.slot)
    end)
    step("checkpoint", { idempotent = true }, function()
      rejoin.checkpoint(t.primary, p.rewind_timeout)
    end)
    local wound = step("rewind", function()
      local needed = rejoin.needed(t, p, view)
      return rejoin.rewind(t, p, view.data, needed)
    end)
    step("start", { idempotent = true,
      verify = function() return rejoin.wait(t, p.slot, p.timeout) end,
    }, function() t.orchestrator:start(p.unit) end)
    if roll.is_plan() then return end
    for line in (wound.said or ""):gmatch "pg_rewind: [^\r\n]+" do log.info("%s", line) end
    local old = cluster.node("old", t.old, p.look)
    return { standby = old.address, timeline = old.timeline,
      received = old.received, slot = p.slot,
      thrown_away = text_of(view.discard, view.discard_why) }
  end,
}
