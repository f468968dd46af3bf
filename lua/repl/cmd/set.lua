-- :set: the settings of the session,
-- listed or set. What there is says
-- repl.settings.
local settings = require "repl.settings"

-- NAME, NAME VALUE, and psql's and the shell's habit: NAME=VALUE. A value is what
-- follows, as a command of its own may have quotes; those round all of it go.
local function read(text)
	local name, value = text:match "^%s*([%w_]+)%s*=?%s*(.-)%s*$"
	if not name then return text:match "%S+" end
	value = value:match '^"([^"]*)"$' or value:match "^'([^']*)'$" or value
	return name, value ~= "" and value or nil
end

return {
	name = "set",
	summary = "lists the settings, or sets one",
	usage = "[NAME [VALUE]]",
	raw = "text",
	args = { { name = "NAME", kind = "setting", optional = true },
		{ name = "VALUE", kind = "value", optional = true } },
	run = function(ctx, args)
		local name, value = read(args.text)
		if name and value then
			settings.set(ctx.settings, name, value)
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
