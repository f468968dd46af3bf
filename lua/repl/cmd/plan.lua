-- :plan: `opsh plan` from within the session, on its targets: see
-- repl.launch. A plan writes nothing, so it runs in a session that is
-- read-only too.
local launch = require "repl.launch"

return {
	name = "plan",
	summary = "shows what a playbook would write; writes nothing",
	usage = "PLAYBOOK [NAME=VALUE ...]",
	raw = "words",
	args = { { name = "PLAYBOOK", kind = "playbook" },
		{ name = "NAME=VALUE", kind = "param", optional = true, many = true } },
	run = function(ctx, args)
		launch.words(args, "plan", "a playbook")
		launch.run(ctx, "plan", args)
	end,
}
