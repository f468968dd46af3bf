-- :resume: `opsh resume` from within the session: see repl.launch. What
-- the run has done is in its journal; this one's says that it was
-- resumed.
local effect = require "opsh.c.effect"
local launch = require "repl.launch"

return {
	name = "resume",
	summary = "goes on with a run that was interrupted",
	usage = "RUN|last [NAME=VALUE ...]",
	raw = "words",
	args = { { name = "RUN", kind = "resumable" },
		{ name = "NAME=VALUE", kind = "param", optional = true, many = true } },
	run = function(ctx, args)
		launch.words(args, "resume", "a run, or 'last',")
		-- it was begun in write mode and goes on in it
		if effect.mode() == "read" then
			require("run.fail").raise { kind = "refused", code = "MODE",
				message = "the session is read-only: a run is not gone on with",
				hint = ":write 10m REASON allows it for ten minutes" }
		end
		launch.run(ctx, "resume", args)
	end,
}
