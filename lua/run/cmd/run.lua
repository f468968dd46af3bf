-- opsh run: a playbook, or a script, against the real thing. All that can be
-- checked is checked before the first write. Owns the command's words only; the
-- order of things is run.runner's.
return {
	summary = "run a playbook or a script",
	usage = "PLAYBOOK [NAME=VALUE ...]",
	options = {
		{ name = "undo", help = "when a step fails, undo the finished ones" },
		{ name = "quiet", help = "no closing line on stderr" },
	},
	help = "PLAYBOOK is a path, or the name of one that `opsh list` shows.",
	run = function(ctx, args)
		return require("run.runner").run(ctx, args, "write")
	end,
}
