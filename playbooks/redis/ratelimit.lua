-- redis/ratelimit: who is limited, how far, and for how long: the counters of a rate
-- limiter (ratelimit:USER) against its limit, and the limiter's own settings where
-- the orchestrator can be asked. Resets one user under a guard.
local CHUNK <const> = 1000 -- counters that are asked about at once

-- How a counter of each type counts: a number, or one entry a request.
local COUNT <const> = { string = "get", zset = "zcard", list = "llen",
  set = "scard", hash = "hlen" }

local function describe(cache, keys, prefix, into)
  local types = cache:pipeline("TYPE", keys)
  local ttls = cache:pipeline("PTTL", keys)
  local counts = cache:pipeline(function(p)
    for n, key in ipairs(keys) do
      p[COUNT[types[n]] or "exists"](p, key)
    end
  end, { errors = "keep" })
  for n, key in ipairs(keys) do
    if ttls[n] ~= -2 and types[n] ~= "none" then
      into[#into + 1] = { user = key:sub(1, #prefix) == prefix
        and key:sub(#prefix + 1) or key, key = key, type = types[n],
        count = math.tointeger(tonumber(counts[n])),
        ttl = ttls[n] >= 0 and ttls[n] / 1000 or nil }
    end
  end
end

local function find(cache, pattern)
  local seen, keys, rows = {}, {}, {}
  for key in cache:scan { match = pattern } do
    if not seen[key] then
      seen[key], keys[#keys + 1] = true, key
    end
  end
  local prefix = pattern:match "^[^*?%[]*"
  for from = 1, #keys, CHUNK do
    describe(cache, table.move(keys, from, math.min(from + CHUNK - 1, #keys),
      1, {}), prefix, rows)
  end
  return rows
end

-- What the service itself has as its limit; nothing when it can't be asked. Only
-- these two variables: others may be secret.
local function settings(t, p)
  if p.limit or not t.orchestrator then return { limit = p.limit } end
  local r, e = try(function()
    return t.orchestrator:exec(p.service, { "printenv", p.limit_variable,
      p.window_variable }, { effect = "read", accept = true, timeout = 10 })
  end)
  if not r then
    log.info("the limit of '%s' is not known: %s", p.service, e.message)
    return {}
  end
  local limit, window = r.stdout:match "^(%d+)\n?([^\n]*)"
  return { limit = math.tointeger(tonumber(limit)),
    window = window ~= "" and window or nil }
end

local function judge(row, limit)
  if not row.ttl then
    row.note = "NO TTL: its window never ends"
  elseif limit and row.count and row.count > limit then
    row.note = "limited: refused until its window ends"
  end
  return row.note ~= nil
end

-- Those that are limited first, then the busiest.
local function order(a, b)
  if (a.note ~= nil) ~= (b.note ~= nil) then return a.note ~= nil end
  if a.count ~= b.count then return (a.count or 0) > (b.count or 0) end
  return a.user < b.user
end

local function list(t, p)
  local found = step("look", { again = true }, function()
    return { rows = find(t.cache, p.pattern), settings = settings(t, p) }
  end)
  local rows, limit, limited, endless = found.rows, found.settings.limit, 0, 0
  for _, row in ipairs(rows) do
    if judge(row, limit) then limited = limited + 1 end
    if not row.ttl then endless = endless + 1 end
  end
  if #rows == 0 then
    log.info("no counter matches '%s'", p.pattern)
    return
  end
  table.sort(rows, order)
  local all = #rows
  show(table.move(rows, 1, math.min(p.top, all), 1, {}), { columns = { "user",
    "count", "ttl", "type", "note" } })
  log.info("%d users, %d limited%s", all, limited, limit and (" (limit %d%s)")
    :format(limit, found.settings.window and " in " .. found.settings.window
    or "") or "; limit=N says from where on")
  if limit and limited * 2 > all then
    log.warn("more than half are limited: is %d too few? change %s of '%s'",
      limit, p.limit_variable, p.service)
  end
  if p.strict and endless > 0 then
    fail("%d of %d counters have no TTL", endless, all)
  end
end

local function reset(t, p)
  local key = p.pattern:gsub("%*", (p.reset:gsub("%%", "%%%%")), 1)
  if key:find "[*?%[]" or not p.pattern:find("*", 1, true) then
    fail("pattern '%s' has no one star: which key '%s' has can't be told",
      p.pattern, p.reset)
  end
  local rows = {}
  describe(t.cache, { key }, "", rows)
  local row = rows[1]
  if not row then
    fail("there is no counter '%s': '%s' is not limited", key, p.reset)
  end
  guard(t.cache, { verb = "unlink", count = 1, unit = "counter",
    ask = p.reset, sample = { key }, note = ("%s requests counted, %s; from 0 "
    .. "again afterwards"):format(row.count or "?", row.ttl
    and ("%.0f s left of its window"):format(row.ttl)
    or "no TTL: it would never end") })
  step("reset", {
    idempotent = true, -- a counter that is gone is what was wanted
    verify = function()
      local now = {}
      describe(t.cache, { key }, "", now)
      return #now == 0 or (now[1].count or 0) < (row.count or 1)
        or now[1].ttl ~= nil and row.ttl == nil, "it counts on as before"
    end,
  }, function()
    t.cache:unlink(key, { expect = 1 })
    return { reset = p.reset, count = row.count }
  end)
end

return {
  name = "redis/ratelimit",
  summary = "Counters of a rate limiter with their windows; resets one user",
  description = [[
    Lists the counters that match (ratelimit:*), one a user, with what they count
    and how long their window still is; those over the limit and those without an
    end first. A counter is a number, or a set or list with an entry a request.
    The limit is limit=N, else what the service's environment says, where the
    orchestrator can be asked. strict=true makes a counter without TTL an error
    (exit 3).

    reset=USER removes the counter of one user under a guard.]],
  severity = "P3",
  tags = { "redis", "ratelimit", "check" },
  runbook = "flash sale 'Rate Limiting Too Aggressive'",
  needs = { cache = { kind = "redis", help = "where the counters are" },
    orchestrator = { kind = { "compose", "kubernetes", "local" },
      optional = true, reach = false,
      help = "knows the limiter's settings" } },
  params = {
    pattern = { type = "pattern", default = "ratelimit:*",
      help = "the counters; the star is the user" },
    limit = { type = "integer", min = 1, help = "requests in a window",
      example = 60 },
    top = { type = "integer", default = 50, min = 1,
      help = "how many are shown" },
    strict = { type = "boolean", default = false,
      help = "a counter without TTL is an error" },
    reset = { type = "string", min = 1, help = "the user to reset",
      example = "u1" },
    service = { type = "string", default = "gateway",
      help = "service that limits, as the orchestrator calls it" },
    limit_variable = { type = "string", default = "RATE_LIMIT_MAX_REQUESTS",
      help = "its variable with the limit" },
    window_variable = { type = "string", default = "RATE_LIMIT_WINDOW",
      help = "its variable with the window" },
  },
  example = {
    "opsh run redis/ratelimit",
    "opsh run redis/ratelimit limit=60 --output jsonl",
    "opsh run redis/ratelimit reset=u1 --approve cache",
  },
  run = function(t, p)
    if p.reset then return reset(t, p) end
    return list(t, p)
  end,
}
