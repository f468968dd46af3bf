-- redis/stats: how a Redis is doing, in one look: hit rate since its start and
-- right now, load, memory against its limit, lifetimes of a sample of keys.
-- Reads only. With a limit given it also judges, and ends with exit 3.
local info = require "opsh.redis.info"
local sample = require "opsh.redis.sample"

local function span(seconds)
  if seconds < 60 then return ("%d s"):format(seconds) end
  if seconds < 3600 then return ("%d m"):format(seconds // 60) end
  if seconds < 86400 then
    return ("%d h %02d m"):format(seconds // 3600, seconds % 3600 // 60)
  end
  return ("%d d %02d h"):format(seconds // 86400, seconds % 86400 // 3600)
end

-- Milliseconds that a PING takes: least, median, most.
local function pings(cache, n)
  local list = {}
  for i = 1, n do
    local began = task.now()
    cache:ping()
    list[i] = (task.now() - began) * 1000
  end
  table.sort(list)
  return list[1], list[(n + 1) // 2], list[n]
end

local function keyspace(cache)
  local rows = {}
  for name, db in pairs(cache:info "keyspace") do
    if type(db) == "table" then
      rows[#rows + 1] = { database = name, keys = db.keys, with_ttl = db.expires,
        no_ttl_percent = sample.percent(db.keys - db.expires, db.keys),
        average_ttl = db.avg_ttl and db.avg_ttl > 0
          and span(db.avg_ttl // 1000) or nil }
    end
  end
  table.sort(rows, function(a, b) return a.database < b.database end)
  return rows
end

local function replication(r)
  if r.role ~= "master" then
    return ("%s of %s:%s, link %s"):format(r.role, r.master_host,
      r.master_port, r.master_link_status)
  end
  local n = 0
  for i = 0, (r.connected_slaves or 0) - 1 do
    if r["slave" .. i].state == "online" then n = n + 1 end
  end
  return ("master, %d of %d replicas online"):format(n,
    r.connected_slaves or 0)
end

-- What is asked of the server, before and after p.interval.
local function measure(cache, p)
  local before = cache:info "stats"
  task.sleep(p.interval)
  local m = { before = before, stats = cache:info "stats",
    server = cache:info "server", clients = cache:info "clients",
    memory = cache:info "memory", replication = cache:info "replication",
    keys = cache:dbsize() }
  m.least, m.median, m.most = pings(cache, p.pings)
  m.hit, m.lookups = info.hit_rate(m.stats)
  m.hit_now, m.lookups_now = info.hit_rate(m.stats, before)
  m.memory_percent = m.memory.maxmemory > 0
    and sample.percent(m.memory.used_memory, m.memory.maxmemory) or nil
  return m
end

local function percent(n) return n and ("%g %%"):format(n) or "none" end

local function overview(m, p)
  local rows, s = {}, m.stats
  local function add(what, value, detail)
    rows[#rows + 1] = { what = what, value = value, detail = detail }
  end
  local function since(name) return s[name] - m.before[name] end
  add("hit rate", percent(m.hit), ("of %d lookups since the start"):format(
    m.lookups))
  add("hit rate now", percent(m.hit_now), ("of %d lookups in %g s"):format(
    m.lookups_now, p.interval))
  add("commands a second", s.instantaneous_ops_per_sec)
  add("keys", m.keys, "in this database")
  add("memory", sample.size(m.memory.used_memory), m.memory_percent
    and ("%g %% of %s, %s"):format(m.memory_percent,
    sample.size(m.memory.maxmemory), m.memory.maxmemory_policy)
    or "no limit, " .. m.memory.maxmemory_policy)
  add("evicted keys", s.evicted_keys, ("%d in %g s"):format(
    since "evicted_keys", p.interval))
  add("expired keys", s.expired_keys, ("%d in %g s"):format(
    since "expired_keys", p.interval))
  add("clients", m.clients.connected_clients, ("of %s; %d blocked"):format(
    m.clients.maxclients or "?", m.clients.blocked_clients))
  add("rejected clients", s.rejected_connections)
  add("ping", ("%.2f ms"):format(m.median), ("%.2f to %.2f, %d times"):format(
    m.least, m.most, p.pings))
  add("replication", replication(m.replication))
  add("up", span(m.server.uptime_in_seconds), "Redis "
    .. m.server.redis_version)
  return rows
end

-- What breaks a limit that was given.
local function broken(m, p)
  local out = {}
  local function check(what, value, limit, is_bad)
    if limit and value and is_bad then
      out[#out + 1] = ("%s is %.4g, limit %g"):format(what, value, limit)
    end
  end
  check("hit rate", m.hit, p.min_hit_rate,
    m.hit and p.min_hit_rate and m.hit < p.min_hit_rate)
  check("memory in percent", m.memory_percent, p.max_memory,
    m.memory_percent and p.max_memory and m.memory_percent > p.max_memory)
  check("ping in ms", m.median, p.max_ping and p.max_ping * 1000,
    p.max_ping and m.median > p.max_ping * 1000)
  return out
end

return {
  name = "redis/stats",
  summary = "Hit rate, keys, load, memory, lifetimes and latency of a Redis",
  description = [[
    One look, reads only. The hit rate stands twice: since the server's start
    (or CONFIG RESETSTAT), and over the interval right now. Limits that are
    given (min_hit_rate, max_memory, max_ping) are judged: exit 3 when one is
    broken, so that it serves as a check as well.]],
  severity = "P3",
  tags = { "redis", "cache", "check" },
  runbook = "airline tracking 3.4 and P2 'Slow response times'",
  needs = { cache = { kind = "redis", help = "what is looked at" } },
  params = {
    interval = { type = "duration", default = 1, min = 0.1, max = 3600,
      help = "how long 'now' is" },
    sample = { type = "integer", default = 1000, min = 1, max = 100000,
      help = "keys whose lifetimes are read" },
    pings = { type = "integer", default = 10, min = 1, max = 1000,
      help = "how often the latency is measured" },
    min_hit_rate = { type = "number", min = 0, max = 100,
      help = "percent since the start", example = 70 },
    max_memory = { type = "number", min = 0, max = 100,
      help = "percent of maxmemory", example = 85 },
    max_ping = { type = "duration", help = "median of the PINGs",
      example = "20ms" },
  },
  example = {
    "opsh run redis/stats",
    "opsh run redis/stats min_hit_rate=70 max_memory=85 --output jsonl",
  },
  run = function(t, p)
    local m, lives
    step("measure", { again = true }, function() m = measure(t.cache, p) end)
    step("sample", { again = true }, function()
      lives = sample.lifetimes(sample.describe(t.cache,
        (sample.keys(t.cache, p.sample))))
    end)
    show(overview(m, p), { columns = { "what", "value", "detail" } })
    show(keyspace(t.cache), { columns = { "database", "keys", "with_ttl",
      "no_ttl_percent", "average_ttl" } })
    show(lives, { columns = { "lifetime", "keys", "percent" } })
    local bad = broken(m, p)
    if #bad > 0 then fail("%s", table.concat(bad, "; ")) end
  end,
}
