-- opsh resume: goes on with a run of a playbook that was interrupted. Owns the
-- words of the command; run.resume judges what ended and what is in doubt. Must
-- not guess: a person is asked.
return {
	summary = "go on with a run that was interrupted",
	usage = "RUN|last [NAME=VALUE ...]",
	options = {
		{ name = "undo", help = "when a step fails, undo the finished ones" },
		{ name = "quiet", help = "no closing line on stderr" },
	},
	help = "Finished steps are not run again: they give their recorded results. "
		.. "A step in\ndoubt is settled by its probe, or by you. Only secret "
		.. "parameters are given again.\nExit 12 when the playbook or a target "
		.. "is not what it was, 13 when a step stays in\ndoubt.",
	run = function(ctx, args)
		return require("run.runner").resume(ctx, args)
	end,
}
