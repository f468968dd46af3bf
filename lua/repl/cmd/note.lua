-- :note: a line of a person's into the journal of the session,
-- where the timeline shows it. Must not be lost: it is on disk
-- when this returns.
local effect = require "opsh.c.effect"

return {
	name = "note",
	summary = "writes a line into the journal and its timeline",
	usage = "TEXT",
	raw = "text",
	rest = "text",
	run = function(ctx, args)
		if args.text == "" then
			require("run.fail").usage ":note: what is to be noted?"
		end
		effect.record("note", { text = args.text }, true)
		ctx.err "noted\n"
	end,
}
