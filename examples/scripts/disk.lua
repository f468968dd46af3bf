-- disk: what fills a folder: its largest entries, and how full the disk below it is.
-- `du` is run without a shell, and told to be a read.
--   opsh run examples/scripts/disk.lua /var/log
local folder = ... or "."
local df = fs.df(folder)

local rows = {}
for line in sh.lines { "du", "-k", "-x", "--max-depth=1", "--", folder,
    effect = "read", accept = true, timeout = 300 } do
  local kib, path = line:match "^(%d+)\t(.*)$"
  if path and path ~= folder then
    rows[#rows + 1] = { MiB = tonumber(("%.1f"):format(kib / 1024)), path = path }
  end
end
table.sort(rows, function(a, b) return a.MiB > b.MiB end)
show(table.move(rows, 1, math.min(10, #rows), 1, {}), { columns = { "MiB", "path" } })
print(("disk: %.0f %% full, %d MiB free"):format(df.percent, df.free >> 20))
