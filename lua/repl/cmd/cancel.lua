-- :cancel: stops a job; its `<close>` variables run. Waits for its end, so that
-- what it was doing has its outcome on record. Must not touch an entry in the
-- foreground: Ctrl-C does.
local ctask = require "opsh.c.task"
local fail = require "run.fail"
local words = require "run.words"

local PATIENCE = 5	-- seconds that an end is waited for

local function chosen(ctx, text)
	if text == "all" then
		return table.move(ctx.jobs.list, 1, #ctx.jobs.list, 1, {})
	end
	local job = ctx.jobs:get(math.tointeger(tonumber(text)) or 0)
	if job then return { job } end
	local known = {}
	for n, other in ipairs(ctx.jobs.list) do known[n] = tostring(other.id) end
	fail.usage(":cancel: there is no job '%s' (running: %s)", text,
		words.list(known))
end

return {
	name = "cancel",
	summary = "stops a job of :jobs",
	usage = "N|all",
	args = { { name = "N", kind = "job" } },
	run = function(ctx, args)
		local list = chosen(ctx, args[1])
		for _, job in ipairs(list) do job.task:cancel() end
		local till = ctask.now() + PATIENCE
		for _, job in ipairs(list) do
			while job.task:status() == "running" and ctask.now() < till do
				ctask.sleep(0.01)
			end
		end
	end,
}
