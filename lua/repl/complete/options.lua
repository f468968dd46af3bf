-- complete.options: inside `{}` of a documented call: the options that are not given
-- yet, with their types; after `name =` the values that the documentation lists.
-- Owns no option: all are of lua/meta and lua/opsh.
local docs = require "run.docs"

-- After `key =`, not within an expression.
local function at_value(c)
	local last = c.tokens[#c.tokens]
	return last and last.text == "=" and c.open and c.open.key
end

local function field_of(c, name)
	for _, field in ipairs(c.fields or {}) do
		if field.name == name then return field end
	end
end

local function add_values(list, field)
	for _, value in ipairs(docs.values(field.type)) do
		list:add(('"%s"'):format(value), "value", field.name, { rank = 1 })
	end
	if (field.type or ""):find "boolean" then
		list:add("true", "value", field.name, { rank = 1 })
		list:add("false", "value", field.name, { rank = 1 })
	elseif (field.type or ""):find "%f[%w]true%f[%W]" then
		list:add("true", "value", field.name, { rank = 1 })
	end
end

return {
	order = 40,
	complete = function(c, list)
		if c.state.kind ~= "code" or c.sep or not c.fields then return false end
		local key = at_value(c)
		if key then
			local field = field_of(c, key)
			if field then add_values(list, field) end
			return #list.list > 0 and c.word == ""
		end
		local last = c.tokens[#c.tokens]
		if last.text ~= "{" and last.text ~= "," and last.text ~= ";" then
			return false
		end
		for _, field in ipairs(c.fields) do
			if not c.open.keys[field.name] then
				local said = field.text and field.text ~= ""
					and "  " .. field.text or ""
				list:add(field.name .. " = ", "option", (field.type or "any")
					.. said, { rank = 1, match = field.name })
			end
		end
		-- beside an option that is meant, Lua's names are noise
		return c.word == "" or #list.list > 0
	end,
}
