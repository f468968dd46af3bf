-- redis/locks: who holds what, for how long, and what has no end. Releases one
-- lock under a guard, by compare-and-delete on the server: a lock that has
-- passed to another owner meanwhile stays.

-- KEYS[1] the lock, ARGV[1] its owner -> 1 released, 0 another's or gone. A
-- lock is a string, or a hash with its owner as the only field (Redisson).
local RELEASE <const> = [[
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'string' and redis.call('GET', KEYS[1]) == ARGV[1]
    or kind == 'hash' and redis.call('HLEN', KEYS[1]) == 1
    and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  return redis.call('DEL', KEYS[1])
end
return 0]]

local CHUNK <const> = 1000 -- locks that are asked about at once

-- Owner of a lock of a type that is known; nil when it can't be told.
local function owner_of(cache, key, kind)
  if kind == "hash" then
    local fields = cache:hkeys(key)
    return #fields == 1 and fields[1] or nil
  end
end

local function describe(cache, keys, into)
  local types = cache:pipeline("TYPE", keys)
  local ttls = cache:pipeline("PTTL", keys)
  local values = cache:pipeline(function(p)
    for i, key in ipairs(keys) do
      -- a string only: GET of another type is an error
      if types[i] == "string" then p:get(key) else p:exists(key) end
    end
  end)
  for i, key in ipairs(keys) do
    if ttls[i] ~= -2 and types[i] ~= "none" then
      local owner
      if types[i] == "string" then
        owner = type(values[i]) == "string" and values[i] or nil
      else
        owner = owner_of(cache, key, types[i])
      end
      into[#into + 1] = { lock = key, owner = owner or "?", type = types[i],
        ttl = ttls[i] >= 0 and ttls[i] / 1000 or nil,
        note = ttls[i] < 0 and "NO TTL: never released by itself" or nil }
    end
  end
end

-- Those without an end first, then the longest.
local function order(a, b)
  local x, y = a.ttl or math.huge, b.ttl or math.huge
  if x ~= y then return x > y end
  return a.lock < b.lock
end

local function find(cache, p)
  local seen, keys, rows = {}, {}, {}
  for key in cache:scan { match = p.pattern } do
    if not seen[key] then
      seen[key] = true
      keys[#keys + 1] = key
    end
  end
  table.sort(keys)
  for from = 1, #keys, CHUNK do
    describe(cache, table.move(keys, from, math.min(from + CHUNK - 1, #keys),
      1, {}), rows)
  end
  table.sort(rows, order)
  return rows
end

local function list(t, p)
  local rows = step("look", function() return find(t.cache, p) end)
  local endless = 0
  for _, row in ipairs(rows) do
    if not row.ttl then
      endless = endless + 1
      row.ttl = "none"
    end
  end
  if #rows == 0 then
    log.info("no lock matches '%s'", p.pattern)
    return
  end
  show(rows, { columns = { "lock", "owner", "ttl", "type", "note" } })
  log.info("%d locks, %d without TTL", #rows, endless)
  if p.strict and endless > 0 then
    fail("%d of %d locks have no TTL", endless, #rows)
  end
end

local function release(t, p)
  local rows = {}
  describe(t.cache, { p.release }, rows)
  local lock = rows[1]
  if not lock then
    fail("there is no lock '%s'", p.release)
  elseif lock.owner == "?" then
    fail("owner of '%s' can't be told: it is a %s", p.release, lock.type)
  elseif p.owner and p.owner ~= lock.owner then
    fail("'%s' is held by '%s', not by '%s'", p.release, lock.owner, p.owner)
  end
  local how = guard(t.cache, { verb = "release lock", count = 1,
    unit = "lock", ask = p.release, sample = { p.release }, note = ("owner "
    .. "%s, TTL %s; what it protects is open to others afterwards"):format(
    lock.owner, lock.ttl and lock.ttl .. " s" or "none") })
  step("release", {
    -- the reply was lost: is it still the same owner's?
    probe = function()
      local now = {}
      describe(t.cache, { p.release }, now)
      if #now == 0 or now[1].owner ~= lock.owner then return true end
    end,
    verify = function(reply)
      if reply and reply.count == 0 then
        return false, "it has passed to another owner or is gone: not touched"
      end
      return true
    end,
  }, function()
    t.cache:identity() -- another server than before? Then it is refused
    return t.cache:eval(RELEASE, { p.release }, { lock.owner },
      { expect = 1 })
  end)
  if how ~= "plan" then
    return { released = p.release, owner = lock.owner }
  end
end

return {
  name = "redis/locks",
  summary = "Locks with owner and TTL; releases one if its owner still holds it",
  description = [[
    Lists the keys that match (lock:*) with their owner and TTL, those without
    an end first. strict=true makes a lock without TTL an error (exit 3).

    release=KEY deletes one lock under a guard, by a script that compares the
    owner and deletes in one step: nothing happens when it has passed to
    another meanwhile. owner=... says whose it must be.]],
  severity = "P2",
  tags = { "redis", "locks", "check" },
  runbook = "movie booking 'Booking race condition'",
  needs = { cache = { kind = "redis", help = "where the locks are" } },
  params = {
    pattern = { type = "pattern", default = "lock:*", help = "which keys are "
      .. "locks" },
    strict = { type = "boolean", default = false,
      help = "a lock without TTL is an error" },
    release = { type = "string", min = 1, help = "the one to release",
      example = "lock:seat:A12" },
    owner = { type = "string", min = 1, help = "with release: who holds it" },
  },
  checks = {
    { "owner goes with release", function(_, p)
      if p.owner and not p.release then
        return false, "owner is given, release is not"
      end
    end },
  },
  example = {
    "opsh run redis/locks",
    "opsh run redis/locks strict=true --output jsonl",
    "opsh run redis/locks release=lock:seat:A12 owner=booking-7 --approve cache",
  },
  run = function(t, p)
    if p.release then return release(t, p) end
    return list(t, p)
  end,
}
