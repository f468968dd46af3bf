-- :help: the commands, one of them, or what repl.help knows of a topic. Owns no
-- text: each command's file, each guide and each function's comment says its
-- own.
local command = require "repl.command"

return {
	name = "help",
	summary = "the commands, or help on one, or on any topic",
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
		ctx.out(require("repl.help").topic(ctx, word))
	end,
}
