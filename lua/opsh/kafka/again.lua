-- kafka.again: asking until it is so. What one broker has decided the others learn a
-- moment later, and coordinators have to be found: both pass by themselves, within a
-- limit. Knows nothing of what is asked.
local err = require "opsh.c.err"
local task = require "opsh.task"

local M = {}

local PATIENCE <const> = 5	-- seconds, for what passes
local SETTLE <const> = 10	-- seconds, until a change is seen

-- Codes of a coordinator that is being found or reads its log: a cluster's first group,
-- a broker that has just started.
M.coordinator = { COORDINATOR_NOT_AVAILABLE = true,
	COORDINATOR_LOAD_IN_PROGRESS = true, NOT_COORDINATOR = true }

---Does each of these agree? They are asked at once.
---@param list any[]
---@param f fun(item: any): boolean
---@return boolean
function M.all(list, f)
	for _, so in ipairs(task.map(list, { limit = 16 }, f)) do
		if not so then return false end
	end
	return true
end

---Calls f until it says that it need not be asked again, raises something else than
---these codes, or time is up.
---@param codes {[string]: boolean}
---@param opts? {timeout?: number}
---@param f fun(): boolean, ... true: ask again; then what came
---@return any ... what came
function M.patiently(codes, opts, f)
	local until_ = task.now() + math.min(opts and opts.timeout or PATIENCE, PATIENCE)
	local pause = 0.05
	while true do
		local results = table.pack(pcall(f))
		local again = results[2]
		if not results[1] then
			again = err.is(again) and codes[again.code]
		end
		if not again or task.now() >= until_ then
			if not results[1] then error(results[2], 0) end
			return table.unpack(results, 3, results.n)
		end
		task.sleep(pause)
		pause = math.min(pause * 2, 0.4)
	end
end

---Waits until a change can be seen; `seen` of the result says whether it was.
---@param result table of the change
---@param opts {timeout?: number}
---@param look fun(): boolean is it so?
---@return table result
function M.settle(result, opts, look)
	local until_, pause = task.now() + (opts.timeout or SETTLE), 0.005
	while true do
		result.seen = look()
		if result.seen or task.now() >= until_ then return result end
		task.sleep(pause)
		pause = math.min(pause * 2, 0.25)
	end
end

return M
