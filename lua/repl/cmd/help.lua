-- :help: the commands, one of them, or a guide of `opsh
-- help`. Owns no text: each command's file and each guide
-- says its own.
local command = require "repl.command"

return {
	name = "help",
	summary = "the commands, or help on one, or a guide of opsh",
	usage = "[COMMAND|TOPIC]",
	args = { { name = "COMMAND", kind = "command", optional = true } },
	help = "A value is explained by help(VALUE).",
	run = function(ctx, args)
		local word = args[1] and args[1]:gsub("^:", "")
		if not word then
			ctx.out("commands (a beginning that only one has is enough):\n"
				.. command.overview()
				.. "\n:help COMMAND, help(VALUE), and the guides of opsh: "
				.. ":help TOPIC\n")
			return
		end
		local known, spec = pcall(command.find, word)
		if known then
			ctx.out(command.help(spec))
			return
		end
		require("run.cmd.help").run({ out = ctx.out, rows = ctx.rows },
			{ word })
	end,
}
