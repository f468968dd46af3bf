-- opsh plan: the same as run, in plan mode: reads are real, writes are withheld
-- and listed. Owns the command's words only; the order of things is
-- run.runner's.
return {
	summary = "show what a playbook would write; nothing is written",
	usage = "PLAYBOOK [NAME=VALUE ...]",
	options = {
		{ name = "quiet", help = "no closing line on stderr" },
	},
	help = "Exit 0, or 10 with --detailed-exitcode when there is something to "
		.. "write;\n20 when the plan needs a result that only a run has.",
	run = function(ctx, args)
		return require("run.runner").run(ctx, args, "plan")
	end,
}
