-- timer: time as playbooks need it: a clock that never goes back, ticks, a pace
-- for work that must not go faster than so many a second. Waits let other tasks
-- go on. Seconds everywhere. Must not sleep outside of opsh.task.
local task = require "opsh.task"

local timer = {}

local function number(v, what, least)
	if type(v) ~= "number" or v ~= v or v < least or v == math.huge then
		error(("%s must be a finite number, %g or more"):format(what, least), 3)
	end
	return v
end

---Seconds of a clock that never goes back; its zero has no meaning.
---@return number
timer.now = task.now

-- The options of every.
local function check_every(opts)
	if opts ~= nil and type(opts) ~= "table" then
		error(("a table of options expected, got %s"):format(type(opts)), 3)
	end
	for name, value in pairs(opts or {}) do
		if name ~= "count" and name ~= "timeout" then
			error(("unknown option '%s' (known: count, timeout)"):format(
				tostring(name)), 3)
		elseif name == "timeout" then
			number(value, "option 'timeout'", 0)
		elseif math.type(value) ~= "integer" or value < 0 then
			error("option 'count' must be an integer, 0 or more", 3)
		end
	end
end

---Iterates every so many seconds, at once first; a late turn is not repeated.
---@param seconds number 0.001 or more
---@param opts? {count?: integer, timeout?: number} ends after so many or so long
---@return fun(): integer? n 1, 2, 3 ...
---
---    for n in timer.every(1, { count = 3 }) do print(n) end
function timer.every(seconds, opts)
	number(seconds, "seconds", 0.001)
	check_every(opts)
	local count = opts and opts.count or math.huge
	local start, n = task.now(), 0
	local last = start + (opts and opts.timeout or math.huge)
	return function()
		if n >= count then return nil end
		local due = start + n * seconds
		local now = task.now()
		if now < due then
			if due > last then return nil end
			task.sleep(due - now)
		elseif now > last then
			return nil
		elseif now - due >= seconds and n > 0 then
			start = now - n * seconds	-- what was missed stays missed
		end
		n = n + 1
		return n
	end
end

---Runs f(...) in a task of its own after so many seconds.
---@param seconds number
---@param f function
---@param ... any its arguments
---@return userdata task with :wait() and :cancel()
function timer.after(seconds, f, ...)
	number(seconds, "seconds", 0)
	if type(f) ~= "function" then
		error("timer.after(seconds, function, ...) expected", 2)
	end
	return task.spawn(function(...)
		task.sleep(seconds)
		return f(...)
	end, ...)
end

local Pace = {}
Pace.__index = Pace

---Says that n more were done, and waits until that many are allowed.
---@param n number
function Pace:done(n)
	number(n, "n", 0)
	self.total = self.total + n
	local due = self.start + self.total / self.rate
	local now = task.now()
	if now < due then
		task.sleep(due - now)
	elseif now - due > 1 then
		-- a pause is not made up for by a burst of more than a second's work
		self.start = self.start + (now - due - 1)
	end
end

---A pace of at most `rate` a second.
---@param rate number above 0
---@return table pace with :done(n)
---
---    local pace = timer.pace(20000)
---    for keys in cache:scan_batches { match = "x:*" } do
---        cache:unlink(keys)
---        pace:done(#keys)
---    end
function timer.pace(rate)
	number(rate, "rate", 1e-6)
	return setmetatable({ rate = rate, start = task.now(), total = 0 }, Pace)
end

return timer
