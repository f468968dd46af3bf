-- :bg: an entry in the background: the prompt is back at once, its results and its
-- end are told when they come. It is a task that this entry leaves behind, so that
-- the session makes a job of it: :jobs, :cancel.
local ctask = require "opsh.c.task"
local eval = require "repl.eval"
local fail = require "run.fail"

return {
	name = "bg",
	summary = "runs an entry in the background",
	usage = "CODE",
	raw = "text",
	rest = "expr",
	run = function(ctx, args)
		if args.text == "" then fail.usage ":bg: what is to run?" end
		local chunk = eval.compile(ctx, args.text, "bg")
		ctask.spawn(function()
			ctx.show(table.pack(chunk()))
		end)
		ctx.err(("job %d\n"):format(ctx.jobs.count + 1))
	end,
}
