-- pg_rows: rows streamed and every value touched; the twin of pg_rows.c. BENCH_N
-- rows; BENCH_HOW "reuse" takes one table for all of them. Prints seconds
-- and a sum. Target: db. Must not tune what a user would not.
local timer = require "opsh.timer"
local n = os.getenv "BENCH_N"
local opts = { reuse = os.getenv "BENCH_HOW" == "reuse" }
local sql = "select i, 'row ' || i as t, i * 1.5::float8 as f, "
  .. "i::bigint * 1000000 as b, i % 2 = 0 as e from generate_series(1, "
  .. n .. ") i"

db:value "select 1" -- connecting is not counted, as in C
local start = timer.now()
local sum, text, floats, big, even = 0, 0, 0.0, 0, 0
for row in db:rows(sql, opts) do
  sum = sum + row.i
  text = text + #row.t
  floats = floats + row.f
  big = big + row.b
  if row.e then even = even + 1 end
end
print(("%.6f %d"):format(timer.now() - start,
  sum + text + math.floor(floats) + big + even))
