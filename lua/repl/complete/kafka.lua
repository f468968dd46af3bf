-- complete.kafka: topics and groups, in `events "lag ..."`, in arguments and options
-- that are a topic or a group; asked for in the background once the target is
-- connected, and kept.
local catalog = require "repl.catalog"
local docs = require "repl.docs"

local function column(method, name)
	return function(client)
		local out = {}
		for n, row in ipairs(client[method](client)) do out[n] = row[name] end
		table.sort(out)
		return out
	end
end

local ASK = { topic = column("topics", "topic"), group = column("groups", "group") }

local function kafka(target)
	return target and target.kind == "kafka" and target
end

local function add_names(c, list, target, what)
	for _, name in ipairs(catalog.get(c.ctx, target, what .. "s", ASK[what])
		or {}) do
		list:add(name, what)
	end
end

-- `events "lag group"`: a word that is a method, then what that takes.
local function line(c, list, target)
	local first, rest = c.str.text:match "^%s*(%S+)%s+(.*)$"
	if not first then
		list:start(c.str.from + #c.str.text:match "^%s*")
		for _, member in ipairs(docs.members(docs.of_kind "kafka")) do
			if member.params then
				list:add(member.name, "command", member.summary,
					{ append = #member.params > 0 and " " or nil })
			end
		end
		return true
	end
	local word = rest:match "%S*$"
	list:start(c.at - #word + 1)
	local member = docs.member(docs.of_kind "kafka", first)
	for _, param in ipairs(member and member.params or {}) do
		if ASK[param.name] then add_names(c, list, target, param.name) end
		for _, field in ipairs(docs.fields(param.type) or {}) do
			if ASK[field.name] and not rest:find "%s" then
				add_names(c, list, target, field.name)
			end
			list:add(field.name .. "=", "option", field.type, { rank = 6 })
		end
	end
	return true
end

return {
	order = 13,
	complete = function(c, list)
		local call = c.str and c.str.call
		local thing = call and call.thing
		if not thing then return false end
		local target = kafka(thing.target)
		if target and not thing.owner and c.str.first then
			return line(c, list, target)
		end
		target = kafka(thing.owner and thing.owner.target)
		local what = c.str.key or call.param and call.param.name
		if not target or not ASK[what] or c.str.table and not c.str.key then
			return false
		end
		list:start(c.str.from)
		add_names(c, list, target, what)
		return true
	end,
}
