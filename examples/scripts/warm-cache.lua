-- warm-cache: writes flights into the cache from a file, one "KEY VALUE" a line,
-- with a TTL, a thousand at a time. A write is done once, or the run ends.
--   opsh run examples/scripts/warm-cache.lua flights.txt --target cache=URL
local TTL <const> = 3600

local path = ... or error("the file to read is needed", 0)
local batch, written = {}, 0

local function send()
  if #batch == 0 then return end
  local replies = cache:pipeline(function(p)
    for _, item in ipairs(batch) do p:set(item[1], item[2], "EX", TTL) end
  end)
  written = written + #replies
  batch = {}
end

for line in io.lines(path) do
  local key, value = line:match "^(%S+)%s+(.+)$"
  if key then
    batch[#batch + 1] = { key, value }
    if #batch == 1000 then send() end
  end
end
send()
log.info("%d keys written, for %d s", written, TTL)
