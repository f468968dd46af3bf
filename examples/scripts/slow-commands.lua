-- slow-commands: what has kept the server busy: its slow log, by command, with
-- the PING of this moment beside it. Both are asked for at once.
--   opsh run examples/scripts/slow-commands.lua --target cache=redis://localhost
local function ping()
  local began = task.now()
  cache:ping()
  return (task.now() - began) * 1000
end

local log_, ms = task.all(
  function() return cache:slowlog_get(128) end, ping)

local groups, rows = {}, {}
for _, entry in ipairs(log_) do
  local name = entry[4][1]:upper()
  local row = groups[name]
  if not row then
    row = { command = name, times = 0, longest_ms = 0 }
    groups[name], rows[#rows + 1] = row, row
  end
  row.times = row.times + 1
  row.longest_ms = math.max(row.longest_ms, entry[3] / 1000)
end
table.sort(rows, function(a, b) return a.longest_ms > b.longest_ms end)
show(rows, { columns = { "command", "times", "longest_ms" } })
log.info("PING takes %.2f ms; the slow log begins at %s us", ms,
  cache:config_get("slowlog-log-slower-than")["slowlog-log-slower-than"])
