-- task: what the specs of tasks share: a value that calls a function when it is closed,
-- and how long a function takes. Loaded with dofile. Owns nothing; the margins of time
-- are the spec's, and wide.
local ctask = require "opsh.c.task"

local M = {}

function M.closer(f) return setmetatable({}, { __close = f }) end

-- Raises unless f took between min and max seconds; returns its results.
function M.within(min, max, f, ...)
	local began = ctask.now()
	local out = table.pack(pcall(f, ...))
	local took = ctask.now() - began
	if took < min or took > max then
		error(("took %.3f s, expected %.3f to %.3f"):format(took, min, max), 2)
	end
	if not out[1] then error(out[2], 0) end
	return table.unpack(out, 2, out.n)
end

return M
