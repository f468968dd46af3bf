-- redis/cache-flush: takes entries out of a cache, and only out of a cache.
-- Finds the keys first and deletes them in batches from that list, so that a
-- plan names the very batches that a run sends. Run it again after an
-- interruption: it looks again, and UNLINK of a key that is gone does nothing.
local info = require "opsh.redis.info"
local judge = require "opsh.redis.judge"
local sample = require "opsh.redis.sample"
local server = require "opsh.redis.server"

local ROUND <const> = 500000 -- keys held at once ..
local ROUND_BYTES <const> = 48 << 20 -- .. and so many bytes of their names
local CANARY <const> = 100 -- keys of the first batch
local CATCH_UP <const> = 0.25 -- seconds of delay that may be made good

-- --- is it a cache? ---------------------------------------------------------

-- The share that was given must be the one that is found; a sample of 1,000
-- is right to about 3 points.
local function accepted(judged, given)
  if not given then return false end
  local off = math.abs(given - judged.share)
  if off > (judged.exact and 0 or 3) then
    fail("accept_no_ttl=%d was given, but %d %% have no TTL: look again",
      given, judged.share)
  end
  return true
end

-- Asks. What may not be a cache needs its share without TTL as well, typed or
-- given; --approve alone does not do. Gives how the guard was passed.
local function ask(t, p, judged, opts)
  local doubt = #judged.against > 0 and not accepted(judged, p.accept_no_ttl)
  local why = table.concat(judged.against, "; ")
  opts.note = "cache? " .. judged.text
  if doubt then
    opts.ask = ("%d %d%%"):format(opts.count, judged.share)
    opts.note = ("NOT CLEARLY A CACHE: %s"):format(why)
  end
  if opts.more then
    opts.note = opts.note .. "\n            " .. opts.more
    opts.more = nil
  end
  local how = guard(t.cache, opts)
  if doubt and how == "plan" then
    log.warn("not clearly a cache (%s): a run needs accept_no_ttl=%d", why,
      judged.share)
  elseif doubt and how == "approve" then
    fail("'cache' is not clearly a cache: %s; look at what is in it, then "
      .. "give accept_no_ttl=%d", why, judged.share)
  end
  return how
end

-- --- finding ----------------------------------------------------------------

-- Sorted, each once: SCAN may name a key twice, and in another order while the
-- server resizes its table.
local function sort_out(keys)
  table.sort(keys)
  local n = 0
  for i = 1, #keys do
    if i == 1 or keys[i] ~= keys[n] then
      n = n + 1
      keys[n] = keys[i]
    end
  end
  for i = #keys, n + 1, -1 do keys[i] = nil end
  return keys
end

-- The next keys of a scan (next_batch is its iterator), as many as one round
-- holds, and whether there may be more.
local function take(next_batch)
  local keys, n, bytes = {}, 0, 0
  while n < ROUND and bytes < ROUND_BYTES do
    local batch = next_batch()
    if not batch then return sort_out(keys), false end
    for i = 1, #batch do
      keys[n + i] = batch[i]
      bytes = bytes + #batch[i]
    end
    n = n + #batch
  end
  return sort_out(keys), true
end

-- What matches now: all of it when one round holds it, else its number and the
-- first round.
local function find(cache, p)
  if p.key then
    local there = cache:exists(p.key) == 1
    return { count = there and 1 or 0, keys = there and { p.key } or {} }
  end
  local batches, _, _, closing = cache:scan_batches { match = p.pattern }
  local _ <close> = closing
  local found = {}
  found.keys, found.more = take(batches)
  found.count = #found.keys
  if found.more then
    for batch in batches do found.count = found.count + #batch end
  end
  return found
end

-- --- deleting ---------------------------------------------------------------

-- Keeps work at `rate` a second from its beginning, by the monotonic clock. A
-- delay beyond CATCH_UP is not made good: that would be a burst.
local function pacer(rate)
  local due = task.now()
  return function(n)
    due = due + n / rate
    local ahead = due - task.now()
    if ahead > 0 then
      task.sleep(ahead)
    elseif ahead < -CATCH_UP then
      due = task.now() - CATCH_UP
    end
  end
end

-- A twentieth of a second's keys, and never more than a second's.
local function batch_size(rate)
  return math.min(math.max(100, math.min(1000, rate // 20)), rate)
end

-- Is the origin, which answers for what the cache no longer holds, quick
-- enough? Asked once a second; waits for it, at most p.origin_wait.
local function origin_watch(t, p)
  local asked = -math.huge
  return function()
    if not t.origin or task.now() - asked < 1 then return true end
    local until_ = task.now() + p.origin_wait
    while true do
      asked = task.now()
      t.origin:ping()
      local took = task.now() - asked
      if took <= p.origin_latency then return true end
      log.warn("origin answers in %.3f s, more than %g s: waiting", took,
        p.origin_latency)
      if task.now() >= until_ then return false, took end
      task.sleep(1)
    end
  end
end

-- One batch, by one command. Its reply says how many keys it removed.
local function unlink_batch(cache, batch, cluster)
  if cluster then -- keys of one command must share a slot
    return cache:pipeline("UNLINK", batch, { expect = #batch })
  end
  return cache:unlink(batch, { expect = #batch })
end

-- Deletes keys[from..to] in batches of `size`. state: what is done so far.
local function unlink(t, keys, from, to, size, state)
  for at = from, to, size do
    local batch = table.move(keys, at, math.min(at + size - 1, to), 1, {})
    -- Another server or role than before? Then the write is refused.
    t.cache:identity()
    local reply, e = try(unlink_batch, t.cache, batch, state.cluster)
    if e and e.code == "READONLY" then
      -- Demoted since that question: nothing was removed, and the next write
      -- finds out who it is.
      reply = unlink_batch(t.cache, batch, state.cluster)
    elseif e then
      error(e, 0)
    end
    state.sent = state.sent + #batch
    state.removed = state.removed + reply.count
    if not state.planned then
      state.bar:add(#batch)
      state.pace(#batch)
      local quick, took = state.origin()
      if not quick then
        state.stopped = ("origin answers in %.3f s"):format(took)
        return
      end
    end
  end
end

-- --- afterwards -------------------------------------------------------------

-- Hits of all lookups since `before`, as text.
local function hit_rate(cache, before)
  local rate, all = info.hit_rate(cache:info "stats", before)
  return rate and ("%g %% of %d lookups"):format(rate, all) or "no lookups"
end

-- Watches the hit rate for some seconds: how fast the cache fills again.
local function watch_hit_rate(cache, seconds)
  local until_ = task.now() + seconds
  local text = "not watched"
  while task.now() < until_ do
    local before = cache:info "stats"
    task.sleep(math.min(1, math.max(0.05, until_ - task.now())))
    text = hit_rate(cache, before)
    log.info("hit rate: %s", text)
  end
  return text
end

-- Is `key` in the sorted list?
local function holds(keys, key)
  local low, high = 1, #keys
  while low <= high do
    local mid = (low + high) // 2
    if keys[mid] == key then return true end
    if keys[mid] < key then low = mid + 1 else high = mid - 1 end
  end
  return false
end

-- What matches afterwards was written meanwhile, for every key of the list was
-- in a batch that the server has answered. If more of them are there again
-- than were removed, it was not so.
local function verify_gone(t, p, state)
  if state.stopped then
    return false, ("stopped after %d of %d keys: %s"):format(state.sent,
      state.count, state.stopped)
  end
  local left = find(t.cache, p)
  local again = 0
  for _, key in ipairs(left.keys) do
    if holds(state.keys, key) then again = again + 1 end
  end
  state.again, state.new = again, left.count - again
  if again > state.removed or state.sent < #state.keys then
    return false, ("%d keys still match, %d of %d were removed"):format(
      left.count, state.removed, state.count)
  end
  local in_sync, how = server.in_sync(t.cache, p.replica_wait)
  state.replicas = how
  if not in_sync then return false, "replicas are not in sync: " .. how end
  return true
end

-- --- by pattern, or one key ---------------------------------------------------

local function new_state(t, p, id, found, how)
  return { planned = how == "plan", cluster = id.mode == "cluster",
    size = batch_size(p.rate), pace = pacer(p.rate), count = found.count,
    origin = origin_watch(t, p), keys = found.keys, sent = 0, removed = 0,
    bar = how ~= "plan" and progress.new { label = "unlink",
      total = found.count } or nil }
end

local function verify_canary(t, state)
  return function()
    if state.stopped then return false, state.stopped end
    local canary = table.move(state.keys, 1, state.sent, 1, {})
    local there = 0
    for _, n in ipairs(t.cache:pipeline("EXISTS", canary)) do
      there = there + n
    end
    return there <= state.removed, ("%d of %d keys are still there, %d were "
      .. "removed"):format(there, state.sent, state.removed)
  end
end

-- The rounds after the first, of a keyspace that one list can't hold.
local function later_rounds(t, p, state)
  local batches, _, _, closing = t.cache:scan_batches { match = p.pattern }
  local _ <close> = closing
  local more = true
  if state.planned then take(batches) end -- the first round is still there
  while more and not state.stopped do
    state.keys, more = take(batches)
    state.sent = 0
    unlink(t, state.keys, 1, #state.keys, state.size, state)
  end
end

local function flush_keys(t, p, id)
  local found
  local function look()
    found = find(t.cache, p)
    return { count = found.count, sample = sample.spread(found.keys, 8) }
  end
  local counted = step("count", look)
  if not found then counted = look() end -- resumed: what is left
  local judged = step("judge", function()
    return judge.cache(t.cache, found.keys, id.maxmemory_policy)
  end)
  local how = ask(t, p, judged, { verb = "unlink", count = counted.count,
    unit = "keys that match '" .. (p.pattern or p.key) .. "'",
    sample = counted.sample, more = id.mode == "cluster" and "one node of a "
    .. "cluster: only the keys of its slots; run it on each master" or nil })
  if counted.count == 0 then
    log.info("nothing matches '%s'", p.pattern or p.key)
    return
  end
  local began = task.now()
  local state = new_state(t, p, id, found, how)
  local canary, from = math.min(CANARY, #found.keys), 1
  local function all_gone() return verify_gone(t, p, state) end
  do
    local _ <close> = state.bar
    step("canary", {
      idempotent = true, -- a key that is gone is gone: UNLINK may be repeated
      verify = #found.keys > canary and verify_canary(t, state) or all_gone,
    }, function()
      unlink(t, found.keys, 1, canary, math.min(canary, state.size), state)
      from = canary + 1
      return { sent = state.sent, removed = state.removed }
    end)
    if #found.keys >= from then
      step("flush", { idempotent = true, verify = all_gone }, function()
        -- not with the canary: its own look at the keys counts as misses
        local stats = t.cache:info "stats"
        unlink(t, found.keys, from, #found.keys, state.size, state)
        if found.more then
          found.keys, state.keys = nil, nil -- room for the next round
          later_rounds(t, p, state)
        end
        state.hits = hit_rate(t.cache, stats)
        return { sent = state.sent, removed = state.removed }
      end)
    end
  end
  if state.planned then return end
  local seconds = task.now() - began
  return {
    matched = state.count, removed = state.removed,
    gone_before = state.count - state.removed,
    written_meanwhile = state.new + state.again,
    seconds = math.floor(seconds * 1000 + 0.5) / 1000,
    keys_a_second = math.floor(state.count / seconds + 0.5),
    replicas = state.replicas, hit_rate_meanwhile = state.hits,
    hit_rate_now = p.watch > 0 and watch_hit_rate(t.cache, p.watch) or nil,
  }
end

-- --- whole --------------------------------------------------------------------

-- FLUSHALL on a server with save points saves the empty database at once, over
-- the copy. They are set aside meanwhile.
local function without_save_points(cache, points, f)
  if points == "" then return f() end
  cache:config_set("save", "", { expect = "OK" })
  local _ <close> = setmetatable({}, { __close = function()
    cache:config_set("save", points, { expect = "OK" })
  end })
  return f()
end

-- Keys there are: of this database, or of all.
local function count_whole(cache, all)
  if not all then return cache:dbsize() end
  local n = 0
  for _, db in pairs(cache:info "keyspace") do
    n = n + (type(db) == "table" and db.keys or 0)
  end
  return n
end

-- The reply was lost. Same server, and (nearly) empty where there was
-- something: it was applied. Anything else leaves it in doubt.
local function probe_whole(cache, p, id, before)
  local now = cache:identity()
  local left = count_whole(cache, p.all)
  if now.run_id == id.run_id and before > 0 and left <= before // 10 then
    return true
  end
  return nil
end

local function flush_whole(t, p, id)
  local cache = t.cache
  local before = step("count", function() return count_whole(cache, p.all) end)
  local judged = step("judge", function()
    return judge.cache(cache, {}, id.maxmemory_policy)
  end)
  local points = cache:config_get("save").save or ""
  local verb = p.all and "flushall" or "flushdb"
  local how = ask(t, p, judged, { verb = verb, count = before,
    unit = p.all and "keys in all databases" or "keys in db " .. id.db,
    sample = sample.spread(sample.keys(cache, 1000), 8),
    more = p.no_copy and "no copy is made" or points ~= "" and "a copy is "
      .. "made, and overwritten by the next save point (" .. points .. ")"
      or "a copy is made" })
  if before == 0 then return end
  local copy
  if not p.no_copy then
    copy = step("copy", { verify = function(path) return path ~= nil end },
      function()
        if how == "plan" then
          cache:bgsave { expect = "Background saving started" }
          return nil
        end
        return server.save(cache, p.copy_wait)
      end)
  end
  step("flush", {
    probe = function() return probe_whole(cache, p, id, before) end,
    verify = function()
      local left = count_whole(cache, p.all)
      return left < before, ("%d keys are there, %d were"):format(left, before)
    end,
  }, function()
    cache:identity()
    if not p.all then return cache:flushdb("ASYNC", { expect = "OK" }).value end
    return without_save_points(cache, p.no_copy and "" or points, function()
      return cache:flushall("ASYNC", { expect = "OK" }).value
    end)
  end)
  if how == "plan" then return end
  local in_sync, replicas = server.in_sync(cache, p.replica_wait)
  if not in_sync then log.warn("replicas are not in sync: %s", replicas) end
  if copy and points ~= "" then
    log.warn("copy '%s' on the server lasts until the next save point (%s): "
      .. "take it away now", copy, points)
  end
  return { removed = before, written_meanwhile = count_whole(cache, p.all),
    copy = copy or "none, as asked", replicas = replicas }
end

local function check_what(_, p)
  local n = (p.pattern and 1 or 0) + (p.key and 1 or 0) + (p.whole and 1 or 0)
  if n ~= 1 then
    return false, "give one of pattern=GLOB, key=KEY and whole=true"
  elseif (p.all or p.no_copy or p.db) and not p.whole then
    return false, "all, no_copy and db go with whole=true"
  end
end

local function check_db(t, p)
  if not p.whole or p.all then return end
  local db = t.cache:identity().db
  if p.db ~= db then
    return false, ("whole=true empties database %d of the server: confirm it "
      .. "by db=%d"):format(db, db)
  end
end

return {
  name = "redis/cache-flush",
  summary = "Remove cached entries: by pattern, one key, or a whole database",
  description = [[
    Finds the keys first, judges whether it is a cache at all (eviction policy,
    keys without TTL, streams, locks), asks with the real count and a sample,
    then removes them by UNLINK in batches: 100 first, then at the rate given.
    Before each batch the server is asked who it is; another one, or one that
    is no master any more, ends the run before the write.

    Interrupted? Run it again: it looks again and takes the rest.
    whole=true empties the database by FLUSHDB ASYNC after a BGSAVE copy.]],
  severity = "P2",
  tags = { "redis", "cache" },
  runbook = "airline tracking 3.4, movie booking (Redis), festivals",
  needs = {
    cache = { kind = "redis", role = "master", help = "what is flushed" },
    origin = { kind = "redis", optional = true, help = "answers what the cache "
      .. "misses: its PING is timed between batches" },
  },
  params = {
    pattern = { type = "pattern", help = "glob of the keys to remove",
      example = "flights::*" },
    key = { type = "string", min = 1, help = "one key to remove",
      example = "flights::UAL123" },
    whole = { type = "boolean", default = false,
      help = "empty the database of the target's URL (FLUSHDB ASYNC)" },
    db = { type = "integer", min = 0,
      help = "with whole: the database's number, as a confirmation" },
    all = { type = "boolean", default = false,
      help = "with whole: all databases of the server (FLUSHALL ASYNC)" },
    no_copy = { type = "boolean", default = false,
      help = "with whole: no BGSAVE before it" },
    copy_wait = { type = "duration", default = "10m", help = "for the BGSAVE" },
    rate = { type = "integer", default = 20000, min = 1, max = 1000000,
      help = "keys a second, at most" },
    accept_no_ttl = { type = "integer", min = 0, max = 100,
      help = "it may be no cache, and so many percent without TTL are all "
      .. "right: the number that the guard shows" },
    origin_latency = { type = "duration", default = "250ms",
      help = "above it the flush waits for the origin" },
    origin_wait = { type = "duration", default = "30s",
      help = "so long, then it stops" },
    replica_wait = { type = "duration", default = "10s",
      help = "for the replicas to have all of it" },
    watch = { type = "duration", default = 0,
      help = "afterwards watch the hit rate for so long" },
  },
  checks = {
    { "what to flush", check_what },
    { "the database is named", check_db },
  },
  example = {
    "opsh plan redis/cache-flush pattern='flights::*'",
    "opsh run redis/cache-flush pattern='flights::*' --approve cache",
    "opsh run redis/cache-flush key=flights::UAL123",
    "opsh run redis/cache-flush whole=true db=0 --approve cache",
  },
  run = function(t, p)
    local id = t.cache:identity()
    if p.whole then return flush_whole(t, p, id) end
    return flush_keys(t, p, id)
  end,
}
