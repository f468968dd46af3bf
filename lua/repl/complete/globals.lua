-- complete.globals: a name that begins an expression: globals, targets, local
-- variables of the entry, keywords. Nothing is opened: a target is known by its name
-- in the targets file.
local docs = require "run.docs"
local env = require "run.env"
local lex = require "repl.lex"

local function detail_of(value)
	local kind = type(value)
	return kind == "function" and "function" or kind
end

local function add_known(list)
	for name in pairs(env.names()) do
		local member = docs.global(name)
		if member then
			list:add(name, "function", (docs.signature(member, name)))
		elseif env.module_of(name) then
			list:add(name, "module", env.module_of(name))
		else
			list:add(name, "global")
		end
	end
end

return {
	order = 90,
	complete = function(c, list)
		if c.state.kind ~= "code" or c.sep then return false end
		local last, open = c.tokens[#c.tokens], c.stack[#c.stack]
		-- a call's signature says more there than all names that there are
		if c.word == "" and open and not open.block then return false end
		if last and (last.kind == "number" or last.text == "...") then
			return false
		end
		for name, target in next, c.ctx.config().targets or {} do
			list:add(name, "target", target.kind, { rank = 2 })
		end
		for name in next, c.names do list:add(name, "local", nil, { rank = 3 }) end
		add_known(list)
		for name, value in next, c.ctx.env do
			if type(name) == "string" and name:find "^[%a_][%w_]*$" then
				list:add(name, "global", detail_of(value))
			end
		end
		if c.word ~= "" then
			for word in next, lex.keywords do
				list:add(word, "keyword", nil, { rank = 8 })
			end
		end
		return true
	end,
}
