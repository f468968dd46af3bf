-- postgres/activity: who is connected, doing what, for how long, and who keeps whom
-- waiting, as a tree. One look at pg_stat_activity; reads only. With limits given
-- it also judges.
local activity = require "opsh.postgres.activity"

local function summary(sessions, c)
  local states, blocked, longest = {}, 0, 0
  for _, s in ipairs(sessions) do
    if s.type == "client backend" then
      local state = s.state or "not to be seen"
      states[state] = (states[state] or 0) + 1
    end
    if #s.blocked_by > 0 then blocked = blocked + 1 end
    if not s.own and s.type == "client backend" then
      longest = math.max(longest, s.transaction_age or 0)
    end
  end
  local parts = {}
  for state, n in pairs(states) do parts[#parts + 1] = n .. " " .. state end
  table.sort(parts)
  print(("%d of %d connections (%g %% of those for all): %s · %d waiting for "
    .. "a lock · longest transaction %s"):format(c.used, c.limit, c.percent,
    table.concat(parts, ", "), blocked, activity.span(longest)))
  return blocked, longest
end

-- Sessions that do something, or did not end what they began: the longest first.
local function busy(sessions, p)
  local rows = {}
  for _, s in ipairs(sessions) do
    local since = s.transaction_age or s.query_age
    if not s.own and s.state and s.state ~= "idle"
      and (s.type == "client backend" or s.type == "parallel worker")
      and since and since >= p.longer then
      rows[#rows + 1] = { pid = s.pid, user = s.user, database = s.database,
        application = s.application, client = s.client, state = s.state,
        transaction = activity.span(s.transaction_age),
        statement = activity.span(s.query_age), since = since,
        wait = s.wait_type and s.wait_type .. ": " .. s.wait or nil,
        seconds = since, query = activity.one_line(s.query, p.width) }
    end
  end
  table.sort(rows, function(a, b) return a.since > b.since end)
  for _, row in ipairs(rows) do row.since = nil end
  return rows
end

local function blockers(sessions, p)
  local rows = {}
  for n, row in ipairs(activity.tree(sessions)) do
    local s = row.session or {}
    rows[n] = { tree = ("· "):rep(row.depth)
      .. (row.pid == 0 and "a prepared transaction" or row.pid),
      pid = row.pid, depth = row.depth, blocks = row.blocks, user = s.user,
      application = s.application, state = s.state,
      since = activity.span(s.state_age), waits_for = s.waits_for,
      query = activity.one_line(s.query, p.width) }
  end
  return rows
end

local function waits(sessions)
  local rows, known = {}, {}
  for _, s in ipairs(sessions) do
    if not s.own and s.state == "active" and s.type ~= "walsender" then
      local wait = s.wait_type and s.wait_type .. ": " .. s.wait
        or "none: on a processor"
      if not known[wait] then
        known[wait] = { wait = wait, sessions = 0 }
        rows[#rows + 1] = known[wait]
      end
      known[wait].sessions = known[wait].sessions + 1
    end
  end
  table.sort(rows, function(a, b)
    if a.sessions ~= b.sessions then return a.sessions > b.sessions end
    return a.wait < b.wait
  end)
  return rows
end

local function groups(sessions)
  local rows = activity.groups(sessions)
  for _, row in ipairs(rows) do row.longest = activity.span(row.oldest) end
  return rows
end

local function section(title, rows, columns)
  if #rows == 0 then return end
  print(title .. ":")
  show(rows, { columns = columns })
end

return {
  name = "postgres/activity",
  summary = "Sessions by state, long transactions, blockers as a tree, waits",
  description = [[
    One look, reads only: connections against the limit, sessions by state and
    owner, transactions and statements that last, who keeps whom waiting (as a
    tree: the one at the left waits for nobody), and what active sessions wait
    for. A role that is no member of pg_monitor sees what its own sessions do;
    the others are counted.

    With max_transaction, max_blocked or max_connections it judges: exit 3 when
    one is exceeded. To end sessions: postgres/terminate.]],
  severity = "P2",
  tags = { "postgres", "check" },
  runbook = "'Database Connection Issues' of all systems",
  needs = { db = { kind = "postgres", help = "what is looked at" } },
  params = {
    longer = { type = "duration", default = 0, min = 0,
      help = "only transactions and statements that last as long",
      example = "5m" },
    width = { type = "integer", default = 80, min = 10, max = 1000,
      help = "columns of each statement" },
    max_transaction = { type = "duration", help = "of the longest",
      example = "10m" },
    max_blocked = { type = "integer", min = 0,
      help = "sessions that wait for a lock" },
    max_connections = { type = "number", min = 0, max = 100,
      help = "percent of the limit", example = 80 },
  },
  example = {
    "opsh run postgres/activity",
    "opsh run postgres/activity longer=5m max_transaction=10m --output jsonl",
  },
  run = function(t, p)
    local sessions, c
    step("look", { again = true }, function()
      sessions = activity.sessions(t.db)
      c = activity.connections(t.db)
      return { sessions = #sessions }
    end)
    local blocked, longest = summary(sessions, c)
    section("sessions", groups(sessions), { "sessions", "state", "user",
      "database", "application", "longest" })
    section("transactions and statements", busy(sessions, p), { "pid", "user",
      "state", "transaction", "statement", "wait", "query" })
    local tree = blockers(sessions, p)
    section("who keeps whom waiting", tree, { "tree", "blocks", "state",
      "since", "waits_for", "user", "query" })
    section("what active sessions wait for", waits(sessions), { "wait",
      "sessions" })
    if #tree > 0 and tree[1].pid ~= 0 then
      log.warn("session %d keeps %d waiting: opsh run postgres/terminate "
        .. "pid=%d state=any older=0", tree[1].pid, tree[1].blocks,
        tree[1].pid)
    end
    local bad = {}
    if p.max_transaction and longest > p.max_transaction then
      bad[#bad + 1] = ("longest transaction %s, limit %s"):format(
        activity.span(longest), activity.span(p.max_transaction))
    end
    if p.max_blocked and blocked > p.max_blocked then
      bad[#bad + 1] = ("%d sessions wait, limit %d"):format(blocked,
        p.max_blocked)
    end
    if p.max_connections and c.percent > p.max_connections then
      bad[#bad + 1] = ("connections at %g %%, limit %g"):format(c.percent,
        p.max_connections)
    end
    if #bad > 0 then fail("%s", table.concat(bad, "; ")) end
  end,
}
