-- complete.values: inside a string: the values that the documentation lists for
-- this option or this argument, and the names of modules in `require "..."`. Owns
-- no value.
local docs = require "run.docs"

local function listed(c)
	local str = c.str
	if str.key then
		for _, field in ipairs(c.fields or {}) do
			if field.name == str.key then return field.type end
		end
	elseif str.call and str.call.param and not str.table then
		return str.call.param.type
	end
end

return {
	order = 20,
	complete = function(c, list)
		if not c.str then return false end
		list:start(c.str.from)
		local call = c.str.call
		if call and call.member and call.member.name == "require"
			and not call.thing.owner then
			for _, name in ipairs(docs.modules()) do
				list:add(name, "module", docs.summary(name))
			end
			return true
		end
		local values = docs.values(listed(c))
		for _, value in ipairs(values) do list:add(value, "value") end
		return #values > 0
	end,
}
