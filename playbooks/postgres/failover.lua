-- postgres/failover: makes a standby the primary of a streaming pair, planned or because
-- the primary is dead. Nothing is promoted before the old primary is fenced, seen from
-- two sides; what is not known stops it. The old one comes back by postgres/rejoin.
local failover = require "opsh.postgres.failover"
local fence = require "opsh.postgres.fence"
local judge = require "opsh.postgres.judge"
local patroni = require "opsh.postgres.patroni"
local promote = require "opsh.postgres.promote"

local function look(f)
  local view = step("observe", function() return failover.look(f) end)
  failover.take(f, view)
  show(failover.rows(view), { columns = { "node", "role", "address", "version",
    "timeline", "lsn", "replayed", "state" } })
  for _, v in ipairs(view.vantages or {}) do
    log.info("%s: %s", v.name, v.why)
  end
  return view
end

-- Refuses, or gives the verdict.
local function decide(view)
  local verdict = judge.failover(view)
  for _, text in ipairs(verdict.warn) do log.warn("%s", text) end
  if #verdict.refuse > 0 then
    fail("no failover: %s", table.concat(verdict.refuse, "; "))
  end
  return verdict
end

-- The pooler's file is replaced.
local function ask_pooler(f)
  local path = f.p.pooler_config
  local n = path and f.t.pooler and select(2, failover.pooler_file(f, path)) or 0
  if n == 0 then return end
  guard(fs, { verb = "write", count = n, unit = "databases of the pooler",
    sample = { path } })
end

-- Asks for what only a reader of the screen can type: the loss in an emergency, else
-- the primary's name. Gives how many bytes were agreed to; nil: any.
local function ask(f, view)
  local t, p = f.t, f.p
  local emergency = p.mode == "emergency"
  local loss = view.loss
  local nodes = { ("%s becomes the primary, at %s, timeline %d"):format(
    view.standby.address, view.standby.replayed, view.standby.timeline) }
  local how = guard(t.standby, { verb = "pg_promote", count = loss.bytes or 0,
    unit = emergency and "bytes of WAL are lost at most: " .. judge.loss_text(loss)
      or "bytes of WAL to catch up; nothing is lost",
    sample = nodes, note = p.mode .. ", fence: " .. failover.how(f),
    ask = emergency and tostring(loss.bytes or "unknown")
      or (view.primary.settings or {}).cluster_name ~= ""
      and view.primary.settings.cluster_name or "primary" })
  if how == "approve" and emergency then
    local ok, why = judge.loss_accepted(loss, p.max_loss)
    if not ok then fail("%s: give max_loss=BYTES to accept it", why) end
  elseif how == "plan" and emergency then
    local ok, why = judge.loss_accepted(loss, p.max_loss)
    if not ok then log.warn("%s: a run asks for it, or needs max_loss=", why) end
  end
  if failover.how(f) ~= "pooler" then
    guard(t.orchestrator, { verb = "stop", count = 1, unit = "server",
      sample = { p.unit }, note = "kept from starting as a primary by standby.signal" })
  end
  ask_pooler(f)
  if p.max_loss == -1 then return nil end
  return math.max(p.max_loss or 0, loss.bytes or 0)
end

-- What is taken back when it is given up before the promotion was sent: a planned
-- failover leaves the primary as it was.
local function giving_up(f, state)
  return setmetatable({}, { __close = function()
    if state.sent or not state.fencing or fence.is_plan() then return end
    if f.p.mode ~= "planned" then
      log.warn("given up: the fence stays (%s)", failover.how(f))
      return
    end
    log.warn "given up: the primary is started again"
    for _, text in ipairs(fence.lift(f.fence, failover.how(f))) do
      log.error("could not be taken back: %s", text)
    end
  end })
end

local function take_over(f, view, verdict, accepted)
  local t, p = f.t, f.p
  local state = {}
  local _ <close> = giving_up(f, state)
  state.fencing = true
  local fenced = { why = "as in the run before" }
  fenced.from = step("fence", { idempotent = true,
    verify = function()
      local holds, why = failover.fenced(f)
      fenced.why = why
      return holds, why
    end,
  }, function() return failover.fence(f) end)
  local loss = { bytes = 0, commits = 0, seconds = 0 }
  if p.mode == "planned" then
    step("catch up", { idempotent = true }, function()
      return failover.catch_up(f)
    end)
  else
    loss = step("loss", { idempotent = true }, function()
      return failover.measure(f, view, accepted)
    end)
  end
  if verdict.clear_sync then
    step("synchronous_standby_names", { idempotent = true }, function()
      failover.clear_sync(t.standby)
      return verdict.clear_sync
    end)
  end
  local before = step("before", function() return failover.before(f, view) end)
  step("promote", {
    probe = function()
      state.sent = true
      return (promote.probe(t.standby, before, p.promote_timeout))
    end,
    verify = function() return failover.promoted(f, before) end,
  }, function()
    -- once it may have been sent, nothing is taken back
    return failover.promote(f, before, function(yes) state.sent = yes end)
  end)
  state.sent = true -- also when it was done in the run that is resumed
  return before, fenced, loss
end

-- What Patroni manages is promoted by Patroni, which fences in its own way.
local function by_patroni(f, view)
  local t, p = f.t, f.p
  local seen = step("patroni", function() return patroni.cluster(t.patroni) end)
  local from = patroni.member(seen, fence.address(t.primary))
  local to = patroni.member(seen, fence.address(t.standby))
  local refuse = patroni.judge(seen, from, to, p.mode)
  if #refuse > 0 then fail("no failover: %s", table.concat(refuse, "; ")) end
  local loss = view.loss
  local how = guard(t.patroni, { verb = "POST", count = loss.bytes or 0,
    unit = "bytes of WAL that only the primary has: " .. judge.loss_text(loss),
    sample = { ("%s becomes the leader"):format(to.name) },
    note = p.mode .. ", by Patroni", ask = p.mode == "emergency"
      and tostring(loss.bytes or "unknown") or from.name })
  if how == "approve" and p.mode == "emergency" then
    local ok, why = judge.loss_accepted(loss, p.max_loss)
    if not ok then fail("%s: give max_loss=BYTES to accept it", why) end
  end
  local before = step("before", function() return failover.before(f, view) end)
  local fenced = { from = t.standby:value
    "select extract(epoch from clock_timestamp())::float8", why = "by Patroni" }
  step("switch", {
    probe = function() return (patroni.probe(t.patroni, to, p.promote_timeout)) end,
    verify = function() return failover.settled(f, before) end,
  }, function()
    return patroni.switch(t.patroni, from, to, p.mode, p.promote_timeout)
  end)
  if p.mode == "planned" then loss = { bytes = 0, commits = 0, seconds = 0 } end
  return before, fenced, loss
end

local function lead(f, before, run)
  local t, p = f.t, f.p
  if t.pooler then
    step("lead the pooler", { idempotent = true,
      verify = function() return failover.led(f) end,
    }, function() return failover.lead_pooler(f) end)
  end
  for _, name in ipairs(p.siblings or {}) do
    step("lead " .. name, { idempotent = true }, function()
      failover.lead_sibling(f, f.siblings[name])
    end)
  end
  if fence.is_plan() then
    log.info "then a row is written through the application's way and read back"
    return nil
  end
  return step("prove", { idempotent = true,
    verify = function()
      local names = failover.scan(f)
      return #names == 1 and names[1] == "standby", #names > 1
        and "ALARM: two nodes take writes: " .. table.concat(names, " and ")
        or "the new primary does not take writes"
    end,
  }, function() return failover.prove(f, before, run) end)
end

local function report(f, view, before, fenced, loss, proof)
  local from = before.last_commit or fenced.from
  if f.p.mode == "planned" then from = math.max(from, fenced.from) end
  log.info("%s", f.t.patroni and "Patroni brings the old primary back by itself"
    or "bring the old primary back: opsh run postgres/rejoin")
  return { primary = view.standby.address,
    timeline = before.reached or before.timeline + 1,
    promoted_at = before.replayed, proof = proof.way .. " at " .. proof.address,
    lost_bytes = loss.bytes, lost_commits = loss.commits,
    lost = judge.loss_text(loss), fenced = fenced.why,
    write_gap = math.max(0, math.floor((proof.at - from) * 1000 + 0.5) / 1000) }
end

return {
  name = "postgres/failover",
  summary = "Make the standby the primary: planned, or after the primary's death",
  description = [[
    Looks at all nodes, judges, says what would be lost, fences the primary (pooler
    paused, server stopped and kept from starting as a primary), verifies that from two
    sides, promotes, leads pooler and siblings to the new primary, and proves it by a
    write through the application's own connection. mode=emergency is for a primary that
    nobody has seen alive for `silence` seconds; it asks for the loss in bytes.
    Given up before the promotion, a planned failover starts the primary again.]],
  severity = "P0",
  tags = { "postgres", "incident", "failover" },
  runbook = "'Database Failover', 'Promote the Replica', 'Primary Down'",
  lock = "postgres-failover",
  needs = {
    primary = { kind = "postgres", lock = false, reach = false,
      help = "the node that is the primary" },
    standby = { kind = "postgres", lock = false, help = "the node to promote" },
    orchestrator = { kind = { "local", "compose", "kubernetes" }, optional = true,
      reach = false, help = "what can stop the primary" },
    patroni = { kind = "http", optional = true, reach = false,
      help = "REST of a Patroni that manages the pair: it fences and promotes" },
    pooler = { kind = "postgres", optional = true, lock = false,
      help = "pgbouncer's admin console" },
    app = { kind = "postgres", optional = true, lock = false, reach = false,
      help = "the application's own way: the proof goes through it" },
  },
  params = {
    mode = { type = "enum", choices = { "planned", "emergency" },
      default = "planned", help = "emergency: the primary is dead" },
    max_loss = { type = "integer", min = -1, unit = "bytes", example = "65536",
      help = "WAL that may be lost without a terminal to ask at; -1: any" },
    fence = { type = "enum", choices = { "auto", "both", "stop", "pooler" },
      default = "auto", help = "what keeps the old primary from writes" },
    unit = { type = "string", default = "primary",
      help = "the primary's service in the orchestrator" },
    standby_unit = { type = "string",
      help = "the standby's: its disk is looked at" },
    data = { type = "string", example = "/var/lib/postgresql/15/main",
      help = "the primary's data folder, where it can't be asked" },
    databases = { type = "list", help = "of the pooler (those that lead to the "
      .. "primary)" },
    pooler_config = { type = "string", example = "/etc/pgbouncer/databases.ini",
      help = "the pooler's file of databases, to be rewritten" },
    siblings = { type = "list", help = "targets of other standbys" },
    max_lag = { type = "integer", default = 16777216, min = 0, unit = "bytes",
      help = "that a planned one may have to catch up" },
    silence = { type = "duration", default = 10, min = 1,
      help = "nobody has seen the primary for so long" },
    look = { type = "duration", default = 3, help = "for each look at a node" },
    fence_timeout = { type = "duration", default = 20,
      help = "for the fence to hold; else nothing is promoted" },
    catch_up = { type = "duration", default = 60,
      help = "for the standby to replay the rest" },
    promote_timeout = { type = "duration", default = 60,
      help = "for the promotion" },
    prove_timeout = { type = "duration", default = 30,
      help = "for a write to get through" },
  },
  example = {
    "opsh plan postgres/failover",
    "opsh run postgres/failover --approve standby --approve orchestrator",
    "opsh run postgres/failover mode=emergency max_loss=65536 data=/var/lib/pg/main",
  },
  run = function(t, p)
    local siblings = {}
    for _, name in ipairs(p.siblings or {}) do
      siblings[name] = system.target(name)
    end
    local f = failover.new(t, p, siblings)
    local view = look(f)
    local verdict = decide(view)
    local run = tostring(os.time())
    if verdict.done then
      log.warn "the standby is a primary already: what follows it is done"
      ask_pooler(f)
      local proof = lead(f, { system_identifier = view.standby.system_identifier },
        run)
      return proof and { primary = view.standby.address,
        timeline = view.standby.timeline,
        proof = proof.way .. " at " .. proof.address }
    end
    local before, fenced, loss
    if t.patroni then
      before, fenced, loss = by_patroni(f, view)
    else
      local accepted = ask(f, view)
      before, fenced, loss = take_over(f, view, verdict, accepted)
    end
    local proof = lead(f, before, run)
    if proof then return report(f, view, before, fenced, loss, proof) end
  end,
}
