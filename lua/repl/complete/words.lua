-- complete.words: targets that take words in one string, `events "lag GROUP"`,
-- `orchestrator "logs gateway"`, and their arguments and options: topics, groups,
-- services. Those are asked for in the background once the target is connected,
-- and kept.
local catalog = require "repl.catalog"
local docs = require "run.docs"

local function column(method, name)
	return function(client)
		local out = {}
		for n, row in ipairs(client[method](client)) do out[n] = row[name] end
		table.sort(out)
		return out
	end
end

-- A parameter's or an option's name -> how its values are asked for.
local KAFKA = { topic = { "topics", column("topics", "topic") },
	group = { "groups", column("groups", "group") } }
local services = { "services", function(client) return client:services() end }
local ORCHESTRATOR = { service = services, services = services }

local KINDS = { kafka = KAFKA, compose = ORCHESTRATOR, kubernetes = ORCHESTRATOR,
	["local"] = ORCHESTRATOR }

local function known(target) return target and KINDS[target.kind] and target end

local function add_names(c, list, target, what)
	local ask = KINDS[target.kind][what]
	for _, name in ipairs(ask and catalog.get(c.ctx, target, table.unpack(ask))
		or {}) do
		list:add(name, what)
	end
end

-- A word that is a method; of orchestrators those that all of them have.
local function add_methods(list, kind)
	local class = KINDS[kind] == ORCHESTRATOR and "opsh.orchestrator"
		or docs.of_kind(kind)
	for _, member in ipairs(docs.members(class)) do
		if member.params and member.sep == ":" then
			list:add(member.name, "command", member.summary,
				{ append = #member.params > 0 and " " or nil })
		end
	end
end

-- What the method takes: names of what the server has, options as name=value.
local function line(c, list, target)
	local first, rest = c.str.text:match "^%s*(%S+)%s+(.*)$"
	if not first then
		list:start(c.str.from + #c.str.text:match "^%s*")
		add_methods(list, target.kind)
		return true
	end
	local word = rest:match "%S*$"
	list:start(c.at - #word + 1)
	local member = docs.member(docs.of_kind(target.kind), first)
	for _, param in ipairs(member and member.params or {}) do
		add_names(c, list, target, param.name)
		for _, field in ipairs(docs.fields(param.type) or {}) do
			if not rest:find "%s" then
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
		local target = known(thing.target)
		if target and not thing.owner and c.str.first then
			return line(c, list, target)
		end
		target = known(thing.owner and thing.owner.target)
		local what = c.str.key or call.param and call.param.name
		if not target or not KINDS[target.kind][what]
			or c.str.table and not c.str.key and what ~= "services" then
			return false
		end
		list:start(c.str.from)
		add_names(c, list, target, what)
		return true
	end,
	hint = function(c)
		local call = c.str and c.str.first and not c.str.table and c.str.call
		local thing = call and call.thing
		local target = thing and not thing.owner and known(thing.target)
		local first = target and c.str.text:match "^%s*(%S+)%s"
		local member = first and docs.member(docs.of_kind(target.kind), first)
		if not member or not member.params then return nil end
		local out = { first }
		for _, param in ipairs(member.params) do
			local fields = docs.fields(param.type)
			if fields and param.name == "opts" then
				for _, field in ipairs(fields) do
					out[#out + 1] = ("[%s=]"):format(field.name)
				end
			else
				out[#out + 1] = param.optional and ("[%s]"):format(param.name)
					or param.name
			end
		end
		return { text = table.concat(out, " "), summary = member.summary }
	end,
}
