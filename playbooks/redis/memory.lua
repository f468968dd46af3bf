-- redis/memory: where the memory of a Redis goes: against its limit, in what
-- types and prefixes, in which large keys. Sizes are of a sample (MEMORY
-- USAGE), shares of the whole are estimates and say so. Reads only.
local sample = require "opsh.redis.sample"

local CHUNK <const> = 1000 -- keys that are asked about at once

-- Rows of the sample, with sizes, in chunks so that nobody waits long.
local function measure(cache, p)
  local keys = sample.scanned(cache, p.sample, p.match)
  local bar <close> = progress.new { label = "memory usage", total = #keys }
  local rows = {}
  for from = 1, #keys, CHUNK do
    local chunk = table.move(keys, from, math.min(from + CHUNK - 1, #keys), 1,
      {})
    for _, row in ipairs(sample.describe(cache, chunk, { bytes = true })) do
      rows[#rows + 1] = row
    end
    bar:add(#chunk)
  end
  return rows
end

local function overview(m)
  local rows = {}
  local function add(what, value, detail)
    rows[#rows + 1] = { what = what, value = value, detail = detail }
  end
  local limit = m.maxmemory > 0
    and ("%g %% of %s"):format(sample.percent(m.used_memory, m.maxmemory),
    sample.size(m.maxmemory)) or "no limit"
  add("used", sample.size(m.used_memory), limit .. ", "
    .. m.maxmemory_policy)
  add("peak", sample.size(m.used_memory_peak))
  add("data set", sample.size(m.used_memory_dataset or 0),
    "without buffers and tables")
  add("resident", sample.size(m.used_memory_rss), "as the system sees it")
  add("fragmentation", ("%.2f"):format(m.mem_fragmentation_ratio),
    m.used_memory < 64 << 20 and "means little below 64 MiB"
    or m.mem_fragmentation_ratio > 1.5 and "high: much is resident, unused"
    or m.mem_fragmentation_ratio < 1 and "below 1: it may be swapped out"
    or "usual")
  add("scripts", sample.size(m.used_memory_scripts or 0))
  add("clients", sample.size(m.mem_clients_normal or 0), "their buffers")
  return rows
end

-- Groups with what they are of the sample, and of all keys by estimate.
local function breakdown(rows, by, name, total)
  local bytes = 0
  for _, row in ipairs(rows) do bytes = bytes + (row.bytes or 0) end
  local out = {}
  for i, group in ipairs(sample.groups(rows, by)) do
    if i > 20 then break end
    out[i] = { [name] = group.name, keys = group.keys,
      size = sample.size(group.bytes),
      percent = sample.percent(group.bytes, bytes),
      average = sample.size(group.bytes // group.keys),
      no_ttl_percent = sample.percent(group.no_ttl, group.keys),
      all_by_estimate = sample.size(group.bytes * total // #rows) }
  end
  return out
end

local function columns_of(name)
  return { name, "keys", "size", "percent", "average", "no_ttl_percent",
    "all_by_estimate" }
end

local function largest(rows, n)
  local list = table.move(rows, 1, #rows, 1, {})
  table.sort(list, function(a, b)
    return (a.bytes or 0) > (b.bytes or 0)
  end)
  local out = {}
  for i = 1, math.min(n, #list) do
    local row = list[i]
    out[i] = { key = row.key, type = row.type, size = sample.size(
      row.bytes or 0), bytes = row.bytes, ttl = row.ttl or "none" }
  end
  return out
end

return {
  name = "redis/memory",
  summary = "Memory against the limit, large keys, by type and by prefix",
  description = [[
    Looks at the sizes of the first keys of a SCAN (in the order of the hash
    table, which is as good as random). "all_by_estimate" is what the group
    would take were the whole database as the sample is. With max_used it ends
    with exit 3 when memory is above so many percent of maxmemory; without
    maxmemory it can't judge, and says so.]],
  severity = "P2",
  tags = { "redis", "memory", "check" },
  runbook = "movie booking 'Redis connection issues', festivals",
  needs = { cache = { kind = "redis", help = "what is looked at" } },
  params = {
    sample = { type = "integer", default = 10000, min = 1, max = 200000,
      help = "keys whose size is read" },
    match = { type = "pattern", help = "only of these keys",
      example = "flights::*" },
    largest = { type = "integer", default = 10, min = 1, max = 100,
      help = "how many of the largest to show" },
    max_used = { type = "number", min = 0, max = 100,
      help = "percent of maxmemory", example = 85 },
  },
  example = {
    "opsh run redis/memory",
    "opsh run redis/memory match='flights::*' sample=50000",
    "opsh run redis/memory max_used=85 --output jsonl",
  },
  run = function(t, p)
    local memory = t.cache:info "memory"
    local rows
    step("measure", { again = true }, function()
      rows = measure(t.cache, p)
      return { sampled = #rows }
    end)
    show(overview(memory), { columns = { "what", "value", "detail" } })
    if #rows == 0 then
      log.info("no key%s", p.match and " matches '" .. p.match .. "'" or "")
    else
      -- of a part of the keys nobody knows the number without counting
      local total = p.match and t.cache:count { match = p.match }.count
        or t.cache:dbsize()
      show(breakdown(rows, function(r) return r.type end, "type", total),
        { columns = columns_of "type" })
      show(breakdown(rows, function(r) return sample.prefix(r.key) end,
        "prefix", total), { columns = columns_of "prefix" })
      show(largest(rows, p.largest), { columns = { "size", "type", "ttl",
        "key" } })
    end
    if p.max_used and memory.maxmemory == 0 then
      log.warn "maxmemory is not set: max_used can't be judged"
    elseif p.max_used then
      local used = sample.percent(memory.used_memory, memory.maxmemory)
      if used > p.max_used then
        fail("memory is at %g %% of maxmemory, limit %g", used, p.max_used)
      end
    end
  end,
}
