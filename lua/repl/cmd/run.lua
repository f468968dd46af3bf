-- :run: `opsh run` from within the session, on its targets and in
-- its mode: see repl.launch. Ctrl-C stops the run; the session
-- goes on.
local launch = require "repl.launch"

return {
	name = "run",
	summary = "runs a playbook, as a run of its own",
	usage = "PLAYBOOK [NAME=VALUE ...]",
	raw = "words",
	args = { { name = "PLAYBOOK", kind = "playbook" },
		{ name = "NAME=VALUE", kind = "param", optional = true, many = true } },
	help = "It has a journal of its own, so :resume goes on with it. In a session "
		.. "that is\nread-only its writes are refused; one that has begun in write "
		.. "mode ends in it.",
	run = function(ctx, args)
		launch.words(args, "run", "a playbook")
		launch.warn_read_only(ctx)
		launch.run(ctx, "run", args)
	end,
}
