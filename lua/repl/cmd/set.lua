-- :set: the settings of the session,
-- listed or set. What there is says
-- repl.settings.
local settings = require "repl.settings"

return {
	name = "set",
	summary = "lists the settings, or sets one",
	usage = "[NAME [VALUE]]",
	args = { { name = "NAME", kind = "setting", optional = true },
		{ name = "VALUE", kind = "value", optional = true } },
	run = function(ctx, args)
		local name = args[1]
		-- psql's and the shell's habit: name=value
		if name and not args[2] and name:find "=" then
			name, args[2] = name:match "^([^=]*)=(.*)$"
		end
		if name and args[2] then
			settings.set(ctx.settings, name, args[2])
			return
		end
		if name then settings.find(name) end
		local rows = {}
		for _, row in ipairs(settings.rows(ctx.settings)) do
			if not name or row.name == name then rows[#rows + 1] = row end
		end
		ctx.rows(rows, { columns = { "name", "value", "takes", "what" } })
	end,
}
