-- ttl-report: how long the flights in the cache still live. A script: it
-- returns nothing, so it runs as typed lines would, each effect on record.
--   opsh run examples/scripts/ttl-report.lua --target cache=redis://localhost
local sample = require "opsh.redis.sample"

local keys = sample.scanned(cache, 5000, ... or "flights::*")
show(sample.lifetimes(sample.describe(cache, keys)),
  { columns = { "lifetime", "keys", "percent" } })
