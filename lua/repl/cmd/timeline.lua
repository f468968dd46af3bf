-- :timeline: what happened in this session, or in a
-- run of the past: the view of `opsh timeline`.
-- Changes nothing.
local effect = require "opsh.c.effect"
local view = require "run.cmd.timeline"

return {
	name = "timeline",
	summary = "what happened in this session, or in a run",
	usage = "[RUN|last] [--reads] [--all]",
	args = { { name = "RUN", kind = "run", optional = true } },
	options = view.options,
	run = function(ctx, args)
		local status = effect.status()
		if not args[1] and not status.open then
			ctx.err "nothing is on record yet\n"
			return
		end
		view.run({ output = "text", err = ctx.err, rows = ctx.rows },
			{ args[1] or status.run, options = args.options })
	end,
}
