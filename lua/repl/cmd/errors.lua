-- :errors: the last errors of the session, or one of them with all
-- that it says: the frames that it came from too.
-- They are kept by repl.errors.
local errors = require "repl.errors"
local fail = require "run.fail"
local words = require "run.words"

return {
	name = "errors",
	summary = "shows the last error with its traceback, or lists the last ones",
	usage = "[N|list]",
	args = { { name = "N", kind = "number", optional = true } },
	help = [[
:errors          the last error, with the frames that it came from
:errors 3        the third last
:errors list     those that are kept, newest first]],
	run = function(ctx, args)
		local kept = ctx.errors or {}
		if args[1] == "list" then
			local rows = {}
			for n, kind, message in errors.each(ctx) do
				rows[n] = { n = n, kind = kind,
					message = words.shorten(message, 200) }
			end
			return ctx.rows(rows, { columns = { "n", "kind", "message" } })
		end
		local n = math.tointeger(tonumber(args[1] or 1))
		if not n or n < 1 then
			fail.usage(":errors: a number or 'list' expected, not '%s'", args[1])
		end
		if #kept == 0 then return ctx.out "there was no error\n" end
		if not kept[n] then
			fail.usage(":errors: there are only %d", #kept)
		end
		require("opsh.c.term").ours(1, errors.text(ctx, kept[n].error, kept[n].text,
			true))
	end,
}
