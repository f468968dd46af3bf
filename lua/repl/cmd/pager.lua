-- :pager: the result before, as a whole, in $PAGER. What is shown is
-- made anew: the cap of rows that the entry's own print had does not
-- hold here.
local fail = require "run.fail"

return {
	name = "pager",
	summary = "shows the result before (_) in $PAGER, all of it",
	run = function(ctx)
		local value = ctx.env and rawget(ctx.env, "_")
		if value == nil then fail.usage ":pager: there is no result yet" end
		require("repl.show").page(ctx, value)
	end,
}
