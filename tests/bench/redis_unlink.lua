-- redis_unlink: what redis_unlink.c does, as a user of opsh writes it: SCAN in
-- batches, UNLINK of each. Prints seconds and number of keys like the C
-- program. Target: cache. Must not tune what a user would not.
local timer = require "opsh.timer"

local PATTERN = os.getenv "BENCH_PATTERN" or "flights::*"
local COUNT = math.tointeger(tonumber(os.getenv "BENCH_COUNT" or "10000"))

cache:ping()		-- connect and greeting are not counted, as in C

local start, total = timer.now(), 0
for keys in cache:scan_batches { match = PATTERN, count = COUNT } do
	total = total + cache:unlink(keys).count
end
print(("%.6f %d"):format(timer.now() - start, total))
