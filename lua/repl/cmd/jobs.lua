-- :jobs: what goes on in the background: tasks of entries that have ended, and
-- entries of :bg. A view of the session's list (repl.jobs), which tells the end of
-- each; changes nothing.
local ctask = require "opsh.c.task"
local words = require "run.words"

return {
	name = "jobs",
	summary = "what goes on in the background",
	run = function(ctx)
		local rows = {}
		for n, job in ipairs(ctx.jobs.list) do
			rows[n] = { job = job.id, entry = job.entry,
				seconds = ("%.1f"):format(ctask.now() - job.began),
				what = words.shorten(job.text:gsub("%s+", " "), 60) }
		end
		if #rows == 0 then
			ctx.err "no jobs\n"
			return
		end
		ctx.rows(rows, { columns = { "job", "entry", "seconds", "what" } })
	end,
}
