-- http_health: the health of BENCH_COUNT services, all at once, each reply
-- looked at; prints the seconds and how many are up. Target: web. Must not
-- tune what a user would not.
local task = require "opsh.task"
local timer = require "opsh.timer"

local services = {}
for i = 1, math.tointeger(tonumber(os.getenv "BENCH_COUNT" or "50")) do
	services[i] = "/health?svc=" .. i
end

local start, up = timer.now(), 0
task.map(services, { limit = #services }, function(path)
	local r = web:get(path, { timeout = 5 })
	if r.status == 200 and r.body:find("UP", 1, true) then
		up = up + 1
	end
end)
print(("%.6f %d"):format(timer.now() - start, up))
