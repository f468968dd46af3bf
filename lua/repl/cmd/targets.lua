-- :targets: what can be reached from here, and
-- whether it is. Connects to nothing unless it
-- is asked to.
local targets = require "repl.targets"

return {
	name = "targets",
	summary = "the targets: kind, address, role, state",
	usage = "[NAME] [--ping]",
	args = { { name = "NAME", kind = "target", optional = true } },
	options = {
		{ name = "ping", help = "asks each, and says how long a call takes" },
	},
	run = function(ctx, args)
		local rows = targets.rows(ctx, args.options.ping, args[1])
		if #rows == 0 then
			ctx.err "no targets; :connect NAME=URL adds one\n"
			return
		end
		ctx.rows(rows, { columns = args.options.ping
			and { "name", "kind", "url", "role", "latency", "state" }
			or { "name", "kind", "url", "role", "state" } })
	end,
}
