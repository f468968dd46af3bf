-- postgres/terminate: ends sessions that are idle or run too long, by age and state
-- and owner, and shows them first. Each is looked at again in the statement that ends
-- it: another session on that pid, or one that went on working, is left alone. Opsh's
-- own sessions, replication and the server's own processes never.
local activity = require "opsh.postgres.activity"

local STATES <const> = {
  idle = { "idle" },
  ["idle-in-transaction"] = { "idle in transaction",
    "idle in transaction (aborted)" },
  active = { "active", "fastpath function call" },
  any = { "idle", "idle in transaction", "idle in transaction (aborted)",
    "active", "fastpath function call" },
}

-- $1 pid, $2 its start, $3 its last change of state, in microseconds. What was
-- found is what is ended, or nothing is: a statement that ended since then changed
-- the state, a pid that another has got now has another start.
local SAME <const> = [[
from pg_stat_activity where pid = $1
  and (extract(epoch from backend_start) * 1000000)::int8 = $2
  and (extract(epoch from state_change) * 1000000)::int8 = $3
  and pid <> pg_backend_pid() and backend_type = 'client backend']]
local END <const> = {
  terminate = "select pg_terminate_backend(pid) as sent " .. SAME,
  cancel = "select pg_cancel_backend(pid) as sent " .. SAME,
}

local VERB <const> = { terminate = "pg_terminate_backend",
  cancel = "pg_cancel_backend" } -- as the boundary names these calls

local function rows_of(chosen, width)
  local rows = {}
  for n, s in ipairs(chosen) do
    rows[n] = { pid = s.pid, user = s.user, database = s.database,
      application = s.application, client = s.client, state = s.state,
      since = activity.span(s.since), seconds = s.since, blocks = s.blocks,
      transaction = activity.span(s.transaction_age),
      query = activity.one_line(s.query, width) }
  end
  return rows
end

local function find(db, p)
  local older = p.older
  return activity.choose(activity.sessions(db), { states = STATES[p.state],
    older = older, user = p.user, database = p.database,
    application = p.application, client = p.client, pid = p.pid,
    blocking = p.blocking })
end

local function tell_left(left)
  local parts, all = {}, 0
  for why, n in pairs(left) do
    parts[#parts + 1], all = n .. " " .. why, all + n
  end
  table.sort(parts)
  if all > 0 then
    log.info("%d more are left alone: %s", all, table.concat(parts, ", "))
  end
end

-- Those that this role may not end: they are counted before anybody is asked.
local function may_end(db, chosen)
  local me = db:one [[
    select (select rolsuper from pg_roles where rolname = current_user)
        as super,
      pg_has_role('pg_signal_backend', 'member') as signal]]
  local out, refused, mine = {}, 0, {}
  for _, row in ipairs(db:query [[select rolname from pg_roles
    where pg_has_role(oid, 'member')]]) do
    mine[row.rolname] = true
  end
  for _, s in ipairs(chosen) do
    if me.super or not s.super and (me.signal or mine[s.user]) then
      out[#out + 1] = s
    else
      refused = refused + 1
    end
  end
  if refused > 0 then
    log.warn("%d that fit can't be ended by this role: grant pg_signal_backend "
      .. "to it (a superuser's sessions need a superuser)", refused)
  end
  return out
end

local function ask(t, p, chosen)
  local sample, most = {}, 0
  for n, s in ipairs(chosen) do
    sample[n] = ("%d %s@%s %s %s since %s: %s"):format(s.pid, s.user or "?",
      s.database or "", s.application or "", s.state, activity.span(s.since),
      activity.one_line(s.query, 60))
    most = math.max(most, s.blocks)
  end
  return guard(t.db, { verb = VERB[p.action], count = #chosen, sample = sample,
    unit = #chosen == 1 and "session" or "sessions",
    note = (p.action == "cancel" and "their statements end, they stay connected"
      or "what they did not commit is rolled back")
      .. (most > 0 and ("; %d wait for one of them"):format(most) or "") })
end

-- Ends one; true when it was still the same.
local function end_one(db, s, p)
  local reply = db:exec(END[p.action], s.pid, s.started, s.changed,
    { expect = { count = 1, rows = { { sent = true } } } })
  return reply.rows[1] ~= nil and reply.rows[1].sent
end

-- Those of `sent` that are there still, by pid and start.
local function remaining(db, sent)
  local there, left = {}, {}
  for _, s in ipairs(activity.sessions(db)) do there[s.pid] = s end
  for _, s in ipairs(sent) do
    local now = there[s.pid]
    if now and now.started == s.started then left[#left + 1] = now end
  end
  return left
end

-- A session ends when its process sees the signal: waits for that.
local function gone(db, p, sent)
  if p.action == "cancel" then return true end
  local until_ = task.now() + p.wait
  while true do
    local left = remaining(db, sent)
    if #left == 0 then return true end
    if task.now() >= until_ then
      return false, ("%d of %d are still there, pid %d first: %s"):format(
        #left, #sent, left[1].pid, left[1].wait or left[1].state or "?")
    end
    task.sleep(0.1)
  end
end

local function check(_, p)
  if p.action == "cancel" and p.state ~= "active" then
    return false, "action=cancel is for statements that run: state=active"
  end
  for _, pid in ipairs(p.pid or {}) do
    if not math.tointeger(pid) then
      return false, ("'%s' is no pid"):format(pid)
    end
  end
end

return {
  name = "postgres/terminate",
  summary = "End idle or long-running sessions, shown first, count asked",
  description = [[
    Finds client sessions that have been in a state for longer than `older`
    (idle ones since they became idle, active ones since their statement began),
    shows them, and asks with their number. Each one is compared again, by pid,
    start and last change of state, in the very statement that ends it: who
    began to work meanwhile stays. Then it waits until they are gone (exit 15
    when one is not).

    Never: sessions of opsh itself, replication, the server's own processes.
    action=cancel ends only the statement of active ones.]],
  severity = "P2",
  tags = { "postgres", "incident" },
  runbook = "saga 'Database Connection Issues', festivals 'connection pool "
    .. "exhausted'",
  needs = { db = { kind = "postgres", help = "whose sessions are ended" } },
  params = {
    state = { type = "enum", default = "idle", choices = { "idle",
      "idle-in-transaction", "active", "any" }, help = "which they are in" },
    older = { type = "duration", required = true, min = 0,
      help = "in that state for at least so long", example = "10m" },
    user = { type = "list", help = "only of these", example = "app" },
    database = { type = "list", help = "only in these" },
    application = { type = "list", help = "only with these names" },
    client = { type = "list", help = "only from these addresses ('local': by "
      .. "the socket)" },
    pid = { type = "list", help = "only these", example = "4711,4712" },
    blocking = { type = "boolean", default = false,
      help = "only those that others wait for" },
    max = { type = "integer", default = 500, min = 1,
      help = "with more than so many it stops before it asks" },
    action = { type = "enum", default = "terminate",
      choices = { "terminate", "cancel" }, help = "the session, or only its "
      .. "statement" },
    wait = { type = "duration", default = 10, min = 0.1,
      help = "until they must be gone" },
    width = { type = "integer", default = 60, min = 10, max = 1000,
      help = "columns of each statement" },
  },
  checks = { { "what fits", check } },
  example = {
    "opsh plan postgres/terminate older=10m",
    "opsh run postgres/terminate older=10m user=app --approve db",
    "opsh run postgres/terminate state=active older=10m --approve db",
    "opsh run postgres/terminate state=any older=0 blocking=true --approve db",
  },
  run = function(t, p)
    local chosen, left
    step("look", { again = true }, function()
      chosen, left = find(t.db, p)
      chosen = may_end(t.db, chosen)
      return { found = #chosen }
    end)
    tell_left(left)
    if #chosen == 0 then
      log.info("no session %s for %s or longer", p.state == "any" and "fits"
        or "is " .. p.state, activity.span(p.older))
      return { ended = 0, left_alone = 0 }
    elseif #chosen > p.max then
      fail("%d sessions fit, max is %d: look whether that is meant, then give "
        .. "max=%d", #chosen, p.max, #chosen)
    end
    show(rows_of(chosen, p.width), { columns = { "pid", "user", "database",
      "application", "client", "state", "since", "blocks", "query" } })
    local how = ask(t, p, chosen)
    local sent = {}
    step(p.action, {
      idempotent = true,
      verify = function() return gone(t.db, p, sent) end,
    }, function()
      for _, s in ipairs(chosen) do
        if end_one(t.db, s, p) then sent[#sent + 1] = s end
      end
      return { ended = #sent }
    end)
    if how == "plan" then return end
    if #sent < #chosen then
      log.warn("%d left alone: gone, or at work again", #chosen - #sent)
    end
    local c = activity.connections(t.db)
    log.info("%d of %d connections (%g %%)", c.used, c.limit, c.percent)
    return { ended = #sent, left_alone = #chosen - #sent,
      connections = c.used }
  end,
}
