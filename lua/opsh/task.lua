-- task: concurrent waits, structured. A task is a coroutine on the one loop;
-- whatever waits (a query, a sleep) lets the others go on. Over the C module
-- opsh.c.task. Must not keep a task alive after the call that made it.
local c = require "opsh.c.task"

local M = { spawn = c.spawn, sleep = c.sleep, now = c.now }

-- Spawns fs[1] to fs[n]; all of them or, when one can't be, none.
local function start(fs, n)
	local handles = {}
	for i = 1, n do
		if type(fs[i]) ~= "function" then
			error(("function expected, got %s at %d"):format(type(fs[i]), i), 3)
		end
	end
	local _ <close> = setmetatable({}, { __close = function(_, e)
		if e == nil then return end
		for _, h in ipairs(handles) do h:cancel() end
	end })
	for i = 1, n do handles[i] = c.spawn(fs[i]) end
	return handles
end

-- Runs the functions at once; waits for all. When one fails the others are
-- cancelled and its error is raised.
---@param ... function|function[] functions, or one list of them
---@return any ... the first result of each, in order (a list for a list)
function M.all(...)
	local list = select("#", ...) == 1 and type((...)) == "table"
	local handles = start(list and (...) or { ... },
		list and #(...) or select("#", ...))
	c.join(handles)
	local out = {}
	for i, h in ipairs(handles) do out[i] = (h:wait()) end
	if list then return out end
	return table.unpack(out, 1, #handles)
end

-- Runs f on each item, at most `limit` at once (default: 32).
---@param list any[]
---@param opts? {limit?: integer}
---@param f fun(item: any, index: integer): any
---@return any[] results in the list's order
function M.map(list, opts, f)
	if f == nil then opts, f = nil, opts end
	if type(list) ~= "table" or type(f) ~= "function" then
		error("task.map(list, [{limit = n},] function) expected", 2)
	end
	for k in pairs(opts or {}) do
		if k ~= "limit" then
			error(("unknown option '%s' (known: limit)"):format(tostring(k)), 2)
		end
	end
	local limit = opts and opts.limit or 32
	if math.type(limit) ~= "integer" or limit < 1 then
		error("option 'limit' must be an integer, 1 or more", 2)
	end
	local out, at, n = {}, 0, #list
	local function worker()
		while at < n do
			at = at + 1
			local i = at
			out[i] = f(list[i], i)
		end
	end
	local workers = {}
	for i = 1, math.min(limit, n) do workers[i] = worker end
	c.join(start(workers, #workers))
	return out
end

-- Runs the functions at once; the first to end decides, by its results or its
-- error; the others are cancelled.
---@param ... function
---@return any ... its results
function M.race(...)
	if select("#", ...) == 0 then error("task.race needs a function", 2) end
	local handles = start({ ... }, select("#", ...))
	return handles[c.join(handles, true)]:wait()
end

-- Runs f(...) for at most `seconds`, then cancels it and raises an error of kind
-- timeout, also when f swallowed it.
---@param seconds number
---@param f function
---@param ... any its arguments
---@return any ... f's results
function M.timeout(seconds, f, ...)
	if type(seconds) ~= "number" or type(f) ~= "function" then
		error("task.timeout(seconds, function, ...) expected", 2)
	elseif not (seconds >= 0 and seconds < math.huge) then
		error("seconds must be a finite number, 0 or more", 2)
	end
	local h = c.spawn(f, ...)
	h:deadline(seconds)
	c.join { h }
	return h:wait()
end

return M
