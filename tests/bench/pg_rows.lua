-- pg_rows: rows streamed and every value touched; the twin of pg_rows.c. BENCH_N
-- rows; BENCH_HOW "reuse" takes one table for all of them. Prints the sums. Target:
-- db. Must not tune what a user would not.
local n = os.getenv "BENCH_N"
local opts = { reuse = os.getenv "BENCH_HOW" == "reuse" }
local sql = "select i, 'row ' || i as t, i * 1.5::float8 as f, "
  .. "i::bigint * 1000000 as b, i % 2 = 0 as e from generate_series(1, "
  .. n .. ") i"

local count, sum, text, floats, big, even = 0, 0, 0, 0.0, 0, 0
for row in db:rows(sql, opts) do
  count = count + 1
  sum = sum + row.i
  text = text + #row.t
  floats = floats + row.f
  big = big + row.b
  if row.e then even = even + 1 end
end
print(("%d %d %d %.1f %d %d"):format(count, sum, text, floats, big, even))
