-- latency: how long an HTTP target takes to answer, phase by phase: the median and
-- the worst of some requests, one after the other on one connection. Reads only.
--   opsh run examples/scripts/latency.lua /health 20 --target gateway=http://localhost:8080
local path, count = ... or "/", math.tointeger(select(2, ...) or 10)

local phases = { "dns", "connect", "tls", "first_byte", "total" }
local samples, statuses = {}, {}
for _, phase in ipairs(phases) do samples[phase] = {} end
for _ = 1, count do
  local r = gateway:get(path, { timeout = 10 })
  statuses[r.status] = (statuses[r.status] or 0) + 1
  for _, phase in ipairs(phases) do
    table.insert(samples[phase], r.timing[phase] * 1000)
  end
end

local rows = {}
for n, phase in ipairs(phases) do
  table.sort(samples[phase])
  rows[n] = { phase = phase, median_ms = samples[phase][(count + 1) // 2],
    worst_ms = samples[phase][count] }
  for _, column in ipairs { "median_ms", "worst_ms" } do
    rows[n][column] = tonumber(("%.2f"):format(rows[n][column]))
  end
end
show(rows, { columns = { "phase", "median_ms", "worst_ms" } })
for status, n in pairs(statuses) do log.info("status %d: %d times", status, n) end
