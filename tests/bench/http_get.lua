-- http_get: what http_get.c does, as a user of opsh writes it: GETs of
-- /bytes/1k?0 .., so many in flight, each status and body looked at. Prints seconds
-- and the sum of lengths like the C program. Target: web. Must not tune what a
-- user would not.
local task = require "opsh.task"
local timer = require "opsh.timer"

local COUNT = math.tointeger(tonumber(os.getenv "BENCH_COUNT" or "20000"))
local MANY = math.tointeger(tonumber(os.getenv "BENCH_MANY" or "50"))

local numbers = {}
for i = 1, COUNT do
	numbers[i] = i - 1
end

local start, sum = timer.now(), 0
task.map(numbers, { limit = MANY }, function(i)
	local r = web:get("/bytes/1k?" .. i)
	if r.status ~= 200 then
		error("status " .. r.status)
	end
	sum = sum + #r.body
end)
print(("%.6f %d"):format(timer.now() - start, sum))
