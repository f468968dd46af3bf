-- jobs: tasks that an entry has spawned and that go on after it. Each is watched
-- by a task of the session, which tells its end. Owns the list of those that run;
-- must not run anything itself.
local task = require "opsh.c.task"

local Jobs = {}
Jobs.__index = Jobs

---@class repl.job
---@field id integer
---@field entry integer the entry that spawned it
---@field text string of that entry
---@field task opsh.task.handle
---@field began number task.now()

---Takes tasks that an entry has left behind. To be called in the session's task.
---@param tasks opsh.task.handle[]
---@param entry integer
---@param text string
---@param ended fun(job: repl.job, e?: any) e: what it failed with
function Jobs:add(tasks, entry, text, ended)
	for _, handle in ipairs(tasks) do
		self.count = self.count + 1
		local job = { id = self.count, entry = entry, text = text,
			task = handle, began = task.now() }
		self.list[#self.list + 1] = job
		job.watcher = task.spawn(function()
			local ok, e = pcall(handle.wait, handle)
			for n, other in ipairs(self.list) do
				if other == job then table.remove(self.list, n) end
			end
			ended(job, not ok and e or nil)
		end)
	end
end

---The job of a number; nil when there is none.
---@param id integer
---@return repl.job?
function Jobs:get(id)
	for _, job in ipairs(self.list) do
		if job.id == id then return job end
	end
end

---Tells all of them to stop; does not wait.
function Jobs:cancel()
	for _, job in ipairs(self.list) do job.task:cancel() end
end

return { new = function()
	return setmetatable({ list = {}, count = 0 }, Jobs)
end }
