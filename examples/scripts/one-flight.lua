-- one-flight: what the cache knows of a flight: value, type, lifetime, size. Reads
-- only.
--   opsh run examples/scripts/one-flight.lua UAL123 --target cache=redis://localhost
local flight = ... or error("a call sign is needed, such as UAL123", 0)
local key = "flights::" .. flight

if cache:exists(key) == 0 then
  print(("'%s' is not in the cache"):format(key))
else
  show { key = key, type = cache:type(key), ttl = cache:ttl(key),
    bytes = cache:memory_usage(key), value = cache:get(key) }
end
