-- complete.fields: after `x.` and `x:`: the keys of a table by rawget alone, and what
-- the documentation knows of a module, a target's methods, an object. Must not let
-- a metamethod run.
local docs = require "run.docs"
local scope = require "repl.scope"
local lex = require "repl.lex"

-- Keys of a table that are looked at.
local MAX <const> = 20000

local function is_name(key)
	return type(key) == "string" and key:find "^[%a_][%w_]*$"
		and not lex.keywords[key]
end

-- After "." what is no method; methods too where there is nothing else: then it is
-- the separator that is wrong, and the list says what there is.
local function fits(c, member, only_methods, of_string)
	if not member.params then return c.sep == "." end
	if c.sep == ":" then return member.sep == ":" or of_string end
	return member.sep == "." or only_methods
end

local function documented(c, list, class)
	local of_string = class == docs.library "string"
	local members, only_methods = docs.members(class), true
	for _, member in ipairs(members) do
		only_methods = only_methods and member.sep == ":"
	end
	for _, member in ipairs(members) do
		if fits(c, member, only_methods, of_string) then
			list:add(member.name, member.params and "function" or "field",
				member.params and docs.signature(member, member.name)
				or member.type)
		end
	end
end

-- What a class has for the language is nothing to call; a table that is to be one
-- shows its own.
local function is_for_lua(key, c, own)
	return key:sub(1, 2) == "__" and not (own and c.sep == ".")
end

local function add_values(c, list, thing)
	local all = scope.each(thing.value, MAX, function(key, value, own)
		if is_name(key) and not is_for_lua(key, c, own)
			and (c.sep == "." or type(value) == "function") then
			list:add(key, type(value) == "function" and "function" or "field",
				type(value))
		end
	end)
	if not all then
		list:note(("more than %d keys: only so many were looked at"):format(MAX))
	end
end

return {
	order = 30,
	complete = function(c, list)
		if not c.sep then return false end
		local thing = c.chain and scope.resolve(c.chain, c.ctx, c.locals)
		if not thing then return true end
		local class = thing.class
		if type(thing.value) == "string" and thing.known then
			class = docs.library "string"
		end
		if class then documented(c, list, class) end
		if thing.known then add_values(c, list, thing) end
		if thing.target and thing.target.kind == "redis" then
			require("repl.redis").methods(c, list, thing.target)
		end
		return true
	end,
}
