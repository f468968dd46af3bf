-- :read: read-only mode. Needs no reason; it is on record all the
-- same, as is each change of mode, and ends a window that :write
-- has opened.
local effect = require "opsh.c.effect"

return {
	name = "read",
	summary = "read-only mode: every write is refused",
	run = function(ctx)
		if effect.mode() ~= "read" then
			effect.mode "read"
			effect.record("mode", { mode = "read", how = "asked",
				text = "read-only" })
		end
		ctx.err "the session is read-only\n"
	end,
}
