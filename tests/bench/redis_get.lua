-- redis_get: what redis_get.c does, as a user of opsh writes it: GETs over a
-- flat list of keys, in batches, each value looked at. Prints seconds and sum
-- of lengths like the C program. Target: cache. Must not tune what a user
-- would not.
local timer = require "opsh.timer"

local COUNT = math.tointeger(tonumber(os.getenv "BENCH_COUNT" or "100000"))
local BATCH = math.tointeger(tonumber(os.getenv "BENCH_BATCH" or "1000"))

local batches = {}
for from = 0, COUNT - 1, BATCH do
	local keys = {}
	for i = from, math.min(from + BATCH, COUNT) - 1 do
		keys[#keys + 1] = "bench:" .. i
	end
	batches[#batches + 1] = keys
end
cache:ping()		-- connect and greeting are not counted, as in C

local start, sum = timer.now(), 0
for _, keys in ipairs(batches) do
	for _, value in ipairs(cache:pipeline("GET", keys)) do
		sum = sum + #value
	end
end
print(("%.6f %d"):format(timer.now() - start, sum))
