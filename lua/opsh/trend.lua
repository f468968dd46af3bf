-- trend: does it grow? The straight line through points of time and value (least
-- squares), and when it meets a limit. For memory over hours, queues, disks. Pure:
-- where the points come from is the caller's affair.
local M = {}

-- A line through points.
---@class opsh.trend.line
---@field slope number a second
---@field first number the line's value at the first point
---@field last number the line's value at the last point
---@field fit number 0 to 1: how much of the change it tells (r squared)
---@field seconds number from the first point to the last
---@field points integer

---The line through these points; nil with fewer than three, or with no time
---between them.
---@param points {[1]: number, [2]: number}[] time in seconds, value
---@return opsh.trend.line?
function M.line(points)
	local n, st, sv = #points, 0, 0
	if n < 3 then return nil end
	for _, p in ipairs(points) do st, sv = st + p[1], sv + p[2] end
	local mt, mv = st / n, sv / n
	local tt, tv, vv = 0, 0, 0
	for _, p in ipairs(points) do
		local dt, dv = p[1] - mt, p[2] - mv
		tt, tv, vv = tt + dt * dt, tv + dt * dv, vv + dv * dv
	end
	if tt == 0 then return nil end
	local slope = tv / tt
	return { slope = slope, first = mv + slope * (points[1][1] - mt),
		last = mv + slope * (points[n][1] - mt), points = n,
		fit = vv > 0 and tv * tv / (tt * vv) or 1,
		seconds = points[n][1] - points[1][1] }
end

---Seconds until the line meets `limit`; nil when it does not go there.
---@param line opsh.trend.line
---@param limit number
---@return number?
function M.meets(line, limit)
	if line.last >= limit then return 0 end
	return line.slope > 0 and (limit - line.last) / line.slope or nil
end

---Is it a leak rather than noise? It rises steadily (fit), and by a share of
---what it was at first.
---@param line opsh.trend.line
---@param share? number of the first value (0.1)
---@return boolean
function M.grows(line, share)
	return line.slope > 0 and line.fit >= 0.7
		and line.last - line.first >= (share or 0.1) * math.max(line.first, 1)
end

return M
