-- kafka_consume: a topic read from its beginning to its end, every value touched; the
-- twin of kafka_consume.c. BENCH_HOW "reuse" takes one table for all messages. Prints
-- seconds and bytes. Target: events. Must not tune what a user would not.
local timer = require "opsh.timer"
local topic = os.getenv "BENCH_TOPIC"
local reuse = os.getenv "BENCH_HOW" == "reuse"

events:identity() -- connecting is not counted, as in C
local start = timer.now()
local bytes = 0
for m in events:messages { topic = topic, reuse = reuse } do
  bytes = bytes + #m.value
end
print(("%.6f %d"):format(timer.now() - start, bytes))
