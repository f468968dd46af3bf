-- complete.http: paths in `gateway "/..."` and `gateway:get("/...")`: those that were
-- asked for in this session, by what was typed. Sends nothing; what was seen is
-- kept by repl.seen.
local seen = require "repl.seen"

return {
	order = 12,
	complete = function(c, list)
		local call = c.str and c.str.first and not c.str.table and c.str.call
		local thing = call and call.thing
		local target = thing and (thing.target or thing.owner
			and thing.owner.target)
		if not target or target.kind ~= "http" or not c.str.text:find "^/" then
			return false
		end
		list:start(c.str.from)
		for _, path in ipairs(seen.paths(c.ctx, target.name)) do
			list:add(path, "path")
		end
		return true
	end,
}
