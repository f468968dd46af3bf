-- spawn_many: what spawn_many.c does, by sh.run: BENCH_COUNT children at once,
-- while BENCH_MEGABYTES are held: a line that does not end, as Lua itself may not
-- have so much. Prints the seconds and how many ended well.
local count = tonumber(os.getenv "BENCH_COUNT")
local megabytes = tonumber(os.getenv "BENCH_MEGABYTES")

local function rss()
	for line in io.lines "/proc/self/status" do
		local k = line:match "^VmRSS:%s+(%d+)"
		if k then return tonumber(k) * 1024 / 1e6 end
	end
end

local held <close> = sh.start { "sh", "-c",
	("head -c %d /dev/zero; exec sleep 1000"):format(megabytes * 1000000),
	max = 4 * megabytes * 1000000, effect = "read" }
local reader = task.spawn(function() return held:lines()(held) end)
while rss() < megabytes do task.sleep(0.05) end

local jobs = {}
for n = 1, count do
	jobs[n] = function()
		return sh.run { "true", effect = "read" }.status
	end
end
local well = 0
local start = task.now()
local results = table.pack(task.all(jobs))
local took = task.now() - start
for _, status in ipairs(results.n == 1 and results[1] or results) do
	if status == 0 then well = well + 1 end
end
print(("%.6f %d"):format(took, well))
reader:cancel()
