-- kafka_produce: messages of one size written in lists; the twin of kafka_produce.c.
-- BENCH_N messages of BENCH_SIZE bytes in lists of BENCH_BATCH. Prints seconds and
-- how many were delivered. Target: events. Must not tune what a user would not.
local timer = require "opsh.timer"
local n = math.tointeger(os.getenv "BENCH_N")
local batch = math.tointeger(os.getenv "BENCH_BATCH")
local topic = os.getenv "BENCH_TOPIC"
local value = ("x"):rep(math.tointeger(os.getenv "BENCH_SIZE"))
local list = {}
for i = 1, batch do list[i] = value end

events:produce { topic = topic, value = value } -- connecting is not counted, as in C
local start = timer.now()
local done = 0
for _ = 1, n // batch do done = done + events:produce(topic, list).done end
print(("%.6f %d"):format(timer.now() - start, done))
